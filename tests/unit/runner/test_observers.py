"""What observers are given: a view of what is recorded, and never the state that decides."""

import pytest

from joblot import Batch, run
from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.errors import JournalWriteError
from joblot.journal.memory import MemoryJournal
from joblot.reports.view import LiveView
from joblot.runner.engine import Engine
from joblot.testing.declare import declare
from joblot.testing.executor import ScriptedExecutor


def noop():
    """A job."""


class Watcher:
    """Notes what the view says whenever something is told."""

    def __init__(self):
        self.told, self.warnings, self.view = [], [], None

    def started(self, run_id, view):
        self.run_id, self.view = run_id, view
        self.note("started")

    def recorded(self, record):
        self.note(*(type(event).__name__ for event in record.events))

    def idle(self): ...
    def warned(self, message):
        self.warnings.append((message, self.view is None))

    def ended(self, status):
        self.note("ended")

    def note(self, *what):
        self.told.append((what, {name: count for name, count in self.view.counts.items() if count}))


def batch():
    made = Batch("watched")
    made.add("a", noop)
    made.add("b", noop, needs=["a"])
    made.add("c", noop)
    return made


def test_the_view_is_as_new_as_what_is_recorded(tmp_path):
    watcher = Watcher()
    report = batch().run(on="inline", state=tmp_path / "state", run_id="r1", observers=[watcher])
    assert watcher.told[0] == (("started",), {"waiting": 1, "running": 2})
    assert watcher.told[1] == (("RunStarted", "AttemptsStarted"), {"waiting": 1, "running": 2})
    assert watcher.told[-1] == (("ended",), {"success": 3})
    assert report.view is watcher.view
    assert (watcher.run_id, watcher.view.status, watcher.view.settings["on"]) == ("r1", "success", "inline")


def test_it_has_the_plan_and_nothing_of_the_engine(tmp_path):
    """Nobody can change what the engine decides by: the attributes of the state are not there."""
    watcher = Watcher()
    batch().run(on="inline", state=tmp_path / "state", observers=[watcher])
    view = watcher.view
    assert isinstance(view, LiveView)
    assert [view.plan.name(job) for job in range(view.jobs)] == ["a", "b", "c"]
    assert [view.state(job) for job in range(view.jobs)] == ["success"] * 3
    assert not any(isinstance(value, (RunState, Engine, Limits)) for value in vars(view).values())


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"foreach": "data/*.csv"}, ["job `a`: `foreach` has no items, so no job is made of it"]),
        ({"foreach": []}, ["job `a`: `foreach` has no items, so no job is made of it"]),
        ({"foreach": {"lines": "empty.txt"}}, ["job `a`: `foreach` has no items, so no job is made of it"]),
        ({"retry_only": ["ValueError"], "max_attempts": 2}, ["job `a` is never tried again: `only` has exceptions, and a command raises none"]),
        ({"foreach": [1]}, []),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_batch_is_told_before_it_begins(tmp_path, job, told):
    """From Python as by the command, which says it of a file."""
    watcher = Watcher()
    (tmp_path / "empty.txt").touch()
    made = Batch("odd", folder=tmp_path)
    made.command("a", "true", **job)
    made.command("b", "true")
    made.run(on="inline", state=False, observers=[watcher])
    assert watcher.warnings == [(message, True) for message in told]


def test_what_is_odd_about_a_file_is_told_before_it_begins(tmp_path):
    watcher = Watcher()
    (tmp_path / "b.yaml").write_text("jobs:\n  - {name: a, run: 'true', foreach: []}\n")
    run(tmp_path / "b.yaml", on="inline", state=False, observers=[watcher])
    assert watcher.warnings[0][0] == f"{tmp_path}/b.yaml:2:37: `foreach` has no items, so no job is made of it"


def test_what_is_left_out_is_known_from_the_start(tmp_path):
    watcher = Watcher()
    batch().run(on="inline", state=tmp_path / "state", only="c", observers=[watcher])
    assert watcher.told[0] == (("started",), {"running": 1})
    assert watcher.view.left_out == {0, 1}


