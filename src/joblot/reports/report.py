"""The summary of a run: as an object for programs, and as the report file.

It is made from a plan and a view of the run's records. It does not know where records come from, nor what a terminal is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from math import nan
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from joblot.clock import iso_utc
from joblot.core.model import Artifact, Held  # noqa: TC001 - fields of structs
from joblot.errors import (
    EXIT_JOBS_FAILED,
    EXIT_OK,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    EXIT_TIME_LIMIT,
    BatchFailedError,
    JoblotError,
    StateError,
)
from joblot.files import replace_file
from joblot.garbage import collection_paused
from joblot.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from joblot.core.events import AttemptEnded
    from joblot.core.model import Config, JobSpec
    from joblot.core.plan import Plan
    from joblot.reports.forms import ReportFile
    from joblot.reports.view import JobFacts, RunView

SCHEMA: Final = 1
"""Number of the report file's form; it grows when a key changes its meaning or goes."""

_PART: Final = 1000
_NOTHING: Final = (0, 0)
_NAMED: Final = 5
"""How many causes an error message names."""
_NOTE_LINES: Final = 200
_TRACEBACK: Final = "Traceback (most recent call last):"

_MESSAGES: Final = {
    "need_failed": "`{cause}` failed",
    "need_skipped": "`{cause}` was skipped",
    "condition": "`when: {when}` did not come true",
    "no_result": "what it uses of `{cause}` is not there",
    "unknown_action": "unknown action `{action}`",
    "not_selected": "not selected when the run began",
    "fail_fast": "stopped after `{cause}` failed",
    "max_failures": "stopped after too many failures",
    "time_limit": "the run's time limit was reached",
    "cancelled": "the run was cancelled",
    "up_to_date": "up to date",
    "carried_over": "carried over from the run that this one continues",
}
"""Messages of reason codes, for events that have none of their own."""


class Failure(NamedTuple):
    """A failed job in reports."""

    name: str
    message: str
    reason: str


class JobReport(Struct, frozen=True, kw_only=True):
    """How one job ended.

    `state` is the job's state, `attempts` how many began, `duration_ms` their time together. `peak_bytes` is the largest resident size of
    a process of an attempt, `read_bytes` and `written_bytes` what all attempts took from storage and gave to it; None where it is not
    known. A job that did not end well has a `reason`
    (a code) and a `message` (one line), and `cause` names the job that its end follows from. Times are UTC in ISO form.
    """

    name: str
    action: str
    state: str
    attempts: int = 0
    duration_ms: int = 0
    result: Any = None
    reason: str = ""
    message: str = ""
    cause: str = ""
    needs: tuple[str, ...] = ()
    started_at: str | None = None
    ended_at: str | None = None
    cpu_s: float = 0.0
    peak_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    log: str = ""
    artifacts: tuple[Artifact, ...] = ()
    history: tuple[AttemptEnded, ...] = ()
    bundle: int = 0
    """How many jobs the last attempt was run with as one, itself included (a size, not a bundle's number); 0 when it ran alone."""
    finally_: bool = msgspec.field(default=False, name="finally")
    """Whether it is a job of `finally`, which runs when all others have ended."""
    allowed: bool = False
    """Whether the job failed and may: the run went on as after a success."""
    slots: Held = {}
    """The slots that the last attempt held of limits whose slots have names, by limit."""

    @property
    def ok(self) -> bool:
        """Whether the job ended well: it succeeded, or what it makes was up to date."""
        return self.state in ("success", "cached")


