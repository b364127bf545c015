"""Reading runs from a state folder: what the commands that look back begin with. Nothing is written, and no module of a batch is imported."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from joblot.core.events import PlanExtended
from joblot.errors import JournalDamagedError, StateError
from joblot.journal.folder import StateFolder
from joblot.journal.stored_plan import sound_plan, stored_config, stored_plan
from joblot.reports.report import Report
from joblot.reports.view import RunView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot.core.events import Record
    from joblot.core.model import Config
    from joblot.core.plan import Plan
    from joblot.journal import RunInfo


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
        return Report(self.plan, self.view(), run_id=self.id, log=self.files.log, live=self.held)

    def job(self, name: str) -> int:
        """The number of a job.

        Raises:
            StateError: the run has no such job.
        """
        from joblot.errors import did_you_mean

        if self.of_program:
            hint = f"`joblot show {self.id} --events` shows what it logged"
            raise StateError(f"run `{self.id}` has no jobs: a program recorded it", hint=hint)
        number = self.plan.find(name)
        if number is None:
            names = [self.plan.name(job) for job in range(len(self.plan))]
            raise StateError(
                f"run `{self.id}` has no job `{name}`",
                hint=did_you_mean(name, names) or f"`joblot show {self.id}` lists them",
            )
        return number


@contextmanager
def open_run(name: str | None, state: str | None) -> Iterator[Run]:
    """The run that a person means.

    Raises:
        StateError: there is no such run, or no state folder.
    """
    folder = StateFolder(state, read_only=True)
    try:
        yield Run(folder, folder.resolve(name))
    finally:
        folder.close()


def local_time(wall: float | None) -> str:
    """`2026-11-20 10:24:57`, in this machine's time zone; `-` for None."""
    return "-" if wall is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))


def columns(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
