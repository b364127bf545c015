"""What is shown of a line of source, and of values in messages: it has an end, and the caret stands where it should."""

import json

import pytest

from joblot.errors import SHOWN, ActionError, ConfigError, CyclicDependencyError, Diagnostic, JoblotError, excerpt

LONG = "".join(f"{number:04}." for number in range(1000))


def rendered(source, column):
    return Diagnostic("x", "wrong", "", "b.yaml", 7, column, source, "mend it").render()


@pytest.mark.parametrize(
    "column", [1, 2, 59, 60, 61, 62, 119, 120, 121, 2500, 4879, 4880, 4881, 4940, 4999, 5000, 5001]
)
def test_of_a_long_line_at_most_120_columns_are_shown_around_the_caret(column):
    shown, before = excerpt(LONG, column)
    assert len(shown) == SHOWN == 120
    assert shown[before : before + 1].strip(".") in LONG[column - 1 : column]
    text = shown.removeprefix("...").removesuffix("...")
    assert text in LONG
    assert shown.startswith("...") == (not LONG.startswith(text))
    assert shown.endswith("...") == (not LONG.endswith(text))
    assert before >= min(column - 1, 57), "what stands before it is seen too"


@pytest.mark.parametrize("length", [0, 1, 119, 120])
def test_a_line_that_fits_is_shown_as_it_is(length):
    assert excerpt("x" * length, length + 1) == ("x" * length, length)


def test_a_line_of_121_columns_is_cut():
    assert excerpt("x" * 121, 1) == ("x" * 117 + "...", 0)
    assert excerpt("x" * 121, 122) == ("..." + "x" * 117, 120)


CELLS = [
    # the text before the caret, how it is shown, in how many columns
    ("key: ", "key: ", 5),
    ("\tkey: ", "    key: ", 9),
    ("key:\t\t", "key:        ", 12),
    ("日本: ", "日本: ", 6),
    ("한글 ", "한글 ", 5),
    ("🙂 ", "🙂 ", 3),
    ("é: ", "é: ", 3),
    ("e\u0301: ", "e\u0301: ", 3),
    ("n\u0303\u0323: ", "n\u0303\u0323: ", 3),
    ("a\u200db", "a\\u200db", 8),
    ("a\u00a0b", "a\\xa0b", 6),
    ("a\u202eb", "a\\u202eb", 8),
    ("a\u001bb", "a\\x1bb", 6),
    ("a\ufeffb", "a\\ufeffb", 8),
]


@pytest.mark.parametrize(("before", "shown", "columns"), CELLS)
def test_the_caret_stands_under_its_character_whatever_is_before_it(before, shown, columns):
    source = f"{before}wrong"
    assert rendered(source, len(before) + 1).split("\n") == [
        f"b.yaml:7:{len(before) + 1}: error: wrong",
        f"    7 | {shown}wrong",
        f"      | {' ' * columns}^",
        "hint: mend it",
    ]


@pytest.mark.parametrize("char", ["日", "e\u0301", "\t", "\u200d"])
def test_a_long_line_of_odd_characters_is_cut_by_columns(char):
    from unicodedata import combining, east_asian_width

    source = char * 500
    shown, before = excerpt(source, 400)
    width = sum(0 if combining(one) else 2 if east_asian_width(one) == "W" else 1 for one in shown)
    assert 108 <= width <= 120
    assert 0 < before < 120


LONG_VALUES = [
    ("unknown action `" + "z" * 5000 + "`", "unknown action `" + "z" * 117 + "...`"),
    ("`" + "a" * 121 + "` and `" + "b" * 120 + "`", "`" + "a" * 117 + "...` and `" + "b" * 120 + "`"),
    ("`" + "a" * 120 + "`", "`" + "a" * 120 + "`"),
    ("circle: " + " -> ".join(["job"] * 1000), "circle: " + (" -> ".join(["job"] * 1000))[:492] + " ... " + (" -> ".join(["job"] * 1000))[-250:]),
    ("x" * 1000, "x" * 1000),
    ("x" * 1001, "x" * 500 + " ... " + "x" * 250),
]  # fmt: skip


@pytest.mark.parametrize(("message", "shown"), LONG_VALUES)
def test_long_values_in_messages_are_cut(message, shown):
    found = Diagnostic("x", message, file="b.yaml", hint=message)
    assert found.render() == f"b.yaml: error: {shown}\nhint: {shown}"
    assert (found.as_dict()["message"], found.as_dict()["hint"]) == (shown, shown)
    assert str(ConfigError([found])) == f"b.yaml: error: {shown}"


def test_as_data_a_line_is_cut_as_well():
    """3,000 mistakes in a line of 100 kB would be 300 MB."""
    assert Diagnostic("x", "wrong", line=1, column=2500, source=LONG).as_dict()["source"] == excerpt(LONG, 2500)[0]
    assert Diagnostic("x", "wrong", line=1, column=1, source="short").as_dict()["source"] == "short"


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_mistake_in_a_minified_file_of_3000_jobs(suffix, tmp_path):
    from joblot.config.load import load

    jobs = [{"name": f"fit-{number}", "run": f"true {number}"} for number in range(3000)]
    jobs[1500]["retrys"] = 3
    (tmp_path / f"b.{suffix}").write_text(json.dumps({"jobs": jobs}))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / f"b.{suffix}", vars={}, lookup=lambda _: None, names=list)
    (found,) = caught.value.diagnostics
    lines = found._replace(file="b").render().split("\n")
    assert lines[0].startswith("b:1:") and lines[0].endswith(": error: unknown field `retrys` in job `fit-1500`")
    assert len(lines[1]) == len("    1 | ") + 120
    assert lines[1][lines[2].index("^") :].startswith('"retrys": 3}')
    assert lines[3] == "hint: did you mean `retry`?"


@pytest.mark.parametrize(
    ("error", "notes"),
    [
        (JoblotError("no"), []),
        (JoblotError("no", hint="go there"), ["hint: go there"]),
        (ActionError("no", hint="go there"), ["hint: go there"]),
        (ConfigError("no", hint="go there"), ["hint: go there"]),
        (
            ConfigError(
                [
                    Diagnostic("field", "one", file="b.yaml", line=1, column=2, hint="did you mean `a`?"),
                    Diagnostic("field", "two", file="b.yaml", line=3, column=4, hint="did you mean `b`?"),
                    Diagnostic("field", "three", "jobs[2].run"),
                ]
            ),
            ["hint: did you mean `a`?", "b.yaml:3:4: error: two\nhint: did you mean `b`?", "jobs[2].run: error: three"],
        ),
        (CyclicDependencyError([Diagnostic("cycle", "one"), Diagnostic("cycle", "two")], []), ["error: two"]),
    ],
)
def test_a_traceback_has_the_hint_and_what_else_is_wrong(error, notes):
    """A program or a notebook that does not catch it shows what the command would."""
    assert getattr(error, "__notes__", []) == notes


def test_a_traceback_has_the_first_mistakes_of_very_many():
    error = ConfigError([Diagnostic("field", f"no {number}") for number in range(1000)])
    assert (len(error.__notes__), str(error)) == (ConfigError.NOTED - 1, "no 0 (and 999 more)")
