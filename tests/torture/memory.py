"""Memory: how far a job gets past its limit before it is killed, and how large the runner becomes with very many jobs.

A tree of processes allocates as fast as this machine lets it, several times for each limit: one process, and four that share the limit. Each
must end as `oom`; how much was held when it was found to be too much is what joblot says of it. Then twenty jobs that say nothing, each of
which grows as fast as it can to 500 to 900 MiB, under `max_memory`: commands, trees of processes and actions, on this machine and on the workers of
a cluster; every 10 ms somebody else adds up what all their processes hold. At last a run of 100 000 jobs, in a process of its own, on both
executors. Prints one line each; exits 1 when an overshoot is above 10 % and 64 MB, all together held more than 1.15 of `max_memory`, an attempt
ended otherwise, a process is left, or the runner was larger than 150 MB.

    python tests/torture/memory.py [--tries 5] [--limits 256 1024] [--together 2048] [--jobs 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:] = [
    path for path in sys.path if path != str(Path(__file__).parent)
]  # `secrets` there is not the library's, which workers load

from joblot import Batch  # noqa: E402
from joblot.executors import footprint, processes  # noqa: E402

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
TOGETHER_MOST = 1.15
GROW = """
import os, sys, time
most = int(sys.argv[1])
for _ in range(int(sys.argv[2]) - 1):
    if not os.fork():
        break
most //= int(sys.argv[2])
held = bytearray()
while len(held) < most << 20:
    held += bytes(1 << 22)
time.sleep(0.3)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
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


def grow(mib: int) -> int:
    """An action that grows."""
    held = bytearray()
    while len(held) < mib << 20:
        held += bytes(1 << 22)
    time.sleep(0.3)
    return len(held)


def watched(runner: int, writing: int) -> None:
    """Every 10 ms add up what the processes of a run's attempts and wardens hold; on SIGTERM write the most, and how often it was looked."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    most = looks = 0
    while not stop:
        below = set(processes.descendants(runner)) - {os.getpid()}
        agents = [pid for pid in below if "joblot.cluster.agent_process" in command_of(str(pid))]
        if agents:  # Dask's own processes are not the run's
            below = {pid for agent in agents for pid in processes.descendants(agent)}
        most = max(most, footprint.held_bytes(sorted(below), 0) if below else 0)
        looks += 1
        time.sleep(0.01)
    os.write(writing, json.dumps([most, looks]).encode())
    os._exit(0)


def together(kind: str, on: str, limit: int, folder: Path) -> tuple[int, int, int, bool]:
    """The most that twenty jobs held together in bytes, how often it was looked, how many attempts were ended for it, and whether all succeeded."""
    batch, dice = Batch("greedy", folder=folder), random.Random(kind)  # noqa: S311 - sizes
    for number in range(20):
        mib = dice.randint(500, 900) * limit // 2048
        if kind == "actions":
            batch.add(f"j{number}", grow, params={"mib": mib})
        else:
            batch.command(f"j{number}", [sys.executable, "-c", GROW, str(mib), "4" if kind == "trees" else "1"])
    reading, writing = os.pipe()
    runner = os.getpid()
    observer = os.fork()
    if not observer:
        watched(runner, writing)
    report = batch.run(on=on, workers=4, max_memory=limit * MIB, state=False, progress=False)
    os.kill(observer, signal.SIGTERM)
    most, looks = json.loads(os.read(reading, 1000))
    os.waitpid(observer, 0)
    pressed = sum(job.attempts - 1 for job in report.jobs.values())
    return most, looks, pressed, report.status == "success"


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
    parser.add_argument("--together", type=int, default=2048, help="MiB")
    parser.add_argument("--on", nargs="*", default=["local", "dask"], help="where the greedy jobs run")
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory(prefix="joblot-memory-") as name:
        folder = Path(name)
        for processes in (1, 4) if options.limits else ():
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
        for on in options.on:
            for kind in ("commands", "trees", "actions"):
                most, looks, pressed, succeeded = together(kind, on, options.together, folder)
                print(
                    f"20 {kind}, {on}, {options.together} MiB together: {most / MIB:.0f} MiB at most in {looks} looks, {pressed} ended for it"
                    f"{'' if succeeded else ', NOT ALL SUCCEEDED'}",
                    flush=True,
                )
                well = well and succeeded and most <= options.together * TOGETHER_MOST * MIB
        for on in ("inline", "local") if options.jobs else ():
            before, peak = many(options.jobs, on, folder)
            print(
                f"{options.jobs} jobs, {on}: runner {peak / MB:.0f} MB at most, {before / MB:.0f} before it ran",
                flush=True,
            )
            well = well and peak < RUNNER_MOST
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
