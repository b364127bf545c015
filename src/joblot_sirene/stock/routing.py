"""Which rows belong to which of many requests: their codes and filters put together, so that one join answers for all.

It knows rules and expressions over columns; it does not know files, nor what becomes of the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from joblot_sirene.register import spellings
from joblot_sirene.register.naf import CODE_COLUMN, NOMENCLATURE_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from joblot_sirene.register.naf import Rule

REQUEST: Final = "__request"
ROW: Final = "__row_number"
_MOST_COMPARED: Final = 4
"""Values up to which comparing a column with each of them takes less time than looking its values up in a set."""


class RowRequest(NamedTuple):
    """The rows that one dataset asks for.

    Attributes:
        name: for messages, different for each request.
        rules: a row matches when any of these does (`naf.matching_rules`).
        where: an expression over canonical columns that must hold as well; equal expressions of many requests are evaluated once.
        limit: take the first so many rows; None takes all.
    """

    name: str
    rules: Sequence[Rule]
    where: pl.Expr | None = None
    limit: int | None = None


class _Family(NamedTuple):
    """Rules that look at the same columns in the same way; `members` has their codes, each with the numbers of its filter and its request."""

    code_column: str
    nomenclature_column: str | None
    nomenclatures: frozenset[str]
    members: pl.DataFrame

    def unknown_nomenclature(self) -> pl.Expr:
        """Whether a row is of a list that nobody knows: it matches nothing, and is counted to be told."""
        import polars as pl

        if self.nomenclature_column is None:
            return pl.lit(value=False)
        column = pl.col(self.nomenclature_column)
        known = [*spellings.NOMENCLATURES, *self.nomenclatures, "", spellings.HIDDEN]
        return column.is_not_null() & ~column.is_in(known)

    def right_nomenclature(self) -> pl.Expr | None:
        """Whether a row is of the right nomenclature; None when any is right."""
        if self.nomenclature_column is None:
            return None
        import polars as pl

        column = pl.col(self.nomenclature_column)
        is_right = _one_of(column, sorted(self.nomenclatures))
        return column.is_null() | is_right if "" in self.nomenclatures else is_right


class Router:
    """Says which rows any request asks for, and which of them are whose."""

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
            filter_number = self._filter_number(request.where)
            for rule in request.rules:
                key = (rule.code_column, rule.nomenclature_column, rule.nomenclatures)
                members = grouped.setdefault(key, [])
                members += [(code, filter_number, number) for code in sorted(rule.codes)]
        schema = {"code": pl.String, "filter": pl.UInt32, REQUEST: pl.UInt32}
        return [_Family(*key, pl.DataFrame(members, schema, orient="row")) for key, members in grouped.items()]

    def _filter_number(self, where: pl.Expr | None) -> int:
        for number, earlier in enumerate(self._filters):
            if earlier is where or (earlier is not None and where is not None and earlier.meta.eq(where)):
                return number
        self._filters.append(where)
        return len(self._filters) - 1

    @property
    def columns(self) -> list[str]:
        """The columns that `route` looks at. A filter that all requests share has been applied before."""
        return list(dict.fromkeys([*self.code_columns, *(self.filter_columns if len(self._filters) > 1 else ())]))

    @property
    def filter_columns(self) -> list[str]:
        """The columns that filters look at."""
        return [name for where in self._filters if where is not None for name in where.meta.root_names()]

    @property
    def codes(self) -> set[str] | None:
        """The codes that requests ask for in the main column; None when another column counts too."""
        if any(family.code_column != CODE_COLUMN for family in self._families):
            return None
        return {code for family in self._families for code in family.members["code"]}

    def most_rows(self, rows_of: Mapping[str, int]) -> int:
        """The rows of the largest request that has several codes, by the rows of each code."""
        by_request: dict[int, list[int]] = {}
        for family in self._families:
            for code, _, request in family.members.iter_rows():
                by_request.setdefault(request, []).append(rows_of.get(code, 0))
        return max((sum(rows) for rows in by_request.values() if len(rows) > 1), default=0)

    def may_have_code(self) -> pl.Expr:
        """Whether a row may have one of these codes in the file's own spelling: a quick look at rows that nobody has respelt yet."""
        import polars as pl

        parts = []
        for family in self._families:
            codes = family.members["code"].unique().sort().to_list()
            column = pl.col(family.code_column)
            spelt = [variant for code in codes for variant in spellings.usual_variants(code)]
            parts.append(_one_of(column, spelt) | (column.str.len_bytes() > spellings.USUAL_LENGTH))
        return pl.any_horizontal([pl.lit(value=False), *parts])

    def has_code(self) -> pl.Expr:
        """Whether a request asks for rows of this code, whatever their list, before filters."""
        import polars as pl

        parts = [
            _one_of(pl.col(family.code_column), family.members["code"].unique().sort().to_list())
            for family in self._families
        ]
        return pl.any_horizontal([pl.lit(value=False), *parts])

    def belongs(self) -> pl.Expr:
        """Whether a request asks for this row."""
        import polars as pl

        parts = [
            self._condition(family, members, self._filters[int(number)])
            for family in self._families
            for (number,), members in family.members.partition_by("filter", as_dict=True).items()
        ]
        return pl.any_horizontal(parts) if parts else pl.lit(value=False)  # codes of a division that does not exist

    def _condition(self, family: _Family, members: pl.DataFrame, where: pl.Expr | None) -> pl.Expr:
        import polars as pl

        condition = _one_of(pl.col(family.code_column), members["code"].unique().sort().to_list())
        for part in (family.right_nomenclature(), where):
            condition = condition if part is None else condition & part
        return condition

    def route(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Which of these rows, all of which `belong`, are whose: pairs of a request's and a row's number, in this order."""
        import polars as pl

        if self._is_one:  # all rows are its own
            return pl.select(
                pl.repeat(0, rows.height, dtype=pl.UInt32).alias(REQUEST),
                pl.int_range(rows.height, dtype=pl.UInt32).alias(ROW),
            )
        numbered = rows.select(self.columns).with_row_index(ROW)
        parts = [
            self._joined(self._filtered(numbered, family, number), family, members.select("code", REQUEST))
            for family in self._families
            for (number,), members in family.members.partition_by("filter", as_dict=True).items()
        ]
        pairs = pl.concat(parts)
        return (pairs.unique() if len(parts) > 1 else pairs).sort(REQUEST, ROW)

    def _filtered(self, rows: pl.DataFrame, family: _Family, filter_number: int) -> pl.DataFrame:
        # what is the same for all requests need not be asked again of rows that belong to one
        conditions = [family.right_nomenclature()] if len(self._families) > 1 else []
        conditions += [self._filters[filter_number]] if len(self._filters) > 1 else []
        for condition in conditions:
            rows = rows if condition is None else rows.filter(condition)
        return rows

    def _joined(self, rows: pl.DataFrame, family: _Family, members: pl.DataFrame) -> pl.DataFrame:
        return rows.select(ROW, code=family.code_column).join(members, on="code").select(REQUEST, ROW)

    def count(self, rows: pl.DataFrame, by: Sequence[str], sign: int = 1) -> pl.DataFrame:
        """How many rows there are of each code and each combination of values: to be added up by `share`, or taken away (`sign` -1)."""
        import polars as pl

        return rows.group_by(*dict.fromkeys([*self.code_columns, *by])).agg(rows=pl.len().cast(pl.Int64) * sign)

    @property
    def code_columns(self) -> list[str]:
        """The columns that rules look at."""
        return list(dict.fromkeys(name for family in self._families for name in family[:2] if name is not None))

    def share(self, counted: Sequence[pl.DataFrame], by: Sequence[str], requests: int) -> list[pl.DataFrame]:
        """The counts of each request, from what `count` returned for each slice."""
        return self._shared(counted, by, requests, unknown=False)

    def share_unknown(self, counted: Sequence[pl.DataFrame], requests: int) -> list[pl.DataFrame]:
        """How many rows have a code of each request and a list of activities that nobody knows, by this list."""
        return self._shared(counted, [NOMENCLATURE_COLUMN], requests, unknown=True)

    def _shared(
        self, counted: Sequence[pl.DataFrame], by: Sequence[str], requests: int, *, unknown: bool
    ) -> list[pl.DataFrame]:
        import polars as pl

        total = pl.concat(counted).group_by(counted[0].columns[:-1]).agg(pl.col("rows").sum()) if counted else None
        if total is None or not set(by) <= set(total.columns):
            return [pl.DataFrame({"rows": []}, {"rows": pl.UInt64})] * requests
        rows = total.filter(pl.col("rows") > 0).with_row_index(ROW)
        pairs = pl.concat([self._pairs(rows, family, family.right_nomenclature()) for family in self._families])
        if unknown:
            others = [self._pairs(rows, family, family.unknown_nomenclature()) for family in self._families]
            pairs = pl.concat(others).join(pairs, on=[REQUEST, ROW], how="anti")
        shared = (
            pairs.unique()
            .join(rows, on=ROW)
            .group_by(REQUEST, *by)
            .agg(pl.col("rows").sum().cast(pl.UInt64))
            .sort(REQUEST, *by)
        )
        parts = shared.partition_by(REQUEST, as_dict=True, include_key=False)
        empty = shared.clear().drop(REQUEST)
        return [parts.get((number,), empty) for number in range(requests)]

    def _pairs(self, rows: pl.DataFrame, family: _Family, condition: pl.Expr | None) -> pl.DataFrame:
        chosen = rows if condition is None else rows.filter(condition)
        return self._joined(chosen, family, family.members.select("code", REQUEST))


def _one_of(column: pl.Expr, values: Sequence[str]) -> pl.Expr:
    """Whether the column has one of these values."""
    import polars as pl

    if len(values) > _MOST_COMPARED:
        return column.is_in(values)
    return pl.any_horizontal([pl.lit(value=False), *(column == value for value in values)])
