"""What the jobs of a plan took in the last runs of the same batch, and what they are expected to take in the next one. A guess."""

from __future__ import annotations

import os
from array import array
from heapq import nlargest
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from joblot.core import graph
from joblot.core.limits import Limits
from joblot.core.predict import Prediction, predict
from joblot.errors import StateError
from joblot.files import open_own
from joblot.journal.folder import past_runs
from joblot.reports.peaks import Count, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from joblot.core.fusing import Rules
    from joblot.core.plan import Plan
    from joblot.journal.folder import StateFolder

_UNKNOWN: Final = -1.0
_JOB: Final = b'    {"job":'
"""How the line of a job begins in a report."""
_WORKERS: Final = b'  "workers": '
_ELSEWHERE: Final = b'  "on": '
_LOOK_BACK: Final = 200
"""So many runs are looked through for those of the same batch."""
_RUNS: Final = 5
"""So many runs are asked."""
_MOST_BYTES: Final = 2**26
"""Of reports that are larger together only the newest are read."""
_PLAYED: Final = 20_000
"""Larger plans are not played: for these the work divided by the workers says as much, in no time."""
_CROWDED: Final = 0.7
"""A job waited for a processor if it used more of one than this part of its share, where more jobs ran at once than there are processors."""


class _ReportedJob(msgspec.Struct):
    job: str
    status: str
    duration_ms: Count
    bundle: Count = 1
    cpu_s: float = 0.0
    peak_bytes: Count = 0


class Past:
    """What one run says of a plan's jobs, by number: seconds (`_UNKNOWN` for those it did not have), CPU seconds, bytes.

    `workers` is how many ran at once (0: not known), `here` whether that was on one machine, `known` how many jobs it had,
    `failed` those that it had and that failed.
    """

    def __init__(self, run_id: str, jobs: int) -> None:
        self.run_id = run_id
        self.took = array("d", [_UNKNOWN]) * jobs
        self.cpu = array("d", bytes(8 * jobs))
        self.sizes = array("Q", bytes(8 * jobs))
        self.bundles: dict[int, int] = {}
        """By job, with how many it was run as one; only those that were."""
        self.failed: list[int] = []
        self.workers = 0
        self.here = True
        self.known = 0


class Expected(NamedTuple):
    """What each job of a plan is expected to take, by number: seconds, CPU seconds, bytes. All 0 for jobs that are done."""

    took: array[float]
    cpu: array[float]
    sizes: array[int]

    def path(self, plan: Plan) -> list[int]:
        """The chain of needs that takes the longest."""
        if plan.needs.partners:
            return graph.critical_path(plan.needs, plan.dependents, self.took)
        return [self.took.index(max(self.took))]


class History:
    """The last runs of a plan's batch, newest first."""

    def __init__(self, plan: Plan, pasts: Sequence[Past]) -> None:
        self._plan = plan
        self._all = pasts
        self._pasts = [past for past in pasts if past.known]
        self._known = bytearray(len(plan))
        for past in self._pasts:
            for job, seconds in enumerate(past.took):
                if seconds >= 0:
                    self._known[job] = 1

    def __bool__(self) -> bool:
        return bool(self._pasts)

    def known(self, left_out: Collection[int] = ()) -> int:
        """How many jobs have succeeded in one of the runs, those in `left_out` aside."""
        return sum(self._known) - sum(self._known[job] for job in left_out)

    def failed(self) -> set[int]:
        """The jobs that failed when last one of the runs had them to their end."""
        failed: set[int] = set()
        for past in reversed(self._all):
            failed = {job for job in failed if past.took[job] < 0}.union(past.failed)
        return failed

    def runs(self) -> list[str]:
        """The ids of the runs."""
        return [past.run_id for past in self._pasts]

    def expected(self, workers: int, done: Collection[int] = (), *, fused: bool = True) -> Expected:
        """What each job is expected to take when so many run at once; those in `done` take nothing.

        It is the median of the runs that had as many at once, else of those that had the fewest. A job that is in none of them is like the
        average of its fan-out, or of all. `fused` says whether jobs are run as one: else each takes its part.
        """
        plan, jobs = self._plan, len(self._plan)
        took, cpu, sizes = array("d", [_UNKNOWN]) * jobs, array("d", bytes(8 * jobs)), array("Q", bytes(8 * jobs))
        groups: dict[tuple[bool, int], list[Past]] = {}
        for past in self._pasts:
            groups.setdefault((past.workers != workers, past.workers), []).append(past)
        for key in sorted(groups):
            for job in range(jobs):
                if took[job] >= 0 or not self._known[job]:
                    continue
                having = [past for past in groups[key] if past.took[job] >= 0]
                if having:
                    took[job] = median([_seconds(past, job, workers, fused=fused) for past in having])
                    cpu[job] = median([past.cpu[job] for past in having])
                    sizes[job] = max(past.sizes[job] for past in having)
        for numbers in (*_fans(plan), range(jobs)):
            _fill(took, cpu, sizes, numbers)
        for job in done:
            took[job], cpu[job], sizes[job] = 0.0, 0.0, 0
        return Expected(took, cpu, sizes)

    def predict(
        self, workers: int, expected: Expected, *, done: Collection[int] = (), fuse_rules: Rules | None = None
    ) -> Prediction:
        """How long a run without the jobs in `done` takes with so many at once, and how much memory at once."""
        plan = self._plan
        if len(plan) <= _PLAYED:
            limits = Limits(slots=workers, named=plan.limits)
            played = predict(plan, limits, expected.took, expected.sizes, left_out=done, fuse_rules=fuse_rules)
        else:
            # None beats the longer of the two, and none that leaves no worker idle exceeds their sum (Graham 1966).
            path_s = sum(expected.took[job] for job in expected.path(plan))
            fused = self._pasts[0].bundles if fuse_rules else {}
            work_s = sum(expected.took) - sum(expected.took[job] * (1 - 1 / size) for job, size in fused.items())
            played = Prediction(max(path_s, work_s / workers), sum(nlargest(workers, expected.sizes)))
        if not all(past.here for past in self._pasts):
            return played
        return Prediction(max(played.total_s, sum(expected.cpu) / processors()), played.peak_bytes)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _seconds(past: Past, job: int, workers: int, *, fused: bool) -> float:
    """What a job is expected to take with so many at once, from what it took in a run."""
    took, cpu, crowd = past.took[job], past.cpu[job], past.workers / processors()
    if past.workers != workers and past.here and crowd > 1 and cpu * crowd > _CROWDED * took:
        took = cpu  # it took longer only because others had the processors, which `predict` sees to
    return took if fused else took / past.bundles.get(job, 1)


