"""Checks of SIREN and SIRET, and the VAT number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from joblot_sirene import vector
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joblot_sirene.steps.parameters import Identifiers


def run(frame: pl.DataFrame, parameters: Identifiers, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Flag numbers that fail their check; nothing is taken out."""
    checks = {"siren_valide": vector.siren_valid(pl.col("siren")), "siret_valide": vector.siret_valid(pl.col("siret"))}
    checked = frame.with_columns(**checks)
    if parameters.vat:
        checked = checked.with_columns(tva=pl.when("siren_valide").then(vector.vat_number(pl.col("siren"))))
    facts: Mapping[str, Any] = checked.select(
        invalid_siren=(~pl.col("siren_valide")).sum(), invalid_siret=(~pl.col("siret_valide")).sum()
    ).row(0, named=True)
    warnings = (
        (f"{facts['invalid_siret']} SIRET numbers fail their check: see the column `siret_valide`",)
        if facts["invalid_siret"]
        else ()
    )
    return Outcome(frame=checked, facts=dict(facts), warnings=warnings)
