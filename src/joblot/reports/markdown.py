"""A run as Markdown, for the summaries of CI systems: what failed and why first, and never more than 64 KiB.

GitHub drops a summary whole that is above 1 MiB, and shows only so many; so there is little of everything, and what is left out is said.
"""

from __future__ import annotations

import re
from shlex import quote
from typing import TYPE_CHECKING, Final

from joblot.core.fan_out import pattern_of
from joblot.reports.markup import SIGNS, bare
from joblot.reports.tail import last_printed
from joblot.reports.text import digest, summary
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from joblot.reports.report import JobReport, Report

MOST_BYTES: Final = 64 * 1024
ROWS: Final = 50
"""Rows of all tables together."""
_CAUSES: Final = 15
_FAN_OUTS: Final = 15
_TEXT: Final = 200
"""Characters of a message, before those are written that mean something in Markdown."""
_NAME: Final = 100
_MEANT: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&@:$])")
"""Characters that may mean something in Markdown, in HTML or to GitHub: mentions, issues, mathematics."""


def markdown(report: Report) -> Iterator[bytes]:
    """The summary, whole."""
    lines: list[str] = []
    size = 0
    for line in _lines(report):
        size += len(line.encode()) + 1
        if size > MOST_BYTES - 100:
            lines += ["", "The rest is left out: there is no room for it."]
            break
        lines.append(line)
    yield "\n".join([*lines, ""]).encode()


def _lines(report: Report) -> Iterator[str]:
    status = report.status
    yield f"## {SIGNS.get(status, '…')} {_text(report.batch, _NAME)}: {status}"
    yield ""
    yield f"{_text(summary(report), _TEXT)}. Run {_code(report.run_id)}"
    left = ROWS
    causes = digest(report.failures())
    if causes:
        yield from ("", "### Failures by cause", "")
        yield from _table(["jobs", "cause", "such as", "last line"], right=1)
        for cause in causes[:_CAUSES]:
            job = report.jobs.get(cause.example)
            printed = last_printed(job) if job is not None else ""
            yield _row(
                str(cause.failures), _text(cause.text, _TEXT), _code(cause.example), _code(printed) if printed else ""
            )
        left -= min(len(causes), _CAUSES)
        yield from _others(len(causes) - _CAUSES, "cause")
    fans = [(spec, counts) for spec, counts in report.fan_outs]
    if fans:
        odd = [one for one in fans if set(one[1]) - {"success", "cached"}]
        shown = [*odd, *(one for one in fans if one not in odd)][:_FAN_OUTS]
        yield from ("", "### Fan-outs", "")
        yield from _table(["jobs", "how they ended"])
        for spec, counts in shown:
            words = ", ".join(f"{count:,} {state}" for state, count in counts.items())
            yield _row(_code(pattern_of(spec.name)), words)
        left -= len(shown)
        yield from _others(len(fans) - len(shown), "fan-out")
    yield from _jobs(report, left)
    if report.exit_code and report.source and report.view.ended:
        word = "retry" if report.status in ("failed", "success") else "resume"
        failed = " --failed" if word == "retry" else ""
        commands = [f"joblot show {quote(report.run_id)}", f"joblot {word} {quote(report.run_id)}{failed}"]
        yield from ("", "```bash", *commands, "```")


def _jobs(report: Report, most: int) -> Iterator[str]:
    """The jobs that did not end well, or, of a small run that did, all."""
    names = ("failed", "aborted", "cancelled", "running", "backing_off", "skipped", "ready", "waiting")
    bad = sum(report.counts[name] for name in names)
    if not bad and report.total_jobs > most:
        return
    wanted = (name for name in names if report.counts[name]) if bad else ("success", "cached")
    jobs: Iterable[JobReport] = (job for name in wanted for job in report.in_state(name))
    rows: list[str] = []
    for job in jobs:
        if len(rows) >= most:
            break
        state = f"{SIGNS.get(job.state, '…')} {job.state}{' (allowed)' if job.allowed else ''}"
        took = format_duration(job.duration_ms / 1000) if job.attempts else ""
        rows.append(_row(_code(job.name), state, took, _text(job.message or job.reason, _TEXT)))
    if rows:
        yield from ("", "### Jobs that did not end well" if bad else "### Jobs", "")
        yield from _table(["job", "state", "took", "why"])
        yield from rows
        yield from _others((bad or report.total_jobs) - len(rows), "job")


def _others(count: int, word: str) -> Iterator[str]:
    if count > 0:
        yield from ("", f"and {count:,} more {word}{'' if count == 1 else 's'}")


def _table(heads: list[str], *, right: int = 0) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*(["---:"] * right + ["---"] * (len(heads) - right)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str, most: int) -> str:
    """A text that means nothing but itself."""
    text = bare(text)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return (
        _MEANT.sub(r"\\\1", text)
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
        .replace("\\&", "&amp;")
        .replace("\\@", "&#64;")
    )


def _code(text: str) -> str:
    """A text as code, in which only what ends it, or a cell, could mean something."""
    text = bare(text)
    text = text if len(text) <= _NAME else f"{text[: _NAME - 1]}…"
    if re.fullmatch(r"[\w.,:/=@+ -]+", text) and text.strip() == text:
        return f"`{text}`"
    return f"<code>{_text(text, _NAME)}</code>" if text else ""
