"""The referee objects: a judge that lets everything pass would make every simulation green."""

import pytest

from joblot.core import events as ev
from joblot.core.commands import Kill
from joblot.core.limits import Limits
from joblot.core.model import Limit
from joblot.core.plan import expand
from joblot.testing import Faults, Referee, SimulationError, declare, simulate

STARTED = ev.RunStarted("", 6)
OBJECTIONS = {
    "a job started before its needs allow it: job `b` (open, attempt 0)": [ev.AttemptsStarted([1])],
    "two live attempts of one job: job `a` (open, attempt 1)": [ev.AttemptsStarted([0]), ev.AttemptsStarted([0])],
    "3 attempts out, capacity 2": [ev.AttemptsStarted([0, 3, 5])],
    "something started after the stop": [ev.RunStopping("cancelled"), ev.AttemptsStarted([0])],
    "a run stops once": [ev.RunStopping("cancelled"), ev.RunStopping("time_limit")],
    "an end of what does not run: job `a` (open, attempt 0)": [ev.AttemptEnded(0, 1)],
    "an end of another attempt: job `a` (open, attempt 1)": [ev.AttemptsStarted([0]), ev.AttemptEnded(0, 2)],
    "a success that is none: job `a` (open, attempt 1)": [
        ev.AttemptsStarted([0]),
        ev.AttemptEnded(0, 1, "error", "success"),
    ],
    "a failure with tries left, or a try too many: job `a` (open, attempt 1)": [
        ev.AttemptsStarted([0]),
        ev.AttemptEnded(0, 1, "error", "failed"),
    ],
    "a job started again that must run once: job `e` (open, attempt 1)": [
        ev.AttemptsStarted([4]),
        ev.AttemptEnded(4, 1, "lost", "ready"),
        ev.AttemptsStarted([4]),
    ],
    "a final state changed: job `a` (success, attempt 1)": [
        ev.AttemptsStarted([0]),
        ev.AttemptEnded(0, 1),
        ev.JobsEnded([0], "skipped", "condition"),
    ],
    "a job ended whose attempt lives: job `a` (open, attempt 1)": [
        ev.AttemptsStarted([0]),
        ev.JobsEnded([0], "skipped", "condition"),
    ],
    "a job was skipped without cause (need_failed): job `b` (open, attempt 0)": [
        ev.JobsEnded([1], "skipped", "need_failed", 0)
    ],
    "a job was skipped without cause (condition): job `c` (open, attempt 0)": [
        ev.AttemptsStarted([0]),
        ev.AttemptEnded(0, 1, "exit", "backing_off"),
        ev.JobsEnded([2], "skipped", "condition"),
    ],
    "a job was stopped and the run was not: job `b` (open, attempt 0)": [ev.JobsEnded([1], "aborted", "fail_fast")],
    "a wait ended that never began: job `a` (open, attempt 0)": [ev.BackoffEnded(0)],
    "the run ended before ['a', 'b', 'c', 'd', 'e', 'f']": [ev.RunEnded("success")],
    "a job was taken back that had not ended: job `a` (open, attempt 0)": [ev.RunReopened([0])],
}


FINALLY = {
    "a job of `finally` before the run was settled: job `mail` (open, attempt 0)": [ev.AttemptsStarted([1])],
    "the run was settled before ['a']": [ev.RunSettled("success")],
    "settled as failed": [ev.JobsEnded([0], "cached", "up_to_date"), ev.RunSettled("failed")],
    "a run is settled once": [
        ev.JobsEnded([0], "cached", "up_to_date"),
        ev.RunSettled("success"),
        ev.RunSettled("success"),
    ],
    "failed": [
        *(ev.JobsEnded([0], "cached", "up_to_date"), ev.RunSettled("success"), ev.AttemptsStarted([1])),
        *(ev.AttemptEnded(1, 1, "error", "failed"), ev.RunEnded("failed")),
    ],
    "no job of `finally`, and the run was settled: job `a` (cached, attempt 0)": [
        *(
            ev.JobsEnded([0], "cached", "up_to_date"),
            ev.RunSettled("success"),
            ev.RunReopened([0]),
            ev.JobsEnded([0], "cached", "up_to_date"),
        ),
        *(ev.RunSettled("success"), ev.AttemptsStarted([0])),
    ],
}


