"""The columns of the legal unit beside those of its establishments: names, legal form, category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.privacy import UNIT_STATUS_COLUMN
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joblot_sirene.steps.parameters import Units

NEEDED: Final = (
    "siren",
    "statutDiffusionUniteLegale",
    "sigleUniteLegale",
    "prenomUsuelUniteLegale",
    "prenom1UniteLegale",
    "categorieEntreprise",
    "nomUniteLegale",
    "nomUsageUniteLegale",
    "denominationUniteLegale",
    "categorieJuridiqueUniteLegale",
    "economieSocialeSolidaireUniteLegale",
    "societeMissionUniteLegale",
)
"""The unit columns that steps use."""


def run(frame: pl.DataFrame, parameters: Units, inputs: Inputs) -> Outcome:
    """Join the legal units to rows with canonical columns. Units that are not found leave their columns empty, and are counted.

    They are joined by the number, not by its text: who may be shown must not depend on the zeros that a spreadsheet took.
    """
    if inputs.units is None:
        facts: dict[str, Any] = {"joined": False}
        return Outcome(frame=frame, facts=facts, warnings=warn(facts, parameters))
    columns = [name for name in NEEDED if name in inputs.units.columns and name not in frame.columns]
    units = inputs.units.select(*columns, _unit=expressions.numbers(inputs.units["siren"]), _matched=pl.lit(value=True))
    if UNIT_STATUS_COLUMN in columns and units["_unit"].is_duplicated().any():
        units = units.with_columns(_strictest(UNIT_STATUS_COLUMN))
    joined = frame.with_columns(_unit=expressions.siren_numbers(frame)).join(
        units.unique("_unit", keep="first", maintain_order=True), on="_unit", how="left", maintain_order="left"
    )
    facts = {"joined": True, "rows_without_unit": joined["_matched"].null_count()}
    return Outcome(frame=joined.drop("_matched", "_unit"), facts=facts, warnings=warn(facts, parameters))


def _strictest(status: str) -> pl.Expr:
    """The status of a unit that is in the file twice: the one that hides it, if one does."""
    hidden = pl.col(status).filter(pl.col(status) != "O").first().over("_unit")
    return pl.coalesce(hidden, status).alias(status)


def warn(facts: Mapping[str, Any], parameters: Units) -> tuple[str, ...]:
    """The warnings that the facts give reason for."""
    if not facts["joined"]:
        warning = "no file of legal units: names, legal forms and categories are empty (give it with `--unite-legale`)"
        return (warning,) if parameters.required else ()
    missing = facts["rows_without_unit"]
    return (f"{missing} rows have no legal unit in the file given: is it of the same month?",) if missing else ()
