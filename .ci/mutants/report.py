"""What the tests have found out, beside what is known of the mutants that live.

    report.py WORK

Ends with an error if a mutant lives of which nobody has said why. `survivors.toml` tells, for each reason, which mutants
live because of it, and which of them a test could tell from the real code, if somebody wrote it.
"""

import json
import pathlib
import sys
import tomllib

KNOWN = pathlib.Path(__file__).with_name("survivors.toml")
# Of a hundred mutants that compile, so many must be killed.
AT_LEAST = 90


def main():
    work = pathlib.Path(sys.argv[1])
    planted = json.load(open(work / "planted.json"))
    programs = json.load(open(work / "programs.json"))["digest"]
    verdicts = {verdict["name"]: verdict for verdict in map(json.loads, open(work / "verdicts.jsonl"))}
    verdicts = {name: verdict for name, verdict in verdicts.items() if verdict["programs"] == programs}
    called = json.load(open(work / "names.json"))
    wanted = {called[number] for number in planted}
    killed = {name for name in wanted & verdicts.keys() if verdicts[name]["killed"]}
    living = (wanted & verdicts.keys()) - killed
    unasked = wanted - verdicts.keys()
    listed = tomllib.loads(KNOWN.read_text())
    equal = {name for reason in listed["reason"] for name in reason["mutants"]}
    wanted_tests = {test["mutant"] for test in listed.get("test", [])}
    known = equal | wanted_tests
    unknown = sorted(living - known)
    share = 100 * len(killed) / max(1, len(killed) + len(living))
    print(f"{len(planted)} mutants, {len(unasked)} of them not judged; {len(killed)} killed ({share:.1f} %)")
    print(f"{len(living & equal)} live and change nothing; {len(living & wanted_tests)} live for want of a test")
    if not unasked:
        for name in sorted(known - living):
            print("it is listed, and lives no more:", name)
    for name in unknown:
        print("nobody has said why this lives:", name)
    if unknown or unasked or share < AT_LEAST:
        sys.exit(1)


main()
