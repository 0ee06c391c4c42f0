"""Flash of the engine, and its largest functions.

  footprint.py PROGRAM BASELINE          octets of text and rodata that PROGRAM has beyond BASELINE
  footprint.py --largest COUNT PROGRAM   its largest functions
"""

import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def flash(elf):
    lines = (line.split() for line in output("llvm-size-14", "-A", elf).splitlines())
    return sum(int(line[1]) for line in lines if line and line[0] in (".text", ".rodata", ".data"))


def largest(count, elf):
    found = []
    for line in output("llvm-nm-14", "-S", "-C", elf).splitlines():
        match = re.match(r"[0-9a-f]+ ([0-9a-f]+) [tT] (.*)", line)
        if match:
            found.append((int(match[1], 16), match[2]))
    for octets, name in sorted(found, reverse=True)[:count]:
        print(f"{octets:6} {name}")


if sys.argv[1] == "--largest":
    largest(int(sys.argv[2]), sys.argv[3])
else:
    program, baseline = sys.argv[1:]
    print(flash(program) - flash(baseline))
