"""Rows of another file beside those of each request: legal units by SIREN, periods of the past by SIRET.

The other file is read once as well, whatever number of requests there is, and its rows wait in the same spool. It knows keys and rows; it
does not know what they are joined for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from joblot_sirene.stock.routing import PLACE, REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from joblot_sirene.stock.source import Source
    from joblot_sirene.stock.spool import Spool

_KEY = "__key"


class Companion(NamedTuple):
    """A file whose rows belong to those of the stock that have the same number in `key` (`siren` or `siret`), and which columns of it."""

    source: Source
    key: str
    columns: Sequence[str]


class Keys:
    """Whose rows have which numbers: collected while the stock is read."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame, places: pl.Series, shares: Sequence[tuple[int, int]]) -> None:
        """The rows at `places`, sorted by request; `shares` are the requests in order, with the rows of each."""
        import polars as pl

        if not len(places):
            return
        from joblot_sirene.register import vector

        found = vector.siren_numbers(rows) if self.key == "siren" else vector.numbers(rows[self.key])
        numbers = found.gather(places)
        requests = pl.concat([pl.repeat(request, count, dtype=pl.UInt32, eager=True) for request, count in shares])
        self._parts.append(pl.DataFrame({_KEY: numbers, REQUEST: requests}).drop_nulls().unique())

    def pairs(self) -> pl.DataFrame:
        """Numbers and requests, each pair once."""
        import polars as pl

        empty = pl.DataFrame(schema={_KEY: pl.UInt64, REQUEST: pl.UInt32})
        return pl.concat([empty, *self._parts]).unique()


def follow(
    companion: Companion, keys: Keys, spool: Spool, first: int, rows_per_slice: int, pause: Callable[[], None]
) -> None:
    """Put each request's rows of the other file into the spool, under `first` and the request's number.

    `pause` is called between slices.
    """
    import polars as pl

    from joblot_sirene.register import vector

    pairs = keys.pairs()
    if not pairs.height:
        return
    wanted = pairs[_KEY].unique()
    columns = list(dict.fromkeys([companion.key, *companion.columns]))
    for rows in companion.source.batches(columns, rows_per_slice):
        pause()
        numbers = pl.DataFrame({_KEY: vector.numbers(rows[companion.key])}).with_row_index(PLACE)
        found = numbers.filter(pl.col(_KEY).is_in(wanted.implode()))
        if not found.height:
            continue
        routed = found.join(pairs, on=_KEY).sort(REQUEST, PLACE)
        shares = routed.group_by(REQUEST, maintain_order=True).len().rows()
        spool.add(rows, routed[PLACE], [(first + request, count) for request, count in shares])
