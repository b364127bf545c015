"""The keys of a mapping: read as they are asked for, and what is wrong is said with its place."""

import pytest

from joblot import ConfigError, Document
from joblot_sirene.fields import Fields, quoted


def fields(text):
    return Fields(Document.parse(text, file="job.yaml"))


def problems(found):
    with pytest.raises(ConfigError) as caught:
        found.document.raise_problems()
    return [(problem.head(), problem.hint) for problem in caught.value.diagnostics]


def test_values_are_what_their_keys_need():
    found = fields("a: true\nb: 3\nc: 1.5\nd: mask\ne: 6920\nf: [01, 1e3, 2, 01]\ng: one\n")
    assert found.flag("a", default=False) is True
    assert found.number("b", None, whole=True) == 3
    assert found.number("c", None) == 1.5
    assert found.choice("d", ("exclude", "mask"), None) == "mask"
    assert found.text("e") == "6920"
    assert found.texts("f", str, "a word") == ("01", "1e3", "2")
    assert found.texts("g", str, "a word") == ("one",)
    found.finish()
    found.document.raise_problems()


def test_what_is_not_there_has_its_default():
    found = fields("a: ~\n")
    assert (found.flag("a", default=True), found.number("b", 7), found.text("a", "x")) == (True, 7, "x")
    assert (found.choice("a", ("x",), "x"), found.texts("b", str, "a word")) == ("x", ())
    assert found.section("a").text("inside") is None
    found.document.raise_problems()


def test_everything_that_is_wrong_is_said_at_once_with_its_place():
    found = fields("a: yes\nb: 2.5\nc: -1\nd: mas\ne: []\nf: [a, {b: c}]\ng: {h: 1}\ni: [1]\nj: ''\n")
    found.flag("a", default=False)
    found.number("b", None, whole=True, most=9)
    found.number("c", None)
    found.choice("d", ("exclude", "mask", "all"), None)
    found.text("e")
    found.texts("f", lambda word: None, "a colour", known=["ab"])
    inside = found.section("g")
    inside.text("k")
    inside.finish()
    found.section("i").finish()
    found.text("j")
    assert problems(found) == [
        ("job.yaml:1:4: error: `a` must be `true` or `false`, not `yes`", ""),
        ("job.yaml:2:4: error: `b` must be a whole number from 0 to 9, not `2.5`", ""),
        ("job.yaml:3:4: error: `c` must be a number of 0 or more, not `-1`", ""),
        ("job.yaml:4:4: error: `d` must be `exclude`, `mask` or `all`, not `mas`", "did you mean `mask`?"),
        ("job.yaml:5:4: error: `e` must be a text, not a list", ""),
        ("job.yaml:6:5: error: `f`: `a` is not a colour", "did you mean `ab`?"),
        ("job.yaml:6:8: error: `f`: a mapping is not a colour", ""),
        ("job.yaml:7:5: error: unknown key `g.h`", "known keys: k"),
        ("job.yaml:8:4: error: `i` must be a mapping of keys, not a list", ""),
        ("job.yaml:9:4: error: `j` must be a text, not ``", ""),
    ]


def test_keys_that_nobody_asked_for_are_told_at_the_key_beside_what_the_reader_found():
    found = fields("one:\n  activ_only: true\n  x: 1\n  x: 2\n")
    inside = found.section("one")
    inside.flag("active_only", default=False)
    inside.number("x", None)
    inside.finish()
    assert problems(found) == [
        ("job.yaml:2:3: error: unknown key `one.activ_only`", "did you mean `active_only`?"),
        ("job.yaml:4:3: error: duplicate key `x` (first on line 3)", ""),
    ]


def test_a_document_must_be_a_mapping():
    assert problems(fields("[1]")) == [
        ("job.yaml:1:1: error: `the document` must be a mapping of keys, not a list", "")
    ]


def test_values_in_messages_are_short_and_harmless():
    assert quoted("a\x1b[0m`b") == "`a?[0m?b`"
    assert quoted("x" * 100) == f"`{'x' * 60}...`"
    assert (quoted(None), quoted(True), quoted([1]), quoted({})) == ("`null`", "`true`", "a list", "a mapping")
