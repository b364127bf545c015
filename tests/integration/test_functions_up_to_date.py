"""Functions of a program that need not run again: those that declare outputs, or say `cache`, while nothing that they come from has changed."""

from __future__ import annotations

import sys
from itertools import count
from types import ModuleType

import pytest

from joblot import Batch, ConfigError

_numbers = count()

PROGRAM = """
factor = 2

def helper(n):
    return n * factor

def work(n=3):
    return {"made": helper(n)}

def unrelated():
    return 1

def write(path="out.txt"):
    with open(path, "w") as file:
        file.write(str(helper(1)))
    return {"written": True}
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Run a batch of the functions of a program's text, as if the program had been begun anew."""
    monkeypatch.chdir(tmp_path)

    def run(text=PROGRAM, options=None, *, on="inline", what="work", **jobs):
        made = ModuleType(f"program{next(_numbers)}")
        monkeypatch.setitem(sys.modules, made.__name__, made)
        exec(compile(text, "<program>", "exec", dont_inherit=True), made.__dict__)
        batch = Batch("b", folder=tmp_path)
        batch.add("job", getattr(made, what), **(options if options is not None else {"cache": True}))
        for name, more in jobs.items():
            batch.add(name, getattr(made, more.pop("what")), **more)
        return batch.run(on=on)

    return run


@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
def test_a_cached_function_runs_once_and_keeps_its_result(program, on):
    first, second = program(on=on), program(on=on)
    assert [report.jobs["job"].state for report in (first, second)] == ["success", "cached"]
    assert [report.jobs["job"].result for report in (first, second)] == [{"made": 6}] * 2


@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
def test_a_function_that_makes_a_file_runs_when_the_file_has_gone(program, tmp_path, on):
    options = {"outputs": ["out.txt"]}
    assert program(what="write", options=options, on=on).jobs["job"].state == "success"
    assert program(what="write", options=options, on=on).jobs["job"].state == "cached"
    (tmp_path / "out.txt").unlink()
    assert program(what="write", options=options, on=on).jobs["job"].state == "success"
    assert (tmp_path / "out.txt").read_text() == "2"


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ("factor = 2", "factor = 4", "success"),
        ("n * factor", "n + factor", "success"),
        ("n=3", "n=4", "success"),
        ('"made"', '"done"', "success"),
        ("def unrelated():\n    return 1", "def unrelated():\n    return 2", "cached"),
        ("\ndef work", "\n\n# what does it\ndef work", "cached"),
    ],
)
def test_it_runs_again_when_its_code_or_what_it_names_has_changed(program, old, new, state):
    program()
    assert program(PROGRAM.replace(old, new)).jobs["job"].state == state


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ({"params": {"n": 1}}, {"params": {"n": 2}}, "success"),
        ({"params": {"n": 1}}, {"params": {"n": 1}}, "cached"),
        ({}, {"timeout": 5}, "cached"),
        ({}, {"env": {"A": "1"}}, "success"),
        ({}, {"cache": False}, "success"),
    ],
)
def test_it_runs_again_when_what_it_is_given_has_changed(program, first, second, state):
    program(options={"cache": True, **first})
    assert program(options={"cache": True, **second}).jobs["job"].state == state


def test_it_runs_again_when_the_result_that_it_is_given_has_changed(program):
    after = {"after": {"what": "work", "needs": ["job"], "params": {"n": "${{ jobs.job.result.made }}"}, "cache": True}}

    def states(text):
        report = program(text, after={**after["after"]})
        return [report.jobs[name].state for name in ("job", "after")]

    assert states(PROGRAM) == ["success", "success"]
    assert states(PROGRAM) == ["cached", "cached"]
    same = PROGRAM.replace("return n * factor", "return factor * n")
    assert states(same) == ["success", "success"]  # both use the helper
    assert states(same.replace("n=3", "n=5")) == ["success", "success"]


def test_a_failure_is_no_success(program):
    text = PROGRAM.replace("return n * factor", "raise ValueError(n)")
    assert [program(text).jobs["job"].state for _ in range(2)] == ["failed", "failed"]


def test_what_cannot_be_compared_runs_each_time_and_is_told(tmp_path):
    class Told:
        def __init__(self):
            self.warnings = []

        def started(self, run_id, view): ...
        def recorded(self, record): ...
        def idle(self): ...
        def ended(self, status): ...
        def warned(self, message):
            self.warnings.append(message)

    opaque, told = iter([1]), Told()
    batch = Batch("b", folder=tmp_path)
    batch.add("job", lambda n: opaque and n, params={"n": "${{ item }}"}, foreach=[1, 2], cache=True)
    for _ in range(2):
        assert batch.run(on="inline", observers=[told]).counts["success"] == 2
    why = "job-1: runs each time: its function uses `opaque`, a value of type `list_iterator`, which joblot cannot compare"
    assert told.warnings == [why] * 2


def test_a_retry_runs_a_cached_function_whose_code_has_changed(tmp_path):
    def batch_of(work, code):
        batch = Batch("b", folder=tmp_path)
        batch.add("job", work, cache=True)
        batch.command("bad", f"exit {code}")
        return batch

    first = batch_of(lambda: 1, 3).run(on="inline")
    again = batch_of(lambda: 2, 0).run(on="inline", retry=first.run_id)
    assert (again.jobs["job"].state, again.jobs["job"].result) == ("success", 2)


def test_a_job_at_the_end_is_never_cached(tmp_path):
    with pytest.raises(
        ConfigError, match=r"a job of `finally` has no `cache`\nhint: it runs each time: leave `cache` out$"
    ):
        Batch("b", folder=tmp_path).add("end", print, finally_=True, cache=True)


def test_commands_and_actions_may_be_cached_too(tmp_path):
    def run(text):
        batch = Batch("b", folder=tmp_path)
        batch.command("count", "echo x >> runs.txt; echo '{\"n\": 1}' > $JOBLOT_OUTPUT", cache=True)
        (tmp_path / "in.txt").write_text(text)
        batch.add("lines", "count_lines", input="in.txt", cache=True)
        return [job.state for job in batch.run(on="inline").jobs.values()]

    assert run("a\n") == ["success", "success"]
    assert run("a\n") == ["cached", "cached"]
    assert run("b\nc\n") == ["cached", "success"]
    assert (tmp_path / "runs.txt").read_text() == "x\n"
