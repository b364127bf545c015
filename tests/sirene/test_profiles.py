"""Profiles are data: shipped, copied, changed, checked."""

import datetime as dt

import polars as pl
import pytest

from joblot import ConfigError
from joblot_sirene.jobs import profiles
from joblot_sirene.jobs.profiles import NAMES, load, with_parameters
from joblot_sirene.pipeline import run
from joblot_sirene.register import expressions
from joblot_sirene.register.privacy import MASK, Policy
from joblot_sirene.steps.model import COLUMNS, Inputs
from joblot_sirene.synthetic.sample import establishments, legal_units
from sirene.reference import read_filters

TODAY = dt.date(2026, 11, 20)


@pytest.fixture(scope="module")
def rows():
    return establishments(4000, seed=1).filter(expressions.keeps(read_filters({"naf_include": ["F", "G", "69"]})))


@pytest.fixture(scope="module")
def units():
    return legal_units(4000, seed=1)


def errors(text, name="mine"):
    with pytest.raises(ConfigError) as caught:
        load(name, text=text, file="p.yaml")
    return [(problem.line, problem.message) for problem in caught.value.diagnostics]


def test_r87_profiles_differ_in_steps():
    steps = {name: [call.name for call in load(name).steps] for name in NAMES}
    assert steps == {
        "quick": ["normalise", "identifiers", "duplicates"],
        "standard": ["units", "normalise", "identifiers", "duplicates", "labels", "checks", "score"],
        "deep": [
            "units",
            "normalise",
            "identifiers",
            "duplicates",
            "likeness",
            "labels",
            "coordinates",
            "comparison",
            "history",
            "checks",
            "score",
        ],
    }


def test_r87_a_profile_explains_itself():
    assert load("quick").explain() == [
        "1. normalise: types, zeros, one address line, one name, real dates, department and region",
        "2. identifiers: check SIREN and SIRET (La Poste included), compute VAT numbers (vat: false)",
        "3. duplicates: number repeats, drop rows that repeat a SIRET",
    ]


def test_r88_a_users_own_file_decides():
    mine = load(
        "mine",
        text="mine:\n  description: d\n  steps:\n    - normalise\n    - duplicates: {keys: [siren, adresse]}\n    - score: {freshness: 100}\n",
    )
    assert mine.steps[1].parameters.keys == ("siren", "adresse")
    assert mine.steps[2].parameters.freshness == 100


@pytest.mark.parametrize(
    ("steps", "line", "message"),
    [
        ("[normalize]", 2, "unknown step `normalize`"),
        ("[score]", 2, "the step `score` must come after `normalise`"),
        ("[normalise, normalise]", 2, "the step `normalise` is there twice"),
        ("[normalise, units]", 2, "the step `units` must come first"),
        ("[normalise: {repare: true}]", 2, "`normalise` has no parameter `repare`"),
        ("[normalise: {repair: maybe}]", 2, "`normalise`: expected `bool`, got `str` (at `repair`)"),
        ("[normalise, score: {freshness: -1}]", 2, "`score`: weights must be 0 or more, and one of them more than 0"),
        (
            "[normalise, duplicates: {keys: [telephone]}]",
            2,
            "`duplicates`: `keys` must name columns of the dataset, not `telephone`",
        ),
        ("[3]", 2, "a step is a name, or a name with parameters, not `3`"),
        ("[]", 2, "`mine.steps` must be a list of steps"),
    ],
)
def test_r88_what_means_nothing_is_refused_with_its_line(steps, line, message):
    assert errors(f"mine:\n  steps: {steps}\n") == [(line, message)]


def test_unknown_profiles_and_keys_are_refused():
    assert errors("mine: {steps: [normalise], colour: red}") == [(1, "unknown key `mine.colour`")]
    assert errors("other: {}", "mine") == [(1, "there is no profile `mine`")]
    with pytest.raises(ConfigError) as caught:
        load("fast")
    assert caught.value.diagnostics[0].hint == "profiles: `quick`, `standard`, `deep`"  # R58


def test_r90_a_job_has_its_own_weights_and_targets():
    changed = with_parameters(
        load("standard"), {"score": {"unicity": 0}, "checks": {"kpi_targets": {"with_name": 0.5}}}
    )
    assert changed.steps[-1].parameters.unicity == 0
    assert changed.steps[-1].parameters.contactability == 50
    assert changed.steps[-2].parameters.kpi_targets == {"with_name": 0.5}
    with pytest.raises(ConfigError, match="the profile `quick` has no step `score`"):
        with_parameters(load("quick"), {"score": {"unicity": 0}})


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_makes_a_dataset_of_known_columns(rows, units, name):
    result = run(load(name), [rows], Inputs(today=TODAY, units=units))
    assert result.frame.columns == [column for column in COLUMNS if column in result.frame.columns]
    assert result.counts.kept == result.frame.height > 100
    assert result.counts.excluded == rows.height - result.frame.height
    assert set(result.frame["statut_diffusion"]) == {"O"}
    assert result.frame["siret"].is_sorted()


@pytest.mark.parametrize("name", NAMES)
def test_no_profile_shows_who_must_not_be_shown(rows, units, name):
    planted = rows.with_columns(
        pl.when(pl.col("statutDiffusionEtablissement") == "P")
        .then(pl.lit("PLANTED"))
        .otherwise(pl.col(column))
        .alias(column)
        for column in ("enseigne1Etablissement", "libelleVoieEtablissement", "codePostalEtablissement")
    )
    for policy in (Policy(), Policy(partial_diffusion="mask", person_names=True)):
        result = run(load(name), [planted], Inputs(today=TODAY, units=units, policy=policy))
        assert "PLANTED" not in result.frame.write_csv()
        assert "PLANTED" not in str([(step.facts, step.warnings) for step in result.steps])
        hidden = result.frame.filter(pl.col("statut_diffusion") == "P")
        assert set(hidden["adresse"]) <= {MASK}
        assert hidden.is_empty() == (policy == Policy())


def test_names_of_persons_are_in_no_profile_unless_asked_for(rows, units):
    persons = units.filter(pl.col("categorieJuridiqueUniteLegale") == "1000").select("siren")
    result = run(load("standard"), [rows], Inputs(today=TODAY, units=units))
    assert (
        result.frame.join(persons, on="siren", how="semi")["raison_sociale"].null_count()
        == result.counts.natural_persons
        > 0
    )
    asked = run(load("standard"), [rows], Inputs(today=TODAY, units=units, policy=Policy(person_names=True)))
    assert asked.frame.join(persons, on="siren", how="semi")["raison_sociale"].null_count() == 0


def test_filters_on_the_legal_unit_apply_after_the_join(rows, units):
    chosen = read_filters({"natural_persons": False})
    result = run(load("standard"), [rows], Inputs(today=TODAY, units=units), chosen)
    assert result.counts.natural_persons == 0
    assert 0 < result.frame.height < run(load("standard"), [rows], Inputs(today=TODAY, units=units)).frame.height


@pytest.mark.parametrize("name", NAMES)
def test_d16_no_rows_are_a_dataset_with_the_same_columns(rows, units, name):
    inputs = Inputs(today=TODAY, units=units)
    assert run(load(name), [rows.head(0)], inputs).frame.schema == run(load(name), [rows], inputs).frame.schema


def test_two_runs_give_the_same_dataset(rows, units):
    inputs = Inputs(today=TODAY, units=units)
    assert run(load("deep"), [rows], inputs).frame.equals(run(load("deep"), [rows], inputs).frame)
    assert len(profiles.shipped()) > 500
