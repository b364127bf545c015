"""A run's own `events.jsonl`: append-only, one line a record, each with the chain's hash.

It is written before anything else is: one `write` makes a record safe from a kill of any process. The journal's database takes the same
records in groups a moment later and serves those who ask; each of the two can be made again from the other.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Raw, Struct

from joblot.errors import JournalWriteError, StateError
from joblot.files import force_to_disk, open_own, reason_of, room_hint
from joblot.journal.codec import CHAIN_START, NOT_JSON, jsonl_line, link

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORCE_AFTER_S: Final = 0.05
_MOST: Final = 1 << 36
"""What no event's number reaches."""

Row = tuple[int, float, bytes, bytes]
"""Number of the first event, wall time, events as JSON, hash."""


class _Line(Struct):
    seq: int
    at: float
    chain: str
    events: Raw


_decode: Final = msgspec.json.Decoder(_Line).decode
_count: Final = msgspec.json.Decoder(list[Raw]).decode


def read_rows(path: Path, after: tuple[int, bytes] = (1, CHAIN_START)) -> Iterator[tuple[Row, int]]:
    """The sound records of a file, each with the number of its events. Ends before a torn or changed line.

    `after` says where to begin: the number of the first event that is wanted, and the hash of the record before it. What stands before
    that record is passed over, whatever it is.
    """
    expected, chain = after
    for row in read_lines(path):
        if row is None or row[0] != expected:
            if (expected, chain) == after and after[0] > 1:
                continue
            return
        if row[3] != link(chain, *row[:3]):
            return
        count = len(_count(row[2]))
        yield row, count
        expected, chain = expected + count, row[3]


def read_lines(path: Path) -> Iterator[Row | None]:
    """Every line of a file as a record, None for one that is none. Whether a record is what was written is not checked."""
    try:
        file = os.fdopen(open_own(path), "rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(
            f"cannot read `{path}`: {reason_of(error)}",
            hint="make it readable or move it away: `joblot recover` makes it again from the journal",
        ) from None
    with file:
        for text in file:
            yield _row(text) if text.endswith(b"\n") else None


def _row(text: bytes) -> Row | None:
    try:
        line = _decode(text)
        _count(line.events)
        if not 0 < line.seq < _MOST:
            return None
        return line.seq, line.at, bytes(line.events), bytes.fromhex(line.chain)
    except (*NOT_JSON, ValueError):
        return None


class RunFile:
    """The file as the one process that drives the run writes it.

    With `durability="full"` each record is forced to disk before `write` returns; with `normal` a thread does so at most FORCE_AFTER_S
    later, with `end` nobody before the file is closed. `beside` are files and folders without which the records are worth nothing: they are forced once, with the first of them.
    """

    def __init__(
        self, path: Path, *, durability: Literal["normal", "full", "end"], beside: Sequence[Path] = ()
    ) -> None:
        self.path = path
        self._fd = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._size = os.fstat(self._fd).st_size
        self._torn = False
        self._full = durability == "full"
        self._forcer = _Forcer(self._fd, beside, at_end=durability == "end")

    def write(self, row: Row) -> None:
        """Append a record.

        Raises:
            JournalWriteError: it is not in the file, not even a part of it.
            StateError: the disk failed to take what was written before; no write can be trusted any more.
        """
        self._forcer.check()
        if self._torn:
            self._cut_back()
        data = jsonl_line(*row)
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
            if self._full:
                self._forcer.force_all()
        except OSError as error:
            self._cut_back()
            raise _not_written(self.path, error) from None
        self._size += len(data)
        if not self._full:
            self._forcer.wrote()

    def _cut_back(self) -> None:
        """Take away what a failed write left behind, so that the next one does not follow half a line."""
        self._torn = True
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            raise _not_written(self.path, error) from None
        self._torn = False

    def force(self) -> None:
        """Return when everything is on the disk.

        Raises:
            StateError: it cannot be.
        """
        if not self._full:
            self._forcer.force()
            self._forcer.check()

    def close(self) -> None:
        """Force what is left and let go of the file."""
        self._forcer.close()
        os.close(self._fd)


class _Forcer:
    """Forces a file to disk at most FORCE_AFTER_S after it was written to, beside the loop; `at_end`: when it is closed."""

    def __init__(self, fd: int, beside: Sequence[Path], *, at_end: bool = False) -> None:
        self._fd = fd
        self._at_end = at_end
        self._beside = beside
        self._behind = False
        self._closing = False
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def wrote(self) -> None:
        """Something was written."""
        if not self._behind:
            self._behind = True
            if self._at_end:
                return
            if self._thread is None and not self._begin():
                self.force()  # without a thread every write waits for the disk
            self._wake.set()

    def _begin(self) -> bool:
        thread = threading.Thread(target=self._run, name="joblot-journal", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # no more threads, or no memory for one: the next write tries again
            return False
        self._thread = thread
        return True

    def check(self) -> None:
        """Raise what the last forcing failed with: after that the file cannot be trusted to reach the disk any more."""
        if self._error is not None:
            raise StateError(
                f"cannot force the run's events to disk: {reason_of(self._error)}",
                hint="`joblot resume` goes on from what the disk has",
            )

    def force(self) -> None:
        """Force now."""
        self._behind = False
        if self._closing:
            return
        try:
            self.force_all()
        except OSError as error:
            self._error = error

    def force_all(self) -> None:
        """Force now, the first time also what lies beside."""
        os.fdatasync(self._fd)
        if self._beside:
            for path in self._beside:
                with suppress(FileNotFoundError):
                    force_to_disk(path)
            self._beside = ()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            self._ending.wait(FORCE_AFTER_S)
            self.force()

    def close(self) -> None:
        """Force what is left and end the thread."""
        if self._behind:
            self.force()
        self._closing = True  # from here on the thread leaves the descriptor alone
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()


def _not_written(path: Path, error: OSError) -> JournalWriteError:
    hint = room_hint(error, ", then `joblot resume`")
    return JournalWriteError(f"cannot write to `{path}`: {reason_of(error)}", hint=hint)
