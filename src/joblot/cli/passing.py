"""What jobs print, passed on to standard output while their run goes on: job by job, whole, in the order of the batch or of their ends.

An observer. It reads the logs of attempts that have ended, and keeps nothing but numbers of jobs. Whoever reads standard output may be slow:
the run does not wait for it, and what is left when the run is over is written then.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from typing import TYPE_CHECKING, Final

from joblot.cli.output import StdoutError
from joblot.cli.tail import blocks
from joblot.core.events import AttemptEnded, JobsEnded
from joblot.core.model import FINAL, STATES
from joblot.errors import StateError
from joblot.files import reason_of
from joblot.reports.tail import open_log
from joblot.runner.interrupts import stop_driving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from joblot.cli.output import Output
    from joblot.core.events import Record
    from joblot.journal.folder import RunFolder
    from joblot.reports.view import LiveView

_ENDED: Final = frozenset(STATES[state] for state in FINAL)
_BLOCK: Final = 65536
_AT_ONCE: Final = select.PIPE_BUF
"""A pipe that takes anything takes so many bytes without a wait."""
_SHARE_MS: Final = 50
"""How long the run waits at a time, four times a second, for a reader who is slow."""


class JobOutput:
    """What the jobs of a run print, on its way to standard output. `folder` holds their logs, each of which keeps `max_log` bytes.

    With `in_order` a job's output waits for those of the jobs before it. With `is_told` people are told how the run stands and ends.
    """

    def __init__(self, output: Output, folder: RunFolder, *, in_order: bool, is_told: bool, max_log: int) -> None:
        self.is_told = is_told
        self.on_terminal = output.stdout.isatty()
        self.is_broken = False
        """Whether nobody reads standard output any more."""
        self.make_room: Callable[[], None] = lambda: None
        """Takes what else is on the terminal out of the way."""
        self._output = output
        self._fd = output.stdout.fileno()
        self._folder = folder
        self._logs = str(folder.logs)
        self._in_order = in_order
        self._max_log = max_log
        self._next = 0
        self._waiting: dict[int, int] = {}
        """By job that has ended before others in front of it, its last attempt; 0 for none."""
        self._due: deque[tuple[int, int]] = deque()
        self._file: BinaryIO | None = None
        self._rest = b""
        mode = os.fstat(self._fd).st_mode
        self._at_once = _BLOCK if stat.S_ISREG(mode) else _AT_ONCE
        self.may_draw = is_told and not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))
        """Whether a display can have the terminal: who reads from a pipe may write to it at any time."""
        self._ready = select.poll()
        self._ready.register(self._fd, select.POLLOUT)

    # --- Observer -------------------------------------------------------------------------------

    def started(self, run_id: str, view: LiveView) -> None:  # noqa: ARG002 - the protocol's signature
        """Know the names of the jobs."""
        self._name = view.plan.name

    def recorded(self, record: Record) -> None:
        """Pass on what those have printed that ended."""
        for event in record.events:
            if type(event) is AttemptEnded:
                if event.state in _ENDED:
                    self._ended(event.job, event.attempt)
            elif type(event) is JobsEnded:
                for job in event.jobs:
                    self._ended(job, 0)
        self._pass_on(0)

    def idle(self) -> None:
        """Pass on more, if somebody takes it."""
        self._pass_on(_SHARE_MS)

    def warned(self, message: str) -> None:
        """Others tell of it."""

    def ended(self, status: str) -> None:
        """Others tell of it. What is left is written by `close`, when the run has let go of everything."""

    def close(self) -> None:
        """Write what is left, however long it takes; what a job in front of it never ended does not hold back the rest."""
        self._due.extend((job, attempt) for job, attempt in sorted(self._waiting.items()) if attempt)
        self._waiting.clear()
        self._pass_on(None)

    # --- passing on -----------------------------------------------------------------------------

    def _ended(self, job: int, attempt: int) -> None:
        if not self._in_order:
            self._due.append((job, attempt))
            return
        self._waiting[job] = attempt
        while self._next in self._waiting:
            self._due.append((self._next, self._waiting.pop(self._next)))
            self._next += 1

    def _pass_on(self, wait_ms: int | None) -> None:
        """Write as much as can be written at once, or in so many milliseconds between two pieces; None: all of it."""
        try:
            while not self.is_broken:
                if not self._rest and not self._read():
                    return
                if wait_ms is not None and not self._ready.poll(wait_ms):
                    return
                try:
                    written = os.write(self._fd, self._rest if wait_ms is None else self._rest[: self._at_once])
                except BlockingIOError:  # somebody has made it so
                    if wait_ms is not None:
                        return
                    self._ready.poll()
                    continue
                self._rest = self._rest[written:]
        except (OSError, StdoutError) as error:
            self._break(error)

    def _read(self) -> bool:
        """Have something to write; False when nothing is due."""
        while self._file is not None or self._due:
            if self._file is None:
                self._file = self._open(*self._due.popleft())
                continue
            try:
                self._rest = self._file.read(_BLOCK)
            except OSError as error:
                self._warn(f"`{self._file.name}` cannot be read: {reason_of(error)}")
            if self._rest:
                return True
            self._file.close()
            self._file = None
        return False

    def _open(self, job: int, attempt: int) -> BinaryIO | None:
        """The log of an attempt, if it printed anything; on a terminal it is shown at once."""
        name = self._name(job)
        if not attempt or not os.access(f"{self._logs}/{name}/{attempt}.log", os.F_OK):
            return None
        path = self._folder.log_path(name, attempt)
        if self.on_terminal:
            self._show(name, path)
            return None
        try:
            file = open_log(path)
        except (StateError, OSError) as error:  # the job has put something else in its place
            why = error.message if isinstance(error, StateError) else reason_of(error)
            self._warn(f"{name}: what it printed cannot be read: {why}")
            return None
        if os.fstat(file.fileno()).st_size > self._max_log:
            self._warn(f"{name}: printed more than is kept: its output lacks the middle (`--max-log`)")
        return file

    def _show(self, name: str, path: Path) -> None:
        self.make_room()
        try:
            for text in blocks(path):
                self._output.result(text, tabs=True)
        except StateError as error:
            self._warn(f"{name}: what it printed cannot be read: {error.message}")

    def _warn(self, message: str) -> None:
        self.make_room()
        self._output.log("WARNING", message)

    def _break(self, error: OSError | StdoutError) -> None:
        """Nobody takes more: what has not begun is not begun."""
        self.is_broken = True
        self._due.clear()
        if isinstance(error, BrokenPipeError):
            self._output.silent = True
            stop_driving("nobody reads what the jobs print any more")
        else:
            why = error.message if isinstance(error, StdoutError) else reason_of(error)
            self._output.error(why if isinstance(error, StdoutError) else f"cannot write to standard output: {why}")
            stop_driving("standard output cannot be written to")
