"""Log lines from records, with a clock that stands still and a run that is only state, of which progress sees the view alone."""

import re
from itertools import pairwise

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
    clock = clock or ManualClock()
    lines, tell = told(state, PlainProgress, now=clock.now, wall=clock.now)

    def end(*outcomes):
        tell(state.attempts_ended(outcomes, 1.0, slots).events)

    return lines, tell, end


def told(state, kind, *, wall=lambda: 0.0, **options):
    """Progress that was told of the beginning of a run; and what tells it more, as the engine does."""
    lines, view = Lines(), LiveView(state.plan)
    progress = kind(lines, None, wall=wall, **options)

    def tell(events):
        record = ev.Record(1, wall(), events)
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
    assert lines.said[1:] == ["INFO after 5 s: 100/300 done, 100 ok, 200 running, 20.0 jobs/s"]


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


def standing(lines):
    return [line for line in lines.said if "done" in line]


@pytest.mark.parametrize(("jobs", "hours"), [(1, 3), (3, 1), (1000, 2)])
def test_nothing_is_silent_for_more_than_a_minute_nor_said_too_often(jobs, hours):
    """Every 5 s in the first minute, 30 s until 10 minutes, then 60 s for ever; at most 100 lines an hour."""
    clock = ManualClock()
    lines, tell, _ = driven([(f"j{n}", {}) for n in range(jobs)], clock=clock)
    said_at = [0.0]
    assert len(lines.said) == 1
    while clock.now() < hours * 3600:
        clock.advance(0.25)
        tell.progress.idle()
        said_at += [clock.now()] * (len(lines.said) - len(said_at))
    pauses = [(before, after - before) for before, after in pairwise(said_at)]
    assert {pause for at, pause in pauses if at < 60} == {5.0}
    assert max(pause for at, pause in pauses if 60 <= at < 600) == 30.0
    assert max(pause for at, pause in pauses if at >= 600) == 60.0
    assert all(50 <= sum(hour * 3600 <= at < (hour + 1) * 3600 for at in said_at) <= 100 for hour in range(hours))


def test_a_standing_line_waits_after_any_other():
    clock = ManualClock()
    lines, tell, end = driven([("a", {}), ("b", {})], clock=clock)
    clock.advance(4.0)
    end(Outcome(0, 1, "ok", 0.0, 4.0))
    clock.advance(4.0)
    tell.progress.idle()
    assert standing(lines) == []
    clock.advance(1.0)
    tell.progress.idle()
    assert standing(lines) == ["INFO after 9 s: 1/2 done, 1 ok, 1 running, 6.7 jobs/min"]


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [
        (100, 19.9, "after 19 s: 100/1000 done, 100 ok, 4 running, 5.0 jobs/s"),  # too early to guess
        (49, 1000.0, "after 16m40s: 49/1000 done, 49 ok, 4 running, 2.9 jobs/min"),  # too little
        (50, 20.0, "after 20 s: 50/1000 done, 50 ok, 4 running, 2.5 jobs/s, about 6 min left"),
        (900, 20.0, "after 20 s: 900/1000 done, 900 ok, 4 running, 45.0 jobs/s, about 2 s left"),
        (500, 9e5, "after 10d10h: 500/1000 done, 500 ok, 4 running, 2.0 jobs/h, about 10 days left"),
        (60, 9e6, "after 104d04h: 60/1000 done, 60 ok, 4 running, 0.6 jobs/day, more than 99 days left"),
    ],
)
def test_the_time_that_is_left(done, seconds, said):
    """Without history none before 5 % and 20 s, and never more than two digits."""
    clock = ManualClock()
    _, tell, end = driven([(f"j{n}", {}) for n in range(1000)], slots=4, clock=clock)
    for job in range(done):
        end(Outcome(job, 1, "ok", 0.0, 0.0))
    clock.advance(seconds)
    assert tell.progress.tally.standing() == said


@pytest.mark.parametrize(
    ("reason", "state"), [("fail_fast", "aborted"), ("cancelled", "cancelled"), ("time_limit", "aborted")]
)
def test_what_a_stop_has_ended_is_no_progress(reason, state):
    """It said `2796.7 jobs/s, about 2 min left`."""
    clock = ManualClock()
    _, tell, end = driven([(f"j{n}", {}) for n in range(1000)], slots=4, clock=clock)
    for job in range(200):
        end(Outcome(job, 1, "ok", 0.0, 0.5))
    clock.advance(25.0)
    assert re.fullmatch("after 25 s: 200/1000 done, .*, 8.0 jobs/s, about .* left", tell.progress.tally.standing())
    tell([ev.RunStopping(reason), ev.JobsEnded(list(range(204, 1000)), state, reason)])
    said = f"after 25 s: 996/1000 done, 200 ok, 796 {state}, 4 running, 8.0 jobs/s"
    assert tell.progress.tally.standing() == said


