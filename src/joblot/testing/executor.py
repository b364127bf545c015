"""An executor without processes, for a real engine and a real journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from joblot.core.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joblot.clock import ManualClock
    from joblot.core.commands import Kill
    from joblot.core.model import Attempt
    from joblot.core.plan import Plan


class ScriptedExecutor:
    """`Executor` whose attempts end as a script says, on a clock that it moves itself.

    `script` gives outcome kinds by job name, one for each attempt in turn, the last for all further ones; jobs that are not named end
    well. Every attempt takes `seconds`, or what `seconds` says of its job by name; `hang` takes for ever. A killed attempt ends at once as a crash.
    """

    def __init__(
        self,
        plan: Plan,
        clock: ManualClock,
        script: Mapping[str, Sequence[str]] | None = None,
        *,
        slots: int = 2,
        capacity: int = 0,
        seconds: float | Mapping[str, float] = 1.0,
        results: Mapping[str, Any] | None = None,
    ) -> None:
        self.slots = slots
        self.capacity = capacity or slots
        self.started: list[tuple[str, int]] = []
        """Name and attempt number of everything that was begun, in order."""
        self.values: dict[str, Any] = {}
        """What was filled in for the last attempt, by job name."""
        self._plan = plan
        self._clock = clock
        self._script = dict(script or {})
        self._seconds = seconds
        self._results = dict(results or {})
        self._live: dict[tuple[int, int], tuple[float, Outcome]] = {}
        self._turns: dict[int, int] = {}

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Begin the attempts; each ends by itself when `wait` has moved the clock far enough."""
        for attempt in attempts:
            name = self._plan.name(attempt.job)
            kinds = self._script.get(name, ("ok",))
            turn = self._turns.get(attempt.job, 0)
            self._turns[attempt.job] = turn + 1
            kind = kinds[min(turn, len(kinds) - 1)]
            self.started.append((name, attempt.number))
            self.values[name] = attempt.values
            seconds = self._seconds if isinstance(self._seconds, (int, float)) else self._seconds[name]
            outcome = Outcome(attempt.job, attempt.number, kind, self._clock.now(), seconds)
            if kind == "ok" and name in self._results:
                outcome.result = msgspec.json.encode(self._results[name])
            elif kind != "ok":
                outcome.message, outcome.reason = f"{name} was told to end as {kind}", kind
            due = float("inf") if kind == "hang" else self._clock.now() + seconds
            self._live[attempt.job, attempt.number] = due, outcome

    def kill(self, kills: Sequence[Kill]) -> None:
        """End the attempts that still run at the present moment, as crashes by signal 15."""
        for kill in kills:
            key = kill.job, kill.number
            if key in self._live:
                self._live[key] = self._clock.now(), Outcome(*key, "crash", signal=15, message="killed")

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Move the clock on to the next end, or by `timeout`; the outcomes that are due."""
        now = self._clock.now()
        until = now + (float("inf") if timeout is None else timeout)
        moment = min([until, *(due for due, _ in self._live.values())])
        assert moment < float("inf"), "nothing runs and the wait has no end"
        self._clock.advance(max(0.0, moment - now))
        ended = [key for key, (due, _) in self._live.items() if due <= self._clock.now()]
        return [self._live.pop(key)[1] for key in ended]

    @property
    def held_bytes(self) -> int:
        """Nothing: there are no processes."""
        return 0

    def give_back(self) -> list[Outcome]:
        """Nothing: each attempt begins when it is started."""
        return []

    def wake_on(self, fd: int) -> None:
        """Told a descriptor to wait for as well; `wait` does not sleep, so nothing could wake it."""

    def close(self) -> None:
        """Forget the attempts that still run."""
        self._live.clear()
