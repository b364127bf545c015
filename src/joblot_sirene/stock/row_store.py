"""Rows on their way from the scan to their datasets: some in memory, the others in a temporary file without a name.

The file vanishes with the process, however that ends. It knows frames and numbers of requests, nothing of what they mean.
"""

from __future__ import annotations

import io
import os
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from joblot import reason_of
from joblot_sirene.errors import SireneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import polars as pl


_ROWS_PER_PART: Final = 2**12
"""Of a part, which is written at once. Keys share parts: a part for each of hundreds of keys would be tiny."""


class RowStoreError(SireneError):
    """The folder for temporary rows cannot be written, or its disk is full."""

    exit_code = 1


class _Part:
    """Rows in memory, or in the file from the byte `at`; how many pieces of it have not been forgotten; the rows while several have not."""

    __slots__ = ("at", "frame", "rows", "size", "users")

    def __init__(self, size: int, rows: int, at: int, frame: pl.DataFrame | None) -> None:
        self.size = size
        self.rows = rows
        self.at = at
        self.frame = frame
        self.users = 0


class _Piece(NamedTuple):
    part: _Part
    start: int
    rows: int


class RowStore:
    """Rows by key, a number; those of a key stay in the order in which they were added. In memory up to `most_bytes` in all.

    One thread adds, several may read. Keys are best read and forgotten in ascending order: what neighbours share is then read once.
    """

    def __init__(self, folder: Path, most_bytes: int = 0) -> None:
        from tempfile import TemporaryFile

        self._folder = folder
        self._room = most_bytes
        self._pieces: dict[int, list[_Piece]] = {}
        self._end = 0
        self._bytes = io.BytesIO()  # used again: fresh memory for each part costs more than the copying
        self._lock = Lock()
        try:
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed by `__exit__`
        except OSError as error:
            raise self._write_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: pl.DataFrame, indices: pl.Series | None, shares: Sequence[tuple[int, int]]) -> None:
        """Add the rows at `indices` (None: all, as they are), sorted by key; `shares` are the keys in order, with the rows of each.

        Raises:
            RowStoreError: the disk is full.
        """
        # a few thousand at a time: the memory of large columns comes fresh from the system, page by page, each time
        if indices is None:
            parts = (rows.slice(at, _ROWS_PER_PART) for at in range(0, rows.height, _ROWS_PER_PART))
        else:
            rows = rows.rechunk()  # texts in several pieces are gathered at three times the cost
            parts = (rows[indices.slice(at, _ROWS_PER_PART)] for at in range(0, len(indices), _ROWS_PER_PART))
        self._share([self._stored(part) for part in parts], shares)

    def _stored(self, rows: pl.DataFrame) -> _Part:
        size = memory_size(rows)
        if size > self._room:
            return self._written(rows)
        self._room -= size
        return _Part(size, rows.height, 0, rows)

    def _share(self, parts: Sequence[_Part], shares: Sequence[tuple[int, int]]) -> None:
        remaining_parts = iter(parts)
        part, start = None, 0
        for key, rows in shares:
            pieces = self._pieces.setdefault(key, [])
            while rows:
                if part is None or start == part.rows:
                    part, start = next(remaining_parts), 0
                count = min(rows, part.rows - start)
                pieces.append(_Piece(part, start, count))
                part.users += 1
                start += count
                rows -= count  # noqa: PLW2901  what is left of the share

    def _written(self, frame: pl.DataFrame) -> _Part:
        self._bytes.seek(0)
        frame.write_ipc_stream(self._bytes)
        at, size = self._end, self._bytes.tell()
        try:
            with self._bytes.getbuffer() as text:
                written = 0
                while written < size:
                    written += os.pwrite(self._file.fileno(), text[written:size], at + written)
        except OSError as error:
            raise self._write_error(error) from error
        self._end += size
        return _Part(size, frame.height, at, None)

    def rows(self, key: int) -> int:
        """How many rows of a key were added."""
        return sum(piece.rows for piece in self._pieces.get(key, ()))

    def size(self, key: int) -> int:
        """About how many bytes these rows take in memory."""
        return sum(piece.part.size * piece.rows // piece.part.rows for piece in self._pieces.get(key, ()))

    def frames(self, key: int) -> Iterator[pl.DataFrame]:
        """The rows of a key, in order, in frames of any size."""
        for part, start, rows in self._pieces.get(key, ()):
            yield self._read(part).slice(start, rows)

    def _read(self, part: _Part) -> pl.DataFrame:
        import polars as pl

        with self._lock:
            if part.frame is not None:
                return part.frame
            frame = pl.read_ipc_stream(os.pread(self._file.fileno(), part.size, part.at))
            if part.users > 1:
                part.frame = frame
            return frame

    def forget(self, key: int) -> None:
        """Free the rows of a key."""
        for part, _, _ in self._pieces.pop(key, ()):
            part.users -= 1
            if not part.users:
                part.frame = None

    def _write_error(self, error: OSError) -> RowStoreError:
        return RowStoreError(
            f"cannot write temporary rows to `{self._folder}`: {reason_of(error)}",
            hint="make room there, or choose another output folder",
        )


def memory_size(frame: pl.DataFrame) -> int:
    """About how many bytes a frame takes: the characters of its texts, and 16 bytes of each value."""
    return int(frame.estimated_size()) + 16 * frame.height * frame.width