class Report:
    """The summary of one run of one plan.

    `log` gives the path of the log of a job's attempt from the job's name and the attempt's number. A run without a recorded end is
    `interrupted` unless `live` says that somebody still drives it. With `settled` it is the report that jobs of `finally` are given: of
    all others, with the status with which the run will end.
    """

    def __init__(
        self,
        plan: Plan,
        view: RunView,
        *,
        run_id: str,
        log: Callable[[str, int], str] | None = None,
        live: bool = False,
        settled: bool = False,
        state: str | Path = "",
    ) -> None:
        self.run_id = run_id
        self.batch = plan.config.name
        self.source = plan.config.source
        self.view = view
        self.own_cpu_s = 0.0
        """CPU seconds that joblot's own process took to drive the run, without its jobs; 0 when that was not measured."""
        self.state = str(state)
        """The state folder that has the run; empty: not known."""
        self.earlier: Callable[[], Report | None] = lambda: None
        """Finds the last run of the batch that succeeded before this one: asked where it is told what is different."""
        self._plan = plan
        self._log = log
        self._live = live
        self._settled = settled
        self._apart: frozenset[int] = plan.finals if settled else frozenset()
        """Jobs of which the report is silent."""

    def __repr__(self) -> str:
        return f"<Report {self.run_id} of {self.batch}: {self.status}, {self.total_jobs} jobs>"

    # --- the run --------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """`success`, `failed`, `cancelled`; without an end `interrupted`, or `running` or `stopping` while it is live."""
        if self._settled and self.view.settled:
            return self.view.settled
        return self.view.status if self.view.ended or self._live else "interrupted"

    @property
    def ok(self) -> bool:
        """Whether the run ended and no job failed or was stopped."""
        return self.status == "success"

    @property
    def all_passed(self) -> bool:
        """Whether every job succeeded or was up to date, those aside whose `when` did not come true."""
        counts = self.counts
        passed = counts["success"] + counts["cached"]
        skipped = (job for job in self.view.in_state("skipped") if job not in self._apart)
        excused = sum(self.view.reason(job) == "condition" for job in skipped)
        return self.ok and passed + excused == self.total_jobs

    @property
    def total_jobs(self) -> int:
        """How many jobs take part in the run."""
        return len(self._plan) - len(self._apart | self.view.left_out)

    @property
    def allowed_failures(self) -> int:
        """How many of the jobs that failed may: they do not count for the status."""
        return sum(self._is_allowed(job) for job in self.view.failures if job not in self._apart)

    @property
    def planned_jobs(self) -> int:
        """How many jobs there are, selected or not."""
        return len(self._plan) - len(self._apart)

    @property
    def exit_code(self) -> int:
        """What a command line ends with: 0 all well, 1 jobs failed, 124 the run's time limit, 130 or 143 it was stopped.

        A job of `finally` that failed or was stopped makes 1 of 0, and changes nothing else.
        """
        stopping = self.view.stopping
        if self.ok:
            finals = self._plan.finals
            bad = finals and any(
                self.view.state(job) in ("failed", "cancelled", "aborted") and not self._is_allowed(job)
                for job in finals
            )
            return EXIT_JOBS_FAILED if bad else EXIT_OK
        if stopping and stopping.reason == "time_limit":
            return EXIT_TIME_LIMIT
        if self.status == "cancelled":
            return EXIT_SIGTERM if stopping and stopping.by.startswith(("SIGTERM", "SIGHUP")) else EXIT_SIGINT
        return EXIT_JOBS_FAILED

    @property
    def duration_ms(self) -> int:
        """How long the run took, in milliseconds, without the time in which nobody drove it; 0 while it goes on."""
        return round((self.view.worked_s if self.view.wall_s else 0.0) * 1000)

    @property
    def since_began_ms(self) -> int | None:
        """How long the run took from its beginning, of one that stood still in between; None for others, and while it goes on."""
        wall_ms = round(self.view.wall_s * 1000)
        return wall_ms if self.view.ended and wall_ms > self.duration_ms else None

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state, by its name."""
        counts = self.view.counts
        for job in self._apart - self.view.left_out:
            counts[self.view.state(job)] -= 1
        return counts

    @property
    def listed_counts(self) -> dict[str, int]:
        """The counts for a list of runs: failures that are allowed by themselves."""
        allowed, counts = self.allowed_failures, self.counts
        return counts | {"failed": counts["failed"] - allowed, "allowed_failures": allowed} if allowed else counts

    # --- the jobs -------------------------------------------------------------------------------

    @cached_property
    def jobs(self) -> Mapping[str, JobReport]:
        """Every job by its name, in the order of the batch."""
        return _Jobs(self._plan, self._job)

    @cached_property
    def failed(self) -> list[JobReport]:
        """The jobs that failed, in the order in which they did."""
        return [self._job(job) for job in self.view.failures]

    def first_failed(self, most: int) -> list[JobReport]:
        """The jobs that failed first, at most so many."""
        return [self._job(job) for job in islice(self.view.failures, most)]

    def skipped_alone(self, most: int) -> list[JobReport]:
        """The jobs that were skipped and are none of a fan-out, at most so many."""
        if self.counts["skipped"] == sum(counts.get("skipped", 0) for _, counts in self.fan_outs):
            return []
        alone = (job for job in self.view.in_state("skipped") if self._plan.declarations[job].fan_out is None)
        return [self._job(job) for job in islice((job for job in alone if job not in self._apart), most)]

    def failures(self) -> Iterator[Failure]:
        """Name, message and reason of each job that failed, in the order in which they did."""
        return map(self.failure, self.view.failures)

    def failure(self, job: int) -> Failure:
        """Name, message and reason of a job that failed."""
        message, reason = self.view.explanation(job)
        return Failure(self._plan.name(job), message or self._message(self.view.facts(job)), reason)

    @property
    def plan(self) -> Plan:
        """What the run carries out."""
        return self._plan

    @property
    def log(self) -> Callable[[str, int], str] | None:
        """The path of the log of a job's attempt, by the job's name and the attempt's number; None when there are no logs."""
        return self._log

    def numbered(self, job: int) -> JobReport:
        """The job with this number in the plan."""
        return self._job(job)

    @property
    def config(self) -> Config:
        """The batch as it was when the run began."""
        return self._plan.config

    @property
    def fan_outs(self) -> list[tuple[JobSpec, dict[str, int]]]:
        """The declarations that stand for many jobs, each with how many of its jobs are in each state."""
        fan_outs = ((spec, self.view.counts_of(jobs)) for spec, jobs in self._plan.fan_outs)
        return [(spec, counts) for spec, counts in fan_outs if counts]

    def in_state(self, *names: str) -> Iterator[JobReport]:
        """The jobs in any of these states, in the order of the batch."""
        return (self._job(job) for job in self.view.in_state(*names))

    @property
    def left_out(self) -> AbstractSet[int]:
        """The jobs that take no part in it, by number."""
        return self._apart | self.view.left_out if self._apart else self.view.left_out

    def taking_part(self) -> Iterator[JobReport]:
        """The jobs that take part in the run, in the order of the batch."""
        apart = self.left_out
        return (self._job(job) for job in range(len(self._plan)) if job not in apart)

    def rows(self) -> list[dict[str, Any]]:
        """The jobs that take part as rows of a table, for pandas, Polars or a CSV writer: the columns of `rows_of`, the same in every row."""
        from joblot.reports.rows import rows_of

        with collection_paused():  # it would go through all rows again and again
            return rows_of(self._plan, self.view, self._log, self.left_out)

    def check(self) -> None:
        """Do nothing if the run is `ok` and no job of `finally` failed.

        Raises:
            BatchFailedError: it is not, or one did; the message has the most frequent causes, each with a job, and a note the first traceback
                that a failed job has left in its log.
        """
        if self.exit_code == EXIT_OK:
            return
        from joblot.reports.text import digest

        failures = [job for job in self.view.failures if not self._is_allowed(job)]
        if not failures:
            raise BatchFailedError(f"run `{self.run_id}` did not succeed: {self.status}")
        causes = digest(map(self.failure, failures))
        named = [
            f"`{cause.example}` ({cause.message or cause.reason})"
            if cause.failures == 1
            else f"{cause.failures} x {cause.text} (such as `{cause.example}`)"
            for cause in causes[:_NAMED]
        ]
        more = len(causes) - _NAMED
        others = f" and {more} more {'cause' if more == 1 else 'causes'}" if more > 0 else ""
        told = f"{len(failures)} of {self.total_jobs} jobs failed: {', '.join(named)}{others}"
        for state in ("cancelled", "aborted"):  # they did not fail, and are missing all the same
            if stopped := self.counts[state]:
                told += f"; {stopped} {'was' if stopped == 1 else 'were'} {state}"
        error = BatchFailedError(told)
        for note in self._tracebacks(failures[:_NAMED]):
            error.add_note(note)
            break
        raise error

    def _tracebacks(self, jobs: Iterable[int]) -> Iterator[str]:
        """The last traceback in the log of each of these jobs that has one."""
        from pathlib import Path

        from joblot.reports.tail import last_lines

        for job in map(self._job, jobs):
            try:
                lines = last_lines(Path(job.log), _NOTE_LINES) if job.log else []
            except StateError:  # the job has put something else in its place
                continue
            # It may stand behind an unfinished line of what the job has printed.
            starts = [number for number, line in enumerate(lines) if line.endswith(_TRACEBACK)]
            if starts:
                yield "\n".join([f"of job `{job.name}`:", _TRACEBACK, *lines[starts[-1] + 1 :]])

    def _repr_html_(self) -> str:
        """The run as a cell of a notebook shows it."""
        from joblot.reports.cell import ended

        return ended(self)

    def _job(self, job: int) -> JobReport:
        facts = self.view.facts(job)
        return JobReport(
            name=facts.name,
            action=self._action(job),
            state=facts.state,
            attempts=facts.attempts,
            duration_ms=round(facts.wall_s * 1000),
            result=msgspec.json.decode(facts.result) if facts.result else None,
            reason=facts.reason,
            message=self._message(facts),
            cause=self._cause(facts),
            needs=tuple(self._plan.name(need) for need in self._plan.needs[job]),
            started_at=None if facts.began_at is None else iso_utc(facts.began_at),
            ended_at=None if facts.ended_at is None else iso_utc(facts.ended_at),
            cpu_s=round(facts.cpu_s, 6),
            peak_bytes=facts.peak_bytes or None,
            read_bytes=facts.read_bytes or None,
            written_bytes=facts.written_bytes or None,
            exit_code=facts.exit_code,
            signal=facts.signal,
            log=self._log_of(facts),
            artifacts=facts.artifacts,
            history=facts.history,
            bundle=facts.bundle.jobs if facts.bundle else 0,
            finally_=job in self._plan.finals,
            allowed=self._is_allowed(job),
            slots=self.view.slots(job).get(facts.attempts, {}),
        )

    def _is_allowed(self, job: int) -> bool:
        return self._plan.declarations[job].allow_failure and self.view.state(job) == "failed"

    def _action(self, job: int) -> str:
        spec = self._plan.declarations[job]
        if spec.action is not None:
            return spec.action
        return "run" if spec.run is not None else str(getattr(spec.function, "__qualname__", "function"))

    def _cause(self, facts: JobFacts) -> str:
        return self._plan.name(facts.cause) if facts.cause >= 0 else ""

    def _message(self, facts: JobFacts) -> str:
        if facts.message or not facts.reason:
            return facts.message
        text = _MESSAGES.get(facts.reason, facts.reason.replace("_", " "))
        if "{cause}" in text and facts.cause < 0:
            return facts.reason.replace("_", " ")
        spec = self._plan.declarations[facts.number]
        return text.format(cause=self._cause(facts), when=spec.when, action=spec.action)

    def _log_of(self, facts: JobFacts) -> str:
        return self._log(facts.name, facts.attempts) if self._log and facts.attempts else ""

    # --- the file -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The report file as plain data."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain

    def to_json(self) -> str:
        """The report file as text: the head indented, then each job on a line of its own."""
        return b"".join(self.chunks()).decode()

    def to_json_parts(self) -> Iterator[str]:
        """The same text in parts of whole lines, for reports that are too large to be held as a whole."""
        begun = b""
        for part in self.chunks():
            lines, end, begun = (begun + part).rpartition(b"\n")
            yield (lines + end).decode()

    def write(self, path: str | Path | ReportFile) -> None:
        """Write the report in one step, in the form that the name ends with; missing folders are made.

        `.html` is a page for people, `.xml` JUnit, `.md` a summary, `.csv` and `.tsv` a table of the jobs, `.trace.json` a trace, all else
        JSON. The form may also stand before the path, as in `xml:result`; with `md:` what is in the file stays.

        Raises:
            JoblotError: the file cannot be written.
        """
        from joblot.reports.forms import write

        write(self, path)

    def write_declared(self, but: Collection[str] = ()) -> list[str]:
        """Write the files that the batch names, but for those at some paths. Returns what is to be told of those that could not be written."""
        if not self.config.report:
            return []
        from joblot.reports.forms import declared_files, write

        told = []
        for file in declared_files(self.config):
            if file.path not in but:
                try:
                    write(self, file)
                except JoblotError as error:
                    told.append(f"{error.message}, which the batch names under `report`")
        return told

    def keep(self, path: Path) -> None:
        """Write the report file into the run's own folder.

        Raises:
            UntrustedError: what stands there is no file.
            OSError: it cannot be written.
        """
        replace_file(path, self.chunks())

    def _head(self) -> dict[str, Any]:
        view, counts = self.view, self.counts
        head: dict[str, Any] = {
            "joblot": __version__,
            "schema": SCHEMA,
            "run_id": self.run_id,
            "batch": self.batch,
            "source": self.source,
            "status": self.status,
            "exit_code": self.exit_code,
            "started_at": None if view.started_at is None else iso_utc(view.started_at),
            "ended_at": None if view.ended_at is None else iso_utc(view.ended_at),
            "duration_ms": self.duration_ms,
            **({} if self.since_began_ms is None else {"since_began_ms": self.since_began_ms}),
            "total_jobs": self.total_jobs,
            "succeeded": counts["success"],
        }
        head |= {name: view.settings[name] for name in ("on", "workers") if name in view.settings}
        head |= {state: counts[state] for state in ("failed", "skipped", "cached", "cancelled", "aborted")}
        unfinished = sum(counts[state] for state in ("waiting", "ready", "running", "backing_off"))
        if unfinished:
            head["unfinished"] = unfinished
        if allowed := self.allowed_failures:
            head["allowed_failures"] = allowed
        if view.left_out:
            head["left_out"] = len(view.left_out)
        if self.own_cpu_s:
            head["own_cpu_s"] = round(self.own_cpu_s, 6)
        read, written = view.moved()
        sizes = {"peak_bytes": view.peak_bytes, "read_bytes": read, "written_bytes": written}
        known = {name: size for name, size in sizes.items() if size}
        return head | {"all_passed": self.all_passed, "cpu_s": round(view.cpu_s, 6), **known}

    def chunks(self) -> Iterator[bytes]:
        """The same text as bytes, in parts."""
        text = msgspec.json.format(msgspec.json.encode(self._head()), indent=2)[:-2] + b',\n  "results": ['
        encode_lines, items = msgspec.json.Encoder().encode_lines, self._items()
        separator, part = b"\n    ", list(islice(items, _PART))
        while part:
            # JSON has no line breaks inside, so each one stands between two jobs.
            text += separator + encode_lines(part)[:-1].replace(b"\n", b",\n    ")
            separator, part = b",\n    ", list(islice(items, _PART))
            if part:
                yield text
                text = b""
        yield text + (b"\n  ]\n}\n" if self.total_jobs else b"]\n}\n")

    def _items(self) -> Iterator[_Item]:
        # Reports of a million jobs are written here: jobs that just succeeded or were up to date go without `JobFacts`,
        # and the loop has its names as locals. The rest takes the slower way of `_item`.
        view, log, name_of, action_of = self.view, self._log, self._plan.name, self._action
        moment, text = nan, ""
        left_out, finals = self.left_out, self._plan.finals
        for job in range(len(self._plan)):
            if left_out and job in left_out:
                continue
            plain = view.plain(job) if not finals or job not in finals else None
            if plain is not None:
                attempts, wall_s, cpu_s, peak, began, result = plain
                if began != moment:  # jobs that were started together share the text
                    moment, text = began, iso_utc(began)
                name = name_of(job)
                item = _Item(name, action_of(job), "success", attempts, round(wall_s * 1000), None)
                item.started_at, item.cpu_s, item.peak_bytes = text, cpu_s, peak or UNSET
                if (moved := view.moved(job)) != _NOTHING:
                    item.read_bytes, item.written_bytes = moved[0] or UNSET, moved[1] or UNSET
                if result:
                    item.result = Raw(result)
                if log is not None:
                    item.log = log(name, attempts) or UNSET
                if (bundle := view.bundle(job)) is not None:
                    item.bundle = bundle.jobs
                if slots := view.slots(job):
                    item.slots = slots[attempts]
                yield item
            elif (earlier := view.up_to_date(job)) is not None:
                earlier_result = Raw(earlier) if earlier else UNSET
                reason = view.reason(job)
                yield _Item(name_of(job), action_of(job), "cached", 0, 0, earlier_result, reason, _MESSAGES[reason])
            else:
                yield self._item(job)

    def _item(self, job: int) -> _Item:
        facts = self.view.facts(job)
        item = _Item(
            facts.name,
            self._action(job),
            facts.state,
            facts.attempts,
            round(facts.wall_s * 1000),
            started_at=None if facts.began_at is None else iso_utc(facts.began_at),
            cpu_s=round(facts.cpu_s, 6),
            peak_bytes=facts.peak_bytes or UNSET,
            read_bytes=facts.read_bytes or UNSET,
            written_bytes=facts.written_bytes or UNSET,
            exit_code=UNSET if facts.exit_code is None else facts.exit_code,
            signal=UNSET if facts.signal is None else facts.signal,
            log=self._log_of(facts) or UNSET,
            artifacts=facts.artifacts or UNSET,
            bundle=facts.bundle.jobs if facts.bundle else UNSET,
            finally_=job in self._plan.finals or UNSET,
            allowed=self._is_allowed(job) or UNSET,
            slots=self.view.slots(job).get(facts.attempts, UNSET),
        )
        if facts.state == "success":
            item.result = Raw(facts.result) if facts.result else None
        elif facts.reason:
            if facts.result:  # a failure may carry one too
                item.result = Raw(facts.result)
            item.reason, item.message = facts.reason, self._message(facts)
            if facts.cause >= 0:
                item.cause = self._cause(facts)
        return item


