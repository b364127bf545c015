"""Rows of another file beside those of each request: legal units by SIREN, periods of the past by SIRET.

The other file is read once as well, for any number of requests, and its rows are kept in the same row store. It knows keys and rows; it does
not know what they are joined for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from joblot_sirene.stock.routing import REQUEST, ROW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from joblot_sirene.stock.row_store import RowStore
    from joblot_sirene.stock.source import Source

_KEY = "__key"


class Companion(NamedTuple):
    """A file whose rows belong to those of the stock with the same number in `key` (`siren` or `siret`), and the columns to read of it."""

    source: Source
    key: str
    columns: Sequence[str]


class CompanionKeys:
    """The numbers in the rows of each request, collected while the stock is read."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame, indices: pl.Series, shares: Sequence[tuple[int, int]]) -> None:
        """Add the rows at `indices`, sorted by request; `shares` are the requests in order, with the rows of each."""
        import polars as pl

        if not len(indices):
            return
        from joblot_sirene.register import expressions

        every = expressions.siren_numbers(rows) if self.key == "siren" else expressions.numbers(rows[self.key])
        numbers = every.gather(indices)
        requests = pl.concat([pl.repeat(request, count, dtype=pl.UInt32, eager=True) for request, count in shares])
        self._parts.append(pl.DataFrame({_KEY: numbers, REQUEST: requests}).drop_nulls().unique())

    def pairs(self) -> pl.DataFrame:
        """Numbers and requests, each pair once."""
        import polars as pl

        empty = pl.DataFrame(schema={_KEY: pl.UInt64, REQUEST: pl.UInt32})
        return pl.concat([empty, *self._parts]).unique()


def store_companion(
    companion: Companion,
    keys: CompanionKeys,
    store: RowStore,
    first: int,
    rows_per_slice: int,
    pause: Callable[[], None],
) -> None:
    """Put each request's rows of the other file into the store, under `first` and the request's number.

    `pause` is called between slices.
    """
    import polars as pl

    from joblot_sirene.register import expressions

    pairs = keys.pairs()
    if not pairs.height:
        return
    keys_to_read = pairs[_KEY].unique().implode()
    columns = list(dict.fromkeys([companion.key, *companion.columns]))
    for rows in companion.source.batches(columns, rows_per_slice):
        pause()
        numbers = pl.DataFrame({_KEY: expressions.numbers(rows[companion.key])}).with_row_index(ROW)
        matches = numbers.filter(pl.col(_KEY).is_in(keys_to_read))  # few: much cheaper to join than the whole slice
        if not matches.height:
            continue
        routed = matches.join(pairs, on=_KEY).sort(REQUEST, ROW)
        shares = routed.group_by(REQUEST, maintain_order=True).len().rows()
        store.add(rows, routed[ROW], [(first + request, count) for request, count in shares])
