"""The rows of a file of establishments that repeat the number of another, found out before anybody sees one of them.

Nothing has to be read for this of text, whose numbers are seen while its rows are read, and only one column of Parquet; the file is read a
second time where numbers do repeat. `register.repeats` says which row counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from joblot_sirene.stock.source import ORDER, TREATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

    from joblot_sirene.register.privacy import Hidden
    from joblot_sirene.stock.memory import Budget
    from joblot_sirene.stock.source import Source

SIRET: Final = "siret"
_NUMBER: Final = "__number"
_ROWS: Final = 2**18
"""Of a slice that is read in two columns."""
_BYTES: Final = 64
"""Of memory for each number that is looked for."""


class Repeats(NamedTuple):
    """Rows by `ORDER`, their number in the file: those that do not count, and those that count but are hidden by another of theirs."""

    superseded: pl.DataFrame
    hidden: pl.Series

    def settle(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that count, with every name and address of the hidden ones masked; they have the column `ORDER`."""
        import polars as pl

        from joblot_sirene.register import privacy

        kept = rows.filter(~pl.col(ORDER).is_in(self.superseded[ORDER].implode())) if self.superseded.height else rows
        return privacy.masked(kept, pl.col(ORDER).is_in(self.hidden.implode())) if len(self.hidden) else kept


def find_repeats(
    source: Source,
    suspects: pl.Series | None,
    count: int,
    budget: Budget,
    pause: Callable[[], None],
    columns: Sequence[str] = (),
) -> Repeats:
    """Which rows of these numbers do not count, with `columns` of theirs, and which are hidden.

    `suspects` None is all numbers, `count` how many there are. The file is read once, or as often as is needed to look for all of them within
    the budget. `pause` is called between slices.
    """
    import polars as pl

    from joblot_sirene.register import expressions, privacy, repeats

    parts = -(-_BYTES * count // budget.numbers) or 1
    kept_columns = list(dict.fromkeys([ORDER, *columns]))
    needed = list(dict.fromkeys([SIRET, TREATED, privacy.STATUS_COLUMN, *columns]))

    def find(part: int) -> Repeats:
        wanted = None if suspects is None else suspects.filter(suspects % parts == part).implode()
        is_wanted = pl.col(_NUMBER) % parts == part if wanted is None else pl.col(_NUMBER).is_in(wanted)
        found = []
        for rows in source.again().batches(needed, budget.rows_per_slice, order=True):
            pause()
            found.append(rows.with_columns(expressions.numbers(rows[SIRET]).alias(_NUMBER)).filter(is_wanted))
        counted = pl.concat(found)
        newest = repeats.newest(counted, _NUMBER, TREATED, privacy.is_hidden())
        return Repeats(
            superseded=counted.join(newest, on=ORDER, how="anti").select(kept_columns),
            hidden=newest.filter(pl.col(repeats.REPEATED) & pl.col(repeats.HIDDEN))[ORDER],
        )

    found = [find(part) for part in range(parts)]
    return Repeats(pl.concat([part.superseded for part in found]), pl.concat([part.hidden for part in found]))


def hidden_by_rows(sources: Iterable[Source]) -> Hidden:
    """The numbers of all establishments and legal units of which a row in these files says that they are not to be shown.

    It reads two columns of each file, or three. Who is hidden in one row of a unit is hidden in the others, and in what an earlier dataset
    said of it.
    """
    import polars as pl

    from joblot_sirene.register import expressions, privacy

    def numbers(file: Source, column: str, where: pl.Expr) -> list[pl.Series]:
        batches = file.again().batches([column], _ROWS, where=where)
        return [expressions.numbers(rows[column]).drop_nulls() for rows in batches]

    sirets = sirens = [pl.Series(dtype=pl.UInt64)]
    for source in sources:
        if source.layout.kind == "establishment":
            sirets = [*sirets, *numbers(source, SIRET, privacy.is_hidden())]
            if privacy.UNIT_STATUS_COLUMN in source.layout.unit:
                sirens = [*sirens, *numbers(source, "siren", privacy.unit_is_hidden(source.layout.unit))]
        if source.layout.kind == "unit" and privacy.UNIT_STATUS_COLUMN not in source.layout.missing:
            sirens = [*sirens, *numbers(source, "siren", privacy.is_hidden(privacy.UNIT_STATUS_COLUMN))]
    return privacy.Hidden(pl.concat(sirets).unique(), pl.concat(sirens).unique())
