"""What a row has no value for because the job's policy leaves it out, which is no defect of the row: checks and scores do not count it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.privacy import MASK, PUBLIC

if TYPE_CHECKING:
    from joblot_sirene.register.privacy import Policy

_OF_PERSONS: Final = frozenset({"raison_sociale", "enseigne"})
"""Columns in which the name of a natural person stands when the job asks for it. A sign is the name of the unit where the place has none."""
_OF_HIDDEN: Final = _OF_PERSONS | {"complement_adresse", "adresse", "code_postal"}
"""Columns that are masked in rows with partial diffusion."""


def is_empty(column: str) -> pl.Expr:
    """Whether there is no value in a column, or one that is masked."""
    return pl.col(column).is_null() | (pl.col(column).cast(pl.String) == MASK)


def is_withheld(column: str, frame: pl.DataFrame, policy: Policy) -> pl.Expr:
    """Whether rows of the frame have no value in a column because of the policy; never null."""
    reasons = []
    if column in _OF_HIDDEN and "statut_diffusion" in frame.columns:
        reasons.append(pl.col("statut_diffusion").ne_missing(PUBLIC))
    if column in _OF_PERSONS and not policy.person_names and "forme_juridique" in frame.columns:
        reasons.append(expressions.natural_person("forme_juridique").fill_null(value=False))
    return pl.any_horizontal(reasons) & is_empty(column) if reasons else pl.lit(value=False)
