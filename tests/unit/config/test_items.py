"""Where items come from: tables, lines, file names, the output of commands. What cannot be read is named."""

import os
import time

import pytest

from joblot.config import items
from joblot.config.items import ItemsError, read_items, rows_to_columns, source_of


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def given(folder, kind, content, name="x"):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_items(kind, name, str(folder))


def refused(folder, kind, content, name="x"):
    with pytest.raises(ItemsError) as caught:
        given(folder, kind, content, name)
    return caught.value.message, caught.value.hint


# --- which source a text means ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a.csv", "csv"), ("A.CSV", "csv"), ("a.tsv", "tsv"), ("a.tab", "tsv"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"), ("a.txt", "lines"), ("in/*.csv", "glob"), ("in/a?.txt", "glob"), ("[ab]", "glob"),
        ("a.json", None), ("a", None), ("csv", None),
    ],
)  # fmt: skip
def test_a_bare_text_is_read_by_its_ending(text, kind):
    assert source_of(text) == kind


# --- CSV ----------------------------------------------------------------------------------------------

TWO = {"code": ["01.10", "6920"], "name": ["a b", "no"]}


@pytest.mark.parametrize(
    "content",
    [
        "code,name\n01.10,a b\n6920,no\n",
        "code,name\n01.10,a b\n6920,no",
        "\ufeffcode,name\n01.10,a b\n6920,no\n",
        "code;name\r\n01.10;a b\r\n6920;no\r\n",
        "code\tname\n01.10\ta b\n6920\tno\n",
        "code|name\n01.10|a b\n6920|no\n",
        '"code","name"\n"01.10","a b"\n6920,"no"\n',
        " code , name \n01.10,a b\n6920,no\n",
        "code,name\n\n01.10,a b\n\n6920,no\n\n",
        "code,name\r01.10,a b\r6920,no\r",
    ],
    ids=["plain", "no-end", "bom", "semicolon-crlf", "tab", "bar", "quotes", "spaces", "blank-lines", "cr"],
)
def test_dialects_of_csv_give_the_same_items(folder, content):
    """The values of a table stay texts: `01.10` and `no` are what they were."""
    assert given(folder, "csv", content) == TWO


def test_quoted_values_hold_separators_quotes_and_lines(folder):
    content = 'a;b\n"x;y";"say ""hi"""\n"two\nlines"; z\n'
    assert given(folder, "csv", content) == {"a": ["x;y", "two\nlines"], "b": ['say "hi"', " z"]}


def test_a_tsv_is_separated_by_tabs_whatever_else_its_header_holds(folder):
    assert given(folder, "tsv", "a,b,c\td\n1\t2\n") == {"a,b,c": ["1"], "d": ["2"]}


def test_a_table_of_one_column(folder):
    assert given(folder, "csv", "code\n1\n2\n") == {"code": ["1", "2"]}


def test_a_table_with_nothing_but_a_header_has_columns_without_values(folder):
    assert given(folder, "csv", "a,b\n") == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("", "`x` has no header line", "the first line names the columns"),
        ("\n1,2\n", "`x` has no header line", "the first line names the columns"),
        ("a,b\n1,2\n3\n", "`x`: item 2 has 1 field, the header has 2", "put values that hold the separator in double quotes"),
        ("a,b\n1,2,3\n", "`x`: item 1 has 3 fields, the header has 2", "put values that hold the separator in double quotes"),
        ("a,b,a\n1,2,3\n", "`x` has two columns `a`", ""),
        ("a,,c\n1,2,3\n", "`x`: column 2 has no name", ""),
        ('a,b\n"1,2\n', "`x`, line 2, cannot be read: unexpected end of data", ""),
        ('a,b\n"1"x,2\n', "`x`, line 2, cannot be read: ',' expected after '\"'", ""),
        (b"a,b\n\xff,2\n", "`x` is not UTF-8 text (byte 4)", "save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "`x` is not UTF-8 text (byte 0)", "save it as UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read(folder, content, message, hint):
    assert refused(folder, "csv", content) == (message, hint)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "lines"])
def test_a_file_that_is_not_there(folder, kind):
    with pytest.raises(ItemsError, match=r"^cannot read `no/x`: no such file or directory$"):
        read_items(kind, "no/x", str(folder))


