"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.units import (
    MAX_BYTES,
    MAX_SECONDS,
    about_duration,
    format_age,
    format_duration,
    format_failures,
    parse_duration,
    parse_failures,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1d", 86400), ("1h0.5m", 3630), (" 5s ", 5),
        (0, 0), (7, 7), (0.25, 0.25), ("366d", 366 * 86400),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 m", "5x", "m", "-5", "1h-5m", "1:30", "５s", "1e3"])
def test_texts_that_are_no_duration(text):
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"`{text}` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`"


@pytest.mark.parametrize("value", [-1, 367 * 86400, "400d", float("nan"), float("inf"), "9" * 400])
def test_durations_out_of_range(value):
    with pytest.raises(ValueError, match="a duration is between 0 and 366 days, not "):
        parse_duration(value)


def test_truth_value_is_no_duration_and_no_size():
    with pytest.raises(ValueError, match="a duration is a number of seconds or a text"):
        parse_duration(True)
    with pytest.raises(ValueError, match="a size is a number of bytes or a text"):
        parse_size(True)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1024", 1024), ("512MB", 512 * 10**6), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("1.5 GB", 1_500_000_000), ("1k", 1000), ("1Ki", 1024),
        ("3b", 3), ("1tib", 1 << 40), (7, 7), (0, 0),
    ],
)  # fmt: skip
def test_sizes(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "big", "5 X", "-1", "1.5.5", "i", "1ib", "1e3"])
def test_texts_that_are_no_size(text):
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert str(caught.value) == f"`{text}` is not a size: write bytes, or `512MB`, `2GiB`"


@pytest.mark.parametrize("value", [-1, 2**60 + 1, "2000000 TiB", f"{9 * 10**307}9MiB"])
def test_sizes_out_of_range(value):
    with pytest.raises(ValueError, match="a size is between 0 and 1 EiB, not "):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0124, "12 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (4.23, "4.2 s"), (59.94, "59.9 s"), (59.96, "1m00s"), (185, "3m05s"),
        (3599.6, "1h00m"), (7620, "2h07m"), (86399, "1d00h"), (90000, "1d01h"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(0, 86400 * 300))
def test_every_whole_number_of_seconds_can_be_written_in_parts(seconds):
    hours, rest = divmod(seconds, 3600)
    assert parse_duration(f"{hours}h{rest // 60}m{rest % 60}s") == seconds
    assert seconds <= MAX_SECONDS


@given(st.integers(0, MAX_BYTES))
def test_every_number_of_bytes_is_itself(count):
    assert parse_size(count) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "<1 s"), (0.99, "<1 s"), (1.0, "1 s"), (59.99, "59 s"), (60, "1m00s"), (3599.9, "59m59s"), (3600, "1h00m"), (90000, "1d01h")],
)  # fmt: skip
def test_ages(seconds, text):
    assert format_age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "about 1 s"), (4.4, "about 4 s"), (89.4, "about 89 s"), (90, "about 2 min"), (240, "about 4 min"), (5399, "about 90 min"),
        (5400, "about 2 h"), (172799, "about 48 h"), (172800, "about 2 days"), (99 * 86400, "about 99 days"), (1e9, "more than 99 days"),
    ],
)  # fmt: skip
def test_guesses(seconds, text):
    assert about_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e12))
def test_a_guess_has_at_most_two_digits(seconds):
    assert sum(char.isdigit() for char in about_duration(seconds)) <= 2


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [(3, 3, "3"), ("3", 3, "3"), ("10%", 0.1, "10%"), (" 0.5 %", 0.005, "0.5%"), ("99.999%", 0.99999, "99.999%"), ("29%", 0.29, "29%")],
)  # fmt: skip
def test_numbers_and_shares_of_failures(text, most, shown):
    found = parse_failures(text)
    assert (type(found), found) == (type(most), pytest.approx(most))
    assert format_failures(found) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0%", "a share of failures is more than 0% and less than 100%, not 0%"),
        ("100%", "a share of failures is more than 0% and less than 100%, not 100%"),
        ("-1%", "`-1%` is not a number of failures: write `3`, or a share such as `10%`"),
        ("ten%", "`ten%` is not a number of failures: write `3`, or a share such as `10%`"),
        ("1e1%", "`1e1%` is not a number of failures: write `3`, or a share such as `10%`"),
        ("", "`` is not a number of failures: write `3`, or a share such as `10%`"),
        (0.1, "`0.1` is not a number of failures: write `3`, or a share such as `10%`"),
        (True, "`True` is not a number of failures: write `3`, or a share such as `10%`"),
        (0, "at least 1 failure stops a run, not 0"),
        ("0", "at least 1 failure stops a run, not 0"),
    ],
)
def test_what_is_no_number_of_failures(text, message):
    with pytest.raises(ValueError) as caught:
        parse_failures(text)
    assert str(caught.value) == message
