"""How far a job gets past its memory limit, what watching costs, and what happens to a job that prints gigabytes.

python benchmarks/memory.py [--rounds 5] [--gigabytes 5]
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from joblot import Batch

MIB = 2**20
PYTHON = "b = []\nwhile True: b.append(bytearray(b'x') * (1 << 24))"
C = """
#include <stdlib.h>
#include <string.h>
int main(void) { for (;;) { char *p = aligned_alloc(1 << 21, 64 << 20); memset(p, 1, 64 << 20); } }
"""


def program(folder: Path) -> list[str]:
    """The fastest allocator that this machine can make: C when there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return [sys.executable, "-c", PYTHON]
    (folder / "hog.c").write_text(C)
    subprocess.run([compiler, "-O2", "-o", str(folder / "hog"), str(folder / "hog.c")], check=True)
    return [str(folder / "hog")]


def speed(words: list[str]) -> float:
    """Bytes a second that the program takes when nobody stops it."""
    process = subprocess.Popen(words)
    time.sleep(0.3)
    held, began = _resident(process.pid), time.monotonic()
    time.sleep(0.3)
    rate = (_resident(process.pid) - held) / (time.monotonic() - began)
    process.kill()
    process.wait()
    return rate


def overshoot(words: list[str], limit: int, rounds: int) -> list[int]:
    """What was held in MiB when it was found to be too much, for each round."""
    batch = Batch("hogs")
    for number in range(rounds):
        batch.command(f"hog{number}", words, resources={"memory": limit * MIB})
    report = batch.run(workers=1, state=False)
    return sorted(int(re.findall(r"[0-9]+", job.message)[0]) for job in report.jobs.values())


def watching(limit: int | None) -> float:
    """CPU seconds a second of this process and the warden while one job sleeps."""
    batch = Batch("sleeper")
    batch.command("sleep", "sleep 3", resources={} if limit is None else {"memory": limit * MIB})
    before = _cpu()
    batch.run(workers=1, state=False)
    return (_cpu() - before) / 3


def flood(words: str, size: int) -> tuple[float, int, int, int]:
    """Seconds, most bytes on the disk while it ran, bytes of the log, and growth of this process in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="joblot-flood-"))
    most, done = 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.01):
            for path in (folder / "state").rglob("*.log"):
                try:
                    most = max(most, path.stat().st_blocks * 512)
                except OSError:
                    continue

    batch = Batch("flood")
    batch.command("warm", "true")
    batch.run(workers=1, state=folder / "state")
    batch = Batch("flood")
    batch.command("flood", words.format(size=size))
    watcher = threading.Thread(target=look)
    watcher.start()
    held = _resident(os.getpid())
    report = batch.run(workers=1, state=folder / "state")
    grown = _resident(os.getpid()) - held
    done.set()
    watcher.join()
    job = report.jobs["flood"]
    log = Path(job.log).stat().st_size
    shutil.rmtree(folder)
    return job.duration_ms / 1000, most, log, grown


def plain(words: str, size: int) -> float:
    """Seconds that the same takes into a file, without joblot."""
    with tempfile.NamedTemporaryFile(prefix="joblot-flood-") as file:
        began = time.monotonic()
        subprocess.run(words.format(size=size), shell=True, stdout=file, check=True)
        return time.monotonic() - began


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = program(Path(folder))
        print(f"allocator: {speed(words) / 1e9:.1f} GB/s")
        for limit in (64, 512, 2048):
            held = overshoot(words, limit, options.rounds)
            allowed = limit * 1.1 + 64e6 / MIB
            print(f"limit {limit:5} MiB: caught at {held} MiB (goal: at most {allowed:.0f})")
    print(f"a sleeping job costs {watching(None) * 1000:.1f} ms CPU a second, with a limit {watching(512) * 1000:.1f}")
    size = int(options.gigabytes * 1e9)
    for words in ("head -c {size} /dev/zero", "yes 0123456789012345678901234567890123456789 | head -c {size}"):
        seconds, most, log, grown = flood(words, size)
        bare = plain(words, size)
        print(
            f"`{words.format(size=size)}`: {size / seconds / 1e6:.0f} MB/s (into a plain file {size / bare / 1e6:.0f}),"
            f" at most {most / MIB:.0f} MiB on the disk, log {log / MIB:.1f} MiB, runner grew {grown / MIB:.1f} MiB"
        )


if __name__ == "__main__":
    main()