def test_a_folder_is_no_table(folder):
    with pytest.raises(ItemsError, match=r"^cannot read `\.`: is a directory$"):
        read_items("csv", ".", str(folder))


def test_paths_are_relative_to_the_folder_or_absolute(folder):
    (folder / "in").mkdir()
    (folder / "in" / "a.csv").write_text("n\n1\n")
    assert read_items("csv", "in/a.csv", str(folder)) == {"n": ["1"]}
    assert read_items("csv", str(folder / "in" / "a.csv"), "/") == {"n": ["1"]}


# --- JSON Lines ---------------------------------------------------------------------------------------


def test_json_lines_say_what_a_value_is(folder):
    content = '{"n": 1, "x": 1.50, "ok": true, "none": null, "deep": {"a": [1]}, "s": "01"}\n\n'
    assert given(folder, "jsonl", content) == {
        "n": [1], "x": [1.5], "ok": [True], "none": [None], "deep": [{"a": [1]}], "s": ["01"],
    }  # fmt: skip


def test_json_lines_of_single_values(folder):
    assert given(folder, "jsonl", '\ufeff1\r\n"a"\r\n') == {"": [1, "a"]}
    assert given(folder, "jsonl", "") == {}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ('{"a": 1}\n{"a": }\n', "`x`, line 2: JSON is malformed: invalid character (byte 6)", ""),
        ('{"a": NaN}\n', "`x`, line 1: JSON is malformed: invalid character (byte 6)", ""),
        ('{"code": 1}\n{"cod": 2}\n', "item 1 has no `cod`", "did you mean `code`?"),
        ('{"a": 1}\n2\n', "item 2 is the number 2, and others are mappings", ""),
        ("[1]\n", "item 1 is a list", "an item is a value, or a mapping of names to values"),
        ('{"": 1}\n', "items have a value without a name", "name it, or leave it out"),
    ],
)
def test_json_lines_that_do_not_hang_together(folder, content, message, hint):
    assert refused(folder, "jsonl", content) == (message, hint)


