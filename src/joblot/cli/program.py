"""The display of a run that a Python program drives: the command's own, on streams that stay the program's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from joblot.cli.live import LiveProgress
from joblot.cli.output import Output
from joblot.cli.progress import PlainProgress
from joblot.journal.folder import RunFolder
from joblot.reports.text import closing

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.reports.report import Report
    from joblot.reports.view import LiveView


class _BorrowedOutput(Output):
    """Writes to the standard error that the program has, and changes neither stream."""

    def __init__(self) -> None:
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._mark = f"\x1b{os.urandom(4).hex()}"
        self.json = self.quiet = False
        self.colourless = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


class _OfProgram(PlainProgress):
    """`runs` is the folder of runs, of which this one is known when it starts; None: nothing is kept on disk."""

    def __init__(self, output: Output, runs: Path | None) -> None:
        super().__init__(output, None)
        self._runs = runs

    def started(self, run_id: str, view: LiveView) -> None:
        """Begin, with the logs of that run."""
        self._folder = None if self._runs is None else RunFolder(self._runs / run_id)
        super().started(run_id, view)

    def close(self, report: Report | None = None) -> None:
        """Take the display away, and say how the run ended."""
        if report is not None:
            self._output.note(closing(report, paint=self._output.paint))


class _LiveOfProgram(_OfProgram, LiveProgress):
    def close(self, report: Report | None = None) -> None:
        LiveProgress.close(self)
        if report is not None:
            super().close(report)


def display_of(runs: Path | None, *, lines: bool) -> _OfProgram | None:
    """What shows a run on the program's terminal. Where standard error is none it is log lines, if `lines` are wanted, or nothing."""
    if sys.stderr is None:
        return None
    output = _BorrowedOutput()
    if output.live and not output.colourless:
        return _LiveOfProgram(output, runs)
    return _OfProgram(output, runs) if lines else None
