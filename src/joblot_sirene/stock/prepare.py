"""A copy of a stock file sorted by activity code, so that a later scan reads only the codes it wants.

The copy is beside the file and names the file's digest; a copy of another state of the file is ignored. It is sorted in runs: as
many rows as memory allows are read, sorted by code and written, so every row is moved once and encoded once, and nothing is kept
elsewhere meanwhile. A scan reads a piece of each run. Within a code rows keep the order of the file, in a run and from run to run,
and every row has its number in the file. Rows that do not count, because a newer one has the same SIRET, are not in the copy, and who is
hidden by any row is masked in it.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from datetime import date  # noqa: TC003 - msgspec reads them from the annotations
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from joblot import atomic_write, reason_of
from joblot_sirene.register.layout import COLUMNS, PLACE_COLUMNS
from joblot_sirene.register.naf import CODE_COLUMN
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.memory import Budget, keep_freed_memory
from joblot_sirene.stock.repeated import Repeats, find_repeats
from joblot_sirene.stock.source import (
    ORDER,
    ParquetSource,
    ScanCancelledError,
    Source,
    Span,
    data_type,
    day_of,
    open_source,
)
from joblot_sirene.stock.writers import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

SUFFIX: Final = ".by-code.parquet"
_RARE: Final = (
    "2Etablissement", "RegistreMetiers", "nombrePeriodes", "anneeEffectifs", "identifiantAdresse", "enseigne3", "codePaysEtranger",
)  # fmt: skip
USUAL: Final = (*(name for name in COLUMNS if not any(part in name for part in _RARE)), *PLACE_COLUMNS)
"""The columns of a copy unless others are asked for: not the second address and other columns that datasets hardly ever show."""
ROWS_PER_GROUP: Final = 2**16
_KEY: Final = "joblot_sirene.2"
"""Of the metadata. Its number goes up when rows are read in another way, so that older copies are made again."""


class Contents(msgspec.Struct, frozen=True):
    """The metadata of a copy.

    Attributes:
        digest: of its source.
        codes: all codes in order, with the rows of each.
        ends: of each run the row at which each of these codes ends, as 4 bytes, the lowest first: tens of thousands of numbers that need
            not be parsed.
        repeated: how many rows of the source are not in the copy, because a newer one has the same SIRET.
        newest: the newest treatment in the source (`Source.newest`), and how many rows were treated after it was made.
        unread: whether a value of the source could not be read, of which the copy knows no more what it was.
    """

    digest: str
    codes: list[tuple[str, int]]
    ends: bytes
    repeated: int
    newest: date | None
    future: int
    unread: bool


class Prepared:
    """A sorted copy that can be used.

    Attributes:
        path: its path.
        source: the copy, opened.
        rows_of: how many rows each code has.
        repeated: how many rows of its source it has not, because they do not count.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self.contents = contents
        self.source: Source = ParquetSource(path, None, ROWS_PER_GROUP)
        self.rows_of: dict[str, int] = dict(contents.codes)
        self.repeated = contents.repeated
        self._index = {code: index for index, (code, _) in enumerate(contents.codes)}
        self._ends = memoryview(contents.ends).cast("I")
        self._rows = sum(self.rows_of.values())

    def spans(self, codes: Iterable[str]) -> list[Span]:
        """The rows of these codes, with the whole row groups around them: parts of one are slow to decode."""
        indices = sorted(self._index[code] for code in codes if code in self._index)
        spans: list[Span] = []
        base = 0
        for run in range(0, len(self._ends), len(self._index) or 1):
            ends = self._ends[run : run + len(self._index)]
            for index in indices:
                first, end = base + (ends[index - 1] if index else 0), base + ends[index]
                if first < end:
                    _append(spans, first - first % ROWS_PER_GROUP, min(end + -end % ROWS_PER_GROUP, self._rows))
            base += ends[-1]
        return spans


def _append(spans: list[Span], start: int, end: int) -> None:
    """Append the rows that are in no span yet; neighbouring spans become one."""
    if spans and start <= spans[-1].start + spans[-1].rows:
        start = spans.pop().start
    spans.append(Span(start, end - start))


def copy_path(path: Path) -> Path:
    """The path at which the sorted copy of a file is looked for."""
    return path.with_name(path.name + SUFFIX)


