"""Openings and closings per year, from the file of the history or from the rows alone."""

import datetime as dt
import json

import polars as pl
import pytest

from joblot_sirene.steps import history
from joblot_sirene.steps.model import Inputs
from joblot_sirene.steps.parameters import History
from joblot_sirene.synthetic.sample import history as sample_history

TODAY = dt.date(2026, 11, 20)
PERIODS = {
    "siret": pl.String,
    "dateDebut": pl.Date,
    "dateFin": pl.Date,
    "etatAdministratifEtablissement": pl.String,
    "changementEtatAdministratifEtablissement": pl.Boolean,
}
ROWS = {"siret": pl.String, "etat": pl.String, "date_creation": pl.Date, "date_debut": pl.Date}


def day(year):
    return None if year is None else dt.date(year, 6, 1)


def periods(*rows):
    return pl.DataFrame(
        [(siret, day(begin), day(end), state, changed) for siret, begin, end, state, changed in rows],
        schema=PERIODS,
        orient="row",
    )


def rows(*places):
    return pl.DataFrame(
        [(siret, state, day(created), day(begun)) for siret, state, created, begun in places], schema=ROWS, orient="row"
    )


def run(frame, found=None, **parameters):
    return history.run(frame, History(**parameters), Inputs(today=TODAY, history=found))


def test_a_place_may_open_and_close_more_than_once():
    found = periods(
        ("1", 2020, None, "F", True),
        ("1", 2015, 2020, "A", True),
        ("1", 2012, 2015, "F", True),
        ("1", 2011, 2012, "A", False),
        ("1", 2010, 2011, "A", False),
    )
    outcome = run(rows(("1", "F", 2010, 2020)), found)
    assert outcome.facts == {
        "from_file": True,
        "rows_without_history": 0,
        "openings": {"2010": 1, "2015": 1},
        "closings": {"2012": 1, "2020": 1},
        "absurd_dates": 0,
        "unknown_dates": 0,
    }
    assert outcome.warnings == ()


def test_rows_stay_as_they_are_and_facts_are_plain_json():
    frame = rows(("1", "A", 2010, 2010), ("2", "F", 2011, 2013))
    outcome = run(frame)
    assert outcome.frame is frame
    assert json.loads(json.dumps(outcome.facts)) == outcome.facts


def test_periods_of_other_places_do_not_count():
    found = periods(("1", 2010, None, "A", False), ("2", 2011, None, "A", False))
    assert run(rows(("1", "A", 2010, 2010)), found).facts["openings"] == {"2010": 1}


@pytest.mark.parametrize(
    "written", ["00032500000017", "32500000017", "32500000017.0", "000 325 000 00017", "00032500000017,00"]
)
@pytest.mark.parametrize("place", ["00032500000017", "32500000017"])
def test_periods_belong_to_the_number_however_it_is_written(written, place):
    made = run(rows((place, "A", 2015, 2015)), periods((written, 2015, None, "A", True), ("1", 2001, None, "A", True)))
    assert (made.facts["openings"], made.facts["rows_without_history"]) == ({"2015": 1}, 0)
    assert made.frame["siret"].to_list() == [place]


def test_a_period_that_is_there_twice_counts_once():
    found = periods(("1", 2010, None, "A", False), ("1", 2010, None, "A", False))
    assert run(rows(("1", "A", 2010, 2010)), found).facts["openings"] == {"2010": 1}


def test_where_the_file_does_not_say_whether_the_state_changed_the_period_before_decides():
    found = periods(("1", 2010, 2012, "A", None), ("1", 2012, 2014, "A", None), ("1", 2014, None, "F", None))
    facts = run(rows(("1", "F", 2010, 2014)), found).facts
    assert (facts["openings"], facts["closings"]) == ({"2010": 1}, {"2014": 1})


def test_a_place_whose_past_was_forgotten_closed_when_its_only_period_began():
    facts = run(rows(("1", "F", None, 1998)), periods(("1", 1998, None, "F", False))).facts
    assert (facts["openings"], facts["closings"]) == ({}, {"1998": 1})


@pytest.mark.parametrize(("year", "absurd"), [(1, 1), (199, 1), (1799, 1), (1800, 0), (2027, 0), (2028, 1), (2925, 1)])
def test_absurd_years_are_counted_apart(year, absurd):
    """The second period is none of the place's beginning, whatever the date of the first."""
    found = periods(("1", year, 2012, "A", False), ("1", 2012, None, "A", False))
    facts = run(rows(("1", "A", 2010, 2012)), found).facts
    assert facts["absurd_dates"] == absurd
    assert facts["openings"] == ({} if absurd else {str(year): 1})


def test_days_that_nobody_knows_are_counted_apart():
    found = periods(("1", None, None, "A", False)).with_columns(dateDebut=pl.lit(dt.date(1900, 1, 1)))
    found = pl.concat([found, periods(("2", None, None, "F", True))])
    facts = run(rows(("1", "A", None, None), ("2", "F", None, None)), found).facts
    assert (facts["unknown_dates"], facts["openings"], facts["closings"]) == (2, {}, {})


def test_rows_that_the_history_does_not_know_are_warned_of():
    outcome = run(rows(("1", "A", 2010, 2010), ("2", "A", 2010, 2010)), periods(("1", 2010, None, "A", False)))
    assert outcome.facts["rows_without_history"] == 1
    assert outcome.warnings == ("1 rows have no period in the history given: is it of the same month?",)


def test_without_the_file_the_rows_tell_what_they_know():
    frame = rows(("1", "A", 2010, 2015), ("2", "F", 2011, 2013), ("3", "F", 2011, 2925), ("4", "A", None, None))
    outcome = run(frame, required=True)
    assert outcome.facts == {
        "from_file": False,
        "openings": {"2010": 1, "2011": 2},
        "closings": {"2013": 1},
        "absurd_dates": 1,
        "unknown_dates": 1,
    }
    assert outcome.warnings == (
        "no file of the history: openings and closings come from the rows themselves, one of each at most",
    )
    assert run(frame).warnings == ()


def test_no_rows_have_no_years():
    for found in (None, periods()):
        facts = run(rows(), found).facts
        assert (facts["openings"], facts["closings"], facts["absurd_dates"]) == ({}, {}, 0)


def test_the_synthetic_history_gives_years_and_absurd_dates():
    found = sample_history(6000, seed=2)
    places = found.select("siret").unique().with_columns(etat=pl.lit("A"), date_creation=None, date_debut=None)
    facts = run(places, found.select(history.NEEDED)).facts
    assert facts["absurd_dates"] > 0
    assert sum(facts["openings"].values()) > sum(facts["closings"].values()) > 0
    assert all(1900 < int(year) <= 2027 for year in (*facts["openings"], *facts["closings"]))
