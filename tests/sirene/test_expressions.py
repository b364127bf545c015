"""Rules over whole columns are the rules of single rows."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joblot_sirene.register import expressions, identifiers, naf
from joblot_sirene.register.layout import COLUMNS
from sirene import reference

CODES = ["69.20Z", "69.20Y", "69.12", "52.4Y", "43.29A", "43.23Y", "", None]
ROWS = st.fixed_dictionaries(
    {
        "activitePrincipaleEtablissement": st.sampled_from(CODES),
        "nomenclatureActivitePrincipaleEtablissement": st.sampled_from(
            ["NAFRev2", "NAF2025", "NAP", "NAF1993", "", None]
        ),
        "activitePrincipaleNAF25Etablissement": st.sampled_from(["69.20Y", "43.23Y", None]),
        "etatAdministratifEtablissement": st.sampled_from(["A", "F", None]),
        "codeCommuneEtablissement": st.sampled_from(
            ["75108", "35238", "2A004", "97411", "99138", "1004", "1004.0", "", None]
        ),
        "codePostalEtablissement": st.sampled_from(["75008", "35000", "20190", "20200", "97133", "4000", "[ND]", None]),
        "trancheEffectifsEtablissement": st.sampled_from(["NN", "00", "11", "53", "[ND]", None]),
        "dateCreationEtablissement": st.sampled_from(
            [dt.date(1900, 1, 1), dt.date(2015, 6, 1), dt.date(2025, 1, 1), None]
        ),
        "etablissementSiege": st.sampled_from([True, False, None]),
        "caractereEmployeurEtablissement": st.sampled_from(["O", "N", None]),
        "libellePaysEtrangerEtablissement": st.sampled_from([None, "", "BELGIQUE"]),
        "categorieJuridiqueUniteLegale": st.sampled_from(["1000", "5710", "5499", None]),
    }
)
TREES = st.fixed_dictionaries(
    {},
    optional={
        "naf_include": st.lists(st.sampled_from(["69", "69.20Z", "69.20Y", "43", "F", "52"]), max_size=3),
        "naf_exclude": st.lists(st.sampled_from(["69.20Z", "43.29A", "F"]), max_size=2),
        "active_only": st.booleans(),
        "regions": st.lists(st.sampled_from(["Bretagne", "75", "Corse"]), max_size=2),
        "departments": st.lists(st.sampled_from(["35", "2B", "974", "977", "01", "04", "10"]), max_size=2),
        "communes": st.lists(st.sampled_from(["75056", "35238", "01004"]), max_size=1),
        "postal_prefixes": st.lists(st.sampled_from(["20", "971", "04"]), max_size=1),
        "headcount": st.sampled_from([["11"], {"min": 1}, {"min": 10, "max": 100}]),
        "created": st.sampled_from([{"from": 2015}, {"to": 2020}, {"from": 2010, "to": 2016}]),
        "head_office_only": st.booleans(),
        "employers_only": st.booleans(),
        "legal_forms": st.lists(st.sampled_from(["57", "1", "5499"]), max_size=2),
        "natural_persons": st.booleans(),
    },
)
TYPES = {"dateCreationEtablissement": pl.Date, "etablissementSiege": pl.Boolean}


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=20), TREES)
def test_r86_filters_in_bulk_keep_what_the_reference_keeps(rows, tree):
    chosen = reference.read_filters(tree)
    frame = pl.DataFrame(rows, schema={name: TYPES.get(name, pl.String) for name in rows[0]})
    assert frame.select(kept=expressions.keeps(chosen)).to_series().to_list() in (
        [reference.keeps(row, chosen) for row in rows],
        [True],
    )


@settings(deadline=None)
@given(st.lists(st.text("0123456789A", max_size=15), min_size=1))
def test_numbers_are_checked_as_python_stdnum_does(texts):
    frame = pl.DataFrame({"t": [*texts, "35600000000048", "35600000049837", "73282932000074", "732829320"]})
    found = frame.select(siren=expressions.siren_valid(pl.col("t")), siret=expressions.siret_valid(pl.col("t")))
    assert found["siren"].to_list() == [identifiers.siren_valid(text) for text in frame["t"]]
    assert found["siret"].to_list() == [identifiers.siret_valid(text) for text in frame["t"]]


@settings(deadline=None)
@given(st.integers(0, 10**8 - 1), st.integers(0, 9999), st.booleans())
def test_exactly_the_right_last_digits_pass(prefix, order, of_la_poste):
    [siren] = [number for last in range(10) if identifiers.siren_valid(number := f"{prefix:08d}{last}")] or [
        "732829320"
    ]
    texts = [f"{identifiers.LA_POSTE if of_la_poste else siren}{order:04d}{last}" for last in range(10)]
    found = pl.DataFrame({"t": texts}).select(expressions.siret_valid(pl.col("t"))).to_series().to_list()
    assert found == [identifiers.siret_valid(text) for text in texts]
    assert any(found)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["75108", "2A004", "2a004", "20004", "97411", "98727", "99138", "01053", "96001", "[ND]", "", None]
            ),
            st.from_regex(r"\A[0-9]{5}\Z") | st.sampled_from(["20200", "97133", "97150", "98000", "[ND]", None]),
        ),
        min_size=1,
    )
)
def test_departments_are_the_same(places):
    frame = pl.DataFrame(
        {"c": [c for c, _ in places], "p": [p for _, p in places]}, schema={"c": pl.String, "p": pl.String}
    )
    found = frame.select(expressions.department(pl.col("c"), pl.col("p"), pl.lit(value=False))).to_series().to_list()
    assert found == [identifiers.department(c, p) for c, p in places]


@given(st.lists(st.tuples(st.floats(100_000, 1_250_000), st.floats(6_000_000, 7_200_000)), min_size=1, max_size=50))
def test_places_are_the_same(points):
    frame = pl.DataFrame(points, schema=["x", "y"], orient="row")
    longitude, latitude = expressions.lambert93(pl.col("x"), pl.col("y"))
    for found, point in zip(frame.select(a=longitude, b=latitude).rows(), points, strict=True):
        assert found == pytest.approx(tuple(identifiers.lambert93(*point)), abs=1e-7)


def test_the_projection_is_a_short_expression():
    """Written with its last round twice in each round it was ten times as long, and a small dataset's dearest part."""
    for degrees in expressions.lambert93(pl.col("x"), pl.col("y")):
        assert len(str(degrees)) < 3000


def test_the_vat_number_has_the_key_of_the_siren():
    frame = pl.DataFrame({"s": ["356000000", "732829320", "x", None]})
    assert frame.select(expressions.vat_number(pl.col("s"))).to_series().to_list() == [
        "FR39356000000",
        "FR44732829320",
        None,
        None,
    ]


def test_matching_needs_no_other_column_than_its_rule():
    frame = pl.DataFrame(
        {
            "activitePrincipaleEtablissement": ["69.20Z", None],
            "nomenclatureActivitePrincipaleEtablissement": ["NAFRev2", None],
        }
    )
    assert frame.select(expressions.matches(naf.parse_code("69"))).to_series().to_list() == [True, False]
    assert set(frame.columns) <= set(COLUMNS)
