"""Rows as text: read back as they were, plain, and nothing in it is a formula."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.reports.table import table_text


def written(rows, columns, delimiter="\t"):
    return b"".join(table_text([[row.get(name) for name in columns] for row in rows], columns, delimiter)).decode()


def test_a_header_and_a_line_for_each_row():
    assert written([{"a": "x", "b": 1}, {"a": "y"}], ["a", "b"]) == "a\tb\nx\t1\ny\t\n"
    assert written([{"a": "x", "b": 1}], ["a", "b"], ",") == "a,b\nx,1\n"
    assert written([], ["a"]) == "a\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (0, "0"), (-3, "-3"), (0.5, "0.5"), (2.0, "2"), (0.000001, "0.000001"), (-0.25, "-0.25"), (1e20, "1e+20"),
        (datetime(2026, 11, 29, 1, 2, 3, 456789, UTC), "2026-11-29T01:02:03.456Z"),
        (datetime(2026, 11, 29, 1, 2, 3, tzinfo=timezone(timedelta(hours=1))), "2026-11-29T00:02:03.000Z"),
        (["a", 1], '"[""a"",1]"'), ({"k": None}, '"{""k"":null}"'),
        ("a b", "a b"), ("a,b", "a,b"), ("a\tb", '"a\tb"'), ('a"b', '"a""b"'), ("a\nb", '"a\nb"'), ("a\rb", '"a\rb"'),
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-x", "'-x"), ("@x", "'@x"), ("\t=x", "\"'\t=x\""), ("'x", "'x"), ("", ""),
    ],
)  # fmt: skip
def test_a_value(value, text):
    assert written([{"a": value, "b": "."}], ["a", "b"]) == f"a\tb\n{text}\t.\n"


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("\t\r\n,;\"'=")), min_size=2, max_size=2), max_size=3), st.sampled_from("\t,;"))  # fmt: skip
def test_texts_are_read_back_as_they_were(rows, delimiter):
    text = written([dict(zip("ab", row, strict=True)) for row in rows], ["a", "b"], delimiter)
    read = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))[1:]
    plain = [[re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", cell) for cell in row] for row in rows]
    assert read == [[f"'{cell}" if cell[:1] in tuple("=+-@\t\r") else cell for cell in row] for row in plain]


def test_many_rows_come_in_pieces():
    pieces = list(table_text(([number] for number in range(2500)), ["a"], ","))
    assert len(pieces) == 3
    assert b"".join(pieces) == b"a\n" + b"".join(b"%d\n" % number for number in range(2500))
