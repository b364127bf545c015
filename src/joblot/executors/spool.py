"""Where attempts print to: one file a slot, given to an attempt only when the attempt has printed something.

Making a folder and a file for each of a hundred thousand attempts that print nothing would cost more than running them. So a slot prints
into a spool file; an attempt that printed gets it under its own name, and the slot a fresh one. An attempt that takes long gets its name
while it runs (`show`), as a second link to the same file, so that its log can be followed.

An attempt prints as much as it likes and is never held up; a log keeps the first and the last half of `cap` bytes. `trim`, called now and
then by whoever has the time, gives the disk space in between back while the attempt prints on.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Final

from joblot.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from joblot.executors.mask import Mask

CAP: Final = 64 * 2**20
"""Bytes of a log that are kept, unless said otherwise."""
_CHUNK: Final = 2**20
_PUNCH_HOLE_KEEP_SIZE: Final = 0x03
_BLOCK: Final = 512


class Spool:
    """The output file of one slot. `fd` is what an attempt gets as its standard output and standard error.

    `fresh=False` opens what a dead slot has left.
    """

    def __init__(self, logs: Path, slot: str, mask: Mask, *, cap: int = CAP, fresh: bool = True) -> None:
        self.logs = logs
        self._path = path_of(logs, slot)
        self._mask = mask
        self._cap = cap
        self._early_log: Path | None = None
        self.fd = -1
        if fresh:
            self._renew()
        else:
            self.fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def _renew(self) -> None:
        """A fresh file. Where none can be made what is printed is lost: that is no reason to end what prints it."""
        if self.fd >= 0:
            os.close(self.fd)  # first: there may be no descriptor to spare
            self.fd = -1
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self.fd = os.open(self._path, flags, 0o600)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            self.fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def show(self, job: str, number: int) -> None:
        """Give the file its attempt's name while the attempt still runs. Not while there are secrets to mask."""
        if not self._mask:
            final = self._final(job, number)
            try:
                self._link(final)
                self._early_log = final
            except OSError:
                pass  # then it gets its name at the end, if it can have one

    def collect(self, job: str, number: int) -> bool:
        """The attempt has ended: if it printed anything, the file is its log now. Returns whether `fd` is a new file."""
        # A fifth of what `fstat` costs, and this is asked after every attempt.
        size = os.lseek(self.fd, 0, os.SEEK_END)
        early_log, self._early_log = self._early_log, None
        if not size:
            if early_log is not None:  # the next attempt prints into the same file
                early_log.unlink(missing_ok=True)
            return False
        final = self._final(job, number)
        try:
            if self._mask or size > self._cap:
                self._write(final, size)
            else:
                self._link(final)
        except OSError:
            pass  # the job has deleted the run's files, or the disk is full: its log is lost, nothing else
        self._renew()
        return True

    def _final(self, job: str, number: int) -> Path:
        return self.logs / job / f"{number}.log"

    def _link(self, final: Path) -> None:
        try:
            os.link(self._path, final)
        except FileExistsError:
            pass  # shown while it ran
        except FileNotFoundError:
            final.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._path, final)

    def _write(self, final: Path, size: int) -> None:
        """Write the log anew: what is kept of it, and without secrets. Not forced to disk: the warden would wait for it."""
        final.parent.mkdir(parents=True, exist_ok=True)
        replace_file(final, self._kept_pieces(size), mode=0o600, forced=False)

    def _kept_pieces(self, size: int) -> Iterator[bytes]:
        if size <= self._cap:
            yield from self._masked_pieces(0, size)
            return
        head, tail = _kept_ends(self._cap, size)
        last = b"\n"
        for piece in self._masked_pieces(0, head):
            yield piece
            last = piece[-1:] or last
        yield (b"" if last == b"\n" else b"\n") + omission_line(tail - head)
        yield from self._masked_pieces(tail, size)

    def _masked_pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a span without secrets, in pieces; a part of a secret at a cut is left out with what stands around it."""
        if not self._mask:
            yield from self._pieces(start, end)
            return
        overlap = self._mask.longest - 1
        cut, carried = start > 0, b""
        for piece in self._pieces(start, end):
            carried = self._mask.data(carried + piece)
            if cut:
                carried, cut = carried[overlap:], False
            ready = max(0, len(carried) - overlap)
            yield carried[:ready]
            carried = carried[ready:]
        if end >= os.lseek(self.fd, 0, os.SEEK_END):
            yield carried

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = os.pread(self.fd, min(_CHUNK, end - start), start)
            if not piece:
                return
            yield piece
            start += len(piece)

    def trim(self) -> int:
        """See the function `trim`."""
        return trim(self.fd, self._cap)

    def close(self) -> None:
        """Drop the spool file."""
        os.close(self.fd)
        try:
            self._path.unlink()
        except OSError:
            pass  # somebody has deleted it already
        self.fd = -1


def path_of(logs: Path, slot: str) -> Path:
    """The file that a slot prints into."""
    return logs.parent / "live" / f"{slot}.log"


def remove_early_log(early_log: Path, spool: Path | None = None) -> None:
    """Take back the name of a log that an attempt got while it ran in another process, which has ended since and printed nothing.

    A file that has yet another name then is still that process's spool, or is by now the log of a later attempt. The log of a bundle has
    many names, but no later attempt: it is still the spool when it is the file `spool`.
    """
    try:
        status = os.stat(early_log)
        if status.st_nlink > 1 if spool is None else os.path.samestat(status, os.stat(spool)):
            early_log.unlink()
    except OSError:
        pass  # the job has deleted the run's files


def omission_line(count: int) -> bytes:
    """The line in a log that stands for what is not kept of it."""
    return b"[joblot: %d bytes left out]\n" % count


def trim(fd: int, cap: int) -> int:
    """Give back the space of what lies between the kept ends of a spool, if that is worth it. Returns the bytes that it takes on the disk.

    Where the file system cannot punch holes (network file systems, macOS), nothing happens, and the file is cut at the attempt's end only.
    """
    status = os.fstat(fd)
    taken = status.st_blocks * _BLOCK
    start, end = _kept_ends(cap, status.st_size)
    if taken > cap + max(cap // 4, _CHUNK) and end > start and sys.platform == "linux":
        import ctypes

        system = ctypes.CDLL(None)
        system.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, ctypes.c_longlong(start), ctypes.c_longlong(end - start))
    return taken


def trim_file(path: Path, cap: int) -> int:
    """As `trim`, for the spool of another process."""
    try:
        if os.stat(path).st_size <= cap // 2:
            return 0
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0  # it has not made one yet, or has just given it away
    try:
        return trim(fd, cap)
    finally:
        os.close(fd)


def _kept_ends(cap: int, size: int) -> tuple[int, int]:
    """Where the kept beginning of a file ends, and where its kept end begins."""
    head = cap // 2
    return head, max(head, size - (cap - head))


def collect_orphan(logs: Path, slot: str, job: str, number: int, mask: Mask, cap: int) -> bool:
    """Give an attempt what is in the spool of a slot whose process has died. Returns whether that was anything."""
    try:
        orphan = Spool(logs, slot, mask, cap=cap, fresh=False)
    except OSError:
        return False  # it died before it had one, or the folder is gone
    printed = orphan.collect(job, number)
    orphan.close()
    return printed


def link_log(logs: Path, job: str, number: int, others: Iterable[tuple[str, int]]) -> None:
    """Give the log of an attempt the names of others too, which printed into it together."""
    first = logs / job / f"{number}.log"
    for name, attempt in others:
        final = logs / name / f"{attempt}.log"
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            os.link(first, final)
        except OSError:
            pass  # this file system knows no second names: it is found under the first


def write_log(logs: Path, job: str, number: int, log: bytes) -> None:
    """Write the log of an attempt that ran elsewhere."""
    final = logs / job / f"{number}.log"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        replace_file(final, [log], mode=0o600, forced=False)
    except OSError:
        pass  # the disk is full: its log is lost, nothing else
