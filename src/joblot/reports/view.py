"""A run as its records tell it: the state of every job, and what is said of it in reports, pages and progress lines.

A projection: records go in, nothing is decided. Facts about jobs stand in columns, one array a fact, and only what is rare (failures,
retries, artifacts) has objects of its own, so that a hundred thousand plain jobs stay small.

It does not know what jobs need: a job that could start and one whose needs have not ended are both `waiting` here. Nor does it know
whether the process that drives the run is alive.
"""

from __future__ import annotations

from array import array
from collections import deque
from itertools import repeat
from math import isnan, nan
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from joblot.core import events as ev
from joblot.core.model import CACHED, FAILED, FINAL, READY, RUNNING, STATE_OF, STATES, SUCCESS, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from joblot.core.model import Artifact, Held
    from joblot.core.plan import Plan


class BundleFacts(Struct, frozen=True):
    """The jobs that one attempt was run with as one.

    `jobs` is how many there were, `first` the number of the one whose log has what they printed, `attempt` the number of its attempt.
    """

    jobs: int
    first: int
    attempt: int


class JobFacts(Struct, frozen=True):
    """What is known of one job. Times are seconds since the epoch, durations seconds over all attempts.

    `began_at` is when the first attempt began, `ended_at` when the last one ended or the job was given up. `attempts` counts those that began. `history` holds the ended attempts of a job that was not done at the first; it is empty for
    all others. `cause` is the number of the job that brought this job's end about, -1 when none did.
    """

    number: int
    name: str
    state: str
    attempts: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    began_at: float | None
    ended_at: float | None
    read_bytes: int = 0
    written_bytes: int = 0
    result: bytes = b""
    message: str = ""
    reason: str = ""
    cause: int = -1
    exit_code: int | None = None
    signal: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    history: tuple[ev.AttemptEnded, ...] = ()
    bundle: BundleFacts | None = None
    """Those with whom the last attempt was run; None when it ran alone."""


class Columns(NamedTuple):
    """The facts of all jobs side by side, by number, as they stand in memory: to be read at once, and neither kept nor changed.

    States are numbers of `STATES`, durations seconds over all attempts, times seconds since the epoch (not a number: unknown).
    """

    states: bytearray
    attempts: array[int]
    wall_s: array[float]
    cpu_s: array[float]
    peak_bytes: array[int]
    began: array[float]
    ended: array[float]


