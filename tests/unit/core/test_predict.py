"""A run that is played takes what the engine takes for it, on a clock that stands still."""

from __future__ import annotations

import random

import pytest

from joblot.clock import ManualClock
from joblot.core.limits import Limits
from joblot.core.plan import expand
from joblot.core.predict import predict
from joblot.core.runstate import RunState
from joblot.journal.memory import MemoryJournal
from joblot.runner.engine import Engine
from joblot.testing.declare import FUSED, declare
from joblot.testing.executor import ScriptedExecutor

MIB = 2**20


def played(text, slots, seconds, sizes=None, **options):
    plan = expand(declare(text))
    took = [seconds.get(plan.name(job), 1.0) for job in range(len(plan))]
    held = [(sizes or {}).get(plan.name(job), 0) for job in range(len(plan))]
    return predict(plan, Limits(slots=slots, named=plan.limits), took, held, **options)


@pytest.mark.parametrize(
    ("text", "slots", "seconds", "total_s"),
    [
        pytest.param("a; b; c", 1, {}, 3.0, id="one after another"),
        pytest.param("a; b; c", 2, {"a": 5}, 5.0, id="beside a long one"),
        pytest.param("a; b; c", 3, {"c": 2}, 2.0, id="all at once"),
        pytest.param("a; b; c; d", 2, {"d": 9}, 10.0, id="the longest last"),
        pytest.param("a; b; c; d priority=1", 2, {"d": 9}, 9.0, id="the longest first"),
        pytest.param("a; b needs a; c needs b", 8, {"b": 4}, 6.0, id="a chain"),
        pytest.param("a; b needs a; c needs a; d needs b,c", 2, {"b": 3, "c": 2}, 5.0, id="a diamond"),
        pytest.param("a; b needs a when=failure; c needs a", 1, {"b": 50}, 2.0, id="what runs only after a failure"),
        pytest.param("a cpu=2; b; c", 2, {}, 2.0, id="two slots"),
        pytest.param("a db=1; b db=1; c", 3, {}, 1.0, id="resources that are not limited"),
        pytest.param("a; b finally=yes", 2, {"b": 3}, 4.0, id="what runs at the end"),
        pytest.param("a; b reads=a needs a; c needs a if=a.result.odd", 1, {}, 3.0, id="what takes in a result"),
        pytest.param("", 2, {}, 0.0, id="nothing"),
    ],
)
def test_how_long_a_run_takes(text, slots, seconds, total_s):
    assert played(text, slots, seconds).total_s == total_s


def test_jobs_that_are_done_take_nothing_and_keep_nobody_waiting():
    assert played("a; b needs a; c needs b", 1, {"a": 5, "b": 3}, left_out=[0]).total_s == 4.0


@pytest.mark.parametrize(
    ("text", "slots", "sizes", "peak"),
    [
        ("a; b; c", 1, {"a": 3, "b": 5, "c": 4}, 5),
        ("a; b; c", 2, {"a": 3, "b": 5, "c": 4}, 9),
        ("a; b needs a; c needs b", 3, {"a": 3, "b": 5, "c": 4}, 5),
        ("a; b", 2, {}, 0),
    ],
)
def test_how_much_memory_is_held_at_once(text, slots, sizes, peak):
    assert played(text, slots, {"b": 2.0}, sizes).peak_bytes == peak


def mixed(seed, jobs=200):
    """Jobs of 10 ms to 1 s, some of which need others."""
    dice = random.Random(seed)
    words = []
    for job in range(jobs):
        needs = sorted({dice.randrange(job) for _ in range(dice.choice((0, 0, 1, 2)))}) if job else []
        words.append(f"j{job}" + (f" needs {','.join(f'j{need}' for need in needs)}" if needs else ""))
    return "; ".join(words), {f"j{job}": dice.choice((0.01, 0.1, 1.0)) for job in range(jobs)}


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_it_takes_what_the_engine_takes(seed, slots):
    text, seconds = mixed(seed)
    plan, clock, journal = expand(declare(text)), ManualClock(), MemoryJournal()
    journal.create("r", batch="b", source="", jobs=len(plan), plan=plan.encoded, at=0.0)
    state = RunState(plan, Limits(slots=slots))
    executor = ScriptedExecutor(plan, clock, slots=slots, seconds=seconds)
    engine = Engine(run_id="r", state=state, journal=journal, executor=executor, clock=clock, began_at=None)
    assert engine.drive(state.start(0.0, slots)) == "success"
    assert played(text, slots, seconds).total_s == pytest.approx(clock.now())


def test_jobs_that_are_run_as_one_take_one_slot_and_the_memory_of_one():
    text = "; ".join(f"f{number} fuse=x" for number in range(4))
    seconds, sizes = {f"f{number}": 2.0 for number in range(4)}, {f"f{number}": 8 for number in range(4)}
    assert played(text, 1, seconds, sizes, fuse_rules=FUSED) == (2.0, 8)
    assert played(text, 1, seconds, sizes) == (8.0, 8)
