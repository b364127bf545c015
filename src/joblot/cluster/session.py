"""A run's sessions on clusters: its token, which never changes, and a number that rises with each process that drives it there.

Both are in a file in the run's folder, so that a resumed run can end what an earlier process has left on the workers. Connects to nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from joblot.cluster.messages import Claim
from joblot.files import read_own, replace_file

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "cluster.json"


class SessionRecord(Struct):
    """The content of the file."""

    token: str
    epoch: int = 0
    on: str = ""
    open: bool = False
    """Whether the process that wrote it may have left something on the cluster."""


class Session:
    """The session of one process. Nothing is written before `begin`, which is called by whoever holds the run."""

    def __init__(self, run_dir: Path | None, on: str) -> None:
        self._path = run_dir / FILE if run_dir is not None else None
        self._on = on
        self._epoch = 0
        record = read(run_dir)
        self.token = record.token if record is not None else os.urandom(12).hex()
        self.id = os.urandom(8).hex()

    def begin(self) -> Claim:
        """Make this the newest session, on disk; workers learn it from the claim."""
        record = read(self._path.parent) if self._path is not None else None
        self._epoch = record.epoch + 1 if record is not None else 1
        self._write(is_open=True)
        return Claim(self.token, self._epoch, self.id)

    def end(self) -> None:
        """Record that all that this process had on the cluster has ended."""
        if self._epoch:
            self._write(is_open=False)

    def _write(self, *, is_open: bool) -> None:
        if self._path is None or not self._path.parent.is_dir():
            return
        replace_file(self._path, [msgspec.json.encode(SessionRecord(self.token, self._epoch, self._on, is_open))])


def read(run_dir: Path | None) -> SessionRecord | None:
    """The record in a run's folder; None when the run has not been on a cluster."""
    if run_dir is None:
        return None
    try:
        return msgspec.json.decode(read_own(run_dir / FILE), type=SessionRecord)
    except (OSError, msgspec.MsgspecError):
        return None
