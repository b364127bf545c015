"""What joblot itself costs at two commits, measured by turns in one run: no-op jobs, journal on, whole processes.

Both are taken out of the repository into a temporary folder and byte-compiled; the environment is this one. Each case runs `--rounds` times,
old and new by turns and the order changing, so that a busy moment of the machine meets both. Printed: the best CPU seconds of each (user and
system, the whole tree of processes), their ratio, the median ratio of the pairs, and the best wall seconds. Only ratios say something when
the machine has other work as well. With `--instructions` the instructions that all processes carry out are counted instead (valgrind's
callgrind), once a side: that says the same on a busy machine, and takes fifty times as long; kernel time is not in it.

    python benchmarks/before_after.py OLD_REV NEW_REV [--rounds 5] [--jobs 10000] [--large 100000]
    python benchmarks/before_after.py OLD_REV NEW_REV --instructions --jobs 2000 --large 10000
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from measure import PYTHON, Figure, once
from overhead import BATCH

REPOSITORY = Path(__file__).parent.parent
SIDES = ("old", "new")


@dataclass
class Case:
    """One program, and what it took on each side."""

    name: str
    words: list[str]
    rounds: int
    figures: dict[str, list[Figure]] = field(default_factory=lambda: {side: [] for side in SIDES})


def revision(name: str) -> str:
    """The commit's short hash and subject."""
    done = subprocess.run(["git", "log", "-1", "--format=%h %s", name], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"no commit `{name}`: {done.stderr.strip()}")
    return done.stdout.strip()


def take_out(name: str, folder: Path) -> Path:
    """The package as it was at a commit, byte-compiled."""
    packed = subprocess.run(["git", "archive", name, "src"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    compileall.compile_dir(folder, quiet=2)
    return folder / "src"


def cases(folder: Path, jobs: int, large: int, rounds: int) -> list[Case]:
    (folder / "one.json").write_text(json.dumps({"jobs": [{"name": "only", "run": "true"}]}))

    def batch(shape: str, on: str, count: int = jobs) -> list[str]:
        return [PYTHON, "-c", BATCH.format(n=count, shape=shape, on=on)]

    one = [PYTHON, "-m", "joblot", "run", "-q", str(folder / "one.json")]
    return [
        Case(f"{jobs} jobs, inline", batch("independent", "inline"), rounds),
        Case(f"{jobs} jobs, inline, chain", batch("chain", "inline"), rounds),
        Case(f"{jobs} jobs, local -j2", batch("independent", "local"), rounds),
        Case(f"{jobs} jobs, local -j2, chain", batch("chain", "local"), rounds),
        Case("one command, command line, local", one, 3 * rounds),
        Case(f"{large} jobs, inline", batch("independent", "inline", large), max(2, rounds // 2)),
        Case(f"{large} jobs, local -j2", batch("independent", "local", large), max(2, rounds // 2)),
    ]


def measure(case: Case, sources: dict[str, Path], folder: Path) -> None:
    for number in range(case.rounds):
        for side in SIDES if number % 2 else reversed(SIDES):
            state = folder / "state"
            environment = {"PYTHONPATH": str(sources[side]), "JOBLOT_STATE": str(state)}
            case.figures[side].append(once(case.words, env=environment, folder=folder))
            shutil.rmtree(state, ignore_errors=True)


def instructions(words: list[str], source: Path, folder: Path) -> int:
    """What a program and all that it starts carry out, in instructions."""
    counted = folder / "counted"
    counted.mkdir()
    environment = os.environ | {"PYTHONPATH": str(source), "JOBLOT_STATE": str(folder / "state"), "PYTHONHASHSEED": "0"}
    valgrind = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={counted}/%p", *words]
    done = subprocess.run(valgrind, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)[:200]} ended with {done.returncode}: {done.stderr[-500:]}")
    totals = [re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE) for file in counted.iterdir()]
    for made in (counted, folder / "state"):
        shutil.rmtree(made)
    return sum(int(total[1]) for total in totals if total is not None)


def count(cases: list[Case], sources: dict[str, Path], folder: Path) -> None:
    """Print how many million instructions each case takes on both sides, and their ratio."""
    print("| | million instructions, old | new | ratio |\n|---|---|---|---|")
    for case in cases:
        old, new = (instructions(case.words, sources[side], folder) / 1e6 for side in SIDES)
        print(f"| {case.name} | {old:,.0f} | {new:,.0f} | {new / old:.3f} |", flush=True)


def row(case: Case) -> str:
    old, new = (case.figures[side] for side in SIDES)
    cpu = [min(figure.cpu for figure in side) for side in (old, new)]
    wall = [min(figure.wall for figure in side) for side in (old, new)]
    median = statistics.median(after.cpu / before.cpu for before, after in zip(old, new, strict=True))
    return (
        f"| {case.name} | {cpu[0]:.3f} | {cpu[1]:.3f} | {cpu[1] / cpu[0]:.2f} | {median:.2f} | {wall[0]:.3f} | {wall[1]:.3f} |"
        f" {wall[1] / wall[0]:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--instructions", action="store_true")
    options = parser.parse_args()
    print(f"old: {revision(options.old)}\nnew: {revision(options.new)}\n")
    with tempfile.TemporaryDirectory(prefix="joblot-bench-") as name:
        folder = Path(name)
        sources = {
            side: take_out(rev, folder / side) for side, rev in zip(SIDES, (options.old, options.new), strict=True)
        }
        measured = cases(folder, options.jobs, options.large, options.rounds)
        if options.instructions:
            count(measured, sources, folder)
            return
        print(
            "| | CPU s, old | new | ratio | median of pairs | wall s, old | new | ratio |\n|---|---|---|---|---|---|---|---|"
        )
        for case in measured:
            measure(case, sources, folder)
            print(row(case), flush=True)


if __name__ == "__main__":
    main()