def median(values: Sequence[float]) -> float:
    """The one in the middle, of two the lower; the module `statistics` takes long to load."""
    return sorted(values)[(len(values) - 1) // 2]


def _fans(plan: Plan) -> Iterator[range]:
    return (numbers for _, numbers in plan.fan_outs)


def _fill(took: array[float], cpu: array[float], sizes: array[int], jobs: range) -> None:
    """Take those of the jobs that are not known to be like the average of the others; for memory like the largest."""
    known = [job for job in jobs if took[job] >= 0]
    if not known or len(known) == len(jobs):
        return
    average = sum(took[job] for job in known) / len(known)
    average_cpu = sum(cpu[job] for job in known) / len(known)
    largest = max(sizes[job] for job in known)
    for job in jobs:
        if took[job] < 0:
            took[job], cpu[job], sizes[job] = average, average_cpu, largest


def read(
    plan: Plan,
    state: str | Path | None,
    warn: Callable[[StateError], None] = lambda _: None,
    *,
    most_bytes: int = _MOST_BYTES,
) -> History:
    """What is known of the last runs of a batch of that name. `warn` is told of runs that cannot be read."""
    with past_runs(state, needed=False) as folder:
        return History(plan, list(_pasts(plan, folder, warn, most_bytes)) if folder is not None else [])


def _pasts(plan: Plan, folder: StateFolder, warn: Callable[[StateError], None], most_bytes: int) -> Iterator[Past]:
    read_bytes = found = 0
    for run in folder.runs(warn, limit=_LOOK_BACK):
        if run.batch != plan.config.name:
            continue
        report = folder.run_folder(run.run_id).report
        try:
            read_bytes += report.stat().st_size
        except OSError:  # the run has not ended
            continue
        if read_bytes > most_bytes and (found or most_bytes < _MOST_BYTES):
            return
        past = _read(plan, run.run_id, report, warn)
        if past is not None and (past.known or past.failed):
            if run.source != plan.config.source:
                past.failed = []  # what another batch of that name takes is a guess at this one; how it ended is none
            yield past
            found += past.known > 0
            if found == _RUNS:
                return


def _read(plan: Plan, run_id: str, report: Path, warn: Callable[[StateError], None]) -> Past | None:
    """What a report says of the plan's jobs. It is read line by line, each job being one, for it may be large."""
    decode = msgspec.json.Decoder(_ReportedJob).decode
    past = Past(run_id, len(plan))
    line = b""
    try:
        with os.fdopen(open_own(report), "rb") as file:
            for line in file:
                if line.startswith(_JOB):
                    reported = decode(line.rstrip().removesuffix(b","))
                    job = plan.find(reported.job)
                    if job is not None and reported.status == "failed":
                        past.failed.append(job)
                    elif job is not None and reported.status == "success":
                        past.took[job] = reported.duration_ms / 1000
                        past.cpu[job], past.sizes[job] = reported.cpu_s, reported.peak_bytes
                        if reported.bundle > 1:
                            past.bundles[job] = reported.bundle
                        past.known += 1
                elif line.startswith(_WORKERS):
                    past.workers = msgspec.json.decode(line[len(_WORKERS) :].rstrip().removesuffix(b","), type=Count)
                elif line.startswith(_ELSEWHERE):
                    past.here = b'"local"' in line or b'"inline"' in line
        if not line.rstrip().endswith(b"}"):
            raise msgspec.DecodeError("Input data was truncated")
    except FileNotFoundError:  # the run has not ended
        return None
    except (OSError, StateError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        warn(unreadable(report, error))
        return None
    return past
