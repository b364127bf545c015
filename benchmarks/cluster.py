"""What joblot adds to Dask: no-op jobs through joblot, and the same function through a bare `client.submit`, on the same cluster.

    python benchmarks/cluster.py [--jobs 2000] [--many 20000] [--workers 2] [--rounds 3]

The cluster is of separate processes on this machine, with a thread in each worker. A run's time is that from its first record to its last,
journal and all; what connecting and beginning the agents takes is printed beside it. CPU is that of all processes together, within the same
span. Rounds take turns, and each is the ratio of two runs that followed each other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dask_cluster import DaskProcesses, children
from joblot import Batch


class Took(NamedTuple):
    wall_s: float
    cpu_s: float
    runner_s: float = 0.0
    scheduler_s: float = 0.0
    around_s: float = 0.0
    """Before the first record and after the last."""


def noop():
    return None


class Meter:
    """Processor time of the cluster and this process; an observer of a run, which is when to look."""

    def __init__(self, cluster: DaskProcesses) -> None:
        self._cluster = cluster
        self.took = Took(0.0, 0.0)

    def _now(self) -> tuple[float, float, float, float]:
        roots = [self._cluster.scheduler.pid, *(worker.pid for worker in self._cluster.workers)]
        return time.perf_counter(), time.process_time() + sum(map(tree_s, roots)), time.process_time(), tree_s(roots[0])

    def begin(self) -> None:
        self._began = self._now()

    def end(self) -> None:
        self.took = Took(*(now - then for now, then in zip(self._now(), self._began, strict=True)))

    def started(self, *_) -> None:
        self.begin()

    def recorded(self, *_) -> None: ...
    def idle(self) -> None: ...
    def warned(self, *_) -> None: ...

    def ended(self, *_) -> None:
        self.end()


def tree_s(pid: int) -> float:
    """Seconds of processor time of a process, of what it has waited for, and of all below it that live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(tree_s, children(pid)))


def bare(cluster: DaskProcesses, count: int) -> Took:
    """Submit, then gather."""
    from distributed import Client

    meter = Meter(cluster)
    with Client(cluster.address, set_as_default=False) as client:
        client.submit(noop, pure=False).result()
        meter.begin()
        futures = [client.submit(noop, pure=False) for _ in range(count)]
        client.gather(futures)
        meter.end()
    return meter.took


def through_joblot(cluster: DaskProcesses, count: int, settings: Path) -> Took:
    meter = Meter(cluster)
    batch = Batch("noop")
    for number in range(count):
        batch.add(f"j{number}", noop)
    with tempfile.TemporaryDirectory() as state:
        began = time.perf_counter()
        report = batch.run(on=cluster.address, cluster=settings, state=state, observers=[meter])
        whole = time.perf_counter() - began
    assert report.counts["success"] == count, report.counts
    return meter.took._replace(around_s=whole - meter.took.wall_s)


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
    single, batched = settings(folder, options.workers, 1), settings(folder, options.workers, 256)
    through_joblot(cluster, 10, batched)  # the first of all pays for imports
    took: dict[str, list[Took]] = {"bare": [], "one a task": [], "batched": []}
    for _ in range(options.rounds):
        took["bare"].append(bare(cluster, options.jobs))
        took["one a task"].append(through_joblot(cluster, options.jobs, single))
        took["batched"].append(through_joblot(cluster, options.jobs, batched))
    print(f"{options.jobs} no-op jobs on {options.workers} workers; each figure the median of {options.rounds} rounds")
    print("| | wall s | CPU s | of bare, wall | of bare, CPU |\n|---|---|---|---|---|")
    for what, rounds in took.items():
        pairs = list(zip(rounds, took["bare"], strict=True))
        figures = (
            middle(one.wall_s for one in rounds),
            middle(one.cpu_s for one in rounds),
            middle(one.wall_s / base.wall_s for one, base in pairs),
            middle(one.cpu_s / base.cpu_s for one, base in pairs),
        )
        print(f"| {what} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")
    print(f"connecting, beginning the agents and leaving: {middle(one.around_s for one in took['batched']):.2f} s")
    shares("one a task", took["one a task"][-1], options.jobs)
    shares(f"batched, {options.many} jobs", through_joblot(cluster, options.many, batched), options.many)


def middle(figures) -> float:
    return statistics.median(list(figures))


def shares(what: str, took: Took, count: int) -> None:
    """Microseconds for a job."""
    wall, cpu, runner, scheduler = (seconds / count * 1e6 for seconds in took[:4])
    print(
        f"{what}: {wall:.0f} us wall a job, {cpu:.0f} CPU; of these {runner:.0f} in the runner, {scheduler:.0f} in Dask's scheduler"
    )


if __name__ == "__main__":
    main()
