"""The columns of the legal unit beside those of its establishments: names, legal form, category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import expressions, privacy, repeats
from joblot_sirene.register.privacy import PARTIAL, PUBLIC, UNIT_STATUS_COLUMN
from joblot_sirene.steps.model import Inputs, Outcome
from joblot_sirene.steps.parameters import NO_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joblot_sirene.steps.parameters import Units

TREATED: Final = "dateDernierTraitementUniteLegale"
NEEDED: Final = (
    "siren",
    UNIT_STATUS_COLUMN,
    TREATED,
    "sigleUniteLegale",
    "prenomUsuelUniteLegale",
    "prenom1UniteLegale",
    "categorieEntreprise",
    "nomUniteLegale",
    "nomUsageUniteLegale",
    "pseudonymeUniteLegale",
    "denominationUniteLegale",
    "categorieJuridiqueUniteLegale",
    "economieSocialeSolidaireUniteLegale",
    "societeMissionUniteLegale",
)
"""The unit columns that steps use."""


def run(frame: pl.DataFrame, parameters: Units, inputs: Inputs) -> Outcome:
    """Join the legal units to rows with canonical columns. Units that are not found leave their columns empty, and are counted.

    They are joined by the number, not by its text: who may be shown must not depend on the zeros that a spreadsheet took. Of a unit with
    several rows the one that counts is joined (`repeats`).
    """
    if inputs.units is None:
        facts: dict[str, Any] = {"joined": False}
        return Outcome(frame=frame, facts=facts, warnings=warn(facts, parameters))
    units = _settled(inputs.units)
    columns = [name for name in NEEDED if name in units.columns and name not in (*frame.columns, TREATED)]
    units = units.select(
        *columns, "_unit", _status=UNIT_STATUS_COLUMN, _repeated=repeats.REPEATED, _matched=pl.lit(value=True)
    )
    joined = frame.with_columns(_unit=expressions.siren_numbers(frame)).join(
        units, on="_unit", how="left", maintain_order="left"
    )
    # a file that has both kinds of columns says who may be shown as well: who is hidden in any file is hidden
    hidden_by_file = (pl.col("_status") != PUBLIC).fill_null(value=False)
    joined = joined.with_columns(
        pl.when(hidden_by_file).then("_status").otherwise(UNIT_STATUS_COLUMN).alias(UNIT_STATUS_COLUMN)
    )
    facts = {
        "joined": True,
        "rows_without_unit": joined["_matched"].null_count(),
        "rows_of_repeated_units": int(joined["_repeated"].sum()),
    }
    rows = joined.drop("_matched", "_unit", "_status", "_repeated")
    return Outcome(frame=rows, facts=facts, warnings=warn(facts, parameters))


def _settled(units: pl.DataFrame) -> pl.DataFrame:
    """The row that counts of each legal unit, with its number; it is hidden when another row of the unit is, and when its status is missing.

    A file without the column says nothing of who may be shown: the status of the establishment counts alone.
    """
    lacking = [pl.lit(PUBLIC).alias(UNIT_STATUS_COLUMN), pl.lit(None, pl.Datetime("ms")).alias(TREATED)]
    units = units.with_columns(
        *(column for column in lacking if column.meta.output_name() not in units.columns),
        _unit=expressions.numbers(units["siren"]),
    ).with_columns(pl.col(UNIT_STATUS_COLUMN).fill_null(PARTIAL))
    if not units["_unit"].is_duplicated().any():
        return units.with_columns(pl.lit(value=False).alias(repeats.REPEATED))
    newest = repeats.newest(units, "_unit", TREATED, privacy.is_hidden(UNIT_STATUS_COLUMN))
    status = pl.when(repeats.HIDDEN).then(pl.lit(PARTIAL)).otherwise(UNIT_STATUS_COLUMN)
    return newest.with_columns(status.alias(UNIT_STATUS_COLUMN))


def warn(facts: Mapping[str, Any], parameters: Units) -> tuple[str, ...]:
    """The warnings that the facts give reason for."""
    if not facts["joined"]:
        return (NO_UNITS,) if parameters.required else ()
    missing, repeated = facts["rows_without_unit"], facts["rows_of_repeated_units"]
    return (
        *([f"{missing} rows have no legal unit in the file given: is it of the same month?"] if missing else []),
        *(
            [f"{repeated} rows are of legal units that are in their file several times: the newest is taken"]
            if repeated
            else []
        ),
    )
