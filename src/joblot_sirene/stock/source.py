"""A stock file as batches of rows: Parquet, CSV or zipped CSV, of any layout, under the register's own column names.

Everything is streamed: memory follows the rows of a batch, not the file. It knows files and types; it does not know codes,
filters or what becomes of the rows.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from joblot import ActionError, reason_of
from joblot_sirene.register import spellings
from joblot_sirene.register.layout import (
    COLUMNS,
    HISTORY_COLUMNS,
    PLACE_COLUMNS,
    UNIT_COLUMNS,
    Layout,
    recognise,
)
from joblot_sirene.register.naf import CODE_COLUMN
from joblot_sirene.stock.csvtext import ROW_BYTES, CsvText, SourceError, open_text
from joblot_sirene.stock.footer import read_footer, rows_per_group
from joblot_sirene.stock.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl

    from joblot_sirene.register.layout import Kind

ORDER: Final = "__row"
"""The name of the column with a row's number in the file, in batches that are asked for it."""
BLOCK_BYTES: Final = 16 * 2**20
"""Of CSV text parsed at once: large enough to be parsed by several threads, small beside any sensible limit of memory."""
TREATED: Final = "dateDernierTraitementEtablissement"
"""The column with the moment at which the register last changed a row: the newest one dates the stock."""
_FIRST_DAY: Final = "1973-01-01"
"""Before the register was there; a text between it and today is the day of a treatment."""
_PARQUET: Final = b"PAR1"
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_EDGE_BYTES: Final = 2**20
UNREAD: Final = "__unread_"
"""In front of the name of a column with dates or truth values: the texts in it that are none, which are read as missing."""
_PROBED: Final = 2**16
"""Rows at the beginning of a Parquet file of which it is found out how they spell codes, before any is filtered by them."""


class ScanCancelledError(ActionError):
    """The caller's `cancelled` returned true."""

    def __init__(self) -> None:
        super().__init__("the scan was cancelled", reason="cancelled")


class Span(NamedTuple):
    """`rows` rows from `start`, counted from 0."""

    start: int
    rows: int


def limit_threads(threads: int) -> None:
    """Let the data engine use so many threads, in a process that has not loaded it yet; later it keeps what it has."""
    import sys

    keep_freed_memory()
    if "polars" not in sys.modules and threads > 0:
        os.environ["POLARS_MAX_THREADS"] = str(threads)


class Probe(NamedTuple):
    """What a file's first and last bytes say: its format (`Parquet`, `CSV`, `zipped CSV`), layout and rows (None: unknown)."""

    format: str
    layout: Layout
    rows: int | None


def probe(path: str | Path, *, expected: Kind | None = None) -> Probe:
    """Find out what a file is without the data engine, so that processes may still be forked afterwards.

    Raises:
        SourceError: the file cannot be read, or is not Parquet, CSV or a zip with one stock file in it.
        LayoutError: its columns are not those of a stock file (of the `expected` kind).
    """
    path = Path(path)
    head = _head(path)
    if head != _PARQUET:
        zipped = head in (_ZIP, _EMPTY_ZIP)
        names = open_text(path, zipped=zipped, expected=expected).names
        return Probe("zipped CSV" if zipped else "CSV", recognise(names, expected=expected), None)
    footer = read_footer(path)
    if footer is None:
        raise _unreadable(path)
    return Probe("Parquet", recognise(footer.names, expected=expected), footer.rows)


def open_source(path: str | Path, *, expected: Kind | None = None) -> Source:
    """Open a file by its first bytes and its columns; no rows are read.

    Raises:
        SourceError: the file cannot be read, or is not Parquet, CSV or a zip with one stock file in it.
        LayoutError: its columns are not those of a stock file (of the `expected` kind).
    """
    path = Path(path)
    head = _head(path)
    if head == _PARQUET:
        return ParquetSource(path, expected)
    return CsvSource(path, open_text(path, zipped=head in (_ZIP, _EMPTY_ZIP), expected=expected), expected)


