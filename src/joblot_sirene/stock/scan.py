"""One pass over a stock file for many requests: each gets its own rows, in the order of the file.

The file is read in slices; of each slice only the rows that a request asks for are decoded. They are routed by code, one join a slice
and not a filter a request, and kept in a row store on disk, so memory depends on the slice and not on how many rows match. Then each
request's rows are passed to the function that builds its dataset. The same input gives each request the same rows in the same order, for
any number of threads and megabytes.

It knows codes and expressions; it does not know jobs, privacy or files that are written.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from joblot_sirene.stock.companion import Companion, CompanionKeys, store_companion
from joblot_sirene.stock.memory import ROW_BYTES, Budget
from joblot_sirene.stock.prepare import find_prepared
from joblot_sirene.stock.repeated import SIRET, find_repeats
from joblot_sirene.stock.routing import REQUEST, ROW, Router, RowRequest
from joblot_sirene.stock.row_store import RowStore, memory_size
from joblot_sirene.stock.source import ORDER, ScanCancelledError, data_type
from joblot_sirene.stock.writers import ROWS_PER_GROUP, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from joblot_sirene.stock.prepare import Prepared
    from joblot_sirene.stock.repeated import Repeats
    from joblot_sirene.stock.source import Source, Span

T = TypeVar("T")
_MOST_FILTERED: Final = 2
"""Requests in a slice up to which filtering the rows of each takes less time than gathering all of them."""


class Rows:
    """The rows of one request, in the order of the file.

    Attributes:
        schema: canonical types by column, also when there are no rows.
        height: how many rows there are.
        size: about how many bytes they take in memory.
        counts: the rows that matched by code, before `where` and `limit`, by the values of the columns to tally; its last column
            is `rows`.
        companions: the rows of each companion file that belong to these, in the order of that file.
        repeated: how many rows of the file do not count, because a newer one has the same SIRET.

    Rows that do not count are among `height` and `counts`, and not among the frames.
    """

    def __init__(
        self,
        store: RowStore,
        key: int,
        schema: dict[str, pl.DataType],
        counts: pl.DataFrame | None,
        unknown_lists: pl.DataFrame | None = None,
        *,
        in_order: bool,
        companions: Sequence[Rows] = (),
        repeats: Repeats | None = None,
        repeated: int = 0,
    ) -> None:
        self.companions = companions
        self.repeated = repeated
        self._repeats = repeats
        self.schema = schema
        self.counts = counts
        self.unknown_lists = unknown_lists
        self.height = store.rows(key)
        self.size = store.size(key)
        self._store = store
        self._key = key
        self._in_order = in_order

    @property
    def total_size(self) -> int:
        """The size of these rows and of their companions."""
        return self.size + sum(rows.size for rows in self.companions)

    def frames(self, rows: int = ROWS_PER_GROUP) -> Iterator[pl.DataFrame]:
        """The rows in frames of `rows` rows, but the last; one empty frame when there are none. May be called again."""
        if not self._in_order:
            return cut([self._sorted()], rows)
        return (frame.drop(ORDER) if ORDER in frame.columns else frame for frame in cut(self._parts(), rows))

    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        import polars as pl

        return pl.concat(self.frames(), rechunk=True)

    def forget(self) -> None:
        """Free what these rows and their companions take in the store."""
        self._store.forget(self._key)
        for rows in self.companions:
            rows.forget()

    def _parts(self) -> Iterator[pl.DataFrame]:
        if self.height:
            return self._settled()
        import polars as pl

        return iter([pl.DataFrame(schema=self.schema)])

    def _settled(self) -> Iterator[pl.DataFrame]:
        frames = self._store.frames(self._key)
        return frames if self._repeats is None else map(self._repeats.settle, frames)

    def _sorted(self) -> pl.DataFrame:
        import polars as pl

        empty = pl.DataFrame(schema={**self.schema, ORDER: pl.UInt32})
        return pl.concat([empty, *self._settled()], rechunk=True).sort(ORDER).drop(ORDER)


class _Pending(Generic[T]):
    """Datasets being built, at most `most` at a time from `most_bytes` of rows; their results are passed on in the order of requests."""

    def __init__(self, on_done: Callable[[RowRequest, T | Exception], None], most: int, most_bytes: int) -> None:
        self._on_done = on_done
        self._most = most
        self._most_bytes = most_bytes
        self._queue: deque[tuple[RowRequest, Rows, Future[T]]] = deque()
        self._bytes = 0

    def make_room(self, rows: Rows) -> None:
        """Wait until the dataset of these rows may be built too."""
        # the rows of a large dataset count as all that is allowed: it is built alone, frame by frame
        while self._queue and (self._bytes + self._size(rows) > self._most_bytes or len(self._queue) >= self._most):
            self.finish_first()

    def add(self, request: RowRequest, rows: Rows, future: Future[T]) -> None:
        self._queue.append((request, rows, future))
        self._bytes += self._size(rows)

    def finish_first(self) -> bool:
        """Wait for the first one and pass its result on; False when there is none."""
        if not self._queue:
            return False
        request, rows, future = self._queue.popleft()
        error = future.exception()
        rows.forget()
        self._bytes -= self._size(rows)
        if error is not None and not isinstance(error, Exception):
            raise error
        self._on_done(request, future.result() if error is None else error)
        return True

    def _size(self, rows: Rows) -> int:
        return min(rows.total_size, self._most_bytes)


def scan(
    source: Source,
    requests: Sequence[RowRequest],
    *,
    columns: Sequence[str],
    build: Callable[[RowRequest, Rows], T],
    on_done: Callable[[RowRequest, T | Exception], None],
    folder: Path,
    max_ram_bytes: int = 0,
    threads: int = 2,
    tally: Sequence[str] = (),
    companions: Sequence[Companion] = (),
    cancelled: Callable[[], bool] = bool,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Read the file once and build every request's dataset from its rows.

    Args:
        source: the open file. A sorted copy beside it (`prepare`) is used instead when that serves these requests.
        requests: at least one; their order is the order of `on_done`.
        columns: canonical names, in the order wanted.
        build: makes one request's dataset; up to `threads` at a time, in any thread. What it raises concerns its request alone.
        on_done: called for each request with what `build` returned or raised, in the order of `requests`, in the calling thread.
        folder: for temporary rows, on a disk with room for all rows that match.
        max_ram_bytes: how much memory may be taken on top of `memory.BASELINE_BYTES`; 0 is no limit.
        threads: how many datasets are built at a time, and whether the next slice is read meanwhile.
        tally: columns by whose values the rows that match by code are counted, before any filter.
        companions: other files whose rows are passed on with those of each request; their keys must be among `columns`.
        cancelled: called between slices and datasets: whether to stop.
        progress: called after each slice with the share of the file that has been read, from 0 to 1.

    Raises:
        MemoryLimitError: the limit is not enough, or a file's rows are too large for it.
        ScanCancelledError: `cancelled` returned true.
        SourceError: the file is damaged.
        RowStoreError: `folder` has no room.
    """
    router = Router(requests)
    budget = Budget(max_ram_bytes, len({*columns, *router.columns}))
    with RowStore(folder, budget.store) as store:
        pass_ = _Pass(source, requests, router, columns, budget, store, cancelled, progress)
        pass_.keys = [CompanionKeys(companion.key) for companion in companions]
        pass_.read(tally, ahead=threads > 1)
        pass_.settle(range(len(requests)), tally)
        for number, (companion, keys) in enumerate(zip(companions, pass_.keys, strict=True), 1):
            store_companion(companion, keys, store, number * len(requests), budget.rows_per_slice, pass_.pause)
        counts = router.share(pass_.counts, tally, len(requests)) if tally else [None] * len(requests)
        unknown = router.share_unknown(pass_.counts, len(requests)) if tally else [None] * len(requests)
        schema = {name: data_type(name) for name in columns}

        def rows_of(number: int) -> Rows:
            # in the store the requests' own rows come first, then those of the first companion file for each request, and so on
            keys = range(number, number + (len(companions) + 1) * len(requests), len(requests))
            companion_rows = [
                Rows(store, key, _schema(companion), None, in_order=True)
                for key, companion in zip(keys[1:], companions, strict=True)
            ]
            # a sorted copy keeps the order of the file within a code only: rows of several codes are put back into it
            in_order = pass_.in_order or number in router.single
            return Rows(
                store,
                number,
                schema,
                counts[number],
                unknown[number],
                in_order=in_order,
                companions=companion_rows,
                repeats=pass_.repeats,
                repeated=pass_.repeated,
            )

        pending = _Pending(on_done, threads, budget.building)
        with ThreadPoolExecutor(threads) as pool:
            for number, request in enumerate(requests):
                if cancelled():
                    raise ScanCancelledError
                rows = rows_of(number)
                pending.make_room(rows)
                pending.add(request, rows, pool.submit(build, request, rows))
            while pending.finish_first():
                pass