@pytest.mark.parametrize(("objection", "events"), [pytest.param(*item, id=item[0]) for item in FINALLY.items()])
def test_the_referee_objects_to_a_run_that_is_settled_otherwise(objection, events):
    referee = Referee(expand(declare("a output=x; mail finally=yes")), Limits(slots=2))
    with pytest.raises(AssertionError) as caught:
        referee.recorded([STARTED, *events], 2)
    assert str(caught.value) == objection


READS = {
    ("a.txt", "a.txt"): True,
    ("./x/../a.txt", "/a.txt"): True,
    ("out/a.txt", "out"): True,
    ("out", "out/deep/a.txt"): True,
    ("*.txt", "a.txt"): True,
    ("**/a.txt", "out/deep/a.txt"): True,
    ("out/*.txt", "out"): True,
    ("out/**", "out/deep/a.txt"): True,
    ("out/?.txt", "out/ab.txt"): False,
    ("*.txt", "out/a.txt"): False,
    ("out2/a.txt", "out"): False,
    ("a.txt.bak", "a.txt"): False,
    ("[a].txt", "a.txt"): False,
}


@pytest.mark.parametrize(("paths", "is_made"), READS.items(), ids=map(" of ".join, READS))
@pytest.mark.parametrize("when", ["success", "always"])
def test_the_referee_objects_to_a_reader_before_its_maker(paths, is_made, when):
    """By what the batch says alone; by the rules of earlier programs files make no order."""
    text = f"make output={paths[1]}; use when={when} input={paths[0]}"
    expected = "a job started before its needs allow it: job `use` (open, attempt 0)" if is_made else ""
    assert [objection_of(text, rules) for rules in (1, 0)] == [expected, ""]


def objection_of(text, rules):
    referee = Referee(expand(declare(text, rules=rules)), Limits(slots=2))
    try:
        referee.recorded([STARTED, ev.AttemptsStarted([1])], 2)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.fixture
def referee():
    plan = expand(declare("a max_attempts=2; b needs a; c needs b when=failure; d; e once=yes; f"))
    return Referee(plan, Limits(slots=2))


@pytest.mark.parametrize(("objection", "events"), [pytest.param(*item, id=item[0]) for item in OBJECTIONS.items()])
def test_the_referee_objects(referee, objection, events):
    with pytest.raises(AssertionError) as caught:
        referee.recorded([STARTED, *events], 2)
    assert str(caught.value) == objection


def test_the_referee_objects_to_an_alarm_for_a_need_that_its_condition_skipped():
    referee = Referee(expand(declare("a; b needs a when=failure; c needs b when=failure")), Limits(slots=2))
    ended = [STARTED, ev.AttemptsStarted([0]), ev.AttemptEnded(0, 1), ev.JobsEnded([1], "skipped", "condition")]
    with pytest.raises(AssertionError) as caught:
        referee.recorded([*ended, ev.AttemptsStarted([2])], 2)
    assert str(caught.value) == "a job started before its needs allow it: job `c` (open, attempt 0)"


def test_the_referee_objects_when_a_job_is_given_up_for_a_loss_with_others_in_flight_or_not_given_up_for_one_alone():
    plan, limits = expand(declare("a; b")), Limits(slots=2, crash_limit=2)
    both_lost = [ev.AttemptEnded(0, 1, "lost", "ready"), ev.AttemptEnded(1, 1, "lost", "failed")]
    story = [[STARTED, ev.AttemptsStarted([0, 1])], both_lost]
    assert objection_to(plan, limits, story) == "given up after a loss with others in flight: job `b` (open, attempt 1)"
    alone = [ev.AttemptsStarted([0]), ev.AttemptEnded(0, 1, "lost", "ready")]
    story = [[STARTED], alone, [ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 2, "lost", "ready")]]
    assert objection_to(plan, limits, story) == "lost alone once more than allowed: job `a` (open, attempt 2)"


def test_the_referee_objects_when_a_job_that_was_lost_too_often_runs_beside_another():
    plan, limits = expand(declare("a; b")), Limits(slots=2, crash_limit=1)
    lost = [ev.AttemptEnded(0, 1, "lost", "ready"), ev.AttemptEnded(1, 1, "lost", "ready")]
    story = [[STARTED, ev.AttemptsStarted([0, 1])], [*lost, ev.AttemptsStarted([0, 1])]]
    assert objection_to(plan, limits, story) == "beside others after so many losses: job `a` (open, attempt 2)"


