"""How long a run will still take, from what its jobs took in earlier runs and in this one. A guess.

A small run is played to its end from where it stands. Of a large one the work that is left is divided by how much has been done at once.
"""

from __future__ import annotations

import time
from array import array
from itertools import islice
from typing import TYPE_CHECKING, Final

from joblot.cli.history import processors, read
from joblot.core.limits import Limits
from joblot.core.model import FINAL, STATE_OF, STATES
from joblot.core.predict import predict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joblot.reports.view import LiveView

_PLAYED: Final = 2000
"""Runs of more jobs are not played."""
_MOST_BYTES: Final = 2**22
"""Reports of earlier runs that are larger are not read: the engine waits meanwhile."""
_EVERY_S: Final = 1.0
_SHARE: Final = 0.005
"""Of the time no more than this part goes into guessing."""
_KNOWN: Final = 0.5
"""Of the jobs earlier runs must have had this part, or they say nothing of this run."""
_FROM_S: Final = 20.0
_FROM_PART: Final = 0.05
"""Without earlier runs nothing is said before both so much time and so much of the jobs is done."""
_OVERDUE: Final = 0.1
"""A job that has taken longer than was expected takes so much of its age more."""
_MOST_PACE: Final = 4.0
_ENOUGH: Final = 5
"""So many jobs must have ended to tell how this run differs from earlier ones."""


class TimeLeft:
    """The guess for one run, made anew at most once a second.

    `state` is the state folder with the earlier runs (None: there are none to ask), `elapsed_s` how long this process has driven the run,
    `rate` how many jobs end a second, `wall` the clock by which records are dated.
    """

    def __init__(
        self,
        view: LiveView,
        state: str | Path | None,
        *,
        elapsed_s: float = 0.0,
        rate: Callable[[], float] = lambda: 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._plan = view.plan
        self._state = state
        self._rate = rate
        self._wall = wall
        self._asked = wall()
        self._began = self._asked - elapsed_s
        self._slots = int(view.settings.get("workers", 0)) or processors()
        self._before_s = view.worked(range(view.jobs))[1]
        self._fans = _parts([numbers for _, numbers in view.plan.fan_outs], view.jobs)
        self._earlier: array[float] | None = None
        """Seconds by job from earlier runs; empty where these say too little."""
        self._next = self._at = 0.0
        self._left: float | None = None

    def seconds(self) -> float | None:
        """How long it will still take; None while nobody can tell."""
        now = self._wall()
        if not self._at <= now < self._next:
            if self._earlier is None:  # once in a run, so it puts off no later guess
                self._earlier = self._from_earlier_runs()
            began = time.perf_counter()
            self._left, self._at = self._guess(now, self._earlier), now
            self._next = now + max(_EVERY_S, (time.perf_counter() - began) / _SHARE)
        return None if self._left is None else max(0.0, self._left - (now - self._at))

    def _guess(self, now: float, earlier: array[float]) -> float | None:
        view = self._view
        counts = view.counts
        total, done = view.jobs - len(view.left_out), sum(counts[STATES[state]] for state in FINAL)
        if not earlier and (now - self._began < _FROM_S or done < _FROM_PART * total):
            return None
        ages = [(job, now - view.running_since(job)) for job, _ in islice(view.running(), self._slots)]
        # What a plan has grown by is no part of it when it is played.
        small = view.jobs <= _PLAYED and not self._plan.grown
        guess = self._played(ages) if small else self._divided(now, ages)
        rate = self._rate() if guess is None else 0.0
        return (total - done) / rate if rate > 0 else guess  # by count, where no job has taken any time yet

    def _from_earlier_runs(self) -> array[float]:
        if self._state is None:
            return array("d")
        history = read(self._plan, self._state, most_bytes=_MOST_BYTES)
        if history.known() < _KNOWN * self._view.jobs:
            return array("d")
        return history.expected(self._slots, fused=False).took

    def _played(self, ages: list[tuple[int, float]]) -> float | None:
        """Play what is left of the run."""
        view, jobs = self._view, range(self._view.jobs)
        seconds = self._earlier
        ended = [job for job in jobs if view.state(job) == "success" and view.took(job) > 0]
        if seconds:
            pace = self._pace(sum(map(view.took, ended)), sum(seconds[job] for job in ended), len(ended))
            seconds = array("d", [one * pace for one in seconds])
        elif ended:
            seconds = array("d", bytes(8 * len(jobs)))
            average = sum(map(view.took, ended)) / len(ended)
            for part in self._fans:
                count, took = view.worked(part)
                for job in part:
                    seconds[job] = took / count if count else average
        else:
            return None
        for job, age in ages:
            longer = [view.took(other) for other in ended if view.took(other) > age] if not self._earlier else []
            expected = sum(longer) / len(longer) if longer else seconds[job]
            seconds[job] = max(expected - age, age * _OVERDUE)
        done = [job for job in jobs if view.has_ended(job)]
        limits = Limits(slots=self._slots, named=self._plan.limits)
        return predict(self._plan, limits, seconds, array("Q", bytes(8 * len(jobs))), left_out=done).total_s

    def _divided(self, now: float, ages: list[tuple[int, float]]) -> float | None:
        """Divide the work that is left by how much was done at once so far."""
        view = self._view
        worked = [(part, *view.worked(part)) for part in _parts(self._fans, view.jobs)]
        count, took = sum(ended for _, ended, _ in worked), sum(seconds for _, _, seconds in worked)
        if not count or not took:
            return None
        left_s = expected_s = 0.0
        for part, ended, part_s in worked:
            open_jobs = sum(count for state, count in view.counts_of(part).items() if STATE_OF[state] not in FINAL)
            if self._earlier and part.stop <= len(self._earlier):
                each = sum(self._earlier[part.start : part.stop]) / len(part)
                expected_s += each * ended
            else:
                each = part_s / ended if ended else took / count
                expected_s += part_s
            left_s += each * open_jobs
        elapsed_s = now - self._asked
        busy_s = took - self._before_s + sum(min(age, elapsed_s) for _, age in ages)
        at_once = min(float(self._slots), busy_s / elapsed_s) if elapsed_s > 0 and busy_s > 0 else float(self._slots)
        return left_s * self._pace(took, expected_s, count) / at_once

    def _pace(self, took: float, expected: float, ended: int) -> float:
        """How much longer jobs take in this run than they were expected to."""
        return (
            min(_MOST_PACE, max(1 / _MOST_PACE, took / expected)) if ended >= _ENOUGH and expected > 0 < took else 1.0
        )


def _parts(fans: list[range], jobs: int) -> list[range]:
    """The fan-outs, and what stands between them, as ranges that cover all jobs."""
    parts, at = [], 0
    for numbers in [*fans, range(jobs, jobs)]:
        parts += [part for part in (range(at, numbers.start), numbers) if part]
        at = numbers.stop
    return parts
