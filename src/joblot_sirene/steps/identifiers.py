"""Checks of SIREN and SIRET, and the VAT number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.code_lists import DEPARTMENTS
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joblot_sirene.steps.parameters import Identifiers


_NO_VAT: Final = frozenset({"973", "975", "976", "977", "978", "984", "986", "987", "988", "989"})
"""Guyane and Mayotte, where VAT does not apply (article 294 of the French tax code), and territories outside that of French VAT."""
VAT_DEPARTMENTS: Final = [department for department in DEPARTMENTS if department not in _NO_VAT]
"""Departments of the territory of French VAT. Monaco and other countries have rules of their own."""


def run(frame: pl.DataFrame, parameters: Identifiers, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Flag numbers that fail their check; nothing is taken out."""
    # lazy, so that parts that both checks share are worked out once
    checked = frame.lazy().with_columns(**_checks()).collect(engine="in-memory")
    if parameters.vat:
        # a number that is computed says that there is one: only where the register says that the place is in the territory of French VAT
        is_due = pl.col("siren_valide") & pl.col("departement").is_in(VAT_DEPARTMENTS).fill_null(value=False)
        is_due &= pl.col("pays").is_null()
        checked = checked.with_columns(tva=pl.when(is_due).then(expressions.vat_number(pl.col("siren"))))
    facts = {
        "invalid_siren": checked.height - int(checked["siren_valide"].sum()),
        "invalid_siret": checked.height - int(checked["siret_valide"].sum()),
    }
    return Outcome(frame=checked, facts=facts, warnings=warn(facts, parameters))


def warn(facts: Mapping[str, Any], parameters: Identifiers) -> tuple[str, ...]:  # noqa: ARG001 - a step's signature
    """The warnings that the facts give reason for."""
    invalid = facts["invalid_siret"]
    return (f"{invalid} SIRET numbers fail their check: see the column `siret_valide`",) if invalid else ()


@cache
def _checks() -> dict[str, pl.Expr]:
    """Made once: to make these expressions takes longer than to check a hundred rows with them."""
    return {
        "siren_valide": expressions.siren_valid(pl.col("siren")),
        "siret_valide": expressions.siret_valid(pl.col("siret")),
    }
