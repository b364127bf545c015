"""What a Parquet file's list of contents says, read without a data engine: names of columns, rows, the size of row groups, newest values.

The command line looks at files before it starts workers, and a data engine begins threads that must not be forked; and slices that begin
and end with a row group are decoded at half the cost of others. It knows Thrift's compact encoding as far as needed, and nothing of what
columns mean. Source of the format: parquet-format, `src/main/thrift/parquet.thrift`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_MOST_BYTES: Final = 2**28
"""Of a list of contents: the register's files have some hundred kilobytes."""

# numbers of fields
_SCHEMA, _ALL_ROWS, _ROW_GROUPS = 2, 3, 4  # of FileMetaData
_NAME, _CHILDREN = 4, 5  # of SchemaElement
_COLUMNS, _ROWS = 1, 3  # of RowGroup
_META = 3  # of ColumnChunk
_PATH, _STATISTICS = 3, 12  # of ColumnMetaData
_OLD_MAX, _MAX = 1, 5  # of Statistics


class Footer(NamedTuple):
    """The columns' names, all rows, the rows of the first row group (which writers repeat), and the column that was asked for.

    `newest` has the greatest value of that column in each row group as it is encoded, None where the file does not say.
    """

    names: tuple[str, ...]
    rows: int
    rows_per_group: int
    newest: tuple[bytes | None, ...]


def read_footer(path: Path, column: str = "") -> Footer | None:
    """A Parquet file's list of contents; None when it cannot be read.

    `column` is the name, in any case, of the column whose greatest values are wanted.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(end - 8)
            size = int.from_bytes(file.read(4), "little")
            if not 0 < size <= min(end - 8, _MOST_BYTES):
                return None
            file.seek(end - 8 - size)
            return _footer(_Walk(file.read(size)), column.casefold())
    except (OSError, IndexError, ValueError, RecursionError):
        return None


def rows_per_group(path: Path) -> int:
    """The rows of the first row group; 0 when that cannot be told."""
    found = read_footer(path)
    return found.rows_per_group if found is not None else 0


def _footer(walk: _Walk, column: str) -> Footer:
    elements: list[tuple[str, int]] = []
    rows = 0
    groups: list[tuple[int, bytes | None]] = []

    def element() -> None:
        name, children = "", 0
        for field, kind in walk.fields():
            if field == _NAME:
                name = walk.text().decode()
            elif field == _CHILDREN:
                children = walk.number()
            else:
                walk.skip(kind)
        elements.append((name, children))

    for field, kind in walk.fields():
        if field == _SCHEMA:
            walk.each(element)
        elif field == _ALL_ROWS:
            rows = walk.number()
        elif field == _ROW_GROUPS and elements and rows and not column:
            walk.begin_list()
            groups.append(_group(walk, column))
            break  # the others, thousands of columns of them, would say nothing that is wanted
        elif field == _ROW_GROUPS:
            walk.each(lambda: groups.append(_group(walk, column)))
        else:
            walk.skip(kind)
    return Footer(_columns(elements), rows, groups[0][0] if groups else 0, tuple(newest for _, newest in groups))


def _columns(elements: list[tuple[str, int]]) -> tuple[str, ...]:
    """The names below the root, each with its number of children, parents first; what is inside lists and structs is no column."""
    names, at = [], 1
    for _ in range(elements[0][1] if elements else 0):
        names.append(elements[at][0])
        inside = 1
        while inside:
            inside += elements[at][1] - 1
            at += 1
    return tuple(names)


def _group(walk: _Walk, column: str) -> tuple[int, bytes | None]:
    """A row group's rows, and its greatest value of a column."""
    rows, newest = 0, None
    chunks: list[bytes] = []
    for field, kind in walk.fields():
        if field == _COLUMNS and column:
            walk.each(lambda: chunks.extend(_chunk(walk, column)))
            newest = chunks[0] if chunks else None
        elif field == _ROWS:
            rows = walk.number()
        else:
            walk.skip(kind)
    return rows, newest


def _chunk(walk: _Walk, column: str) -> list[bytes]:
    """The greatest value of a column chunk, if it is of that column and says so."""
    found: list[bytes] = []
    for field, kind in walk.fields():
        if field != _META:
            walk.skip(kind)
            continue
        named = False
        for inner, inner_kind in walk.fields():
            if inner == _PATH:
                parts: list[str] = []
                walk.each(lambda: parts.append(walk.text().decode()))  # noqa: B023 - called at once
                named = ".".join(parts).casefold() == column
            elif inner == _STATISTICS and named:
                newest = _greatest(walk)
                found += [] if newest is None else [newest]
            else:
                walk.skip(inner_kind)
    return found


def _greatest(walk: _Walk) -> bytes | None:
    old = new = None
    for field, kind in walk.fields():
        if field == _MAX:
            new = walk.text()
        elif field == _OLD_MAX:
            old = walk.text()
        else:
            walk.skip(kind)
    return new if new is not None else old


class _Walk:
    """A place in compact-encoded Thrift. Running out of bytes is an `IndexError`."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller reads or skips its value before it asks for the next."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.number()
            yield number, head & 15

    def each(self, read: Callable[[], object]) -> None:
        """Go through a list, each element of which `read` goes past."""
        for _ in range(self.begin_list()):
            read()

    def begin_list(self) -> int:
        """Go past the head of a list, which has so many elements."""
        head = self._byte()
        return self._varint() if head >> 4 == 15 else head >> 4

    def number(self) -> int:
        """A signed number."""
        raw = self._varint()
        return (raw >> 1) ^ -(raw & 1)

    def text(self) -> bytes:
        """A text, or bytes."""
        length = self._varint()
        self._at += length
        if self._at > len(self._text):
            raise IndexError
        return self._text[self._at - length : self._at]

    def skip(self, kind: int) -> None:
        """Go past a value. Nearly all of a list of contents is gone past: that is why this reads its bytes itself."""
        if kind in (_I16, _I32, _I64):
            while self._text[self._at] & 128:
                self._at += 1
            self._at += 1
        elif kind == _BINARY:
            self.text()
        elif kind == _STRUCT:
            while head := self._text[self._at]:
                self._at += 1
                if not head >> 4:
                    self._varint()
                self.skip(head & 15)
            self._at += 1
        elif kind in (_LIST, _SET):
            inner = self._text[self._at] & 15
            for _ in range(self.begin_list()):
                self.skip(_BYTE if inner in (_TRUE, _FALSE) else inner)
        elif kind == _BYTE:
            self._at += 1
        elif kind == _DOUBLE:
            self._at += 8
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(f"type {kind}")

    def _byte(self) -> int:
        self._at += 1
        return self._text[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift
