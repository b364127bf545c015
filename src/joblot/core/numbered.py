"""The jobs of a batch, numbered: names, and what declares each. Part of the core: pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.core.fan_out import FanOutJobs, pattern_of
from joblot.core.model import is_unread
from joblot.core.references import LATER
from joblot.errors import Diagnostic

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Mapping, Sequence

    from joblot.core.graph import Relation
    from joblot.core.model import JobSpec

Columns = dict[str, list[Any]]
"""Items as columns, by name."""
_LATER_IN: Final = rf"\$\{{\{{\s*({'|'.join(sorted(LATER))})\b"


class Inferred(Struct, frozen=True):
    """The needs of jobs with those that are inferred behind those that are written, and how many are written (None: all of them)."""

    needs: Relation
    written: array[int] | None


class NumberedJobs:
    """The numbered jobs of a batch's declarations: names, what declares each, and the makers of those made from items."""

    def __init__(self, specs: Sequence[JobSpec], grown: Mapping[int, Columns]) -> None:
        self.specs = list(specs)
        self.declarations: list[JobSpec] = []
        self.names: list[str] = []
        self.fans: list[FanOutJobs] = []
        self.starts: list[int] = []
        self.growing: list[int] = []
        self.unread: list[int] = []
        self.finals: set[int] = set()
        self.grown: dict[int, range] = {}
        self.unsure: Sequence[str] = ()
        """Beginnings of names of jobs that could not be read."""
        for spec in specs:
            if spec.fan_out is None:
                self.declarations.append(spec)
                self.names.append(spec.name)
            elif spec.fan_out.kind == "result":
                self.growing.append(len(self.names))
                if is_unread(spec.fan_out):
                    self.unread.append(len(self.names))
                self.declarations.append(spec)
                self.names.append(pattern_of(spec.name))
            else:
                self._add(spec)
            if spec.finally_:
                self.finals.update(
                    range(len(self.names) - (len(self.fans[-1]) if spec.fan_out else 1), len(self.names))
                )
        self.declared = len(self.names)
        """How many jobs the batch itself declares; behind them stand those that a result gave."""
        for job, columns in grown.items():
            spec = of_items(self.declarations[job], columns)
            self.specs.append(spec)
            self._add(spec)
            self.grown[job] = range(self.starts[-1], len(self.names))
        self.numbers = dict(zip(self.names, range(len(self.names)), strict=True))

    def _add(self, spec: JobSpec) -> None:
        """The jobs of one fan-out, behind those that there are."""
        jobs = FanOutJobs(spec)
        self.starts.append(len(self.names))
        self.fans.append(jobs)
        self.names += jobs.names()
        self.declarations += [spec] * len(jobs)

    def each(self, field: str) -> Iterator[Any]:
        """A field of every job, in order. Growing jobs make nothing themselves: they have their needs only."""
        fans = iter(self.fans)
        for spec in self.specs:
            if spec.fan_out is None:
                yield getattr(spec, field)
            elif spec.fan_out.kind == "result":
                yield getattr(spec, field) if field == "needs" else ()
            else:
                yield from next(fans).values(field)


def of_items(spec: JobSpec, columns: Columns) -> JobSpec:
    """The declaration of the jobs that a growing job's items make. What the growing job waited for, they need not wait for."""
    from msgspec.structs import replace

    assert spec.fan_out is not None, "BUG: not a fan-out"
    fan = replace(spec.fan_out, kind="rows", columns=columns, source="")
    return replace(spec, fan_out=fan, needs=(), when="success", deferred=_is_deferred(spec))


def _is_deferred(spec: JobSpec) -> bool:
    """Whether something but the item is filled in when a job starts."""
    text = msgspec.json.encode([spec.input, spec.params, spec.run, spec.env, spec.if_]).decode()
    return bool(spec.patterns) or bool(re.search(_LATER_IN, text))


def job_problem(code: str, spec: JobSpec, message: str, *, hint: str = "") -> Diagnostic:
    """What is wrong with a job, at the place that declares it."""
    place = spec.place
    if place is None:
        return Diagnostic(code, message, hint=hint)
    return Diagnostic(code, message, file=place.file, line=place.line, column=place.column, hint=hint)
