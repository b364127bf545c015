"""Rows of one number that stand in a file several times: which of them counts.

The register has one current row for each number; a file has several when months were glued together or an update was appended. Of these the
one that was treated last counts, the last one in the file where that is the same; but whoever any of them hides is hidden. This is said here
and nowhere else: for establishments, for legal units, and for the sorted copy.
"""

from __future__ import annotations

from typing import Final

import polars as pl

HIDDEN: Final = "__hidden"
REPEATED: Final = "__repeated"
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2100
"""Of treatments that can be: the register was begun in 1973, and real files hold years such as 0199 and 2925."""


def newest(rows: pl.DataFrame, number: str, treated: str, hidden: pl.Expr) -> pl.DataFrame:
    """The row of each number that counts, of rows in the order of the file.

    `treated` is the column of the moment of the last treatment, `hidden` says of a row that it is not to be shown. Two columns are added:
    `REPEATED`, whether the number had several rows, and `HIDDEN`, whether any of them was hidden. Rows without a number repeat no other.
    """
    marked = rows.with_columns(
        (pl.col(number).is_not_null() & pl.col(number).is_duplicated()).alias(REPEATED),
        hidden.fill_null(value=False).alias(HIDDEN),
    )
    several = marked.filter(REPEATED)
    if not several.height:
        return marked
    settled = (
        several.with_columns(pl.col(HIDDEN).any().over(number))
        .sort(_moment(treated), nulls_last=False, maintain_order=True)
        .unique(number, keep="last", maintain_order=True)
    )
    return pl.concat([marked.filter(~pl.col(REPEATED)), settled])


def _moment(treated: str) -> pl.Expr:
    """The moment of a treatment; one of an absurd year is unknown, and unknown is older than any other."""
    year = pl.col(treated).dt.year()
    return pl.when(year.is_between(_FIRST_YEAR, _LAST_YEAR)).then(treated)


class Numbers:
    """The numbers of a file's rows as they go by: whether they are all different.

    Numbers that ascend are, as in the register's own files. All are kept beside, so that those of a file in another order can be compared,
    until they take `most_bytes`. `count` is how many there were.
    """

    def __init__(self, most_bytes: int) -> None:
        self.count = 0
        self._most_bytes = most_bytes
        self._ascend = True
        self._last = -1
        self._kept: list[pl.Series] | None = []

    def see(self, numbers: pl.Series) -> None:
        """Add the numbers of the next rows, as 64 bits; a row without one has null."""
        known = numbers.drop_nulls() if numbers.null_count() else numbers
        if not len(known):
            return
        self.count += len(known)
        if self._ascend:
            first, last = known[0], known[-1]
            self._ascend = first > self._last and bool((known.slice(1) > known.slice(0, len(known) - 1)).all())
            self._last = last
        if self._kept is not None:
            self._kept.append(known)
            if 8 * self.count > self._most_bytes:
                self._kept = None

    def repeated(self) -> pl.Series | None:
        """The numbers that more than one row has; None when there were too many to keep. What was kept is forgotten."""
        kept, self._kept = self._kept, None
        if self._ascend:
            return pl.Series(dtype=pl.UInt64)
        if kept is None:
            return None
        numbers = pl.concat(kept)
        if numbers.n_unique() == len(numbers):
            return numbers.clear()
        return numbers.filter(numbers.is_duplicated()).unique()
