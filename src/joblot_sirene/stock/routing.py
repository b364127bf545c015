"""Which rows anybody wants, and who wants which: codes and filters of many requests put together, so that one join answers for all.

It knows rules and expressions over columns; it does not know files, nor what becomes of the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from joblot_sirene.register.naf import CODE_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from joblot_sirene.register.naf import Rule

REQUEST: Final = "__request"
PLACE: Final = "__place"
_COMPARED_MOST: Final = 2
"""Values up to which comparing a column with each takes less than looking its values up."""


class RowRequest(NamedTuple):
    """Whose rows are wanted.

    Attributes:
        name: for messages, different for each request.
        rules: a row matches when any of these does (`naf.matching_rule`).
        where: an expression over canonical columns that must hold as well; equal expressions of many requests are evaluated once.
        limit: take the first so many rows; None takes all.
    """

    name: str
    rules: Sequence[Rule]
    where: pl.Expr | None = None
    limit: int | None = None


class _Family(NamedTuple):
    """Rules that look at the same columns in the same way, and whose codes are whose: `members` is code, filter, request."""

    code_column: str
    nomenclature_column: str | None
    nomenclatures: frozenset[str]
    members: pl.DataFrame

    def holds(self) -> pl.Expr | None:
        """The row is of the right nomenclature; None when any is."""
        if self.nomenclature_column is None:
            return None
        import polars as pl

        column = pl.col(self.nomenclature_column)
        holds = _one_of(column, sorted(self.nomenclatures))
        return column.is_null() | holds if "" in self.nomenclatures else holds


class Router:
    """Tells which rows anybody wants, and who wants which."""

    def __init__(self, requests: Sequence[RowRequest]) -> None:
        self._filters: list[pl.Expr | None] = []
        self._families = self._grouped(requests)
        self._is_one = len(requests) == 1
        self.single = {
            number for number, request in enumerate(requests) if sum(len(rule.codes) for rule in request.rules) == 1
        }
        """The requests of one code."""

    def _grouped(self, requests: Sequence[RowRequest]) -> list[_Family]:
        import polars as pl

        grouped: dict[tuple[str, str | None, frozenset[str]], list[tuple[str, int, int]]] = {}
        for number, request in enumerate(requests):
            filter_number = self._number(request.where)
            for rule in request.rules:
                key = (rule.code_column, rule.nomenclature_column, rule.nomenclatures)
                members = grouped.setdefault(key, [])
                members += [(code, filter_number, number) for code in sorted(rule.codes)]
        schema = {"code": pl.String, "filter": pl.UInt32, REQUEST: pl.UInt32}
        return [_Family(*key, pl.DataFrame(members, schema, orient="row")) for key, members in grouped.items()]

    def _number(self, where: pl.Expr | None) -> int:
        for number, known in enumerate(self._filters):
            if known is where or (known is not None and where is not None and known.meta.eq(where)):
                return number
        self._filters.append(where)
        return len(self._filters) - 1

    @property
    def columns(self) -> list[str]:
        """What `route` looks at: one filter of all has been met before."""
        return list(dict.fromkeys([*self.code_columns, *(self.asked if len(self._filters) > 1 else ())]))

    @property
    def asked(self) -> list[str]:
        """The columns that filters look at."""
        return [name for where in self._filters if where is not None for name in where.meta.root_names()]

    @property
    def codes(self) -> set[str] | None:
        """The wanted codes of the main column; None when another column counts too."""
        if any(family.code_column != CODE_COLUMN for family in self._families):
            return None
        return {code for family in self._families for code in family.members["code"]}

    def most_rows(self, rows_of: Mapping[str, int]) -> int:
        """The rows of the largest request that has several codes, by the rows of each code."""
        found: dict[int, list[int]] = {}
        for family in self._families:
            for code, _, request in family.members.iter_rows():
                found.setdefault(request, []).append(rows_of.get(code, 0))
        return max((sum(rows) for rows in found.values() if len(rows) > 1), default=0)

    def matching(self) -> pl.Expr:
        """Somebody wants rows of this code."""
        import polars as pl

        return pl.any_horizontal(self._taken(family, family.members, None) for family in self._families)

    def wanted(self) -> pl.Expr:
        """Somebody wants this row."""
        import polars as pl

        parts = [
            self._taken(family, members, self._filters[int(number)])
            for family in self._families
            for (number,), members in family.members.partition_by("filter", as_dict=True).items()
        ]
        return pl.any_horizontal(parts) if parts else pl.lit(value=False)  # codes of a division that does not exist

    def _taken(self, family: _Family, members: pl.DataFrame, where: pl.Expr | None) -> pl.Expr:
        import polars as pl

        taken = _one_of(pl.col(family.code_column), members["code"].unique().sort().to_list())
        for also in (family.holds(), where):
            taken = taken if also is None else taken & also
        return taken

    def route(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Who wants which of these rows, each of which somebody wants: pairs of a request's and a row's number, in this order."""
        import polars as pl

        if self._is_one:
            return pl.select(
                pl.repeat(0, rows.height, dtype=pl.UInt32).alias(REQUEST),
                pl.int_range(rows.height, dtype=pl.UInt32).alias(PLACE),
            )
        looked = rows.select(self.columns).with_row_index(PLACE)
        found = [
            self._joined(self._chosen(looked, family, number), family, members.select("code", REQUEST))
            for family in self._families
            for (number,), members in family.members.partition_by("filter", as_dict=True).items()
        ]
        pairs = pl.concat(found)
        return (pairs.unique() if len(found) > 1 else pairs).sort(REQUEST, PLACE)

    def _chosen(self, looked: pl.DataFrame, family: _Family, number: int) -> pl.DataFrame:
        conditions = [family.holds()] if len(self._families) > 1 else []
        conditions += [self._filters[number]] if len(self._filters) > 1 else []
        for condition in conditions:
            looked = looked if condition is None else looked.filter(condition)
        return looked

    def _joined(self, looked: pl.DataFrame, family: _Family, members: pl.DataFrame) -> pl.DataFrame:
        return looked.select(PLACE, code=family.code_column).join(members, on="code").select(REQUEST, PLACE)

    def count(self, rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
        """How many rows there are of each code and each combination of values: to be added up, then `share`d out."""
        import polars as pl

        return rows.group_by(*dict.fromkeys([*self.code_columns, *by])).agg(rows=pl.len())

    @property
    def code_columns(self) -> list[str]:
        """The columns that rules look at."""
        return list(dict.fromkeys(name for family in self._families for name in family[:2] if name is not None))

    def share(self, counted: Sequence[pl.DataFrame], by: Sequence[str], requests: int) -> list[pl.DataFrame]:
        """What was counted, by request."""
        import polars as pl

        if not counted:
            return [pl.DataFrame({"rows": []}, {"rows": pl.UInt64})] * requests
        total = pl.concat(counted).group_by(*dict.fromkeys([*self.code_columns, *by])).agg(pl.col("rows").sum())
        rows = total.with_row_index(PLACE)
        pairs = []
        for family in self._families:
            holds = family.holds()
            pairs.append(
                self._joined(
                    rows if holds is None else rows.filter(holds), family, family.members.select("code", REQUEST)
                )
            )
        shared = (
            pl.concat(pairs)
            .unique()
            .join(rows, on=PLACE)
            .group_by(REQUEST, *by)
            .agg(pl.col("rows").sum().cast(pl.UInt64))
            .sort(REQUEST, *by)
        )
        return [shared.filter(pl.col(REQUEST) == number).drop(REQUEST) for number in range(requests)]


def _one_of(column: pl.Expr, values: Sequence[str]) -> pl.Expr:
    """The column has one of these values."""
    import polars as pl

    if len(values) > _COMPARED_MOST:
        return column.is_in(values)
    return pl.any_horizontal([pl.lit(value=False), *(column == value for value in values)])
