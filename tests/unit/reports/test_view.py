from __future__ import annotations

import sys
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.model import FINAL, STATES, Artifact
from joblot.reports.view import RunView

T0 = 1_800_000_000.0


def view_of(*steps, names="abcdef", **options):
    """A view after one record a step, the records one second apart."""
    view = RunView(names, len(names), **options)
    return view.apply_all(ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps))


def test_a_fresh_view_has_every_job_waiting():
    view = RunView(str, 3)
    assert view.counts == dict.fromkeys(STATES, 0) | {"waiting": 3}
    assert (view.status, view.ended, view.started_at, view.wall_s, view.failures) == ("", False, None, 0.0, [])
    facts = view.facts(2)
    assert (facts.name, facts.state, facts.attempts, facts.began_at, facts.ended_at) == ("2", "waiting", 0, None, None)


def test_a_plain_job_is_told_from_start_to_end():
    view = view_of(
        [ev.RunStarted("f", 6, by={"joblot": "1.2"}), ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 1, began_s=0.25, wall_s=0.5, cpu_s=0.1, peak_bytes=7, result=ev.Raw(b'{"n":1}'))],
        [ev.RunEnded("success", 1.5)],
    )
    facts = view.facts(0)
    assert (facts.state, facts.attempts, facts.wall_s, facts.cpu_s, facts.peak_bytes) == ("success", 1, 0.5, 0.1, 7)
    assert (facts.began_at, facts.ended_at, facts.result, facts.history) == (T0 + 0.25, T0 + 1, b'{"n":1}', ())
    assert (view.status, view.started_at, view.ended_at, view.wall_s, view.by) == (
        "success",
        T0,
        T0 + 2,
        1.5,
        {"joblot": "1.2"},
    )


def test_a_running_job_has_begun_when_it_was_handed_out():
    view = view_of([ev.RunStarted("f", 6)], [ev.AttemptsStarted([1])])
    assert (view.state(1), view.facts(1).began_at, view.facts(1).ended_at) == ("running", T0 + 1, None)


def test_durations_cover_all_attempts_and_failed_ones_are_kept_r119():
    """R119: the duration of a job is that of all its attempts; D15."""
    view = view_of(
        [ev.RunStarted("f", 6), ev.AttemptsStarted([0])],
        [
            ev.AttemptEnded(
                0, 1, "exit", "backing_off", 0.0, 0.1, 0.01, 9, message="exit status 2", reason="exit_code", delay_s=1.0
            )
        ],
        [ev.BackoffEnded(0), ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 2, "ok", "success", 2.0, 0.1, 0.01, 5, ev.Raw(b"1"))],
    )
    facts = view.facts(0)
    assert (facts.attempts, facts.wall_s, facts.cpu_s, facts.peak_bytes) == (2, 0.2, 0.02, 9)
    assert (facts.began_at, facts.ended_at, facts.state) == (T0, T0 + 3, "success")
    assert [(one.attempt, one.outcome) for one in facts.history] == [(1, "exit"), (2, "ok")]
    assert (facts.reason, facts.message, facts.result, view.failures) == ("", "", b"1", [])


def test_failures_stand_in_the_order_in_which_they_happened():
    failed = [ev.AttemptEnded(n, 1, "exit", "failed", exit_code=n, signal=None, message=f"m{n}") for n in (4, 1, 3)]
    view = view_of([ev.RunStarted("f", 6), ev.AttemptsStarted([1, 3, 4])], failed)
    assert view.failures == [4, 1, 3]
    assert (view.facts(3).exit_code, view.facts(3).message, view.counts["failed"]) == (3, "m3", 3)


def test_an_attempt_that_never_began_does_not_count():
    view = view_of(
        [ev.RunStarted("f", 6), ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 1, "returned", "ready")],
        [ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 2, "ok", "success", 2.5, 0.1)],
    )
    assert (view.facts(0).attempts, view.facts(0).began_at) == (1, T0 + 2.5)


