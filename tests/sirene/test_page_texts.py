"""The French words of pages: numbers, dates, and a word for everything that the package can name."""

import datetime as dt
from string import Formatter

import polars as pl
import pytest

from joblot_sirene.jobs import profiles
from joblot_sirene.package import page_texts as words
from joblot_sirene.steps import checks, comparison, history, identifiers, model, parameters, units
from joblot_sirene.steps.model import Inputs
from joblot_sirene.synthetic.sample import establishments

TODAY = dt.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0, 0, "0"),
        (999, 0, "999"),
        (1000, 0, "1\u202f000"),
        (16_715_258, 0, "16\u202f715\u202f258"),
        (87.4, 1, "87,4"),
        (98.0, 1, "98"),
        (100.0, 1, "100"),
        (1000.0, 1, "1\u202f000"),
    ],
)
def test_numbers_are_spelt_as_in_french(value, decimals, shown):
    assert words.number(value, decimals) == shown


@pytest.mark.parametrize(
    ("part", "shown"),
    [(0, "0"), (0.0004, "< 0,1"), (0.001, "0,1"), (0.1234, "12,3"), (0.9996, "> 99,9"), (1, "100")],
)
def test_what_is_there_is_never_said_to_be_nothing_nor_all(part, shown):
    assert words.share(part) == f"{shown}\u202f%"


def test_days_are_words():
    assert words.date(dt.date(2026, 11, 1)) == "1er novembre 2026"
    assert words.date(dt.date(2026, 8, 20)) == "20 août 2026"


def test_one_and_many():
    assert words.text("rows", n=0) == "0 établissement"
    assert words.text("rows", n=1) == "1 établissement"
    assert words.text("rows", n=2000) == "2\u202f000 établissements"


def test_everything_that_can_be_named_has_words():
    known = words.table()
    steps = {call.name for name in profiles.NAMES for call in profiles.load(name).steps}
    assert {f"column.{name}" for name in model.COLUMNS} <= set(known)
    assert {f"issue.{key}" for key in (*checks._ISSUES, "creation_in_future")} <= set(known)
    assert {f"kpi.{key}" for key in (*parameters.KPIS, "rows")} <= set(known)
    assert {f"step.{name}" for name in (*profiles.STEPS, *steps)} <= set(known)
    assert {f"part.{name}" for name in parameters.Score.__struct_fields__} <= set(known)
    assert words.label("issue", "something_new") == "something_new"


def test_the_table_is_sound():
    rows = words._rows()
    assert {len(row) for row in rows if row[0] != "warning"} == {2}
    assert {len(row) for row in rows if row[0] == "warning"} == {3}
    assert len(words.table()) == sum(row[0] != "warning" for row in rows)
    for *_, english, french in (row for row in rows if row[0] == "warning"):
        assert names(french) == names(english)
    for key, text in words.table().items():
        assert text == text.strip() or key == "brief.communes"
        one, _, many = text.partition("|")
        assert not many or names(many) == names(one) <= {*names(many)}


def names(template):
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize(
    ("english", "french"),
    [
        (
            "1200 repeated rows differ from the first one, which is kept",
            "1\u202f200 lignes répétées diffèrent de la première, qui est gardée.",
        ),
        (
            "the target `with_name` is missed: 0.557 of 0.9",
            "Objectif manqué : Raison sociale présente (55,7\u202f% pour 90\u202f%).",
        ),
        ("the target `rows` is missed: 3 of 100", "Objectif manqué : Nombre de lignes (3 pour 100)."),
        (
            "the target `with_name` is not quite met or unknown: None of 0.9",
            "Objectif non mesuré : Raison sociale présente (90\u202f% demandé).",
        ),
        (
            "the earlier dataset has no column `naf`: nothing was compared",
            "Le jeu précédent n'a pas de colonne `naf` : rien n'a été comparé.",
        ),
        (
            "no row has the code `4711`: nearest in the file: `62.01Z`",
            "Aucune ligne n'a le code `4711` ; les plus proches dans le fichier : `62.01Z`.",
        ),
        (
            "1200 values of `dateDebut` are not understood: `x` (2)",
            "1\u202f200 valeurs de `dateDebut` ne sont pas comprises : `x` (2).",
        ),
        (
            "2 rows have another number of fields than the header of their file and were put aside: `bad.csv` says which",
            "2 lignes n'ont pas autant de champs que l'en-tête de leur fichier et ont été mises de côté : `bad.csv` dit lesquelles.",
        ),
        (
            "2 dates of creation are absurd, before 1800 or long after the stock: they give no age",
            "2 dates de création sont absurdes, avant 1800 ou bien après le stock : elles ne donnent pas d'âge.",
        ),
        ("something nobody foresaw", None),
    ],
)
def test_warnings_of_steps_are_said_in_french(english, french):
    assert words.warning(english) == french


def test_the_words_of_the_steps_are_those_that_the_table_knows():
    rows = establishments(300, seed=1)
    base = {"code_commune": "1", "naf": "1", "etat": "A", "adresse": "1"}
    dataset = pl.DataFrame([{"siret": "1", "date_creation": TODAY, "date_debut": TODAY, **base}])
    found = dataset.select(
        "siret",
        dateDebut=pl.lit(TODAY),
        dateFin=None,
        etatAdministratifEtablissement=None,
        changementEtatAdministratifEtablissement=None,
    )
    told = [
        units.run(rows, parameters.Units(required=True), Inputs(today=TODAY)),
        units.run(rows, parameters.Units(), Inputs(today=TODAY, units=pl.DataFrame({"siren": ["1"]}))),
        comparison.run(dataset, parameters.Comparison(required=True), Inputs(today=TODAY)),
        comparison.run(dataset, parameters.Comparison(), Inputs(today=TODAY, earlier=dataset.drop("naf"))),
        history.run(dataset, parameters.History(required=True), Inputs(today=TODAY)),
        history.run(dataset, parameters.History(), Inputs(today=TODAY, history=found.clear())),
        checks.run(dataset, parameters.Checks(minimum_rows=2, kpi_targets={"with_name": 1}), Inputs(today=TODAY)),
    ]
    told.append(
        identifiers.run(dataset.with_columns(siren="siret"), parameters.Identifiers(vat=False), Inputs(today=TODAY))
    )
    warnings = [warning for outcome in told for warning in outcome.warnings]
    assert len(warnings) == 9
    assert [warning for warning in warnings if words.warning(warning) is None] == []
