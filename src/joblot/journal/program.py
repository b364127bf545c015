"""The record of a run that a program makes by itself: the journal that a `RunLogger` with a state folder writes to.

The process holds the run as one that drives a batch does, so that a killed one is seen to be `interrupted`. It begins no thread and no process:
programs fork, and what they fork does not record. It does not know what is logged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from joblot.errors import StateError
from joblot.journal.folder import StateFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from joblot.core.events import AnyEvent
    from joblot.journal.folder import Hold

_OPEN: Final[WeakSet[ProgramRun]] = WeakSet()
_LEFT: Final[list[StateFolder]] = []
"""Of a parent process, never closed here: SQLite must not use, nor close, a connection on both sides of a fork."""


class ProgramRun:
    """One run of a program in the state folder `state`; None is the one that `joblot ls` reads.

    Raises:
        StateError: the folder cannot be used.
    """

    def __init__(self, state: str | Path | None) -> None:
        self._hold: Hold | None = None
        self._folder: StateFolder | None = StateFolder(state, network_ok=False)
        _OPEN.add(self)

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> None:
        """The run begins, and this process holds it.

        Raises:
            StateError: there is one of that id, or the folder does not take it.
        """
        if self._folder is None:
            return
        journal, hint = self._folder.journal, "leave out `run_id`, or give each run its own"
        if journal.info(run_id) is not None:
            raise StateError(f"run `{run_id}` exists already in `{self._folder.path}`", hint=hint)
        self._hold = self._folder.hold(run_id)
        if self._hold.folder.events.exists():
            hint = f"the journal has lost it, its files have not: `joblot recover {run_id}`"
            raise StateError(f"run `{run_id}` exists already in `{self._folder.path}`", hint=hint)
        journal.create(run_id, batch=batch, source=source, jobs=jobs, plan=plan, at=at)
        self._hold.attach(journal, "end")

    def append(self, run_id: str, events: Sequence[AnyEvent], at: float) -> None:
        """Events, in the run's own file when this returns."""
        if self._folder is not None:
            self._folder.journal.append(run_id, events, at)

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> None:
        """How the run ended."""
        if self._folder is not None:
            self._folder.journal.summarise(run_id, status=status, ended_at=ended_at, counts=counts)

    def close(self) -> None:
        """Force what was recorded to disk, and let go of the run."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        try:
            folder.close()
        finally:
            if self._hold is not None:
                self._hold.release()

    def leave(self) -> None:
        """In a forked process: the run is the parent's alone, and must not seem to be held when only its children live."""
        if self._folder is not None:
            _LEFT.append(self._folder)
            self._folder = None
        if self._hold is not None:
            self._hold.abandon()


def _leave_all() -> None:
    for run in list(_OPEN):
        run.leave()


os.register_at_fork(after_in_child=_leave_all)
