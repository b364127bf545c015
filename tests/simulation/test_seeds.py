"""Whole runs from a few hundred seeds; JOBLOT_SIM_SEEDS says how many, JOBLOT_SIM_FIRST where to begin."""

import os

import pytest

from joblot.core.carryover import Past
from joblot.core.events import JobsEnded
from joblot.testing import CALM, ROUGH, Faults, simulate
from simulation.cases import case_from

SEEDS = int(os.environ.get("JOBLOT_SIM_SEEDS", "200"))
FIRST = int(os.environ.get("JOBLOT_SIM_FIRST", "0"))
PORTION = 100
"""So many seeds are a test of their own."""
WORLDS = {
    "calm": CALM,
    "rough": ROUGH,
    "failing": Faults(bad=0.6),
    "killed": Faults(bad=0.1, runner_killed=0.3, most_kills=10),
    "stopped": Faults(bad=0.2, hang=0.3, cancel=0.1, late=0.3, reopened=1.0),
}


def spans(count):
    """Seeds in portions, so that no test takes longer the more seeds there are."""
    last = FIRST + count
    return [range(first, min(first + PORTION, last)) for first in range(FIRST, last, PORTION)]


@pytest.mark.parametrize(
    ("world", "span"), [(world, span) for world in WORLDS for span in spans(SEEDS if world == "rough" else SEEDS // 4)]
)
def test_every_rule_holds_in_every_world(world, span):
    """R110 R112 R130: the simulation itself raises, with the seed and the story, when a promise is broken."""
    ended = 0
    for seed in span:
        plan, limits, unknown, left_out = case_from(seed)
        simulation = simulate(
            plan, seed=seed, limits=limits, faults=WORLDS[world], unknown_actions=unknown, left_out=left_out
        )
        ended += simulation.status != ""
    assert ended == len(span)


@pytest.mark.parametrize("span", spans(max(SEEDS // 2, 1)))
def test_every_rule_holds_in_runs_that_continue_others(span):
    """What is carried over was done in the first run, below nothing that came out otherwise in this one; through kills and reopenings too."""
    carried = 0
    for seed in span:
        plan, limits, unknown, left_out = case_from(seed)
        first = simulate(plan, seed=seed, limits=limits, faults=Faults(bad=0.2), unknown_actions=unknown)
        past = Past(plan.fresh(), bytearray(len(plan.fresh())))
        for record in first.records:
            past.apply(record)
        simulation = simulate(
            plan.fresh(), seed=seed + 1, limits=limits, unknown_actions=unknown, left_out=left_out, continues=past
        )
        ended = [event for record in simulation.records for event in record.events if isinstance(event, JobsEnded)]
        carried += sum(len(event.jobs) for event in ended if event.reason == "carried_over")
    assert carried > len(span)


@pytest.mark.parametrize("span", spans(max(SEEDS // 10, 1)))
def test_a_seed_gives_the_same_bytes_each_time(span):
    """The same inputs give the same events, kills and restarts included."""
    for seed in span:
        plan, limits, unknown, left_out = case_from(seed)
        again = case_from(seed)
        one = simulate(plan, seed=seed, limits=limits, unknown_actions=unknown, left_out=left_out)
        two = simulate(
            again.plan, seed=seed, limits=again.limits, unknown_actions=again.unknown, left_out=again.left_out
        )
        assert one.journal == two.journal
        assert one.story == two.story


def test_the_worlds_bring_what_they_are_for():
    """A simulation in which nothing goes wrong proves nothing: over the seeds everything occurs."""
    seen: set[str] = set()
    runners = 0
    for seed in range(300):
        plan, limits, unknown, left_out = case_from(seed)
        simulation = simulate(plan, seed=seed, limits=limits, unknown_actions=unknown, left_out=left_out)
        runners += simulation.runners
        for record in simulation.records:
            for event in record.events:
                seen |= {"a bundle"} if getattr(event, "bundles", ()) else set()
                seen |= {"a bundle that failed"} if getattr(event, "reason", "") == "bundle" else set()
                seen |= of_slots(getattr(event, "slots", {}), getattr(event, "bundles", ()))
                seen.add(getattr(event, "outcome", "") or getattr(event, "reason", "") or type(event).__name__)
        seen |= set(simulation.states.values())
    assert runners > 450
    assert seen >= {
        *("ok", "error", "exit", "timeout", "crash", "oom", "lost", "interrupted", "cancelled", "returned"),
        *(
            "not_selected",
            "need_failed",
            "need_skipped",
            "condition",
            "unknown_action",
            "fail_fast",
            "max_failures",
            "time_limit",
        ),
        *("RunStarted", "RunResumed", "RunReopened", "RunEnded", "BackoffEnded", "AttemptsStarted"),
        *("success", "failed", "skipped", "cancelled", "aborted"),
        *("a bundle", "a bundle that failed"),
        *(
            "a slot",
            "several slots of one job",
            "slots of several limits",
            "several jobs with slots",
            "a bundle with a slot",
        ),
    }


def of_slots(held, bundles):
    """What a start says of slots with names."""
    found = {"several slots of one job" for its in held.values() for slots in its.values() if len(slots) > 1}
    found |= {"slots of several limits" for its in held.values() if len(its) > 1}
    found |= {"a slot"} if held else set()
    found |= {"several jobs with slots"} if len(held) > 1 and not bundles else set()
    return found | ({"a bundle with a slot"} if len(held) > 1 and bundles else set())
