"""What changed since an earlier dataset: new establishments, closed ones, moves, other activities."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.register import code_lists
from joblot_sirene.register.naf import LETTERS, NAF25
from joblot_sirene.register.privacy import MASK, PUBLIC
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Comparison

_STATUS: Final = "statut_diffusion"
_POST: Final = "code_postal"
_TOWN_OF: Final = {
    **{str(code): "75056" for code in range(75101, 75121)},
    **{str(code): "69123" for code in range(69381, 69390)},
    **{str(code): "13055" for code in range(13201, 13217)},
}
"""Paris, Lyon and Marseille by the codes of their districts (official geographic code)."""
_REPETITIONS: Final = {*code_lists.REPETITIONS, *code_lists.REPETITIONS.values()}
_RANGE: Final = re.compile(
    rf"^(\d+(?: (?:{'|'.join(sorted(_REPETITIONS))}))?)-\d+(?: (?:{'|'.join(sorted(_REPETITIONS))}|[A-Z]))?(?= )"
)
"""`12-14 TER`: earlier datasets have the first number of a range only."""
_SHORT: Final = {"ST": "SAINT", "STE": "SAINTE"}
NEEDED: Final = ("siret", "adresse", "code_commune", "naf", "etat")
MOST_LISTED: Final = 1000
"""SIRET numbers of establishments that are no longer there, of which the report lists so many at most."""


def run(frame: pl.DataFrame, parameters: Comparison, inputs: Inputs) -> Outcome:
    """Say of every row how it changed, and count; establishments that are no longer there are listed in the facts, but for those who are hidden.

    A change of the list of activities (rev. 2 to 2025) is no change of activity: only codes of one list are compared. A move is another address,
    not another spelling of it, another code of the same town, or one that is not shown.
    """
    if inputs.earlier is None:
        warnings = ("no earlier dataset to compare with",) if parameters.required else ()
        return Outcome(frame=frame, facts={"compared": False}, warnings=warnings)
    missing = [name for name in NEEDED if name not in inputs.earlier.columns]
    if missing:
        warning = f"the earlier dataset has no column `{missing[0]}`: nothing was compared"
        return Outcome(frame=frame, facts={"compared": False}, warnings=(warning,))
    # other programs may have taken columns out that are not needed
    optional = {_STATUS: PUBLIC, _POST: None}
    compared_columns = [*NEEDED[1:], *optional]
    before = (
        inputs.earlier.with_columns(
            pl.lit(value, pl.String).alias(name)
            for name, value in optional.items()
            if name not in inputs.earlier.columns
        )
        .select("siret", *compared_columns)
        .unique("siret", keep="first", maintain_order=True)
        .rename({name: f"_{name}" for name in compared_columns})
    )
    joined = frame.join(
        before.with_columns(pl.lit(value=True).alias("_known")), on="siret", how="left", maintain_order="left"
    )
    other_activity = _differs("naf") & (_is_naf25("naf") == _is_naf25("_naf"))
    # the first that applies: an establishment that closed is closed, whatever else changed
    compared = joined.with_columns(
        evolution=pl.when(pl.col("_known").is_null())
        .then(pl.lit("nouveau"))
        .when((pl.col("etat") == "F") & (pl.col("_etat") == "A"))
        .then(pl.lit("ferme"))
        .when((pl.col("etat") == "A") & (pl.col("_etat") == "F"))
        .then(pl.lit("rouvert"))
        .when(_has_moved(joined))
        .then(pl.lit("demenage"))
        .when(other_activity)
        .then(pl.lit("naf_change"))
        .otherwise(pl.lit("inchange"))
    ).drop("_known", *(f"_{name}" for name in compared_columns))
    gone = before.join(frame.select("siret"), on="siret", how="anti", maintain_order="left")
    nameable = _may_be_named(gone, inputs)
    counts = dict(compared["evolution"].value_counts().sort("evolution").iter_rows())
    facts = {"compared": True, "rows": counts, "gone": gone.height, "gone_sirets": nameable.head(MOST_LISTED).to_list()}
    return Outcome(frame=compared, facts=facts)


def _may_be_named(gone: pl.DataFrame, inputs: Inputs) -> pl.Series:
    """The SIRET numbers of those that are public or not in the files any more: who was hidden since then, or was then, is only counted."""
    named = gone if inputs.hidden is None else gone.filter(~inputs.hidden.has(gone))
    return named.filter(pl.col(f"_{_STATUS}").eq_missing(PUBLIC))["siret"].drop_nulls()


def _has_moved(joined: pl.DataFrame) -> pl.Expr:
    """Whether rows have another address than before, as far as both are shown."""
    differing = joined.filter(pl.col("adresse") != pl.col("_adresse"))
    lines = pl.concat([differing["adresse"], differing["_adresse"]]).unique()
    plain = {line: _plain(line) for line in lines}
    line, before = (pl.col(name).replace(old=plain) for name in ("adresse", "_adresse"))
    is_shown = pl.all_horizontal(
        pl.col(f"{side}{_STATUS}").eq_missing(PUBLIC) & pl.col(f"{side}adresse").ne_missing(MASK) for side in ("", "_")
    )
    same_line = line == before
    # the code of a town changes with mergers, and may be that of a district: the same door is no other place
    same_post = pl.col(_POST) == pl.col(f"_{_POST}")
    codes = pl.col("code_commune"), pl.col("_code_commune")
    towns = [code.replace(old=_TOWN_OF) for code in codes]
    same_town = (towns[0] == towns[1]) & ((codes[0] == towns[0]) | (codes[1] == towns[1]))
    other_town = (codes[0] != codes[1]) & ~(same_line & (same_post | same_town)).fill_null(value=False)
    return is_shown & (~same_line | other_town).fill_null(other_town).fill_null(value=False)


def _plain(line: str) -> str:
    """An address line without case, accents and marks, its type of street and the like in full, and without the end of a range of numbers."""
    words = _words(_RANGE.sub(r"\1", line)).split()
    number = next((at for at, word in enumerate(words) if not word.isdigit() and word not in _REPETITIONS), 0)
    if words[number : number + 1] and words[number] in _STREET_TYPES:
        words[number] = _STREET_TYPES[words[number]]
    if number > 1:
        words[1] = code_lists.REPETITIONS.get(words[1], words[1])
    return " ".join(_SHORT.get(word, word) for word in words)


def _words(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.upper().replace("\u0152", "OE").replace("\u00c6", "AE"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[A-Z0-9]+", plain))


_STREET_TYPES: Final = {short: _words(full) for short, full in code_lists.STREET_TYPES.items()}
"""Types of street in full, without accents, by their short form."""


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"_{name}"))


def _is_naf25(name: str) -> pl.Expr:
    return pl.col(name).str.slice(-1).is_in(list(LETTERS[NAF25]))
