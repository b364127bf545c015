"""Files of other packages: read as batch files are, and everything that is wrong with them has its place."""

from __future__ import annotations

import pytest

from joblot import ConfigError, Document


def refused(text: str, **options: str) -> list[str]:
    """The heads of all that is wrong with a text, and the hints."""
    with pytest.raises(ConfigError) as caught:
        Document.parse(text, **{"file": "shop.yaml", **options}).raise_problems()
    return [f"{found.head()} / {found.hint}".removesuffix(" / ") for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2", "2:2: error: not valid YAML: did not find expected ',' or ']' / a `[` is left open"),
        ("a: 1\na: 2", "2:1: error: duplicate key `a` (first on line 1)"),
        ("1: a", '1:1: error: key `1` is not a text / write `"1"`'),
        ("? [1]\n: 2", "1:5: error: a key is not a text / a key is a text"),
        ("a: &x [*x]", "1:8: error: alias `*x` stands inside the value that it names"),
        ("a: 1\n---\nb: 1", "2:1: error: a second document begins here: a file holds one"),
        ("a: !x 1", "1:4: error: unknown tag `!x` / a file needs no tags: remove it"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "3:3: error: merge key `<<` is not part of YAML 1.2 / write the keys themselves"),
        ('a: "\\a"', "1:4: error: a text holds a control character (U+0007)"),
        ('"\\a": 1', "1:1: error: key `\\x07` holds a control character"),
        ("a: 9223372036854775808", "1:4: error: a number is too large: whole numbers have 64 bits / quote it if a text is meant"),
        ("a: " + "[" * 64, "1:67: error: nested deeper than 64 levels"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(text, said):
    assert refused(text) == [f"shop.yaml:{said}"]


def test_a_text_is_no_larger_than_a_batch_file():
    assert refused("#" * (16 << 20) + "\n") == ["shop.yaml: error: larger than 16 MiB"]


def test_the_rules_are_those_of_yaml_1_2():
    text = "\ufeffa: true\nb: null\nc: 01.10\nd: '1'\ne: 1.50\nf: 2020-01-01\ng: yes\nh: -3\ni: +3\nj: 1e3\n"
    assert Document.parse(text).data == {
        "a": True, "b": None, "c": "01.10", "d": "1", "e": 1.5, "f": "2020-01-01", "g": "yes", "h": -3, "i": "+3", "j": 1000.0,
    }  # fmt: skip
    assert Document.parse("").data is None


def test_a_value_is_there_as_it_was_typed():
    document = Document.parse("codes: [01.10, 43.20, 1e3, yes, True, ~, [x]]\nname: 6920\n")
    typed = [document.written(("codes", number)) for number in range(8)]
    assert typed == ["01.10", "43.20", "1e3", "yes", "True", None, None, None]
    assert document.written(["name"]) == "6920"
    assert document.written(["nome"]) is None
    assert document.written(["name", 0]) is None
    assert document.written(["codes"]) is None


def test_other_formats_and_data_of_a_program_are_read_alike():
    assert Document.parse('{"a": [1.5, true]}', format="json").written(("a", 1)) == "true"
    assert refused('{"a": 1,\n "a": 2}', format="json") == ["shop.yaml:2:2: error: duplicate key `a` (first on line 1)"]
    assert Document.parse("a = 2020-01-01", format="toml").data == {"a": "2020-01-01"}
    assert Document({"a": 3}).written("a") == "3"


def test_problems_are_raised_together_in_the_order_of_the_file():
    document = Document.parse("shop:\n  open: soon\n  rows: 1\n  rows: 2\n", file="shop.yaml")
    document.add_problem(["shop", "missing"], "`missing` is missing", code="missing")
    document.add_problem(["shop", "open"], "`open` must be a date", hint="such as 2026-11-20")
    document.add_problem(["shop"], "there is no such shop", at_key=True)
    with pytest.raises(ConfigError) as caught:
        document.raise_problems()
    assert [(found.line, found.column, found.code, found.path) for found in caught.value.diagnostics] == [
        (1, 1, "value", "shop"),
        (2, 3, "missing", "shop.missing"),
        (2, 9, "value", "shop.open"),
        (4, 3, "duplicate_key", "shop.rows"),
    ]
    assert caught.value.diagnostics[2].render() == (
        "shop.yaml:2:9: error: `open` must be a date\n    2 |   open: soon\n      |         ^\nhint: such as 2026-11-20"
    )


def test_data_of_a_program_has_no_lines():
    document = Document({"a": [1]}, file="options")
    document.raise_problems()  # there are none yet
    document.add_problem(("a", 0), "`a` must be a text")
    with pytest.raises(ConfigError) as caught:
        document.raise_problems()
    [found] = caught.value.diagnostics
    assert (found.head(), found.path) == ("options: error: `a` must be a text", "a[0]")


def test_what_aliases_repeat_stays_one_object():
    data = Document.parse("a: &a [1, {b: 2}]\nc: [*a, *a]\n").data
    assert data == {"a": [1, {"b": 2}], "c": [[1, {"b": 2}], [1, {"b": 2}]]}
    assert data["c"][0] is data["c"][1] is data["a"]
