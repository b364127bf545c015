"""How long a plan may take, from how long its jobs took in the last run of the same batch. A guess, and labelled as one."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from joblot.core import graph
from joblot.errors import StateError
from joblot.files import open_own
from joblot.journal.folder import past_runs
from joblot.reports.peaks import unreadable
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from joblot.core.plan import Plan

_NAMED: Final = 12
_UNKNOWN: Final = -1.0
_JOB: Final = b'    {"job":'
"""How the line of a job begins in a report."""
_LOOK_BACK: Final = 200
"""So many runs are looked through for one of the same batch."""


class _ReportedJob(msgspec.Struct):
    job: str
    status: str
    duration_ms: int
    bundle: int = 1


class _Past(NamedTuple):
    """What a run says of a plan's jobs: by job how many seconds it took, `_UNKNOWN` for those it did not have; and how many it had."""

    run_id: str
    took: array[float]
    known: int
    bundles: dict[int, int]
    """By job, with how many it was run as one; only those that were."""


class Forecast(msgspec.Struct, frozen=True):
    """Seconds: of the whole run with `workers` at once, and of the chain of needs that takes the longest.

    `known` of the plan's `jobs` that are selected were in the run `run_id`; the others are taken to be like the average of those.
    """

    run_id: str
    known: int
    jobs: int
    workers: int
    total_s: float
    path: list[int]
    path_s: float

    def as_data(self, plan: Plan) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "from_run": self.run_id,
            "known_jobs": self.known,
            "workers": self.workers,
            "total_s": round(self.total_s, 3),
            "critical_path": [plan.name(job) for job in self.path],
            "critical_path_s": round(self.path_s, 3),
        }

    def lines(self, plan: Plan) -> Iterator[str]:
        """As text."""
        guessed = "" if self.known == self.jobs else f", which had {self.known} of these {self.jobs} jobs"
        yield f"Estimate: about {format_duration(self.total_s)} with {self.workers} at once (from run {self.run_id}{guessed})"
        names = [plan.name(job) for job in self.path]
        if len(names) > _NAMED:
            names = [*names[: _NAMED - 1], f"... ({len(names) - _NAMED} more)", names[-1]]
        yield f"Critical path: {' -> '.join(names)} ({format_duration(self.path_s)})"


def forecast(
    plan: Plan,
    state: str | None,
    workers: int | None,
    *,
    warn: Callable[[StateError], None] = lambda _: None,
    up_to_date: Collection[int] = (),
    left_out: Collection[int] = (),
) -> Forecast | None:
    """The forecast for a plan, or None when there is no earlier run of a batch of that name, or nothing in it is known.

    The jobs in `up_to_date` are up to date and take no time; those in `left_out` do not count. `warn` is told of runs that cannot be read.
    """
    past = _last_run(plan, state, warn)
    if past is None:
        return None
    known = past.known - sum(past.took[job] >= 0 for job in left_out)
    if not known:
        return None
    jobs = len(plan) - len(left_out)
    weights = _weights(past.took, known, jobs, up_to_date, left_out)
    slots = workers or plan.config.max_workers or os.cpu_count() or 1
    if plan.needs.partners:
        path = graph.critical_path(plan.needs, plan.dependents, weights)
    else:
        path = [weights.index(max(weights))]
    path_s = sum(weights[job] for job in path)
    # Each job of a bundle is reported to have taken as long as the bundle, which is work done once.
    work_s = sum(weights) - sum(weights[job] * (1 - 1 / fused) for job, fused in past.bundles.items())
    # No schedule is simulated: none beats the longer of the two, and none that leaves no worker idle exceeds their sum (Graham 1966).
    return Forecast(past.run_id, known, jobs, slots, max(path_s, work_s / slots), path, path_s)


def _weights(
    took: array[float], known: int, jobs: int, up_to_date: Collection[int], left_out: Collection[int]
) -> array[float]:
    """Seconds by job: none for what will not run, and the average of the known ones for those that are not known."""
    for job in left_out:
        took[job] = 0.0
    if known < jobs:
        average = sum(seconds for seconds in took if seconds >= 0) / known
        took = array("d", (average if seconds < 0 else seconds for seconds in took))
    for job in up_to_date:
        took[job] = 0.0
    return took


def _last_run(plan: Plan, state: str | None, warn: Callable[[StateError], None]) -> _Past | None:
    """The last run of a batch of that name whose report can be read."""
    with past_runs(state, needed=False) as folder:
        if folder is None:
            return None
        runs = (run for run in folder.runs(warn, limit=_LOOK_BACK) if run.batch == plan.config.name)
        pasts = (_read(plan, run.run_id, folder.run_folder(run.run_id).report, warn) for run in runs)
        return next((past for past in pasts if past is not None), None)


def _read(plan: Plan, run_id: str, report: Path, warn: Callable[[StateError], None]) -> _Past | None:
    """What a report says of the plan's jobs. It is read line by line, each job being one, for it may be large."""
    decode = msgspec.json.Decoder(_ReportedJob).decode
    took = array("d", [_UNKNOWN]) * len(plan)
    bundles: dict[int, int] = {}
    known, line = 0, b""
    try:
        with os.fdopen(open_own(report), "rb") as file:
            for line in file:
                if line.startswith(_JOB):
                    reported = decode(line.rstrip().removesuffix(b","))
                    job = plan.find(reported.job)
                    if job is not None and reported.status == "success":
                        took[job] = reported.duration_ms / 1000
                        if reported.bundle > 1:
                            bundles[job] = reported.bundle
                        known += 1
        if not line.rstrip().endswith(b"}"):
            raise msgspec.DecodeError("Input data was truncated")
    except FileNotFoundError:  # the run has not ended
        return None
    except (OSError, StateError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        warn(unreadable(report, error))
        return None
    return _Past(run_id, took, known, bundles)
