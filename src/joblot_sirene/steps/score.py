"""One figure for the quality of each row, from four shares by the job's weights.

The register has no telephone and no e-mail, so contactability is how well the place can be reached by post: a complete address, and a
name or sign to write on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from joblot_sirene.register.privacy import MASK
from joblot_sirene.steps.model import Inputs, Outcome
from joblot_sirene.steps.withheld import is_withheld

if TYPE_CHECKING:
    import datetime as dt

    from joblot_sirene.register.privacy import Policy
    from joblot_sirene.steps.parameters import Score

COMPLETENESS: Final = (
    "raison_sociale", "enseigne", "adresse", "code_postal", "code_commune", "naf", "date_creation", "tranche_effectifs", "forme_juridique", "siege",
)  # fmt: skip
"""The columns whose share of values is a row's completeness."""

FRESH_DAYS: Final = 365
STALE_DAYS: Final = 6 * 365
"""Freshness is 1 up to the first age of a row's last treatment, 0 from the second on, and falls evenly between them."""


def run(frame: pl.DataFrame, parameters: Score, inputs: Inputs) -> Outcome:
    """Add the score from 0 to 100; mean, median and the best tenth are in the facts."""
    parts = {
        "contactability": _contactability(frame, inputs.policy),
        "unicity": _unicity(frame),
        "completeness": _completeness(frame, inputs.policy),
        "freshness": _freshness(inputs.today),
    }
    weights = msgspec.structs.asdict(parameters)
    total = sum(weights.values())
    score = pl.sum_horizontal(part * weights[name] for name, part in parts.items()) / total * 100
    scored = frame.with_columns(score=score.round(1))
    shares = frame.select(**{name: part.mean().round(4) for name, part in parts.items()}).row(0, named=True)
    values = scored["score"]
    facts = {
        "rows": scored.height,
        "mean": _rounded(values.mean()),
        "p50": _rounded(values.quantile(0.5, "nearest")),
        "p90": _rounded(values.quantile(0.9, "nearest")),
        "weights": weights,
        "parts": shares,
        "note": "contactability is reachability by post: the register has no telephone and no e-mail",
    }
    return Outcome(frame=scored, facts=facts)


def _rounded(value: object) -> float | None:
    return round(float(value), 1) if isinstance(value, (int, float)) else None


def _has(name: str) -> pl.Expr:
    empty = [MASK, "NN"] if name == "tranche_effectifs" else [MASK]
    return (~pl.col(name).cast(pl.String).is_in(empty)).fill_null(value=False).cast(pl.Float64)


def _completeness(frame: pl.DataFrame, policy: Policy) -> pl.Expr:
    # what the job left out itself is taken to be there, here and below
    there = (pl.max_horizontal(_has(name), is_withheld(name, frame, policy).cast(pl.Float64)) for name in COMPLETENESS)
    return pl.sum_horizontal(there) / len(COMPLETENESS)


def _contactability(frame: pl.DataFrame, policy: Policy) -> pl.Expr:
    street = pl.max_horizontal(_has("adresse"), _has("complement_adresse"))
    town = pl.max_horizontal(
        _has("code_postal") * _has("commune"), pl.col("pays").is_not_null().cast(pl.Float64) * _has("commune")
    )
    # a letter needs an address before it needs a name
    name = pl.max_horizontal(
        _has("enseigne"), _has("raison_sociale"), is_withheld("raison_sociale", frame, policy).cast(pl.Float64)
    )
    return 0.7 * street * town + 0.3 * name


def _unicity(frame: pl.DataFrame) -> pl.Expr:
    alike = pl.lit(1.0)
    if "groupe_doublons" in frame.columns:
        size = pl.len().over("groupe_doublons")
        alike = pl.when(pl.col("groupe_doublons").is_not_null()).then(1 / size).otherwise(1.0)
    if "repetition" in frame.columns:
        alike = pl.when(pl.col("repetition") > 1).then(0.0).otherwise(alike)
    return alike


def _freshness(today: dt.date) -> pl.Expr:
    age = (pl.lit(today) - pl.col("date_traitement")).dt.total_days()
    return ((STALE_DAYS - age) / (STALE_DAYS - FRESH_DAYS)).clip(0, 1).fill_null(0.0).cast(pl.Float64)
