"""Variables: declared in the file, given on the command line."""

from __future__ import annotations

import numbers
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from joblot import ConfigError, load
from joblot.core.provenance import shown_command
from joblot.core.written import shorten


def batch(declared: str, use: str = "") -> str:
    return f"vars: {declared}\njobs: [{use}]\n"


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ("{a: x}", {}, "x"), ("{a: 3}", {}, 3), ("{a: 1.5}", {}, 1.5), ("{a: true}", {}, True), ("{a: [1, b]}", {}, [1, "b"]), ("{a: }", {}, None),
        ("{a: x}", {"a": "5"}, "5"), ("{a: 3}", {"a": "5"}, 5), ("{a: 1.5}", {"a": "2e3"}, 2000.0), ("{a: 1.5}", {"a": "7"}, 7),
        ("{a: true}", {"a": "false"}, False), ("{a: [x]}", {"a": "p, q"}, ["p", "q"]), ("{a: [x]}", {"a": ""}, []), ("{a: }", {"a": "x"}, "x"),
        ("{a: {type: string, default: 01.10}}", {}, "01.10"), ("{a: {type: string, default: 1.10}}", {}, "1.10"),
        ("{a: {type: int, default: 4}}", {"a": "-7"}, -7), ("{a: {type: number, default: 4}}", {}, 4),
        ("{a: {type: date, default: 2026-11-20}}", {}, "2026-11-20"), ("{a: {type: date}}", {"a": "2026-01-31"}, "2026-01-31"),
        ("{a: {type: path}}", {"a": "../x y"}, "../x y"), ("{a: {type: bool, default: false}}", {}, False),
        ("{a: {type: list, default: [1]}}", {"a": "x"}, ["x"]), ("{a: {type: int, required: false}}", {}, None), ("{a: {default: 3}}", {"a": "4"}, 4),
        ("{a: [x]}", {"a": '["p","q"]'}, ["p", "q"]), ("{a: [x]}", {"a": ' [ "p, q", 1, 2.5, true, null, ["r"] ] '}, ["p, q", 1, 2.5, True, None, ["r"]]),
        ("{a: [x]}", {"a": "[]"}, []), ("{a: [x]}", {"a": '"[p]", q'}, ['"[p]"', "q"]), ("{a: [x]}", {"a": "p[0],q"}, ["p[0]", "q"]),
        ("{a: x}", {"a": '["p"]'}, '["p"]'), ("{a: {type: list}}", {"a": '[{"b": 1}]'}, [{"b": 1}]),
        ("{a: {enum: [x, y], default: y}}", {"a": "x"}, "x"), ("{a: {type: int, min: 1, max: 5}}", {"a": "5"}, 5),
        ("{a: {pattern: '[a-z]+'}}", {"a": "abc"}, "abc"), ("{a: {type: date, min: 2026-01-01}}", {"a": "2026-01-01"}, "2026-01-01"),
    ],
)  # fmt: skip
def test_values_have_their_declared_types(read, declared, given, value):
    found = read(batch(declared), vars=given).vars
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


class Count(numbers.Integral):
    """A whole number that is no `int`, as those of numpy are."""

    def __init__(self, value):
        self._value = value

    def __int__(self):
        return self._value


for name in Count.__abstractmethods__:
    setattr(Count, name, lambda *_: NotImplemented)
