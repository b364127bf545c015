"""Properties of runs over plans that Hypothesis makes up and shrinks."""

import random

from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import STATES
from joblot.testing import CALM, ROUGH, Faults, World, simulate
from simulation.cases import limits, plans

seeds = st.integers(0, 2**32 - 1)


@given(plan=plans(), limits=limits, seed=seeds)
def test_every_rule_holds_whatever_happens(plan, limits, seed):
    """R22 R103 R106 R107: needs, tries, stops, resources, replay: the referee of the simulation judges every record."""
    simulation = simulate(plan, seed=seed, limits=limits, faults=ROUGH)
    assert set(simulation.states.values()) <= set(STATES[4:])


@given(plan=plans(most=12), limits=limits, seed=seeds)
def test_small_plans_survive_a_runner_that_is_killed_at_every_other_step(plan, limits, seed):
    """R130: what is recorded as a success is not run again, and everything comes to an end."""
    simulation = simulate(plan, seed=seed, limits=limits, faults=Faults(bad=0.2, runner_killed=0.4, most_kills=30))
    assert simulation.status in ("success", "failed")


@given(plan=plans(), limits=limits, seed=seeds, data=st.data())
def test_jobs_with_unknown_actions_never_start(plan, limits, seed, data):
    unknown = data.draw(st.sets(st.integers(0, len(plan) - 1), max_size=5))
    simulation = simulate(plan, seed=seed, limits=limits, faults=ROUGH, unknown_actions=unknown)
    assert not {plan.name(job) for job in unknown} & set(simulation.starts)


@given(plan=plans(plain=True), slots=st.integers(1, 8), seed=seeds)
def test_in_a_calm_world_the_end_depends_on_the_plan_alone(plan, slots, seed):
    """R112: however many run at once and however long each takes, the states are those that a person would work out."""
    simulation = simulate(plan, seed=seed, limits=Limits(slots=slots), faults=CALM)
    assert simulation.states == worked_out(plan)
    assert sorted(simulation.starts) == sorted(name for name, state in simulation.states.items() if state == "success")


@given(plan=plans(most=20, whens=("success",), plain=True), seed=seeds, data=st.data())
def test_keep_going_runs_every_job_whose_needs_succeed(plan, seed, data):
    """R107: only what stands downstream of a failure is skipped."""
    simulation = simulate(plan, seed=seed, limits=Limits(slots=3), faults=Faults(bad=0.3))
    for job in range(len(plan)):
        needs = {simulation.states[plan.name(need)] for need in plan.needs[job]}
        assert (simulation.states[plan.name(job)] in ("success", "failed")) == (needs <= {"success"})


@given(plan=plans(most=20, whens=("success",), plain=True), seed=seeds)
def test_fail_fast_starts_nothing_after_the_first_final_failure(plan, seed):
    """R106: in the order of the journal no start follows a failure."""
    simulation = simulate(plan, seed=seed, limits=Limits(slots=3, fail_fast=True), faults=Faults(bad=0.3))
    kinds = [
        "failed" if getattr(event, "state", "") == "failed" else type(event).__name__
        for record in simulation.records
        for event in record.events
    ]
    if "failed" in kinds:
        assert "AttemptsStarted" not in kinds[kinds.index("failed") :]
        assert simulation.status == "failed"


@given(
    shapes=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(1, 3),
            st.booleans(),
            st.lists(st.sampled_from(("ok", "ok", "error", "crash", "timeout")), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
    seed=seeds,
)
def test_fused_and_unfused_runs_end_alike(shapes, seed):
    """R129: whatever each try of a job meets, a neighbour in its bundle has the states, results and tries that it would have alone."""
    jobs = [
        f"j{number} fuse={file} max_attempts={tries}{' needs j0' if needs and number else ''}"
        for number, (file, tries, needs, _) in enumerate(shapes)
    ]
    fates = {f"j{number}": fate for number, (*_, fate) in enumerate(shapes)}
    unfused = play(World("; ".join(jobs), slots=2, fuse=False), fates, random.Random(0), kills=False)
    fused = play(World("; ".join(jobs), slots=2), fates, random.Random(seed), kills=True)
    assert fused.states() == unfused.states()
    assert fused.state.failed_tries == unfused.state.failed_tries
    assert results(fused) == results(unfused)


def play(world, fates, rng, *, kills):
    """A whole run in which each try of a job meets its fate. In a bundle a crash or a timeout is met by all that are not done yet."""
    world.start()
    while not world.status:
        if kills and rng.random() < 0.05:
            world.crash()
            continue
        name = rng.choice(world.running())
        fate = fates[name][world.state.failed_tries.get(world.plan.find(name), 0)]
        if fate == "ok":
            world.ok(name, {"of": name})
        elif fate != "error" and world.state.bundles.size(world.plan.find(name)) > 1:
            world.fail_bundle(name, fate)
        else:
            world.fail(name, fate)
    return world


def results(world):
    ended = [event for event in world.events() if isinstance(event, ev.AttemptEnded) and event.state == "success"]
    return {world.plan.name(event.job): bytes(event.result) for event in ended}


def worked_out(plan):
    """The final states when every attempt succeeds, job by job in an order in which needs come first."""
    states: dict[int, str] = {}
    for tier in plan.tiers:
        for job in tier:
            good = all(states[need] == "success" for need in plan.needs[job])
            when = plan.spec(job).when
            states[job] = "success" if when == "always" or (when == "success" and good) else "skipped"
    return {plan.name(job): states[job] for job in range(len(plan))}
