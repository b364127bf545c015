"""A clock that is set back or forward by hours around `kill -9`: nothing is lost, no half output stays, and `last` is the last.

Each round has a batch of its own, whose jobs write what they declare in two halves, some of them with an old time or one to come. A run is
killed, resumed and followed by another one, each with another clock; the monotonic clock is left alone. The clock is set by libfaketime
where it is installed (Debian: `faketime`), which sets it for commands as well, else in joblot's own processes; the times of files are the
kernel's in both cases.

Checked after each round: every job has succeeded, and its output is whole; none ran again after a recorded success; what nobody touched is
as it was; what a job that may run once had half written has lost its name; the run after that finds everything up to date; `last` is the
run that began last, and `ls` has them in the order in which they began.

    python tests/torture/clock.py --jumps 200 [--seed 1] [--by faketime|python]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

BAD = ("lost", "half outputs", "run twice", "touched", "made again", "wrong last", "refused")
JOBS = 12
PYTHON_CLOCK = """\
import sys, time
ahead, real, real_ns = float(sys.argv.pop(1)), time.time, time.time_ns
time.time, time.time_ns = lambda: real() + ahead, lambda: real_ns() + int(ahead * 1e9)
from joblot.__main__ import main
sys.exit(main())
"""
TOUCHES = ("true", "touch -r old {out}", "touch -d 2099-01-01 {out}", "cp -p {out} x{n} && mv x{n} {out}")


def library() -> str | None:
    """Where libfaketime is; None when it is not installed."""
    return next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class Clock:
    """Starts joblot with a clock that is so many seconds ahead."""

    def __init__(self, by: str) -> None:
        self.library = library() if by == "faketime" else None

    def start(self, ahead: int, folder: Path, *words: str) -> subprocess.Popen[bytes]:
        env = os.environ | {"JOBLOT_STATE": str(folder / "state")}
        if self.library:
            command = [sys.executable, "-m", "joblot", *words]
            env |= {"LD_PRELOAD": self.library, "FAKETIME": f"{ahead:+d}", "DONT_FAKE_MONOTONIC": "1"}
        else:
            command = [sys.executable, "-c", PYTHON_CLOCK, str(ahead), *words]
        return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, ahead: int, folder: Path, *words: str) -> tuple[int, str, str]:
        out, err = (process := self.start(ahead, folder, *words)).communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()


def lay_out(folder: Path, rng: random.Random) -> None:
    """A batch whose jobs write a number, wait, and write it again; half of the outputs are there already, from somebody else."""
    (folder / "old").write_text("")
    os.utime(folder / "old", (10**9, 10**9))
    jobs = []
    for n in range(JOBS):
        out = f"{n}.txt"
        if rng.random() < 0.5:
            (folder / out).write_text("old")
            os.utime(folder / out, (at := rng.choice((10**9, 4 * 10**9, time.time())), at))
        touch = rng.choice(TOUCHES).format(out=out, n=n)
        run = f"printf {n}- > {out}; {touch}; sleep 0.0{rng.randrange(10)}; printf {n} > y{n}; cat y{n} >> {out}; echo {n} >> ran"
        jobs.append({"name": f"j{n}", "run": run, "outputs": [out]})
    touch = rng.choice(TOUCHES).format(out="once.txt", n="once")
    run = f"printf half > once.txt; {touch}; echo > begun; sleep 0.3; printf whole > once.txt; echo once >> ran"
    jobs.append({"name": "once", "run": run, "outputs": ["once.txt"], "once": True})
    jobs.append({"name": "idle", "run": "sleep 0.2; echo idle >> ran", "outputs": ["idle.txt"], "once": True})
    (folder / "idle.txt").write_text("untouched")
    os.utime(folder / "idle.txt", (at := rng.choice((10**9, 4 * 10**9)), at))
    rng.shuffle(jobs)
    (folder / "joblot.json").write_text(json.dumps({"jobs": jobs}))


def states(shown: str) -> dict[str, str]:
    """Of each job of a report its state."""
    return {one["job"]: one["status"] for one in json.loads(shown)["results"]} if shown else {}


def one_round(folder: Path, clock: Clock, rng: random.Random, tally: Counter[str]) -> list[str]:
    """A run, a kill, a resume and a run, each at another time. What went wrong."""
    wrong = []
    lay_out(folder, rng)
    hours = [rng.choice((-1, 1)) * rng.randrange(1, 60) * 3600 for _ in range(3)]
    process = clock.start(hours[0], folder, "run", "-q", "--run-id", "first", "-j", "3")
    wait_for = folder / rng.choice(("begun", *(f"y{n}" for n in range(JOBS))))
    while process.poll() is None and not wait_for.exists():
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    process.kill()
    process.communicate()
    _, shown, _ = clock.run(hours[0], folder, "show", "first", "--json")
    done = {job for job, state in states(shown).items() if state == "success"}
    ran = (folder / "ran").read_text().split() if (folder / "ran").exists() else []
    code, _, err = clock.run(hours[1], folder, "resume", "-q", "first")
    if code not in (0, 1) or "Traceback" in err:
        wrong.append(f"refused: resume ended with {code}: {err.strip()}")
    again = (folder / "ran").read_text().split()[len(ran) :] if (folder / "ran").exists() else []
    wrong += [f"run twice: {job}" for job in done if job.removeprefix("j") in again]
    _, shown, _ = clock.run(hours[1], folder, "show", "first", "--json")
    after = states(shown)
    for n in range(JOBS):
        if after.get(f"j{n}") != "success":
            wrong.append(f"lost: j{n} is {after.get(f'j{n}')}")
        elif (folder / f"{n}.txt").read_text() != f"{n}-{n}":
            wrong.append(f"half outputs: {n}.txt")
    once = folder / "once.txt"
    if once.exists() and once.read_text() != "whole":
        wrong.append(f"half outputs: once.txt, and the job is {after.get('once')}")
    if not (folder / "idle.txt").exists() or (folder / "idle.txt").read_text() != "untouched":
        wrong.append("touched: idle.txt")
    code, shown, err = clock.run(hours[2], folder, "run", "-q", "--json", "--run-id", "second")
    wrong += [
        f"made again: {job} is {state}"
        for job, state in states(shown).items()
        if after.get(job) == "success" and state != "cached"
    ]
    if code:
        wrong.append(f"refused: the second run ended with {code}: {err.strip()}")
    _, shown, _ = clock.run(hours[rng.randrange(3)], folder, "show", "last", "--json")
    if json.loads(shown)["run_id"] != "second":
        wrong.append(f"wrong last: {json.loads(shown)['run_id']}")
    _, listed, _ = clock.run(hours[rng.randrange(3)], folder, "ls", "--json")
    if [run["run_id"] for run in json.loads(listed)] != ["second", "first"]:
        wrong.append("wrong last: in the list")
    tally["jumps"] += 2
    tally["killed in the middle"] += bool(set(after) - done)
    tally["recorded successes"] += len(done)
    tally["half written once"] += after.get("once") == "failed"
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jumps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by", choices=["faketime", "python"], default="faketime" if library() else "python")
    asked = parser.parse_args()
    if asked.by == "faketime" and library() is None:
        sys.exit("libfaketime is not installed")
    clock, tally = Clock(asked.by), Counter[str]()
    number = 0
    while tally["jumps"] < asked.jumps:
        folder = Path(tempfile.mkdtemp(prefix="joblot-clock-"))
        wrong = one_round(folder, clock, random.Random(f"{asked.seed} {number}"), tally)
        for what in wrong:
            print(f"round {number} of seed {asked.seed}: {what} ({folder})")
            tally[what.partition(":")[0]] += 1
        if not wrong:
            shutil.rmtree(folder)
        number += 1
    print(", ".join(f"{what} {count}" for what, count in tally.items() if what not in BAD), f"(by {asked.by})")
    print(", ".join(f"{what} {tally[what]}" for what in BAD))
    return int(any(tally[what] for what in BAD))


if __name__ == "__main__":
    sys.exit(main())
