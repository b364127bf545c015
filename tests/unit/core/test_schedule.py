"""Due times, and what becomes of those that have come: everything by arguments, no clock is read."""

from datetime import UTC, datetime

import pytest

from joblot.clock import iso_in, offset_at
from joblot.core.model import Schedule
from joblot.core.schedule import MOST_MISSED, Verdict, due, due_times, fault_of
from torture.schedule_zones import differences

PARIS = "Europe/Paris"
DAY = 86_400


def at(text, zone="UTC"):
    there = datetime.fromisoformat(text)
    assert zone == "UTC"
    return int(there.replace(tzinfo=UTC).timestamp())


def times(cron, begin, end, zone="UTC"):
    crons = (cron,) if isinstance(cron, str) else cron
    return [iso_in(t, zone) for t in due_times(Schedule(crons), offset_at(zone), at(begin) - 1, at(end))]


def test_what_a_change_of_the_clock_leaves_out_is_due_at_the_change_and_what_it_brings_twice_once():
    assert times("30 2 * * *", "2026-03-28", "2026-03-30", PARIS) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]
    assert times("30 2 * * *", "2026-10-24T12:00", "2026-10-25T12:00", PARIS) == ["2026-10-25T02:30:00+02:00"]


def test_what_is_due_more_often_than_hourly_goes_by_the_clock():
    found = times("*/30 * * * *", "2026-10-25T00:00", "2026-10-25T01:30", PARIS)
    assert [one[11:] for one in found] == ["02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00"]
    assert len(times("*/30 * * * *", "2026-03-29T00:00", "2026-03-29T01:30", PARIS)) == 4


def test_a_nightly_batch_has_one_due_time_a_day_in_a_zone_with_summer_time():
    found = times("30 2 * * *", "2020-01-01", "2035-12-31", PARIS)
    assert len(found) == len({one[:10] for one in found}) == (datetime(2035, 12, 31) - datetime(2020, 1, 1)).days


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Antarctica/Troll", "Antarctica/Casey", "Africa/Casablanca"])
def test_the_oracle_has_the_same_due_times(zone):
    """All zones over sixteen years are a campaign. In Casey clocks were changed by three hours, which is a correction."""
    assert differences(zone, 2022, 2022) == []


def test_several_expressions_are_due_together_once():
    assert times(("0 6 * * *", "0 */6 * * *"), "2026-11-20", "2026-11-20T23:59") == [
        f"2026-11-20T{hour}:00:00+00:00" for hour in ("00", "06", "12", "18")
    ]


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("30 2 * * *", ""),
        ("0 0 29 2 *", ""),
        ("0 0 * 2 MON#5", ""),
        ("0 0 L * *", ""),
        ("30 2 * *", "it has not five fields"),
        ("0 30 2 * * *", "it has not five fields"),
        ("60 * * * *", "the minute is wrong"),
        ("* 24 * * *", "the hour is wrong"),
        ("0 0 30 2 *", "the day-of-month is wrong"),
        ("0 0 * 13 *", "the month is wrong"),
        ("0 0 * * 8", "the day-of-week is wrong"),
        ("*/0 * * * *", "the minute is wrong"),
    ],
)
def test_an_expression_that_means_no_time_is_told(cron, fault):
    assert fault_of(cron) == fault


def test_due_times_end_with_the_calendar():
    assert list(due_times(Schedule(("0 0 1 1 *",)), offset_at("UTC"), 10**15)) == []
    assert len(list(due_times(Schedule(("0 0 1 1 *",)), offset_at(PARIS), at("2026-01-02")))) == 50


NOW = at("2026-11-20T12:00:30")
HOURLY = ("0 * * * *",)


def decided(now=NOW, last=NOW - 6 * 3600, cron=HOURLY, **options):
    return due(Schedule(cron, **options), offset_at("UTC"), last, now)


def hours(*of_day):
    return [at(f"2026-11-20T{hour:02d}:00") for hour in of_day]


