"""Labels beside codes, in French as the register has them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from joblot_sirene.register import code_lists, naf
from joblot_sirene.steps.history import FIRST_YEAR
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Labels


def run(frame: pl.DataFrame, parameters: Labels, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Add labels of activities, sections, legal forms, headcounts and departments, and the age in full years."""
    labels, sections, lists = _activities()
    form = pl.col("forme_juridique")
    # `43.29A` of an older list, or of one that nobody knows, is another activity
    of_its_list = pl.col("nomenclature").is_null() | (pl.col("nomenclature") == _label("naf", lists))
    labelled = frame.with_columns(_code=pl.when(of_its_list).then("naf")).with_columns(
        naf_libelle=_label("_code", labels),
        naf_2025_libelle=_label("naf_2025", labels),
        section=_label("_code", {code: letter for code, (letter, _) in sections.items()}),
        section_libelle=_label("_code", {code: text for code, (_, text) in sections.items()}),
        forme_juridique_libelle=form.str.slice(0, 2).replace_strict(
            code_lists.LEGAL_FORMS, default=form.str.slice(0, 1).replace_strict(code_lists.LEGAL_FORMS, default=None)
        ),
        effectifs_libelle=_label(
            "tranche_effectifs", {band: text for band, (_, _, text) in code_lists.HEADCOUNTS.items()}
        ),
        departement_nom=_label("departement", dict(code_lists.DEPARTMENTS)),
        age_annees=_age(inputs),
    )
    labelled = labelled.drop("_code")
    absurd = (pl.col("date_creation").dt.year() < FIRST_YEAR) | (
        pl.col("date_creation").dt.year() > inputs.today.year + 1
    )
    without = pl.col("naf").is_not_null() & pl.col("naf_libelle").is_null()
    facts = labelled.select(codes_without_label=without.sum(), absurd_creations=absurd.sum()).row(0, named=True)
    count = facts["absurd_creations"]
    warning = f"{count} dates of creation are absurd, before {FIRST_YEAR} or long after the stock: they give no age"
    return Outcome(frame=labelled, facts=facts, warnings=(warning,) if count else ())


@cache
def _activities() -> tuple[dict[str, str], dict[str, tuple[str, str]], dict[str, str]]:
    """Of each sub-class of both lists its label, the letter and the label of its section, and its list."""
    labels = {**naf.labels(naf.REV2), **naf.labels(naf.NAF25)}
    lists = {code: nomenclature for code in labels if (nomenclature := naf.nomenclature_of(code))}
    sections = {
        code: section for code, nomenclature in lists.items() if (section := naf.section_of(code, nomenclature))
    }
    return labels, sections, dict(lists)


def _label(column: str, labels: dict[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(labels, default=None, return_dtype=pl.String)


def _age(inputs: Inputs) -> pl.Expr:
    """Full years from the creation to the stock; none of a creation after it, or of a slip of the register such as the year 0001."""
    born, today = pl.col("date_creation"), inputs.today
    day = born.dt.month().cast(pl.Int32) * 100 + born.dt.day().cast(pl.Int32)
    not_yet = day > today.month * 100 + today.day
    is_sound = (born.dt.year() >= FIRST_YEAR) & (born <= today)
    return pl.when(is_sound).then(today.year - born.dt.year() - not_yet.cast(pl.Int32))
