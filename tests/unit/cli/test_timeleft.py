"""The time that is left, on a clock that stands still, beside what the run then takes."""

from __future__ import annotations

import random

import msgspec
import pytest

from joblot.api import Batch, run
from joblot.cli.timeleft import TimeLeft
from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.runstate import RunState
from joblot.journal.memory import MemoryJournal
from joblot.reports.view import LiveView
from joblot.runner.engine import Engine
from joblot.testing.executor import ScriptedExecutor


def noop(**_):
    return None


class Asking:
    """Asks for the time left at each record, and keeps what it is told."""

    def __init__(self, clock, state):
        self.clock, self.state, self.told, self.next = clock, state, [], 0.0

    def started(self, run_id, view):
        self.left = TimeLeft(view, self.state, wall=self.clock.wall)

    def recorded(self, record):
        if self.clock.now() >= self.next:
            self.told.append((self.clock.now(), self.left.seconds()))
            self.next = self.clock.now() + 2

    def idle(self):
        pass

    def warned(self, message):
        raise AssertionError(message)


def driven(plan, seconds, slots, state=None):
    """What was told by time, and how long the run took in the end."""
    clock, journal = ManualClock(), MemoryJournal()
    journal.create("r", batch="b", source="", jobs=len(plan), plan=plan.encoded, at=clock.wall())
    run_state = RunState(plan, Limits(slots=slots))
    asking = Asking(clock, state)
    engine = Engine(
        run_id="r",
        state=run_state,
        journal=journal,
        executor=ScriptedExecutor(plan, clock, slots=slots, seconds=seconds),
        clock=clock,
        began_at=None,
        view=LiveView(run_state.plan),
        observers=[asking],
    )
    first = run_state.start(clock.now(), slots, settings={"workers": slots})
    assert engine.drive(first) == "success"
    return asking.told, clock.now()


def mixed(jobs, *, needs=False, seed=1):
    """A batch of jobs of which one takes a hundred times as long as another."""
    dice, batch = random.Random(seed), Batch("mixed")
    for job in range(jobs):
        needed = [f"j{job - 7}"] if needs and job >= 7 and dice.random() < 0.5 else []
        batch.add(f"j{job}", noop, needs=needed)
    return batch, {f"j{job}": dice.choice((0.1, 1.0, 10.0)) for job in range(jobs)}


def remember(batch, seconds, state, slots):
    """Leave an earlier run behind in which the jobs took about as long."""
    dice = random.Random(5)
    run(batch, on="inline", state=state, run_id="r0")
    lines = [
        msgspec.json.encode(
            {"job": name, "status": "success", "duration_ms": round(took * dice.uniform(900, 1100))}
        ).decode()
        for name, took in seconds.items()
    ]
    text = ",\n    ".join(lines)
    (state / "runs/r0/report.json").write_text(f'{{\n  "workers": {slots},\n  "results": [\n    {text}\n  ]\n}}\n')


