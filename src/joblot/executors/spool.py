"""What attempts print: one spool file for each slot, which becomes the log of an attempt that has printed something.

A folder and a file for each of a hundred thousand attempts that print nothing would cost more than running them. So all attempts of a
slot print into its spool; one that printed gets the file under its own name, and the slot a fresh one. The log of an attempt that takes
long gets its name while it runs (`show`), as a second link to the same file, so that it can be followed.

An attempt prints as much as it likes and is never held up; a log keeps the first and the last half of `cap` bytes. `trim`, called now and
then by the warden or the inline executor, gives back the disk space in between while the attempt goes on printing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from typing import TYPE_CHECKING, Final

from joblot.files import make_private_folder, open_plain, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from joblot.executors.mask import Mask

CAP: Final = 64 * 2**20
"""Bytes of a log that are kept by default."""
_CHUNK: Final = 2**20
_PUNCH_HOLE_KEEP_SIZE: Final = 0x03
_BLOCK: Final = 512


class Spool:
    """The output file of one slot. `fd` is an attempt's standard output and standard error.

    `fresh=False` opens the file of a slot whose process has died.
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
            self.fd = open_plain(self._path, os.O_RDWR | os.O_APPEND)

    def _renew(self) -> None:
        """Open a fresh file. Where none can be made what is printed is lost, which is no reason to end the attempts."""
        if self.fd >= 0:
            os.close(self.fd)  # first, since there may be no other free descriptor
            self.fd = -1
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            make_private_folder(self._path.parent)
            self._path.unlink(missing_ok=True)
            self.fd = os.open(self._path, flags, 0o600)
            if self.fd < 3:  # an attempt has closed a standard descriptor, and that number is to be the log's
                low, self.fd = self.fd, fcntl.fcntl(self.fd, fcntl.F_DUPFD_CLOEXEC, 3)
                os.close(low)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            self.fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def show(self, job: str, number: int) -> None:
        """Give the file its attempt's name while the attempt still runs, unless there are secrets, which are masked at the end only."""
        if not self._mask:
            final = self._final(job, number)
            try:
                self._link(final)
                self._early_log = final
            except OSError:
                pass  # it gets its name at the end, if at all

    def has_grown(self) -> bool:
        """Whether something was printed since the last time that it was collected."""
        return os.lseek(self.fd, 0, os.SEEK_END) > 0

    def collect(self, job: str, number: int) -> bool:
        """Make the file the log of an attempt that has ended, if it printed anything. Returns whether `fd` is a new file."""
        # Takes a fifth of the time of `fstat`, and is called after every attempt.
        size = os.lseek(self.fd, 0, os.SEEK_END)
        early_log, self._early_log = self._early_log, None
        if not size:
            if early_log is not None:  # the next attempt will print into the same file
                early_log.unlink(missing_ok=True)
            return False
        final = self._final(job, number)
        try:
            if self._mask or size > self._cap:
                self._write(final, size)
            else:
                self._link(final)
        except OSError:
            pass  # the job has deleted the run's files, or the disk is full: only its log is lost
        self._renew()
        return True

    def _final(self, job: str, number: int) -> Path:
        return self.logs / job / f"{number}.log"

    def _link(self, final: Path) -> None:
        try:
            os.link(self._path, final)
        except FileExistsError:
            pass  # it got its name while it ran
        except FileNotFoundError:
            make_private_folder(final.parent)
            os.link(self._path, final)

    def _write(self, final: Path, size: int) -> None:
        """Write what is kept of the log to a file of its own, without secrets. Not forced to disk: the warden would wait for it."""
        make_private_folder(final.parent)
        replace_file(final, self._kept_pieces(size), above=0, forced=False)

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
        """The bytes of a span without secrets, in pieces; what may be a part of a secret at the ends of the span is left out."""
        if not self._mask:
            yield from self._pieces(start, end)
            return
        left_out, carried = self._mask.longest - 1 if start > 0 else 0, b""
        for piece in self._pieces(start, end):
            carried += piece
            cut = self._mask.cut(carried)
            masked, carried = self._mask.data(carried[:cut]), carried[cut:]
            yield masked[left_out:]
            left_out = max(0, left_out - len(masked))
        if end >= os.lseek(self.fd, 0, os.SEEK_END):
            yield self._mask.data(carried)[left_out:]

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = os.pread(self.fd, min(_CHUNK, end - start), start)
            if not piece:
                return
            yield piece
            start += len(piece)

    def trim(self) -> int:
        """Give back disk space while an attempt prints; returns the bytes that the file takes."""
        return trim(self.fd, self._cap)

    def close(self) -> None:
        """Delete the spool file."""
        os.close(self.fd)
        try:
            self._path.unlink()
        except OSError:
            pass  # it was deleted by somebody else
        self.fd = -1


def path_of(logs: Path, slot: str) -> Path:
    """The file that a slot prints into, in the folder `live` beside `logs`."""
    return logs.parent / "live" / f"{slot}.log"


def remove_early_log(early_log: Path, spool: Path | None = None) -> None:
    """Remove the log that an attempt got while it ran in another process, if it has ended without printing anything.

    Then the file has another name: it is still that process's spool, or has become the log of a later attempt. The log of a bundle has
    other names anyway, but no later attempt: it is removed when it still is the file `spool`.
    """
    try:
        status = os.stat(early_log)
        if status.st_nlink > 1 if spool is None else os.path.samestat(status, os.stat(spool)):
            early_log.unlink()
    except OSError:
        pass  # the job has deleted the run's files


def omission_line(count: int) -> bytes:
    """The line that replaces the part of a log that is not kept."""
    return b"[joblot: %d bytes left out]\n" % count


def trim(fd: int, cap: int) -> int:
    """Give back the disk space between the kept ends of a spool, if it is enough to matter. Returns the bytes that the file takes.

    Where the file system cannot punch holes (network file systems, macOS), the file is only cut at the attempt's end.
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
    """`trim` for the spool of another process; 0 when it is small or cannot be opened."""
    try:
        if os.stat(path).st_size <= cap // 2:
            return 0
        fd = open_plain(path, os.O_RDWR)
    except OSError:
        return 0  # there is none yet, or it has just become a log
    try:
        return trim(fd, cap)
    finally:
        os.close(fd)


def _kept_ends(cap: int, size: int) -> tuple[int, int]:
    """Where the kept beginning of a file ends, and its kept end begins."""
    head = cap // 2
    return head, max(head, size - (cap - head))


def collect_orphan(logs: Path, slot: str, job: str, number: int, mask: Mask, cap: int) -> bool:
    """Make the spool of a slot whose process has died an attempt's log. Returns whether anything was printed."""
    try:
        orphan = Spool(logs, slot, mask, cap=cap, fresh=False)
    except OSError:
        return False  # it died before it had one, or the folder was deleted
    printed = orphan.collect(job, number)
    orphan.close()
    return printed


def link_log(logs: Path, job: str, number: int, others: Iterable[tuple[str, int]]) -> None:
    """Give the log of an attempt the names of others as well, for a bundle prints into one file."""
    first = logs / job / f"{number}.log"
    for name, attempt in others:
        final = logs / name / f"{attempt}.log"
        try:
            make_private_folder(final.parent)
            os.link(first, final)
        except OSError:
            pass  # this file system has no hard links: the log has the first name only


def write_log(logs: Path, job: str, number: int, log: bytes) -> None:
    """Write the log of an attempt that ran on another machine."""
    final = logs / job / f"{number}.log"
    try:
        make_private_folder(final.parent)
        replace_file(final, [log], above=0, forced=False)
    except OSError:
        pass  # the disk is full: its log is lost, nothing else
