from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joblot.actions.builtin import reading, text
from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS
from joblot.errors import ActionError

SAMPLE = Path(__file__).parents[3] / "examples/configurable-batch-runner/data/app.log"
ENDS = ["", "\n", "\r\n", "x", "é", "ERROR", " ", "\r", "\u2028", "€", "😀"]
TEXTS = st.lists(st.sampled_from(ENDS), max_size=40).map("".join)

SAME_FOLDER = [HealthCheck.function_scoped_fixture]


def act(name, folder, content, **params):
    data = content.encode() if isinstance(content, str) else content
    (folder / "in.txt").write_bytes(data)
    return ACTIONS[name].call(folder / "in.txt", params, Context.for_test(folder))


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text")


@pytest.fixture
def tiny_blocks(monkeypatch):
    """Blocks of seven bytes, so that everything is cut somewhere."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", 7)


def test_r7_count_lines_of_the_sample():
    """R7"""
    ctx = Context.for_test(SAMPLE.parent)
    assert ACTIONS["count_lines"].call(SAMPLE, {}, ctx) == {"total_lines": 10}
    counted = ACTIONS["count_lines"].call(SAMPLE, {"pattern": "ERROR"}, ctx)
    assert counted == {"total_lines": 10, "matching_lines": 2, "pattern": "ERROR"}


def test_r9_file_stats_of_the_sample():
    """R9"""
    stats = ACTIONS["file_stats"].call(SAMPLE, {}, Context.for_test(SAMPLE.parent))
    assert stats == {"size_bytes": 638, "line_count": 10, "char_count": 638, "word_count": 83}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", 0),
        ("\n", 1),
        ("a", 1),
        ("a\n", 1),
        ("a\n\n", 2),
        ("a\nb", 2),
        ("a\r\nb\r\n", 2),
        ("a\rb", 1),
        ("a\u2028b\x0cc", 1),
    ],
)
def test_what_a_line_is(folder, content, lines):
    assert act("count_lines", folder, content) == {"total_lines": lines}


@given(TEXTS, st.sampled_from(["ERROR", "xx", "é", "R", " ", "ERROR ERROR", "\r", ""]))
@settings(max_examples=300, suppress_health_check=SAME_FOLDER)
@pytest.mark.usefixtures("tiny_blocks")
def test_lines_holding_a_text_are_counted_over_blocks_cut_anywhere(folder, content, pattern):
    lines = content.removesuffix("\n").split("\n") if content else []
    found = act("count_lines", folder, content, pattern=pattern)
    assert found == {
        "total_lines": len(lines),
        "matching_lines": sum(pattern in line for line in lines),
        "pattern": pattern,
    }


def test_a_pattern_with_a_line_break_is_refused(folder):
    with pytest.raises(ActionError, match=r"^`pattern` holds a line break, so no line can hold it$"):
        act("count_lines", folder, "", pattern="a\nb")


@given(TEXTS)
@settings(max_examples=300, suppress_health_check=SAME_FOLDER)
@pytest.mark.usefixtures("tiny_blocks")
def test_file_stats_are_pythons_own_counts_over_blocks_cut_anywhere(folder, content):
    assert act("file_stats", folder, content) == {
        "size_bytes": len(content.encode()),
        "line_count": len(content.removesuffix("\n").split("\n")) if content else 0,
        "char_count": len(content),
        "word_count": len(content.split()),
    }


def test_a_byte_order_mark_is_not_text(folder):
    assert act("file_stats", folder, "\ufeffa b\n") == {
        "size_bytes": 7,
        "line_count": 1,
        "char_count": 4,
        "word_count": 2,
    }


@pytest.mark.parametrize("name", ["count_lines", "file_stats", "process_items", "search_pattern", "word_frequency"])
@pytest.mark.usefixtures("tiny_blocks")
class TestBadInput:
    """What every text action says of an input that it cannot read."""

    def params(self, name):
        return {"pattern": "x"} if name == "search_pattern" else {}

    def fails(self, name, path, folder):
        with pytest.raises(ActionError) as caught:
            ACTIONS[name].call(path, self.params(name), Context.for_test(folder))
        return caught.value.message, caught.value.reason

    def test_r14_a_missing_file(self, name, folder):
        """R14: the path as the batch gives it."""
        assert self.fails(name, folder / "data/none.txt", folder) == ("file not found: data/none.txt", "missing_input")
        assert self.fails(name, Path("/no/such"), folder) == ("file not found: /no/such", "missing_input")
        (folder / "file").touch()
        assert self.fails(name, folder / "file/below", folder) == ("file not found: file/below", "missing_input")

    def test_r28_a_directory(self, name, folder):
        """R28"""
        (folder / "sub").mkdir()
        assert self.fails(name, folder / "sub", folder) == ("is a directory: sub", "bad_input")

    @pytest.mark.parametrize(
        ("data", "byte"),
        [
            (b"\xff", 0),
            (b"abcdef\xc3", 6),
            (b"0123456789 \xed\xa0\x80", 11),
            (b"abcdef\xc3(", 6),
            (b"ok \x80\n" * 9, 3),
        ],
    )
    def test_r28_bytes_that_are_not_utf8(self, name, folder, data, byte):
        """R28"""
        (folder / "x.bin").write_bytes(data)
        assert self.fails(name, folder / "x.bin", folder) == (f"not valid UTF-8 text: x.bin (byte {byte})", "bad_input")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission(self, name, folder):
        (folder / "x").touch(mode=0)
        assert self.fails(name, folder / "x", folder) == ("permission denied: x", "bad_input")

    def test_a_pipe_is_read_to_its_end(self, name, folder):
        os.mkfifo(folder / "pipe")
        writer = threading.Thread(target=(folder / "pipe").write_text, args=("x y\nz\n",))
        writer.start()
        if name != "file_stats":
            assert ACTIONS[name].call(folder / "pipe", self.params(name), Context.for_test(folder))
        else:
            assert ACTIONS[name].call(folder / "pipe", {}, Context.for_test(folder))["word_count"] == 3
        writer.join()


def test_r33_r34_items_are_stripped_lines_that_are_not_blank(folder):
    """R33 R34"""
    assert act("process_items", folder, "a\n\n b \r\n \t\n") == [
        {"index": 0, "item": "a", "processed": True},
        {"index": 1, "item": "b", "processed": True},
    ]


@pytest.mark.parametrize("content", ["", "\n \n", "one", 'a\n\n "é" \nc\\'])
def test_r33_items_can_be_written_to_a_file(folder, content):
    """R33: the same items, as a JSON list in the order of the input."""
    expected = act("process_items", folder, content)
    result = act("process_items", folder, content, output=folder / "out/items.json")
    assert json.loads((folder / "out/items.json").read_text()) == expected
    assert result == {"items": len(expected), "output": "out/items.json"}


def test_items_too_many_for_a_result_are_refused_with_the_way_out(folder, monkeypatch):
    monkeypatch.setattr(text, "RESULT_BYTES_MAX", 100)
    with pytest.raises(ActionError, match=r"^the items do not fit into a result of 1 MiB: name a file in `output`$"):
        act("process_items", folder, "a\n" * 10)


def test_a_line_of_any_length_is_counted_but_not_searched(folder, monkeypatch):
    monkeypatch.setattr(reading, "LINE_BYTES_MAX", 2**20)
    content = "x" * (2**20 + 2**17)
    assert act("count_lines", folder, content, pattern="x") == {"total_lines": 1, "matching_lines": 1, "pattern": "x"}
    with pytest.raises(ActionError, match=r"^line too long: in.txt has one of more than 1 MiB$"):
        act("search_pattern", folder, content, pattern="x")
