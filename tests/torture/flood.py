"""A command prints gigabytes to its standard output: how fast, how much of it is kept, and what it costs the runner.

The same bytes go through `cat` into a plain file, before and after, for comparison. The flood is all zero bytes (one line without an end),
then lines of text. Checked: the runner's resident memory grows by less than 10 MB, the log is as large as its cap (and the line that says
what was left out), head and tail of the log are the first and the last bytes printed, and the disk never holds much more than the cap.
Prints one line a flood; exits 1 when something is not so.

    python tests/torture/flood.py --gb 5 [--cap-mb 64]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from joblot import Batch

MB = 10**6
GROWTH_MOST = 10 * MB
NOTE_MOST = 1000
"""Bytes that the line about what was left out may have."""
ENDS = 4096
FLOODS = {
    "zeros": "head -c {size} /dev/zero",
    "lines": "yes 'the quick brown fox jumps over the lazy dog 0123456789' | head -c {size}",
}


class Watch(threading.Thread):
    """Looks, a hundred times a second, at this process's resident memory and at what the state folder takes on the disk."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.state = state
        self.memory = self.disk = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.01):
            self.memory = max(self.memory, resident())
            self.disk = max(self.disk, sum(blocks(path) for path in self.state.rglob("*")))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def blocks(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_blocks * 512 // found.st_nlink


def plain(words: str, folder: Path) -> float:
    """Seconds until `cat` has it in a file."""
    target = folder / "plain"
    began = time.monotonic()
    subprocess.run(f"{words} | cat > {target}", shell=True, check=True)
    took = time.monotonic() - began
    target.unlink()
    return took


def flood(name: str, size: int, cap: int, folder: Path) -> bool:
    """Whether all is well."""
    words = FLOODS[name].format(size=size)
    state = folder / "state"
    warm = Batch("warm")
    warm.command("warm", "true")
    warm.run(workers=1, state=state, max_log=cap)
    first = plain(words, folder)
    batch = Batch("flood")
    batch.command("flood", words)
    watch = Watch(state)
    before = resident()
    watch.start()
    report = batch.run(workers=1, state=state, max_log=cap)
    watch.done.set()
    watch.join()
    second = plain(words, folder)
    job = report.jobs["flood"]
    took = job.duration_ms / 1000
    log = Path(job.log)
    kept, whole = log.stat().st_size, ends_are_right(log, words, size)
    shutil.rmtree(state)
    grown = max(watch.memory - before, 0)
    print(
        f"{name}, {size / 1e9:g} GB: {size / took / MB:.0f} MB/s, `cat` into a file {size / first / MB:.0f} before and"
        f" {size / second / MB:.0f} after; the runner grew {grown / MB:.1f} MB, log {kept / MB:.1f} MB,"
        f" most on the disk {watch.disk / MB:.0f} MB, head and tail {'right' if whole else 'wrong'}",
        flush=True,
    )
    return job.state == "success" and grown < GROWTH_MOST and kept <= cap + NOTE_MOST and whole


def ends_are_right(log: Path, words: str, size: int) -> bool:
    """Whether the log begins and ends with what was printed first and last."""
    source = words.partition("|")[0].replace(f"head -c {size}", "cat")
    with log.open("rb") as file:
        head = file.read(ENDS)
        file.seek(-ENDS, os.SEEK_END)
        tail = file.read()
    printed = subprocess.run(f"{source} | head -c {ENDS * 4}", shell=True, capture_output=True, check=True).stdout
    period = printed.index(b"\n") + 1 if b"\n" in printed else 1
    turn = (size - ENDS) % period
    return head == printed[:ENDS] and tail == printed[turn : turn + ENDS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=5)
    parser.add_argument("--cap-mb", type=float, default=64)
    parser.add_argument("--floods", nargs="*", choices=list(FLOODS), default=list(FLOODS))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="joblot-flood-"))
    well = [flood(name, int(options.gb * 1e9), int(options.cap_mb * MB), folder) for name in options.floods]
    shutil.rmtree(folder)
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
