"""A run as JUnit XML, as CI systems read it: a suite for each fan-out and one for the other jobs, a case for each job.

Of a large run only what did not end well is listed, with one case for all others of a suite: GitLab refuses files of more than 250,000
elements. The file is made as it is written; nothing of it is held but a job at a time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joblot.clock import iso_utc
from joblot.core.fan_out import pattern_of
from joblot.errors import StateError
from joblot.reports.tail import telling_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.core.events import AttemptEnded
    from joblot.reports.report import JobReport, Report

LISTED: Final = 50_000
"""Of a run of more jobs those that ended well are not listed one by one."""
LOGS: Final = 1000
"""Of so many failures the end of the log is told."""
_LINES: Final = 20
_MOST: Final = 8000
"""Characters of the end of a log, and of a message."""
_ERRORS: Final = frozenset({"crash", "lost", "oom", "unknown", "interrupted"})
"""Reasons that are no fault that the job found, but something that befell it."""
_ODD: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x84\x86-\x9f]")
"""What XML 1.0 has no way to write, or discourages."""
_SPECIAL: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_IN_ATTRIBUTE: Final = re.compile('[&<>"\t\n\r]')
_WELL: Final = frozenset({"success", "cached"})


def junit(report: Report) -> Iterator[bytes]:
    """The file, in parts."""
    yield from (f"{line}\n".encode() for line in _Suites(report).lines())


class _Suites:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._plan = report.plan
        self._live = report.status in ("running", "stopping")
        self._told = 0

    def lines(self) -> Iterator[str]:
        report = self._report
        suites = self._suites()
        totals = [sum(column) for column in zip(*(counts for _, _, counts in suites), strict=True)] or [0, 0, 0, 0]
        began = report.view.started_at
        at = "" if began is None else f' timestamp="{iso_utc(began)}"'
        yield '<?xml version="1.0" encoding="UTF-8"?>'
        took = report.duration_ms / 1000
        yield f'<testsuites name="{_attribute(report.batch)}" {_numbers(totals)} time="{took:.3f}"{at}>'
        for name, jobs, counts in suites:
            wall = sum(map(report.view.took, jobs))
            yield f'  <testsuite name="{_attribute(name)}" {_numbers(counts)} time="{wall:.3f}"{at}>'
            yield from self._cases(jobs)
            yield "  </testsuite>"
        yield "</testsuites>"

    def _suites(self) -> list[tuple[str, Sequence[int], list[int]]]:
        """Name, jobs and numbers of each suite: how many cases, failures, errors and skipped ones are listed."""
        plan, out = self._plan, self._report.left_out
        fans = [(pattern_of(spec.name), jobs) for spec, jobs in plan.fan_outs]
        edges = [0, *(edge for _, jobs in fans for edge in (jobs.start, jobs.stop)), len(plan)]
        singles = [job for start, stop in zip(edges[::2], edges[1::2], strict=True) for job in range(start, stop)]
        found: list[tuple[str, Sequence[int]]] = [(self._report.batch, singles), *fans]
        if out:
            found = [(name, [job for job in jobs if job not in out]) for name, jobs in found]
        return [(name, jobs, self._counted(jobs)) for name, jobs in found if jobs]

    @property
    def _is_large(self) -> bool:
        return self._report.total_jobs > LISTED

    def _counted(self, jobs: Sequence[int]) -> list[int]:
        kinds = [self._kind(job) for job in jobs]
        well = kinds.count("")
        listed = len(kinds) - well + bool(well) if self._is_large else len(kinds)
        return [listed, kinds.count("failure"), kinds.count("error"), kinds.count("skipped")]

    def _kind(self, job: int) -> str:
        """The element that says how a job ended; empty when it ended well."""
        view = self._report.view
        state = view.state(job)
        if state in _WELL:
            return ""
        if state == "failed":
            if self._plan.declarations[job].allow_failure:
                return "skipped"
            return "error" if view.reason(job) in _ERRORS else "failure"
        return "error" if state == "aborted" or (state == "running" and not self._live) else "skipped"

    def _cases(self, jobs: Sequence[int]) -> Iterator[str]:
        report, plan = self._report, self._plan
        well = 0
        for job in jobs:
            kind = self._kind(job)
            if not kind and self._is_large:
                well += 1
                continue
            spec = plan.declarations[job]
            owner = pattern_of(spec.name) if spec.fan_out is not None else spec.name
            case = f'    <testcase classname="{_attribute(report.batch)}.{_attribute(owner)}" name="{_attribute(plan.name(job))}"'
            case += f' time="{report.view.took(job):.3f}"'
            inside = "".join(self._inside(job, kind))
            yield f"{case}>{inside}</testcase>" if inside else f"{case}/>"
        if well:
            first = plan.declarations[jobs[0]]
            owner = pattern_of(first.name) if first.fan_out is not None else report.batch
            name = f"{well} jobs that ended well, which are not listed" if well > 1 else "1 job that ended well"
            yield f'    <testcase classname="{_attribute(report.batch)}.{_attribute(owner)}" name="{name}"/>'

    def _inside(self, job: int, kind: str) -> Iterator[str]:
        view = self._report.view
        if not kind:
            if view.state(job) == "cached":
                yield '<properties><property name="cached" value="true"/></properties>'
            elif ends := view.tried_again().get(job):
                yield from self._flaky(ends)
            return
        found = self._report.numbered(job)
        message = _attribute(self._message(found)[:_MOST])
        if kind == "skipped":
            yield f'<skipped message="{message}"/>'
            return
        yield f'<{kind} type="{_attribute(found.reason or found.state)}" message="{message}">{_text(self._end_of_log(found))}</{kind}>'

    def _flaky(self, ends: Sequence[AttemptEnded]) -> Iterator[str]:
        """What failed before a job succeeded. No `failure`: some readers would take the job for failed."""
        failed = [one for one in ends if one.outcome not in ("ok", "returned", "interrupted")]
        if failed:
            last = failed[-1]
            message = _attribute(last.message[:_MOST])
            told = "\n".join(f"attempt {one.attempt}: {one.outcome}: {one.message}" for one in failed[-_LINES:])
            yield f'<flakyFailure type="{_attribute(last.reason)}" message="{message}"><stackTrace>{_text(told[-_MOST:])}</stackTrace></flakyFailure>'

    def _message(self, job: JobReport) -> str:
        if job.allowed:
            return f"failed, which is allowed: {job.message or job.reason}"
        if job.message or job.reason:
            return job.message or job.reason
        return "its end is not known" if job.state == "running" else "it has not run"

    def _end_of_log(self, job: JobReport) -> str:
        self._told += 1
        if not job.log or self._told > LOGS:
            return ""
        try:
            return "\n".join(telling_lines(Path(job.log), _LINES))[-_MOST:]
        except StateError:  # the job has put something else in its place
            return ""


def _numbers(counts: Sequence[int]) -> str:
    names = ("tests", "failures", "errors", "skipped")
    return " ".join(f'{name}="{count}"' for name, count in zip(names, counts, strict=True))


def _attribute(text: str) -> str:
    text = _ODD.sub("", text)
    return "".join(_SPECIAL.get(char, char) for char in text) if _IN_ATTRIBUTE.search(text) else text


def _text(text: str) -> str:
    return _ODD.sub("", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
