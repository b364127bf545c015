"""The words of joblot as data: what a batch declares, what a job is, what an attempt came to.

Frozen structs without behaviour. `docs/concepts/glossary.md` explains the words.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct, field

# --- job states ---------------------------------------------------------------------------------

WAITING: Final = 0
"""Some of its needs have not ended."""
READY: Final = 1
"""Could start now: its needs have ended as its `when` asks; it waits for a slot or a resource."""
RUNNING: Final = 2
"""An attempt was handed to the executor and its end is not known."""
BACKING_OFF: Final = 3
"""The last attempt failed; the next one is due later."""
SUCCESS: Final = 4
"""An attempt ended well."""
FAILED: Final = 5
"""No attempt ended well and none is left."""
SKIPPED: Final = 6
"""Never started: a need did not succeed, its `when` did not come true, or its action is unknown."""
CACHED: Final = 7
"""Not started because what it makes is up to date."""
CANCELLED: Final = 8
"""A person stopped it."""
ABORTED: Final = 9
"""joblot stopped it: fail-fast, too many failures, or the run's own time limit."""

STATES: Final = (
    "waiting", "ready", "running", "backing_off",
    "success", "failed", "skipped", "cached", "cancelled", "aborted",
)  # fmt: skip
"""The names of the states, by their number."""
STATE_OF: Final = {name: number for number, name in enumerate(STATES)}
"""The numbers of the states, by their name."""
FINAL: Final = frozenset({SUCCESS, FAILED, SKIPPED, CACHED, CANCELLED, ABORTED})
"""States that never change again within a run."""

OutcomeKind = Literal["ok", "error", "exit", "timeout", "crash", "oom", "lost", "cancelled", "returned"]
"""How an attempt ended.

`ok` well; `error` the action raised; `exit` the command ended with another status than 0; `timeout` it was killed for taking too
long; `crash` a signal ended it; `oom` it was killed for its memory; `lost` the machinery around it died and its end is unknown;
`cancelled` it was killed because the run stops; `returned` it never began and the executor gave it back.
"""
RETRIABLE: Final = ("error", "exit", "timeout", "crash", "oom")
"""Outcomes that count as a failed try and may be retried."""

When = Literal["success", "failure", "always"]
"""Which ends of its needs let a job start. To the jobs of `finally` the run is one more need, which succeeded or failed."""
FINALLY_TIMEOUT_S: Final = 600.0
"""The longest that an attempt of a job of `finally` may take which says nothing else: the run's own limit does not hold for it."""


# --- what a batch declares ----------------------------------------------------------------------


class Retry(Struct, frozen=True, gc=False):
    """How often a job is tried, and how long to wait between two tries.

    The wait before try n+1 is `delay_s * backoff**(n-1)`, at most `max_delay_s`, moved up or down by at most the share `jitter`.
    """

    max_attempts: int = 1
    delay_s: float = 0.0
    backoff: float = 1.0
    max_delay_s: float = 3600.0
    jitter: float = 0.0
    only: tuple[str, ...] = ()
    """What is retried, as `core.retry` reads it: outcome kinds, reasons, `exit 64..78`, names of exceptions; empty means all of `RETRIABLE`."""
    memory_factor: float = 1.0
    """After each attempt that ended for lack of memory (`oom`) the next may use this many times as much memory."""
    max_memory: float | None = None
    """But no more than so many bytes."""


ONCE_ONLY: Final = Retry()


class FilePosition(Struct, frozen=True, gc=False):
    """Where something stands in a batch file; lines and columns count from 1."""

    file: str = ""
    line: int = 0
    column: int = 0


DEFERRABLE: Final = ("run", "input", "params", "env")
"""Fields that may hold references whose values are known only when the job starts."""
VARYING: Final = ("name", "run", "input", "params", "needs", "outputs", "env", "cwd", "description")
"""Fields of a declaration that may differ from item to item of its fan-out."""


