"""Many jobs in few lines: those of a declaration together, and those that there is the same to say of. It does not know what is said.

Jobs that stand for themselves are a fan-out's equals where there are too many for a line each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from joblot.core.fan_out import pattern_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.core.plan import Plan

SINGLY: Final = 20
"""So many jobs have a line each; more are told by declaration, in no more lines than this."""

Said = tuple[str, str]
"""The kind of what there is to say of a job, and its text; jobs of a declaration with the same kind share a line."""


def lines(plan: Plan, jobs: Sequence[int], said: Callable[[int], Said], *, rest: str = "") -> Iterator[str]:
    """A line for each job; of more than `SINGLY`, one for those of a declaration of which the same kind is said. `rest` is where all are told."""
    of = _declarations(plan, jobs)
    if len(jobs) <= SINGLY:
        yield from (f"{plan.name(job)}: {said(job)[1]}" for job in jobs)
        return
    groups: dict[tuple[int, str], _Group] = {}
    for job in jobs:
        kind, text = said(job)
        group = groups.get(key := (of(job), kind))
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
    words = []
    for name, some in by_declaration(plan, jobs):
        if name:
            words.append(f"{name} ({len(some)} jobs)" if len(some) > 1 else name)
        else:
            words += [f"{plan.name(some[0])} and {len(some) - 1} more"]
    return words


def by_declaration(plan: Plan, jobs: Sequence[int]) -> list[tuple[str, list[int]]]:
    """The jobs of each declaration, under the name of a single one, the pattern of a fan-out, or nothing for many that stand for themselves."""
    groups: dict[int, list[int]] = {}
    of = _declarations(plan, jobs)
    for job in jobs:
        groups.setdefault(of(job), []).append(job)
    return [(_name(plan, some[0], len(some)), some) for some in groups.values()]


def _declarations(plan: Plan, jobs: Sequence[int]) -> Callable[[int], int]:
    """What tells the declarations of jobs apart. More than `SINGLY` that stand for themselves count as one."""
    declarations = plan.declarations
    many = sum(declarations[job].fan_out is None for job in jobs) > SINGLY
    return lambda job: 0 if many and declarations[job].fan_out is None else id(declarations[job])


def _name(plan: Plan, job: int, count: int) -> str:
    """The name of a job, the pattern of a fan-out, or nothing for several that stand for themselves."""
    if count == 1:
        return plan.name(job)
    return "" if plan.declarations[job].fan_out is None else pattern_of(plan.declarations[job].name)


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
        example = _rest(self.text, kind)
        return f"{name and f'{name}: '}{self.count} jobs: " + (
            self.text if self._same else f"{kind} (such as `{plan.name(self.first)}`: {example})"
        )


def _rest(text: str, kind: str) -> str:
    """What a text says beyond its kind, from the beginning of a part on."""
    if text.startswith(kind):
        return text[len(kind) :].lstrip(": ")
    shared = next((at for at, pair in enumerate(zip(text, kind, strict=False)) if pair[0] != pair[1]), len(text))
    cut = text.rfind(": ", 0, shared)
    return text[cut + 2 :] if cut >= 0 else text
