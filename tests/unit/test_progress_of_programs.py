"""What a program that calls `run` sees of it: on a terminal what the command shows, elsewhere what it asks for, and nothing of itself."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest

from joblot import Batch, BatchFailedError, Progress
from joblot.errors import UsageError


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self):
        return True


def three_of_which_two_fail(folder):
    def bad(number):
        raise ValueError(f"cannot read {number}")

    batch = Batch("nightly", folder=folder)
    batch.add("good", lambda: 1)
    batch.add("bad", bad, params={"number": "${{ item }}"}, foreach=[1, 2])
    return batch


@pytest.fixture
def terminal(monkeypatch):
    """Make standard error a terminal; in the test itself, for pytest puts a stream of its own there before each phase."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def begin():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return begin


def test_a_terminal_shows_the_run_and_its_failures_at_once(tmp_path, terminal):
    stdout, stderr = sys.stdout, terminal()
    three_of_which_two_fail(tmp_path).run(on="inline")
    shown = stderr.getvalue()
    assert "bad-1: failed: ValueError: cannot read 1" in shown
    assert "Batch nightly:" in shown
    assert "\x1b[" in shown
    assert (sys.stdout, sys.stderr) == (stdout, stderr)  # they stay the program's


def test_a_terminal_without_colours_shows_nothing_unless_asked(tmp_path, terminal, monkeypatch):
    stderr = terminal()
    monkeypatch.setenv("TERM", "dumb")
    batch = three_of_which_two_fail(tmp_path)
    batch.run(on="inline")
    assert stderr.getvalue() == ""
    batch.run(on="inline", progress=True)
    assert "\x1b" not in stderr.getvalue()
    assert "Batch nightly: failed" in stderr.getvalue()


@pytest.mark.parametrize("progress", ["auto", False])
def test_elsewhere_nothing_is_printed(tmp_path, capfd, progress):
    report = three_of_which_two_fail(tmp_path).run(on="inline", progress=progress)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(BatchFailedError) as caught:
        report.check()
    assert str(caught.value) == "2 of 3 jobs failed: 2 x ValueError: cannot read <n> (such as `bad-1`)"
    (note,) = caught.value.__notes__
    assert note.startswith("of job `bad-1`:\nTraceback (most recent call last):\n")
    assert note.endswith("\nValueError: cannot read 1")


@pytest.mark.parametrize(
    "printed", ["reading\n", "row 3", "\r 10 %\r 20 %", "Traceback (most recent call last):\n  of another\n"]
)
def test_the_traceback_of_a_job_that_has_printed(tmp_path, printed):
    def bad():
        print(printed, end="")
        raise ValueError("no")

    batch = Batch("printing", folder=tmp_path)
    batch.add("bad", bad)
    with pytest.raises(BatchFailedError) as caught:
        batch.run(on="inline").check()
    (note,) = caught.value.__notes__
    assert note.startswith("of job `bad`:\nTraceback (most recent call last):\n  File ")
    assert note.endswith("\nValueError: no")


def test_lines_where_they_are_asked_for(tmp_path, capfd):
    three_of_which_two_fail(tmp_path).run(on="inline", state=False, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "| ERROR | [2/3] bad-1: failed: ValueError: cannot read 1" in err
    assert "Batch nightly: failed" in err


def test_a_function_is_told(tmp_path, capfd):
    told: list[Progress] = []
    three_of_which_two_fail(tmp_path).run(on="inline", progress=told.append)
    assert (told[0].total, told[0].done) == (3, 0)
    last = told[-1]
    assert (last.total, last.done, last.failed, last.running) == (3, 3, 2, 0)
    assert last.elapsed_s >= told[0].elapsed_s >= 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("yes", "the text `yes`"), (1, "the number 1"), (None, "null"), ([], "a list"), (0, "the number 0")],
)
def test_what_is_no_way_to_show_a_run_is_refused(tmp_path, value, shown):
    with pytest.raises(UsageError) as caught:
        three_of_which_two_fail(tmp_path).run(on="inline", progress=value)
    assert str(caught.value) == f'`progress` must be "auto", true, false or a function, not {shown}'


def test_a_function_that_fails_is_told_of_once_and_the_run_goes_on(tmp_path):
    def tell(told):
        raise KeyError(told.done)

    with pytest.warns(RuntimeWarning) as caught:
        report = three_of_which_two_fail(tmp_path).run(on="inline", progress=tell)
    assert [str(one.message) for one in caught] == ["the run is not shown any more: KeyError: 0"]
    assert report.counts["success"] == 1


def test_a_run_that_cannot_begin_leaves_no_display(tmp_path, terminal):
    batch, stderr = three_of_which_two_fail(tmp_path), terminal()
    (tmp_path / ".joblot").write_text("no folder")
    with pytest.raises(Exception, match=r"\.joblot"):
        batch.run(on="inline")
    assert "Batch nightly" not in stderr.getvalue()


def test_another_module_of_that_name_is_no_notebook(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    assert three_of_which_two_fail(tmp_path).run(on="inline").counts["failed"] == 2
    assert capfd.readouterr() == ("", "")