def _schema(companion: Companion) -> dict[str, pl.DataType]:
    return {name: data_type(name) for name in dict.fromkeys([companion.key, *companion.columns])}


class _Pass:
    """The one reading of the file: from slices to rows in the store."""

    def __init__(
        self,
        source: Source,
        requests: Sequence[RowRequest],
        router: Router,
        columns: Sequence[str],
        budget: Budget,
        store: RowStore,
        cancelled: Callable[[], bool],
        progress: Callable[[float], None] | None,
    ) -> None:
        self._source = source
        self._router = router
        self._columns = list(dict.fromkeys([*columns, *router.columns]))
        self._passed_on = list(columns)
        self._budget = budget
        self._store = store
        self._cancelled = cancelled
        self._progress = progress
        self._remaining = [request.limit for request in requests]
        self._unrouted: list[pl.DataFrame] = []
        self._unrouted_bytes = 0
        self.counts: list[pl.DataFrame] = []
        self.keys: list[CompanionKeys] = []
        self.in_order = True
        self.repeats: Repeats | None = None
        self.repeated = 0
        self._suspects: pl.Series | None = None
        self._has_order = False

    def read(self, tally: Sequence[str], *, ahead: bool) -> None:
        """Fill the store, and count by the columns of `tally`."""
        from joblot_sirene.register.repeats import Numbers

        prepared = self._prepared()
        source, spans = (
            (self._source, None) if prepared is None else (prepared.source, prepared.spans(self._router.codes or ()))
        )
        self.in_order = prepared is None
        is_watched = self.in_order and SIRET in self._passed_on
        numbers = Numbers(self._budget.numbers)
        if is_watched and any(limit is not None for limit in self._remaining):
            for part in source.numbers(self._budget.rows_per_filtered_slice(1, 0)):
                self.pause()
                numbers.see(part)
            self._suspects = numbers.repeated()
            is_watched = self._suspects is None or len(self._suspects) > 0
            if is_watched:
                self._remaining = [None] * len(self._remaining)  # the first rows may not count
        # where not all rows may count, they keep their numbers in the file until it is known which do
        self._has_order = is_watched or not self.in_order
        self.repeated = 0 if prepared is None else prepared.repeated
        rows_per_slice = self._budget.rows_per_slice
        if tally and source.spannable:
            rows_per_slice = self._count(source, tally, spans)
            if source.respells(self._router.belongs()):
                rows_per_slice = self._budget.rows_per_slice  # they are all decoded before they are filtered
        # Parquet has been counted now, from a few columns. Text would have to be parsed a second time for that: its rows are counted as
        # they come, so all that have a code are read, and filtered afterwards
        counting = () if source.spannable else tally
        where = self._router.has_code() if counting else self._router.belongs()
        if not counting:
            source.know_tidy(self._router.code_columns)  # no row with another spelling passes
        columns = dict.fromkeys([*self._columns, *(self._router.filter_columns if counting else ()), *counting])
        if is_watched and not numbers.count:
            source.watch = numbers.see
        batches = source.batches(list(columns), rows_per_slice, where=where, spans=spans, order=self._has_order)
        for rows in _read_ahead(batches) if ahead else batches:
            self.pause()
            self._add(self._count_and_filter(rows, counting) if counting else rows)
            if self._progress is not None:
                self._progress(source.done)
            if self._is_enough() and not counting:
                break
        else:
            if source.watch is not None:
                self._suspects = numbers.repeated()
        self._route()

    def settle(self, keys: Iterable[int], tally: Sequence[str]) -> None:
        """Find out which of the rows in the store count, and take the others out of the counts; `keys` are those of requests."""
        if not (self.in_order and self._has_order):  # a sorted copy has only those that count
            return
        suspects = self._suspects
        if suspects is None:  # too many to be compared, or not all were read: those that are asked for are looked for
            suspects = self._numbers_in_store(keys)
        if len(suspects):
            columns = [*self._router.code_columns, *tally]
            self.repeats = find_repeats(self._source, suspects, len(suspects), self._budget, self.pause, columns)
            superseded = self.repeats.superseded
            self.repeated = superseded.height
            self.counts.append(self._router.count(superseded.filter(self._router.has_code()), tally, sign=-1))

    def _numbers_in_store(self, keys: Iterable[int]) -> pl.Series:
        import polars as pl

        from joblot_sirene.register import expressions

        parts = [expressions.numbers(rows[SIRET]) for key in keys for rows in self._store.frames(key)]
        return pl.concat([pl.Series(dtype=pl.UInt64), *parts]).drop_nulls().unique()

    def _count(self, source: Source, tally: Sequence[str], spans: Sequence[Span] | None) -> int:
        """Count, and return how many rows may then be read at once: where few match by code, few are decoded in all columns."""
        columns = list(dict.fromkeys([*self._router.code_columns, *tally]))
        rows_per_slice = self._budget.rows_per_filtered_slice(len(columns), 0)
        most = 0
        where = self._router.may_have_code()
        for rows in source.batches(columns, rows_per_slice, where=where, spans=spans, respell=False):
            self.pause()
            # few values are different: they are respelt when they have been counted
            self.counts.append(source.respelt(self._router.count(rows, tally)).filter(self._router.has_code()))
            most = max(most, rows.height)
        source.know_tidy(columns)
        filter_columns = {*self._router.code_columns, *self._router.filter_columns}
        return self._budget.rows_per_filtered_slice(
            len(filter_columns), 2 * most
        )  # a slice may lie across two of these

    def _prepared(self) -> Prepared | None:
        """The sorted copy, if it serves these requests as the file would."""
        if self._router.codes is None or any(limit is not None for limit in self._remaining):
            return None  # codes of another column are anywhere in it, and its first rows are not those of the file
        prepared = find_prepared(self._source)
        if prepared is None or not set(self._columns) <= {*prepared.source.columns, *self._source.layout.missing}:
            return None
        if self._router.most_rows(prepared.rows_of) * ROW_BYTES > self._budget.building:
            return None  # rows of several codes have to be sorted again, in memory
        contents = prepared.contents
        if contents.unread:
            return None  # what could not be read is told with the file's own text
        if not self._source.spannable:  # which is not read now
            self._source.know(contents.newest, contents.future, sum(prepared.rows_of.values()) + prepared.repeated)
        return prepared

    def pause(self) -> None:
        """Stop between slices when the scan was cancelled, or takes more memory than allowed."""
        if self._cancelled():
            raise ScanCancelledError
        self._budget.check()

    def _count_and_filter(self, rows: pl.DataFrame, tally: Sequence[str]) -> pl.DataFrame:
        self.counts.append(self._router.count(rows, tally))
        columns = [*self._columns, ORDER] if self._has_order else self._columns
        return rows.filter(self._router.belongs()).select(columns)

    def _add(self, rows: pl.DataFrame) -> None:
        self._unrouted.append(rows)
        self._unrouted_bytes += memory_size(rows)
        if self._unrouted_bytes > self._budget.unrouted:
            self._route()

    def _route(self) -> None:
        import polars as pl

        if not sum(rows.height for rows in self._unrouted):
            return
        rows = pl.concat(self._unrouted)
        self._unrouted, self._unrouted_bytes = [], 0
        pairs = self._router.route(rows)
        indices, shares = self._within_limits(pairs[ROW], pairs.group_by(REQUEST, maintain_order=True).len().rows())
        passed_on = rows.select(*self._passed_on, *([ORDER] if self._has_order else []))
        if len(shares) > _MOST_FILTERED:
            self._store.add(passed_on, indices, shares)
        else:
            self._add_filtered(passed_on, indices, shares)
        for keys in self.keys:
            keys.add(rows, indices, shares)

    def _add_filtered(self, rows: pl.DataFrame, indices: pl.Series, shares: Sequence[tuple[int, int]]) -> None:
        """As `store.add`, request by request, without moving the rows of one that takes all."""
        import polars as pl

        offset = 0
        for request, count in shares:
            part = rows
            if count < rows.height:
                mask = pl.repeat(value=False, n=rows.height, eager=True)
                part = rows.filter(mask.scatter(indices.slice(offset, count), values=True))
            self._store.add(part, None, [(request, count)])
            offset += count

    def _within_limits(
        self, indices: pl.Series, shares: list[tuple[int, int]]
    ) -> tuple[pl.Series, list[tuple[int, int]]]:
        import polars as pl

        if all(limit is None for limit in self._remaining):
            return indices, shares
        parts, limited, offset = [], [], 0
        for request, count in shares:
            remaining = self._remaining[request]
            taken = count if remaining is None else min(count, remaining)
            if remaining is not None:
                self._remaining[request] = remaining - taken
            parts.append(indices.slice(offset, taken))
            limited.append((request, taken))
            offset += count
        return pl.concat(parts), limited

    def _is_enough(self) -> bool:
        if all(limit is not None for limit in self._remaining) and self._unrouted:
            self._route()
        return not any(limit is None or limit for limit in self._remaining)


def _read_ahead(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same batches, each read while the caller works on the one before."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, batches, None)
        while (rows := future.result()) is not None:
            future = pool.submit(next, batches, None)
            yield rows
            del rows  # or it would be kept until the next one has been read
