"""Longitude and latitude of establishments, and how many of them there are by department and commune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.identifiers import CORSICA, MAINLAND, NUMBER, OVERSEAS, UNPLACED, coordinates
from joblot_sirene.register.layout import PLACE_COLUMNS
from joblot_sirene.register.privacy import MASK
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot_sirene.steps.parameters import Coordinates


def run(frame: pl.DataFrame, parameters: Coordinates, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Project the register's coordinates. What lies outside its department's territory is flagged and not shown.

    Where the file has longitude and latitude of its own, as geo-sirene files have, these are taken instead.
    """
    numbered = frame.with_row_index("_row")
    overseas = pl.col("departement").is_in([*OVERSEAS, *UNPLACED]).fill_null(value=False)
    given = pl.col("longitude").is_not_null() & pl.col("latitude").is_not_null()
    if PLACE_COLUMNS[0] not in frame.columns:
        numbered = numbered.with_columns(pl.lit(None, pl.Float64).alias(name) for name in PLACE_COLUMNS)
    parts = [_mainland(numbered.filter(~overseas, ~given)), _overseas(numbered.filter(overseas, ~given))]
    points = pl.concat([*parts, _given(numbered.filter(given))])
    rounded = points.with_columns(pl.col("longitude", "latitude").round(parameters.decimals))
    located = numbered.drop(PLACE_COLUMNS).join(rounded, on="_row", how="left", maintain_order="left").drop("_row")
    unread = located.select((pl.col("x", "y").is_not_null() & ~_is_number() & (pl.col("x", "y") != MASK)).sum())
    facts = {
        "located": int(located["longitude"].count()),
        "unread": sum(unread.row(0)),
        "outside_territory": int(located["hors_territoire"].sum()),
        "by_department": _counts(located, "departement"),
        "by_commune": _counts(located, "code_commune"),
    }
    count = facts["unread"]
    warning = f"{count} coordinates are no numbers: these rows have no place"
    return Outcome(frame=located, facts=facts, warnings=(warning,) if count else ())


def _is_number() -> pl.Expr:
    return pl.col("x", "y").str.contains(NUMBER)


def _given(frame: pl.DataFrame) -> pl.DataFrame:
    """The points that the file gives, but for those outside their territory."""
    boxes = {department: box for department, (_, box) in OVERSEAS.items()} | dict.fromkeys(("2A", "2B"), CORSICA)
    department = pl.col("departement").fill_null("")
    is_inside = pl.any_horizontal((department == name) & expressions.within(box) for name, box in boxes.items())
    inside = (
        pl.when(department.is_in(list(boxes)))
        .then(is_inside)
        .when(department.is_in(UNPLACED))
        .then(pl.lit(value=True))
        .otherwise(expressions.within(MAINLAND))
    )
    return frame.select(
        "_row",
        longitude=pl.when(inside).then("longitude"),
        latitude=pl.when(inside).then("latitude"),
        hors_territoire=~inside,
    )


def geojson(frame: pl.DataFrame) -> Iterator[str]:
    """The text of a GeoJSON file of the located rows, a feature a line."""
    names = [
        name for name in ("siret", "enseigne", "adresse", "code_postal", "commune", "naf") if name in frame.columns
    ]
    yield '{"type":"FeatureCollection","features":[\n'
    rows = frame.filter(pl.col("longitude").is_not_null()).select("longitude", "latitude", *names)
    for number, row in enumerate(rows.iter_rows(named=True)):
        point = {"type": "Point", "coordinates": [row.pop("longitude"), row.pop("latitude")]}
        feature = {"type": "Feature", "geometry": point, "properties": row}
        yield ("" if number == 0 else ",\n") + json.dumps(feature, ensure_ascii=False, separators=(",", ":"))
    yield "\n]}\n"


def _mainland(frame: pl.DataFrame) -> pl.DataFrame:
    numbers = [
        pl.when(pl.col(name).str.contains(NUMBER))
        .then(pl.col(name).str.strip_chars().str.replace(",", ".", literal=True))
        .cast(pl.Float64, strict=False)
        for name in ("x", "y")
    ]
    metres = frame.select("_row", "departement", x=numbers[0], y=numbers[1])
    x, y = pl.col("x"), pl.col("y")
    # the same bounds as of `identifiers.coordinates`: beyond them the formulas mean nothing
    projected = x.is_between(0, 1_400_000, closed="none") & y.is_between(6_000_000, 7_300_000, closed="none")
    projected &= ~pl.col("departement").fill_null("").str.slice(0, 2).is_in(["97", "98"])
    longitude, latitude = (pl.when(projected).then(degrees) for degrees in expressions.lambert93(x, y))
    corsica = pl.col("departement").is_in(["2A", "2B"]).fill_null(value=False)
    inside = (
        pl.when(corsica)
        .then(expressions.within(CORSICA))
        .otherwise(expressions.within(MAINLAND))
        .fill_null(value=False)
    )
    return metres.with_columns(longitude=longitude, latitude=latitude).select(
        "_row",
        longitude=pl.when(inside).then("longitude"),
        latitude=pl.when(inside).then("latitude"),
        hors_territoire=x.is_not_null() & y.is_not_null() & ~inside,
    )


def _overseas(frame: pl.DataFrame) -> pl.DataFrame:
    """Row by row: each territory has a projection of its own, and few rows."""
    rows: list[tuple[int, float | None, float | None, bool]] = []
    for number, x, y, department in frame.select("_row", "x", "y", "departement").iter_rows():
        point, outside = coordinates(x, y, department)
        rows.append((number, point.longitude if point else None, point.latitude if point else None, outside))
    schema = {"_row": pl.UInt32, "longitude": pl.Float64, "latitude": pl.Float64, "hors_territoire": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _counts(frame: pl.DataFrame, column: str) -> dict[str, Any]:
    return dict(frame[column].drop_nulls().value_counts().sort(["count", column], descending=[True, False]).iter_rows())
