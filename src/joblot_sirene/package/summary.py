"""A dataset in numbers: how many rows there are of each kind, where, and since when. For pages and reports.

Everything here is a count. It knows columns of the dataset, each of which may be missing, and neither files nor pages.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from joblot_sirene.package import france
from joblot_sirene.register import code_lists, expressions, naf
from joblot_sirene.register.identifiers import CORSICA, MAINLAND, OVERSEAS
from joblot_sirene.register.privacy import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

CELL_KM: Final = 15.0
"""The width of a cell of the map: no position is shown more exactly."""

FIRST_YEAR: Final = 1800
"""Years of creation before it are mistakes of the register."""
_ROW_KM: Final = CELL_KM * 3**0.5 / 2
_LEAST_NAMED: Final = 5
"""Rows that a commune has at least whose name is on the map."""
_AGES: Final = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 30), (31, None))


class Count(NamedTuple):
    """How many rows have a value: its code, its name (empty when unknown), the rows."""

    code: str
    name: str
    rows: int


class Ranking(NamedTuple):
    """The values most rows have, most first; how many other values and rows there are; how many rows have none."""

    top: list[Count]
    other_values: int
    other_rows: int
    unknown: int


class Years(NamedTuple):
    """Rows by year without a gap; those of earlier years; those without a year or with an absurd one."""

    by_year: dict[int, int]
    earlier: int
    unknown: int


class Cell(NamedTuple):
    """So many rows lie about here, in kilometres east and north of the middle of France."""

    x: float
    y: float
    rows: int


class Locations(NamedTuple):
    """Where rows are in metropolitan France; the communes that have most of them; rows elsewhere and rows without coordinates."""

    cells: list[Cell]
    towns: list[tuple[float, float, str]]
    elsewhere: int
    unknown: int


def share(frame: pl.DataFrame, column: str, value: object) -> float | None:
    """The share of rows with a value among those that have one; None when none does."""
    if column not in frame.columns:
        return None
    count = frame[column].count()
    return int((frame[column] == value).sum()) / count if count else None


def distinct(frame: pl.DataFrame, column: str) -> int | None:
    """How many values a column has; None when it is not there or has none."""
    return frame[column].drop_nulls().n_unique() or None if column in frame.columns else None


def newest(frame: pl.DataFrame) -> dt.date | None:
    """The day of the register's newest change among the rows."""
    day = frame["date_traitement"].max() if "date_traitement" in frame.columns else None
    return day if isinstance(day, dt.date) else None


def departments(frame: pl.DataFrame, most: int) -> Ranking | None:
    """Rows by department."""
    return _ranking(frame, "departement", most, code_lists.DEPARTMENTS)


def activities(frame: pl.DataFrame, most: int) -> Ranking | None:
    """Rows by activity."""
    return _ranking(frame, "naf", most, {**naf.labels(naf.REV2), **naf.labels(naf.NAF25)})


def communes(frame: pl.DataFrame, most: int) -> Ranking | None:
    """Rows by commune, with its name and its department's code."""
    if not {"code_commune", "commune"} <= set(frame.columns):
        return None
    names = frame.filter(pl.col("commune") != MASK).group_by("code_commune").agg(pl.col("commune").min())
    return _ranking(frame, "code_commune", most, dict(names.drop_nulls().iter_rows()))


def headcounts(frame: pl.DataFrame) -> list[Count]:
    """Rows by headcount band, in the order of the bands; the last one, without a code, has those without a band."""
    by_band = _counts(frame, "tranche_effectifs")
    counts = [
        Count(band, label, by_band[band]) for band, (_, _, label) in code_lists.HEADCOUNTS.items() if band in by_band
    ]
    unknown = sum(by_band.values()) - sum(count.rows for count in counts)
    return [*counts, *([Count("", "", unknown)] if unknown else [])]


def legal_forms(frame: pl.DataFrame, most: int) -> Ranking | None:
    """Rows by legal form at two digits; None when no row has one (there was no file of legal units)."""
    if not distinct(frame, "forme_juridique"):
        return None
    short = frame.select(pl.col("forme_juridique").str.slice(0, 2))
    names = {form: code_lists.legal_form_label(form) or "" for form in short["forme_juridique"].unique().drop_nulls()}
    return _ranking(short, "forme_juridique", most, names)


def creations(frame: pl.DataFrame, last: int | None, span: int) -> Years | None:
    """Rows by year of creation, the `span` years to `last` (the newest year there is when it is not known) one by one."""
    if "date_creation" not in frame.columns:
        return None
    counts = _counts(frame.select(year=pl.col("date_creation").dt.year()), "year")
    counts.pop(None, None)
    plausible = {year: rows for year, rows in counts.items() if year >= FIRST_YEAR and (last is None or year <= last)}
    if not plausible:
        return None
    newest, oldest = max(plausible), min(plausible)
    first = max(newest - span + 1, oldest)
    by_year = {year: plausible.get(year, 0) for year in range(first, newest + 1)}
    total = sum(plausible.values())
    return Years(by_year, total - sum(by_year.values()), frame.height - total)


