"""Repeated rows. A repeat of the same SIRET is a row glued in twice: the first stays. Rows that agree in other keys are only numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Duplicates


def run(frame: pl.DataFrame, parameters: Duplicates, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Number the rows of each key; drop repeats of the same SIRET. Rows with an empty key repeat no other row."""
    keys = list(parameters.keys)
    # most datasets have no repeats, and to find that out takes less than to number all rows
    if frame.height == frame.select(keys).n_unique() and not frame.select(keys).null_count().sum_horizontal().item():
        facts = {"keys": keys, "repeats": 0, "dropped": 0, "repeats_that_differ": 0}
        return Outcome(frame=frame.with_columns(repetition=pl.lit(1, dtype=pl.UInt32)), facts=facts)
    has_keys = pl.all_horizontal(pl.col(key).is_not_null() for key in keys)
    numbered = frame.with_columns(
        repetition=pl.when(has_keys).then(pl.int_range(1, pl.len() + 1).over(keys)).otherwise(1).cast(pl.UInt32)
    )
    first, repeats = numbered.filter(pl.col("repetition") == 1), numbered.filter(pl.col("repetition") > 1)
    different = repeats.height - repeats.join(first, on=frame.columns, how="semi", nulls_equal=True).height
    dropped = "siret" in keys
    facts = {
        "keys": keys,
        "repeats": repeats.height,
        "dropped": repeats.height if dropped else 0,
        "repeats_that_differ": different,
    }
    warnings = (f"{different} repeated rows differ from the first one, which is kept",) if dropped and different else ()
    return Outcome(frame=first if dropped else numbered, facts=facts, warnings=warnings)
