"""Where attempts print to: one file a slot, given to an attempt only when the attempt has printed something.

Making a folder and a file for each of a hundred thousand attempts that print nothing would cost more than running them. So a slot prints
into a spool file; an attempt that printed gets it under its own name, and the slot a fresh one. An attempt that takes long gets its name
while it runs (`show`), as a second link to the same file, so that its log can be followed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.executors.mask import Mask


class Spool:
    """The output file of one slot. `fd` is what an attempt gets as its standard output and standard error.

    `fresh=False` opens what a dead slot has left.
    """

    def __init__(self, logs: Path, slot: str, mask: Mask, *, fresh: bool = True) -> None:
        self._logs = logs
        self._path = logs.parent / "live" / f"{slot}.log"
        self._mask = mask
        self.fd = -1
        if fresh:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        else:
            self.fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def _open(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = fd

    def show(self, job: str, number: int) -> None:
        """Give the file its attempt's name while the attempt still runs. Not while there are secrets to mask."""
        if not self._mask:
            self._link(self._final(job, number))

    def collect(self, job: str, number: int) -> bool:
        """The attempt has ended: if it printed anything, the file is its log now. Returns whether `fd` is a new file."""
        if not os.lseek(
            self.fd, 0, os.SEEK_END
        ):  # a fifth of what `fstat` costs, and this is asked after every attempt
            return False
        final = self._final(job, number)
        if self._mask:
            self._write_masked(final)
        else:
            self._link(final)
        self._path.unlink()
        self._open()
        return True

    def _final(self, job: str, number: int) -> Path:
        return self._logs / job / f"{number}.log"

    def _link(self, final: Path) -> None:
        try:
            os.link(self._path, final)
        except FileExistsError:
            pass  # shown while it ran
        except FileNotFoundError:
            final.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._path, final)

    def _write_masked(self, final: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        final.write_bytes(self._mask.data(self._path.read_bytes()))
        final.chmod(0o600)

    def close(self) -> None:
        """Drop the spool file."""
        os.close(self.fd)
        self._path.unlink(missing_ok=True)
        self.fd = -1


def adopt(logs: Path, slot: str, job: str, number: int, mask: Mask) -> None:
    """Give an attempt what is in the spool of a slot whose process has died."""
    try:
        orphan = Spool(logs, slot, mask, fresh=False)
    except FileNotFoundError:
        return  # it died before it had one
    orphan.collect(job, number)
    orphan.close()
