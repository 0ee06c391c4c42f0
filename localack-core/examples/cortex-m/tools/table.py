"""The table of FOOTPRINT.md from the figures that `.ci/metal` has taken.

  table.py FOLDER FOOTPRINT.md [--write]

Without `--write` it compares: no figure may be worse than the table's by more than one in fifty.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")
TOLERANCE = 50


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def numbers(path):
    return dict(re.findall(r"^(.*?) (\d+)$", path.read_text(), re.MULTILINE))


def memory(elf):
    found = re.findall(r"[0-9a-f]+ ([0-9a-f]+) \w \S*MEMORY_OF_(\d+)$", output("llvm-nm-14", "-S", elf), re.MULTILINE)
    return {int(flows): int(octets, 16) for octets, flows in found}


def bound(elf, function):
    return int(output(sys.executable, str(HERE / "stack_depth.py"), elf, function).split()[0])


def figures(folder):
    flash, replay, cost = (numbers(folder / name) for name in ("flash", "replay", "cost"))
    reno, everything = (str(folder / f"flash_{name}_s") for name in ("reno", "everything"))
    rows = [
        ("flash, LocalAck with Reno, opt-level s", flash["flash_reno_s"], 48 * 1024),
        ("flash, LocalAck with Reno, opt-level 3", flash["flash_reno_3"], None),
        ("flash, everything, opt-level s", flash["flash_everything_s"], None),
        ("flash, everything, opt-level 3", flash["flash_everything_3"], None),
    ]
    for name, elf in (("Reno", reno), ("everything", everything)):
        for flows, octets in sorted(memory(elf).items()):
            bar = 62 * 1024 if flows == 8 else None
            rows.append((f"RAM for {flows} flows with 4 KiB of buffer each, {name}", octets, bar))
    for call in ("ingest", "poll"):
        rows.append((f"stack of {call}, at most, Reno", bound(reno, f"footprint::{call}"), 2048))
        rows.append((f"stack of {call}, at most, everything", bound(everything, f"footprint::{call}"), 2048))
        rows.append((f"stack of {call}, measured with the packet scripts, everything", replay[f"stack of {call}"], 2048))
    for what in ("per segment", "per acknowledgement", "of the floor"):
        rows.append((f"instructions {what}, everything, opt-level s", cost[f"instructions {what}"], None))
    return [(name, int(value), limit) for name, value, limit in rows]


def table(rows):
    lines = ["| | | bar |", "|---|---:|---:|"]
    for name, value, limit in rows:
        lines.append(f"| {name} | {value} | {'' if limit is None else limit} |")
    return "\n".join(lines)


def main():
    folder, path = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    rows, text = figures(folder), path.read_text()
    print(table(rows))
    before, rest = text.split(MARKS[0])
    old, after = rest.split(MARKS[1])
    if sys.argv[3:] == ["--write"]:
        path.write_text(f"{before}{MARKS[0]}\n\n{table(rows)}\n\n{MARKS[1]}{after}")
        return
    known = {name.strip(): int(value) for name, value in re.findall(r"^\| (\S.*?) \| (\d+) \|", old, re.MULTILINE)}
    worse = [
        f"{name}: {value}, and not {known.get(name)}"
        for name, value, _ in rows
        if name not in known or value > known[name] + known[name] // TOLERANCE
    ]
    if worse:
        sys.exit("error: worse than FOOTPRINT.md says:\n" + "\n".join(worse))


main()
