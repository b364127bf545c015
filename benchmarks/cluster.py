"""What joblot adds to Dask: no-op jobs through joblot, and the same function through a bare `client.submit`, on the same cluster.

    python benchmarks/cluster.py [--jobs 2000] [--many 20000] [--workers 2] [--rounds 3]

The cluster is of separate processes on this machine, with a thread in each worker. A run's time is that of its report, from its first
record to its last, journal and all; what connecting and beginning the sites takes is printed beside it. Rounds take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dask_cluster import DaskProcesses
from joblot import Batch


def noop():
    return None


def bare(address: str, count: int) -> float:
    """Submit, then gather."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.submit(noop, pure=False).result()
        began = time.perf_counter()
        futures = [client.submit(noop, pure=False) for _ in range(count)]
        client.gather(futures)
        return time.perf_counter() - began


def through_joblot(address: str, count: int, settings: Path) -> tuple[float, float]:
    """The run's own time, and what came before and after it."""
    batch = Batch("noop")
    for number in range(count):
        batch.add(f"j{number}", noop)
    with tempfile.TemporaryDirectory() as state:
        began = time.perf_counter()
        report = batch.run(on=address, cluster=settings, state=state)
        whole = time.perf_counter() - began
    assert report.counts["success"] == count, report.counts
    return report.duration_ms / 1000, whole - report.duration_ms / 1000


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(what: str, address: str, scheduler: int, count: int, file: Path) -> None:
    """What the runner and the scheduler take of the processor for a job."""
    runner, there = time.process_time(), cpu_s(scheduler)
    through_joblot(address, count, file)
    runner, there = time.process_time() - runner, cpu_s(scheduler) - there
    print(f"  {what}: the runner {runner / count * 1e6:.0f} us a job, the scheduler {there / count * 1e6:.0f} us a job")


def settings(folder: Path, workers: int, jobs_per_task: int) -> Path:
    path = folder / f"cluster-{jobs_per_task}.yaml"
    path.write_text(f"min_workers: {workers}\njobs_per_task: {jobs_per_task}\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = DaskProcesses(folder, workers=options.workers)
        os.chdir(folder)
        try:
            measure(cluster, folder, options)
        finally:
            cluster.close()


def measure(cluster: DaskProcesses, folder: Path, options: argparse.Namespace) -> None:
    address = cluster.address
    single, batched = settings(folder, options.workers, 1), settings(folder, options.workers, 256)
    through_joblot(address, 10, batched)  # the first of all pays for imports
    took: dict[str, list[float]] = {"bare": [], "one a task": [], "batched": []}
    around = []
    for _ in range(options.rounds):
        took["bare"].append(bare(address, options.jobs))
        took["one a task"].append(through_joblot(address, options.jobs, single)[0])
        own, rest = through_joblot(address, options.jobs, batched)
        took["batched"].append(own)
        around.append(rest)
    print(f"{options.jobs} no-op jobs on {options.workers} workers, {options.rounds} rounds, median (least to most)")
    base = statistics.median(took["bare"])
    for what, times in took.items():
        median = statistics.median(times)
        print(
            f"  {what:12} {median:7.3f} s ({min(times):.3f} to {max(times):.3f}), {median / options.jobs * 1e6:6.0f} us a job,"
            f" {median / base:5.2f} times bare"
        )
    print(f"  to connect, begin the sites and leave: {statistics.median(around):.2f} s")
    own, _ = through_joblot(address, options.many, batched)
    print(f"{options.many} no-op jobs, batched: {own:.3f} s, {own / options.many * 1e6:.0f} us a job")
    print("processor time, connecting and leaving included")
    shares("one a task", address, cluster.scheduler.pid, options.jobs, single)
    shares("batched", address, cluster.scheduler.pid, options.many, batched)


if __name__ == "__main__":
    main()
