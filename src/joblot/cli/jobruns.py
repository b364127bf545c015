"""One job through the runs, for `joblot ls --job`: what became of it in each, and where it is not what it was.

Of a large run only the line of the job in its report is read. It does not know which runs are looked at.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from joblot.core.model import Artifact  # noqa: TC001 - msgspec reads the annotations
from joblot.core.provenance import Change
from joblot.errors import StateError
from joblot.files import read_own
from joblot.reports.differences import Secrets, definition_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from joblot.cli.runs import Run
    from joblot.core.model import JobSpec
    from joblot.journal import RunInfo


class _Line(Struct):
    """The line of a job in a report."""

    status: str
    attempts: int
    duration_ms: int
    peak_bytes: int = 0
    message: str = ""
    artifacts: tuple[Artifact, ...] = ()


class JobRun(Struct, kw_only=True):
    """A job in one run. `changed` says what is not as it was in the run before in which it had a part."""

    run: RunInfo
    state: str
    attempts: int
    duration_ms: int
    peak_bytes: int
    message: str
    spec: JobSpec
    secrets: Secrets
    inputs: dict[str, str]
    """By path the hash of what it read, where a job of the run made that."""
    changed: list[Change] = []


def through(runs: Iterable[Run], name: str, limit: int, warn: Callable[[StateError], None]) -> list[JobRun]:
    """What became of the job in those of the runs that have it, newest first, at most so many."""
    found = list(islice((one for run in runs if (one := _in(run, name, warn)) is not None), limit + 1))
    earlier: dict[str, JobRun] = {}  # by batch: others may have a job of that name too
    for one in reversed(found):
        older = earlier.get(one.run.batch)
        if older is not None:
            one.changed = list(_changes(older, one))
            one.inputs = older.inputs | one.inputs  # what was up to date was not made, and is as it was
        earlier[one.run.batch] = one
    return found[:limit]


def _in(run: Run, name: str, warn: Callable[[StateError], None]) -> JobRun | None:
    try:
        number = None if run.of_program else run.plan.find(name)
        if number is None:
            return None
        plan = run.plan
        line = _line(run, name)
        inputs: dict[str, str] = {}
        for need, path in plan.files_read(number).items():
            made = _line(run, plan.name(need)).artifacts
            inputs |= {one.path: one.sha256 for one in made if one.sha256 and (one.path == path or len(made) == 1)}
        return JobRun(
            run=run.info,
            state=line.status,
            attempts=line.attempts,
            duration_ms=line.duration_ms,
            peak_bytes=line.peak_bytes,
            message=line.message,
            spec=plan.spec(number),
            secrets=Secrets.of(run.config),
            inputs=inputs,
        )
    except StateError as error:
        warn(error)
        return None


def _line(run: Run, name: str) -> _Line:
    """What the report has of a job; of a run that has not ended, or whose report is gone, what its records have."""
    begin = b'    {"job":' + msgspec.json.encode(name) + b","
    with suppress(OSError, StateError, msgspec.MsgspecError, UnicodeDecodeError):
        report = read_own(run.files.report)
        at = report.find(begin)
        if at >= 0 and run.info.ended_at is not None:
            return msgspec.json.decode(report[at : report.index(b"\n", at)].rstrip().removesuffix(b","), type=_Line)
    job = run.report().jobs[name]
    return _Line(job.state, job.attempts, job.duration_ms, job.peak_bytes or 0, job.message, job.artifacts)


def _changes(old: JobRun, new: JobRun) -> Iterator[Change]:
    yield from definition_changes(old.spec, new.spec, old.secrets | new.secrets, given=True)
    for path, now in new.inputs.items():
        if old.inputs.get(path, now) != now:
            yield Change(f"input {path}")


def as_data(one: JobRun, name: str) -> dict[str, Any]:
    """The job in a run, for programs."""
    from joblot.clock import iso_utc

    return {
        "run_id": one.run.run_id, "batch": one.run.batch, "started_at": iso_utc(one.run.started_at), "job": name, "state": one.state,
        "attempts": one.attempts, "duration_ms": one.duration_ms, "peak_bytes": one.peak_bytes or None, "message": one.message,
        "changed": one.changed,
    }  # fmt: skip


def table(found: Iterable[JobRun]) -> list[list[str]]:
    """The job in the runs, for people."""
    from joblot.cli.runs import local_time
    from joblot.core.written import shorten
    from joblot.units import format_duration, format_size

    rows = [["RUN", "STARTED", "STATE", "ATTEMPTS", "TOOK", "PEAK", "CHANGED"]]
    for one in found:
        took = format_duration(one.duration_ms / 1000) if one.attempts else "-"
        peak = format_size(one.peak_bytes) if one.peak_bytes else "-"
        changed = shorten(", ".join(map(str, one.changed)), 100)
        rows.append([one.run.run_id, local_time(one.run.started_at), one.state, str(one.attempts), took, peak, changed])
    return rows
