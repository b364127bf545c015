"""The display of a run that a Python program drives: the command's own, on streams that stay the program's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from joblot.cli.live import LiveProgress
from joblot.cli.output import Output
from joblot.cli.progress import PlainProgress
from joblot.journal.folder import RunFolder
from joblot.reports.tail import last_printed
from joblot.reports.text import closing

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.core.events import Record
    from joblot.reports.report import Report
    from joblot.reports.view import LiveView


class _BorrowedOutput(Output):
    """Writes to the standard error that the program has, and changes neither stream."""

    def __init__(self) -> None:
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._mark = f"\x1b{os.urandom(4).hex()}"
        self.json = self.quiet = self.silent = False
        self.colourless = bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) or os.environ.get("TERM") == "dumb"


class ProgramDisplay:
    """An observer that begins a display when it is known which run it is of; `runs` is the folder of runs, None where nothing is kept on disk."""

    def __init__(self, output: Output, kind: type[PlainProgress], runs: Path | None) -> None:
        self._output = output
        self._kind = kind
        self._runs = runs
        self._display: PlainProgress | None = None

    def started(self, run_id: str, view: LiveView) -> None:
        """Begin, with the logs of that run."""
        self._display = self._kind(self._output, None if self._runs is None else RunFolder(self._runs / run_id))
        self._display.started(run_id, view)

    def recorded(self, record: Record) -> None:
        """Pass it on."""
        if self._display is not None:
            self._display.recorded(record)

    def idle(self) -> None:
        """Pass it on."""
        if self._display is not None:
            self._display.idle()

    def warned(self, message: str) -> None:
        """Pass the warning on; before the run it is said at once, for the run may wait."""
        if self._display is not None:
            self._display.warned(message)
        else:
            self._output.log("WARNING", message)

    def ended(self, status: str) -> None:
        """Pass it on."""
        if self._display is not None:
            self._display.ended(status)

    def close(self, report: Report | None = None) -> None:
        """Take the display away, and say how the run ended."""
        if self._display is not None:
            self._display.close()
        if report is not None:
            told = self._display is not None and self._display.told_all
            self._output.note(closing(report, paint=self._output.paint, printed=last_printed, told=told))


def display_of(runs: Path | None, *, lines: bool) -> ProgramDisplay | None:
    """What shows a run on the program's terminal. Where standard error is none it is log lines, if `lines` are wanted, or nothing."""
    if sys.stderr is None:
        return None
    output = _BorrowedOutput()
    if output.live:
        return ProgramDisplay(output, LiveProgress, runs)
    return ProgramDisplay(output, PlainProgress, runs) if lines else None
