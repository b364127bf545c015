"""What a Parquet file's footer says, read without the data engine: names of columns, rows, the size of row groups, newest values.

The command line looks at files before it starts workers, and a data engine begins threads that must not be forked; and slices that begin
and end with a row group are decoded at half the cost of others. It knows Thrift's compact encoding as far as needed, and nothing of what
columns mean. Source of the format: parquet-format, `src/main/thrift/parquet.thrift`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_MOST_BYTES: Final = 2**28
"""Of a footer: those of the register's files have some hundred kilobytes."""

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
    """A Parquet file's footer; None when it cannot be read.

    `column` is the name, in any case, of the column whose greatest values are asked for.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(end - 8)
            size = int.from_bytes(file.read(4), "little")
            if not 0 < size <= min(end - 8, _MOST_BYTES):
                return None
            file.seek(end - 8 - size)
            return _footer(_ThriftReader(file.read(size)), column.casefold())
    except (OSError, IndexError, ValueError, RecursionError):
        return None


def rows_per_group(path: Path) -> int:
    """The rows of the first row group; 0 when the footer cannot be read."""
    footer = read_footer(path)
    return footer.rows_per_group if footer is not None else 0


def _footer(reader: _ThriftReader, column: str) -> Footer:
    elements: list[tuple[str, int]] = []
    groups: list[tuple[int, bytes | None]] = []
    rows = 0
    for field, kind in reader.fields():
        if field == _SCHEMA:
            elements = reader.items(_element)
        elif field == _ALL_ROWS:
            rows = reader.number()
        elif field == _ROW_GROUPS and elements and rows and not column:
            reader.list_length()
            groups.append(_group(reader, column))
            break  # the other groups have thousands of columns, none of which is asked for
        elif field == _ROW_GROUPS:
            groups = reader.items(lambda reader: _group(reader, column))
        else:
            reader.skip(kind)
    return Footer(_columns(elements), rows, groups[0][0] if groups else 0, tuple(newest for _, newest in groups))


def _element(reader: _ThriftReader) -> tuple[str, int]:
    """The name of an element of the schema, and how many children it has."""
    name, children = "", 0
    for field, kind in reader.fields():
        if field == _NAME:
            name = reader.text().decode()
        elif field == _CHILDREN:
            children = reader.number()
        else:
            reader.skip(kind)
    return name, children


def _columns(elements: list[tuple[str, int]]) -> tuple[str, ...]:
    """The names below the root of the schema, which is a tree with parents first; what is inside lists and structs is no column."""
    names, at = [], 1
    for _ in range(elements[0][1] if elements else 0):
        names.append(elements[at][0])
        inside = 1
        while inside:
            inside += elements[at][1] - 1
            at += 1
    return tuple(names)


def _group(reader: _ThriftReader, column: str) -> tuple[int, bytes | None]:
    """A row group's rows, and its greatest value of a column."""
    rows, newest = 0, None
    for field, kind in reader.fields():
        if field == _COLUMNS and column:
            values = reader.items(lambda reader: _chunk(reader, column))
            newest = next((value for value in values if value is not None), None)
        elif field == _ROWS:
            rows = reader.number()
        else:
            reader.skip(kind)
    return rows, newest


def _chunk(reader: _ThriftReader, column: str) -> bytes | None:
    """The greatest value of a column chunk, if it is of that column and says so."""
    newest = None
    for field, kind in reader.fields():
        if field != _META:
            reader.skip(kind)
            continue
        is_column = False
        for inner, inner_kind in reader.fields():
            if inner == _PATH:
                is_column = b".".join(reader.items(_ThriftReader.text)).decode().casefold() == column
            elif inner == _STATISTICS and is_column:
                newest = _greatest(reader)
            else:
                reader.skip(inner_kind)
    return newest


def _greatest(reader: _ThriftReader) -> bytes | None:
    deprecated = current = None
    for field, kind in reader.fields():
        if field == _MAX:
            current = reader.text()
        elif field == _OLD_MAX:
            deprecated = reader.text()
        else:
            reader.skip(kind)
    return current if current is not None else deprecated


class _ThriftReader:
    """A position in compact-encoded Thrift. Running out of bytes is an `IndexError`."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller reads or skips its value before it asks for the next."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.number()
            yield number, head & 15

    def items(self, read: Callable[[_ThriftReader], T]) -> list[T]:
        """The items of a list, each as `read` reads it."""
        return [read(self) for _ in range(self.list_length())]

    def list_length(self) -> int:
        """Read the head of a list: how many items follow."""
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
        """Skip a value. Nearly all of a footer is skipped, so this reads its bytes itself instead of calling `_byte` for each."""
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
            for _ in range(self.list_length()):
                # A truth value has a byte in a list, while as a field its kind says it already.
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
