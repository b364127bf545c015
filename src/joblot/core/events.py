"""The journal's alphabet: every fact that a run records, in the past tense.

A `Record` is what one decision recorded: its events, committed together. Changing anything here changes what old journals mean:
raise `SCHEMA` with it (a test compares the definitions with the number).

Jobs are named by their number in the plan. Times inside events are seconds since the run's own start; wall time stands in the record.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct

from joblot.core.model import Artifact, Outcome

SCHEMA: Final = 5
NO_RESULT: Final = Raw(b"")
"""What stands for no result. Only this very object is left out when an event is encoded, not another empty one."""

NOT_SELECTED: Final = "not_selected"
"""The reason code of jobs that a run leaves out. For what needs them they count as met."""
MISSING_RESULT: Final = "no_result"
"""The reason code of jobs that refer to the result of a job which has none."""
CARRIED_OVER: Final = "carried_over"
"""The reason code of jobs that did their work in the run that this one continues."""
BUNDLE_FAILED: Final = "bundle"
"""The reason code of an end that is not the job's own: it shared a process that failed."""
MEMORY_PRESSURE: Final = "memory_pressure"
"""The reason code of an end that is not the job's own: all that ran held more memory than the run may take, and it was the youngest."""


class Event(Struct, frozen=True, gc=False, tag_field="type", tag=True, omit_defaults=True):
    """Base of all events."""


class RunStarted(Event, frozen=True, tag="run_started"):
    """A run of a plan began. The plan itself is stored beside the events."""

    fingerprint: str
    jobs: int
    settings: dict[str, Any] = {}
    """What the run was started with: executor, slots, fail_fast, ...; `continues`: the run that this one continues; `given`: values of variables."""
    by: dict[str, Any] = {}
    """Who drives it: pid, host, user, joblot and Python version."""


class RunResumed(Event, frozen=True, tag="run_resumed"):
    """Another process went on with the run."""

    by: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class RunStopping(Event, frozen=True, tag="run_stopping"):
    """From here on nothing starts until the run is settled. `reason`: `cancelled`, `fail_fast`, `max_failures`, `time_limit`.

    After that it is `cancelled`, and stops the jobs of `finally`.
    """

    reason: str
    by: str = ""
    job: int = -1
    """The job whose failure caused it; -1 when none did."""


class RunSettled(Event, frozen=True, tag="run_settled"):
    """All jobs but those of `finally` are in a final state, which may start now. `status` is how the run will end, whatever they do."""

    status: str


class RunEnded(Event, frozen=True, tag="run_ended"):
    """All jobs are in a final state. `status`: `success`, `failed`, `cancelled`.

    `wall_s` is how long ago the run began by a monotonic clock, which the times of records cannot say when the machine's time was
    corrected; 0 when it was not measured. `worked_s` is that without the time in which nobody drove it; 0 when there was none.
    """

    status: str
    wall_s: float = 0.0
    worked_s: float = 0.0


class RunReopened(Event, frozen=True, tag="run_reopened"):
    """Jobs of a run that had ended wait again: a person asked for a retry, or goes on with a cancelled run."""

    jobs: list[int]


class PlanExtended(Event, frozen=True, tag="plan_extended"):
    """A job found the items of a fan-out, and the plan grew by a job for each.

    `job` is the one that found them, `first` the number of the first new job, `jobs` how many there are, `columns` their items.
    """

    job: int
    first: int
    jobs: int
    columns: dict[str, list[Any]] = {}


class AttemptsStarted(Event, frozen=True, tag="attempts_started"):
    """These jobs were handed to the executor, each with its next attempt number.

    `bundles` are the sizes of the bundles that they form, one after another; empty when each runs alone. `slots` are those that jobs hold of
    limits whose slots have names, by job and limit; all jobs of a bundle hold the same ones.
    """

    jobs: list[int]
    bundles: list[int] = []
    slots: dict[int, dict[str, list[int | str]]] = {}


