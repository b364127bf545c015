"""The display of a run on a terminal, which is drawn anew in place. An observer, as `progress` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from joblot.cli.progress import PlainProgress
from joblot.cli.screen import Screen, cropped
from joblot.reports.text import one_line
from joblot.runner.interrupts import BEFORE_EXIT
from joblot.units import format_age

if TYPE_CHECKING:
    from joblot.reports.view import LiveView

_FRAME_S: Final = 0.2
_FIRST_FRAME_S: Final = 0.5
_ALONE_S: Final = 2.0
"""How long a run of one job has no display, so that nothing flashes."""
_SHOWN: Final = 8
"""So many running jobs are listed in the live display."""
_AROUND_ROWS: Final = 6
"""Rows of the terminal that are not for running jobs."""
_BAR_FROM: Final = 100
_BAR: Final = 50
"""Half of the narrowest terminal with a bar: some take its signs for two columns wide."""
_ROW: Final = 79
"""Columns of a row at the most: one that a narrower terminal breaks takes more room, and tmux may lose the cursor for that."""


class LiveProgress(PlainProgress):
    """A display that is drawn anew in place: how far the run is, and what runs now. Warnings and failures stay above it."""

    _screen: Screen | None = None

    def started(self, run_id: str, view: LiveView) -> None:
        """Begin the display."""
        screen = Screen(self._output.terminal)
        self._columns = screen.size()[0]
        super().started(run_id, view)
        self._above: list[str] = []
        """What has yet to go by above the display."""
        self._drawn = False
        self._draw_at = self._now() + (_ALONE_S if self.tally.total == 1 else _FIRST_FRAME_S)
        self._screen = screen
        BEFORE_EXIT.append(screen.abandon)

    def idle(self) -> None:
        """Draw the display anew. It has no thread of its own: the engine may fork, and it comes by four times a second anyway."""
        super().idle()
        if self._now() >= self._draw_at:
            self._draw()

    def warned(self, message: str) -> None:
        """Pass the warning on, at once: the engine may wait for long now."""
        super().warned(message)
        if self._screen is not None and self._above:
            self._draw()

    def ended(self, status: str) -> None:
        """Take the display away."""
        self.close()
        super().ended(status)

    def make_room(self) -> None:
        """Take the lines away; they are drawn anew when it is time."""
        screen, above = self._screen, self._above
        if screen is not None and self._drawn:
            self._above, self._drawn = [], False
            try:
                screen.close(self._output.shown("\n".join(above)))
            except OSError:
                self._let_go()  # the terminal has gone; the run goes on

    def close(self) -> None:
        """Take the display away. What was to go by above it stays."""
        screen = self._let_go()
        if screen is not None:
            try:
                screen.close(self._output.shown("\n".join(self._above)))
            except OSError:
                return  # the terminal has gone

    @property
    def told_all(self) -> bool:
        """Only what went wrong has had a line."""
        return False

    def _let_go(self) -> Screen | None:
        screen, self._screen = self._screen, None
        if screen is not None:
            BEFORE_EXIT.remove(screen.abandon)
        return screen

    def conclude(self, message: str) -> None:
        """Without the time, so that a command to be copied stands on one line."""
        self._output.note(message)

    def _open(self, run_id: str, jobs: str) -> None:
        whole = f"run `{run_id}`: {jobs}, {self._slots} at once"
        self._output.note(whole if len(whole) < self._columns else f"{run_id}: {jobs}")

    def _remark(self, message: str) -> None:
        self._show([self._output.log_line("INFO", message)])

    def _say(self, level: str, message: str) -> None:
        if self._screen is None:
            super()._say(level, message)
        elif level != "INFO":
            self._show([self._output.log_line(level, message)])

    def _show(self, lines: list[str]) -> None:
        if self._screen is None or not self._drawn:
            super()._show(lines)
            return
        self._above += lines
        if self._now() >= self._draw_at:
            self._draw()

    def _draw(self) -> None:
        screen, tally = self._screen, self.tally
        if screen is None:
            return
        lines = self._lines(*screen.size())
        above, self._above = "\n".join(self._above), []
        self._drawn, self._draw_at = True, self._now() + _FRAME_S
        progress = (100 * tally.done // tally.total, tally.has_failed) if tally.total else None
        try:
            screen.draw(
                [self._output.shown(line) for line in lines], above=self._output.shown(above), progress=progress
            )
        except OSError:
            self._let_go()  # the terminal has gone; the run goes on

    def _lines(self, columns: int, rows: int) -> list[str]:
        tally, columns = self.tally, columns - 1
        alone = tally.total == 1
        oldest = self._oldest(max(0, min(_SHOWN, rows - _AROUND_ROWS)))
        lines = [] if alone else [self._head(columns)]
        if not alone and columns + 1 >= _BAR_FROM:
            lines.append(self._bar())
        wide = columns if alone else min(columns, _ROW)
        lines += [self._row(job, attempt, wide, alone=alone) for job, attempt in oldest]
        others = self._others(len(oldest))
        return [*lines, cropped(f"  {others}", columns)] if others else lines

    def _head(self, columns: int) -> str:
        head = cropped(self.tally.standing(columns), columns)
        before, failed, after = head.partition(" failed")
        if not failed:
            return head
        before, _, number = before.rpartition(" ")
        return f"{before} {self._output.paint('failed', number + failed)}{after}"

    def _bar(self) -> str:
        tally = self.tally
        filled = _BAR * tally.done // max(tally.total, 1)
        done = self._output.paint("failed" if tally.has_failed else "success", "━" * filled)
        return f"{done}{'─' * (_BAR - filled)} {100 * tally.done // max(tally.total, 1)} %"

    def _row(self, job: int, attempt: int, columns: int, *, alone: bool) -> str:
        begin, end = f"{format_age(self._age(job)):>7}  ", f" (attempt {attempt})" if attempt > 1 else ""
        name = self._output.shown(one_line(self._plan.name(job)))
        line = self._output.shown(self._last_line(job, attempt)) if alone else ""
        room = columns - len(begin) - len(end)
        row = begin + cropped(name, room // 2 if line else room, middle=True) + end
        return cropped(f"{row}: {line}" if line else row, columns)