class FanOut(Struct, frozen=True, omit_defaults=True):
    """How one declaration stands for many jobs: a job for each item.

    `columns` are the values by name. With the kind `matrix` the items are all combinations of them, the last column turning fastest;
    with `rows` the columns are equally long and stand side by side; with `result` there are none yet, and `source` names the result that
    they come from (empty: `is_unread`). A value that is an item as a whole has the name "".
    """

    kind: Literal["matrix", "rows", "result"]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    source: str = ""
    max_parallel: int | None = None
    """How many of the jobs run at a time."""


def is_unread(fan: FanOut | None) -> bool:
    """Whether the items would come from a command that was not run: of its jobs only the pattern of their names is known."""
    return fan is not None and fan.kind == "result" and not fan.source


class JobSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job as a batch declares it, with the batch's defaults merged in.

    Exactly one of `action`, `run` and `function` is set: a registered action's name, a shell command (text, or a list of words that
    needs no shell), or (Python only) any callable. Texts may hold `${{ run... }}` and `${{ jobs.NAME.result... }}` references, which
    are filled in when the job starts; all other references are already filled in, but for those in a `run` text.
    """

    name: str
    action: str | None = None
    run: str | list[str] | None = None
    given: dict[str, Any] | None = None
    """What the references of a `run` text stand for, as far as it is known, by their texts: no value becomes a part of the text."""
    shell: tuple[str, ...] = ()
    """The program that runs the text, and its options; empty: `/bin/sh`. As `shells.call` takes it."""
    function: Any = None
    input: Any = None
    patterns: tuple[int, ...] = ()
    """Which of its paths are patterns (0 for a single one): in these what a value gave stands as `[*]`, `[?]` and `[[]`."""
    params: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Names, or patterns with `*`, `?` and `[...]` that stand for every other job they match."""
    needs_none: bool = False
    """Whether the batch says that it needs none (`needs: []`)."""
    when: When = "success"
    retry: Retry = ONCE_ONLY
    timeout_s: float | None = None
    grace_s: float = 5.0
    resources: dict[str, float] = field(default_factory=dict)
    """`cpu` (slots), `memory` (bytes), and the names of the batch's `limits`."""
    outputs: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    """What the outputs are called, in their order, where the batch gives them names."""
    cache: bool = False
    """Whether its result is as good as made anew while nothing that it comes from has changed, though it may make no files."""
    env: dict[str, str] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()
    """Files of environment variables, relative to the batch's folder: a later one wins, `env` wins over all. Nothing of them is stored."""
    cwd: str | None = None
    once: bool = False
    tags: tuple[str, ...] = ()
    priority: int = 0
    description: str = ""
    deferred: bool = False
    """Whether any text holds a reference that is filled in at the start of an attempt."""
    if_: Any = field(default=True, name="if")
    """Whether the job is run at all, once its needs have ended as its `when` asks: a truth value, or a text that is one reference to one."""
    if_not: bool = False
    """Whether it is run when that is `false`."""
    allow_failure: bool = False
    """Whether the run goes on as after a success when the job has failed, but for what takes from it what it did not make."""
    finally_: bool = field(default=False, name="finally")
    """Whether the job runs after all others, whatever ended the run. Its `when` asks how that was; its needs are such jobs too."""
    place: FilePosition | None = None
    fan_out: FanOut | None = None
    """Set in a declaration that stands for many jobs: its texts may then hold `${{ matrix... }}` and `${{ item... }}` references."""


def is_off(spec: JobSpec) -> bool:
    """Whether it is known already that the `if` is false."""
    return isinstance(spec.if_, bool) and spec.if_ == spec.if_not


Held = dict[str, list[int | str]]
"""Slots with names that an attempt holds, by the name of their limit."""


