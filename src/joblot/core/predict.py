"""What a run would take if each job took what it is expected to take. Pure.

The run is played: `RunState` decides what starts when, as it does in a run, with its needs, resources, limits and bundles, and the time is
that of the jobs alone. That nothing fails is assumed, and that jobs which are found on the way are none.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from joblot.core.model import Outcome
from joblot.core.runstate import RunState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from joblot.core.fusing import Rules
    from joblot.core.limits import Limits
    from joblot.core.plan import Plan


class Prediction(NamedTuple):
    """Seconds from the start to the end, and the most bytes that running jobs are expected to hold together (0: not known)."""

    total_s: float
    peak_bytes: int


def predict(
    plan: Plan,
    limits: Limits,
    seconds: Sequence[float],
    sizes: Sequence[int],
    *,
    left_out: Collection[int] = (),
    fuse_rules: Rules | None = None,
) -> Prediction:
    """Play a run of the plan without the jobs in `left_out`. `seconds` and `sizes` (bytes) are what each job takes, by number.

    It takes about 15 us a job.
    """
    state = RunState(plan.fresh(), limits, fuse_rules=fuse_rules)
    running: list[tuple[float, int, int]] = []
    now, held, most = 0.0, 0, 0
    decision = state.start(now, limits.slots, left_out=left_out)
    while True:
        for job in decision.starts:
            size = sizes[job] // max(
                1, state.bundles.size(job)
            )  # a bundle is one process, and each of its jobs has its size
            held += size
            heappush(running, (now + seconds[job], job, size))
        most = max(most, held)
        if not running:
            return Prediction(now, most)
        now, ended = running[0][0], []
        while running and running[0][0] <= now:
            _, job, size = heappop(running)
            held -= size
            ended.append(Outcome(job, state.attempts[job], "ok", now, seconds[job]))
        decision = state.attempts_ended(ended, now, limits.slots)
