"""JSON, strictly."""

from __future__ import annotations

import time

import pytest

from joblot.config.jsontext import locate, parse
from joblot.config.tree import BrokenTextError


def broken(text: str) -> tuple[str, tuple[int, int] | None]:
    with pytest.raises(BrokenTextError) as caught:
        parse(text, [])
    return caught.value.problem.message, caught.value.problem.position


def test_document_and_positions_of_jobs():
    text = '{ "name": "x",\n "jobs" : [\n  {"a": 1} ,\n\n  2,3 ], "z": [] }\n'
    assert parse(text, []) == ({"name": "x", "jobs": [{"a": 1}, 2, 3], "z": []}, [(3, 3), (5, 3), (5, 5)])


@pytest.mark.parametrize("text", ['{"jobs": []}', '{"jobs":[ ]}', " {} ", "[]", "1", '"x"', "null", '{"jobs": 1}'])
def test_small_documents(text):
    import json

    assert parse(text, []) == (json.loads(text), [])


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "a value is missing here", (1, 1)),
        ("{", "a key in double quotes is missing here", (1, 2)),
        ('{"a"}', "a `:` is missing here", (1, 5)),
        ('{"a":}', "a value is missing here", (1, 6)),
        ('{"a":1 "b":2}', "a `,` is missing here", (1, 8)),
        ('{"a":1,\n}', "a comma too many", (1, 7)),
        ('{"jobs":[1,\n2,]}', "a comma too many", (2, 2)),
        ('{"jobs":[{"a":1 ,\n}]}', "a comma too many", (1, 17)),
        ('{"jobs":[1,}', "a comma too many", (1, 11)),
        ('{"jobs":[,]}', "a value is missing here", (1, 10)),
        ('{"jobs":[1\n2]}', "a `,` is missing here", (2, 1)),
        ('{"jobs":[1', "a `,` is missing here", (1, 11)),
        ('{"a": "x', "a text that begins here has no closing quote", (1, 7)),
        ('{"a": "\\q"}', "a text holds an unknown `\\` escape", (1, 8)),
        ('{"a": "\n"}', "a text holds a raw control character", (1, 8)),
        ("{} {}", "the document has ended, but something follows", (1, 4)),
        ("{'a': 1}", "a key in double quotes is missing here", (1, 2)),
    ],
)
def test_r24_malformed_json_has_a_place_and_a_reason(text, message, position):
    """R24."""
    assert broken(text) == (f"not valid JSON: {message}", position)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"jobs":[', '{"jobs":[{"a":'])
def test_i2_deep_nesting_is_one_quick_error(opening):
    """I2."""
    started = time.process_time()
    message, position = broken(opening * (200_000 // len(opening)))
    assert message == "nested deeper than 64 levels"
    assert position is not None
    assert time.process_time() - started < 1


def test_i3_duplicate_keys_at_every_level():
    """I3."""
    problems = []
    text = '{"a": 1, "jobs": [{"x": 1},\n {"y": {"z": 1, "z": 2}}],\n "a": 2}'
    parse(text, problems)
    assert [(found.message, found.position, found.twin) for found in problems] == [
        ("duplicate key `z`", (2, 17), ("jobs", 1, "y", "z")),
        ("duplicate key `a`", (3, 2), ("a",)),
    ]


def test_i6_endless_number_is_a_problem_not_a_value_error():
    """I6."""
    assert broken('{"a":\n ' + "9" * 5000 + "}") == ("a number is too large: whole numbers have 64 bits", (2, 2))


def test_positions_of_keys_and_values():
    text = '{"a": {"b": [10,\n {"c": null}]}}'
    found = locate(text, {"a": {"b": {0: {}, 1: {"c": {}}}, "none": {}}})
    assert found == {
        (): ((1, 1), (1, 1)),
        ("a",): ((1, 2), (1, 7)),
        ("a", "b"): ((1, 8), (1, 13)),
        ("a", "b", 0): ((1, 14), (1, 14)),
        ("a", "b", 1): ((2, 2), (2, 2)),
        ("a", "b", 1, "c"): ((2, 3), (2, 8)),
    }