class Limit(Struct, frozen=True, gc=False, omit_defaults=True):
    """A named resource of which more is to be said than how much there is.

    With `slots` each of them has a name, and `count` is how many there are. `across` says who shares it: the jobs of one run, or those of
    all runs on this machine.
    """

    count: int
    slots: tuple[int | str, ...] = ()
    across: Literal["run", "machine"] = "run"


def count_of(limit: int | Limit) -> int:
    """How much there is of a named resource."""
    return limit if isinstance(limit, int) else limit.count


def slot_variable(limit: str) -> str:
    """The environment variable in which a job finds which slots of a limit it holds."""
    return f"JOBLOT_SLOT_{limit.upper().replace('-', '_')}"


class Concurrency(Struct, frozen=True, gc=False, omit_defaults=True):
    """How a run stands to the others of its batch, or of all batches that name the `group`: one of them goes on at a time.

    `on_conflict` says what happens to the one that finds another.
    """

    group: str = ""
    on_conflict: Literal["", "fail", "wait", "skip"] = ""
    """Empty: `fail`, and of a run that a schedule has started `skip`."""


class Schedule(Struct, frozen=True, omit_defaults=True):
    """When a batch file is to be run, and what becomes of the due times at which that was not possible.

    Each of the expressions `cron` has five fields, which are read by the clock of the batch's `timezone`. `missed` says whether there is one run for
    all due times that were missed, one for each, or none; for one that is longer ago than `within_s` there is none. A run begins up to `jitter_s`
    seconds after its due time.
    """

    cron: tuple[str, ...]
    missed: Literal["once", "all", "skip"] = "once"
    within_s: float = 86_400.0
    jitter_s: float = 0.0


RULES: Final = 1
"""By which rules a batch runs that is read now: from 1 on a job needs what makes its input, and a shell's text ends at the first failure."""


