"""How much memory jobs took in past runs, from those runs' report files: what to expect of jobs that do not say what they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from joblot.core.memory import SMALLEST
from joblot.errors import StateError, why_unreadable
from joblot.files import read_own, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from joblot.core.plan import Plan

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""What can be a number of bytes, milliseconds or jobs: a report may be damaged."""


class _Took(msgspec.Struct):
    job: str
    action: str
    peak_bytes: Count = 0


class _Past(msgspec.Struct):
    """What is needed of a report file."""

    results: list[_Took]


def observed_peaks(
    plan: Plan, reports: Iterable[Path], warn: Callable[[StateError], None] = lambda _: None
) -> dict[int, int]:
    """Bytes that jobs which declare no `memory` are to be taken for, by number: the most that was seen of the job, else of its action.

    Rounded up, so that jobs of about the same size ask for the same. Reports that are not there are passed over; so are those that cannot
    be read, of which `warn` is told.
    """
    jobs: dict[str, int] = {}
    actions: dict[str, int] = {}
    for took in (took for report in reports for took in _read(report, warn)):
        jobs[took.job] = max(jobs.get(took.job, 0), took.peak_bytes)
        actions[took.action] = max(actions.get(took.action, 0), took.peak_bytes)
    expected = {}
    for job, spec in enumerate(plan.declarations):
        peak = jobs.get(plan.name(job)) or actions.get(spec.action or "", 0)
        if peak >= SMALLEST and "memory" not in spec.resources:
            expected[job] = _rounded(peak)
    return expected


def _rounded(peak: int) -> int:
    """Up to the next 64, 96, 128, 192, 256 ... MiB."""
    step = SMALLEST
    while step < peak:
        if peak <= step + step // 2:
            return step + step // 2
        step *= 2
    return step


def _read(report: Path, warn: Callable[[StateError], None]) -> list[_Took]:
    try:
        return msgspec.json.decode(read_own(report), type=_Past).results
    except FileNotFoundError:  # the run has not ended
        return []
    except (OSError, StateError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        warn(unreadable(report, error))
        return []


def unreadable(report: Path, error: Exception) -> StateError:
    """What is to be said of a run whose report file cannot be read."""
    run_id = report.parent.name
    why = reason_of(error) if isinstance(error, OSError) else why_unreadable(error)
    return StateError(
        f"the report of run `{run_id}` cannot be read: {why}",
        hint=f"it is passed over; `joblot show {run_id} --json` says the same from the journal",
    )
