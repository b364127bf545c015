"""A copy of a stock file sorted by activity code, so that a later scan reads only the codes it wants.

The copy stands beside the file and names the file's digest; a copy of another state of the file is ignored. It is sorted out of
core: rows go to buckets of neighbouring codes on disk, then bucket by bucket into the copy. Within a code rows keep the order of
the file, and every row remembers its place in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from joblot_sirene.csvtext import SourceError
from joblot_sirene.layout import COLUMNS
from joblot_sirene.memory import Budget
from joblot_sirene.naf import CODE_COLUMN
from joblot_sirene.source import (
    ORDER,
    ParquetSource,
    ScanCancelledError,
    Source,
    Span,
    data_type,
    open_source,
)
from joblot_sirene.spool import Spool
from joblot_sirene.writers import whole_file, write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

SUFFIX: Final = ".by-code.parquet"
_RARE: Final = (
    "2Etablissement", "dernierNumeroVoie", "DernierNumeroVoie", "RegistreMetiers", "nombrePeriodes", "anneeEffectifs",
    "identifiantAdresse", "Cedex",
)  # fmt: skip
USUAL: Final = tuple(name for name in COLUMNS if not any(part in name for part in _RARE))
"""What a copy holds unless asked otherwise: not the second address and other columns that datasets hardly ever show."""
ROWS_PER_GROUP: Final = 2**16
_KEY: Final = "joblot_sirene"
_ROWS_SORTED: Final = 150_000  # at once: more do not stay in the caches of a processor while they are moved
_ROWS_GATHERED: Final = 2**13
_BUCKETS: Final = 96


class Contents(msgspec.Struct, frozen=True):
    """What a copy says of itself: the digest of its source, and its codes in order with the rows of each."""

    digest: str
    codes: list[tuple[str, int]]


class Prepared:
    """A sorted copy that can be used.

    Attributes:
        path: where it is.
        source: the copy, opened.
        rows_of: how many rows each code has.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self.source: Source = ParquetSource(path, None)
        self.rows_of: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        start = 0
        for code, rows in contents.codes:
            self.rows_of[code] = rows
            self._starts[code] = start
            start += rows
        self._rows = start

    def spans(self, codes: Iterable[str]) -> list[Span]:
        """Where the rows of these codes are, with the whole row groups around them: parts of one are slow to decode."""
        found: list[Span] = []
        for code in sorted((code for code in codes if code in self._starts), key=self._starts.__getitem__):
            first, rows = self._starts[code], self.rows_of[code]
            start = first - first % ROWS_PER_GROUP
            end = min(-(-(first + rows) // ROWS_PER_GROUP) * ROWS_PER_GROUP, self._rows)
            if found and start <= found[-1].start + found[-1].rows:
                start = found.pop().start
            found.append(Span(start, end - start))
        return found


def place(path: Path) -> Path:
    """Where the sorted copy of a file is looked for."""
    return path.with_name(path.name + SUFFIX)


def find_prepared(source: Source) -> Prepared | None:
    """The sorted copy of a file as it is now; None when there is none, or only one of another state."""
    import polars as pl

    path = place(source.path)
    if not path.exists():
        return None
    try:
        said = pl.read_parquet_metadata(path).get(_KEY, "{}")
        contents = msgspec.json.decode(said, type=Contents)
        return Prepared(path, contents) if contents.digest == source.digest else None
    except (pl.exceptions.PolarsError, OSError, msgspec.MsgspecError):
        return None  # whatever it is, the file itself can be read


def prepare(
    path: str | Path,
    out: Path | None = None,
    *,
    max_ram_bytes: int = 0,
    columns: Sequence[str] = USUAL,
    cancelled: Callable[[], bool] = bool,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write the sorted copy of a file, whole or not at all, and return its path.

    `out` is another place for it than beside the file; there it is not found by itself. Scans that ask for a column that is not
    among `columns` read the file itself. Temporary rows are kept in the folder of the copy.

    Raises:
        SourceError: the file is damaged, or the copy cannot be written.
        LayoutError: its columns are not those of a stock file of establishments.
        MemoryLimitError: `max_ram_bytes` is too little to work with.
        SpoolError: the folder has no room.
    """
    import polars as pl

    source = open_source(path, expected="establishment")
    target = out or place(source.path)
    present = [name for name in columns if name in source.columns]
    present = list(dict.fromkeys([*present, CODE_COLUMN]))
    budget = Budget(max_ram_bytes, len(present))
    digest = source.digest
    try:
        with Spool(target.parent) as spool, whole_file(target) as part:
            buckets = _Buckets(spool)
            for rows in source.batches(present, min(budget.rows_per_slice, _ROWS_SORTED), order=True):
                if cancelled():
                    raise ScanCancelledError
                budget.check()
                buckets.add(rows)
                if progress is not None:
                    progress(source.done)
            schema = {name: data_type(name) for name in present} | {ORDER: pl.UInt32()}
            contents = Contents(digest, buckets.codes())
            write_parquet(
                buckets.frames(schema),
                part,
                schema=schema,
                rows_per_group=ROWS_PER_GROUP,
                statistics=False,
                metadata={_KEY: msgspec.json.encode(contents).decode()},
            )
    except OSError as error:
        raise SourceError(f"cannot write `{target}`: {(error.strerror or str(error)).lower()}") from error
    return target


class _Buckets:
    """Rows by neighbouring codes. Where a bucket ends is decided by the codes of the first slice, so that all fill alike."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._ends: list[str] = []
        self._rows: Counter[str] = Counter()  # a missing code counts as an empty one: both sort first

    def add(self, rows: pl.DataFrame) -> None:
        """Sort a slice and put its rows into their buckets."""
        codes = rows.select(CODE_COLUMN).with_row_index("at").sort(CODE_COLUMN, maintain_order=True)
        runs = [(run["value"] or "", run["len"]) for run in codes[CODE_COLUMN].rle()]
        self._ends = self._ends or _ends(runs, rows.height)
        shares: Counter[int] = Counter()
        for code, count in runs:
            self._rows[code] += count
            shares[bisect_left(self._ends, code)] += count
        self._spool.add(rows, codes["at"], list(shares.items()))

    def codes(self) -> list[tuple[str, int]]:
        """The codes in order, with their rows."""
        return sorted(self._rows.items())

    def frames(self, schema: dict[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """All rows, by code, within a code in the order of the file."""
        import polars as pl

        yield pl.DataFrame(schema=schema)
        of_bucket = Counter(bisect_left(self._ends, code) for code in self._rows)
        for bucket, codes in sorted(of_bucket.items()):
            if codes == 1:
                yield from self._spool.frames(bucket)
            else:
                yield from _sorted(pl.concat(self._spool.frames(bucket), rechunk=True))
            self._spool.forget(bucket)


def _sorted(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    places = rows.select(CODE_COLUMN).with_row_index("at").sort(CODE_COLUMN, maintain_order=True)["at"]
    for start in range(0, rows.height, _ROWS_GATHERED):
        yield rows[places.slice(start, _ROWS_GATHERED)]


def _ends(runs: Sequence[tuple[str, int]], rows: int) -> list[str]:
    """The last codes of all buckets but the last one, each with about an equal share of the rows."""
    ends = []
    held = 0
    for code, count in runs:
        held += count
        if held >= rows / _BUCKETS:
            ends.append(code)
            held = 0
    return ends