def ages(frame: pl.DataFrame) -> list[tuple[int, int | None, int]]:
    """Rows by age in full years: from, to (None: no end), how many. Negative ages are not counted."""
    if "age_annees" not in frame.columns or not frame["age_annees"].count():
        return []
    age = pl.col("age_annees")
    counts = frame.select(
        (age.is_between(low, high) if high is not None else age >= low).sum().alias(str(low)) for low, high in _AGES
    ).row(0)
    return [(low, high, rows) for (low, high), rows in zip(_AGES, counts, strict=True)]


def scores(frame: pl.DataFrame) -> list[int]:
    """Rows by score in tens: 0 to 10, ..., 90 to 100; nothing when there is no score."""
    if "score" not in frame.columns:
        return []
    counts = _counts(frame.select(ten=(pl.col("score") // 10).clip(0, 9).cast(pl.Int64)), "ten")
    return [counts.get(ten, 0) for ten in range(10)]


def filled(frame: pl.DataFrame) -> Mapping[str, float]:
    """The share of rows that have a value, by column; masked values are none."""
    if not frame.height:
        return {}
    empty = frame.select(
        (pl.col(name).is_null() | (pl.col(name) == MASK) if kind == pl.String else pl.col(name).is_null()).sum()
        for name, kind in frame.schema.items()
    )
    return {name: 1 - missing / frame.height for name, missing in zip(empty.columns, empty.row(0), strict=True)}


def locations(frame: pl.DataFrame, most_towns: int) -> Locations | None:
    """Where rows are, on a grid, and the communes with most rows; None when the dataset has no coordinates."""
    if not {"longitude", "latitude", "departement", "commune"} <= set(frame.columns) or not frame["longitude"].count():
        return None
    located = frame.filter(pl.col("longitude").is_not_null() & pl.col("latitude").is_not_null())
    mainland = located.filter(
        expressions.within(MAINLAND) | expressions.within(CORSICA),
        ~pl.col("departement").is_in(sorted(OVERSEAS)).fill_null(value=False),
    )
    points = mainland.select(x=france.east(pl.col("longitude")), y=france.north(pl.col("latitude")), town=_town())
    # a hexagonal grid: every other line of cells is shifted by half a cell
    line = (pl.col("y") / _ROW_KM).round()
    shift = (line % 2) / 2
    grid = points.select(x=((pl.col("x") / CELL_KM - shift).round() + shift) * CELL_KM, y=line * _ROW_KM)
    cells = grid.group_by("x", "y").len().sort("y", "x")
    towns = (
        points.drop_nulls("town")
        .group_by("town")
        .agg(pl.col("x", "y").mean().round(0), rows=pl.len())
        .filter(pl.col("rows") >= _LEAST_NAMED)
        .sort("rows", "town", descending=[True, False])
    )
    return Locations(
        cells=[Cell(x, y, rows) for x, y, rows in cells.iter_rows()],
        towns=_apart(list(towns.select("x", "y", "town").iter_rows()), most_towns),
        elsewhere=located.height - mainland.height,
        unknown=frame.height - located.height,
    )


def _town() -> pl.Expr:
    """The name of a commune without the number of its district."""
    return pl.when(pl.col("commune") != MASK).then(pl.col("commune").str.replace(r" \d+$", ""))


def _apart(towns: list[tuple[float, float, str]], most: int) -> list[tuple[float, float, str]]:
    """The first towns that stand far enough from each other for their names to be read."""
    chosen: list[tuple[float, float, str]] = []
    for x, y, name in towns:
        if len(chosen) < most and all(
            abs(x - other) > 8 * CELL_KM or abs(y - up) > 2 * CELL_KM for other, up, _ in chosen
        ):
            chosen.append((x, y, name))
    return chosen


def _ranking(frame: pl.DataFrame, column: str, most: int, names: Mapping[str, str]) -> Ranking | None:
    if not distinct(frame, column):
        return None
    counts = _counts(frame, column)
    unknown = counts.pop(None, 0)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    top = [Count(code, names.get(code, ""), rows) for code, rows in ranked[:most]]
    others = ranked[most:]
    return Ranking(top, len(others), sum(rows for _, rows in others), unknown)


def _counts(frame: pl.DataFrame, column: str) -> dict[Any, int]:
    return {} if column not in frame.columns else dict(frame[column].value_counts().iter_rows())
