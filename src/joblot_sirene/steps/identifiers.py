"""Checks of SIREN and SIRET, and the VAT number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from joblot_sirene import vector
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Identifiers


def run(frame: pl.DataFrame, parameters: Identifiers, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Flag numbers that fail their check; nothing is taken out."""
    checked = frame.with_columns(**_checks())
    if parameters.vat:
        checked = checked.with_columns(tva=pl.when("siren_valide").then(vector.vat_number(pl.col("siren"))))
    facts = {
        "invalid_siren": checked.height - int(checked["siren_valide"].sum()),
        "invalid_siret": checked.height - int(checked["siret_valide"].sum()),
    }
    warnings = (
        (f"{facts['invalid_siret']} SIRET numbers fail their check: see the column `siret_valide`",)
        if facts["invalid_siret"]
        else ()
    )
    return Outcome(frame=checked, facts=facts, warnings=warnings)


@cache
def _checks() -> dict[str, pl.Expr]:
    """Made once: to write these expressions down takes longer than to check a hundred rows with them."""
    return {"siren_valide": vector.siren_valid(pl.col("siren")), "siret_valide": vector.siret_valid(pl.col("siret"))}
