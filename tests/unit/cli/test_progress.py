"""Log lines from records, with a clock that stands still and a run that is only state, of which progress sees the view alone."""

import pytest

from joblot import Batch
from joblot.cli.progress import DETAILED, PlainProgress
from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import Outcome
from joblot.core.runstate import RunState
from joblot.reports.view import LiveView


class Lines:
    """Takes what would be printed."""

    def __init__(self):
        self.said = []

    def log(self, level, message):
        self.said.append(f"{level} {message}")

    def note(self, text):
        self.said.append(text)


def driven(jobs, *, slots=4, clock=None, **limits):
    """A run of plain jobs that was begun, and the progress of it."""
    batch = Batch("b")
    for name, options in jobs:
        batch.add(name, options.pop("what", lambda **_: None), **options)
    state = RunState(batch.plan(), Limits(slots=slots, **limits))
    lines, tell = told(state, PlainProgress, now=(clock or ManualClock()).now)

    def end(*outcomes):
        tell(state.attempts_ended(outcomes, 1.0, slots).events)

    return lines, tell, end


def told(state, kind, **options):
    """Progress that was told of the beginning of a run; and what tells it more, as the engine does."""
    lines, view = Lines(), LiveView(state.plan)
    progress = kind(lines, None, **options)

    def tell(events):
        record = ev.Record(1, 0.0, events)
        view.apply(record)
        if not progress.begun:
            progress.started("r1", view)
        progress.recorded(record)

    tell.progress = progress
    tell(state.start(0.0, state.limits.slots, settings={"workers": state.limits.slots}).events)
    return lines, tell


def test_jobs_that_end_in_one_record_are_numbered_in_its_order():
    lines, _, end = driven([("a", {}), ("b", {}), ("c", {})])
    end(Outcome(1, 1, "ok", 0.0, 1.5), Outcome(0, 1, "ok", 0.0, 0.25))
    end(Outcome(2, 1, "ok", 0.0, 0.001))
    assert lines.said == [
        "INFO run `r1`: 3 jobs, 4 at once",
        "INFO [1/3] b: success (1.5 s)",
        "INFO [2/3] a: success (250 ms)",
        "INFO [3/3] c: success (1 ms)",
    ]


def test_a_failure_and_what_it_brings_about():
    lines, _, end = driven([("a", {}), ("b", {"needs": ["a"]})])
    end(Outcome(0, 1, "timeout", 0.0, 3.0, message="took longer than 3 s", reason="timeout"))
    assert lines.said[1:] == [
        "ERROR [1/2] a: failed: took longer than 3 s (1 attempt, 3.0 s)",
        "INFO [2/2] b: skipped: `a` failed",
    ]


def test_why_a_run_stops():
    lines, _, end = driven([("a", {}), ("b", {})], slots=1, fail_fast=True)
    end(Outcome(0, 1, "error", 0.0, 0.0, message="no"))
    assert "WARNING stopping: `a` failed" in lines.said


def test_a_large_run_says_every_five_seconds_how_far_it_is():
    clock = ManualClock()
    lines, tell, end = driven([(f"j{n}", {}) for n in range(300)], slots=300, clock=clock)
    end(*(Outcome(n, 1, "ok", 0.0, 0.0) for n in range(100)))
    clock.advance(4.9)
    tell.progress.idle()
    assert lines.said == ["INFO run `r1`: 300 jobs, 300 at once"]
    clock.advance(0.1)
    tell.progress.idle()
    tell.progress.idle()
    assert lines.said[1:] == ["INFO 100 of 300 done, 100 ok, 200 running, 20.0 jobs/s, about 10.0 s left"]


def test_unknown_actions_of_a_large_run_are_named_up_to_a_limit():
    """R15"""
    count = 300
    batch = Batch("b")
    for number in range(count):
        batch.add(f"j{number}", "nope")
    state = RunState(batch.plan(), Limits(), unknown_actions=range(count))
    lines, _ = told(state, PlainProgress, now=ManualClock().now)
    assert lines.said[1] == "WARNING j0: skipped: unknown action `nope`"
    assert len(lines.said) == 1 + DETAILED + 1
    assert lines.said[-1] == "WARNING 300 jobs in all are skipped because their actions are unknown"


@pytest.mark.parametrize(("level", "shown"), [("info", True), ("warning", True), ("error", True)])
def test_what_actions_log_is_shown(level, shown):
    lines, tell, _ = driven([("a", {})])
    tell([ev.Logged("log", level, 0, 1, "half\x1b[31m way", {"rows": 5})])
    assert (f"{level.upper()} a: half way rows=5" in lines.said) is shown


def test_many_attempts_that_were_running_when_the_runner_ended_are_one_line():
    jobs = [(f"j{number}", {}) for number in range(DETAILED + 5)]
    lines, tell, _ = driven(jobs, slots=DETAILED + 5)
    del lines.said[:]
    cut = [
        ev.AttemptEnded(job, 1, "interrupted", "ready", message="the runner ended while it ran")
        for job in range(DETAILED + 5)
    ]
    tell(cut[:3])
    assert len(lines.said) == 3
    del lines.said[:]
    tell(cut)
    assert lines.said == ["WARNING 25 attempts were running when the runner ended; their jobs go on as each may"]


def test_many_jobs_that_are_cancelled_at_once_are_one_line():
    jobs = [(f"j{number}", {}) for number in range(DETAILED + 6)]
    lines, tell, _ = driven(jobs, slots=1)
    del lines.said[:]
    waiting = list(range(1, DETAILED + 6))
    tell([ev.JobsEnded(waiting, "cancelled", "cancelled")])
    assert lines.said == ["WARNING 25 jobs: cancelled: the run was cancelled"]
