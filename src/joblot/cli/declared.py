"""Many jobs in few lines: those of a declaration together, and those that there is the same to say of. It does not know what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from joblot.core.fan_out import pattern_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.core.plan import Plan

SINGLY: Final = 20
"""So many jobs have a line each; more are told by declaration, in no more lines than this."""

Said = tuple[str, str]
"""The kind of what there is to say of a job, and its text; jobs of a declaration with the same kind share a line."""


def lines(plan: Plan, jobs: Sequence[int], said: Callable[[int], Said], *, rest: str = "") -> Iterator[str]:
    """A line for each job; of more than `SINGLY`, one for those of a declaration of which the same kind is said. `rest` is where all are told."""
    if len(jobs) <= SINGLY:
        yield from (f"{plan.name(job)}: {said(job)[1]}" for job in jobs)
        return
    groups: dict[tuple[int, str], _Group] = {}
    for job in jobs:
        kind, text = said(job)
        group = groups.get(key := (id(plan.declarations[job]), kind))
        if group is None:
            groups[key] = _Group(job, text)
        else:
            group.take(text)
    for (_, kind), group in list(groups.items())[:SINGLY]:
        yield group.line(plan, kind)
    others = list(groups.values())[SINGLY:]
    if others:
        yield f"... and {sum(group.count for group in others)} more{rest}"


def names(plan: Plan, jobs: Sequence[int]) -> list[str]:
    """The names of jobs; of more than `SINGLY`, a word for those of a declaration, such as `fit-* (300 jobs)`."""
    if len(jobs) <= SINGLY:
        return [plan.name(job) for job in jobs]
    return [f"{name} ({len(some)} jobs)" if len(some) > 1 else name for name, some in by_declaration(plan, jobs)]


def by_declaration(plan: Plan, jobs: Iterable[int]) -> list[tuple[str, list[int]]]:
    """The jobs of each declaration, under the name of a single one or the pattern of a fan-out's."""
    groups: dict[int, list[int]] = {}
    for job in jobs:
        groups.setdefault(id(plan.declarations[job]), []).append(job)
    return [(_name(plan, some[0], len(some)), some) for some in groups.values()]


def _name(plan: Plan, job: int, count: int) -> str:
    return plan.name(job) if count == 1 else pattern_of(plan.declarations[job].name)


class _Group:
    """Jobs of a declaration of which the same kind is said."""

    def __init__(self, first: int, text: str) -> None:
        self.first = first
        self.text = text
        self.count = 1
        self._same = True

    def take(self, text: str) -> None:
        """One more job."""
        self.count += 1
        self._same = self._same and text == self.text

    def line(self, plan: Plan, kind: str) -> str:
        """What is said of them; where it is not the same of all, that of the first for an example."""
        name = _name(plan, self.first, self.count)
        if self.count == 1:
            return f"{name}: {self.text}"
        example = self.text.removeprefix(kind).lstrip(": ")
        return f"{name}: {self.count} jobs: " + (
            self.text if self._same else f"{kind} (such as `{plan.name(self.first)}`: {example})"
        )