PRESSED = ev.AttemptEnded(1, 1, "oom", "ready", reason="memory_pressure")
MEMORY = {
    "the end for the memory of others is not a job's own: job `b` (open, attempt 1)": [
        [ev.AttemptEnded(1, 1, "oom", "failed", reason="memory_pressure")]
    ],
    "ended for the memory of others, and must run once: job `c` (open, attempt 1)": [
        [ev.AttemptEnded(2, 1, "oom", "ready", reason="memory_pressure")]
    ],
    "beside others after it was ended for their memory: job `b` (open, attempt 2)": [
        [PRESSED, ev.AttemptsStarted([1])],
    ],
    "alone, and ended for the memory of others: job `b` (open, attempt 2)": [
        [PRESSED, ev.AttemptEnded(0, 1), ev.AttemptEnded(2, 1), ev.AttemptsStarted([1])],
        [ev.AttemptEnded(1, 2, "oom", "ready", reason="memory_pressure")],
    ],
    "a failure with tries left, or a try too many: job `b` (open, attempt 2)": [
        [PRESSED, ev.AttemptEnded(0, 1), ev.AttemptEnded(2, 1), ev.AttemptsStarted([1])],
        [ev.AttemptEnded(1, 2, "exit", "ready")],
    ],
    "9 of 8 `memory` in use": [[ev.AttemptsStarted([3])]],
}


@pytest.mark.parametrize(("objection", "story"), [pytest.param(*item, id=item[0]) for item in MEMORY.items()])
def test_the_referee_objects_to_what_the_limit_of_all_memory_does_not_allow(objection, story):
    plan = expand(declare("a memory=4 cpu=0.1; b; c once=yes; d memory=5 cpu=0.1"))
    story = [[STARTED, ev.AttemptsStarted([0, 1, 2])], *story]
    assert objection_to(plan, Limits(slots=4, max_memory=8), story) == objection


def test_the_referee_objects_to_a_start_beside_what_holds_too_much():
    referee = Referee(expand(declare("a; b")), Limits(slots=2, max_memory=8))
    referee.recorded([STARTED, ev.AttemptsStarted([0])], 2)
    referee.weighed(8)
    with pytest.raises(AssertionError) as caught:
        referee.recorded([ev.AttemptsStarted([1])], 2)
    assert str(caught.value) == "started beside what holds 8 bytes"


BUNDLES = {
    "bundles of more or fewer jobs than start": [[ev.AttemptsStarted([0, 1], [3])]],
    "in a bundle with a job of another kind: job `d` (open, attempt 1)": [[ev.AttemptsStarted([0, 3], [2])]],
    "in a bundle, and must run once: job `e` (open, attempt 1)": [[ev.AttemptsStarted([4, 0], [2])]],
    "a bundle of 4 jobs": [[ev.AttemptsStarted([0, 1, 2, 5], [4])]],
    "alone, and taken for a bundle: job `a` (open, attempt 1)": [
        [ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 1, "crash", "ready", reason="bundle")],
    ],
    "the end of a bundle is not a job's own: job `a` (open, attempt 1)": [
        [ev.AttemptsStarted([0, 1], [2])],
        [ev.AttemptEnded(0, 1, "crash", "failed", reason="bundle")],
    ],
    "in more than half of a bundle that failed: job `a` (open, attempt 2)": [
        [ev.AttemptsStarted([0, 1], [2])],
        [ev.AttemptEnded(job, 1, "crash", "ready", reason="bundle") for job in (0, 1)],
        [ev.AttemptsStarted([0, 1], [2])],
    ],
    "2 of 1 `db` in use": [[ev.AttemptsStarted([6, 7])]],
}


@pytest.mark.parametrize(("objection", "story"), [pytest.param(*item, id=item[0]) for item in BUNDLES.items()])
def test_the_referee_objects_to_bundles_that_cannot_be(objection, story):
    plan = expand(
        declare(
            "a fuse=x; b fuse=x; c fuse=x; d fuse=y; e fuse=x once=yes; f fuse=x; g fuse=x db=1 cpu=0.1; h fuse=x db=1 cpu=0.1"
        )
    )
    limits = Limits(slots=2, named={"db": 1}, max_bundle=3)
    assert objection_to(plan, limits, [[STARTED], *story]) == objection