def json_report(report: Report) -> Iterator[bytes]:
    """The report file, in parts."""
    return report.chunks()


class _Item(Struct, gc=False):
    """One job in the report file; what is unset does not appear. `status` is the job's state."""

    job: str
    action: str
    status: str
    attempts: int
    duration_ms: int
    result: Raw | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    started_at: str | None = None
    cpu_s: float = 0.0
    peak_bytes: int | UnsetType = UNSET
    read_bytes: int | UnsetType = UNSET
    written_bytes: int | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    signal: int | UnsetType = UNSET
    log: str | UnsetType = UNSET
    artifacts: tuple[Artifact, ...] | UnsetType = UNSET
    bundle: int | UnsetType = UNSET
    finally_: bool | UnsetType = msgspec.field(default=UNSET, name="finally")
    allowed: bool | UnsetType = UNSET
    slots: Held | UnsetType = UNSET


class _Jobs(Mapping[str, JobReport]):
    """The jobs of a report, each made when it is asked for."""

    def __init__(self, plan: Plan, make: Callable[[int], JobReport]) -> None:
        self._plan = plan
        self._make = make

    def __getitem__(self, name: str) -> JobReport:
        job = self._plan.find(name)
        if job is None:
            raise KeyError(name)
        return self._make(job)

    def __iter__(self) -> Iterator[str]:
        return map(self._plan.name, range(len(self._plan)))

    def __len__(self) -> int:
        return len(self._plan)
