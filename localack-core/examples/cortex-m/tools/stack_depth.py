"""The most stack that calls of a function can take, from the frames and the calls in an ELF file.

  stack_depth.py ELF NAME...      for each function whose name contains NAME

The file must have been built with -Zemit-stack-sizes. Fails if there is recursion or an indirect call, of
which it could say nothing.
"""

import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def frames(elf):
    lines = output("llvm-readelf-14", "--stack-sizes", "-C", elf).splitlines()
    found = (re.match(r"\s*(\d+)\s+(.*)", line) for line in lines)
    return {match[2].strip(): int(match[1]) for match in found if match}


def functions(elf):
    names = {}
    for line in output("llvm-nm-14", "-C", "-n", elf).splitlines():
        match = re.match(r"([0-9a-f]+) [tTwW] (.*)", line)
        # `$t` and the like say only where code begins.
        if match and not match[2].startswith("$"):
            names.setdefault(int(match[1], 16) & ~1, match[2])
    return names


def calls(elf, names):
    graph, indirect, current = {}, set(), None
    for line in output("llvm-objdump-14", "-d", "--no-show-raw-insn", elf).splitlines():
        match = re.match(r"^\s*([0-9a-f]+):\s+(\S+)(.*)", line)
        if not match:
            continue
        current = names.get(int(match[1], 16), current)
        graph.setdefault(current, set())
        target = re.search(r"0x([0-9a-f]+) <", match[3])
        if match[2].startswith("blx") and not target:
            indirect.add(current)
        elif match[2].startswith("b") and target:
            callee = names.get(int(target[1], 16))
            if callee not in (None, current):
                graph[current].add(callee)
    return graph, indirect


def deepest(function, graph, sizes, above, known):
    if function in above:
        sys.exit(f"error: recursion at {function}")
    if function not in known:
        below = [deepest(callee, graph, sizes, above | {function}, known) for callee in graph.get(function, ())]
        octets, path = max(below, default=(0, []))
        own = sizes.get(function, 0)
        known[function] = (own + octets, [(own, function), *path])
    return known[function]


def main():
    elf, wanted = sys.argv[1], sys.argv[2:]
    names, sizes = functions(elf), frames(elf)
    if not sizes:
        sys.exit("error: no stack sizes in the file")
    graph, indirect = calls(elf, names)
    for part in wanted:
        roots = [name for name in graph if name and part in name]
        if not roots:
            sys.exit(f"error: no function named {part}")
        for root in roots:
            octets, path = deepest(root, graph, sizes, frozenset(), {})
            for _, function in path:
                if function in indirect:
                    sys.exit(f"error: {function} calls what it is told to")
            print(f"{octets} {root}")
            for own, function in path:
                print(f"    {own:5} {function}")


main()
