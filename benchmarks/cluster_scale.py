"""What one engine and one journal carry of a large cluster: real decisions, records and placements, simulated workers and time.

    python benchmarks/cluster_scale.py [--workers 10000] [--jobs 10000000] [--seconds 30] [--largest-task 256]

The state machine decides, events are encoded and written to a file as the run's own file is, and each parcel is placed by the same
bookkeeping as on a real cluster. Workers are simulated: an attempt takes `--seconds`, more or less, and news travels for 20 ms. Time is the
simulation's; what is printed is the processor time that the engine's side took, and how much of the cluster that would keep busy.
"""

from __future__ import annotations

import argparse
import heapq
import random
import resource
import tempfile
import time
from pathlib import Path

import joblot
from joblot.cluster.fleet import PLAIN, Fleet, RemoteAgent
from joblot.core.limits import Limits
from joblot.core.model import Outcome
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.journal.codec import encode_events

NEWS_S = 0.02
GATHER_S = 0.01
"""News that comes within so much is one decision, as it is in the engine while it is busy."""
BATCH = """
name: scale
vars:
  a: {{type: list, default: {first}}}
  b: {{type: list, default: {second}}}
jobs:
  - name: n-${{{{ matrix.a }}}}-${{{{ matrix.b }}}}
    run: "true"
    matrix: {{a: "${{{{ vars.a }}}}", b: "${{{{ vars.b }}}}"}}
"""


class World:
    """Workers that take parcels and tell of their ends."""

    def __init__(self, workers: int, threads: int, seconds: float) -> None:
        self.fleet = Fleet(None)
        for number in range(workers):
            self.fleet.add(RemoteAgent(f"tls://w{number}:1", f"s{number}", threads, {}))
        self.now = 0.0
        self._dice = random.Random(1)
        self._seconds = seconds
        self._due: list[tuple[float, int, RemoteAgent, list[int]]] = []
        self._parcels = 0
        self._waiting: list[int] = []
        self.busy_s = 0.0

    def start(self, jobs: list[int], size: int) -> None:
        """Place attempts, `size` in a parcel."""
        self._waiting += jobs
        placed = 0
        while placed < len(self._waiting) and (agent := self.fleet.room(PLAIN)) is not None:
            parcel = self._waiting[placed : placed + size]
            placed += len(parcel)
            self._parcels += 1
            self.fleet.take(agent, self._parcels, PLAIN)
            took = sum(self._seconds * self._dice.uniform(0.5, 1.5) for _ in parcel)
            self.busy_s += took
            heapq.heappush(self._due, (self.now + took + 2 * NEWS_S, self._parcels, agent, parcel))
        del self._waiting[:placed]

    def wait(self) -> list[int]:
        """The jobs that end next, and those that end at about the same time."""
        self.now = max(self.now, self._due[0][0]) + GATHER_S
        ended: list[int] = []
        while self._due and self._due[0][0] <= self.now:
            _, number, agent, parcel = heapq.heappop(self._due)
            self.fleet.give_back(agent, number)
            ended += parcel
        return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--largest-task", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))


def run(options: argparse.Namespace, folder: Path) -> None:
    began = time.process_time()
    first = max(1, options.jobs // 1000)
    file = folder / "batch.yaml"
    file.write_text(BATCH.format(first=list(range(first)), second=list(range(options.jobs // first))))
    plan = expand(joblot.load(file))
    planned = time.process_time()
    print(f"{len(plan)} jobs planned: {planned - began:.1f} s CPU, {peak_mib()} MiB", flush=True)
    world = World(options.workers, options.threads, options.seconds)
    size = 1 if options.seconds >= 0.05 else max(1, min(options.largest_task, int(0.1 / max(options.seconds, 1e-4))))
    state = RunState(plan, Limits(slots=world.fleet.slots))
    capacity = world.fleet.slots * size
    decision = state.start(0.0, capacity)
    written = decisions = 0
    with (folder / "events.jsonl").open("wb") as journal:
        while True:
            decisions += 1
            written += journal.write(encode_events(decision.events) + b"\n")
            journal.flush()
            if state.ended:
                break
            world.start(decision.starts, size)
            outcomes = [Outcome(job, 1, "ok", world.now, options.seconds) for job in world.wait()]
            decision = state.attempts_ended(outcomes, world.now, capacity)
    took = time.process_time() - planned
    assert state.status == "success"
    slots = world.fleet.slots
    print(f"{slots} places, {options.seconds:g} s a job, {size} in a task: the cluster needs {world.now:.0f} s")
    print(
        f"engine: {took:.1f} s CPU ({took / len(plan) * 1e6:.1f} us a job, {took / world.now * 100:.1f} % of one processor for that long),"
        f" {decisions} decisions, {written / 2**20:.0f} MiB of events, {peak_mib()} MiB of memory"
    )
    print(f"places in use, of all the time: {world.busy_s / (slots * world.now) * 100:.1f} %")


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