def test_jobs_that_never_started_say_why():
    view = view_of(
        [ev.RunStarted("f", 6)],
        [ev.JobsEnded([2, 3], "skipped", "need_failed", 1, "because"), ev.JobsEnded([4], "cached", "up_to_date")],
    )
    facts = view.facts(3)
    assert (facts.state, facts.reason, facts.cause, facts.message, facts.attempts) == (
        "skipped",
        "need_failed",
        1,
        "because",
        0,
    )
    assert (view.reason(4), view.reason(0), view.in_state("skipped", "cached")) == ("up_to_date", "", [2, 3, 4])


def test_a_stopped_run_says_why_and_a_resumed_one_goes_on():
    stopped = [[ev.RunStarted("f", 6)], [ev.RunStopping("fail_fast", job=2)], [ev.RunEnded("failed")]]
    assert view_of(*stopped[:2]).status == "stopping"
    view = view_of(*stopped)
    assert (view.status, view.stopping, view.wall_s) == ("failed", ev.RunStopping("fail_fast", job=2), 2.0)
    resumed = view_of(*stopped, [ev.RunResumed({"pid": 7})])
    assert (resumed.status, resumed.stopping, resumed.ended, resumed.wall_s, resumed.by) == (
        "running",
        None,
        False,
        0.0,
        {"pid": 7},
    )


def test_a_clock_set_back_gives_no_negative_duration():
    view = RunView("a", 1).apply_all(
        [ev.Record(1, T0, [ev.RunStarted("f", 1)]), ev.Record(2, T0 - 99, [ev.RunEnded("success")])]
    )
    assert view.wall_s == 0.0


def test_the_last_messages_are_kept():
    view = view_of(*([ev.Logged("e", message=str(n))] for n in range(5)), logged=2)
    assert [(at - T0, event.message) for at, event in view.logged] == [(3.0, "3"), (4.0, "4")]


def test_artifacts_and_sums_over_all_jobs():
    view = view_of(
        [ev.RunStarted("f", 6), ev.AttemptsStarted([0, 1])],
        [
            ev.AttemptEnded(0, 1, cpu_s=1.0, peak_bytes=5, artifacts=(Artifact("out.csv", 3),)),
            ev.AttemptEnded(1, 1, cpu_s=2.0, peak_bytes=4),
        ],
    )
    assert (view.facts(0).artifacts, view.cpu_s, view.peak_bytes) == ((Artifact("out.csv", 3),), 3.0, 5)
    assert RunView("", 0).peak_bytes == 0


def test_what_is_kept_of_a_record_does_not_keep_the_record_alive():
    body = msgspec.json.encode([ev.AttemptEnded(0, 1, result=ev.Raw(b"1"), message="x" * 1000)])
    events = msgspec.json.decode(body, type=list[ev.AnyEvent])
    view = RunView("a", 1)
    before = sys.getrefcount(body)
    view.apply_all([ev.Record(1, T0, [ev.AttemptsStarted([0])]), ev.Record(2, T0, events)])
    del events
    assert sys.getrefcount(body) <= before
    assert view.facts(0).result == b"1"


def test_a_plain_job_takes_less_than_a_hundred_bytes():
    count = 20_000
    started = [ev.Record(1, T0, [ev.RunStarted("f", count), ev.AttemptsStarted(list(range(count)))])]
    ended = [ev.Record(2, T0, [ev.AttemptEnded(n, 1, began_s=1.0, wall_s=1.0) for n in range(count)])]
    tracemalloc.start()
    view = RunView(str, count).apply_all(started + ended)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert view.counts["success"] == count
    assert used / count < 100


@st.composite
def stories(draw):
    """Events that a run of five jobs could record, job by job at random."""
    states, numbers, told = ["waiting"] * 5, [0] * 5, []
    for _ in range(draw(st.integers(0, 40))):
        job = draw(st.integers(0, 4))
        if states[job] in {STATES[state] for state in FINAL}:
            continue
        if states[job] == "running":
            states[job] = draw(st.sampled_from(["success", "failed", "backing_off", "ready", "cancelled", "aborted"]))
            outcome = {"success": "ok", "failed": "error", "backing_off": "exit", "ready": "lost"}.get(
                states[job], "cancelled"
            )
            told.append(
                ev.AttemptEnded(job, numbers[job], outcome, states[job], None, draw(st.sampled_from([0.0, 0.5])))
            )
        elif states[job] == "backing_off":
            states[job] = "ready"
            told.append(ev.BackoffEnded(job))
        elif draw(st.booleans()):
            states[job] = "running"
            numbers[job] += 1
            told.append(ev.AttemptsStarted([job]))
        else:
            states[job] = draw(st.sampled_from(["skipped", "cached", "cancelled", "aborted"]))
            told.append(ev.JobsEnded([job], states[job], "condition"))
    return states, numbers, told


