"""How long a plan may take, from how long its jobs took in the last run of the same batch. A guess, and labelled as one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import graph
from joblot.errors import JoblotError
from joblot.journal.folder import StateFolder, state_path
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from joblot.plan import Plan

_NAMED: Final = 12
_LOOK_BACK: Final = 200
"""So many runs are looked through for one of the same batch."""


class _Took(msgspec.Struct):
    job: str
    status: str
    duration_ms: int


class _Past(msgspec.Struct):
    """What is needed of a report file."""

    run_id: str
    results: list[_Took]


class Forecast(msgspec.Struct, frozen=True):
    """Seconds: of the whole run with `workers` at once, and of the chain of needs that takes the longest.

    `known` of the plan's jobs were in the run `run_id`; the others are taken to be like the average of those.
    """

    run_id: str
    known: int
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
        guessed = "" if self.known == len(plan) else f", which had {self.known} of these {len(plan)} jobs"
        yield f"Estimate: about {format_duration(self.total_s)} with {self.workers} at once (from run {self.run_id}{guessed})"
        names = [plan.name(job) for job in self.path]
        if len(names) > _NAMED:
            names = [*names[: _NAMED - 1], f"... ({len(names) - _NAMED} more)", names[-1]]
        yield f"Critical path: {' -> '.join(names)} ({format_duration(self.path_s)})"


def forecast(plan: Plan, state: str | None, workers: int | None, *, current: Collection[int] = ()) -> Forecast | None:
    """The forecast for a plan, or None when there is no earlier run of a batch of that name, or nothing in it is known.

    The jobs in `current` are up to date and take no time.
    """
    past = _last_run(plan.config.name, state)
    if past is None or not len(plan):
        return None
    took = {one.job: one.duration_ms / 1000 for one in past.results if one.status == "success"}
    found = [took.get(plan.name(job)) for job in range(len(plan))]
    known = [seconds for seconds in found if seconds is not None]
    if not known:
        return None
    average = sum(known) / len(known)
    weights = [average if seconds is None else seconds for seconds in found]
    for job in current:
        weights[job] = 0.0
    slots = workers or plan.config.max_workers or os.cpu_count() or 1
    path = graph.critical_path(plan.needs, plan.dependents, weights)
    path_s = sum(weights[job] for job in path)
    return Forecast(past.run_id, len(known), slots, max(path_s, sum(weights) / slots), path, path_s)


def _last_run(batch: str, state: str | None) -> _Past | None:
    if not (state_path(state) / "journal.db").exists():
        return None
    try:
        folder = StateFolder(state, read_only=True)
    except JoblotError:
        return None  # a plan does not depend on a state folder that can be used
    try:
        reports = (
            folder.run_folder(run.run_id).report for run in folder.journal.runs(limit=_LOOK_BACK) if run.batch == batch
        )
        return next((past for past in map(_read, reports) if past is not None), None)
    finally:
        folder.close()


def _read(report: Path) -> _Past | None:
    try:
        return msgspec.json.decode(report.read_bytes(), type=_Past)
    except (OSError, msgspec.MsgspecError):
        return None
