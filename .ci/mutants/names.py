"""What a mutant is called, wherever the lines around it move to."""

import collections
import pathlib

SOURCES = "localack-core/src/"


def names(repository, mutants):
    """A name for each: its file, what is done, and the line that it is done to; and which of those that are alike."""
    lines, seen, all_names = {}, collections.Counter(), []
    for mutant in mutants:
        path = mutant["file"]
        if path not in lines:
            lines[path] = (pathlib.Path(repository) / path).read_text().splitlines()
        line = lines[path][mutant["span"]["start"]["line"] - 1].strip()
        what = mutant["name"].split(": ", 1)[1]
        name = f"{path.removeprefix(SOURCES)}: {what} | {line}"
        seen[name] += 1
        all_names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return all_names
