"""An audit of a run: every index of a `RunState` computed anew from the states, and compared.

It reads the state and changes nothing.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from joblot.core.model import BACKING_OFF, CACHED, FAILED, FINAL, READY, RUNNING, SKIPPED, STATES, SUCCESS
from joblot.core.resources import Resources

if TYPE_CHECKING:
    from joblot.core.runstate import RunState

_REPLAYED: Final = (
    "states", "attempts", "failed_tries", "losses", "raised", "pressed", "results", "counts", "open_needs", "need_unsuccessful",
    "counts_as_failure", "need_failed", "left_out", "stopping", "status", "settled", "waiting_finals", "allowed_failures",
    "_kept_status", "_forced",
)  # fmt: skip
_STARTED: Final = (READY, RUNNING, SUCCESS, FAILED, BACKING_OFF)


def audit(run: RunState) -> None:
    """Compute everything that a run keeps for speed from the states of its jobs, and compare.

    Raises:
        AssertionError: an index differs, or an invariant of the run does not hold.
    """
    # Straight from the definitions and in the plainest way, however slow: what it checks is how `RunState` does the same quickly.
    plan, states = run.plan, run.states
    queued = {job for jobs in run.ready.contents().values() for job in jobs}
    grouped = {job for jobs in run.ready.groups().values() for job in jobs}
    counted = [0] * len(STATES)
    held, processes = Resources(run.limits.slots, run.limits.named), set[int]()
    for job, state in enumerate(states):
        counted[state] += 1
        _audit_needs(run, job)
        if state == RUNNING and run.bundles.number(job) not in processes:
            held.take(run.ready.demand(job))
            processes |= {run.bundles.number(job)} - {0}
        assert (job in queued) == (state == READY), f"{plan.name(job)} is in a queue or not, wrongly"
    assert counted == run.counts, (counted, run.counts)
    assert held.snapshot() == run.resources.snapshot(), (held.snapshot(), run.resources.snapshot())
    _audit_slots(run)
    if run.room is not None:
        run.room.audit(job for job, state in enumerate(states) if state == RUNNING)
    assert all(states[job] == SKIPPED and not run.attempts[job] for job in run.left_out), run.left_out
    assert all(states[job] == RUNNING for job in run.kills), run.kills
    assert all(states[job] == RUNNING for job in run.bundles.running), run.bundles.snapshot()
    assert grouped == {job for job in queued if run.fusing.group_of(job) >= 0}, grouped
    allowed = [job for job, state in enumerate(states) if state == FAILED and plan.declarations[job].allow_failure]
    assert run.allowed_failures == len(allowed), (run.allowed_failures, allowed)
    open_finals = {job for job in run.plan.finals if states[job] not in FINAL}
    assert run.settled or run.waiting_finals == len(open_finals), (run.waiting_finals, open_finals)


def _audit_slots(run: RunState) -> None:
    """Who runs holds as many slots with names as it asks for, no two processes the same, and the others are free."""
    if run.named_slots is None:
        return
    held, free = run.named_slots.snapshot()
    asking: dict[int, dict[str, int]] = {}
    for job, state in enumerate(run.states):
        asked = {limit: int(much) for limit, much in run.ready.demand(job) if limit in run.plan.named_slots}
        if state == RUNNING and asked:
            asking[job] = asked
    counted = {job: {limit: len(slots) for limit, slots in its.items()} for job, its in held.items()}
    assert counted == asking, (counted, asking)
    for limit, names in run.plan.named_slots.items():
        processes = {run.bundles.number(job) or -1 - job: its[limit] for job, its in held.items() if limit in its}
        taken = [slot for slots in processes.values() for slot in slots]
        left = [slot for slot in names if slot not in taken]
        assert len(taken) + len(left) == len(names), f"`{limit}`: {taken} are held of {names}"
        assert [slot for at, slot in enumerate(names) if free[limit] >> at & 1] == left, (limit, free, left)


def _audit_needs(run: RunState, job: int) -> None:
    name, needs, states = run.plan.name(job), run.plan.needs[job], run.states
    is_final = job in run.plan.finals
    run_is_open = is_final and not run.settled
    run_was_bad = is_final and run.settled not in ("", "success")
    fine = {SUCCESS, CACHED}
    bad = run_was_bad or any(
        states[need] in FINAL - fine
        and need not in run.left_out
        and not (states[need] == FAILED and run.plan.spec(need).allow_failure)
        for need in needs
    )
    when = run.plan.declarations[job].when
    deciding = run.plan.written_needs(job) if when == "failure" else needs
    need_failed = run_was_bad or any(run.counts_as_failure[need] for need in deciding)
    open_needs = sum(states[need] not in FINAL for need in needs) + run_is_open
    assert run.open_needs[job] == open_needs, f"open needs of {name}"
    assert bool(run.need_unsuccessful[job]) == bad, f"need_unsuccessful {name}"
    assert bool(run.need_failed[job]) == need_failed, f"need_failed {name}"
    if states[job] in _STARTED and not run.was_reopened:  # a retry may take a job whose needs failed
        may_start = {"success": not bad, "failure": need_failed, "always": True}[when]
        assert not run.open_needs[job] and may_start, f"{name} is ahead of its needs"


def snapshot(run: RunState) -> dict[str, Any]:
    """Everything that a replay of the journal must reproduce, in a form that can be compared."""
    return {name: copy(getattr(run, name)) for name in _REPLAYED} | {
        "held": run.resources.snapshot(),
        "slots": run.named_slots and run.named_slots.snapshot(),
        "ready": run.ready.contents(),
        "ready_groups": run.ready.groups(),
        "bundles": run.bundles.snapshot(),
        "memory": run.room.snapshot() if run.room is not None else {},
    }