@given(stories(), st.integers(1, 5))
def test_however_the_events_are_cut_into_records_the_view_is_the_same(story, size):
    states, numbers, told = story
    view = RunView("abcde", 5)
    for start in range(0, len(told), size):
        view.apply(ev.Record(start + 1, T0, told[start : start + size]))
    assert [view.state(job) for job in range(5)] == states
    assert [view.facts(job).attempts for job in range(5)] == numbers
    assert view.counts == {name: states.count(name) for name in STATES}
    assert sorted(view.failures) == [job for job in range(5) if states[job] == "failed"]
    for job in range(5):
        ends = [event for event in told if isinstance(event, ev.AttemptEnded) and event.job == job]
        assert view.facts(job).wall_s == pytest.approx(sum(end.wall_s for end in ends))


def test_attempts_that_are_out_and_jobs_that_have_ended():
    view = view_of(
        [ev.RunStarted("f", 6, {"workers": 3}), ev.AttemptsStarted([0, 2, 5])],
        [ev.AttemptEnded(0, 1), ev.AttemptEnded(2, 1, "error", "ready"), ev.AttemptsStarted([2])],
        [ev.JobsEnded([3], "skipped", "condition")],
    )
    assert list(view.running()) == [(2, 2), (5, 1)]
    assert [job for job in range(6) if view.has_ended(job)] == [0, 3]
    assert view.settings == {"workers": 3}
    view.apply(ev.Record(9, T0 + 9, [ev.RunResumed(settings={"workers": 5})]))
    assert view.settings == {"workers": 5}


STARTED = [ev.RunStarted("f", 1)]
RESUMED = [ev.RunResumed()]


@pytest.mark.parametrize(
    ("records", "worked_s", "wall_s"),
    [
        pytest.param([(0, STARTED), (3, [ev.RunEnded("success", 3.25)])], 3.25, 3.25, id="in one go"),
        pytest.param(
            [(0, STARTED), (2, [ev.JobsEnded([0], "cancelled", "cancelled")]), (100, RESUMED), (103, [ev.RunEnded("success", 103.0, 5.0)])],
            5.0, 103.0, id="killed and resumed",
        ),
        pytest.param(
            [(0, STARTED), (2, RESUMED), (50, RESUMED), (53, [ev.RunEnded("success", 53.0, 5.0)])], 5.0, 53.0, id="resumed twice",
        ),
        pytest.param(
            [(0, STARTED), (2, [ev.JobsEnded([0], "cancelled", "cancelled")]), (100, RESUMED), (103, [])], 5.0, 0.0, id="while it goes on",
        ),
        pytest.param(
            [(0, STARTED), (2, [ev.RunEnded("failed", 2.5)]), (90, [ev.RunReopened([0])]), (91, RESUMED), (93, [])],
            4.5, 0.0, id="ended, and taken up again",
        ),
        pytest.param(
            [(0, STARTED), (2, []), (100, RESUMED), (103, [ev.RunEnded("success", 103.0)])], 5.0, 103.0, id="recorded by an older joblot",
        ),
        pytest.param([(0, STARTED), (2, []), (-50, RESUMED), (-47, [])], 5.0, 0.0, id="a clock that was set back"),
    ],
)  # fmt: skip
def test_how_long_a_run_was_driven(records, worked_s, wall_s):
    view = RunView("a", 1)
    for seq, (at, events) in enumerate(records):
        view.apply(ev.Record(seq + 1, T0 + at, events))
    assert (view.worked_s, view.wall_s) == (pytest.approx(worked_s), wall_s)
