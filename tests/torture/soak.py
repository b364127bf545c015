"""A long life in one process and one state folder: runs of no-op jobs, one after the other, from Python.

By turns inline and through workers. After the first few runs, and after the last, this process is looked at: open descriptors, threads,
child processes, resident memory. Then the journal is opened as `joblot ls` does, and the last run read whole. Prints one line of counts;
exits 1 when descriptors, threads or children have become more, memory has grown by more than GROWTH of itself, a job did not succeed, or
opening takes longer than a second.

    python tests/torture/soak.py --jobs 1000000 --minutes 3 [--per-run 10000]
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from joblot import Batch
from joblot.journal.folder import StateFolder

WARM = 4
"""Runs after which the process has all that it keeps."""
GROWTH = 0.05
OPEN_MOST_S = 1.0


@dataclass(frozen=True)
class Look:
    """What this process holds."""

    descriptors: int
    threads: int
    children: int
    memory_mb: float


def look() -> Look:
    gc.collect()
    children = sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
    memory = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Look(len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), children, memory)


def noop() -> None:
    pass


def one_run(state: Path, number: int, jobs: int) -> int:
    """How many of the jobs succeeded."""
    batch = Batch("soak")
    for job in range(jobs):
        batch.add(f"j{job}", noop)
    report = batch.run(on=("inline", "local")[number % 2], workers=2, state=state)
    return report.counts["success"]


def opened(state: Path) -> tuple[float, float, int]:
    """Seconds to open the journal and list its last runs, to read the last run whole, and how many runs there are."""
    began = time.monotonic()
    folder = StateFolder(state, read_only=True)
    runs = folder.journal.runs(limit=20)
    listed = time.monotonic()
    events = sum(len(record.events) for record in folder.journal.records(runs[0].run_id))
    read = time.monotonic()
    assert events
    count = len(folder.journal.runs())
    folder.close()
    return listed - began, read - listed, count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--per-run", type=int, default=10_000)
    options = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="joblot-soak-"))
    began, runs, done = time.monotonic(), 0, 0
    before = look()
    while runs <= WARM or (done < options.jobs and time.monotonic() - began < 60 * options.minutes):
        done += one_run(state, runs, options.per_run)
        runs += 1
        if runs == WARM:
            before = look()
    after, took = look(), time.monotonic() - began
    opening, reading, listed = opened(state)
    size = sum(path.stat().st_size for path in state.glob("journal.db*")) / 1e6
    shutil.rmtree(state)
    print(
        f"{done} jobs in {runs} runs, {took:.0f} s ({done / took:.0f} a second): descriptors {before.descriptors} to"
        f" {after.descriptors}, threads {before.threads} to {after.threads}, children {before.children} to {after.children},"
        f" memory {before.memory_mb:.1f} to {after.memory_mb:.1f} MB; the journal has {size:.0f} MB and {listed} runs, opens"
        f" in {opening * 1000:.0f} ms, its last run reads in {reading * 1000:.0f} ms"
    )
    flat = all(getattr(after, what) <= getattr(before, what) for what in ("descriptors", "threads", "children"))
    well = flat and after.memory_mb <= before.memory_mb * (1 + GROWTH) and opening < OPEN_MOST_S
    return 0 if well and done == runs * options.per_run and listed == runs else 1


if __name__ == "__main__":
    sys.exit(main())
