"""The table of legal moves: each is made, and nothing else can be."""

from itertools import product

import pytest

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import CACHED, FINAL, STATES, WAITING
from joblot.core.plan import expand
from joblot.core.runstate import NEXT, IllegalMoveError, RunState
from joblot.testing import Faults, declare, simulate
from simulation.cases import case_from

ROADS = {
    "waiting": [],
    "ready": [ev.AttemptsStarted([0]), ev.AttemptEnded(0, 1)],
    "running": [ev.AttemptsStarted([0]), ev.AttemptEnded(0, 1), ev.AttemptsStarted([1])],
}
"""Events that bring the second of two jobs into a state; the others are one step from these."""
LAST_STEP = {
    "backing_off": ev.AttemptEnded(1, 1, "error", "backing_off"),
    "success": ev.AttemptEnded(1, 1),
    "failed": ev.AttemptEnded(1, 1, "error", "failed"),
    "skipped": ev.JobsEnded([1], "skipped", "need_failed"),
    "cached": ev.JobsEnded([1], "cached", "up_to_date"),
    "cancelled": ev.JobsEnded([1], "cancelled", "cancelled"),
    "aborted": ev.JobsEnded([1], "aborted", "fail_fast"),
}


def brought_to(state):
    """A run whose second job is in a state."""
    run = RunState(expand(declare("first; second needs first")), Limits(slots=2))
    road = ROADS.get(state)
    if road is None:
        last = LAST_STEP[state]
        road = [*ROADS["running" if isinstance(last, ev.AttemptEnded) else "waiting"], last]
    for event in road:
        run.apply(event)
    assert STATES[run.states[1]] == state
    return run


def move(state):
    """An event that puts the second job into a state."""
    if state == "running":
        return ev.AttemptsStarted([1])
    if state in ("skipped", "cached", "cancelled", "aborted"):
        return ev.JobsEnded([1], state, "test")
    return ev.BackoffEnded(1) if state == "ready" else ev.AttemptEnded(1, 1, "error", state)


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_a_move_is_in_the_table_or_raises_with_the_story(before, after):
    run = brought_to(before)
    if STATES.index(after) in NEXT[STATES.index(before)]:
        run.apply(move(after))
        assert STATES[run.states[1]] == after
        return
    with pytest.raises(IllegalMoveError) as caught:
        run.apply(move(after))
    assert str(caught.value) == (
        f"BUG: job `second` cannot go from {before} to {after} (attempt {run.attempts[1]}, failed tries {run.failed_tries.get(1, 0)},"
        f" open needs {run.open_needs[1]}, stopping '', status '')"
    )
    assert STATES[run.states[1]] == before


def test_nothing_leads_out_of_a_final_state():
    assert {state for state, following in NEXT.items() if not following} == FINAL
    assert set(NEXT) == set(range(len(STATES)))


def test_every_legal_move_is_made_in_some_simulated_run():
    """All but from `waiting` to `cached`: a job is looked at when it is ready."""
    faults = Faults(bad=0.4, hang=0.2, lost=0.05, returned=0.05, cancel=0.05, runner_killed=0.05)
    made: set[tuple[int, int]] = set()
    for seed in range(250):
        plan, limits, unknown, _ = case_from(seed)
        state = RunState(plan, limits, unknown_actions=unknown)
        made |= {(WAITING, new) for new in state.states if new != WAITING}
        for record in simulate(plan, seed=seed, limits=limits, faults=faults, unknown_actions=unknown).records:
            for event in record.events:
                before = bytes(state.states)
                state.apply(event)
                if not isinstance(event, ev.RunReopened):  # the only way out of a final state
                    made |= {(old, new) for old, new in zip(before, state.states, strict=False) if old != new}
    legal = {(before, after) for before, following in NEXT.items() for after in following} - {(WAITING, CACHED)}
    assert {f"{STATES[a]} -> {STATES[b]}" for a, b in made} == {f"{STATES[a]} -> {STATES[b]}" for a, b in legal}
