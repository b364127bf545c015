"""Tables and carets on a terminal that is narrower than they could be."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios

import pytest

from joblot.__main__ import main

BATCH = """\
name: night
jobs:
  - {name: orders, run: "sort monday.csv tuesday.csv > orders.csv", outputs: [orders.csv], timeout: 10m}
  - {name: stock, run: "sort stock.csv > stock-sorted.csv", outputs: [stock-sorted.csv], retry: {max_attempts: 3, delay: 1ms}}
  - {name: joined, input: [orders.csv, stock-sorted.csv], outputs: [joined.csv], run: "join -t, ${{ input }} > ${{ outputs }}"}
  - {name: good, run: "true"}
"""
WRONG = BATCH.replace("retry:", "rety:").replace("name: good, run", "name: good, rum")
WIDTHS = [200, 120, 100, 80, 60, 50, 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    (folder / "joblot.yaml").write_text(BATCH)
    (folder / "wrong.yaml").write_text(WRONG)
    here = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["run", "-q", "--on", "inline", "--run-id", "20261129-123906-de5b7b31"]) == 1
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def shown(folder, monkeypatch):
    """The lines that a command prints to a terminal of so many columns."""
    for name in ("CI", "JOBLOT_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(folder)

    def on_a_terminal(columns, *words):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with monkeypatch.context() as patch, os.fdopen(theirs, "w") as terminal:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            main(list(words))
            terminal.write("\x04")
        text = b""
        with os.fdopen(ours, "rb", buffering=0) as reader:
            while b"\x04" not in text:
                text += reader.read(4096)
        return text.partition(b"\x04")[0].decode().replace("\r", "").splitlines()

    return on_a_terminal


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_line_of_ls_is_broken_and_which_run_came_to_what_is_always_there(shown, columns):
    head, row = shown(columns, "ls")
    assert max(len(head), len(row)) < columns
    assert re.match(r"20261129-123906-de5b7b31 .*\bfailed\b", row)
    assert ("STARTED" in head) == (columns >= 120)
    assert ("JOBS" in head) == (columns >= 80)


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_row_of_plan_is_broken_but_below_itself(shown, columns):
    lines = shown(columns, "plan")
    rows = [line for line in lines if line.startswith("  ") and not line.startswith("  with -j")]
    assert max(map(len, rows)) < columns
    text = " ".join(" ".join(rows).split())
    told = re.sub(r"run: .*?  +", "", " ".join(rows))
    assert "orders" in text
    for word in ("timeout 10m00s", "3 attempts", "needs orders (orders.csv), stock (stock-sorted.csv)"):
        words = word.split()
        assert re.search(r"\s+(\S*\.\.\.\s+)?".join(map(re.escape, words)), told), (word, lines)
    assert ("run: true" in text) == (columns >= 60), lines


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_caret_stands_below_what_it_means(shown, columns):
    lines = shown(columns, "validate", "wrong.yaml")
    carets = [number for number, line in enumerate(lines) if re.fullmatch(r" +\| +\^", line)]
    found = [lines[number - 1][lines[number].index("^") :].split(":")[0] for number in carets]
    assert found == ["rety", "rum"]
    assert all(len(lines[number - 1]) < columns for number in carets)


def test_what_is_no_terminal_has_every_column(joblot):
    joblot.write("joblot.yaml", BATCH)
    joblot("run", "-q", "--run-id", "20261129-123906-de5b7b31")
    assert joblot("ls", env={"COLUMNS": "40"}).out.split("\n")[0].split() == [
        "RUN",
        "BATCH",
        "STATUS",
        "STARTED",
        "TOOK",
        "JOBS",
    ]
    assert "run: join -t, orders.csv stock-sorted.csv > joined.csv  " in joblot("plan", env={"COLUMNS": "40"}).out