class Config(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One batch, checked and complete: what `config.load` makes and `plan.expand` takes."""

    name: str
    rules: int = 0
    """As `RULES`; 0 in plans that earlier programs stored."""
    folder: str
    """Absolute path of the folder that relative paths are relative to."""
    source: str = ""
    """Absolute path of the batch file; empty for a batch made in Python."""
    digest: str = ""
    """BLAKE2b of the batch file's bytes, hexadecimal; empty for a batch made in Python, or of several files."""
    files: dict[str, str] = field(default_factory=dict)
    """Of a batch of several files: the absolute path and the digest of each. Then `source` is their folder."""
    description: str = ""
    vars: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()
    """As of a job, for all jobs."""
    secrets: tuple[str, ...] = ()
    """Names of environment variables whose values never appear in a log, a report or the journal."""
    limits: dict[str, int | Limit] = field(default_factory=dict)
    """The named resources: how much there is of each, or more about it."""
    imports: tuple[str, ...] = ()
    """Absolute paths of Python files, or dotted module names, that register actions."""
    jobs: list[JobSpec] = field(default_factory=list)
    fail_fast: bool = False
    max_failures: int | float | None = None
    """At so many failures the run stops, or, a float, when more than this share of the jobs that take part have failed."""
    timeout_s: float | None = None
    max_workers: int | None = None
    max_memory: int | None = None
    """Bytes that all that runs may hold together."""
    durability: Literal["normal", "full"] = "normal"
    timezone: str = ""
    """The zone of the day on which a run begins, such as `Europe/Paris`; empty: that of the system."""
    date: str = ""
    """The day that `run.date` stands for, of a batch made in Python that refers to it. In a batch file it is filled in when that is read."""
    seed: int | None = None
    """What random numbers of Python actions begin with, with the job's name."""
    concurrency: Concurrency | None = None
    report: tuple[str, ...] = ()
    """Files that the run is written to when it has ended, each in a form, as `reports.forms` reads them; relative to the batch's folder."""
    schedule: Schedule | None = None
    scheduled_for: str = ""
    """The due time for which the schedule has started the run, such as `2026-11-20T02:30:00+01:00`; empty: nothing scheduled has."""


# --- what an action accepts -----------------------------------------------------------------------


class Parameter(Struct, frozen=True):
    """One keyword parameter of an action."""

    name: str
    type: Any
    """The annotation, evaluated; `typing.Any` when there is none."""
    required: bool
    default: Any = None
    doc: str = ""


class Signature(Struct, frozen=True):
    """What an action takes: the schema of a job's `input` and `params`."""

    name: str
    parameters: dict[str, Parameter]
    input: Literal["required", "optional", "none"]
    open: bool = False
    """Whether further keyword parameters are taken as they come (`**kwargs`)."""
    summary: str = ""


# --- one attempt ----------------------------------------------------------------------------------


class Attempt(Struct, gc=False):
    """One try of a job, as it is handed to an executor.

    `job` is the job's number in the plan, `number` counts from 1. `values` holds what was filled in at the start (`input`, `params`,
    `run` or `given`, `env`), or None when the job needs nothing filled in. Attempts with the same `bundle_number`, which stand side by side, are run as one
    call of a fused action; 0: alone.
    """

    job: int
    number: int
    values: dict[str, Any] | None = None
    bundle_number: int = field(default=0, name="bundle")
    spec: JobSpec | None = None
    """The job itself, where an executor's processes cannot know it: it was added while the run went on."""
    memory: int = 0
    """Bytes that it may use, where that is more than the job declares; 0: as declared."""
    alone: bool = False
    """Whether nothing else of the run runs beside it, so that it may use all of `max_memory`."""


class LogLine(Struct, frozen=True):
    """One structured message of an action, on its way to the journal."""

    level: str
    message: str
    data: dict[str, Any] | None = None


class Artifact(Struct, frozen=True):
    """A file that a job made: the path as declared, bytes, and the SHA-256 of the contents (empty when not taken)."""

    path: str
    size: int
    sha256: str = ""


ABSENT: Final = -1
"""The size of a file that does not exist."""


class FileFact(Struct, frozen=True, gc=False, array_like=True):
    """A file or folder as it was: the path as the batch writes it, bytes, time of its last change, SHA-256 (empty when not taken).

    `inode` and `changed_ns`, the time of the inode's last change, are what else a stamp has (`joblot.outputs`). A `changed_ns` of 0 says
    that the stamp is no proof: it was taken when the file had just changed, or by a program that kept less.
    """

    path: str
    size: int = ABSENT
    mtime_ns: int = 0
    sha256: str = ""
    inode: int = 0
    changed_ns: int = 0


class Outcome(Struct, gc=False, omit_defaults=True):
    """How an attempt ended, as an executor reports it.

    `began` is monotonic seconds, once the engine has it seconds since the run's start (None: it never began), `wall_s` and `cpu_s` are seconds, `peak_bytes` is the largest resident size of
    a process that ran it (0: not known), `read_bytes` and `written_bytes` what its processes took from storage and gave to it, without
    what the page cache had (0: nothing, or not known). `result` is the action's value as JSON text; empty means none.
    """

    job: int
    number: int
    kind: str
    began: float | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    result: bytes = b""
    message: str = ""
    """One line: what went wrong."""
    reason: str = ""
    """The reason code: `exception`, `exit_code`, `missing_input`, `timeout`, ..., for programs; `docs/reference/messages.md` lists them."""
    exit_code: int | None = None
    signal: int | None = None
    logs: tuple[LogLine, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    shared: bool = False
    """Whether what ended is the whole call of a bundle: how this job would have ended is not known."""
    items: dict[str, list[Any]] | None = None
    """What a growing job found, as columns."""
    looked: tuple[tuple[tuple[int, int, int, int], FileFact], ...] = ()
    """Declared outputs that were looked at where it ran: the stamp then, and the fact."""
    raised: tuple[str, ...] = ()
    """Of an action that raised, the names of the exception's class and of those that it is one of, each with its module unless it is Python's own."""
    read_bytes: int = 0
    written_bytes: int = 0
