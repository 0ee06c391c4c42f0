"""Lets each mutant live through the tests that come by it, until one fails.

    judge.py reach WORK                      which mutants each test comes by, and how long it takes
    judge.py judge WORK SECONDS [NUMBER ...] judges those that are not judged yet, and then asks more tests about those
                                             that live, for so long; or judges these numbers, come what may

WORK is what build.py has made. `reach.json` and `verdicts.jsonl`, a line for each judgement, are put there. Tests that
are quick, or have killed mutants of the same file, are asked first; LOCALACK_WORTH says how many seconds of tests a
mutant is worth each time.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

WORKERS = int(os.environ.get("LOCALACK_WORKERS", os.cpu_count()))
# A test may take this many times longer than without a mutant, and so many seconds more, before it counts as stuck.
PATIENCE, GRACE = 8, 4
# Tests of so many seconds in all share a process.
BATCHES = (0.2, 1, 4, 15)
# Seconds of tests that one mutant is worth in this pass.
WORTH = float(os.environ.get("LOCALACK_WORTH", 6))
QUIET = {"PROPTEST_FAILURE_PERSISTENCE": "off", "PROPTEST_MAX_SHRINK_ITERS": "0", "RUST_BACKTRACE": "0"}


def run(binary, tests, folder, seconds, **more):
    """How one process of tests ended: its exit status, or None if it was stuck, and the test that was last begun."""
    env = os.environ | QUIET | {name: str(value) for name, value in more.items()}
    command = [binary, "--exact", "--test-threads=1", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        status, printed = done.returncode, done.stdout
    except subprocess.TimeoutExpired as stuck:
        status, printed = None, stuck.stdout or b""
    begun = [line.split()[1] for line in printed.decode().splitlines() if line.startswith("test ") and " ... " in line]
    return status, begun[-1] if begun else None


def reach(out):
    folder = out / "tree/localack-core"
    count = len(json.load(open(out / "mutants.json")))
    work = []
    for binary in json.load(open(out / "programs.json"))["programs"]:
        listed = subprocess.run([binary, "--list", "--format=terse"], capture_output=True, text=True).stdout
        work += [(binary, line.removesuffix(": test")) for line in listed.splitlines() if line.endswith(": test")]

    def one(binary, test):
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as marks:
            marks.write(bytes(count))
            marks.flush()
            begun = time.monotonic()
            status, _ = run(binary, [test], folder, 400, LOCALACK_REACHED=marks.name)
            took = time.monotonic() - begun
            marks.seek(0)
            reached = [number for number, mark in enumerate(marks.read()) if mark]
        return {"binary": binary, "test": test, "seconds": took, "status": status, "reached": reached}

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        tests = list(pool.map(lambda item: one(*item), work))
    for test in tests:
        if test["status"] != 0:
            print("fails without a mutant:", test["binary"], test["test"], test["status"])
    (out / "reach.json").write_text(json.dumps({"folder": str(folder), "tests": tests}))
    print(len(tests), "tests,", round(sum(test["seconds"] for test in tests)), "s")


class Court:
    """Who is asked about a mutant, and in which order."""

    def __init__(self, out, mutants, names, verdicts):
        self.programs = json.load(open(out / "programs.json"))["digest"]
        reached = json.load(open(out / "reach.json"))
        self.folder = reached["folder"]
        self.mutants = mutants
        self.names = names
        self.tests = [test for test in reached["tests"] if test["status"] == 0]
        self.by_mutant = {}
        for test in self.tests:
            for number in test["reached"]:
                self.by_mutant.setdefault(number, []).append(test)
        self.kills, self.killers = {}, {}
        for number, verdict in verdicts.items():
            if verdict["killed"]:
                self.killers[number] = verdict["by"]
                self.note_kill(number, verdict["by"])

    def note_kill(self, number, test):
        file = self.mutants[number]["file"]
        for place, weight in ((file, 3), (file.rpartition("/")[0], 1)):
            self.kills[place, test] = self.kills.get((place, test), 0) + weight

    def order(self, number):
        """The tests that come by a mutant, the quickest first; what has killed its neighbours counts as quicker.

        What has killed it in other programs, before the tests or the core changed, comes before all.
        """
        file = self.mutants[number]["file"]
        places = file, file.rpartition("/")[0]

        def price(test):
            if test["test"] == self.killers.get(number):
                return 0
            return (0.002 + test["seconds"]) / (1 + sum(self.kills.get((place, test["test"]), 0) for place in places))

        return sorted(self.by_mutant.get(number, []), key=price)

    def batches(self, tests):
        """Runs of tests of one program, longer ones the later they come."""
        limits = iter(BATCHES)
        limit = next(limits)
        batch, total = {}, 0
        for test in tests:
            if batch and total + test["seconds"] > limit:
                yield from batch.items()
                batch, total = {}, 0
                limit = next(limits, BATCHES[-1])
            batch.setdefault(test["binary"], []).append(test)
            total += test["seconds"]
        yield from batch.items()

    def judge(self, number, survived):
        """Asks the tests that have not been asked yet, as long as the mutant is worth it."""
        begun = time.monotonic()
        tests = [test for test in self.order(number) if test["test"] not in survived]
        asked, status, killer, spent = list(survived), 0, None, 0
        for binary, batch in self.batches(tests):
            seconds = sum(test["seconds"] for test in batch)
            if spent and spent + seconds > WORTH:
                continue
            names = [test["test"] for test in batch]
            status, last = run(binary, names, self.folder, GRACE + PATIENCE * seconds, LOCALACK_MUTANT=number)
            spent += seconds
            if status != 0:
                killer = last
                self.note_kill(number, last)
                break
            asked += names
        return {
            "number": number,
            "name": self.names[number],
            "programs": self.programs,
            "killed": status != 0,
            "by": killer,
            "status": status,
            "left": len(self.by_mutant.get(number, [])) - len(asked),
            "survived": asked if status == 0 else len(asked),
            "seconds": round(time.monotonic() - begun, 2),
        }


def judge(out, seconds, numbers):
    mutants = json.load(open(out / "mutants.json"))
    planted = json.load(open(out / "planted.json"))
    names = json.load(open(out / "names.json"))
    verdicts = out / "verdicts.jsonl"
    told = {}
    if verdicts.exists():
        by_name = {verdict["name"]: verdict for verdict in map(json.loads, open(verdicts))}
        # Numbers change with the source; names do not as long as the line is the same.
        told = {number: by_name[names[number]] for number in planted if names[number] in by_name}
    court = Court(out, mutants, names, told)
    judged = {number: verdict for number, verdict in told.items() if verdict["programs"] == court.programs}
    open_cases = [number for number in planted if number not in judged]
    # Then those that live, as far as there are tests that they have not lived through.
    open_cases += [number for number, verdict in judged.items() if not verdict["killed"] and verdict["left"]]
    work = iter(numbers or open_cases)
    until = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool, open(verdicts, "a") as log:
        running = set()
        killed = count = 0
        while True:
            while len(running) < WORKERS and time.monotonic() < until:
                number = next(work, None)
                if number is None:
                    break
                past = judged.get(number, {"killed": True})
                survived = [] if past["killed"] or numbers else past["survived"]
                running.add(pool.submit(court.judge, number, survived))
            if not running:
                break
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                verdict = future.result()
                count += 1
                killed += verdict["killed"]
                print(json.dumps(verdict), file=log, flush=True)
    print(count, "judged,", killed, "killed")


def main():
    command, *rest = sys.argv[1:]
    if command == "reach":
        reach(pathlib.Path(rest[0]).absolute())
    else:
        judge(pathlib.Path(rest[0]), float(rest[1]), [int(number) for number in rest[2:]])


main()