class AttemptEnded(Event, frozen=True, tag="attempt_ended"):
    """An attempt of a job ended, and this is what the job became.

    `state` is the job's new state by name; with `backing_off` the next attempt is due after `delay_s`.
    """

    job: int
    attempt: int
    outcome: str = "ok"
    state: str = "success"
    began_s: float | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    """The largest resident size of one process of the attempt; 0: not known."""
    result: Raw = NO_RESULT
    message: str = ""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    delay_s: float = 0.0
    artifacts: tuple[Artifact, ...] = ()
    read_bytes: int = 0
    """What the processes of the attempt took from storage."""
    written_bytes: int = 0


class BackoffEnded(Event, frozen=True, tag="backoff_ended"):
    """The wait before the next attempt is over."""

    job: int


class JobsEnded(Event, frozen=True, tag="jobs_ended"):
    """Jobs reached a final state without an attempt that says so: skipped, cached, cancelled, aborted.

    `reason` is the reason code (`need_failed`, `need_skipped`, `condition`, `no_result`, `unknown_action`, `not_selected`, `fail_fast`, ...), `cause` the job
    that brought it about (-1: none). `results` are those of cached jobs' last successes, where they had any.
    """

    jobs: list[int]
    state: str
    reason: str
    cause: int = -1
    message: str = ""
    results: dict[int, Raw] = {}


class Logged(Event, frozen=True, tag="logged"):
    """A structured message from an action (`ctx.log`) or from a `RunLogger`. `job` is -1 outside of any job."""

    event: str
    level: str = "info"
    job: int = -1
    attempt: int = 0
    message: str = ""
    data: dict[str, Any] | None = None


AnyEvent = (
    RunStarted | RunResumed | RunStopping | RunSettled | RunEnded | RunReopened | PlanExtended
    | AttemptsStarted | AttemptEnded | BackoffEnded | JobsEnded | Logged
)  # fmt: skip


class Record(Struct, frozen=True, gc=False):
    """The events of one decision, as they were committed together.

    `seq` numbers the first of its events within the run, from 1; `at` is wall time in seconds since the epoch.
    """

    seq: int
    at: float
    events: list[AnyEvent]


def ended_well(outcome: Outcome) -> AttemptEnded:
    """The event of an attempt that ended well."""
    return AttemptEnded(
        outcome.job, outcome.number, "ok", "success", outcome.began, outcome.wall_s, outcome.cpu_s, outcome.peak_bytes,
        Raw(outcome.result) if outcome.result else NO_RESULT, artifacts=outcome.artifacts,
        read_bytes=outcome.read_bytes, written_bytes=outcome.written_bytes,
    )  # fmt: skip


def ended(outcome: Outcome, kind: str, state: str, reason: str, message: str, delay_s: float) -> AttemptEnded:
    """The event of an attempt that ended otherwise: with its kind, the job's new state, why, and the wait before the next one."""
    return AttemptEnded(
        outcome.job, outcome.number, kind, state, outcome.began, outcome.wall_s, outcome.cpu_s, outcome.peak_bytes,
        message=message, reason=reason, exit_code=outcome.exit_code, signal=outcome.signal, delay_s=delay_s,
        read_bytes=outcome.read_bytes, written_bytes=outcome.written_bytes,
    )  # fmt: skip


def definition() -> str:
    """Every event with its fields, types and defaults, as text: what `SCHEMA` numbers."""
    lines = []
    for kind in (*AnyEvent.__args__, Record, Artifact):
        required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
        fields = [f"{name}: {kind.__annotations__[name]}" for name in kind.__struct_fields__]
        for number, default in enumerate(kind.__struct_defaults__, required):
            plain = default is None or isinstance(default, (str, int, float, tuple))
            fields[number] += f" = {default!r}" if plain else " = empty"
        lines.append(f"{kind.__struct_config__.tag or kind.__name__}({', '.join(fields)})")
    return "\n".join(lines)
