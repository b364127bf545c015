"""Memory: how far a job gets past its limit before it is killed, and how large the runner becomes with very many jobs.

A tree of processes allocates as fast as this machine lets it, several times for each limit: one process, and four that share the limit. Each
must end as `oom`; how much was held when it was found to be too much is what joblot says of it. Then a run of 100 000 jobs, in a process of
its own, on both executors. Prints one line each; exits 1 when an overshoot is above 10 % and 64 MB, an attempt ended otherwise, a process
is left, or the runner was larger than 150 MB.

    python tests/torture/memory.py [--tries 5] [--limits 256 1024] [--jobs 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from joblot import Batch

MB, MIB = 10**6, 2**20
RUNNER_MOST = 150 * MB
HOG = "import mmap\nheld = []\nwhile True:\n    m = mmap.mmap(-1, 1 << 26)\n    held.append(m)\n    m[:] = filler"
PYTHON = f"filler = bytes(1 << 26)\n{HOG}"
C = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int n = argc > 1 ? atoi(argv[1]) : 1; n > 1; n--) if (fork() == 0) break;
    for (;;) { char *p = aligned_alloc(1 << 21, 1 << 26); memset(p, 1, 1 << 26); }
}
"""
MANY = """
import json, resource, sys, tempfile
from joblot import Batch
batch = Batch("many")
for number in range({jobs}):
    batch.add(f"j{{number}}", noop)
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with tempfile.TemporaryDirectory(prefix="joblot-memory-") as state:
    report = batch.run(on="{on}", workers=2, state=state)
assert report.counts["success"] == {jobs}
print(json.dumps([held * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def allocator(folder: Path, processes: int) -> list[str]:
    """The fastest that this machine can make: C when there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        forks = "import os\n" + f"for _ in range({processes - 1}):\n    if not os.fork(): break\n"
        return [sys.executable, "-c", forks + PYTHON]
    if not (folder / "hog").exists():
        (folder / "hog.c").write_text(C)
        subprocess.run([compiler, "-O2", "-o", str(folder / "hog"), str(folder / "hog.c")], check=True)
    return [str(folder / "hog"), str(processes)]


def speed(words: list[str]) -> float:
    """Bytes a second that the tree takes when nobody stops it, for a quarter of a second."""
    process = subprocess.Popen(words, start_new_session=True)
    time.sleep(0.1)
    began, first = time.monotonic(), held_by(process.pid)
    time.sleep(0.25)
    rate = (held_by(process.pid) - first) / (time.monotonic() - began)
    os.killpg(process.pid, 9)
    process.wait()
    return rate


def held_by(session: int) -> int:
    """Resident bytes of all processes of a session."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.getsid(int(entry)) == session:
                    total += int(Path(f"/proc/{entry}/statm").read_text().split()[1])
            except OSError:
                continue
    return total * os.sysconf("SC_PAGE_SIZE")


def overshoot(words: list[str], limit: int, tries: int, folder: Path) -> tuple[list[int], bool]:
    """MiB held when it was found to be too much, for each try; and whether each was killed for it, with nothing left."""
    batch = Batch("hogs", folder=folder)
    for number in range(tries):
        batch.command(f"hog{number}", words, resources={"memory": limit * MIB})
    report = batch.run(workers=1, state=False)
    caught = [int(re.findall(r"[0-9]+", job.message)[0]) for job in report.jobs.values() if job.reason == "oom"]
    left = [entry for entry in os.listdir("/proc") if entry.isdigit() and command_of(entry) == words[: len(words)]]
    return sorted(caught), len(caught) == tries and not left


def command_of(entry: str) -> list[str]:
    try:
        return Path(f"/proc/{entry}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def many(jobs: int, on: str, folder: Path) -> tuple[int, int]:
    """Peak resident bytes of the runner before the run, and in all."""
    program = folder / "many.py"
    program.write_text("def noop(): pass\n" + MANY.format(jobs=jobs, on=on))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, check=True)
    before, peak = json.loads(done.stdout.splitlines()[-1])
    return before, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--limits", type=int, nargs="*", default=[256, 1024], help="MiB")
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory(prefix="joblot-memory-") as name:
        folder = Path(name)
        for processes in (1, 4):
            words = allocator(folder, processes)
            print(f"{processes} allocating: {speed(words) / 1e9:.1f} GB/s", flush=True)
            for limit in options.limits:
                caught, killed = overshoot(words, limit, options.tries, folder)
                allowed = limit * 1.1 + 64 * MB / MIB
                most = max(caught, default=0)
                print(
                    f"  limit {limit} MiB, {options.tries} tries: caught at {caught} MiB, at most {most - limit} over"
                    f" (allowed {allowed - limit:.0f}){'' if killed else ', NOT ALL ENDED BY IT'}",
                    flush=True,
                )
                well = well and killed and most <= allowed
        for on in ("inline", "local"):
            before, peak = many(options.jobs, on, folder)
            print(
                f"{options.jobs} jobs, {on}: runner {peak / MB:.0f} MB at most, {before / MB:.0f} before it ran",
                flush=True,
            )
            well = well and peak < RUNNER_MOST
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
