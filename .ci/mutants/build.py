"""Builds the core's test programs with every mutant in them.

    build.py REPOSITORY WORK

WORK is a folder: `mutants.json` is what cargo-mutants lists, `names.json` what we call them, `unviable.json` the names of
those that do not compile (kept, so that the next build need not find them again), `planted.json` the numbers of those
that can be chosen, `programs.json` the test programs and what tells them from others.
"""

import filecmp
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from names import names
from plant import plant

MARK = re.compile(rb"/\*<(\d+)\*/|/\*(\d+)>\*/")
# Optimised a little, tests take a quarter of the time.
CARGO = [
    "-p=localack-core",
    "--features=bytemuck",
    "--message-format=json",
    *(f"--config=profile.{profile}.opt-level=1" for profile in ("dev", "test")),
    *(f"--config=profile.{profile}.debug=false" for profile in ("dev", "test")),
]


def copy(source, target):
    """Makes `target` the same as `source`; what has not changed keeps its time, for cargo looks at that."""
    wanted = set()
    for path in source.rglob("*"):
        name = path.relative_to(source)
        if not path.is_file() or {".git", "target"} & set(name.parts):
            continue
        wanted.add(name)
        there = target / name
        if not there.is_file() or not filecmp.cmp(path, there, shallow=False):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
    for path in target.rglob("*"):
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()


def culprit(tree, span):
    """The innermost mutant around a place that does not compile."""
    try:
        source = (tree / span["file_name"]).read_bytes()
    except OSError:
        return None
    around = []
    for mark in MARK.finditer(source[: span["byte_start"]]):
        if mark.group(1):
            around.append(int(mark.group(1)))
        else:
            around.pop()
    return around[-1] if around else None


class Build:
    def __init__(self, repository, work):
        self.repository, self.tree = repository, work / "tree"
        self.known = work / "unviable.json"
        listed = subprocess.run(["cargo", "mutants", "--list", "--json"], cwd=repository, capture_output=True, check=True)
        (work / "mutants.json").write_bytes(listed.stdout)
        self.mutants = json.loads(listed.stdout)
        # Numbers and lines change with the source.
        self.names = names(repository, self.mutants)
        (work / "names.json").write_text(json.dumps(self.names))
        known = set(json.load(open(self.known))) if self.known.exists() else set()
        self.unviable = {number for number, name in enumerate(self.names) if name in known}
        self.env = os.environ | {"RUSTFLAGS": "--cap-lints=allow", "CARGO_TARGET_DIR": str(work / "target")}

    def cargo(self, *command):
        """What the compiler says, as long as it finds mutants that do not compile."""
        while True:
            clean = self.tree.with_name("clean")
            copy(self.repository, clean)
            self.unplanted = plant(clean, self.mutants, self.unviable)
            copy(clean, self.tree)
            done = subprocess.run(["cargo", "+nightly", *command, *CARGO], cwd=self.tree, env=self.env, capture_output=True)
            messages = [json.loads(line) for line in done.stdout.splitlines()]
            if done.returncode == 0:
                return messages
            found = {self.blame(message["message"]) for message in messages if message["reason"] == "compiler-message"}
            found.discard(None)
            if not found:
                sys.exit(done.stderr.decode())
            self.unviable |= found
            self.known.write_text(json.dumps([self.names[number] for number in sorted(self.unviable)]))

    def blame(self, message):
        if message["level"] != "error":
            return None
        spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
        spans += [span for child in message["children"] for span in child["spans"]]
        return next((number for span in spans if (number := culprit(self.tree, span)) is not None), None)


def main():
    repository, work = map(pathlib.Path, sys.argv[1:])
    work.mkdir(parents=True, exist_ok=True)
    build = Build(repository.absolute(), work.absolute())
    build.cargo("check")
    messages = build.cargo("test", "--no-run", "--lib", "--tests")
    programs = [message["executable"] for message in messages if message.get("executable")]
    planted = sorted(set(range(len(build.mutants))) - build.unviable - set(build.unplanted))
    digest = hashlib.sha256()
    for program in programs:
        digest.update(pathlib.Path(program).read_bytes())
    (work / "programs.json").write_text(json.dumps({"programs": programs, "digest": digest.hexdigest()}))
    (work / "planted.json").write_text(json.dumps(planted))
    print(len(build.mutants), "mutants:", len(build.unviable), "do not compile,", len(build.unplanted), "have no place")


main()
