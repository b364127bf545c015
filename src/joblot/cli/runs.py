"""Reading runs from a state folder: what the commands that look back begin with. Nothing is written, and no module of a batch is imported."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

import click

from joblot.core.events import PlanExtended
from joblot.errors import JournalDamagedError, StateError, UsageError, did_you_mean
from joblot.journal.folder import StateFolder, holder
from joblot.journal.stored_plan import sound_plan, stored_config, stored_plan
from joblot.reports.report import Report
from joblot.reports.text import one_line
from joblot.reports.view import RunView
from joblot.units import format_age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joblot.cli.output import Output
    from joblot.core.events import Record
    from joblot.core.model import Config
    from joblot.core.plan import Plan
    from joblot.journal import RunInfo

_COMPARED: Final = 10_000
"""So many names of jobs are looked at for one that is nearly as given."""
_LOOKED_AT: Final = 100
"""So many runs are looked at for one of another batch that has a job."""
_PART: Final = 4
"""A word of fewer characters that is a job's name is not taken for a part of a run's id."""


class Run:
    """One run as it stands now."""

    def __init__(self, folder: StateFolder, info: RunInfo) -> None:
        self.info = info
        self.id = info.run_id
        self.files = folder.run_folder(info.run_id)
        self.folder = folder

    @property
    def held(self) -> bool:
        """Whether a live process drives it."""
        return self.folder.is_held(self.id)

    @cached_property
    def _stored(self) -> bytes:
        return sound_plan(self.folder.journal, self.id)

    @property
    def of_program(self) -> bool:
        """Whether a program recorded it with a `RunLogger`: it has no jobs, and only the program itself goes on with it."""
        return not self._stored

    @cached_property
    def config(self) -> Config:
        """The batch as it was when the run began; one without jobs for a run of a program."""
        return stored_config(self._stored, self.id, self.info.batch)

    @cached_property
    def plan(self) -> Plan:
        """What the run carries out, with the jobs that it has found on its way."""
        plan = stored_plan(self.config, self.id)
        if plan.growing:
            for record in self.records():
                for event in record.events:
                    if isinstance(event, PlanExtended):
                        plan.extend(event.job, event.columns)
        return plan

    def records(self) -> Iterator[Record]:
        """Everything that was recorded."""
        return self.folder.journal.records(self.id)

    def view(self) -> RunView:
        """What the records say now.

        Raises:
            JournalDamagedError: they cannot be read, or speak of jobs that the run has not.
        """
        try:
            return RunView(self.plan.name, len(self.plan)).apply_all(self.records())
        except LookupError as error:
            message = f"the records of run `{self.id}` do not fit its plan: {type(error).__name__}: {error}"
            raise JournalDamagedError(
                message, hint="they are what was written: a newer joblot may have done so"
            ) from error

    def report(self) -> Report:
        """The report as of now."""
        report = Report(
            self.plan, self.view(), run_id=self.id, log=self.files.log, live=self.held, state=self.folder.path
        )
        report.earlier = self.earlier
        return report

    def earlier(self) -> Report | None:
        """The report of the last run of the batch that succeeded before this one; None when there is none."""
        info = last_good_before(self.folder, self.info)
        return None if info is None else Run(self.folder, info).report()

    def going_on(self, view: RunView, job: int, now: float) -> str:
        """How a job stands that runs or is to be tried again: `attempt 2, for 12 s`; empty for all others.

        What was running when the runner ended is no more: nothing is said of its age.
        """
        state, attempts = view.state(job), view.facts(job).attempts
        if state == "running":
            if not self.held:
                return f"attempt {attempts}, when the runner ended"
            age = format_age(max(0.0, now - view.running_since(job)))
            pid = self.pid(view, job)
            return f"attempt {attempts}, for {age}{'' if pid is None else f', pid {pid}'}"
        if state == "backing_off":
            due = self.next_try(view, job, now)
            return f"{attempts} attempt{'s' if attempts > 1 else ''}{due and f', next try {due}'}"
        return ""

    def pid(self, view: RunView, job: int) -> int | None:
        """The process on this machine that carries out the job, as far as its log tells: one that writes to it."""
        try:
            status = self.files.log_path(self.plan.name(job), view.facts(job).attempts).stat()
        except OSError:
            return None
        return self._writers.get((status.st_dev, status.st_ino))

    @cached_property
    def _writers(self) -> dict[tuple[int, int], int]:
        from joblot.executors.processes import writers

        driver = holder(self.files.lock) or {}
        pid = driver.get("pid")
        return writers(pid) if driver.get("host") == os.uname().nodename and isinstance(pid, int) else {}

    def next_try_at(self, view: RunView, job: int) -> float | None:
        """When a job that waits to be tried again is due, in seconds since the epoch; None for others."""
        facts = view.facts(job)
        if facts.state != "backing_off" or facts.ended_at is None or not facts.history:
            return None
        if view.opened_at > facts.ended_at:  # who goes on with a run begins the wait anew
            return view.opened_at + self.plan.declarations[job].retry.delay_s
        return facts.ended_at + facts.history[-1].delay_s

    def next_try(self, view: RunView, job: int, now: float) -> str:
        """When a job that waits to be tried again is due: `in 8 s`; empty where nobody drives the run."""
        due = self.next_try_at(view, job)
        if due is None or not self.held:
            return ""
        return f"in {format_age(due - now)}" if due > now else "now"

    def job(self, name: str) -> int:
        """The number of a job.

        Raises:
            StateError: the run has no such job.
        """
        if not self.of_program and (number := self.plan.find(name)) is not None:
            return number
        raise self.without(name)

    def jobs(self, name: str) -> list[int]:
        """The number of a job, or those of all whose names match a pattern.

        Raises:
            StateError: the run has no such job.
        """
        if not self.of_program and (numbers := self.plan.match(name)):
            return numbers
        raise self.without(name)

    def has(self, name: str) -> bool:
        """Whether it has a job of that name, or one that matches a pattern."""
        return not self.of_program and bool(self.plan.match(name))

    def nearest(self, name: str) -> str:
        """A hint that names the jobs that are called nearly so; empty when there is none."""
        return did_you_mean(name, map(self.plan.name, range(min(len(self.plan), _COMPARED))))

    def without(self, name: str) -> StateError:
        """The error that it has no such job."""
        if self.of_program:
            hint = f"`joblot show {self.id} --events` shows what it logged"
            return StateError(f"run `{self.id}` has no jobs: a program recorded it", hint=hint)
        hint = self.nearest(name) or f"`joblot show {self.id}` lists them"
        return StateError(f"run `{self.id}` has no job `{name}`", hint=hint)


def last_good_before(folder: StateFolder, run: RunInfo) -> RunInfo | None:
    """The last run of the same batch that succeeded before this one began."""
    from joblot.journal import Chosen

    met = False
    for info in folder.chosen(Chosen(batch=run.batch), lambda _: None):
        if met and info.source == run.source and info.status == "success":
            return info
        met = met or info.run_id == run.run_id
    return None


@contextmanager
def open_run(output: Output, name: str | None, state: str | None) -> Iterator[Run]:
    """The run that a person means: without a name the last one.

    Raises:
        StateError: there is no such run, or no state folder.
    """
    folder = StateFolder(state, read_only=True)
    try:
        yield _named(output, folder, name)
    finally:
        folder.close()


@contextmanager
def open_job(output: Output, run: str | None, job: str | None, state: str | None) -> Iterator[tuple[Run, str | None]]:
    """The run and the job, or the pattern of jobs, that a person means. One word may be either; the job is then one of the last run.

    Raises:
        StateError: there is no such run, or no state folder; or the one word is neither, or both.
    """
    folder = StateFolder(state, read_only=True)
    try:
        if run is not None and job is None and _is_job(folder, run):
            run, job = None, run
        yield _named(output, folder, run), job
    finally:
        folder.close()


def needed_job(run: Run, name: str | None) -> str:
    """The name of a job, for a command that needs one.

    Raises:
        UsageError: there is none.
        StateError: nor has the run any job.
    """
    if name is None:
        if run.of_program:
            raise run.without("")
        raise UsageError(
            "no job was named", hint=f"`joblot {_command()} {run.id} JOB`; `joblot show {run.id}` lists them"
        )
    return name


def _named(output: Output, folder: StateFolder, name: str | None) -> Run:
    """The run of that name. The last one is told where other batches have runs too: it may not be the one that was thought of.

    Not with `--quiet`: cron would mail it after every reboot.
    """
    run = Run(folder, folder.resolve(name))
    if name is None and not output.quiet and folder.journal.has_other_batches(run.info.batch):
        output.note(f"last run here: `{run.id}` of `{one_line(run.info.batch)}`")
    return run


def _is_job(folder: StateFolder, word: str) -> bool:
    """Whether a word means a job of the last run, rather than a run.

    Raises:
        StateError: it means neither, or both.
    """
    if word == "last":
        return False  # which is always the run: nobody's script is to stop because a job is called so
    runs = folder.matches(word)
    try:
        last = Run(folder, folder.resolve(None))
        is_job = last.has(word)
    except StateError:
        if runs:
            return False  # a last run that cannot be read keeps nobody from another one
        raise
    if not runs and not is_job:
        raise _neither(folder, last, word)
    # A job called `a` is not to be in the way of one run in sixteen: their ids end in hexadecimal digits.
    if not is_job or not runs or (len(word) < _PART and runs[0].run_id != word):
        return is_job
    raise _both(folder, last, word, runs)


def _neither(folder: StateFolder, last: Run, word: str) -> StateError:
    try:
        folder.resolve(word)
    except StateError as error:
        if error.hint != folder.LISTS:
            return error
        hint = last.nearest(word) or _other_run(folder, last, word) or error.hint
        return StateError(f"{error.message}, nor a job of its last run `{last.id}`", hint=hint)
    raise AssertionError(f"BUG: `{word}` is a run")


def _other_run(folder: StateFolder, last: Run, word: str) -> str:
    """A hint that names the run of another batch that has such a job; empty when its last one has none."""
    batches = {last.info.batch}
    for info in folder.journal.runs(limit=_LOOKED_AT):
        if not info.fault and info.batch not in batches:
            batches.add(info.batch)
            with suppress(StateError):
                if Run(folder, info).has(word):
                    return f"run `{info.run_id}` of `{one_line(info.batch)}` has it: `joblot {_command()} {info.run_id} {word}`"
    return ""


def _both(folder: StateFolder, last: Run, word: str, runs: list[RunInfo]) -> StateError:
    job = f"the job: `joblot {_command()} last {word}`"
    if len(runs) > 1:
        return StateError(f"`{word}` is a job of the last run, and could be any of {len(runs)} runs", hint=job)
    run_id = runs[0].run_id
    spellings = (text for text in (run_id, run_id[:-1], run_id[1:]) if text and not last.has(text))
    other = next((text for text in spellings if [info.run_id for info in folder.matches(text)] == [run_id]), "")
    hint = f"{job}; the run: `joblot {_command()} {other}`" if other else job
    return StateError(f"`{word}` is a job of the last run, and run `{run_id}`", hint=hint)


def _command() -> str:
    return str(click.get_current_context().info_name)


def local_time(wall: float | None) -> str:
    """`2026-11-20 10:24:57`, in this machine's time zone; `-` for None."""
    return "-" if wall is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))


def columns(
    rows: list[list[str]], paint: Callable[[int, int, str], str] = lambda _row, _column, text: text
) -> list[str]:
    """Rows of cells as lines with aligned columns. `paint(row, column, text)` may colour a cell: its blanks at the end are not its own."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        cells = (
            paint(number, column, cell) + " " * (width - len(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return lines
