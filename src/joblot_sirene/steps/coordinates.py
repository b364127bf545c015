"""Longitude and latitude of establishments, and how many of them there are by department and commune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.identifiers import CORSICA, MAINLAND, OVERSEAS, coordinates
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot_sirene.steps.parameters import Coordinates

_NUMBER: Final = r"^\s*-?\d+(\.\d+)?\s*$"


def run(frame: pl.DataFrame, parameters: Coordinates, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Project the register's coordinates. What lies outside its department's territory is flagged and not shown."""
    numbered = frame.with_row_index("_row")
    overseas = pl.col("departement").is_in(sorted(OVERSEAS)).fill_null(value=False)
    points = pl.concat([_mainland(numbered.filter(~overseas)), _overseas(numbered.filter(overseas))])
    rounded = points.with_columns(pl.col("longitude", "latitude").round(parameters.decimals))
    located = numbered.join(rounded, on="_row", how="left", maintain_order="left").drop("_row")
    facts = {
        "located": int(located["longitude"].count()),
        "outside_territory": int(located["hors_territoire"].sum()),
        "by_department": _counts(located, "departement"),
        "by_commune": _counts(located, "code_commune"),
    }
    return Outcome(frame=located, facts=facts)


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
        pl.when(pl.col(name).str.contains(_NUMBER)).then(pl.col(name).str.strip_chars()).cast(pl.Float64, strict=False)
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
