"""What changed since an earlier dataset: new establishments, closed ones, moves, other activities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.register.naf import LETTERS, NAF25
from joblot_sirene.register.privacy import PUBLIC
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Comparison

_STATUS: Final = "statut_diffusion"
NEEDED: Final = ("siret", "adresse", "code_commune", "naf", "etat")
MOST_LISTED: Final = 1000
"""SIRET numbers of establishments that are no longer there, of which the report lists so many at most."""


def run(frame: pl.DataFrame, parameters: Comparison, inputs: Inputs) -> Outcome:
    """Say of every row how it changed, and count; establishments that are no longer there are listed in the facts, but for those who are hidden.

    A change of the list of activities (rev. 2 to 2025) is no change of activity: only codes of one list are compared.
    """
    if inputs.earlier is None:
        warnings = ("no earlier dataset to compare with",) if parameters.required else ()
        return Outcome(frame=frame, facts={"compared": False}, warnings=warnings)
    missing = [name for name in NEEDED if name not in inputs.earlier.columns]
    if missing:
        warning = f"the earlier dataset has no column `{missing[0]}`: nothing was compared"
        return Outcome(frame=frame, facts={"compared": False}, warnings=(warning,))
    before = (
        inputs.earlier.select(*NEEDED, _STATUS if _STATUS in inputs.earlier.columns else pl.lit(PUBLIC).alias(_STATUS))
        .unique("siret", keep="first", maintain_order=True)
        .rename({name: f"_{name}" for name in (*NEEDED[1:], _STATUS)})
    )
    joined = frame.join(
        before.with_columns(pl.lit(value=True).alias("_known")), on="siret", how="left", maintain_order="left"
    )
    has_moved = _differs("code_commune") | _differs("adresse")
    other_activity = _differs("naf") & (_is_naf25("naf") == _is_naf25("_naf"))
    # the first that applies: an establishment that closed is closed, whatever else changed
    compared = joined.with_columns(
        evolution=pl.when(pl.col("_known").is_null())
        .then(pl.lit("nouveau"))
        .when((pl.col("etat") == "F") & (pl.col("_etat") == "A"))
        .then(pl.lit("ferme"))
        .when((pl.col("etat") == "A") & (pl.col("_etat") == "F"))
        .then(pl.lit("rouvert"))
        .when(has_moved)
        .then(pl.lit("demenage"))
        .when(other_activity)
        .then(pl.lit("naf_change"))
        .otherwise(pl.lit("inchange"))
    ).drop("_known", *(f"_{name}" for name in (*NEEDED[1:], _STATUS)))
    gone = before.join(frame.select("siret"), on="siret", how="anti", maintain_order="left")
    nameable = _may_be_named(gone, inputs)
    counts = dict(compared["evolution"].value_counts().sort("evolution").iter_rows())
    facts = {"compared": True, "rows": counts, "gone": gone.height, "gone_sirets": nameable.head(MOST_LISTED).to_list()}
    return Outcome(frame=compared, facts=facts)


def _may_be_named(gone: pl.DataFrame, inputs: Inputs) -> pl.Series:
    """The SIRET numbers of those that are public or not in the files any more: who was hidden since then, or was then, is only counted."""
    named = gone if inputs.hidden is None else gone.filter(~inputs.hidden.has(gone))
    return named.filter(pl.col(f"_{_STATUS}").eq_missing(PUBLIC))["siret"].drop_nulls()


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"_{name}"))


def _is_naf25(name: str) -> pl.Expr:
    return pl.col(name).str.slice(-1).is_in(list(LETTERS[NAF25]))
