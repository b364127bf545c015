"""What is different between two runs: variables, versions, definitions, jobs, causes of failures, durations and contents of files.

Two reports go in, plain structs come out, of a size that does not grow with the runs. It does not know which two runs are worth a look,
nor how the differences are shown.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Struct

from joblot.core.fan_out import pattern_of
from joblot.core.provenance import Change, differing
from joblot.reports.text import Cause, digest, one_line
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from joblot.core.model import Config, JobSpec
    from joblot.reports.report import Report

SLOWER: Final = 1.25
SLOWER_S: Final = 1.0
"""A job is slower that took more than so many times as long, and more than so many seconds longer."""
MOST: Final = 100
"""So many of a kind are named; how many there are is told as well."""
_EXAMPLES: Final = 3
_SHORTEST: Final = 4
"""Shorter values are no secrets, as in logs."""
_DONE: Final = frozenset({"success", "cached"})
_UNDONE: Final = frozenset({"skipped", "cancelled", "aborted"})
_OF_BATCH: Final = (
    "description", "env", "env_file", "limits", "imports", "fail_fast", "max_failures", "timeout_s", "max_workers", "durability", "timezone", "seed",
    "concurrency",
)  # fmt: skip
"""Fields of a batch that may decide how a run goes, and that are neither variables nor jobs."""
_BEGUN: Final = ("on", "workers", "fail_fast", "fuse", "only", "upto", "from", "exclude")
"""What a run was begun with, as its first record has it."""


class Secrets(Struct, frozen=True):
    """What is not told: the names of the variables that batches call secrets, and what these have here or are set to in the batches."""

    names: frozenset[str]
    values: frozenset[str]

    @classmethod
    def of(cls, *configs: Config) -> Secrets:
        """Those of some batches together."""
        names = frozenset(name for config in configs for name in config.secrets)
        if not names:
            return _NONE
        own = [env for config in configs for env in (config.env, *(spec.env for spec in config.jobs)) if env]
        found = (env.get(name, "") for env in (os.environ, *own) for name in names)
        return cls(names, frozenset(value for value in found if len(value) >= _SHORTEST))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self.names | other.names, self.values | other.values)

    def masked(self, changes: Iterable[Change]) -> Iterator[Change]:
        """The changes with `***` in place of the values."""
        for change in changes:
            yield (
                Change(self._text(change.what), self._value(change.old), self._value(change.new))
                if self.values
                else change
            )

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(str(name)): self._value(item) for name, item in value.items()}
        return [self._value(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _text(self, text: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


_NONE: Final = Secrets(frozenset(), frozenset())


class Side(Struct, frozen=True, kw_only=True):
    """One of the two runs. `started_at` is seconds since the epoch; None: not known."""

    run_id: str
    status: str
    started_at: float | None


class Definition(Struct, frozen=True, kw_only=True):
    """A declaration that is not what it was, by its name in the batch, and its fields."""

    job: str
    changes: list[Change]


class Group(Struct, frozen=True, kw_only=True):
    """Jobs of one declaration: how many, and the names of the first of them."""

    declaration: str
    jobs: int
    examples: list[str]


class Slower(Struct, frozen=True, kw_only=True):
    """A job that succeeded in both runs and took longer in the second: seconds over all its attempts."""

    job: str
    old_s: float
    new_s: float


class Remade(Struct, frozen=True, kw_only=True):
    """A file that a job made in both runs, with the SHA-256 of its contents in each."""

    path: str
    job: str
    old: str
    new: str


class Differences(Struct, frozen=True, kw_only=True):
    """What is different in the run `new` from the run `old`. False when nothing is that counts; when they ran does not."""

    old: Side
    new: Side
    variables: list[Change] = []
    versions: list[Change] = []
    """Of joblot and Python, and the machine: `joblot`, `python`, `host`."""
    begun: list[Change] = []
    """What the runs were begun with: where, with how many at once, which jobs."""
    batch: list[Change] = []
    """Fields of the batch itself."""
    definitions: list[Definition] = []
    added: list[Group] = []
    gone: list[Group] = []
    failed: list[Cause] = []
    """Why jobs failed that did not fail before."""
    mended: list[Cause] = []
    """Why jobs failed before that are done now."""
    undone: dict[str, int] = {}
    """How many jobs that were done before are `skipped`, `cancelled` or `aborted` now."""
    slower: list[Slower] = []
    """The first hundred by what they took longer."""
    slower_jobs: int = 0
    files: list[Remade] = []
    """The first hundred."""
    remade: int = 0
    """How many files have other contents, as far as both runs know the hash."""

    def __bool__(self) -> bool:
        """Whether anything is different."""
        listed = (
            "variables",
            "versions",
            "begun",
            "batch",
            "definitions",
            "added",
            "gone",
            "failed",
            "mended",
            "undone",
            "slower",
            "files",
        )
        return self.old.status != self.new.status or any(getattr(self, name) for name in listed)


def differences(old: Report, new: Report) -> Differences:
    """What is different in the second run from the first. Of values of secrets nothing is told."""
    before, after = old.config, new.config
    secrets = Secrets.of(before, after)
    added: list[int] = []
    gone: list[int] = []
    if old.plan.names() == new.plan.names():  # as mostly
        pairs = [(job, job) for job in range(len(new.plan))]
    else:
        numbers = {name: job for job, name in enumerate(old.plan.names())}
        pairs = []
        for job, name in enumerate(new.plan.names()):
            if name in numbers:
                pairs.append((numbers.pop(name), job))
            else:
                added.append(job)
        gone += numbers.values()
    if old.view.left_out or new.view.left_out:
        pairs = [one for one in pairs if one[0] not in old.view.left_out and one[1] not in new.view.left_out]
    outcomes = _outcomes(old, new, pairs, added)
    remade, count = _remade(old, new, pairs)
    return Differences(
        old=_side(old),
        new=_side(new),
        variables=list(secrets.masked(differing("", before.vars, after.vars))),
        versions=_changes(old.view.by, new.view.by, ("joblot", "python", "host")),
        begun=_changes(old.view.settings, new.view.settings, _BEGUN),
        batch=list(_told(_fields(before, _OF_BATCH), _fields(after, _OF_BATCH), secrets)),
        definitions=list(_definitions(before, after, secrets)),
        added=_groups(new, added),
        gone=_groups(old, gone),
        files=remade,
        remade=count,
        **outcomes,
    )


def told(found: Differences) -> Iterator[tuple[str, list[str], int]]:
    """The differences in words: of each kind that there are a title, lines, and how many there are."""
    for title, changes in (
        ("variables", found.variables), ("versions", found.versions), ("begun with", found.begun), ("batch", found.batch),
    ):  # fmt: skip
        yield from _lines(title, [str(change) for change in changes])
    yield from _lines("definitions", [f"{one.job}: {change}" for one in found.definitions for change in one.changes])
    yield from _lines("jobs added", map(_words, found.added))
    yield from _lines("jobs gone", map(_words, found.gone))
    for title, causes in (("newly failed", found.failed), ("mended", found.mended)):
        yield from _lines(title, [f"{one.failures} x {one.text} (such as `{one.example}`)" for one in causes])
    yield from _lines("not done this time", [f"{count} {state}" for state, count in found.undone.items()])
    slower = [f"{one.job}: {format_duration(one.old_s)} -> {format_duration(one.new_s)}" for one in found.slower]
    yield from _lines("slower", slower, found.slower_jobs)
    yield from _lines("other contents", [f"{one.path} (of `{one.job}`)" for one in found.files], found.remade)


def _lines(title: str, lines: Iterable[str], count: int | None = None) -> Iterator[tuple[str, list[str], int]]:
    if lines := [one_line(line) for line in lines]:
        yield title, lines, len(lines) if count is None else count


def _words(group: Group) -> str:
    if group.jobs == 1:
        return group.examples[0]
    return f"{group.declaration}: {group.jobs} jobs (such as `{group.examples[0]}`)"


def _side(report: Report) -> Side:
    return Side(run_id=report.run_id, status=report.status, started_at=report.view.started_at)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> list[Change]:
    there = [name for name in names if name in old or name in new]
    return [change for name in there for change in differing(name, old.get(name, UNSET), new.get(name, UNSET))]


# --- what was to be done --------------------------------------------------------------------------


def _definitions(old: Config, new: Config, secrets: Secrets) -> Iterator[Definition]:
    """The declarations that both batches have and that are not the same."""
    known = {spec.name: spec for spec in old.jobs}
    for spec in new.jobs:
        before = known.get(spec.name)
        if before is not None and before != spec:
            changes = list(definition_changes(before, spec, secrets))
            if changes:
                yield Definition(job=spec.name, changes=changes)


def definition_changes(old: JobSpec, new: JobSpec, secrets: Secrets, *, given: bool = False) -> Iterator[Change]:
    """The fields of a job that are not what they were, by their names in a batch file, but for values of secrets.

    `given`: also what values of variables stand in its command, which are the batch's.
    """
    yield from _told(_declared(old, given=given), _declared(new, given=given), secrets)


def _declared(spec: JobSpec, *, given: bool) -> dict[str, Any]:
    names = [
        name
        for name in spec.__struct_fields__
        if name not in ("place", "name", "given", "deferred", "function", "patterns")
    ]
    fields = _fields(spec, names)
    # Values of variables are told once, and not by each job that has one in its command.
    values = {name: value for name, value in (spec.given or {}).items() if given or not name.startswith("vars.")}
    fan = fields.pop("fan_out", None)
    if fan is not None:
        for name, items in fan.get("columns", {}).items():
            fields[f"items.{name}" if name else "items"] = items
        fields["max_parallel"] = fan.get("max_parallel")
    return fields | values


def _fields(struct: Struct, names: Iterable[str]) -> dict[str, Any]:
    """Fields as plain data, by the names that they have in a batch file."""
    encoded = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    return {encoded[name]: msgspec.to_builtins(getattr(struct, name), enc_hook=str) for name in names}


def _told(old: dict[str, Any], new: dict[str, Any], secrets: Secrets) -> Iterator[Change]:
    for change in secrets.masked(differing("", old, new)):
        field, _, name = change.what.partition(".")
        if field == "env" and name in secrets.names:
            continue
        # As it is called in a batch file.
        what = change.what.removesuffix("_s") if field in ("timeout_s", "grace_s", "retry") else change.what
        before, after = change.old, change.new
        if field == "items":
            before, after = _counted(before), _counted(after)
        if before != after or field != "items":  # which jobs came and went is told by itself
            yield Change(what, before, after)


def _counted(values: Any) -> Any:
    return len(values) if isinstance(values, list) else values


# --- what came of it ------------------------------------------------------------------------------


def _groups(report: Report, jobs: Iterable[int]) -> list[Group]:
    groups: dict[str, list[Any]] = {}
    plan, left_out = report.plan, report.view.left_out
    for job in jobs:
        if job in left_out or job in plan.growing:
            continue
        declared = plan.declarations[job]
        name = declared.name if declared.fan_out is None else pattern_of(declared.name)
        group = groups.setdefault(name, [0, []])
        group[0] += 1
        if len(group[1]) < _EXAMPLES:
            group[1].append(plan.name(job))
    return [Group(declaration=name, jobs=count, examples=examples) for name, (count, examples) in groups.items()]


def _outcomes(old: Report, new: Report, pairs: Sequence[tuple[int, int]], added: Sequence[int]) -> dict[str, Any]:
    before, after = list(old.view.columns()), list(new.view.columns())
    failed: list[int] = []
    mended: list[int] = []
    undone: dict[str, int] = {}
    slower: list[tuple[float, float, int]] = []
    for first, job in pairs:
        was, now = before[first], after[job]
        if was[0] == now[0]:
            took = now[2] - was[2]  # seconds over all attempts
            if took > SLOWER_S and now[2] > SLOWER * was[2] and now[0] == "success":
                slower.append((was[2], now[2], job))
        elif now[0] == "failed":
            failed.append(job)
        elif now[0] in _DONE:
            if was[0] == "failed":
                mended.append(first)
        elif now[0] in _UNDONE and was[0] in _DONE:
            undone[now[0]] = undone.get(now[0], 0) + 1
    failed += [job for job in added if after[job][0] == "failed"]
    slower.sort(key=lambda one: one[0] - one[1])
    name = new.plan.name
    return {
        "failed": digest(map(new.failure, failed)),
        "mended": digest(map(old.failure, mended)),
        "undone": undone,
        "slower": [Slower(job=name(job), old_s=round(was, 3), new_s=round(now, 3)) for was, now, job in slower[:MOST]],
        "slower_jobs": len(slower),
    }


def _remade(old: Report, new: Report, pairs: Sequence[tuple[int, int]]) -> tuple[list[Remade], int]:
    remade, count = [], 0
    made_before, made_after = old.view.made, new.view.made
    for first, job in pairs if made_before and made_after else ():
        if job not in made_after or first not in made_before:
            continue
        hashes = {artifact.path: artifact.sha256 for artifact in made_before[first]}
        for artifact in made_after[job]:
            was = hashes.get(artifact.path)
            if was and artifact.sha256 and was != artifact.sha256:
                count += 1
                if count <= MOST:
                    remade.append(Remade(path=artifact.path, job=new.plan.name(job), old=was, new=artifact.sha256))
    return remade, count