def worst(told, took, *, part):
    """By which part of the whole run the worst of what was told from half-time on was off."""
    return max(abs(took - at - left) / (part(took - at)) for at, left in told if at >= took / 2 and took - at > 0)


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("needs", [False, True])
def test_with_an_earlier_run_it_is_off_by_less_than_a_third_from_half_time_on(tmp_path, slots, needs):
    batch, seconds = mixed(150, needs=needs)
    remember(batch, seconds, tmp_path, slots)
    told, took = driven(batch.plan(), seconds, slots, tmp_path)
    assert all(left is not None for _, left in told)
    assert worst(told, took, part=lambda left: max(left, 0.05 * took)) < 0.3


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("needs", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_without_an_earlier_run_it_is_off_by_less_than_a_third_of_the_run(slots, needs, seed):
    batch, seconds = mixed(150, needs=needs, seed=seed)
    told, took = driven(batch.plan(), seconds, slots)
    assert worst(told, took, part=lambda left: took) < 0.3


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_a_large_run(tmp_path, slots, monkeypatch):
    monkeypatch.setattr("joblot.cli.timeleft._PLAYED", 100)
    batch, seconds = mixed(300)
    told, took = driven(batch.plan(), seconds, slots)
    assert worst(told, took, part=lambda left: took) < 0.3
    remember(batch, seconds, tmp_path, slots)
    told, took = driven(batch.plan(), seconds, slots, tmp_path)
    assert worst(told, took, part=lambda left: took) < 0.3


@pytest.mark.parametrize(
    ("jobs", "seconds", "first"),
    [
        pytest.param(10, 30.0, 30.0, id="when the first job has ended"),
        pytest.param(100, 1.0, 20.0, id="after 20 s"),
        pytest.param(100, 10.0, 50.0, id="after 5 % of the jobs"),
        pytest.param(3, 5.0, None, id="never in a short run"),
    ],
)
def test_without_an_earlier_run_nothing_is_told_too_early(jobs, seconds, first):
    batch = Batch("b")
    for job in range(jobs):
        batch.add(f"j{job}", noop)
    plan, told = batch.plan(), []

    class Always(Asking):
        def recorded(self, record):
            told.append((self.clock.now(), self.left.seconds()))

    clock, journal = ManualClock(), MemoryJournal()
    journal.create("r", batch="b", source="", jobs=jobs, plan=plan.encoded, at=clock.wall())
    state = RunState(plan, Limits(slots=1))
    executor = ScriptedExecutor(plan, clock, slots=1, seconds=seconds)
    Engine(
        run_id="r", state=state, journal=journal, executor=executor, clock=clock, began_at=None,
        view=LiveView(state.plan), observers=[Always(clock, None)],
    ).drive(state.start(0.0, 1, settings={"workers": 1}))  # fmt: skip
    assert next((at for at, left in told if left is not None), None) == first
    assert all(left == pytest.approx(jobs * seconds - at, abs=seconds) for at, left in told if left is not None)


def test_reading_earlier_runs_puts_off_no_later_guess(tmp_path):
    """The first guess took as long as the reading of a report, and so stood for 20 s."""
    batch = Batch("b")
    batch.command("j-${{ item }}", "true", foreach=range(3000))
    state = tmp_path / "state"
    one = Batch("b")
    one.add("j-0", noop)
    remember(one, {f"j-{n}": 1.0 for n in range(3000)}, state, 4)
    clock, view = ManualClock(), LiveView(batch.plan())
    settings = {"workers": 4}
    view.apply(ev.Record(1, clock.wall(), [ev.RunStarted("f", 3000, settings=settings)]))
    left = TimeLeft(view, state, wall=clock.wall)
    assert left.seconds() is None  # nothing has run
    ends = [ev.AttemptEnded(n, 1, wall_s=0.5) for n in range(1000)]
    view.apply(ev.Record(2, clock.wall(), [ev.AttemptsStarted(list(range(1000))), *ends]))
    clock.advance(3.0)
    assert left.seconds() is not None


def test_earlier_runs_that_knew_less_than_half_of_the_jobs_are_not_asked(tmp_path):
    batch, seconds = mixed(4)
    remember(batch, {"j0": 1.0}, tmp_path, 1)
    assert driven(batch.plan(), seconds, 1, tmp_path)[0][0] == (0.0, None)


def test_a_clock_that_is_set_back_does_not_matter(tmp_path):
    batch, seconds = mixed(4)
    remember(batch, seconds, tmp_path, 1)
    clock, state = ManualClock(), RunState(batch.plan(), Limits(slots=1))
    view = LiveView(state.plan)
    left = TimeLeft(view, tmp_path, wall=clock.wall)
    first = left.seconds()
    clock.jump(-1000)
    assert left.seconds() == first == pytest.approx(sum(seconds.values()), rel=0.1)
