"""Instructions that the core takes for a packet, beside those it took before.

    python3 .ci/instructions.py PROGRAM            compare with benches/instructions.txt
    python3 .ci/instructions.py PROGRAM --bless    write it anew

PROGRAM is the release build of the binary `counted`. Callgrind counts what it executes while a case is
carried, not what comes before; so neither the machine's speed nor its other work matters. Functions of the
C library (all that is called of them is `memcpy` and the like) are not counted, since it chooses them by what
the processor has. The rest depends on the compiler, whose version the file names.

Fails if a case takes over 3 % more than the file says, or if one that means harm, whose engine's state is
kept, or whose engine has a service that nobody uses, takes more than so many times what it is compared with. For that the C library counts, too: both run on
this machine.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path("benches/instructions.txt")
# Growth that is not yet one, in percent.
TOLERANCE = 3


def name_of(names, text):
    """The name behind a reference `(1) name`, which has it only the first time."""
    number, _, name = text.partition(" ")
    if name:
        names[number] = name
    return names[number]


def instructions(path, program):
    """Instructions in `program` itself, and all, in a file of callgrind's."""
    objects = {}
    where = None
    own = all_of_them = 0
    is_call = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("ob="):
            where = name_of(objects, line[3:])
        elif line.startswith("cob="):
            name_of(objects, line[4:])
        elif line.startswith("calls="):
            # The next line is what the callee takes, which is counted there.
            is_call = True
        elif re.match(r"[+*\d-]", line):
            if not is_call:
                taken = int(line.split()[1])
                all_of_them += taken
                own += taken if where == program else 0
            is_call = False
    return own, all_of_them


def measure(program, case):
    """Instructions for a unit of `case`: the program's own, and all."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            "--collect-atstart=no",
            "--toggle-collect=*inside_the_count*",
            program,
            case,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{case}: {done.stderr}")
        counted = instructions(out, program)
    return [taken / int(done.stdout) for taken in counted]


def compiler():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def read():
    """Instructions by case, as the file says."""
    if not TABLE.exists():
        return {}
    rows = (line.split() for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {row[0]: float(row[1]) for row in rows if row and not row[0].startswith("#")}


def table(found):
    lines = [
        f"# Instructions of the core for a unit of each case; {compiler()}.",
        "# Written by `python3 .ci/instructions.py target/release/counted --bless`.",
    ]
    lines += [f"{case:<20} {own:12.1f}" for case, own in found.items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--bless", action="store_true")
    arguments = parser.parse_args()
    program = str(arguments.program.resolve())
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    cases = [line.split() for line in listed.splitlines()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = pool.map(lambda case: measure(program, case[0]), cases)
        counted = {case[0]: both for case, both in zip(cases, measured, strict=True)}
    found = {case: own for case, (own, _) in counted.items()}

    faults = []
    for case, other, allowed in (case for case in cases if len(case) > 1):
        times = counted[case][1] / counted[other][1]
        print(f"{case} takes {times:.3f} times as much as {other}")
        if times > float(allowed):
            faults.append(f"{case} takes {times:.3f} times as much as {other}; {allowed} are allowed")
    if arguments.bless:
        TABLE.write_text(table(found), encoding="utf-8")
    before = read()
    print(f"{'case':<20} {'before':>12} {'now':>12} {'change':>8}")
    for case, own in found.items():
        old = before.get(case)
        if old is None:
            faults.append(f"{case} is not in {TABLE}")
            continue
        change = 100 * (own - old) / old
        print(f"{case:<20} {old:12.1f} {own:12.1f} {change:+7.1f}%")
        if change > TOLERANCE:
            faults.append(f"{case} takes {change:.1f} % more instructions than {TABLE} says")
    for case in before.keys() - found.keys():
        faults.append(f"{case} is in {TABLE}, and there is no such case")
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        sys.exit(f"if it has to be so, `python3 .ci/instructions.py {arguments.program} --bless` says that it is")


main()
