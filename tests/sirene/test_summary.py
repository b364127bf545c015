"""A dataset in numbers: every figure is a count of rows, and a column that is not there is nobody's fault."""

import datetime as dt

import polars as pl
import pytest

from joblot_sirene.package import summary
from joblot_sirene.package.summary import Cell, Count
from joblot_sirene.register.privacy import MASK

NOTHING = pl.DataFrame({"siret": ["1"]})


def rows(**columns):
    return pl.DataFrame(columns)


def test_a_share_is_of_the_rows_that_have_a_value():
    assert summary.share(rows(etat=["A", "F", None, "A"]), "etat", "A") == pytest.approx(2 / 3)
    assert summary.share(rows(etat=pl.Series([None], dtype=pl.String)), "etat", "A") is None
    assert summary.share(NOTHING, "etat", "A") is None


def test_the_most_frequent_departments_come_first_and_ties_by_code():
    frame = rows(departement=["75", "2A", "2A", "01", "01", None, "987"])
    found = summary.departments(frame, 3)
    assert found.top == [Count("01", "Ain", 2), Count("2A", "Corse-du-Sud", 2), Count("75", "Paris", 1)]
    assert (found.other_values, found.other_rows, found.unknown) == (1, 1, 1)
    assert summary.departments(NOTHING, 3) is None


def test_a_commune_has_one_name_even_when_rows_spell_it_in_two_ways():
    frame = rows(code_commune=["75108", "75108", "01001", None], commune=["PARIS 8E", "PARIS 8", MASK, "BERNE"])
    assert summary.communes(frame, 5).top == [Count("75108", "PARIS 8", 2), Count("01001", "", 1)]


def test_headcounts_are_in_the_order_of_the_bands_with_the_unknown_last():
    frame = rows(tranche_effectifs=["12", "NN", None, "01", "??"])
    found = summary.headcounts(frame)
    assert [(count.code, count.rows) for count in found] == [("NN", 1), ("01", 1), ("12", 1), ("", 2)]
    assert summary.headcounts(NOTHING) == []


def test_legal_forms_are_told_at_two_digits():
    found = summary.legal_forms(rows(forme_juridique=["5710", "5720", "1000", None]), 5)
    assert [(count.code, count.rows) for count in found.top] == [("57", 2), ("10", 1)]
    assert found.unknown == 1
    assert summary.legal_forms(rows(forme_juridique=pl.Series([None], dtype=pl.String)), 5) is None


def test_activities_of_both_lists_have_their_labels():
    found = summary.activities(rows(naf=["69.20Z", "69.20Y", "52.4Y"]), 5)
    assert [bool(count.name) for count in found.top] == [False, True, True]


def test_years_have_no_gaps_and_absurd_ones_are_unknown():
    years = [2020, 2023, 2023, 1999, 1799, 2925, None]
    frame = rows(date_creation=[None if year is None else dt.date(year, 2, 3) for year in years])
    found = summary.creations(frame, 2027, 5)
    assert found.by_year == {2019: 0, 2020: 1, 2021: 0, 2022: 0, 2023: 2}
    assert (found.earlier, found.unknown) == (1, 3)
    assert summary.creations(NOTHING, 2027, 5) is None


def test_the_newest_change_tells_how_far_years_can_go():
    assert summary.newest(rows(date_traitement=[dt.date(2025, 1, 2), None])) == dt.date(2025, 1, 2)
    assert summary.newest(rows(date_traitement=pl.Series([None], dtype=pl.Date))) is None
    assert summary.newest(NOTHING) is None


def test_ages_are_bands_and_those_not_yet_born_are_in_none():
    found = summary.ages(rows(age_annees=[0, 2, 31, 99, -1, None]))
    assert [count for _, _, count in found] == [1, 1, 0, 0, 0, 0, 2]
    assert found[0][:2] == (0, 0)
    assert found[-1][:2] == (31, None)


def test_scores_are_tens_and_a_hundred_is_in_the_last():
    assert summary.scores(rows(score=[0.0, 9.9, 10.0, 100.0, None])) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert summary.scores(NOTHING) == []


def test_a_masked_value_fills_nothing():
    assert summary.filled(rows(adresse=["a", MASK, None, "b"], x=[1, 2, 3, None])) == {"adresse": 0.5, "x": 0.75}
    assert summary.filled(NOTHING.clear()) == {}


class TestPlaces:
    def frame(self, *places):
        return pl.DataFrame(
            places,
            schema={"longitude": pl.Float64, "latitude": pl.Float64, "departement": pl.String, "commune": pl.String},
            orient="row",
        )

    def test_neighbours_are_one_cell_and_nobody_is_told_more_exactly(self):
        near = [(2.34 + step / 10_000, 48.86, "75", "PARIS 1") for step in range(6)]
        found = summary.locations(self.frame(*near, (5.38, 43.30, "13", "MARSEILLE")), 5)
        assert [cell.rows for cell in found.cells] == [1, 6]
        steps = [(cell.x / (summary.CELL_KM / 2), cell.y / summary._ROW_KM) for cell in found.cells]
        assert all(number == pytest.approx(round(number), abs=1e-6) for pair in steps for number in pair)

    def test_a_commune_is_named_without_its_district_when_it_has_enough_rows(self):
        near = [(2.34, 48.86, "75", f"PARIS {number}") for number in range(1, 7)]
        found = summary.locations(self.frame(*near, (5.38, 43.30, "13", "MARSEILLE")), 5)
        assert [name for _, _, name in found.towns] == ["PARIS"]

    def test_names_do_not_stand_upon_each_other(self):
        near = [(2.34, 48.86, "75", "PARIS")] * 7 + [(2.36, 48.93, "93", "SAINT-DENIS")] * 6
        assert [name for _, _, name in summary.locations(self.frame(*near), 5).towns] == ["PARIS"]

    def test_overseas_and_unknown_places_are_counted_apart(self):
        found = summary.locations(
            self.frame(
                (55.45, -20.88, "974", "SAINT-DENIS"), (None, None, "75", "PARIS"), (9.1, 42.0, "2A", "AJACCIO")
            ),
            5,
        )
        assert (len(found.cells), found.elsewhere, found.unknown) == (1, 1, 1)
        assert isinstance(found.cells[0], Cell)

    def test_without_coordinates_there_is_no_map(self):
        assert summary.locations(NOTHING, 5) is None
        assert summary.locations(self.frame((None, None, "75", "PARIS")), 5) is None