class RunView:
    """One run, as far as its records have been applied. `names` gives the jobs' names, `jobs` is how many there are.

    Of the structured messages the last `logged` are kept.
    """

    def __init__(self, names: Sequence[str] | Callable[[int], str], jobs: int, *, logged: int = 1000) -> None:
        self.name: Callable[[int], str] = names if callable(names) else names.__getitem__
        self.jobs = jobs
        self.status = ""
        """Empty before the first record; then `running`, `stopping`, and at last `success`, `failed` or `cancelled`."""
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.by: dict[str, Any] = {}
        """Who drove the run last: pid, host, user, versions."""
        self.hosts: set[str] = set()
        """The machines from which it was driven."""
        self.settings: dict[str, Any] = {}
        self.continues = ""
        """The id of the run that this one continues."""
        """What the run was last begun or gone on with: `on`, `workers` (how many attempts at once), `fail_fast`, ..."""
        self.stopping: ev.RunStopping | None = None
        """Why nothing starts any more, if that is so; once the run is settled, why nothing but jobs of `finally` did."""
        self.settled = ""
        """How the run will end, once only jobs of `finally` are left; empty before, and in runs without such jobs."""
        self.logged: deque[tuple[float, ev.Logged]] = deque(maxlen=logged)
        """The last structured messages, each with the time of its record."""
        self._counts = [0] * len(STATES)
        self._counts[WAITING] = jobs
        self._measured_s = 0.0
        self._opened_at = self._last_at = 0.0
        self._worked_before_s = self._worked_s = 0.0
        self._states = bytearray(jobs)
        self._attempts = array("I", bytes(4 * jobs))
        self._began = array("d", [nan]) * jobs
        self._again: dict[int, float] = {}
        """When the last attempt began of jobs that were tried more than once."""
        self._ended = array("d", [nan]) * jobs
        self._wall = array("d", bytes(8 * jobs))
        self._cpu = array("d", bytes(8 * jobs))
        self._peak = array("Q", bytes(8 * jobs))
        self._moved: dict[int, tuple[int, int]] = {}
        """Bytes read from and written to storage by job, where there were any."""
        self._results: list[bytes] = [b""] * jobs
        self._why: dict[int, ev.AttemptEnded | ev.JobsEnded] = {}
        self._history: dict[int, list[ev.AttemptEnded]] = {}
        self._artifacts: dict[int, tuple[Artifact, ...]] = {}
        self._failed: dict[int, None] = {}
        self.left_out: set[int] = set()
        """Jobs that were not selected: they take no part in the run, and are counted nowhere."""
        self._bundles: dict[int, BundleFacts] = {}
        self._slots: dict[int, dict[int, Held]] = {}

    # --- applying -------------------------------------------------------------------------------

    def apply(self, record: ev.Record) -> None:
        """Take in what was recorded together. Records of a run are applied in their order, each once."""
        at = record.at
        for event in record.events:
            kind = type(event)
            if kind is ev.AttemptEnded:
                self._attempt_ended(event, at)  # type: ignore[arg-type]
            elif kind is ev.AttemptsStarted:
                self._attempts_started(event, at)  # type: ignore[arg-type]
            else:
                self._seldom(event, at)
        self._last_at = at

    def apply_all(self, records: Iterable[ev.Record]) -> RunView:
        """Apply records one after another; the view itself is returned."""
        for record in records:
            self.apply(record)
        return self

    def _attempts_started(self, event: ev.AttemptsStarted, at: float) -> None:
        states, attempts, counts, began = self._states, self._attempts, self._counts, self._began
        for job in event.jobs:
            counts[states[job]] -= 1
            states[job] = RUNNING
            if not attempts[job]:
                began[job] = at
            else:
                self._again[job] = at
            attempts[job] += 1
        counts[RUNNING] += len(event.jobs)
        if self._why:  # how an earlier attempt ended is not how the job stands
            for job in event.jobs:
                self._why.pop(job, None)
        if event.bundles or self._bundles:
            self._bundles_started(event)
        if event.slots:
            for job, held in event.slots.items():
                self._slots.setdefault(job, {})[attempts[job]] = held

    def _bundles_started(self, event: ev.AttemptsStarted) -> None:
        start = 0
        for size in event.bundles or [1] * len(event.jobs):
            jobs = event.jobs[start : start + size]
            if size > 1:
                self._bundles.update(dict.fromkeys(jobs, BundleFacts(size, jobs[0], self._attempts[jobs[0]])))
            else:
                self._bundles.pop(jobs[0], None)
            start += size

    def _attempt_ended(self, event: ev.AttemptEnded, at: float) -> None:
        job = event.job
        state = STATE_OF[event.state]
        self._counts[self._states[job]] -= 1
        self._counts[state] += 1
        self._states[job] = state
        self._ended[job] = at
        self._wall[job] += event.wall_s
        self._cpu[job] += event.cpu_s
        if event.peak_bytes > self._peak[job]:  # noqa: PLR1730 - `max` is a call for every attempt
            self._peak[job] = event.peak_bytes
        if event.written_bytes or event.read_bytes:
            read, written = self._moved.get(job, (0, 0))
            self._moved[job] = read + event.read_bytes, written + event.written_bytes
        if event.began_s is not None and self._attempts[job] == 1:
            self._began[job] = (self.started_at or 0.0) + event.began_s
        if event.result is not ev.NO_RESULT:
            # A decoded `Raw` keeps the whole record alive that it was read from, so what is kept of it is a copy.
            self._results[job] = bytes(event.result)
        if event.artifacts:
            self._artifacts[job] = event.artifacts
        elif self._artifacts:
            self._artifacts.pop(job, None)
        if event.outcome != "ok" or event.attempt > 1:
            self._not_plain(job, state, replace(event, result=ev.NO_RESULT))

    def _not_plain(self, job: int, state: int, event: ev.AttemptEnded) -> None:
        if event.outcome == "returned":  # it never began: only a stop that it came back for is worth telling
            self._attempts[job] -= 1
            self._bundles.pop(job, None)
            if state not in FINAL:
                self._ended[job] = nan
                return
        else:
            self._history.setdefault(job, []).append(event)
        if event.outcome != "ok":
            self._why[job] = event
        if state == FAILED:
            self._failed[job] = None

    def _jobs_ended(self, event: ev.JobsEnded, at: float) -> None:
        state = STATE_OF[event.state]
        if event.reason == ev.NOT_SELECTED:
            self.left_out.update(event.jobs)
        for job in event.jobs:
            self._move(job, state)
            self._ended[job] = at
            self._why[job] = event
        for job, result in event.results.items():
            self._results[job] = bytes(result)

    def _extended(self, event: ev.PlanExtended) -> None:
        """Make room for jobs that were added, unless they were there from the start."""
        count = event.first + event.jobs - self.jobs
        if count <= 0:
            return
        self.jobs += count
        self._counts[WAITING] += count
        self._states.extend(bytes(count))
        for times in (self._began, self._ended):
            times.extend(repeat(nan, count))
        for sums in (self._wall, self._cpu):
            sums.extend(repeat(0.0, count))
        for numbers in (self._attempts, self._peak):
            numbers.extend(repeat(0, count))
        self._results += [b""] * count

    def _move(self, job: int, state: int) -> None:
        self._counts[self._states[job]] -= 1
        self._counts[state] += 1
        self._states[job] = state

    def _begin_again(self, at: float) -> None:
        """From here on another process drives the run; what was worked until the last record stands."""
        self._worked_before_s, self._worked_s, self._opened_at = self.worked_s, 0.0, at
        self._last_at = min(self._last_at, at)

    def _reopened(self, event: ev.RunReopened, at: float) -> None:
        self._begin_again(at)
        self.left_out.difference_update(event.jobs)
        for job in event.jobs:
            self._move(job, WAITING)
            self._ended[job] = nan
            self._results[job] = b""
            self._why.pop(job, None)
            self._failed.pop(job, None)
        self.ended_at, self.stopping, self.settled, self._measured_s, self.status = None, None, "", 0.0, "running"

    def _seldom(self, event: ev.AnyEvent, at: float) -> None:
        match event:
            case ev.JobsEnded():
                self._jobs_ended(event, at)
            case ev.PlanExtended():
                self._extended(event)
            case ev.BackoffEnded():
                self._move(event.job, READY)
            case ev.Logged():
                self.logged.append((at, event))
            case ev.RunStarted():
                self.started_at, self.status, self.by, self.settings = at, "running", event.by, event.settings
                self.hosts.add(str(event.by.get("host") or ""))
                self.continues = event.settings.get("continues", "")
                self._opened_at = at
            case ev.RunResumed():
                self.by, self.settings = event.by, event.settings
                self.hosts.add(str(event.by.get("host") or ""))
                self._begin_again(at)
                self.ended_at, self._measured_s, self.status = None, 0.0, "running"
                if not self.settled:
                    self.stopping = None
            case ev.RunReopened():
                self._reopened(event, at)
            case ev.RunStopping():
                self.status = "stopping"
                if not self.settled:
                    self.stopping = event
            case ev.RunSettled():
                self.settled, self.status = event.status, "running"
                self._measured_s = max(0.0, at - self._opened_at)
            case ev.RunEnded():
                self.ended_at, self.status, self._measured_s = at, event.status, event.wall_s
                self._worked_s = event.worked_s
            case _:
                raise AssertionError(f"BUG: no view of {event}")

    # --- questions ------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the end of the run is recorded."""
        return self.ended_at is not None

    @property
    def wall_s(self) -> float:
        """How long the run took, in seconds: until it was settled while only jobs of `finally` are left, and 0 before that."""
        if self._measured_s:
            return self._measured_s
        return max(0.0, (self.ended_at or 0.0) - (self.started_at or 0.0)) if self.ended else 0.0

    @property
    def worked_s(self) -> float:
        """How long somebody has driven the run, in seconds, as far as the records go."""
        if self._worked_s:
            return self._worked_s
        if self.ended and not self._worked_before_s:
            return self.wall_s
        until = self._last_at if self.ended_at is None else self.ended_at
        return self._worked_before_s + max(0.0, until - self._opened_at)

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state, by its name; those that were left out aside."""
        counts = dict(zip(STATES, self._counts, strict=True))
        counts["skipped"] -= len(self.left_out)
        return counts

    @property
    def failures(self) -> list[int]:
        """Jobs that failed, in the order in which they did."""
        return [job for job in self._failed if self._states[job] == FAILED]

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all attempts together."""
        return sum(self._cpu)

    @property
    def peak_bytes(self) -> int:
        """The largest resident size that any attempt reached; 0: not known."""
        return max(self._peak, default=0)

    def moved(self, job: int | None = None) -> tuple[int, int]:
        """Bytes that the attempts of a job, or of all, read from and wrote to storage; 0: none, or not known."""
        if job is not None:
            return self._moved.get(job, (0, 0))
        return sum(read for read, _ in self._moved.values()), sum(written for _, written in self._moved.values())

    def state(self, job: int) -> str:
        """The name of the job's state."""
        return STATES[self._states[job]]

    def has_ended(self, job: int) -> bool:
        """Whether the job is in a final state."""
        return self._states[job] in FINAL

    def running(self) -> Iterator[tuple[int, int]]:
        """The jobs of which an attempt is out, each with the attempt's number, in the order of the batch."""
        job = self._states.find(RUNNING)  # many times as fast as to look at each: most jobs wait, or have ended
        while job >= 0:
            yield job, self._attempts[job]
            job = self._states.find(RUNNING, job + 1)

    @property
    def opened_at(self) -> float:
        """When the run was begun or gone on with last, in seconds since the epoch."""
        return self._opened_at

    def running_since(self, job: int) -> float:
        """When the attempt of the job that is out was handed out, in seconds since the epoch; NaN when there was none."""
        return self._again[job] if self._attempts[job] > 1 else self._began[job]

    @property
    def made(self) -> Mapping[int, tuple[Artifact, ...]]:
        """The files that jobs made, by job; as far as they are known."""
        return self._artifacts

    def took(self, job: int) -> float:
        """Seconds of all attempts of a job that have ended."""
        return self._wall[job]

    def worked(self, jobs: range) -> tuple[int, float]:
        """How many of some jobs that stand side by side have succeeded or failed, and the seconds of all their attempts."""
        states, start, stop = self._states, jobs.start, jobs.stop
        return states.count(SUCCESS, start, stop) + states.count(FAILED, start, stop), sum(self._wall[start:stop])

    def reason(self, job: int) -> str:
        """The reason code of a job that did not end well; empty for others."""
        return self.explanation(job)[1]

    def counts_of(self, jobs: range) -> dict[str, int]:
        """How many of some jobs that stand side by side are in each state, by its name; only those that are not 0."""
        states = self._states[jobs.start : jobs.stop]
        counts = {name: states.count(number) for number, name in enumerate(STATES)}
        counts["skipped"] -= sum(job in self.left_out for job in jobs) if self.left_out else 0
        return {name: count for name, count in counts.items() if count}

    def longest_success(self, jobs: range) -> float:
        """The longest that any took of some jobs that stand side by side and succeeded, in seconds; 0 when none has."""
        states, wall = self._states, self._wall
        return max((wall[job] for job in jobs if states[job] == SUCCESS), default=0.0)

    def explanation(self, job: int) -> tuple[str, str]:
        """The message of a job that did not end well, and its reason code."""
        why = self._why.get(job)
        return (why.message, why.reason) if why else ("", "")

    def bundle(self, job: int) -> BundleFacts | None:
        """Those with whom the job's last attempt was run as one; None when it ran alone."""
        return self._bundles.get(job)

    def slots(self, job: int) -> dict[int, Held]:
        """The slots that the job's attempts held of limits whose slots have names, by the attempts' numbers; of those that held some."""
        return self._slots.get(job, {})

    def in_state(self, *names: str) -> list[int]:
        """The jobs in any of these states, in the order of the batch; those that were left out aside."""
        codes, left_out = frozenset(STATE_OF[name] for name in names), self.left_out
        return [job for job, state in enumerate(self._states) if state in codes and job not in left_out]

    def plain(self, job: int) -> tuple[int, float, float, int, float, bytes] | None:
        """Attempts, seconds, CPU seconds, peak bytes, time of beginning and result of a job that simply succeeded; None for others."""
        if self._states[job] != SUCCESS or job in self._why or job in self._history or job in self._artifacts:
            return None
        return (
            self._attempts[job],
            self._wall[job],
            self._cpu[job],
            self._peak[job],
            self._began[job],
            self._results[job],
        )

    def up_to_date(self, job: int) -> bytes | None:
        """The result of a job that was found up to date, or carried over, and never tried, empty for none; None for others."""
        return self._results[job] if self._states[job] == CACHED and not self._attempts[job] else None

    def columns(
        self,
    ) -> Iterator[tuple[str, int, float, float, int, float, float, bytes, ev.AttemptEnded | ev.JobsEnded | None]]:
        """The facts of all jobs: for tables of a hundred thousand, in a tenth of the time of `facts`.

        They are state, attempts, seconds, CPU seconds, peak bytes, times of beginning and end (not a number: unknown), result, and why the job
        did not end well.
        """
        states = map(STATES.__getitem__, self._states)
        numbers = (self._attempts, self._wall, self._cpu, self._peak, self._began, self._ended)
        return zip(states, *numbers, self._results, map(self._why.get, range(self.jobs)), strict=True)

    def moved_by_job(self) -> Mapping[int, tuple[int, int]]:
        """Bytes read from and written to storage by job, where there were any; to be read only."""
        return self._moved

    def results(self) -> Sequence[bytes]:
        """The results of all jobs as JSON, empty for none; to be read only."""
        return self._results

    def arrays(self) -> Columns:
        """The numbers of all jobs: for pages of a hundred thousand, where even `columns` would be slow."""
        return Columns(self._states, self._attempts, self._wall, self._cpu, self._peak, self._began, self._ended)

    @property
    def last_at(self) -> float:
        """When the last record was made, in seconds since the epoch."""
        return self._last_at

    def tried_again(self) -> dict[int, list[ev.AttemptEnded]]:
        """The ended attempts of the jobs that were not done at the first, by job; to be read only."""
        return self._history

    def facts(self, job: int) -> JobFacts:
        """Everything about one job."""
        why = self._why.get(job)
        return JobFacts(
            number=job,
            name=self.name(job),
            state=self.state(job),
            attempts=self._attempts[job],
            wall_s=self._wall[job],
            cpu_s=self._cpu[job],
            peak_bytes=self._peak[job],
            began_at=_known(self._began[job]),
            ended_at=None if self._states[job] == RUNNING else _known(self._ended[job]),
            read_bytes=self.moved(job)[0],
            written_bytes=self.moved(job)[1],
            result=self._results[job],
            message=why.message if why else "",
            reason=why.reason if why else "",
            cause=why.cause if isinstance(why, ev.JobsEnded) else -1,
            exit_code=why.exit_code if isinstance(why, ev.AttemptEnded) else None,
            signal=why.signal if isinstance(why, ev.AttemptEnded) else None,
            artifacts=self._artifacts.get(job, ()),
            history=tuple(self._history.get(job, ())),
            bundle=self._bundles.get(job),
        )


class LiveView(RunView):
    """The view of a run that goes on, with its plan: what observers are given. It is to be read, not changed.

    `apply` is called by the engine, for every record once it is in the journal.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.name, len(plan))
        self.plan = plan
        self.waits_for: tuple[str, ...] = ()
        """The limits of the machine that ready jobs wait for while other runs have what there is of them."""


def _known(at: float) -> float | None:
    return None if isnan(at) else at