def _head(path: Path) -> bytes:
    """A file's first four bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise SourceError(f"cannot read `{path}`: {reason_of(error)}") from error
    if not head:
        raise SourceError(f"`{path}` is empty", hint="download the stock file again")
    return head


def _unreadable(path: Path) -> SourceError:
    return SourceError(
        f"`{path}` is damaged: it begins like Parquet, but its list of contents cannot be read",
        hint="download the stock file again",
    )


class Source:
    """An open stock file.

    Attributes:
        path: its path.
        layout: which columns it has, by canonical name.
        rows: how many rows it has; None when only reading it would tell.
        unreadable: by column, the values that were no date, number or truth value and were read as missing, in the
            batches so far.
        untidy: columns of codes in which a value was met that the register spells in another way (`spellings`).
        not_codes: the activity codes that are none, as far as all rows have been looked at, and how many rows have each.
        done: the share of the file that the last `batches` has gone through, from 0 to 1.
        bad_rows: how many rows have been put aside so far (`CsvSource.put_aside`).
        spannable: whether rows can be read from the middle (`spans`).
        watch: what `batches` calls with the numbers of all rows of each part, whatever rows are asked for: they would have to be read
            once more for that. `batches` of Parquet does so only where it is asked for `order`.
    """

    spannable = False
    watch: Callable[[pl.Series], None] | None = None
    _newest: datetime | date | None = None
    _future = 0

    def __init__(self, path: Path, layout: Layout, types: dict[str, pl.DataType], rows: int | None) -> None:
        self.path = path
        self.layout = layout
        self.rows = rows
        self.unreadable: Counter[str] = Counter()
        self.untidy: set[str] = set()
        self._tidy: set[str] = set()
        self.not_codes: Counter[str] = Counter()
        self.done = 0.0
        self.bad_rows = 0
        self._types = types
        self._own = {canonical: own for own, canonical in layout.canonical.items()}

    @property
    def newest(self) -> datetime | date | None:
        """The newest treatment of any row until today, None when it is not known: of CSV only after `batches` has come to its end."""
        return self._newest

    @property
    def key(self) -> str:
        """The column with the number that the file has a row for: of the establishment, of the unit, of the establishment of a period."""
        return "siren" if self.layout.kind == "unit" else "siret"

    def numbers(self, rows_per_part: int) -> Iterator[pl.Series]:
        """The numbers of all rows (`key`) as 64 bits, null where there is none, part by part."""
        from joblot_sirene.register import expressions

        for rows in self.again().batches([self.key], rows_per_part):
            yield expressions.numbers(rows[self.key])

    def again(self) -> Source:
        """Another reader of the same file: what one has counted and how far it is belong to one reading."""
        return open_source(self.path, expected=self.layout.kind)

    @property
    def future(self) -> int:
        """How many rows are said to have been treated after today, which are no witnesses of the stock's date; known as `newest` is."""
        return self._future

    def know(self, newest: datetime | date | None, future: int, rows: int) -> None:
        """Be told what only reading all rows would tell."""
        self._newest, self._future, self.rows = newest, future, rows

    @property
    def columns(self) -> list[str]:
        """The canonical names of the columns that are there, in canonical order."""
        names = (
            HISTORY_COLUMNS
            if self.layout.kind == "history"
            else dict.fromkeys((*COLUMNS, *PLACE_COLUMNS, *UNIT_COLUMNS))
        )
        return [name for name in names if name in self._own]

    @property
    def digest(self) -> str:
        """A key that changes when the file does, 32 hexadecimal digits: of its size, its time of change, its first and its last MiB.

        A digest of all bytes would read gigabytes each time. The last bytes of Parquet are its footer, which describes all row groups.

        Raises:
            SourceError: the file cannot be read any more.
        """
        from hashlib import sha256

        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = sha256(f"{status.st_size} {status.st_mtime_ns}\n".encode())
                key.update(file.read(_EDGE_BYTES))
                file.seek(max(status.st_size - _EDGE_BYTES, 0))
                key.update(file.read(_EDGE_BYTES))
        except OSError as error:
            raise SourceError(f"cannot read `{self.path}`: {reason_of(error)}") from error
        return key.hexdigest()[:32]

    def batches(
        self,
        columns: Sequence[str],
        rows_per_batch: int,
        *,
        where: pl.Expr | None = None,
        spans: Sequence[Span] | None = None,
        order: bool = False,
        respell: bool = True,
    ) -> Iterator[pl.DataFrame]:
        """The rows that meet `where`, in the order of the file, as frames with these columns in canonical types.

        A frame comes of at most `rows_per_batch` rows of the file (of CSV: about, and of at most `BLOCK_BYTES`), so it may be
        empty. Columns that the file lacks are null, and so is a text of length 0. Codes are as the register spells them, those that nobody
        understands as the file has them; a column may be asked for with `UNREAD` in front. `spans` restricts the reading to
        parts of a Parquet file (none of them: to nothing); `order` adds the column `ORDER`. Without `respell` codes are as the file has them.

        Raises:
            SourceError: the file turns out to be damaged.
        """
        self.not_codes.clear()
        for part in self._parts(rows_per_batch, spans, order=order):
            yield self._batch(part, columns, where, [ORDER] if order else [], respell)

    def _parts(self, rows_per_part: int, spans: Sequence[Span] | None, *, order: bool) -> Iterator[pl.LazyFrame]:
        """The file in parts, none of which has been read yet; `done` is set before each."""
        raise NotImplementedError

    def _frame(
        self, part: pl.LazyFrame, columns: Sequence[str], where: pl.Expr | None, order: Sequence[str]
    ) -> pl.DataFrame:
        """The rows of a part that meet `where`. Values that cannot be what their column says are counted, then missing."""
        import polars as pl

        filter_columns = dict.fromkeys(where.meta.root_names() if where is not None else ())
        respelt = {name for name in filter_columns if self._is_respelt(name)}
        # a value was unreadable where its text is there and what it was converted to is not: so both are read, in one pass
        converted = [name for name in columns if self._is_converted(name)]
        names = dict.fromkeys(name.removeprefix(UNREAD) for name in columns)
        texts = [
            name for name in names if name in self._own and (name not in filter_columns or self._is_converted(name))
        ]
        # rows are filtered before anything is converted that the filter does not look at
        rows = part.select(
            *(self._column(name, respelt=name in respelt) for name in filter_columns),
            *(pl.col(self._own[name]).alias(_text(name)) for name in texts),
            *order,
        )
        if where is not None:
            rows = rows.filter(where)
        rows = rows.select(
            *(name if name in filter_columns else self._column(name, _text(name)) for name in columns),
            *(_text(name) for name in converted),
            *order,
        )
        try:
            frame = rows.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from error
        for name in converted:
            unreadable = (
                frame[name].null_count() - frame[_text(name)].replace(["", spellings.HIDDEN], [None, None]).null_count()
            )
            if unreadable:
                self.unreadable[name] += unreadable
        return _empty_as_null(frame.select(*columns, *order))

    def _batch(
        self, part: pl.LazyFrame, columns: Sequence[str], where: pl.Expr | None, order: Sequence[str], respell: bool
    ) -> pl.DataFrame:
        # apart from `batches`, which would refer to the frame until the next one is asked for
        frame = self._frame(part, columns, where, order)
        return self.respelt(frame, all_rows=where is None) if respell else frame

    def respelt(self, frame: pl.DataFrame, *, all_rows: bool = False) -> pl.DataFrame:
        """Rows, or what is counted of them, with all codes as the register spells them. `all_rows`: none has been filtered away."""
        for name in spellings.READERS:
            if name in frame.columns and name in self._own and name not in self._tidy:
                frame = frame.with_columns(self._respelt(name, frame[name], all_rows=all_rows))
        return frame

    def know_tidy(self, columns: Iterable[str]) -> None:
        """Be told that all values of these columns have been looked at which are still to be read."""
        self._tidy = set(columns) - self.untidy

    def _is_respelt(self, name: str) -> bool:
        """Whether the codes of a column have to be respelt before rows are filtered by them."""
        return name in self.untidy and name in self._own

    def respells(self, where: pl.Expr) -> bool:
        """Whether the rows are read before they are filtered, so that no more should be read at once than memory has room for."""
        return any(self._is_respelt(name) for name in where.meta.root_names())

    def _respelt(self, name: str, texts: pl.Series, *, all_rows: bool = False) -> pl.Series:
        """A column of codes as the register spells them. `all_rows`: none has been filtered away."""
        changes: dict[str, str] = {}
        for value in texts.unique().drop_nulls().to_list():
            new = value if value == spellings.HIDDEN else spellings.read(name, value)
            if new is not None and new != value:
                changes[value] = new
            elif new is None and all_rows and name == CODE_COLUMN and value.strip():
                self.not_codes[value] += int((texts == value).sum())
        if not changes:
            return texts
        self.untidy.add(name)
        return texts.replace(list(changes), list(changes.values()))

    def _is_converted(self, name: str) -> bool:
        import polars as pl

        own = self._own.get(name)
        return own is not None and self._types[own] == pl.String and data_type(name) != pl.String

    def _column(self, name: str, own: str | None = None, *, respelt: bool = False) -> pl.Expr:
        """A canonical column, or what is unread of one, from the file's own or from where it has been put."""
        import polars as pl

        if name.startswith(UNREAD):
            return self._unread(name.removeprefix(UNREAD)).alias(name)
        target = data_type(name)
        if name not in self._own:
            return pl.lit(None, target).alias(name)
        column = as_type(pl.col(own or self._own[name]), self._types[self._own[name]], target)
        if respelt:
            respell = partial(self._respelt, name, all_rows=True)
            column = column.map_batches(respell, return_dtype=pl.String())
        return column.alias(name)

    def _unread(self, name: str) -> pl.Expr:
        """The texts of a column, put under `_text`, that are no date or truth value; nothing where the column is not text."""
        import polars as pl

        if not self._is_converted(name):
            return pl.lit(None, pl.String())
        text = pl.col(_text(name))
        is_nothing = text.str.strip_chars().is_in(["", spellings.HIDDEN])
        return pl.when(self._column(name, _text(name)).is_null() & ~is_nothing).then(text)

    def _damaged(self, error: BaseException) -> SourceError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        return SourceError(f"`{self.path}` is damaged: {reason}", hint="download the stock file again")


