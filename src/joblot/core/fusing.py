"""Which jobs can be run as one: those that run the same fused action and agree in all that one process or one call has only once.

Pure. It does not say when: jobs of a group may start together, they need not.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from joblot.core.model import JobSpec
    from joblot.core.plan import Plan

    Rules = Mapping[str, Mapping[str, Any]]

_REFERENCE: Final = b"${{"


class Group(Struct, frozen=True):
    """Jobs that can be run as one. `on` is what they agree in, by name: `input`, and parameters of the action."""

    action: str
    on: dict[str, Any]
    jobs: list[int]


class Fusing:
    """The groups of a plan's jobs.

    `rules` says for each fused action in what its jobs must agree: names, each with what stands for a parameter that a job does not give.
    A job with `once: true` is in no group: after a crash it could not be told from those that may run again.
    """

    def __init__(self, plan: Plan, rules: Rules) -> None:
        self.groups: list[Group] = []
        """Those of two jobs or more."""
        self._plan = plan
        self._rules = rules
        self._groups = array("i")
        """By job, the number of its group; -1 for none."""
        if any(spec.action in rules for spec in plan.config.jobs):
            self.extend(range(len(plan)))

    def __bool__(self) -> bool:
        return bool(self.groups)

    def group_of(self, job: int) -> int:
        """The number of the job's group; -1 when it runs alone."""
        return self._groups[job] if job < len(self._groups) else -1

    def extend(self, jobs: range) -> None:
        """Take in jobs that were added to the plan: they can be run together with each other."""
        groups: dict[bytes, Group] = {}
        for job, group in self._assigned(jobs, groups):
            group.jobs.append(job)
        self._groups.extend([-1] * (jobs.stop - len(self._groups)))
        for group in groups.values():
            if len(group.jobs) > 1:
                for job in group.jobs:
                    self._groups[job] = len(self.groups)
                self.groups.append(group)

    def _assigned(self, jobs: range, groups: dict[bytes, Group]) -> Iterator[tuple[int, Group]]:
        """Each job of a fused action and its group; what a declaration says for all its jobs is read once."""
        last: JobSpec | None = None
        group: Group | None = None
        for job in jobs:
            declared = self._plan.declarations[job]
            rule = self._rules.get(declared.action or "")
            if rule is None or declared.once or job in self._plan.growing:
                continue
            if declared is not last or group is None:
                last, group = declared, self._join(job, rule, groups)
            yield job, group
            if declared.fan_out is not None and not _are_alike(declared, group):
                group = None

    def _join(self, job: int, rule: Mapping[str, Any], groups: dict[bytes, Group]) -> Group:
        """The group that the job belongs to. References that its attempt fills in are compared as texts: equal ones get equal values."""
        spec = self._plan.spec(job)
        on = {name: spec.input if name == "input" else spec.params.get(name, other) for name, other in rule.items()}
        demand = self._plan.demand(job)
        agreed = (
            spec.action,
            on,
            spec.priority,
            demand,
            spec.timeout_s,
            spec.grace_s,
            spec.env,
            spec.env_file,
            spec.cwd,
        )
        return groups.setdefault(msgspec.json.encode(agreed, enc_hook=repr), Group(spec.action or "", on, []))

    def with_group_maximum(self, amounts: Mapping[int, int]) -> Mapping[int, int]:
        """Amounts by job, made equal within each group: jobs that are run as one need what the neediest of them needs."""
        if not self.groups or not amounts:
            return amounts
        raised = dict(amounts)
        for group in self.groups:
            known = [amounts[job] for job in group.jobs if job in amounts]
            if known:
                raised.update(dict.fromkeys(group.jobs, max(known)))
        return raised


def _are_alike(declared: JobSpec, group: Group) -> bool:
    """Whether the jobs of a declaration agree, whatever their items are: what they must agree in holds no reference."""
    values = [declared.input if name == "input" else declared.params.get(name) for name in group.on]
    return _REFERENCE not in msgspec.json.encode((values, declared.env, declared.cwd), enc_hook=repr)
