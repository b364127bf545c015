from __future__ import annotations

import time
from pathlib import Path

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from joblot.actions.builtin import search
from joblot.actions.builtin.literals import required
from joblot.actions.builtin.reading import line_blocks
from joblot.actions.builtin.search import LineSearch
from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS
from joblot.errors import ActionError

SAMPLE = Path(__file__).parents[3] / "examples/configurable-batch-runner/data/app.log"


def counts(pattern, text, **options):
    found = LineSearch(pattern, **options)
    found.add(text.encode())
    return found.matches, found.matching_lines


def test_r10_r13_search_pattern_counts_matches_of_the_sample():
    """R10 R13"""
    found = ACTIONS["search_pattern"].call(SAMPLE, {"pattern": "ERROR|WARNING"}, Context.for_test(SAMPLE.parent))
    assert found == {"matches": 4, "matching_lines": 4, "pattern": "ERROR|WARNING"}


def test_a_match_stays_within_its_line():
    assert counts(r"a\s*b", "a\nb\na b") == (1, 1)
    assert counts("^x$", "x\nxx\nx") == (2, 2)
    assert counts("(?s)a.b", "a\nb") == (0, 0)
    assert counts("[^c]+", "ab\nab") == (2, 2)
    assert counts(r"\Ax\z", "x\nx") == (2, 2)
    assert counts("x", "xx\nx\n\n") == (3, 2)
    assert counts("erreur|É", "Erreur é", ignore_case=True) == (2, 1)


def test_windows_line_ends_are_line_ends(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfend\r\nend\r\r\nend\rend")
    found = ACTIONS["search_pattern"].call(tmp_path / "x", {"pattern": "^end$"}, Context.for_test(tmp_path))
    assert (found["matches"], found["matching_lines"]) == (1, 1)


def test_empty_matches_are_counted_as_by_line():
    assert counts("x*", "axb\n\né") == (4 + 1 + 2, 3)
    assert counts("$", "a\nb") == (2, 2)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression: missing ): ("),
        ("[a", "not a regular expression: missing ]: [a"),
        ("*", "not a regular expression: no argument for repetition operator: *"),
        ("a)(b", "not a regular expression: unexpected ): a)(b"),
        ("\udc80", "not a regular expression: it is not valid text"),
        ("(?<=a)b", "regular expression not supported: look-behind (invalid perl operator: (?<=)"),
        ("a(?!b)", "regular expression not supported: look-ahead (invalid perl operator: (?!)"),
        (r"(a)\1", r"regular expression not supported: back-reference (invalid escape sequence: \1)"),
        ("(?P<x>a)(?P=x)", "regular expression not supported: back-reference (invalid perl operator: (?P)"),
        ("(?>a)", "regular expression not supported: atomic group (invalid perl operator: (?>)"),
        ("a*+", "regular expression not supported: possessive repetition (bad repetition operator: *+)"),
        ("a{1001}", "regular expression not supported: more than 1000 repetitions (invalid repetition size: {1001})"),
    ],
)
def test_r11_a_bad_expression_is_the_jobs_error_in_one_line(pattern, message, capfd):
    """R11: and nothing of it on stderr."""
    with pytest.raises(ActionError) as caught:
        LineSearch(pattern)
    assert (caught.value.message, caught.value.reason) == (message, "bad_pattern")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}b", "(a?){30}a{30}", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_i13_r11_catastrophic_expressions_take_linear_time(pattern):
    """I13 R11: what would take Python's `re` for ever."""
    text = "a" * 5000 + "!"
    began = time.process_time()
    counts(pattern, text)
    assert time.process_time() - began < 1.0


LINES = st.lists(st.text(st.sampled_from("ab7 WARNéſKk\r-x"), max_size=12), max_size=12).map("\n".join)
ATOMS = (
    "a",
    "b",
    "ab",
    "é",
    "7 ",
    "WARN",
    "x-",
    ".",
    "[ab]",
    "[^a]",
    r"\s",
    r"\w",
    r"\b",
    r"\B",
    "^",
    "$",
    "",
    r"\n",
    "[0-9]",
    r"\-",
)
RARER = (
    r"\D",
    "[^é]",
    "(?s).",
    r"\A",
    r"\z",
    "(?i)k",
    "(?m:^a)",
    "(?-m:^a)",
    "(?i:s)",
    r"\Qa.\E",
    "[[:alpha:]]",
    r"\x61",
    "[a-]",
)
PATTERNS = st.recursive(
    st.sampled_from(ATOMS + RARER),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        st.tuples(inner.map("(?:{})".format), st.sampled_from(["*", "+", "?", "+?", "{2}", "{0,1}", "{,2}"])).map(
            "".join
        ),
    ),
    max_leaves=6,
)


def by_line(pattern, text, *, ignore_case):
    """What RE2 finds in each line alone; an empty match is counted once, and only between characters."""
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    options.case_sensitive = not ignore_case
    regex = re2.compile(f"(?m){pattern}".encode(), options)
    found = []
    for line in text.encode().split(b"\n"):
        spans = {match.span() for match in regex.finditer(line)}
        found.append(sum(1 for a, b in spans if a < b or line[a : a + 1] < b"\x80" or line[a : a + 1] > b"\xbf"))
    return sum(found), sum(map(bool, found))


@given(PATTERNS, LINES, st.booleans())
@settings(max_examples=4 * settings.default.max_examples)
@example("WARN|ab", "x WARN\nab ab\n\nWARNab", False)
@example("[^]a[b]", "a]\nxa[b", False)
@example("[[:alpha:]]7", "a7\n]7", False)
def test_searching_blocks_equals_searching_line_by_line(pattern, text, ignore_case):
    try:
        expected = by_line(pattern, text, ignore_case=ignore_case)
    except re2.error:
        return
    assert counts(pattern, text, ignore_case=ignore_case) == expected


@given(st.lists(st.text(st.sampled_from("ab\r\né"), max_size=30), max_size=5).map("".join))
def test_blocks_of_lines_hold_the_lines_of_the_file(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "x").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("joblot.actions.builtin.reading.BLOCK_BYTES", 5)
        blocks = list(line_blocks(folder / "x", Context.for_test(folder)))
    whole = text.replace("\r\n", "\n")
    assert [line for block in blocks for line in block.decode().split("\n")] == (
        whole.removesuffix("\n").split("\n") if whole else []
    )


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("(WARN|ERROR) job-[0-9]*7 ", ["WARN job-", "ERROR job-"]),
        ("ERROR|WARNING", ["ERROR", "WARNING"]),
        ("ab[cd]e", ["abce", "abde"]),
        ("ab?cd", ["cd"]),
        (r"a\.b+", ["a."]),
        ("(?:foo)+bar", ["foo"]),
        ("foo|b*", []),
        ("a.b", []),
        ("foo|(bar", []),
        ("(?i)foo", []),
        ("foo{,3}", []),
        ("[^]foo]x", []),
        (r"\Qfoo\E", []),
        ("[a-z]oo", ["oo"]),
        ("(" * 5000 + "foo" + ")" * 5000, []),
    ],
)
def test_what_an_expression_cannot_match_without(pattern, texts):
    assert required(pattern) == [text.encode() for text in texts]


def test_candidates_close_together_are_not_looked_for_one_by_one(monkeypatch):
    monkeypatch.setattr(search, "_RETRY_BLOCKS", 2)
    found = LineSearch("ab")
    for _ in range(5):
        found.add(b"ab\nxx\nab ab")
    assert (found.matches, found.matching_lines) == (15, 10)
