"""One pass over a stock file for many requests: each gets its own rows, in the order of the file.

The file is read in slices; of each slice only the rows that somebody wants are decoded. They are routed by code, one join a slice
and not a filter a request, and kept in a spool on disk, so memory follows a slice and not what was found. Then each request's
rows are handed to whoever builds its dataset. The same input gives each request the same rows in the same order, whatever number of
threads or megabytes there is.

It knows codes and expressions; it does not know jobs, privacy or files that are written.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from joblot_sirene.stock.companion import Companion, Keys, follow
from joblot_sirene.stock.memory import ROW_MOST, Budget
from joblot_sirene.stock.prepare import find_prepared
from joblot_sirene.stock.routing import PLACE, REQUEST, Router, RowRequest
from joblot_sirene.stock.source import ORDER, ScanCancelledError, data_type
from joblot_sirene.stock.spool import Spool, memory_size
from joblot_sirene.stock.writers import ROWS_PER_GROUP, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from joblot_sirene.stock.source import Source, Span

T = TypeVar("T")
_FILTERED_MOST: Final = 2
"""Requests in a slice, up to which filtering each one's rows takes less than gathering all of them."""


class Rows:
    """The rows of one request, in the order of the file.

    Attributes:
        schema: canonical types by column, also when there are no rows.
        height: how many rows there are.
        size: about how many bytes they take in memory.
        counts: the rows that matched by code, before `where` and `limit`, by the values of the columns to tally; its last column
            is `rows`.
        is_large: whether the memory limit asks for reading them frame by frame.
        beside: the rows of each companion file that belong to these, in the order of that file.
    """

    def __init__(
        self,
        spool: Spool,
        key: int,
        schema: dict[str, pl.DataType],
        counts: pl.DataFrame | None,
        large: int,
        *,
        in_order: bool,
        beside: Sequence[Rows] = (),
    ) -> None:
        self.beside = beside
        self.schema = schema
        self.counts = counts
        self.height = spool.rows(key)
        self.size = spool.size(key)
        self.is_large = self.size > large
        self._spool = spool
        self._key = key
        self._in_order = in_order

    def frames(self, rows: int = ROWS_PER_GROUP) -> Iterator[pl.DataFrame]:
        """The rows in frames of `rows` rows, but the last; one empty frame when there are none. May be called again."""
        if not self._in_order:
            return cut([self._sorted()], rows)
        return (frame.drop(ORDER) if ORDER in frame.columns else frame for frame in cut(self._parts(), rows))

    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        import polars as pl

        return pl.concat(self.frames(), rechunk=True)

    def _parts(self) -> Iterator[pl.DataFrame]:
        if self.height:
            return self._spool.frames(self._key)
        import polars as pl

        return iter([pl.DataFrame(schema=self.schema)])

    def _sorted(self) -> pl.DataFrame:
        import polars as pl

        empty = pl.DataFrame(schema={**self.schema, ORDER: pl.UInt32})
        return pl.concat([empty, *self._spool.frames(self._key)], rechunk=True).sort(ORDER).drop(ORDER)