class ParquetSource(Source):
    """A stock file in Parquet. Only the columns and row groups that are asked for are decoded."""

    spannable = True
    _has_read_newest = False
    _start = 0

    def __init__(self, path: Path, expected: Kind | None, rows_in_group: int | None = None) -> None:
        import polars as pl

        try:
            self._scan = pl.scan_parquet(path, glob=False)
            types = dict(self._scan.collect_schema())
            rows = self._scan.select(pl.len()).collect().item()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(path) from error
        super().__init__(path, recognise(list(types), expected=expected), types, rows)
        self._group = rows_per_group(path) if rows_in_group is None else rows_in_group
        self._is_probed = rows_in_group is not None  # a sorted copy spells all codes as the register does
        self._newest_lock = Lock()

    def _is_respelt(self, name: str) -> bool:
        self._probe()
        return super()._is_respelt(name)

    def _probe(self) -> None:
        """Find out how the first rows spell codes: to respell them before they are filtered costs what the filter saves."""
        import polars as pl

        if self._is_probed:
            return
        self._is_probed = True
        names = [name for name in spellings.READERS if name in self._own]
        try:
            first = self._scan.select(self._column(name) for name in names).head(_PROBED).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from error
        for name in names:
            self._respelt(name, first[name])
        codes = first[CODE_COLUMN].unique().drop_nulls() if CODE_COLUMN in names else ()
        if (self.rows or 0) <= _PROBED and not all(spellings.is_understood(CODE_COLUMN, code) for code in codes):
            self.untidy.add(CODE_COLUMN)  # so that they are counted

    @property
    def newest(self) -> datetime | date | None:
        """From the footer, or from the column where the footer does not say, or says what cannot be. Neither is read before it is asked for: that can take longer than to read the rows of one code."""
        self._read_newest()
        return self._newest

    @property
    def future(self) -> int:
        """As `newest`."""
        self._read_newest()
        return self._future

    def _read_newest(self) -> None:
        own = self._own.get(TREATED)
        if self._has_read_newest or own is None:
            return
        with (
            self._newest_lock
        ):  # datasets are built in several threads: one that came meanwhile must not find it unknown
            if not self._has_read_newest:
                self._newest, self._future = self._found_newest(own)
                self._has_read_newest = True

    def _found_newest(self, own: str) -> tuple[datetime | date | None, int]:
        footer = read_footer(self.path, own)
        by_group = [_moment(value) for value in footer.newest] if footer is not None else []
        moments = [moment for moment in by_group if moment is not None]
        if moments and len(moments) == len(by_group) and day_of(max(moments)) <= _today():
            return max(moments), 0
        import polars as pl

        moment = self._column(TREATED)
        is_past = moment.cast(pl.Date) <= _today()
        try:
            found = self._scan.select(newest=moment.filter(is_past).max(), future=(~is_past).sum()).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from error
        newest, future = found.row(0)
        return newest, future

    def _parts(self, rows_per_part: int, spans: Sequence[Span] | None, *, order: bool) -> Iterator[pl.LazyFrame]:
        # parts that begin and end with a row group: the rows of one that lies in two parts would be decoded twice
        most = rows_per_part - rows_per_part % self._group if 0 < self._group <= rows_per_part else rows_per_part
        spans = [Span(0, self.rows or 0)] if spans is None else spans
        read, total = 0, sum(rows for _, rows in spans)
        # a sorted copy has the numbers of its source; rows numbered after they are cut out could not be filtered while they are decoded
        import polars as pl

        numbered = self._scan
        if order and ORDER not in self._types:
            numbered = pl.scan_parquet(self.path, glob=False, row_index_name=ORDER)
        for self._start, rows in _steps(spans, most):
            read += rows
            self.done = read / total
            yield numbered.slice(self._start, rows)

    def _frame(
        self, part: pl.LazyFrame, columns: Sequence[str], where: pl.Expr | None, order: Sequence[str]
    ) -> pl.DataFrame:
        """The rows; beside them the numbers of all, if they are watched."""
        if self.watch is None or not order:
            return super()._frame(part, columns, where, order)
        import polars as pl

        from joblot_sirene.register import expressions

        try:
            keys = part.select(self._column(self.key)).collect().to_series()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from error
        self.watch(expressions.numbers(keys))
        # to decode the numbers of a few rows costs nearly as much as to decode all, so they are taken from these
        frame = super()._frame(part, [name for name in columns if name != self.key], where, order)
        own = (
            keys.gather(frame[ORDER] - self._start) + ""
        )  # a text of its own: without it all numbers would stay in memory
        return frame.with_columns(_empty_as_null(own.to_frame())).select(*columns, *order)

    def numbers(self, rows_per_part: int) -> Iterator[pl.Series]:
        """The numbers of all rows (`key`), part by part: nothing else is read, and nothing else is done to them."""
        import polars as pl

        from joblot_sirene.register import expressions

        own = pl.col(self._own[self.key]).cast(pl.String)
        for part in self._parts(rows_per_part, None, order=False):
            try:
                keys = part.select(own).collect().to_series()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise self._damaged(error) from error
            yield expressions.numbers(keys)


