"""How much memory a scan may take, and how it is shared out. It knows bytes and rows, nothing of what is in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from joblot import ActionError

BASELINE_BYTES: Final = 150 * 2**20
"""What the interpreter and the data engine take whatever is done: a limit counts what comes on top."""
UNLIMITED_BYTES: Final = 2**30
"""What is used when there is no limit; more makes nothing faster."""
ROW_BYTES: Final = 300
"""What a row of about twenty columns takes in memory at most, as a rule."""
_VALUE_BYTES: Final = 16
"""Of a decoded value, short texts included."""
_MOST_ROWS: Final = 600_000
"""Of a slice; more makes nothing faster."""
_LEAST_BYTES: Final = 96 * 2**20
_LEAST_BYTES_PER_COLUMN: Final = 2 * 2**20


_ALLOCATOR: Final = "_RJEM_MALLOC_CONF"
_ENGINES_OWN: Final = frozenset({"dirty_decay_ms:500", "muzzy_decay_ms:1000"})
"""What polars puts before what is set while it is imported, once more in each program that a program with polars starts."""


class MemoryLimitError(ActionError):
    """The memory that is allowed is not enough."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, reason="memory_limit", hint=hint)


class Budget:
    """How the allowed bytes are shared out: to the slice being decoded, numbers of rows, rows not yet routed or in the store, datasets.

    The shares are rules of thumb: `check` is what holds the limit when rows are larger than usual.
    """

    def __init__(self, allowed: int, columns: int) -> None:
        self.allowed = allowed or UNLIMITED_BYTES
        least = _LEAST_BYTES + columns * _LEAST_BYTES_PER_COLUMN
        if self.allowed < least:
            raise MemoryLimitError(
                f"{shown_size(self.allowed)} of memory are too little for {columns} columns: {shown_size(least)} are needed",
                hint="allow more memory, or choose fewer columns",
            )
        self._slice = self.allowed // 4
        self._columns = columns
        self.rows_per_slice = min(max(self._slice // (_VALUE_BYTES * columns), 2**15), _MOST_ROWS)
        self.unrouted = min(max(self.allowed // 16, 2**23), 2**26)
        self.store = self.allowed // 5
        self.building = self.allowed // 5
        self.numbers = self.allowed // 8
        self._is_limited = bool(allowed)

    def rows_per_filtered_slice(self, columns: int, matches: int) -> int:
        """How many rows a slice may have when all are decoded in `columns` columns only, and at most `matches` of them in all columns."""
        left = self._slice - matches * _VALUE_BYTES * self._columns
        return min(max(left // (_VALUE_BYTES * columns), self.rows_per_slice), _MOST_ROWS)

    def check(self) -> None:
        """Raise `MemoryLimitError` when more is taken than allowed: rows may be larger than expected."""
        if self._is_limited and resident_bytes() > self.allowed + BASELINE_BYTES:
            raise MemoryLimitError(
                f"the rows need more memory than the {shown_size(self.allowed)} that are allowed",
                hint="allow more memory, or choose fewer columns",
            )


def keep_freed_memory() -> None:
    """Let the data engine use again what it has freed. It has an effect only in a process that has not loaded the engine yet.

    Slice after slice takes the same memory. The engine's allocator gives it back to the system after half a second, page by page, and
    takes it page by page again, which is up to a fifth of all CPU time. One arena, because each would keep some for itself: with the
    engine's own setting, which a program that has loaded it hands on to those that it starts, half as much again is taken.
    """
    chosen = {word for word in os.environ.get(_ALLOCATOR, "").split(",") if word} - _ENGINES_OWN
    if "polars" not in sys.modules and not chosen:
        os.environ[_ALLOCATOR] = "narenas:1,dirty_decay_ms:10000,muzzy_decay_ms:10000"


def resident_bytes() -> int:
    """The resident memory of this process now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def shown_size(count: int) -> str:
    """`512 MiB`."""
    return f"{-(-count // 2**20)} MiB"
