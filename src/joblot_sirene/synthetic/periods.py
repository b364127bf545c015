"""The history of synthetic establishments: periods that end in the state the stock shows, and a few of the register's absurd dates.

It makes no rows of its own: an establishment has as many periods as its row says, and nothing in them that its row does not show.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.register.layout import HISTORY_COLUMNS
from joblot_sirene.synthetic.invented import SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

ABSURD_DATES: Final = (dt.date(1, 1, 1), dt.date(199, 5, 3), dt.date(2925, 6, 30))
"""Years that are in the real file."""

_ABSURD_SHARE: Final = 0.004
_PAUSE_SHARE: Final = 0.1
_KINDS: Final = ("Enseigne", "DenominationUsuelle", "ActivitePrincipale", "CaractereEmployeur")


def periods(stock: pl.DataFrame, draws: Sequence[pl.Expr]) -> pl.DataFrame:
    """The periods of the establishments of a stock, by SIRET, the newest first, with the columns of the history.

    `draws` are three columns of even numbers below `SIZE` from the column `row`: `p_pause`, `p_kind`, `p_absurd`.
    """
    drawn = stock.with_columns(draws).with_columns(_count=pl.col("nombrePeriodesEtablissement"))
    each = (
        drawn.with_columns(_index=pl.int_ranges(0, "_count"))
        .explode("_index", empty_as_null=False, keep_nulls=False)
        .with_columns(_last=pl.col("_index") == pl.col("_count") - 1)
        .with_columns(_begin=_begin(), _state=_state())
    )
    following = pl.col("_begin").shift(-1).over("siret")
    before = pl.col("_state").shift(1).over("siret")
    state_changes = (pl.col("_state") != before).fill_null(value=False)
    # a period begins because something changed: when it was not the state, then one of the other kinds in turn
    kind = pl.when((pl.col("_index") > 0) & ~state_changes).then((pl.col("p_kind") + pl.col("_index")) % len(_KINDS))
    end = pl.when(following == pl.col("_begin")).then(following).otherwise(following - pl.duration(days=1))
    complete = each.with_columns(_end=end, _state_changes=state_changes, _kind=kind)
    return complete.select(_columns()).reverse().sort("siret", maintain_order=True)


def _begin() -> pl.Expr:
    """From the creation to the beginning of the current period in even steps; some first days are absurd."""
    first, last = pl.col("dateCreationEtablissement"), pl.col("dateDebut")
    between = first.cast(pl.Int32) + (last.cast(pl.Int32) - first.cast(pl.Int32)) * pl.col("_index") // (
        pl.col("_count") - 1
    )
    absurd = pl.lit(pl.Series(ABSURD_DATES)).gather(pl.col("p_kind") % len(ABSURD_DATES))
    return (
        pl.when(pl.col("_last"))
        .then(last)
        .when((pl.col("_index") == 0) & (pl.col("p_absurd") < round(_ABSURD_SHARE * SIZE)))
        .then(absurd)
        .when(pl.col("_index") == 0)
        .then(first)
        .otherwise(between.cast(pl.Int32).cast(pl.Date))
    )


def _state() -> pl.Expr:
    """The stock's state in the current period, open before; some establishments with four periods or more were closed for one of them."""
    pause = (pl.col("_index") == 1) & (pl.col("_count") > 3) & (pl.col("p_pause") < round(_PAUSE_SHARE * SIZE))
    return pl.when("_last").then("etatAdministratifEtablissement").when(pause).then(pl.lit("F")).otherwise(pl.lit("A"))


def _columns() -> list[pl.Expr]:
    own = {
        "dateFin": pl.col("_end"),
        "dateDebut": pl.col("_begin"),
        "etatAdministratifEtablissement": pl.col("_state"),
        "changementEtatAdministratifEtablissement": pl.col("_state_changes"),
        **{f"changement{name}Etablissement": pl.col("_kind").eq_missing(number) for number, name in enumerate(_KINDS)},
    }
    return [own.get(name, pl.col(name)).alias(name) for name in HISTORY_COLUMNS]
