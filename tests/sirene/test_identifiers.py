"""Numbers that identify, and places."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot_sirene.register import code_lists
from joblot_sirene.register.identifiers import (
    coordinates,
    department,
    lambert93,
    repair_siren,
    repair_siret,
    siren_valid,
    siret_valid,
    utm,
)


def test_luhn_holds_for_both_numbers():
    assert siren_valid("732829320")
    assert siret_valid("73282932000074")
    assert not siren_valid("732829321")
    assert not siret_valid("73282932000075")
    assert not siren_valid("73282932")
    assert not siren_valid("٧٣٢٨٢٩٣٢٠")


def test_la_poste_has_its_own_rule():
    assert siret_valid("35600000000048")  # the head office passes Luhn
    assert siret_valid("35600000049837")  # a post office: the digits sum up to a multiple of 5
    assert not siret_valid("35600000049838")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("000325175", ("000325175", "ok")),
        ("325175", ("000325175", "repaired")),
        ("325175.0", ("000325175", "repaired")),
        ("732 829 320", ("732829320", "repaired")),
        ("732829321", ("732829321", "invalid")),
        ("7.328E+08", ("7.328E+08", "invalid")),
        ("0", ("0", "invalid")),
        ("", (None, "missing")),
        (None, (None, "missing")),
    ],
)
def test_a_number_that_a_spreadsheet_changed_is_mended_with_a_flag(text, expected):
    assert repair_siren(text) == expected


def test_lost_digits_never_come_back():
    assert repair_siret("5.542e13") == ("5.542e13", "invalid")
    assert repair_siret("32517500016") == ("00032517500016", "repaired")


@pytest.mark.parametrize(
    ("commune", "post", "expected"),
    [
        ("35238", None, "35"),
        ("2A004", "20000", "2A"),
        ("97411", None, "974"),
        ("98727", "98770", "987"),
        ("99138", "98000", None),  # Monaco
        (None, "35000", "35"),
        (None, "20190", "2A"),
        (None, "20200", "2B"),
        (None, "97133", "977"),
        (None, "97150", "978"),
        (None, "97110", "971"),
        (None, "97500", "975"),
        (None, "98000", None),
        (None, "[ND]", None),
        (None, "4000", "04"),  # a spreadsheet took the zero
        (None, "96000", None),
        (None, None, None),
        ("01053", "69001", "01"),  # the commune wins over the post
    ],
)
def test_the_department_comes_from_the_commune(commune, post, expected):
    assert department(commune, post) == expected


def test_every_department_has_a_name_and_a_region():
    assert len(code_lists.REGIONS) == 18
    assert len(code_lists.REGION_OF) == 101
    assert set(code_lists.REGION_OF) <= set(code_lists.DEPARTMENTS)
    assert code_lists.region_of("2A") == "Corse"
    assert code_lists.region_of("975") is None


def test_the_origin_of_lambert_93_is_where_it_is_defined():
    place = lambert93(700_000, 6_600_000)
    assert place == pytest.approx((3, 46.5), abs=1e-8)


def test_notre_dame_is_in_paris():
    assert lambert93(652_469.02, 6_862_035.26) == pytest.approx((2.3522, 48.8566), abs=1e-6)


def forward(longitude, latitude):
    """Lambert-93 from its parallels (44 and 49 degrees), by the textbook's direct formula: not the one under test."""
    e = 0.08181919104281579

    def iso(phi):
        return math.atanh(math.sin(phi)) - e * math.atanh(e * math.sin(phi))

    def big_n(phi):
        return 6378137.0 / math.sqrt(1 - (e * math.sin(phi)) ** 2)

    p1, p2 = math.radians(44), math.radians(49)
    n = math.log(big_n(p2) * math.cos(p2) / (big_n(p1) * math.cos(p1))) / (iso(p1) - iso(p2))
    c = big_n(p1) * math.cos(p1) / n * math.exp(n * iso(p1))
    y0 = 6_600_000 + c * math.exp(-n * iso(math.radians(46.5)))
    r, angle = c * math.exp(-n * iso(math.radians(latitude))), n * math.radians(longitude - 3)
    return 700_000 + r * math.sin(angle), y0 - r * math.cos(angle)


@given(st.floats(-5, 9.5), st.floats(41.3, 51))
def test_lambert_there_and_back_is_the_same_place(longitude, latitude):
    assert lambert93(*forward(longitude, latitude)) == pytest.approx((longitude, latitude), abs=1e-7)


def test_utm_has_its_central_meridian_and_known_points():
    assert utm(500_000, 0, 31, south=False) == pytest.approx((3, 0), abs=1e-9)
    assert utm(500_000, 10_000_000, 40, south=True) == pytest.approx((57, 0), abs=1e-9)
    north = utm(500_000, 4_982_950.40, 31, south=False)  # a quarter of the meridian at 45 degrees, times 0.9996
    assert north == pytest.approx((3, 45), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "dep", "found", "outside"),
    [
        ("652469.02", "6862035.26", "75", True, False),
        ("652469.02", "6862035.26", "2A", False, True),  # not in Corsica
        ("[ND]", "[ND]", "75", False, False),
        (None, None, "75", False, False),
        ("", "6862035.26", "75", False, False),
        ("1", "2", "75", False, True),
        ("338000", "7692000", "974", True, False),
        ("652469.02", "6862035.26", "974", False, True),
        ("652469.02", "6862035.26", "987", False, False),  # in which of its zones, nobody says
        ("652469.02", "6862035.26", "988", False, True),
    ],
)
def test_a_place_outside_its_territory_is_not_shown(x, y, dep, found, outside):
    place, amiss = coordinates(x, y, dep)
    assert (place is not None, amiss) == (found, outside)
