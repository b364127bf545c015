from __future__ import annotations

import io
import os
import signal
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joblot.actions.builtin import reading, words
from joblot.actions.builtin.counting import Tally, merged, read_run
from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS
from joblot.errors import ActionError
from joblot.executors import processes

SAMPLE = Path(__file__).parents[3] / "examples/configurable-batch-runner/data/app.log"
ENGINES = ["python", *(["duckdb"] if find_spec("duckdb") else [])]
PARTS = [
    "a",
    "B",
    "É",
    "é",
    "İ",
    "Σ",
    "ς",
    "\n",
    "\r\n",
    "\r",
    " ",
    "  ",
    "\t",
    "\x0b",
    "\x1c",
    "\x1f",
    "\x85",
    "\xa0",
    "\u2003",
]
PARTS += ["\u3000", "\x00", "\ufeff", "ß", "😀", "'", '"', ",", "\\", "NULL", "K"]

SAME_FOLDER = [HealthCheck.function_scoped_fixture]


def frequency(folder, content, **params):
    data = content.encode() if isinstance(content, str) else content
    (folder / "a[1].txt").write_bytes(data)
    return ACTIONS["word_frequency"].call(folder / "a[1].txt", params, Context.for_test(folder))


def expected(content, top_n):
    found = Counter(content.removeprefix("\ufeff").lower().split())
    ranked = sorted(found.items(), key=lambda counted: (-counted[1], counted[0]))
    return {"total_words": sum(found.values()), "top_words": [[word, count] for word, count in ranked[:top_n]]}


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("words")


@pytest.fixture
def four_processes(monkeypatch):
    """Tiny parts, tiny blocks: four processes whatever the machine and the file."""
    monkeypatch.setattr(words, "FORK_BYTES", 4)
    monkeypatch.setattr(words, "BLOCK_BYTES", 7)
    monkeypatch.setattr(words, "cores", lambda: 4)
    before = set(processes.children(os.getpid()))
    yield
    assert not set(processes.children(os.getpid())) - before


def test_r8_words_of_the_sample():
    """R8"""
    found = ACTIONS["word_frequency"].call(SAMPLE, {"top_n": 5}, Context.for_test(SAMPLE.parent))
    assert found["total_words"] == 83
    assert found["top_words"][0] == ["2025-01-15", 10]
    assert len(found["top_words"]) == 5
    assert len(ACTIONS["word_frequency"].call(SAMPLE, {}, Context.for_test(SAMPLE.parent))["top_words"]) == 10


def test_equals_are_in_order_of_code_points(folder):
    assert frequency(folder, "b a É B z z z")["top_words"] == [["z", 3], ["b", 2], ["a", 1], ["é", 1]]


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join))
@settings(max_examples=100, suppress_health_check=SAME_FOLDER)
@pytest.mark.parametrize("engine", ENGINES)
def test_r8_every_engine_counts_as_python_would(folder, engine, content):
    """R8: lower case and white space are those of `str`, whatever counts."""
    assert frequency(folder, content, engine=engine, top_n=7) == expected(content, 7)


@pytest.mark.alone
@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join))
@settings(max_examples=25, deadline=None, suppress_health_check=SAME_FOLDER)
@pytest.mark.usefixtures("four_processes")
def test_r8_four_processes_count_as_one(folder, content):
    """R8"""
    assert frequency(folder, content, top_n=7) == expected(content, 7)


@pytest.mark.alone
@pytest.mark.usefixtures("four_processes")
def test_r28_bad_text_in_any_part_is_found_at_its_byte(folder):
    """R28"""
    for byte in (0, 13, 39):
        data = bytearray(b"abcd " * 8)
        data[byte] = 0xFF
        with pytest.raises(ActionError, match=rf"^not valid UTF-8 text: a\[1\]\.txt \(byte {byte}\)$"):
            frequency(folder, bytes(data))


@pytest.mark.alone
@pytest.mark.usefixtures("four_processes")
def test_a_counting_process_that_is_killed_fails_the_job(folder, monkeypatch):
    real = words._until_orphaned

    def killed(blocks, orphaned):
        os.kill(os.getpid(), signal.SIGKILL)
        return real(blocks, orphaned)

    monkeypatch.setattr(words, "_until_orphaned", killed)
    with pytest.raises(ActionError, match=r"^a process of the action ended early: status -9$"):
        frequency(folder, "abcd " * 8)


@pytest.mark.alone
@pytest.mark.usefixtures("four_processes")
def test_a_failure_of_the_first_part_ends_the_other_processes(folder, monkeypatch):
    parent, real = os.getpid(), words._count

    def failing(tally, blocks, shown):
        if os.getpid() == parent:
            raise RuntimeError("stop")
        real(tally, blocks, shown)

    monkeypatch.setattr(words, "_count", failing)
    with pytest.raises(RuntimeError, match="stop"):
        frequency(folder, "abcd " * 8)


@pytest.mark.parametrize("processes", [1, 4])
def test_a_word_of_any_length_is_refused_instead_of_held(folder, monkeypatch, processes):
    monkeypatch.setattr(words, "LINE_BYTES_MAX", 2**20)
    monkeypatch.setattr(words, "cores", lambda: processes)
    monkeypatch.setattr(words, "FORK_BYTES", 2**10)
    with pytest.raises(ActionError, match=r"^word too long: a\[1\]\.txt has one of more than 1 MiB$"):
        frequency(folder, "x" * (2**20 * 5))


def test_a_negative_number_of_words_is_refused(folder):
    with pytest.raises(ActionError, match=r"^`top_n` must not be negative, got -1$"):
        frequency(folder, "a", top_n=-1)
    assert frequency(folder, "a", top_n=0) == {"total_words": 1, "top_words": []}


@pytest.mark.skipif(find_spec("duckdb") is not None, reason="duckdb is installed")
def test_an_engine_that_is_not_installed_says_how_to_get_it(folder):
    with pytest.raises(
        ActionError, match=r"^`engine: duckdb` needs the package duckdb\nhint: pip install 'joblot\[sql\]'$"
    ) as caught:
        frequency(folder, "a", engine="duckdb")
    assert caught.value.hint == "pip install 'joblot[sql]'"


@given(st.lists(st.lists(st.sampled_from([b"a", b"B", b"b", b"c\xc2\xa0d", b"long" * 9, b""]), max_size=9), max_size=9))
def test_counts_that_do_not_fit_into_memory_are_the_same(blocks):
    with tempfile.TemporaryFile() as file:
        tally = Tally(file, words_max=2, bytes_max=20)
        for pieces in blocks:
            tally.add(pieces, sum(map(len, pieces)))
        tally.flush()
        found = dict(merged(read_run(file.fileno(), start, end) for start, end in tally.runs))
    counted = Counter(word for pieces in blocks for piece in pieces for word in piece.decode().lower().split())
    assert found == counted
    assert list(found) == sorted(found)
    assert tally.total == sum(counted.values())


def test_no_room_for_counts_is_one_line():
    with open("/dev/full", "wb", buffering=0) as raw:
        tally = Tally(FullFile(raw))
        with pytest.raises(ActionError, match=r"^cannot write temporary counts: no space left on device$"):
            tally.add_counted([("a", 1)])


class FullFile(io.BufferedWriter):
    def tell(self):
        return 0

    def close(self):
        return None


def test_blocks_of_reading_are_whole_characters(folder, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 3)
    (folder / "x").write_text("aé€😀" * 3)
    blocks = list(reading.texts(folder / "x", Context.for_test(folder)))
    assert "".join(block.decode() for block in blocks) == "aé€😀" * 3
