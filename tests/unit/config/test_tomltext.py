"""TOML, and where things stand in it."""

from __future__ import annotations

import pytest

from joblot.config.tomltext import locate, parse
from joblot.config.tree import BrokenTextError

TEXT = '''\
name = "x" # [no] table
"odd key" = 'v'
a.b.c = 1

[vars]
day = 2026-11-20
text = """
[not] = a table
"""

[[jobs]]
name = "a"
list = [
  1, # one
  {x = 1, y = [2]},
]
[jobs.env]
A = "1"

[[jobs]]
name = "b"
[[jobs.deep]]
k = 1.5
'''


def test_dates_are_texts_and_jobs_have_positions():
    data, positions = parse(TEXT, [])
    assert data["vars"]["day"] == "2026-11-20"
    assert positions == [(11, 1), (20, 1)]


def test_positions_of_keys_and_values():
    wanted = {
        "name": {}, "odd key": {}, "a": {"b": {"c": {}}}, "vars": {"day": {}, "not": {}},
        "jobs": {0: {"list": {0: {}, 1: {"y": {0: {}}}}, "env": {"A": {}}}, 1: {"deep": {0: {"k": {}}}}},
    }  # fmt: skip
    found = locate(TEXT, wanted)
    assert found["name",] == ((1, 1), (1, 8))
    assert found["odd key",] == ((2, 1), (2, 13))
    assert found["a", "b", "c"] == ((3, 1), (3, 9))
    assert found["vars", "day"] == ((6, 1), (6, 7))
    assert ("vars", "not") not in found
    assert found["jobs", 0, "list"] == ((13, 1), (13, 8))
    assert found["jobs", 0, "list", 0] == ((14, 3), (14, 3))
    assert found["jobs", 0, "list", 1, "y", 0] == ((15, 16), (15, 16))
    assert found["jobs", 0, "env", "A"] == ((18, 1), (18, 5))
    assert found["jobs", 1, "deep", 0, "k"] == ((23, 1), (23, 5))


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("a = ", "not valid TOML: invalid value", (1, 5)),
        ("a = 1\na = 2", "not valid TOML: cannot overwrite a value", (2, 6)),
        ("a = [1", "not valid TOML: unclosed array", (1, 7)),
        ("a = 2026-02-30", "not valid TOML: invalid date or datetime", (1, 5)),
        ("a = " + "9" * 5000, "a number is too large: whole numbers have 64 bits", (1, 5)),
        ("a = " + "[" * 100_000, "nested deeper than 64 levels", (1, 69)),
    ],
)
def test_malformed_toml_has_a_place_and_a_reason(text, message, position):
    """R24, I2, I6: the same for TOML."""
    with pytest.raises(BrokenTextError) as caught:
        parse(text, [])
    assert (caught.value.problem.message, caught.value.problem.position) == (message, position)
