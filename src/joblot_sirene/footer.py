"""How many rows a Parquet file's row groups have, read from the list of contents at its end.

Slices that begin and end with a row group are decoded at half the cost of others. It knows Thrift's compact encoding as far as
needed to walk to the first row groups, and nothing of columns.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOKED_AT: Final = 2**20
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_ROW_GROUPS: Final = 4
_NUM_ROWS: Final = 3


def rows_per_group(path: Path) -> int:
    """The rows of the first row group, which writers repeat; 0 when that cannot be told."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(end - 8)
            size = int.from_bytes(file.read(4), "little")
            file.seek(max(end - 8 - size, 0))
            walk = _Walk(file.read(min(size, _LOOKED_AT)))
        return _first_rows(walk)
    except (OSError, IndexError, ValueError):
        return 0


def _first_rows(walk: _Walk) -> int:
    for field, kind in walk.fields():
        if field != _ROW_GROUPS:
            walk.skip(kind)
            continue
        groups, _ = walk.list_head()
        for inner, inner_kind in walk.fields() if groups else ():
            if inner == _NUM_ROWS:
                return walk.number()
            walk.skip(inner_kind)
        return 0
    return 0


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

    def list_head(self) -> tuple[int, int]:
        """Length and type of the elements of a list."""
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def number(self) -> int:
        """A signed number."""
        raw = self._varint()
        return (raw >> 1) ^ -(raw & 1)

    def skip(self, kind: int) -> None:
        """Go past a value."""
        if kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _BYTE:
            self._at += 1
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            length = self._varint()
            self._at += length
        elif kind in (_LIST, _SET):
            length, inner = self.list_head()
            for _ in range(length):
                self.skip(_BYTE if inner in (_TRUE, _FALSE) else inner)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
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