class CsvSource(Source):
    """A stock file as text, plain or inside a zip, read from its beginning to its end in blocks of whole rows."""

    def __init__(self, path: Path, text: CsvText, expected: Kind | None) -> None:
        import polars as pl

        layout = recognise(text.names, expected=expected)
        super().__init__(path, layout, dict.fromkeys(_distinct(text.names), pl.String()), None)
        self.names = text.names
        self._text = text
        self._rows_before = 0

    def _is_respelt(self, name: str) -> bool:
        # text is parsed as a whole anyway, and beside that it costs little to look at the codes of all rows
        return name in spellings.READERS and name in self._own

    def put_aside(self, aside: Callable[[int, Sequence[str], bytes], None]) -> None:
        """From now on count rows that have not as many fields as the header, and pass on their line, fields and text; they are no error then."""

        def count(line: int, fields: Sequence[str], text: bytes) -> None:
            self.bad_rows += 1
            aside(line, fields, text)

        self._text.aside = count

    def again(self) -> Source:
        """Another reader of the same file, which leaves out the same rows and tells nobody."""
        other = super().again()
        if self._text.aside is not None and isinstance(other, CsvSource):
            other.put_aside(lambda *_: None)
        return other

    def _parts(self, rows_per_part: int, spans: Sequence[Span] | None, *, order: bool) -> Iterator[pl.LazyFrame]:  # noqa: ARG002 - Parquet's
        import polars as pl

        assert spans is None, "text is read from its beginning"
        self._rows_before = 0
        self._newest, self._future = None, 0
        self.bad_rows = 0
        # cut here and parsed by the engine: a quarter more CPU time than its own scan of a file, but one path for plain and zipped text,
        # memory that depends on the block, and a line number for what is wrong
        for block in self._text.blocks(max(min(BLOCK_BYTES, rows_per_part * ROW_BYTES), 2**12)):
            part = pl.scan_csv(
                block, has_header=False, separator=self._text.delimiter, schema=self._types, infer_schema=False
            )
            self.done = self._text.done
            yield part
        self.rows = self._rows_before

    def _frame(
        self, part: pl.LazyFrame, columns: Sequence[str], where: pl.Expr | None, order: Sequence[str]
    ) -> pl.DataFrame:
        """The rows; beside them the numbers of all, and the newest treatment."""
        import polars as pl

        from joblot_sirene.register import expressions

        filter_columns = where.meta.root_names() if where is not None else []
        wanted = (name.removeprefix(UNREAD) for name in (*columns, *filter_columns, self.key, TREATED))
        names = dict.fromkeys(self._own.get(name) for name in wanted)
        try:  # the text is parsed once, and what is asked of it asked of what comes of it: asked while it is parsed it costs half as much again
            block = part.select(name for name in names if name is not None).collect()
        except pl.exceptions.PolarsError as error:
            raise self._text.damaged(error) from error
        if self.watch is not None:
            self.watch(expressions.numbers(block[self._own[self.key]]))
        if TREATED in self._own:
            self._see_moments(block[self._own[TREATED]])
        if order:
            block = block.with_row_index(ORDER, self._rows_before)
        self._rows_before += block.height
        return super()._frame(block.lazy(), columns, where, order)

    def _see_moments(self, texts: pl.Series) -> None:
        """Date the stock by the newest of these moments until today."""
        import polars as pl

        def days(moments: pl.Series) -> pl.Series:
            frame = pl.DataFrame({"moment": moments})
            moment = as_type(pl.col("moment"), pl.String(), data_type(TREATED))
            return frame.select(moment.cast(pl.Date)).to_series()

        # texts of moments sort like the moments: only what is no usual one, or none of the past, has to be parsed
        today = _today()
        day = texts.str.slice(0, 10)
        is_usual = (day >= _FIRST_DAY) & (day <= today.isoformat())
        others = days(texts.filter(~is_usual))
        self._future += int((others > today).sum())
        found = [self._newest, others.filter(others <= today).max()]
        newest = day.filter(is_usual).max()
        try:
            found.append(None if newest is None else date.fromisoformat(str(newest)))
        except ValueError:  # it only looks like a day
            every = days(texts)
            found.append(every.filter(every <= today).max())
        self._newest = max((day for day in found if isinstance(day, date)), default=None)

    def _damaged(self, error: BaseException) -> SourceError:
        return self._text.damaged(error)