def test_after_twenty_failures_only_counts_by_cause():
    clock = ManualClock()
    lines, tell, end = driven([(f"j{n}", {}) for n in range(500)], slots=500, clock=clock)
    for job in range(300):
        end(Outcome(job, 1, "exit", 0.0, 1.0, exit_code=3, message=f"exit status {3 + job % 2}", reason="exit_code"))
    assert sum(line.startswith("ERROR ") for line in lines.said) == DETAILED
    clock.advance(5.0)
    tell.progress.idle()
    assert (
        lines.said[-1]
        == "ERROR 280 more failed: 140 x exit status 3 (such as `j20`), 140 x exit status 4 (such as `j21`)"
    )
    for job in range(300, 400):
        message = f"no {'abcde'[job % 5]}"
        end(Outcome(job, 1, "error", 0.0, 1.0, message=message, reason="exception"))
    clock.advance(5.0)
    tell.progress.idle()
    assert lines.said[-1] == (
        "ERROR 100 more failed: 20 x no a (such as `j300`), 20 x no b (such as `j301`), 20 x no c (such as `j302`), 2 more causes"
    )
    del lines.said[:]
    clock.advance(5.0)
    tell.progress.idle()
    assert lines.said == ["INFO after 15 s: 400/500 done, 400 failed, 100 running, 26.7 jobs/s"]


def test_failures_that_are_allowed_are_counted_apart():
    """They were told as errors, though each of the first twenty was a warning."""
    clock = ManualClock()
    jobs = [(f"j{n}", {"allow_failure": n % 3 == 0}) for n in range(300)]
    lines, tell, end = driven(jobs, slots=300, clock=clock)
    for job in range(90):
        end(Outcome(job, 1, "error", 0.0, 1.0, message="no luck", reason="exception"))
    assert lines.said[1:3] == [
        "WARNING j0: failed (allowed): no luck (1 attempt, 1.0 s)",
        "ERROR j1: failed: no luck (1 attempt, 1.0 s)",
    ]
    clock.advance(5.0)
    tell.progress.idle()
    assert lines.said[-2:] == [
        "ERROR 47 more failed: 47 x no luck (such as `j20`)",
        "WARNING 23 more failed (allowed): 23 x no luck (such as `j21`)",
    ]


def test_after_twenty_retries_only_counts():
    clock = ManualClock()
    lines, tell, end = driven([("a", {"max_attempts": 1000})], clock=clock)
    for attempt in range(1, 51):
        end(Outcome(0, attempt, "error", 0.0, 1.0, message="no luck", reason="exception"))
        tell([ev.AttemptsStarted([0])])
    assert sum(line.startswith("WARNING a: attempt") for line in lines.said) == DETAILED
    clock.advance(5.0)
    tell.progress.idle()
    assert lines.said[-1] == "WARNING 30 more ended badly, to be tried again: 30 x no luck (such as `a`)"


def fan(count, **options):
    """Progress of a run of one fan-out, and what tells it more, with clocks."""
    batch = Batch("b")
    batch.add("one", lambda: None)
    batch.add("j-${{ item }}", lambda **_: None, foreach=list(range(count)), **options)
    state = RunState(batch.plan(), Limits(slots=count + 1))
    clock = ManualClock()
    lines, tell = told(state, PlainProgress, now=clock.now, wall=clock.now)
    return lines, tell, clock


@pytest.mark.parametrize(
    ("took", "seconds", "said"),
    [
        (None, 59.0, None),
        (None, 60.0, "INFO j-1: has been running for 1m00s"),
        (2.0, 60.0, "INFO j-1: has been running for 1m00s; its longest success took 2 s"),
        (40.0, 119.0, None),
        (40.0, 120.0, "INFO j-1: has been running for 2m00s; its longest success took 40 s"),
    ],
)
def test_a_slow_job_is_named_once(took, seconds, said):
    """Slower than a minute and three times its longest success."""
    lines, tell, clock = fan(2)
    if took is not None:
        tell([ev.AttemptEnded(1, 1, wall_s=took)])
    tell([ev.AttemptEnded(0, 1, wall_s=9000.0)])  # of another declaration
    tell([ev.AttemptEnded(1, 1, "exit", "failed", wall_s=5000.0)] if took is None else [])
    clock.advance(seconds)
    tell.progress.idle()
    clock.advance(0.9)
    tell.progress.idle()
    assert [line for line in lines.said if "has been running" in line] == ([said] if said else [])
    clock.advance(1000.0)
    tell.progress.idle()
    clock.advance(1000.0)
    tell.progress.idle()
    assert len([line for line in lines.said if "has been running" in line]) == 1


def test_what_runs_is_told_when_it_is_asked():
    """Age and attempt; and what waits."""
    clock = ManualClock()
    lines, tell, end = driven([(f"j{n}", {"max_attempts": 3, "delay": "30s"}) for n in range(60)], slots=3, clock=clock)
    end(Outcome(1, 1, "error", 0.0, 1.0, message="no", reason="exception"))
    clock.advance(4.0)
    tell.progress.ask()
    tell.progress.idle()
    assert lines.said[-1].splitlines() == [
        "what runs: after 4 s: 0/60 done, 3 running, 1 waiting to retry",
        "     4 s  j0 (attempt 1)",
        "     4 s  j2 (attempt 1)",
        "     4 s  j3 (attempt 1)",
        "  56 waiting, 1 waiting to retry (next in 26 s)",
    ]
    tell.progress.idle()
    assert sum("what runs" in line for line in lines.said) == 1
