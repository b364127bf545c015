"""References in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core.references import (
    Deferred,
    Reference,
    TemplateError,
    fill,
    lookup,
    protect,
    references,
    split,
    substitute,
)

SCOPE = {
    "vars": {"day": "2026-11-20", "n": 3, "on": True, "none": None, "codes": ["a", "b c"], "map": {"k": 1.5}, "evil": "${{ vars.n }}"},
    "run": {"id": "r1"},
    "jobs": {"fetch": {"result": {"rows": [7, 8], "result": "inner"}}, "a.b": {"result": 5}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"), ("${{ vars.day }}", "2026-11-20"), ("${{vars.n}}", 3), ("${{ vars.on }}", True), ("${{ vars.none }}", None),
        ("${{ vars.codes }}", ["a", "b c"]), ("${{ vars.codes.1 }}", "b c"), ("${{ vars.codes[0] }}", "a"), ("${{ vars.map.k }}", 1.5),
        ("x${{ vars.n }}y", "x3y"), ("${{ vars.on }}!", "true!"), ("<${{ vars.none }}>", "<>"), ("${{ vars.n }}${{ vars.n }}", "33"),
        ("c=${{ vars.codes }}", 'c=["a","b c"]'), ("${{ run.id }}", "r1"), ("$5 {{ x }} $${{ vars.n }}", "$5 {{ x }} $3"),
        ("${{ jobs.fetch.result.rows[1] }}", 8), ("${{ jobs.fetch.result.result }}", "inner"), ("${{ jobs.a.b.result }}", 5),
        ('${{ "${{" }} x }}', "${{ x }}"), ("${{ vars.evil }}", "${{ vars.n }}"), ("> ${{ vars.evil }}", "> ${{ vars.n }}"),
    ],
)  # fmt: skip
def test_references_are_filled_in_once(text, value):
    """I10: what is put in is never looked at again; a whole-value reference keeps its type."""
    assert substitute(text, SCOPE) == value
    assert type(substitute(text, SCOPE)) is type(value)


def test_lists_and_mappings_are_gone_through():
    assert substitute({"a": ["${{ vars.n }}", {"b": "${{ vars.day }}"}], "c": 1}, SCOPE) == {
        "a": [3, {"b": "2026-11-20"}],
        "c": 1,
    }


@pytest.mark.parametrize(
    "payload",
    [
        "{{ 7 * 7 }}", "{{ config.__class__.__init__.__globals__ }}", "{% for x in y %}{% endfor %}", "{0.__class__}", "%(x)s", "$HOME",
        "<%= 7 %>", "#{7*7}", "${7*7}", "${jndi:ldap://x}", "{vars.day}", "{{ vars.day }}", "$ {{ vars.day }}", "`id`",
    ],
)  # fmt: skip
def test_i10_other_template_languages_come_out_verbatim(payload):
    """I10."""
    assert substitute(payload, SCOPE) == payload


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${{ vars.day.__class__ }}", "`vars.day` has no parts, so there is no `__class__` (in `vars.day.__class__`)"),
        ("${{ vars.map.keys }}", "`vars.map` has no `keys` (in `vars.map.keys`)"),
        ("${{ vars.codes.append }}", "`vars.codes` has no parts, so there is no `append` (in `vars.codes.append`)"),
        ("${{ vars.codes[2] }}", "`vars.codes` has 2 items, so there is no `2` (in `vars.codes[2]`)"),
        ("${{ vars.dya }}", "no variable `dya`"),
        ("${{ vars }}", "`vars` alone is not a value"),
        ("${{ nothing.x }}", "nothing is called `nothing` (in `nothing.x`)"),
        ("${{ jobs.fetch }}", "`jobs.fetch` does not name a result"),
        ("${{ jobs.other.result }}", "no result of a job `other` is known here (in `jobs.other.result`)"),
        ("${{ 1 + 1 }}", "`1 + 1` is not a reference"),
        ("${{ vars.n | upper }}", "`vars.n | upper` is not a reference"),
        ("${{ vars.n() }}", "`vars.n()` is not a reference"),
        ("${{ vars..n }}", "`vars..n` is not a reference"),
        ("${{ ${{ vars.n }} }}", "`${{ vars.n` is not a reference"),
        ("${{ }}", "`${{ }}` is empty"),
        ("${{ vars.n }", "`${{` has no closing `}}`"),
    ],
)
def test_i10_no_expressions_calls_or_attributes(text, message):
    """I10."""
    with pytest.raises(TemplateError) as caught:
        substitute(text, SCOPE)
    assert caught.value.message == message


def test_hint_names_the_nearest():
    with pytest.raises(TemplateError) as caught:
        lookup(Reference("vars.dya"), SCOPE)
    assert caught.value.hint == "did you mean `day`?"


def test_references_of_nested_values():
    assert references({"a": ["${{ vars.n }} ${{ run.id }}"], "b": 1}) == [Reference("vars.n"), Reference("run.id")]


def later(reference):
    return Deferred(reference) if reference.root == "run" else lookup(reference, {"vars": {"v": VALUE[0]}})


VALUE = [""]


@given(
    st.lists(
        st.sampled_from(["$", "{", "}", "{{", "${{", "}}", " run.id ", "${{ run.id }}", '"', "x"]), max_size=8
    ).map("".join)
)
def test_i10_value_put_in_before_the_rest_stays_a_text(value):
    """I10: filling in two steps gives what one step gives, whatever the value holds."""
    VALUE[0] = value
    text = "<${{ vars.v }}${{ run.id }}${{ vars.v }}{{ run.id }}>"
    half = fill(text, later, keep=True)
    assert substitute(half, {"run": {"id": "R"}}) == f"<{value}R{value}{{{{ run.id }}}}>"
    assert substitute(protect({"k": [value]}), {}) == {"k": [value]}


@given(st.text(alphabet='${}. varsn"[]0', max_size=40))
def test_splitting_never_fails_in_another_way(text):
    try:
        pieces = split(text)
    except TemplateError:
        pieces = [text]
    assert all(isinstance(piece, (str, Reference)) for piece in pieces)