SLOTS = {
    "slots of other limits than it asks for: job `a` (open, attempt 1)": [[ev.AttemptsStarted([0])]],
    "slots of other limits than it asks for: job `d` (open, attempt 1)": [
        [ev.AttemptsStarted([3], slots={3: {"gpu": [0]}})]
    ],
    "more or fewer slots than it asks for: job `b` (open, attempt 1)": [
        [ev.AttemptsStarted([1], slots={1: {"gpu": [0]}})]
    ],
    "a slot that is none of the limit's: job `a` (open, attempt 1)": [
        [ev.AttemptsStarted([0], slots={0: {"gpu": [2]}})]
    ],
    "a slot that another holds: job `c` (open, attempt 1)": [
        [ev.AttemptsStarted([0], slots={0: {"gpu": [0]}})],
        [ev.AttemptsStarted([2], slots={2: {"gpu": [0]}})],
    ],
    "a slot that another holds: job `a` (open, attempt 1)": [  # of whose bundle another job has ended
        [ev.AttemptsStarted([4, 5], [2], {4: {"gpu": [0]}, 5: {"gpu": [0]}}), ev.AttemptEnded(4, 1)],
        [ev.AttemptsStarted([0], slots={0: {"gpu": [0]}})],
    ],
    "a slot behind one that is free: job `a` (open, attempt 1)": [[ev.AttemptsStarted([0], slots={0: {"gpu": ["x"]}})]],
    "other slots than the first of its bundle: job `f` (open, attempt 1)": [
        [ev.AttemptsStarted([4, 5], [2], {4: {"gpu": [0]}, 5: {"gpu": ["x"]}})]
    ],
}


@pytest.mark.parametrize(("objection", "story"), [pytest.param(*item, id=item[0]) for item in SLOTS.items()])
def test_the_referee_objects_to_slots_that_cannot_be_held(objection, story):
    text = "a gpu=1; b gpu=2; c gpu=1; d; e fuse=x gpu=1; f fuse=x gpu=1"
    plan = expand(declare(text, limits={"gpu": Limit(2, (0, "x"))}))
    assert objection_to(plan, Limits(slots=4, named={"gpu": 9}), [[STARTED], *story]) == objection


def test_the_referee_lets_a_bundle_hold_once_what_its_jobs_ask_for_and_be_killed_once():
    plan = expand(declare("a fuse=x db=1; b fuse=x db=1"))
    referee = Referee(plan, Limits(slots=1, named={"db": 1}))
    referee.recorded([STARTED, ev.AttemptsStarted([0, 1], [2])], 1)
    referee.killed(Kill(0, 1, "cancelled", 0.0))
    with pytest.raises(AssertionError) as caught:
        referee.killed(Kill(1, 1, "cancelled", 0.0))
    assert str(caught.value) == "a second kill that is no quicker: job `b` (open, attempt 1)"


def objection_to(plan, limits, story):
    referee = Referee(plan, limits)
    *before, last = story
    for events in before:
        referee.recorded(events, 2)
    with pytest.raises(AssertionError) as caught:
        referee.recorded(last, 2)
    return str(caught.value)


def test_the_referee_objects_to_a_kill_that_is_no_quicker(referee):
    referee.recorded([STARTED, ev.AttemptsStarted([0])], 2)
    referee.killed(Kill(0, 1, "timeout", 5.0))
    referee.killed(Kill(0, 1, "cancelled", 0.0))
    with pytest.raises(AssertionError) as caught:
        referee.killed(Kill(0, 1, "cancelled", 0.0))
    assert str(caught.value) == "a second kill that is no quicker: job `a` (open, attempt 1)"


def test_the_referee_objects_to_more_of_a_limit_than_there_is():
    plan = expand(declare("a db=1; b db=1; c db=5; d cpu=1; e cpu=1.5"))
    for jobs, objection in (([0, 1], "2 of 1 `db` in use"), ([3, 4], "2.5 of 2 slots in use")):
        with pytest.raises(AssertionError) as caught:
            Referee(plan, Limits(slots=2, named={"db": 1})).recorded([ev.AttemptsStarted(jobs)], 2)
        assert str(caught.value) == objection


def test_a_broken_promise_comes_with_the_seed_and_the_story(monkeypatch):
    """A start that is not known to the state: the simulation says where, and how to see it again."""
    plan = expand(declare("a; b needs a"))
    monkeypatch.setattr("joblot.core.runstate.RunState._comes_true", lambda self, job: True)
    monkeypatch.setattr("joblot.core.runstate.RunState._skip_dependents", lambda self, decision, job: None)
    with pytest.raises(SimulationError) as caught:
        simulate(plan, seed=7, faults=Faults(bad=1.0))
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("seed 7: AssertionError: a job started before its needs allow it: job `b`")
    assert any("attempts_started jobs=a" in line for line in rest)
