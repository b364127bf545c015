"""Two joblots started at the same moment on one run: exactly one drives it, the other is told who does, with exit code 5.

By turns on a new run id (`run --run-id`) and on an interrupted run (`resume`). The winner's jobs run once each.

    python tests/torture/race.py --pairs 200 [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from joblot.config.load import load
from joblot.journal.folder import StateFolder
from joblot.core.plan import expand
from joblot.core.limits import Limits
from joblot.core.runstate import RunState

JOBS = 3
BATCH = {
    "jobs": [{"name": f"j{n}", "run": f"echo {n} >> ran; sleep 1.2", "needs": []} for n in range(JOBS)],
}
TOLD = re.compile(r"error: run `r1` is held by process (\d+) of .+ on .+, since .+ UTC\nhint: .+\n")


def interrupted(folder: Path) -> None:
    """A run that has begun and whose runner is gone."""
    config, _ = load(folder / "batch.json", lookup=lambda _: None, names=list)
    plan = expand(config)
    state = StateFolder(folder / "state")
    state.journal.create("r1", batch="b", source="", jobs=JOBS, plan=plan.encoded, at=time.time())
    hold = state.hold("r1")
    hold.attach(state.journal, "normal", plan=plan.encoded)
    state.journal.append("r1", RunState(plan, Limits(slots=JOBS)).start(0.0, JOBS).events, time.time())
    state.close()
    hold.release()


def one_pair(folder: Path, words: list[str], rng: random.Random, tally: Counter) -> None:
    command = [sys.executable, "-m", "joblot", *words, "--state", str(folder / "state"), "-q", "-j", str(JOBS)]
    pair = []
    for _ in range(2):
        pair.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder))
        time.sleep(rng.choice((0, 0, 0.002, 0.01, 0.03)))
    said = [process.communicate(timeout=60) for process in pair]
    codes = sorted(process.returncode for process in pair)
    tally["pairs"] += 1
    tally[f"{words[0]}: exit codes {codes[0]} and {codes[1]}"] += 1
    tally["not one winner"] += codes.count(0) != 1
    for one, other, (_, err) in zip(pair, reversed(pair), said, strict=True):
        if one.returncode:
            told = TOLD.fullmatch(err)
            if one.returncode != 5 or told is None or int(told[1]) != other.pid:
                tally["loser not told who holds the run"] += 1
                print(f"exit {one.returncode}: {err!r}")
    ran = Counter((folder / "ran").read_text().split())
    tally["jobs that ran twice or not"] += sum(ran[str(n)] != 1 for n in range(JOBS))
    shown = subprocess.run(
        [sys.executable, "-m", "joblot", "show", "r1", "--json", "--state", str(folder / "state")],
        capture_output=True,
        check=True,
    )
    tally["reports that are not a success"] += json.loads(shown.stdout)["status"] != "success"


BAD = (
    "not one winner",
    "loser not told who holds the run",
    "jobs that ran twice or not",
    "reports that are not a success",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, tally = random.Random(options.seed), Counter(dict.fromkeys(BAD, 0))
    began = time.monotonic()
    for number in range(options.pairs):
        folder = Path(tempfile.mkdtemp(prefix="joblot-race-"))
        (folder / "batch.json").write_text(json.dumps(BATCH))
        if number % 2:
            interrupted(folder)
            one_pair(folder, ["resume", "r1"], rng, tally)
        else:
            one_pair(folder, ["run", "batch.json", "--run-id", "r1"], rng, tally)
        shutil.rmtree(folder)
    print(", ".join(f"{key} {count}" for key, count in sorted(tally.items()) if key not in BAD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