def _text(name: str) -> str:
    """Under which name the file's own values of a column are kept beside what they are converted to."""
    return f"__text_{name}"


def data_type(name: str) -> pl.DataType:
    """The type of a canonical column in memory; what is no canonical column is text."""
    import polars as pl

    kinds: dict[str, pl.DataType] = {
        "text": pl.String(),
        "date": pl.Date(),
        "bigint": pl.Int64(),
        "boolean": pl.Boolean(),
        "timestamp": pl.Datetime("ms"),
    }
    return kinds[COLUMNS.get(name) or UNIT_COLUMNS.get(name) or HISTORY_COLUMNS.get(name, "text")]


def as_type(column: pl.Expr, source: pl.DataType, target: pl.DataType) -> pl.Expr:
    """A column of one type as another; what cannot be that is missing."""
    import polars as pl

    if source == target:
        return column
    if source != pl.String:
        return column.cast(target, strict=False)
    text = column.str.strip_chars()
    if target == pl.Date:
        day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return pl.when(text.str.len_bytes() == 8).then(text.str.to_date("%Y%m%d", strict=False)).otherwise(day)
    if target == pl.Boolean:
        return text.str.to_lowercase().replace_strict(dict(spellings.TRUTH), default=None, return_dtype=pl.Boolean)
    if target == pl.Int64:
        return text.cast(pl.Int64, strict=False)
    moment = text.str.replace(" ", "T", literal=True).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f", time_unit="ms", strict=False
    )
    # a day without a time is its beginning
    return pl.when(text.str.len_bytes() <= 10).then(as_type(text, source, pl.Date()).cast(target)).otherwise(moment)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, repeats with their position added: columns that no layout has may share a name."""
    return [name if name not in names[:position] else f"{name}__{position}" for position, name in enumerate(names)]


def _empty_as_null(frame: pl.DataFrame) -> pl.DataFrame:
    """Empty texts are missing values, whatever the file's format."""
    import polars as pl

    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not texts or not frame.height:
        return frame
    has_empty = frame.select((pl.col(name) == "").any() for name in texts).row(0, named=True)
    empty = [name for name in texts if has_empty[name]]
    return frame.with_columns(pl.col(name).replace("", None) for name in empty) if empty else frame


