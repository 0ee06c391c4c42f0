"""What the READMEs show is what the programs print.

    cargo run -q -p localack-core --example memory | python3 .ci/readme.py --replay FILE --demo FILE
    cargo run -q -p localack-core --example memory | python3 .ci/readme.py --write

Reads the tables of memory from the standard input, and the table of goodput from the golden file.
`--replay FILE` also compares the excerpt with a whole report. A demonstration takes other times on
every machine: `--demo FILE` compares what it says, and that the engine has gained at least half of what the
README shows. `--write` puts tables and the code example of the core's README where they belong.
"""

import argparse
import json
import re
import sys
from pathlib import Path

WORKSPACE = Path("README.md")
CORE = Path("localack-core/README.md")
GOLDEN = Path("benches/goodput.golden.json")

LOSSES = (0.0, 1.0, 3.0)
CONTROLLERS = {
    "direct": "the sender alone (CUBIC)",
    "reno": "`Reno`",
    "cubic": "`Cubic`",
    "bbr": "`Bbr`",
    "provisioned": "`Provisioned`",
}


def section(name):
    return re.compile(rf"(<!-- {name}: begin -->\n)(.*?)(<!-- {name}: end -->)", re.DOTALL)


def filled(text, name, content):
    """`text` with `content` in the section of that name."""
    changed, count = section(name).subn(lambda m: f"{m[1]}\n{content.strip()}\n\n{m[3]}", text)
    if count != 1:
        sys.exit(f"{count} sections called {name}")
    return changed


def example(text):
    return re.search(r"```rust\n.*?```", text, re.DOTALL)


def goodput():
    """What each controller gets of 20 Mbit/s over 600 ms, by loss."""
    rows = [
        row
        for row in json.loads(GOLDEN.read_text(encoding="utf-8"))
        if (row["scenario"], row["rtt_ms"], row["rate_mbit"]) == ("bulk", 600, 20)
        and row["custody"] != "after-handshake"
    ]
    shares = {(row["controller"], row["loss_pct"]): row["goodput_share"] for row in rows}
    lines = ["| | " + " | ".join(f"{loss:g} % loss" for loss in LOSSES) + " |", "|---|---:|---:|---:|"]
    for controller, name in CONTROLLERS.items():
        cells = (f"{100 * shares[controller, loss]:.0f} %" for loss in LOSSES)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def check_excerpt(report):
    """Each line of the excerpt stands in the report, in the same order; `...` leaves some out."""
    match = section("replay excerpt").search(WORKSPACE.read_text(encoding="utf-8"))
    lines = [line.rstrip() for line in match[2].splitlines()]
    shown = [line for line in lines if line and not line.startswith("```") and line.strip() != "..."]
    if not shown:
        sys.exit("README.md shows nothing of the replay")
    rest = iter(line.rstrip() for line in report.splitlines())
    for line in shown:
        if line not in rest:
            sys.exit(f"the replay does not print, or not in this place: {line}")


def shown_lines(name, text):
    match = section(name).search(text)
    return [line.rstrip() for line in match[2].splitlines() if line and not line.startswith("```")]


def words(line):
    """A row or heading of a demonstration's report: its columns, with no numbers and no units."""
    columns = re.split(r" {2,}", re.sub(r"\d[\d.]*( (ms|s|B|[kMG]B|[kMG]?bit/s|%|times)(?!\w))?", "#", line))
    return [column for column in columns if column]


def gained(lines):
    said = (re.fullmatch(r"([\d.]+) times sooner with the engine", line) for line in lines)
    times = [float(match[1]) for match in said if match]
    if len(times) != 1:
        sys.exit("a demonstration that does not say once how many times sooner the file is there")
    return times[0]


def check_demo(report):
    """The example says what a run says, but for its numbers and the course of its lines."""
    example, run = shown_lines("demo example", WORKSPACE.read_text(encoding="utf-8")), report.splitlines()
    run = [line.rstrip() for line in run if line.strip()]
    drawing = re.compile(r"[ .\dkMGB]*[|+][ .#+-]*|[ \dms.]*")
    said, says = ([words(line) for line in lines if not drawing.fullmatch(line)] for lines in (example, run))
    if said != says:
        different = next((pair for pair in zip(said, says) if pair[0] != pair[1]), (len(said), len(says)))
        sys.exit(f"the demonstration says other things than README.md: {different}")
    if gained(run) < gained(example) / 2:
        sys.exit(f"README.md: {gained(example)} times sooner; here: {gained(run)}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--replay", type=Path)
    arguments.add_argument("--demo", type=Path)
    options = arguments.parse_args()
    memory = sys.stdin.read()
    core, workspace = (path.read_text(encoding="utf-8") for path in (CORE, WORKSPACE))
    new_core = filled(core, "memory", memory)
    new_workspace = filled(filled(workspace, "memory", memory), "goodput", goodput())
    new_workspace = new_workspace.replace(example(workspace)[0], example(core)[0])
    if options.write:
        CORE.write_text(new_core, encoding="utf-8")
        WORKSPACE.write_text(new_workspace, encoding="utf-8")
    elif (new_core, new_workspace) != (core, workspace):
        sys.exit("tables or example of a README are out of date: see .ci/readme.py --write")
    if options.replay:
        check_excerpt(options.replay.read_text(encoding="utf-8"))
    if options.demo:
        check_demo(options.demo.read_text(encoding="utf-8"))


main()
