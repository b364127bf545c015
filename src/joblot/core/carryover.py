"""Which jobs of a run that continues another one are carried over: what they did there counts, and they do not run again.

Part of the core: pure. It reads the events of the run as they are recorded; what the jobs of the other run came to is in `Past`. A job
without outputs is carried over if it succeeded there, is made of the same parts, has the same needs, and none of them brought anything new:
with other needs it may have run too early there, or have taken in what is no part of it any more. A need that ran brings nothing new if its
result and the contents of its outputs came out the same. Jobs with outputs are judged by their files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from joblot.core import events as ev
from joblot.core.model import FINAL, STATE_OF, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from joblot.core.plan import Plan

_GOOD = ("success", "cached")
_BY_ITSELF = ("condition", "unknown_action", ev.MISSING_RESULT)
"""Reasons of jobs that were skipped, and not because something failed."""


class Past(Struct):
    """What the jobs of an earlier run came to, by the numbers that they have in its `plan`."""

    plan: Plan
    states: bytearray
    results: dict[int, bytes] = {}
    """Of those that ended well, as JSON; empty for none."""
    contents: dict[int, dict[str, str]] = {}
    """Of those that ran and ended well, the SHA-256 of what they made, by path."""
    ended_at: float = 0.0
    """When the last of it was recorded, in seconds since the epoch."""
    left: set[int] = set()
    """Those that were skipped, and not because something failed."""
    left_out: set[int] = set()
    """Those that were not selected."""

    def apply(self, record: ev.Record) -> None:
        """Take in what was recorded together."""
        self.ended_at = record.at
        for event in record.events:
            match event:
                case ev.AttemptEnded():
                    self._ended(event.job, event.state, bytes(event.result))
                    self.contents[event.job] = contents_of(event)
                case ev.JobsEnded():
                    for job in event.jobs:
                        self._ended(job, event.state, bytes(event.results.get(job, b"")))
                    if event.reason in _BY_ITSELF:
                        self.left.update(event.jobs)
                    if event.reason == ev.NOT_SELECTED:
                        self.left_out.update(event.jobs)
                case ev.PlanExtended():
                    self.states.extend(bytes(len(self.plan.extend(event.job, event.columns))))
                case ev.RunReopened():
                    for job in event.jobs:
                        self._ended(job, "waiting", b"")

    def _ended(self, job: int, state: str, result: bytes) -> None:
        self.states[job] = STATE_OF[state]
        self.contents.pop(job, None)
        self.results.pop(job, None)
        self.left.discard(job)
        self.left_out.discard(job)
        if state in _GOOD:
            self.results[job] = result

    def done(self, name: str) -> int | None:
        """The number of the job of that name, if it ended well."""
        job = self.plan.find(name)
        return job if job is not None and job in self.results else None

    def was_allowed(self, name: str) -> bool:
        """Whether the job of that name failed, and may."""
        job = self.plan.find(name)
        return job is not None and STATES[self.states[job]] == "failed" and self.plan.spec(job).allow_failure

    def was_left(self, name: str) -> bool:
        """Whether the job of that name was skipped, and not because something failed."""
        return self.plan.find(name) in self.left


class CarryOver:
    """Decides for one run. `plan` is its plan, `past` the run that it continues; jobs in `forced` run whatever they did there.

    `differs` says in words what is not as it was of a job's parts, `was_made_since` whether another run has made what a job makes after
    the run that is continued.
    """

    def __init__(
        self,
        plan: Plan,
        past: Past,
        *,
        differs: Callable[[int, int], str],
        was_made_since: Callable[[int], bool] = lambda _: False,
        forced: Collection[str] = (),
    ) -> None:
        self._plan = plan
        self._past = past
        self._differs = differs
        self._was_made_since = was_made_since
        self._forced = frozenset(forced)
        self._news: set[int] = set()
        """Jobs that brought something new, for those that need them."""
        self._then: dict[int, int] = {}
        """By job that was asked for, its number in the other run; -1 for one that is new."""
        self._ran: set[int] = set()
        """Jobs that ran, whatever it brought: what cleans up or tells of them runs as well."""

    def apply(self, events: Iterable[ev.AnyEvent]) -> None:
        """Take in events of the run. To do so twice changes nothing."""
        for event in events:
            match event:
                case ev.AttemptEnded():
                    if STATE_OF[event.state] in FINAL:
                        self._ran.add(event.job)
                        self._note(event.job, news=not self._came_out_the_same(event))
                case ev.JobsEnded():
                    for job in event.jobs:
                        self._note(job, news=self._is_news(job, event))
                case ev.RunReopened():
                    self._news.difference_update(event.jobs)
                    self._ran.difference_update(event.jobs)

    def carried(self, jobs: Iterable[int]) -> tuple[dict[int, bytes], dict[int, str]]:
        """Those of the ready jobs that are carried over, with their results; and of those that may run only once, why they would have run."""
        carried, kept = {}, {}
        for job in jobs:
            spec = self._plan.spec(job)
            old = self._past.done(spec.name)
            if (
                old is None
                or ((spec.outputs or spec.cache) and not spec.once)
                or self._is_forced(job)
                or job in self._plan.finals
            ):
                continue
            why = self._differs(job, old) or self._other_need(job, old) or self._new_need(job)
            if not why or spec.once:
                carried[job] = self._past.results[old]
                if why:
                    kept[job] = why
        return carried, kept

    def _note(self, job: int, *, news: bool) -> None:
        if news:
            self._news.add(job)
        else:
            self._news.discard(job)

    def _came_out_the_same(self, event: ev.AttemptEnded) -> bool:
        job, past = event.job, self._past
        old = past.done(name := self._plan.name(job))
        if event.state == "failed":  # for what needs it nothing came of it, then and now
            return self._plan.spec(job).allow_failure and past.was_allowed(name)
        if old is None or event.state not in _GOOD:
            return False
        if job in self._plan.growing:
            return old in past.plan.growing and self._plan.items_of(job) == past.plan.items_of(old)
        if past.results[old] != bytes(event.result):
            return False
        made, before = contents_of(event), past.contents.get(old, {})
        outputs = self._plan.spec(job).outputs
        # Of a job with neither outputs nor a result nobody knows what it did.
        return bool(outputs or event.result) and all(
            made.get(path) and made[path] == before.get(path) for path in outputs
        )

    def _is_news(self, job: int, event: ev.JobsEnded) -> bool:
        if event.state not in _GOOD:
            was_left = event.reason in _BY_ITSELF and self._past.was_left(self._plan.name(job))
            return event.reason != ev.NOT_SELECTED and not was_left
        if event.reason == ev.CARRIED_OVER:
            return False
        # It was judged by files: what its needs did besides making them went by unseen, and what needs this one comes after that too.
        unseen = any(need in self._news and not self._plan.spec(need).outputs for need in self._plan.needs[job])
        return unseen or self._past.done(self._plan.name(job)) is None or self._was_made_since(job)

    def _finder(self, job: int) -> int:
        """The growing job that found this one; -1 for others."""
        return next((finder for finder, found in self._plan.grown.items() if job in found), -1)

    def _is_forced(self, job: int) -> bool:
        finder = self._finder(job)
        return bool(self._forced) and (
            self._plan.name(job) in self._forced or (finder >= 0 and self._plan.name(finder) in self._forced)
        )

    def _other_need(self, job: int, old: int) -> str:
        """A need that it did not have there, or had there only, in words."""
        if not self._past.plan.config.rules:  # of an earlier program, which made no needs of files
            now, then = self._plan.written_needs(job), self._past.plan.written_needs(old)
        else:
            now, then = self._plan.needs[job], self._past.plan.needs[old]
        gone = set(then)
        for need in now:
            number = self._number_then(need)
            if number < 0 or number not in gone:
                return f"it did not need `{self._plan.name(need)}`"
            gone.discard(number)
        if gone:
            return f"it needed `{self._past.plan.name(min(gone))}`"
        return ""

    def _number_then(self, job: int) -> int:
        number = self._then.get(job)
        if number is None:
            found = self._past.plan.find(self._plan.name(job))
            number = self._then[job] = -1 if found is None else found
        return number

    def _new_need(self, job: int) -> str:
        """The first need that brought something new, in words. That other items were found is nothing to one that is the same."""
        finder, counts = self._finder(job), self._news
        if self._plan.spec(job).when != "success":  # it belongs to how its needs ended, and that is another end now
            counts = self._news | self._ran
        need = next((need for need in self._plan.needs[job] if need in counts and need != finder), None)
        if need is None:
            return ""
        return f"`{self._plan.name(need)}` {'came out otherwise' if need in self._news else 'ran again'}"


def contents_of(event: ev.AttemptEnded) -> dict[str, str]:
    """The SHA-256 of what an attempt made, by path."""
    return {artifact.path: artifact.sha256 for artifact in event.artifacts}
