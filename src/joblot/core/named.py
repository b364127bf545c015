"""Commands that name what another job makes and do not wait for it. Part of the core: pure."""

from __future__ import annotations

import posixpath
from itertools import islice
from typing import TYPE_CHECKING, Final

from joblot.core.model import is_off
from joblot.core.numbered import job_problem
from joblot.core.plan import expand
from joblot.core.provenance import shown_command
from joblot.core.references import OPENING
from joblot.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.core.dataflow import Maker, Makers
    from joblot.core.model import Config, JobSpec
    from joblot.core.numbered import NumberedJobs
    from joblot.core.plan import Plan
    from joblot.errors import Diagnostic

_AS_BLANKS: Final = str.maketrans(dict.fromkeys("\"'<>|&;()=`\\", " "))
"""What stands around the words of a shell's text."""
_MOST_SHOWN: Final = 20
_MOST_DECLARATIONS: Final = 2000
"""So many are looked at: those of a longer file were written by a program, and repeat one another."""
_MOST_NEEDS: Final = 1_000_000
"""So many needs are looked at to find out who waits for whom."""


def expand_with_doubts(config: Config, *, strict: bool) -> tuple[Plan, list[Diagnostic]]:
    """The plan of a batch, and warnings of commands that name what they do not wait for. With `strict` that is wrong.

    Raises:
        ConfigError: as `expand`.
    """
    doubts: list[Diagnostic] = []
    plan = expand(config, lambda *made: doubts.extend(named_only(*made)))
    if strict and doubts:
        raise ConfigError([doubt._replace(severity="error") for doubt in doubts])
    return plan, doubts


def named_only(plan: Plan, jobs: NumberedJobs, makers: Makers) -> list[Diagnostic]:
    """Warnings of declarations whose `run` names what another job makes while neither of the two waits for the other, and both may run.

    Of a fan-out the first job is looked at. A word counts that is the path of an output, or of something in a folder that is one, with a dot or a slash
    in it: others (`echo report`) mostly mean something else.
    """
    found: list[Diagnostic] = []
    order = _Order(plan)
    for job, spec in islice(_firsts(jobs), _MOST_DECLARATIONS):
        if spec.run is None or job in jobs.finals or is_off(spec):
            continue
        for maker in _named(plan, spec, job, makers):
            if order.between(job, maker.job) or order.is_off(maker.job):
                continue
            if order.left <= 0:  # it could not be found out
                return found
            message = (
                f"job `{plan.name(job)}` names `{maker.path}`, which job `{plan.name(maker.job)}` makes, "
                f"and does not wait for it"
            )
            warning = job_problem("named_only", spec, message, hint="let it stand in `input`")
            found.append(warning._replace(severity="warning"))
            break
        if len(found) == _MOST_SHOWN:
            break
    return found


def _firsts(jobs: NumberedJobs) -> Iterator[tuple[int, JobSpec]]:
    """The first job of each declaration; of those whose items are not known yet, none."""
    number, fans = 0, iter(jobs.fans)
    for spec in jobs.specs:
        if spec.fan_out is None:
            yield number, spec
            number += 1
        elif spec.fan_out.kind == "result":
            number += 1
        elif size := len(next(fans)):
            yield number, spec
            number += size


def _named(plan: Plan, spec: JobSpec, job: int, makers: Makers) -> Iterator[Maker]:
    """What makes the words of a command, but for the job itself and what it needs."""
    run = spec.run
    if spec.fan_out is not None or spec.given:
        spec = plan.spec(job)
        run = shown_command(spec)
    needs, cwd = plan.needs[job], spec.cwd
    words = run.translate(_AS_BLANKS).split() if isinstance(run, str) else run or ()
    for word in words:
        if ("." in word or "/" in word) and word not in spec.outputs and OPENING not in word:
            maker = makers.around(posixpath.join(cwd, word) if cwd else word)
            if maker is not None and maker.job != job and maker.job not in needs:
                yield maker


class _Order:
    """Which jobs wait for which, near or far. Once `left` is not above 0 it is not known."""

    def __init__(self, plan: Plan) -> None:
        self._needs = plan.needs
        self._declarations = plan.declarations
        self.left = _MOST_NEEDS

    def between(self, one: int, other: int) -> bool:
        """Whether one of the two jobs waits for the other."""
        return any(other in row for row in self._rows(one)) or any(one in row for row in self._rows(other))

    def is_off(self, job: int) -> bool:
        """Whether the job, or one that it needs, is left out by its `if`."""
        if is_off(self._declarations[job]):
            return True
        return any(is_off(self._declarations[need]) for row in self._rows(job) for need in row)

    def _rows(self, job: int) -> Iterator[Sequence[int]]:
        """The needs of a job, of these jobs, and so on; no more when `left` is used up."""
        seen: set[int] = set()
        jobs = [job]
        while jobs and self.left > 0:
            row = self._needs[jobs.pop()]
            self.left -= 1 + len(row)
            yield row
            more = [each for each in row if each not in seen]
            seen.update(more)
            jobs += more