class _Collected(Generic[T]):
    """Hands requests' results on in their order, while later ones are already being built."""

    def __init__(self, on_done: Callable[[RowRequest, T | Exception], None], spool: Spool) -> None:
        self._on_done = on_done
        self._spool = spool
        self._open: deque[tuple[Sequence[int], RowRequest, int, Future[T]]] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, numbers: Sequence[int], request: RowRequest, size: int, future: Future[T]) -> None:
        self._open.append((numbers, request, size, future))
        self.size += size

    def next(self) -> None:
        numbers, request, size, future = self._open.popleft()
        error = future.exception()
        for number in numbers:
            self._spool.forget(number)
        self.size -= size
        if error is not None and not isinstance(error, Exception):
            raise error
        self._on_done(request, future.result() if error is None else error)


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
        on_done: is told of each request what `build` returned or raised, in the order of `requests`, in the calling thread.
        folder: where temporary rows may be kept, on a disk with room for all rows found.
        max_ram_bytes: how much memory may be taken on top of `memory.BESIDES`; 0 is no limit.
        threads: how many datasets are built at a time, and whether the next slice is read meanwhile.
        tally: columns by whose values the rows that match by code are counted, before any filter.
        companions: other files whose rows are handed on beside those of each request; their keys must be among `columns`.
        cancelled: looked at between slices and datasets.
        progress: is told after each slice how much of the file has been read, from 0 to 1.

    Raises:
        MemoryLimitError: the limit leaves too little to work with, or a file's rows are too large for it.
        ScanCancelledError: `cancelled` said so.
        SourceError: the file is damaged.
        SpoolError: `folder` has no room.
    """
    router = Router(requests)
    budget = Budget(max_ram_bytes, len({*columns, *router.columns}))
    with Spool(folder, budget.held) as spool:
        pass_ = _Pass(source, requests, router, columns, budget, spool, cancelled, progress)
        pass_.keys = [Keys(companion.key) for companion in companions]
        pass_.read(tally, ahead=threads > 1)
        for place, (companion, keys) in enumerate(zip(companions, pass_.keys, strict=True), 1):
            follow(companion, keys, spool, place * len(requests), budget.rows_per_slice, pass_.pause)
        counts: list[pl.DataFrame] = router.share(pass_.counted, tally, len(requests)) if tally else []
        schema = {name: data_type(name) for name in columns}
        collected = _Collected(on_done, spool)
        with ThreadPoolExecutor(threads) as pool:
            for number, request in enumerate(requests):
                if cancelled():
                    raise ScanCancelledError
                in_order = pass_.in_order or number in router.single
                counted = counts[number] if counts else None
                numbers = [number + place * len(requests) for place in range(len(companions) + 1)]
                beside = [
                    Rows(spool, key, _schema(companion), None, budget.building, in_order=True)
                    for key, companion in zip(numbers[1:], companions, strict=True)
                ]
                rows = Rows(spool, number, schema, counted, budget.building, in_order=in_order, beside=beside)
                size = min(rows.size + sum(other.size for other in beside), budget.building)
                while collected and (collected.size + size > budget.building or len(collected) >= threads):
                    collected.next()
                collected.add(numbers, request, size, pool.submit(build, request, rows))
            while collected:
                collected.next()


def _schema(companion: Companion) -> dict[str, pl.DataType]:
    return {name: data_type(name) for name in dict.fromkeys([companion.key, *companion.columns])}


class _Pass:
    """The one reading of the file: from slices to rows in the spool."""

    def __init__(
        self,
        source: Source,
        requests: Sequence[RowRequest],
        router: Router,
        columns: Sequence[str],
        budget: Budget,
        spool: Spool,
        cancelled: Callable[[], bool],
        progress: Callable[[float], None] | None,
    ) -> None:
        self._source = source
        self._router = router
        self._columns = list(dict.fromkeys([*columns, *router.columns]))
        self._kept = list(columns)
        self._budget = budget
        self._spool = spool
        self._cancelled = cancelled
        self._progress = progress
        self._left = [request.limit for request in requests]
        self._unrouted: list[pl.DataFrame] = []
        self._unrouted_bytes = 0
        self.counted: list[pl.DataFrame] = []
        self.keys: list[Keys] = []
        self.in_order = True

    def read(self, tally: Sequence[str], *, ahead: bool) -> None:
        """Fill the spool, and count."""
        source: Source = self._source
        spans: Sequence[Span] | None = None
        prepared = self._prepared()
        if prepared is not None:
            source, spans = prepared
            self.in_order = False
        rows_per_slice = self._budget.rows_per_slice
        if tally and source.spannable:
            rows_per_slice = self._count(source, tally, spans)
        counting = tally if not source.spannable else ()
        where = self._router.matching() if counting else self._router.wanted()
        columns = [*self._columns, *(self._router.asked if counting else ()), *counting]
        batches = source.batches(
            list(dict.fromkeys(columns)), rows_per_slice, where=where, spans=spans, order=not self.in_order
        )
        for rows in _ahead(batches) if ahead else batches:
            self.pause()
            self._take(self._counted(rows, counting) if counting else rows)
            if self._progress is not None:
                self._progress(source.done)
            if self._is_enough() and not counting:
                break
        self._route()

    def _count(self, source: Source, tally: Sequence[str], spans: Sequence[Span] | None) -> int:
        """Count, and tell how many rows may then be read at once: where few match by code, few are decoded in all columns."""
        looked = list(dict.fromkeys([*self._router.code_columns, *tally]))
        most = 0
        for rows in source.batches(
            looked, self._budget.rows_looked_at(len(looked), 0), where=self._router.matching(), spans=spans
        ):
            self.pause()
            self.counted.append(self._router.count(rows, tally))
            most = max(most, rows.height)
        asked = {*self._router.code_columns, *self._router.asked}
        return self._budget.rows_looked_at(len(asked), 2 * most)  # a slice may lie across two of these

    def _prepared(self) -> tuple[Source, list[Span]] | None:
        """The sorted copy and the parts of it that are wanted, if it serves these requests as the file would."""
        codes = self._router.codes
        if codes is None or any(left is not None for left in self._left):
            return None
        prepared = find_prepared(self._source)
        if prepared is None or not set(self._columns) <= {*prepared.source.columns, *self._source.layout.missing}:
            return None
        if self._router.most_rows(prepared.rows_of) * ROW_MOST > self._budget.building:
            return None
        return prepared.source, prepared.spans(codes)

    def pause(self) -> None:
        """Between slices: whether to go on, and whether there is the memory to."""
        if self._cancelled():
            raise ScanCancelledError
        self._budget.check()

    def _counted(self, rows: pl.DataFrame, tally: Sequence[str]) -> pl.DataFrame:
        self.counted.append(self._router.count(rows, tally))
        return rows.filter(self._router.wanted()).select(self._columns)

    def _take(self, rows: pl.DataFrame) -> None:
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
        places, shares = self._within_limits(pairs[PLACE], pairs.group_by(REQUEST, maintain_order=True).len().rows())
        shown = rows.select(*self._kept, *([] if self.in_order else [ORDER]))
        if len(shares) > _FILTERED_MOST:
            self._spool.add(shown, places, shares)
        else:
            self._add_filtered(shown, places, shares)
        for keys in self.keys:
            keys.add(rows, places, shares)

    def _add_filtered(self, shown: pl.DataFrame, places: pl.Series, shares: Sequence[tuple[int, int]]) -> None:
        """As `spool.add`, request by request, without moving the rows of one that takes all."""
        import polars as pl

        offset = 0
        for number, found in shares:
            part = shown
            if found < shown.height:
                nobody = pl.repeat(value=False, n=shown.height, eager=True)
                part = shown.filter(nobody.scatter(places.slice(offset, found), values=True))
            self._spool.add(part, None, [(number, found)])
            offset += found

    def _within_limits(
        self, places: pl.Series, shares: list[tuple[int, int]]
    ) -> tuple[pl.Series, list[tuple[int, int]]]:
        import polars as pl

        if all(left is None for left in self._left):
            return places, shares
        kept, shortened, offset = [], [], 0
        for number, found in shares:
            left = self._left[number]
            taken = found if left is None else min(found, left)
            if left is not None:
                self._left[number] = left - taken
            kept.append(places.slice(offset, taken))
            shortened.append((number, taken))
            offset += found
        return pl.concat(kept), shortened

    def _is_enough(self) -> bool:
        if all(left is not None for left in self._left) and self._unrouted:
            self._route()
        return not any(left is None or left for left in self._left)


def _ahead(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same batches, the next one being read while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (rows := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield rows
            del rows