def test_items_need_not_have_their_values_in_one_order():
    assert rows_to_columns([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == {"a": [1, 3], "b": [2, 4]}
    assert rows_to_columns([]) == {}


# --- Parquet ------------------------------------------------------------------------------------------


def parquet(folder, columns, names=None):
    pa = pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    from pyarrow import parquet as files

    table = pa.Table.from_arrays([pa.array(values) for values in columns.values()], names=names or list(columns))
    files.write_table(table, folder / "x.parquet")
    return read_items("parquet", "x.parquet", str(folder))


def test_parquet_says_what_a_value_is(folder):
    from datetime import UTC, date, datetime
    from decimal import Decimal

    made = parquet(
        folder,
        {
            "n": [1, None], "x": [1.5, 2.0], "s": ["01", "é"], "ok": [True, False], "raw": [b"ab", b"\xff"],
            "day": [date(2026, 11, 20), None], "at": [datetime(2026, 11, 20, 1, 2, tzinfo=UTC)] * 2,
            "price": [Decimal("1.10"), None], "tags": [["a"], []], "deep": [{"d": date(2026, 1, 2)}, {"d": None}],
        },
    )  # fmt: skip
    assert made == {
        "n": [1, None], "x": [1.5, 2.0], "s": ["01", "é"], "ok": [True, False], "raw": ["ab", "\ufffd"],
        "day": ["2026-11-20", None], "at": ["2026-11-20T01:02:00+00:00"] * 2,
        "price": ["1.10", None], "tags": [["a"], []], "deep": [{"d": "2026-01-02"}, {"d": None}],
    }  # fmt: skip


def test_parquet_with_two_columns_of_a_name(folder):
    with pytest.raises(ItemsError, match=r"^`x\.parquet` cannot be read: Multiple matches for"):
        parquet(folder, {"a": [1], "b": [2]}, names=["a", "a"])


def test_parquet_with_a_column_without_a_name(folder):
    with pytest.raises(ItemsError, match=r"^`x\.parquet`: column 2 has no name$"):
        parquet(folder, {"a": [1], "b": [2]}, names=["a", ""])


def test_parquet_that_is_none(folder):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    message, hint = refused(folder, "parquet", "code\n1\n", "x.parquet")
    assert message.startswith("`x.parquet` cannot be read: ")
    assert hint == ""
    with pytest.raises(ItemsError, match=r"^`no\.parquet` is not a file$"):
        read_items("parquet", "no.parquet", str(folder))


def test_parquet_without_pyarrow(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    message, hint = refused(folder, "parquet", "x", "x.parquet")
    assert message == "reading Parquet needs pyarrow"
    assert hint == "`pip install pyarrow`, or give the items as CSV or JSON Lines"


# --- lines, file names --------------------------------------------------------------------------------


def test_lines_are_items_as_they_are_but_for_blank_ones(folder):
    assert given(folder, "lines", "\ufeffa b \r\n\r\n  \n#1,x\n01") == {"": ["a b ", "#1,x", "01"]}
    assert given(folder, "lines", "a\rb\n") == {"": ["a\rb"]}  # one item, which is refused later
    assert given(folder, "lines", "\n") == {"": []}


def test_file_names_are_sorted_and_neither_hidden_nor_folders(folder):
    for name in ("b.tar.gz", "a.csv", ".hidden.csv", "in/c.csv", "in/.d.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "folder.csv").mkdir()
    assert read_items("glob", "*", str(folder)) == {
        "": ["a.csv", "b.tar.gz"], "name": ["a.csv", "b.tar.gz"], "stem": ["a", "b.tar"],
    }  # fmt: skip
    assert read_items("glob", "**/*.csv", str(folder))[""] == ["a.csv", "in/c.csv"]
    assert read_items("glob", "*.none", str(folder)) == {"": [], "name": [], "stem": []}


FILES = {
    "upwards": {"data/latest": ".."},
    "two links": {"data/latest": "..", "more/latest": ".."},
    "to itself": {"data/self": "."},
    "to each other": {"data/b/to": "../c", "data/c/to": "../b"},
    "absolute": {"data/up": "ABSOLUTE"},
    "through another": {"data/in/x": "../y", "data/y": ".."},
}


@pytest.mark.parametrize("links", FILES.values(), ids=FILES)
@pytest.mark.parametrize("pattern", ["data/**/*.csv", "**/*.csv", "**/**/a.csv", "./**/*.csv", "**", "data/**"])
def test_each_file_is_found_once_however_links_lead_back(folder, links, pattern):
    """41 jobs for one file, and with two links no end."""
    for name in ("data/a.csv", "data/b/b.csv", "data/c/c.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name, target in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(str(folder) if target == "ABSOLUTE" else target)
    found = read_items("glob", pattern, str(folder))[""]
    expected = ["data/a.csv"] if pattern.endswith("a.csv") else ["data/a.csv", "data/b/b.csv", "data/c/c.csv"]
    assert [path.removeprefix("./") for path in found] == expected


@pytest.mark.parametrize("pattern", ["link/*.csv", "link/**/*.csv", "l*/a.csv", "LINK/**/a.csv", "LINK/in/**"])
def test_a_link_that_the_pattern_names_is_followed(folder, pattern):
    (folder / "there/in").mkdir(parents=True)
    for name in ("there/a.csv", "there/in/a.csv"):
        (folder / name).touch()
    (folder / "link").symlink_to("there")
    found = read_items("glob", pattern.replace("LINK", str(folder / "link")), str(folder))[""]
    assert {path.rpartition("link/")[2] for path in found} in ({"a.csv"}, {"a.csv", "in/a.csv"}, {"in/a.csv"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"code":1,"code":2}', "`x`, line 2: the key `code` stands there twice"),
        ('{"a":{"b":1,"b":1}}', "`x`, line 2: the key `b` stands there twice"),
        ('{"a":[{"b" : 1, "b":2}]}', "`x`, line 2: the key `b` stands there twice"),
        ('{"a":1,"\\u0061":2}', "`x`, line 2: the key `a` stands there twice"),
        ('{"a":"\\":","b":1,"b":2}', "`x`, line 2: the key `b` stands there twice"),
        ("[" * 100_000 + "]" * 100_000, "`x`, line 2: nested deeper than 64 levels"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "`x`, line 2: nested deeper than 64 levels"),
    ],
    ids=["twice", "inside", "in a list", "escaped", "beside a colon in a text", "deep list", "deep mapping"],
)
def test_json_lines_are_held_to_the_rules_of_batch_files(folder, line, message):
    assert refused(folder, "jsonl", f'{{"a":1}}\n{line}\n') == (message, "")


def test_a_colon_in_a_text_is_no_key(folder):
    assert given(folder, "jsonl", '{"a":"x\\":y","b":{"c":"\\":"}}\n') == {"a": ['x":y'], "b": [{"c": '":'}]}


def test_a_table_of_many_columns_takes_time_that_grows_with_them(folder):
    columns = 200_000
    began = time.process_time()
    found = given(folder, "csv", ",".join(f"c{n}" for n in range(columns)) + "\n" + ",".join("1" * columns) + "\n")
    assert len(found) == columns
    assert time.process_time() - began < 10  # with a look through all names before each it was minutes


def test_a_cell_may_be_as_long_as_a_text_of_a_batch_file(folder):
    assert given(folder, "csv", f"a\n{'x' * 1_000_000}\n") == {"a": ["x" * 1_000_000]}
    message = "`x`, line 3, cannot be read: field larger than field limit (1048577)"
    assert refused(folder, "csv", f"a\n1\n{'x' * 1_100_000}\n") == (message, "")


# --- commands -----------------------------------------------------------------------------------------


def command_refused(folder, text):
    with pytest.raises(ItemsError) as caught:
        read_items("command", text, str(folder))
    return caught.value.message, caught.value.hint


def test_the_lines_that_a_command_prints_in_the_batch_s_folder(folder):
    (folder / "a b").touch()
    assert read_items("command", "ls; echo; echo ' x'", str(folder)) == {"": ["a b", " x"]}
    assert read_items("command", "true", str(folder)) == {"": []}
    assert read_items("command", "cat", str(folder)) == {"": []}  # there is nothing to read


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("echo x; echo first >&2; echo no luck >&2; exit 3", "`echo x; echo first >&2; echo no luck >&2; exit 3` ended with 3", "no luck"),
        ("kill -9 $$", "`kill -9 $$` was ended by signal 9", ""),
        ("nothing-of-that-name 2>/dev/null", "`nothing-of-that-name 2>/dev/null` ended with 127", ""),
        (r"printf 'a\377'", r"`printf 'a\377'` printed something else than UTF-8 text (byte 1)", ""),
    ],
)  # fmt: skip
def test_a_command_that_gives_no_items(folder, text, message, hint):
    assert command_refused(folder, text) == (message, hint)


@pytest.mark.parametrize(
    "text", ["sleep 30", "sleep 30 | cat", "sleep 30 & exec >&- 2>&-; wait"], ids=["alone", "pipe", "closed"]
)
def test_a_command_that_takes_too_long_is_ended_with_all_it_started(folder, text, monkeypatch):
    monkeypatch.setattr(items, "COMMAND_TIMEOUT_S", 0.3)
    began = time.monotonic()
    assert command_refused(folder, text) == (f"`{text}` took longer than 0.3 s", "let it write a file, and read that")
    assert time.monotonic() - began < 10


def test_a_command_that_prints_too_much_is_ended(folder, monkeypatch):
    monkeypatch.setattr(items, "COMMAND_PRINTS", 1 << 20)
    assert command_refused(folder, "yes") == ("`yes` printed more than 1 MiB", "")


def test_what_a_command_leaves_behind_is_ended(folder):
    read_items("command", "sleep 30 >/dev/null 2>&1 & echo $! > left", str(folder))
    left = int((folder / "left").read_text())
    until = time.monotonic() + 10
    while _lives(left):
        assert time.monotonic() < until, "the sleep goes on"
        time.sleep(0.01)
    assert not _lives(left)


def _lives(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_in_a_folder_that_is_not_there(folder):
    with pytest.raises(ItemsError, match=r"^`echo` cannot be run: no such file or directory$"):
        read_items("command", "echo", os.path.join(folder, "none"))