def _moment(value: bytes | None) -> datetime | date | None:
    """The moment that a footer gives as a text, or as a number of days, milli-, micro- or nanoseconds since 1970."""
    if value is None:
        return None
    with suppress(ValueError, OverflowError):
        if len(value) == 8 and not value[:4].isdigit():
            number = int.from_bytes(value, "little", signed=True)
            # the unit stands elsewhere in the footer, but the newest moment of a stock is far enough from 1970 for its size to tell it
            unit = next(unit for unit in (10**3, 10**6, 10**9) if abs(number) < 10**11 * unit)
            return datetime(1970, 1, 1) + timedelta(seconds=number / unit)  # noqa: DTZ001 - the register's clock
        if len(value) == 4:
            return date(1970, 1, 1) + timedelta(days=int.from_bytes(value, "little", signed=True))
        return date.fromisoformat(value[:10].decode("ascii"))
    return None


def _today() -> date:
    return datetime.now(UTC).date()


def day_of(moment: datetime | date) -> date:
    """The day of a moment, or the day itself."""
    return moment.date() if isinstance(moment, datetime) else moment


def _steps(spans: Iterable[Span], most: int) -> Iterator[Span]:
    for start, rows in spans:
        for offset in range(0, rows, most):
            yield Span(start + offset, min(most, rows - offset))
