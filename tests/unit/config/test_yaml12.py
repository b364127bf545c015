"""YAML 1.2, strictly."""

from __future__ import annotations

import itertools
import time

import pytest

from joblot.config.tree import BrokenTextError
from joblot.config.yaml12 import parse
from joblot.core.written import RawScalar, plain


def value(text: str):
    problems = []
    data, _ = parse(f"a: {text}\n", problems)
    assert problems == []
    return data["a"]


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO"),
        ("01", "01"), ("010", "010"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("+1", "+1"),
        ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2026-11-20", "2026-11-20"), ("01.10", "01.10"), (".5", ".5"), ("1.", "1."),
        ("6920Z", "6920Z"), ("=", "="), ("<<", "<<"),
        ("6920", 6920), ("-3", -3), ("0", 0), ("1.5", 1.5), ("1e3", 1000.0), ("1.10", 1.1), ("-0", 0.0),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("Null", None),
        ("'6920'", "6920"), ('"true"', "true"), ("'null'", "null"), ("!!str 6920", "6920"), ("! 6920", "6920"), ("!!int 5", 5),
        ("!!float 5", 5), ("!!bool true", True), ("!!null ~", None), ("!!seq [1]", [1]), ("!!map {b: 1}", {"b": 1}),
    ],
)  # fmt: skip
def test_i5_plain_scalars_are_numbers_only_in_the_form_of_json(written, meaning):
    """I5: whatever is not a JSON number, a truth value or null is the text that was typed."""
    found = plain(value(written))
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize("written", ["6920", "1.10", "1e3", "-0", "true", "True"])
def test_i5_number_or_truth_value_keeps_what_was_typed(written):
    """I5: where a text is wanted, the text is there."""
    found = value(written)
    assert isinstance(found, RawScalar)
    assert found.text == written


def broken(text: str) -> str:
    with pytest.raises(BrokenTextError) as caught:
        parse(text, [])
    problem = caught.value.problem
    assert problem.position is not None
    return problem.message


def problems_of(text: str) -> list[str]:
    problems = []
    parse(text, problems)
    return [problem.message for problem in problems]


def test_i1_alias_bomb_is_refused_at_once():
    """I1."""
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8))
    started = time.process_time()
    assert broken("a: &a [x,x,x,x,x,x,x,x,x]\n" + levels) == "aliases expand to more than 2000000 values"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "level", ["&{0} {{k: *{1}, l: *{1}}}", "&{0} [*{1}, {{k: *{1}}}]"], ids=["mappings", "lists and mappings"]
)
def test_i1_aliases_of_mappings_multiply_no_further(level):
    """I1: the place is the end of the first value that is too large."""
    names = [f"a{number}" for number in range(64)]
    lines = ["x: &a0 {k: v}", *(f"x{n}: {level.format(n, m)}" for m, n in itertools.pairwise(names))]
    assert broken("\n".join(lines)) == "aliases expand to more than 2000000 values"


def test_i1_long_text_that_aliases_repeat_counts_for_its_length():
    """I1: a megabyte that stands in a list two hundred times is two hundred megabytes to whoever reads the list."""
    text = "x: &a " + "x" * (1 << 20) + "\ny: [" + ",".join(["*a"] * 200) + "]\n"
    assert broken(text) == "aliases expand to more than 2000000 values"
    assert problems_of("x: &a " + "x" * 1000 + "\ny: [" + ",".join(["*a"] * 2000) + "]\n") == []


def test_i2_levels_behind_aliases_count():
    """I2: each of a thousand values is only nine levels deep where it is written."""
    lines = ["x0: &a0 " + "[" * 8 + "]" * 8, *(f"x{n}: &a{n} {'[' * 8}*a{n - 1}{']' * 8}" for n in range(1, 1000))]
    assert broken("\n".join(lines)) == "nested deeper than 64 levels"
    assert problems_of("\n".join(lines[:7])) == []


def test_i2_two_hundred_thousand_brackets_are_one_quick_error():
    """I2: neither a crash nor a RecursionError."""
    started = time.process_time()
    assert broken("[" * 200_000) == "nested deeper than 64 levels"
    assert broken("{a: " * 50_000) == "nested deeper than 64 levels"
    assert broken("".join(" " * level + "k:\n" for level in range(500))) == "nested deeper than 64 levels"
    assert time.process_time() - started < 1


