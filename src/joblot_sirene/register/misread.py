"""What files say and nobody understands, counted among the rows of some codes: to be told, or refused where it leaves nothing.

It knows tables of counts by value (`routing.Router.share`); it reads no file and filters no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from joblot_sirene.fields import quoted
from joblot_sirene.register import spellings
from joblot_sirene.register.naf import NOMENCLATURE_COLUMN
from joblot_sirene.register.spellings import EMPLOYER, HEAD_OFFICE, HEADCOUNT, STATE, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

    from joblot_sirene.register.filters import Filters

CREATED: Final = "dateCreationEtablissement"
CODED: Final = (STATE, STATUS, EMPLOYER, HEADCOUNT)
"""Columns of codes that rows are tallied by."""
CONVERTED: Final = (CREATED, "dateDebut", "dateDernierTraitementEtablissement", HEAD_OFFICE)
"""Columns with dates and truth values whose texts that are none are tallied."""
_MOST_EXAMPLES: Final = 3


class Misread(NamedTuple):
    """The rows with a value of a column that is not understood, and the most frequent of these values with their rows."""

    rows: int
    examples: tuple[tuple[str, int], ...]

    def described(self, column: str) -> str:
        """The beginning of a message: how many, of which column, such as which."""
        shown = ", ".join(f"{quoted(value, 30)} ({rows})" for value, rows in self.examples)
        verb = "value of {} is" if self.rows == 1 else "values of {} are"
        return f"{self.rows} {verb.format(f'`{column}`')} not understood" + (f": {shown}" if shown else "")


def find(counts: pl.DataFrame | None, unknown_lists: pl.DataFrame | None, unread: str) -> dict[str, Misread]:
    """What is not understood, by column. `unread` stands in front of the names of columns with texts that could not be converted."""
    import polars as pl

    found: dict[str, Misread] = {}
    if counts is not None and counts.height:
        names = [*CODED, *(f"{unread}{column}" for column in CONVERTED)]
        for name, values in counts.select(names).to_dict(as_series=False).items():
            column = name.removeprefix(unread)
            wrong = [
                value for value in {*values} - {None} if name != column or not spellings.is_understood(column, value)
            ]
            if wrong:  # in most files nothing is
                rows = counts.filter(pl.col(name).is_in(wrong)).group_by(name)
                _add(found, column, rows.agg(pl.col("rows").sum(), shown=(pl.col(STATUS) == "O").any()))
    if unknown_lists is not None and unknown_lists.height:
        _add(found, NOMENCLATURE_COLUMN, unknown_lists.select(NOMENCLATURE_COLUMN, "rows", shown=True))
    return found


def _add(found: dict[str, Misread], column: str, wrong: pl.DataFrame) -> None:
    import polars as pl

    if not wrong.height:
        return
    # what stands in a row that may not be shown is not repeated, whatever column it is in
    values = wrong.filter(pl.col("shown").fill_null(value=False)) if column != STATUS else wrong.clear()
    ranked = values.sort("rows", values.columns[0], descending=[True, False]).head(_MOST_EXAMPLES)
    found[column] = Misread(int(wrong["rows"].sum()), tuple(ranked.select(values.columns[0], "rows").iter_rows()))


def of_codes(counts: Mapping[str, int]) -> Misread:
    """The activity codes of a file that are none. What has no digit may be a name that slipped into the column, and is no example."""
    ranked = sorted((-rows, value) for value, rows in counts.items() if any(map(str.isdigit, value)))
    return Misread(sum(counts.values()), tuple((value, -rows) for rows, value in ranked[:_MOST_EXAMPLES]))


def needed(filters: Filters) -> Iterator[str]:
    """The columns without which a row cannot be taken: a value that is not understood leaves it out."""
    if filters.active_only:
        yield STATE
    if filters.headcounts:
        yield HEADCOUNT
    if filters.employers_only:
        yield EMPLOYER
    if filters.head_office_only:
        yield HEAD_OFFICE
    if filters.created_from or filters.created_to:
        yield CREATED


def warnings(found: Mapping[str, Misread]) -> Iterator[str]:
    """A sentence for each column."""
    for column, misread in found.items():
        yield misread.described(column)
