"""Labels beside codes, in French as the register has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from joblot_sirene.register import code_lists, naf
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from joblot_sirene.steps.parameters import Labels


def run(frame: pl.DataFrame, parameters: Labels, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Add labels of activities, sections, legal forms, headcounts and departments, and the age in full years."""
    labels = {**naf.labels(naf.REV2), **naf.labels(naf.NAF25)}
    sections = {
        code: section
        for code in labels
        if (nomenclature := naf.nomenclature_of(code)) and (section := naf.section_of(code, nomenclature))
    }
    form = pl.col("forme_juridique")
    labelled = frame.with_columns(
        naf_libelle=_label("naf", labels),
        naf_2025_libelle=_label("naf_2025", labels),
        section=_label("naf", {code: letter for code, (letter, _) in sections.items()}),
        section_libelle=_label("naf", {code: text for code, (_, text) in sections.items()}),
        forme_juridique_libelle=form.str.slice(0, 2).replace_strict(
            code_lists.LEGAL_FORMS, default=form.str.slice(0, 1).replace_strict(code_lists.LEGAL_FORMS, default=None)
        ),
        effectifs_libelle=_label(
            "tranche_effectifs", {band: text for band, (_, _, text) in code_lists.HEADCOUNTS.items()}
        ),
        departement_nom=_label("departement", dict(code_lists.DEPARTMENTS)),
        age_annees=_age(inputs),
    )
    unknown = labelled.select((pl.col("naf").is_not_null() & pl.col("naf_libelle").is_null()).sum()).item()
    return Outcome(frame=labelled, facts={"codes_without_label": unknown})


def _label(column: str, labels: dict[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(labels, default=None, return_dtype=pl.String)


def _age(inputs: Inputs) -> pl.Expr:
    born, today = pl.col("date_creation"), inputs.today
    day = born.dt.month().cast(pl.Int32) * 100 + born.dt.day().cast(pl.Int32)
    not_yet = day > today.month * 100 + today.day
    return today.year - born.dt.year() - not_yet.cast(pl.Int32)