def test_a_run_that_goes_on_begins_with_what_it_had(tmp_path):
    made, state = Batch("watched"), tmp_path / "state"
    made.add("a", noop)
    made.command("b", "test -e mended", needs=["a"])
    made.run(on="inline", state=state, run_id="r1")
    watcher = Watcher()
    made.run(on="inline", state=state, resume="r1", observers=[watcher])
    assert watcher.told[0] == (("started",), {"success": 1, "running": 1})
    assert watcher.view.facts(0).attempts == 1


@pytest.mark.parametrize("applied", [False, True])
def test_the_engine_makes_the_view_of_the_journal_when_it_is_given_none(applied):
    plan, clock, journal, watcher = expand(declare("a; b needs a")), ManualClock(), MemoryJournal(), Watcher()
    journal.create("r1", batch="b", source="", jobs=2, plan=plan.encoded, at=0.0)
    state = RunState(plan, Limits(slots=1))
    if applied:
        record = journal.append("r1", state.start(0.0, 1).events, 0.0)
        journal.append("r1", [ev.AttemptEnded(0, 1)], 0.0)
        state = RunState(plan, Limits(slots=1))
        for event in [*record.events, ev.AttemptEnded(0, 1)]:
            state.apply(event)
    engine = Engine(
        run_id="r1",
        state=state,
        journal=journal,
        executor=ScriptedExecutor(plan, clock),
        clock=clock,
        began_at=0.0,
        observers=[watcher],
    )
    assert engine.drive((state.resume if applied else state.start)(0.0, 1)) == "success"
    assert watcher.told[0] == (("started",), {"success": 1, "running": 1} if applied else {"waiting": 1, "running": 1})
    assert watcher.told[-1][1] == {"success": 2}


def test_nobody_is_told_of_a_beginning_that_is_not_recorded():
    plan, clock, watcher = expand(declare("a")), ManualClock(), Watcher()

    class Full(MemoryJournal):
        def append(self, run_id, events, at):
            raise JournalWriteError("no space left")

    journal = Full()
    journal.create("r1", batch="b", source="", jobs=1, plan=plan.encoded, at=0.0)
    state = RunState(plan, Limits(slots=1))
    engine = Engine(
        run_id="r1",
        state=state,
        journal=journal,
        executor=ScriptedExecutor(plan, clock),
        clock=clock,
        began_at=None,
        observers=[watcher],
    )
    with pytest.raises(JournalWriteError):
        engine.drive(state.start(0.0, 1))
    assert watcher.told == []


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"foreach": "*.csv", "params": {"path": "${{ item }}"}}, "a.csv"),
        ({"foreach": ["a.csv", "b.csv"], "params": {"path": "${{ item }}"}}, "a.csv"),
        ({"matrix": {"n": [1], "name": ["b.csv"]}, "params": {"path": "${{ matrix.name }}"}}, "b.csv"),
        ({"params": {"path": "a.csv"}}, "a.csv"),
        ({"foreach": "*.csv", "input": "${{ item }}", "params": {"path": "${{ item }}"}}, ""),
        ({"params": {"path": "b.csv"}, "outputs": ["b.csv"]}, ""),
        ({"params": {"path": "no.csv"}}, ""),
        ({"params": {"path": "a.csv"}, "cache": False}, ""),
    ],
)
def test_a_file_that_cache_does_not_see_is_told(tmp_path, job, told):
    """Its job would give the result of the file as it was, without a word."""
    watcher = Watcher()
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    made = Batch("odd", folder=tmp_path)
    made.add("a", lambda path: 1, **{"cache": True, **job})
    made.run(on="inline", observers=[watcher])
    expected = f"job `a`: `cache` sees no change of `{told}`: files are compared when they are `input`"
    assert [message for message, before in watcher.warnings if before] == ([expected] if told else [])