def find_prepared(source: Source) -> Prepared | None:
    """The sorted copy of a file as it is now; None when there is none, or only one of another state."""
    import polars as pl

    path = copy_path(source.path)
    if not path.exists():
        return None
    try:
        text = pl.read_parquet_metadata(path).get(_KEY, "{}")
        contents = msgspec.json.decode(text, type=Contents)
        return Prepared(path, contents) if contents.digest == source.digest else None
    except (pl.exceptions.PolarsError, OSError, msgspec.MsgspecError):
        return None  # without the copy a scan is slower, and no less right


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

    `out` is another path than the one at which scans look for it. Scans that ask for a column that is not among `columns` read the file
    itself.

    Raises:
        SourceError: the file is damaged, or the copy cannot be written.
        LayoutError: its columns are not those of a stock file of establishments.
        MemoryLimitError: `max_ram_bytes` is not enough.
    """
    keep_freed_memory()
    import polars as pl

    from joblot_sirene.register.privacy import STATUS_COLUMN

    source = open_source(path, expected="establishment")
    target = out or copy_path(source.path)
    present = list(dict.fromkeys([*(name for name in columns if name in source.columns), CODE_COLUMN]))
    budget = Budget(max_ram_bytes, len(present))
    digest = source.digest
    runs = _Runs()

    def pause() -> None:
        if cancelled():
            raise ScanCancelledError
        budget.check()

    repeats = _repeats(source, budget, pause)

    def read() -> Iterator[pl.DataFrame]:
        batches = source.batches(present, budget.rows_per_slice, order=True)
        if repeats is not None:
            batches = map(repeats.settle, batches)
        if STATUS_COLUMN in present:
            batches = map(_masked, batches)
        for rows in map(_rechunked, _combined(batches, budget.rows_per_slice)):
            pause()
            yield rows
            if progress is not None:
                progress(source.done)

    try:
        with atomic_write(target) as part:
            schema = {name: data_type(name) for name in present} | {ORDER: pl.UInt32()}
            write_parquet(
                runs.sorted(read(), schema),
                part,
                schema=schema,
                rows_per_group=ROWS_PER_GROUP,
                compression="lz4",  # a third more bytes than zstd, and a third less CPU time for a scan of one code
                statistics=False,
                metadata=lambda _: {
                    _KEY: msgspec.json.encode(
                        runs.contents(digest, source, 0 if repeats is None else repeats.superseded.height)
                    ).decode()
                },
            )
    except (OSError, pl.exceptions.PolarsError) as error:  # of the source's own errors `batches` makes others
        reason = re.sub(r".*io error: ", "", reason_of(error))
        raise SourceError(
            f"cannot write `{target}`: {reason}", hint="make room there, or choose another place"
        ) from error
    return target


def _masked(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with every name and address of the hidden ones masked; the same rows where there is none, without a second copy of them."""
    from joblot_sirene.register import privacy

    is_hidden = rows.select(privacy.is_hidden()).to_series()
    return privacy.masked(rows, privacy.is_hidden()) if is_hidden.any() else rows


def _repeats(source: Source, budget: Budget, pause: Callable[[], None]) -> Repeats | None:
    """Which rows of the file do not go into the copy, and which go masked; None when no number repeats.

    In the copy the rows of one number may lie far apart, and a scan of one code would see one of them only.
    """
    from joblot_sirene.register.repeats import Numbers

    numbers = Numbers(budget.numbers)
    for part in source.numbers(budget.rows_per_filtered_slice(1, 0)):
        pause()
        numbers.see(part)
    suspects = numbers.repeated()
    if suspects is not None and not len(suspects):
        return None
    return find_repeats(source, suspects, numbers.count if suspects is None else len(suspects), budget, pause)


class _Runs:
    """Slices of the file, each sorted by code, and how many rows of each code it has."""

    def __init__(self) -> None:
        self._rows: list[dict[str, int]] = []  # a missing code counts as an empty one: both sort first

    def sorted(self, slices: Iterable[pl.DataFrame], schema: dict[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """The rows of each slice by code, of a code in the order of the file, in frames as large as row groups, but the last."""
        import polars as pl

        rest = pl.DataFrame(schema=schema)
        for rows in slices:
            by_code = rows.select(CODE_COLUMN).with_row_index("at").group_by(CODE_COLUMN).agg("at").sort(CODE_COLUMN)
            codes = by_code.select(pl.col(CODE_COLUMN).fill_null(""), pl.col("at").list.len())
            self._rows.append(dict(codes.iter_rows()))
            row_numbers = by_code["at"].explode()
            start, end = 0, ROWS_PER_GROUP - rest.height
            while end <= rows.height:
                # gathered as much at a time as is written at once: the memory of larger columns would leave the caches
                yield _joined(rest, rows[row_numbers[start:end]])
                rest = rest.clear()
                start, end = end, end + ROWS_PER_GROUP
            rest = _joined(rest, rows[row_numbers[start:]])
        yield rest

    def contents(self, digest: str, source: Source, repeated: int) -> Contents:
        """The metadata of what has been written."""
        total = Counter[str]()
        for rows in self._rows:
            total.update(rows)
        codes = sorted(total.items())
        ends = [end for rows in self._rows for end in accumulate(rows.get(code, 0) for code, _ in codes)]
        packed = struct.pack(f"<{len(ends)}I", *ends)
        unread = bool(sum(source.unreadable.values()) or source.not_codes)
        newest = None if source.newest is None else day_of(source.newest)
        return Contents(digest, codes, packed, repeated, newest, source.future, unread)


def _combined(batches: Iterable[pl.DataFrame], most: int) -> Iterator[pl.DataFrame]:
    """The rows in frames of at most `most`, when no batch is larger than the one before: blocks of text are small."""
    frame = None
    for rows in batches:
        frame = rows if frame is None else frame.vstack(rows)
        if frame.height + rows.height > most:
            del rows  # `_rechunked` uses the frame up, so nothing else may refer to it
            yield frame
            frame = None
    if frame is not None:
        yield frame


def _rechunked(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows with every column in one piece: texts in several are gathered at three times the cost.

    `rows` is used up, so that no more than one column is in memory twice.
    """
    import polars as pl

    return pl.DataFrame([rows.drop_in_place(name).rechunk() for name in rows.columns])


def _joined(rest: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    return rest.vstack(rows).rechunk() if rest.height else rows
