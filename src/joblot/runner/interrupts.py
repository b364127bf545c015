"""SIGINT, SIGTERM and SIGHUP while a run is driven, and the question of SIGUSR1."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from joblot.errors import EXIT_SIGINT, EXIT_SIGTERM
from joblot.executors.processes import in_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


BEFORE_EXIT: Final[list[Callable[[], None]]] = []
"""What is called when the third signal exits at once: without locks, and without what may be in use."""
_DRIVING: Final[list[Interrupts]] = []
_ASKED: Final[list[bool]] = []
"""Not empty while SIGUSR1 is a question here."""


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP while a run is driven: the first asks for an orderly stop, the second kills, the third exits.

    The kernel of a notebook does not exit: what runs there is interrupted instead, as it is without a run.

    A context manager, for the main thread; elsewhere it does nothing. `fd` becomes readable when a signal has come. What an inline action
    forks has the handlers from before: it would outlive the TERM by which `multiprocessing` ends what is left of it, and be waited for.
    """

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self.exit_code = EXIT_SIGINT
        self._taken = 0
        self._before: dict[int, Any] = {}
        self._before_fd = -1
        self.fd = -1
        self._write_fd = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
        self._before_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                self._before[number] = signal.signal(number, self._on_signal)
        _DRIVING.append(self)
        return self

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.name = signal.Signals(number).name
        self.exit_code = EXIT_SIGINT if number == signal.SIGINT else EXIT_SIGTERM
        if self.count >= 3:
            if in_kernel():  # with everything that its user has there: what hangs ends by the exception
                raise KeyboardInterrupt
            for last in BEFORE_EXIT:
                last()
            os._exit(self.exit_code)  # here and now, whatever hangs; the warden sweeps up

    def news(self) -> bool:
        """Whether a signal has come since the last time this was asked. Empties what woke the loop, whichever signal it was."""
        try:
            os.read(self.fd, 512)
        except OSError:
            pass  # nothing there, or not the main thread
        if self.count == self._taken:
            return False
        self._taken = self.count
        return True

    def ask(self, name: str) -> None:
        """Ask for an orderly stop, as the first signal does."""
        self.count += 1
        self.name = name

    def begin_again(self) -> None:
        """Count anew: what comes from here on is the first. What nobody has looked at yet still counts."""
        self.count -= self._taken
        self._taken = 0

    def __exit__(self, *_: object) -> None:
        if self.fd < 0:
            return
        _DRIVING.remove(self)
        self._give_back()
        os.close(self.fd)
        os.close(self._write_fd)
        self.fd = -1

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)


def stop_driving(name: str) -> None:
    """Ask the run that is driven here for an orderly stop; `name` says what asks. For observers, which know of no run but its records."""
    for interrupts in _DRIVING:
        interrupts.ask(name)


@contextmanager
def asked_by_signal(ask: Callable[[], None]) -> Iterator[None]:
    """Call `ask` at each SIGUSR1, unless the program or whoever started it has other plans for that. What is forked knows nothing of it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGUSR1, lambda *_: ask())
    _ASKED.append(True)
    try:
        yield
    finally:
        _ASKED.clear()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def _give_back_in_child() -> None:
    for interrupts in reversed(_DRIVING):
        interrupts._give_back()  # noqa: SLF001 - of this module
    _DRIVING.clear()
    if _ASKED:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        _ASKED.clear()


os.register_at_fork(after_in_child=_give_back_in_child)