def test_what_is_due_now_is_started():
    (noon,) = hours(12)
    for missed in ("once", "all", "skip"):
        assert decided(last=NOW - 3600, missed=missed) == [Verdict("start", noon, noon)]
    assert decided(last=noon) == []
    assert decided(now=noon - 1, last=NOW - 3600) == []


def test_all_that_was_missed_has_one_run():
    seven, eleven, noon = hours(7, 11, 12)
    assert decided() == [Verdict("merged", seven, eleven, 5, into=noon), Verdict("start", noon, noon)]
    ten = hours(10)[0]
    late = [Verdict("merged", seven, ten, 4, into=eleven), Verdict("start", eleven, eleven)]
    assert decided(now=NOW - 60 * 31) == late


def test_each_that_was_missed_has_a_run_and_the_oldest_comes_first():
    seven, eight = hours(7, 8)
    assert decided(missed="all") == [Verdict("start", seven, seven)]
    assert decided(missed="all", last=seven) == [Verdict("start", eight, eight)]


def test_what_was_missed_has_none():
    seven, eleven, noon = hours(7, 11, 12)
    assert decided(missed="skip") == [Verdict("missed", seven, eleven, 5), Verdict("start", noon, noon)]
    assert decided(missed="skip", now=NOW - 60 * 31) == [Verdict("missed", seven, eleven, 5)]


def test_a_run_that_would_begin_a_minute_late_has_missed_its_time():
    (noon,) = hours(12)
    assert decided(now=noon + 59, last=noon - 1, missed="skip") == [Verdict("start", noon, noon)]
    assert decided(now=noon + 60, last=noon - 1, missed="skip") == [Verdict("missed", noon, noon)]


def test_what_is_longer_ago_than_within_is_not_made_up_for():
    seven, nine, ten, eleven, noon = hours(7, 9, 10, 11, 12)
    old = Verdict("missed", seven, nine, 3)
    assert decided(within_s=2.5 * 3600) == [
        old,
        Verdict("merged", ten, eleven, 2, into=noon),
        Verdict("start", noon, noon),
    ]
    assert decided(within_s=2.5 * 3600, missed="all") == [old, Verdict("start", ten, ten)]


def test_ten_years_are_a_few_verdicts(calls):
    """The newest thousand are told apart; of the others it is said that they are more, and none is looked at."""
    years = 10 * 366 * DAY
    first = (NOW - years) // 60 * 60
    assert calls(lambda: decided(last=NOW - years, cron=("* * * * *",))) < 2_000_000
    missed, merged, started = decided(last=NOW - years, cron=("* * * * *",))
    assert (missed.fate, missed.first, missed.count, missed.more) == ("missed", first + 60, MOST_MISSED, True)
    assert (merged.count, merged.more, merged.into) == (MOST_MISSED, True, started.first)
    assert merged.first == missed.last + 60
    assert merged.last == started.first - 60
    missed, started = decided(last=NOW - years, cron=("* * * * *",), missed="all", within_s=float(years))
    assert (missed.last, missed.more, started.first) == (started.first - 60, True, at("2026-11-19T19:20") + 60)


def test_verdicts_follow_each_other_without_a_gap():
    """Every due time since the last one is in one verdict, or comes later."""
    for cron in (HOURLY, ("*/7 * * * *",), ("30 2 * * *", "15 3 * * 1")):
        for missed in ("once", "all", "skip"):
            for days in (0.1, 1, 3, 40):
                last = NOW - days * DAY
                expected = list(due_times(Schedule(cron), offset_at(PARIS), last, NOW))
                found = due(Schedule(cron, missed=missed), offset_at(PARIS), last, NOW)
                spans = [(one.first, one.last) for one in found]
                covered = [t for t in expected if any(low <= t <= high for low, high in spans)]
                rest = expected[len(covered) :]
                assert covered == expected[: len(covered)]
                assert missed == "all" or not rest
                assert all(first in expected and last in expected for first, last in spans)
