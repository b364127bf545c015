"""What the core asks of the engine: the other half of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from joblot.core.events import AnyEvent
    from joblot.core.resources import Demand


class Kill(Struct, frozen=True, gc=False):
    """End an attempt: with TERM first, with KILL after `grace_s` seconds. `kind` is the outcome it then has."""

    job: int
    number: int
    kind: str
    grace_s: float


class Decision(Struct, gc=False):
    """What an input led to: facts to record, then things to do.

    `starts` lists jobs whose next attempt is to be handed to the executor, in this order. `checks` lists ready jobs that may be up to
    date: whether they are must be answered (`RunState.checked`) before anything starts. `asks` is what the next job that could start needs of
    what all runs of the machine share: whether it has that must be answered (`RunState.asked`) before anything behind it starts.
    """

    events: list[AnyEvent]
    starts: list[int]
    kills: list[Kill]
    checks: list[int] = []
    asks: Demand = ()

    def __bool__(self) -> bool:
        return bool(self.events or self.starts or self.kills or self.checks or self.asks)
