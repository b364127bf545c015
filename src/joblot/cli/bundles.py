"""The fused jobs of a plan: which would be run as one, and in how many bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.core.fusing import Fusing
    from joblot.core.plan import Plan
    from joblot.runner.uptodate import Verdict


class PlannedBundles(Struct, frozen=True):
    """Jobs of one tier that would be run as one. `on` is what they have in common, `bundles` how many calls it takes."""

    action: str
    on: dict[str, Any]
    jobs: list[int]
    bundles: int

    def as_data(self, plan: Plan) -> dict[str, Any]:
        """As `--json` prints it."""
        names = [plan.name(job) for job in self.jobs]
        return {"action": self.action, "on": self.on, "jobs": names, "bundles": self.bundles}

    def line(self) -> str:
        """As text."""
        agreed = ", ".join(f"{name} {_short(value)}" for name, value in self.on.items())
        bundles = "1 bundle" if self.bundles == 1 else f"{self.bundles} bundles"
        return f"Fused: {len(self.jobs)} jobs in {bundles} ({self.action}, {agreed})"


def fuse_rules(plan: Plan) -> dict[str, dict[str, Any]]:
    """The actions of the plan that can do many jobs in one call, and in what these must agree."""
    from joblot.actions.registry import ACTIONS

    return ACTIONS.fuse_rules({spec.action for spec in plan.config.jobs if spec.action is not None})


def planned_bundles(plan: Plan, tiers: Sequence[Sequence[int]], verdicts: Sequence[Verdict]) -> list[PlannedBundles]:
    """The bundles in which the jobs of these tiers that would run would be run, if all jobs of a tier were ready at once."""
    from joblot.core.fusing import Fusing

    fusing = Fusing(plan, fuse_rules(plan))
    return list(_planned(tiers, verdicts, fusing)) if fusing else []


def _planned(tiers: Sequence[Sequence[int]], verdicts: Sequence[Verdict], fusing: Fusing) -> Iterator[PlannedBundles]:
    from joblot.core.limits import MAX_BUNDLE

    for tier in tiers:
        together: dict[int, list[int]] = {}
        for job in tier:
            number = fusing.group_of(job)
            if number >= 0 and verdicts[job].to_run:
                together.setdefault(number, []).append(job)
        for number, jobs in together.items():
            if len(jobs) > 1:
                group = fusing.groups[number]
                yield PlannedBundles(group.action, group.on, jobs, -(-len(jobs) // MAX_BUNDLE))


def _short(value: Any) -> str:
    if isinstance(value, list):
        others = f" and {len(value) - 1} more" if len(value) > 1 else ""
        return f"{value[0]}{others}" if value else "nothing"
    text = str(value)
    return text if len(text) <= 60 else f"...{text[-57:]}"
