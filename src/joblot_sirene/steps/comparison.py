"""What changed since an earlier dataset: new places, closed ones, moves, other activities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Comparison

NEEDED: Final = ("siret", "adresse", "code_commune", "naf", "etat")
MOST_LISTED: Final = 1000
"""SIRET numbers of places gone that the report lists at most."""


def run(frame: pl.DataFrame, parameters: Comparison, inputs: Inputs) -> Outcome:
    """Say of every row how it changed, and count; places that are no longer there are listed in the facts.

    A change of the list of activities (rev. 2 to 2025) is no change of activity: only codes with the same letters' list are compared.
    """
    if inputs.earlier is None:
        warnings = ("no earlier dataset to compare with",) if parameters.required else ()
        return Outcome(frame=frame, facts={"compared": False}, warnings=warnings)
    missing = [name for name in NEEDED if name not in inputs.earlier.columns]
    if missing:
        warning = f"the earlier dataset has no column `{missing[0]}`: nothing was compared"
        return Outcome(frame=frame, facts={"compared": False}, warnings=(warning,))
    before = (
        inputs.earlier.select(NEEDED)
        .unique("siret", keep="first", maintain_order=True)
        .rename({name: f"_{name}" for name in NEEDED[1:]})
    )
    joined = frame.join(
        before.with_columns(pl.lit(value=True).alias("_known")), on="siret", how="left", maintain_order="left"
    )
    moved = _differs("code_commune") | _differs("adresse")
    other = _differs("naf") & (_list("naf") == _list("_naf"))
    changed = joined.with_columns(
        evolution=pl.when(pl.col("_known").is_null())
        .then(pl.lit("nouveau"))
        .when((pl.col("etat") == "F") & (pl.col("_etat") == "A"))
        .then(pl.lit("ferme"))
        .when((pl.col("etat") == "A") & (pl.col("_etat") == "F"))
        .then(pl.lit("rouvert"))
        .when(moved)
        .then(pl.lit("demenage"))
        .when(other)
        .then(pl.lit("naf_change"))
        .otherwise(pl.lit("inchange"))
    ).drop("_known", *(f"_{name}" for name in NEEDED[1:]))
    gone = before.join(frame.select("siret"), on="siret", how="anti", maintain_order="left")["siret"]
    counts = dict(changed["evolution"].value_counts().sort("evolution").iter_rows())
    return Outcome(
        frame=changed,
        facts={"compared": True, "rows": counts, "gone": gone.len(), "gone_sirets": gone.head(MOST_LISTED).to_list()},
    )


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"_{name}"))


def _list(name: str) -> pl.Expr:
    """Which list a code is of: by its letter."""
    return pl.col(name).str.slice(-1).is_in(list("YGHJKL"))
