"""kill -9 at random moments of several runs at once that share limits of the machine, each resumed until it has ended.

Three runs of batches of their own, whose jobs ask for one or all of a limit of 1 to 3, for another limit, for both, for slots with names, or for nothing. The victim is a
runner, its warden, both (what they had started goes on, and is told by its mark), a command, or all of them; a runner that is stopped for
a while; by turns (`any`). A killed run is resumed at once, or when the others have gone on for a while.

Checked by the jobs themselves: each locks as many of the files of its limit as it asks for, of which there are as many as the limit has,
or those of the names that it was told, and holds them with all that it has started. Where none is free, more ran than may. Checked at the end: every run has come to its end, every
job has succeeded, no process is left, nobody holds or waits for anything. Prints what was done and what was found, a line each; exits 1 if
anything was found.

    python tests/torture/limits.py --kills 200 [--victim runner|warden|both|command|all|stop|any] [--seed 1] [--jobs 20] [--per-round 12]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from kill import children, command, of_the_run

JOB = """
import fcntl, os, random, subprocess, sys, time
folder, seconds = sys.argv[1], float(sys.argv[2])
held = []
for name, amount, count in (word.split(":") for word in sys.argv[3:]):
    taken = 0
    slots = os.environ.get(f"JOBLOT_SLOT_{name.upper()}")
    for number in range(int(count)) if slots is None else map(int, slots.split(",")):
        fd = os.open(f"{folder}/{name}-{number}", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        os.set_inheritable(fd, True)
        held.append(fd)
        taken += 1
        if taken == int(amount):
            break
    else:  # also where the names that it was told are held by another
        with open(f"{folder}/above", "a") as file:
            file.write(f"{os.environ['JOBLOT_RUN_ID']} {os.environ['JOBLOT_JOB']} {name}\\n")
with open(f"{folder}/begun", "a") as file:
    file.write(f"{os.getpid()}\\n")
if os.getpid() % 2:
    subprocess.run(["sleep", str(seconds)], close_fds=False)
else:
    time.sleep(seconds)
"""
"""What a job does: it takes its locks, and goes on for a while, half of the time in a process of its own."""
VICTIMS = ("runner", "warden", "both", "command", "all", "stop")
RUNS = ("one", "two", "three")
MOSTLY = 0.8
"""How often a moment is let pass in which the run has nothing that it started."""
STUCK_S = 120.0
"""How long a round may go on after its last kill."""


def lay_out(folder: Path, rng: random.Random, jobs: int) -> None:
    """The batches of a round, and what their jobs run."""
    (folder / "locks").mkdir()
    (folder / "job.py").write_text(JOB)
    there = {"db": rng.randint(1, 3), "net": rng.randint(1, 2), "gpu": rng.randint(1, 3)}
    kinds = [
        {"db": 1},
        {"db": there["db"]},
        {"net": 1},
        {"db": 1, "net": 1},
        {"gpu": 1},
        {"gpu": there["gpu"]},
        {"db": 1, "gpu": 1},
        {},
    ]
    for name in RUNS:
        declared = []
        for number in range(rng.randint(2, jobs)):
            needed = rng.choice(kinds)
            words = [f"{limit}:{amount}:{there[limit]}" for limit, amount in needed.items()]
            argv = [sys.executable, str(folder / "job.py"), str(folder / "locks"), f"{rng.uniform(0, 0.6):.3f}", *words]
            job = {"name": f"j{number}", "run": argv, "resources": needed, "retry": {"max_attempts": 50}}
            if number and rng.random() < 0.2:
                job["needs"] = [f"j{rng.randrange(number)}"]
            declared.append(job)
        limits = {limit: {"count": count, "across": "machine"} for limit, count in there.items()}
        limits["gpu"] = {"slots": list(range(there["gpu"])), "across": "machine"}
        (folder / name).mkdir()
        (folder / name / "batch.json").write_text(json.dumps({"name": name, "limits": limits, "jobs": declared}))


class Round:
    """Some runs at once, until all have ended."""

    def __init__(self, folder: Path, rng: random.Random, tally: Counter) -> None:
        self.folder = folder
        self.rng = rng
        self.tally = tally
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder / "home")}
        self.live: dict[str, subprocess.Popen] = {}
        self.dead: dict[str, float] = {}
        """When to go on with a run that was killed."""

    def begin(self, name: str, *words: str) -> None:
        words = command(self.folder / name, *words, "-j", "3", "-q")
        self.live[name] = subprocess.Popen(words, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def go_on(self) -> None:
        """Take in who has ended, and resume who was killed."""
        for name, runner in list(self.live.items()):
            if runner.poll() is not None:
                del self.live[name]
                if runner.returncode < 0:
                    self.dead[name] = time.monotonic() + self.rng.choice((0.0, 0.3, 1.5))
                elif runner.returncode:
                    self.tally["runs that failed"] += 1
        for name, moment in list(self.dead.items()):
            if time.monotonic() >= moment:
                del self.dead[name]
                self.begin(name, *self._words(name))

    def _words(self, name: str) -> tuple[str, ...]:
        if (self.folder / name / "state" / "runs" / "r" / "events.jsonl").exists():
            return ("resume", "r")
        return ("run", str(self.folder / name / "batch.json"), "--run-id", "r")

    def strike(self, victim: str) -> bool:
        """Kill, or stop. Whether there was something to kill."""
        if not self.live:
            return False
        runner = self.live[self.rng.choice(sorted(self.live))]
        wardens = children(runner.pid)[:1]
        commands = [pid for warden in wardens for pid in children(warden)]
        if not commands and self.rng.random() < MOSTLY:
            return False
        chosen = {
            "runner": [runner.pid],
            "warden": wardens,
            "both": [*wardens, runner.pid],
            "command": commands[:1],
            "all": self.rng.sample(everything := [runner.pid, *wardens, *commands], len(everything)),
            "stop": [],
        }[victim]
        if victim == "stop":
            runner.send_signal(signal.SIGSTOP)
            time.sleep(self.rng.choice((0.1, 1.0, 3.5)))
            runner.send_signal(signal.SIGCONT)
            return True
        for pid in chosen:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return bool(chosen)

    def run(self, kills: int, victim: str) -> None:
        for name in RUNS:
            self.begin(name, *self._words(name))
        since = time.monotonic()
        chosen = self.rng.choice(VICTIMS) if victim == "any" else victim
        while self.live or self.dead:
            time.sleep(self.rng.uniform(0.02, 0.4))
            self.go_on()
            if kills and self.strike(chosen):
                kills -= 1
                since = time.monotonic()
                self.tally["kills"] += 1
                self.tally[f"of them {chosen}"] += 1
                chosen = self.rng.choice(VICTIMS) if victim == "any" else victim
            if time.monotonic() - since > STUCK_S:
                raise RuntimeError(f"stuck: {sorted(self.live)}")

    def check(self) -> None:
        """What must hold when all have ended."""
        locks, tally = self.folder / "locks", self.tally
        tally["above"] += len((locks / "above").read_text().splitlines()) if (locks / "above").exists() else 0
        tally["attempts"] += len((locks / "begun").read_text().splitlines())
        for name in RUNS:
            words = command(self.folder / name, "show", "r", "--json")
            shown = json.loads(subprocess.run(words, capture_output=True, check=True, env=self.env).stdout)
            states = Counter(item["status"] for item in shown["results"])
            tally["jobs"] += states.total()
            tally["without a success"] += states.total() - states["success"]
            tally["processes left"] += len(of_the_run(self.folder / name, "r"))
        tally["files left"] += len(os.listdir(self.folder / "home" / "joblot" / "limits"))
        tally["rounds"] += 1


GOOD = ("kills", *(f"of them {victim}" for victim in VICTIMS), "rounds", "jobs", "attempts")
BAD = ("above", "runs that failed", "without a success", "processes left", "files left")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--victim", choices=[*VICTIMS, "any"], default="any")
    parser.add_argument("--jobs", type=int, default=20, help="at most so many jobs a run; at least 2")
    parser.add_argument("--per-round", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally: Counter = Counter(dict.fromkeys(BAD, 0))
    began, number = time.monotonic(), 0
    while tally["kills"] < options.kills:
        rng = random.Random(options.seed * 1000 + number)
        folder = Path(tempfile.mkdtemp(prefix="joblot-limits-"))
        try:
            lay_out(folder, rng, max(2, options.jobs))
            a_round = Round(folder, rng, tally)
            a_round.run(min(options.per_round, options.kills - tally["kills"]), options.victim)
            a_round.check()
        except BaseException:
            print(f"seed {options.seed}, round {number}, in {folder}")
            raise
        shutil.rmtree(folder)
        number += 1
    print(", ".join(f"{key} {tally[key]}" for key in GOOD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