def test_i2_sixty_four_levels_are_read():
    """I2: the limit itself is allowed."""
    data, _ = parse("[" * 64 + "]" * 64, [])
    assert data


def test_i3_duplicate_key_is_a_problem_with_its_earlier_twin():
    """I3."""
    problems = []
    data, _ = parse("jobs:\n  - a: 1\n    b: 2\n    a: 3\n", problems)
    assert [(found.message, found.position, found.twin) for found in problems] == [
        ("duplicate key `a`", (4, 5), ("jobs", 0, "a"))
    ]
    assert plain(data) == {"jobs": [{"a": 1, "b": 2}]}


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("!!python/object/apply:os.system [x]", "!!python/object/apply:os.system"),
        ("!!python/name:os.system x", "!!python/name:os.system"),
        ("!!binary eA==", "!!binary"),
        ("!!timestamp 2026-11-20", "!!timestamp"),
        ("!!set {x}", "!!set"),
        ("!mine x", "!mine"),
        ("!<tag:example.org,2026:x> x", "tag:example.org,2026:x"),
    ],
)
def test_i4_unknown_tags_are_refused(tag, shown):
    """I4."""
    assert problems_of(f"a: {tag}\n") == [f"unknown tag `{shown}`"]


def test_i4_tag_that_does_not_fit_is_refused():
    """I4."""
    assert problems_of("a: !!int x\n") == ["`x` is not what its tag `!!int` says"]
    assert problems_of("a: !!map [1]\n") == ["unknown tag `!!map`"]


def test_i7_keys_must_be_texts():
    """I7: numbers, null, lists and mappings are no keys."""
    assert problems_of("1: a\n") == ["key `1` is not a text"]
    assert problems_of("~: a\n") == ["a key is not a text"]
    assert problems_of("? [x]\n: a\nb: 1\n") == ["a key is not a text"]


def test_i7_merge_keys_are_not_yaml_12():
    """I7."""
    assert problems_of("a: &a {b: 1}\nc:\n  <<: *a\n") == ["merge key `<<` is not part of YAML 1.2"]
    assert problems_of("'<<': 1\n") == []


def test_i7_alias_to_itself_and_to_nothing():
    """I7."""
    assert broken("a: &a [*a]\n") == "alias `*a` stands inside the value that it names"
    assert broken("a: *b\n") == "alias `*b` has no anchor `&b` before it"


def test_i7_one_document_only():
    """I7."""
    assert broken("a: 1\n---\nb: 1\n") == "a second document begins here: a batch file holds one"


def test_i7_line_ends_and_an_explicit_document_are_accepted():
    """I7."""
    data, positions = parse("---\r\njobs:\r\n  - a\r\n  - b\r\n...\r\n", [])
    assert data == {"jobs": ["a", "b"]}
    assert positions == [(3, 5), (4, 5)]


def test_aliases_stand_for_their_values():
    data, _ = parse("a: &x [1, &y two]\nb: *x\nc: *y\n", [])
    assert plain(data) == {"a": [1, "two"], "b": [1, "two"], "c": "two"}


def test_i6_long_text_is_refused():
    """I6."""
    assert broken("a: " + "x" * (1 << 20) + "y") == "a text is longer than 1 MiB"


@pytest.mark.parametrize("text", ["a: [1", "a: 'x", "a: b: c", "\ta: 1", "%YAML x", "a: \x07", 'a: "\\q"', "a: *", "&"])
def test_i6_broken_yaml_is_one_problem_with_a_place(text):
    """I6: whatever PyYAML raises."""
    assert broken(text).startswith("not valid YAML: ")


def test_pure_python_parser_gives_the_same(monkeypatch):
    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader")
    data, positions = parse("jobs:\n  - {a: no, b: 1e3}\n  - &x [1]\n  - *x\n", [])
    assert plain(data) == {"jobs": [{"a": "no", "b": 1000.0}, [1], [1]]}
    assert positions == [(2, 5), (3, 5), (4, 5)]
    assert broken("[" * 200_000) == "nested deeper than 64 levels"
    assert broken("a: [1").startswith("not valid YAML: ")
    assert broken("a: \x07").startswith("not valid YAML: ")