Count.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("date", date(2026, 11, 20), "2026-11-20"), ("date", datetime(2026, 11, 20), "2026-11-20"), ("string", date(2026, 11, 20), "2026-11-20"),
        ("string", 5, "5"), ("string", 1.5, "1.5"), ("string", True, "true"), ("path", 2026, "2026"), ("path", Path("a/b"), "a/b"),
        ("int", 5, 5), ("int", Count(5), 5), ("number", 5, 5), ("number", 1.5, 1.5), ("number", Fraction(1, 2), 0.5), ("bool", False, False),
        ("list", ["a", 1], ["a", 1]), ("list", ("a", date(2026, 1, 1)), ["a", "2026-01-01"]), ("list", range(3), [0, 1, 2]), ("list", [], []),
        ("list", (n for n in "ab"), ["a", "b"]), ("list", {"a": 1}.keys(), ["a"]), ("list", [Count(7)], [7]), ("list", "a,b", ["a", "b"]),
    ],
)  # fmt: skip
def test_a_program_gives_values_as_they_are(tmp_path, kind, given, value):
    file = tmp_path / "joblot.yaml"
    file.write_text(f"vars: {{a: {{type: {kind}}}}}\njobs: [{{name: j, run: 'echo ${{{{ vars.a }}}}'}}]\n")
    found = load(file, vars={"a": given}).vars["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            "date",
            datetime(2026, 11, 20, 3),
            "variable `a` must be a date such as `2026-11-20`, not `2026-11-20T03:00:00`",
        ),
        ("date", 20261120, "variable `a` must be a date such as `2026-11-20`, not the number 20261120"),
        ("int", 3.0, "variable `a` must be a whole number, not the number 3.0"),
        ("int", True, "variable `a` must be a whole number, not `true`"),
        ("bool", 1, "variable `a` must be `true` or `false`, not the number 1"),
        ("string", None, "variable `a` must be a text, not null"),
        ("number", Fraction(1, 3), "`vars.a`: a value of type `Fraction` cannot stand in a batch"),
        ("number", object(), "`vars.a`: a value of type `object` cannot stand in a batch"),
    ],
)
def test_what_a_file_would_not_take_a_program_cannot_give(tmp_path, kind, given, message):
    file = tmp_path / "joblot.yaml"
    file.write_text(f"vars: {{a: {{type: {kind}}}}}\njobs: [{{name: j, run: x}}]\n")
    with pytest.raises(ConfigError) as caught:
        load(file, vars={"a": given})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ("{a: 3}", {"a": "x"}, "variable `a` must be a whole number, not `x`"),
        ("{a: 3}", {"a": "1_0"}, "variable `a` must be a whole number, not `1_0`"),
        ("{a: 3}", {"a": "9" * 19}, f"variable `a` must be a whole number, not `{'9' * 19}`"),
        ("{a: 1.5}", {"a": "nan"}, "variable `a` must be a number, not `nan`"),
        ("{a: true}", {"a": "yes"}, "variable `a` must be `true` or `false`, not `yes`"),
        ("{a: {type: date}}", {"a": "20261120"}, "variable `a` must be a date such as `2026-11-20`, not `20261120`"),
        ("{a: {type: date}}", {}, "variable `a` needs a value"),
        ("{a: {type: date, required: true, default: 2026-11-20}}", {"a": "2026-13-01"}, "variable `a` must be a date such as `2026-11-20`, not `2026-13-01`"),
        ("{a: {enum: [x, y]}}", {"a": "z"}, "variable `a` must be one of `x`, `y`, not the text `z`"),
        ("{a: {type: int, min: 1}}", {"a": "0"}, "variable `a` must be at least 1, got 0"),
        ("{a: {type: int, max: 1}}", {"a": "2"}, "variable `a` must be at most 1, got 2"),
        ("{a: {pattern: '[a-z]+'}}", {"a": "abc1"}, "variable `a` must match `[a-z]+`, which the text `abc1` does not"),
        ("{a: {pattern: '('}}", {"a": "x"}, "`pattern` is not a regular expression: missing ): ("),
        ("{a: [x]}", {"a": "[p, q]"}, "variable `a` must be a list, not `[p, q]`"),
        ("{a: [x]}", {"a": '["p"'}, 'variable `a` must be a list, not `["p"`'),
        ("{a: [x]}", {"a": '["p"] q'}, 'variable `a` must be a list, not `["p"] q`'),
        ("{a: [x]}", {"a": '[{"p": 1, "p": 2}]'}, 'variable `a` must be a list, not `[{"p": 1, "p": 2}]`'),
        ("{a: [x]}", {"a": "[" * 5000}, f"variable `a` must be a list, not `{shorten('[' * 5000)}`"),
        ("{a: [x]}", {"a": '["p\\u0000"]'}, "a text holds a NUL (U+0000)"),
        ("{a: x}", {"a": "a\0"}, "a text holds a NUL (U+0000)"),
        ("{a: x}", {"b": "1"}, "no variable `b` in this batch: it has `a`"),
        ("{}", {"b": "1"}, "no variable `b` in this batch: it has none"),
        ("{a b: x}", {}, "`a b` cannot be a variable"),
        ("{a: {tpye: int}}", {"a": "1"}, "unknown field `tpye` in variable `a`"),
        ("[a]", {}, "`vars` must be a mapping, not a list"),
        ("{a: '${{ vars.b }}', b: x}", {}, "`vars.b` stands below `a`"),
    ],
)  # fmt: skip
def test_wrong_values_are_one_error(errors, declared, given, message):
    assert [found.message for found in errors(batch(declared), vars=given)] == [message]


def test_unknown_variable_hints_at_the_nearest(errors):
    (found,) = errors(batch("{day: x, code: y}"), vars={"dya": "1"})
    assert found.message == "no variable `dya` in this batch: it has `day`, `code`"
    assert found.hint == "did you mean `day`?"


def test_a_list_that_is_no_json_hints_at_both_forms(errors):
    (found,) = errors(batch("{a: [x]}"), vars={"a": "[p]"})
    assert found.hint == 'what begins with `[` is a list in JSON, such as `["a", "b, c"]`; else commas part texts'


def test_number_put_into_a_text_is_what_was_typed(read):
    job = read(batch("{a: 1.10, c: [01.10, 6920]}", '{name: j, run: "echo ${{ vars.a }} ${{ vars.c[1] }}"}')).jobs[0]
    assert shown_command(job) == "echo 1.10 6920"


def test_list_of_codes_fits_a_parameter_of_texts(read):
    job = read(batch("{c: [01.10, 6920]}", '{name: j, action: build, params: {codes: "${{ vars.c }}"}}')).jobs[0]
    assert job.params == {"codes": ["01.10", "6920"]}


def test_number_given_on_the_command_line_fits_both(read):
    use = '{name: j, action: build, params: {codes: ["${{ vars.a }}"], top: "${{ vars.a }}"}}'
    assert read(batch("{a: 1}", use), vars={"a": "6920"}).jobs[0].params == {"codes": ["6920"], "top": 6920}


def test_variable_may_come_from_the_environment(read, monkeypatch):
    monkeypatch.setenv("SOME_DAY", "2026-11-20")
    assert read(batch("{a: {type: date, default: '${{ env.SOME_DAY }}'}}")).vars == {"a": "2026-11-20"}


def test_wrong_variable_is_reported_once_however_often_it_is_used(errors):
    use = '{name: a, run: "echo ${{ vars.day }}", timeout: "${{ vars.day }}"}, {name: "b-${{ vars.day }}", run: make}'
    assert [found.message for found in errors(batch("{day: {type: date}}", use))] == ["variable `day` needs a value"]
