"""Parameters held against signatures."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, TypedDict

import msgspec
import pytest

from joblot.config.params import convert_params, fit_params
from joblot.config.tree import path_text
from joblot.core.model import Parameter, Signature
from joblot.core.written import RawScalar


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Options(TypedDict):
    deep: bool


Code = NewType("Code", str)
Low = Annotated[int, msgspec.Meta(ge=1, le=9)]


def taking(kind: Any, *, required: bool = False, more: bool = False) -> Signature:
    return Signature("act", {"p": Parameter("p", kind, required)}, "none", open=more)


FITS = [
    (str, "x", "x"), (str, RawScalar("6920", 6920), "6920"), (str, RawScalar("1e3", 1000.0), "1e3"), (str, RawScalar("true", True), "true"),
    (int, 5, 5), (int, RawScalar("5", 5), 5), (float, 5, 5), (float, RawScalar("1.5", 1.5), 1.5), (bool, True, True),
    (bool, RawScalar("True", True), True), (type(None), None, None), (Any, RawScalar("5", 5), 5), (object, [RawScalar("5", 5)], [5]),
    (str | None, None, None), (int | None, 5, 5), (int | str, RawScalar("5", 5), 5), (str | int, RawScalar("5", 5), 5),
    (str | list[str], RawScalar("5", 5), "5"), (Path, "a/b", "a/b"), (Path | None, RawScalar("5", 5), "5"), (Code, RawScalar("01", 1), "01"),
    (list[str], ["a", RawScalar("1.10", 1.1)], ["a", "1.10"]), (list[int], [1, 2], [1, 2]), (Sequence[str], ["a"], ["a"]),
    (set[str], ["a"], ["a"]), (tuple[int, str], [1, "a"], [1, "a"]), (tuple[int, ...], [1, 2, 3], [1, 2, 3]), (list, [1, "a"], [1, "a"]),
    (dict[str, int], {"a": 1}, {"a": 1}), (Mapping[str, list[str]], {"a": [RawScalar("5", 5)]}, {"a": ["5"]}), (dict, {"a": 1}, {"a": 1}),
    (Literal["a", "b"], "a", "a"), (Literal["5"], RawScalar("5", 5), "5"), (Literal[5], RawScalar("5", 5), 5), (Colour, "red", "red"),
    (dt.date, "2026-11-20", "2026-11-20"), (decimal.Decimal, RawScalar("1.10", 1.1), "1.10"), (Low, 3, 3),
    (Point, {"x": 1}, {"x": 1}), (Options, {"deep": True}, {"deep": True}), (int, "${{ jobs.a.result }}", "${{ jobs.a.result }}"),
    (list[int], "${{ jobs.a.result }}", "${{ jobs.a.result }}"), (list[int], [1, "${{ jobs.a.result }}"], [1, "${{ jobs.a.result }}"]),
    (Colour, "${{ run.id }}", "${{ run.id }}"), (Low, "${{ run.id }}", "${{ run.id }}"), (Literal["a"], "${{ run.id }}", "${{ run.id }}"),
]  # fmt: skip


def check_params(signature, params, **options):
    """Key path, message and hint of each problem."""
    _, misfits = fit_params(signature, params, **options)
    return [(path_text(misfit.keys), misfit.message, misfit.hint) for misfit in misfits]


@pytest.mark.parametrize(("kind", "value", "stored"), FITS)
def test_fitting_values_are_stored_as_json(kind, value, stored):
    fitted, misfits = fit_params(taking(kind), {"p": value})
    assert misfits == []
    assert fitted == {"p": stored}
    assert type(fitted["p"]) is type(stored)


@pytest.mark.parametrize(
    ("kind", "value", "message", "hint"),
    [
        (str, 5, "text, not the number 5", "put it in quotes"),
        (str, None, "text, not null", ""),
        (str | None, ["a"], "text, not a list", ""),
        (int, "ten", "a whole number, not the text `ten`", ""),
        (int, "10", "a whole number, not the text `10`", "write the number without quotes, in the form `12`"),
        (int, "01", "a whole number, not the text `01`", "write the number without quotes, in the form `12`"),
        (int, True, "a whole number, not `true`", ""),
        (int, 1.5, "a whole number, not the number 1.5", ""),
        (bool, "yes", "`true` or `false`, not the text `yes`", "write `true` or `false`, without quotes"),
        (bool, 1, "`true` or `false`, not the number 1", ""),
        (float, True, "a number, not `true`", ""),
        (int | str, None, "a whole number or text, not null", ""),
        (Path, ["x"], "a path, not a list", ""),
        (list[str], "x", "a list, not the text `x`", "write `[x]`"),
        (tuple[int, int], [1], "a list of 2, not of 1", ""),
        (dict[str, int], [1], "a mapping, not a list", ""),
        (Literal["quick", "deep"], "quik", "`quick` or `deep`, not the text `quik`", "did you mean `quick`?"),
        (Literal[True, 3], "x", "`true` or `3`, not the text `x`", ""),
        (Colour, "rde", "`red` or `blue`, not the text `rde`", "did you mean `red`?"),
        (dt.date, "2026-02-30", "a date such as `2026-11-20`, not the text `2026-02-30`", ""),
        (Point, {"x": "1"}, "a `Point`, not a mapping", "expected `int`, got `str` - at `$.x`"),
        (Low, 12, "as its type says: expected `int` <= 9", ""),
    ],
)
def test_unfitting_values_say_what_is_wanted(kind, value, message, hint):
    assert check_params(taking(kind), {"p": value}) == [("p", f"parameter `p` of action `act` must be {message}", hint)]


def test_problem_inside_a_value_has_its_path():
    found = check_params(taking(list[dict[str, int]]), {"p": [{"a": 1}, {"b": "x"}]})
    assert found == [("p[1].b", "parameter `p[1].b` of action `act` must be a whole number, not the text `x`", "")]


def test_unknown_and_missing_parameters():
    signature = Signature("act", {"pattern": Parameter("pattern", str, True), "n": Parameter("n", int, False)}, "none")
    assert check_params(signature, {"patern": "x"}) == [
        ("patern", "action `act` has no parameter `patern`", "did you mean `pattern`?")
    ]
    assert check_params(signature, {"zzz": 1}) == [
        ("zzz", "action `act` has no parameter `zzz`", "it takes `pattern`, `n`"),
        ("", "action `act` needs the parameter `pattern`", "add it to `params`"),
    ]
    assert check_params(Signature("act", {}, "none"), {"x": 1}) == [
        ("x", "action `act` has no parameter `x`", "it takes none")
    ]


def test_open_actions_take_any_parameter():
    assert check_params(taking(int, more=True), {"other": [1]}) == []


def test_references_can_be_refused():
    assert check_params(taking(int), {"p": "${{ run.id }}"}, deferred_ok=False) == [
        ("p", "parameter `p` of action `act` must be a whole number, not the text `${{ run.id }}`", "")
    ]


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        (str, "x", "x"), (str, 5, "5"), (str, True, "true"), (int, 5, 5), (int, "5", 5), (float, "1.5", 1.5), (float, 2, 2.0), (bool, "true", True),
        (Path, "a/b", Path("/f/a/b")), (Path, "/abs", Path("/abs")), (Path | None, None, None), (str | None, "x", "x"), (int | str, "5", "5"),
        (list[Path], ["a"], [Path("/f/a")]), (set[int], [1, 1], {1}), (tuple[int, ...], ["1", 2], (1, 2)), (frozenset[str], ["a"], frozenset("a")),
        (Sequence[int], ["1"], [1]), (dict[str, Path], {"a": "b"}, {"a": Path("/f/b")}), (dict[int, str], {"1": "b"}, {1: "b"}),
        (dt.date, "2026-11-20", dt.date(2026, 11, 20)), (dt.date | None, "2026-11-20", dt.date(2026, 11, 20)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")), (Colour, "blue", Colour.BLUE), (Literal["a"], "a", "a"), (Low, "3", 3),
        (Point, {"x": 1}, Point(1)), (Options, {"deep": True}, {"deep": True}), (Any, {"x": [1]}, {"x": [1]}), (Code, "x", "x"),
        (object, 5, 5), (complex, "1", "1"),
    ],
)  # fmt: skip
def test_values_are_converted_to_the_annotated_types(kind, value, converted):
    found = convert_params(taking(kind), {"p": value}, Path("/f"))["p"]
    assert found == converted
    assert type(found) is type(converted)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, "x", "parameter `p` must be a whole number, not the text `x`"),
        (list[int], [1, "x"], "parameter `p[1]` must be a whole number, not the text `x`"),
        (Colour, "x", "parameter `p` must be `red` or `blue`, not the text `x`"),
        (set[Any], [[]], "parameter `p` must be a list of single values"),
        (dt.date, 5, "parameter `p` must be a date such as `2026-11-20`, not the number 5"),
    ],
)
def test_conversion_errors_name_the_parameter(kind, value, message):
    with pytest.raises(ValueError) as caught:
        convert_params(taking(kind), {"p": value}, Path("/f"))
    assert str(caught.value) == message


def test_conversion_refuses_unknown_and_missing_parameters():
    with pytest.raises(ValueError, match="action `act` has no parameter `q`"):
        convert_params(taking(int), {"q": 1}, Path("/f"))
    with pytest.raises(ValueError, match="action `act` needs the parameter `p`"):
        convert_params(taking(int, required=True), {}, Path("/f"))
    assert convert_params(taking(int, more=True), {"q": 1}, Path("/f")) == {"q": 1}
