"""What people read of a run at its end: the closing table and the digest of failures; and job output made safe to show.

Everything here is text in, text out. It does not know terminals: whether and how to colour is the caller's choice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.core.model import JobSpec
    from joblot.reports.report import Failure, JobReport, Report

SMALL: Final = 30
"""A run of at most this many jobs is shown job by job; of a larger one only what went wrong, and no more lines than this."""

_SEEN_AT_ONCE: Final = 10
"""Lines of a table that are seen on the last screen together with all that follows."""
_SKIPPED: Final = 3
_CAUSES: Final = 4
_LONG_CAUSE: Final = 100
_LONG_NAME: Final = 32
"""So many causes of so many characters each leave a screen of 24 lines and 80 columns room for what follows them."""
_AXES: Final = 6
"""So many columns of a fan-out are named."""

# Patterns are compiled when they are needed: most runs print nothing but plain words.
_ESCAPES: Final = (
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC: titles, links, the clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)?"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor movement
    r"|\x1b[ -/]*[0-~]?"  # two-character sequences, and an escape cut short
)
_CONTROLS: Final = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"


def plain(text: str) -> str:
    """Text that cannot drive a terminal: escape sequences and control characters other than tab and newline are gone.

    A carriage return ends a line as a newline does, so that what a progress bar overwrote stays readable.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(_CONTROLS, "", re.sub(_ESCAPES, "", text))


def one_line(text: str) -> str:
    """The text made plain and its lines joined, for places that have one line."""
    return " ".join(plain(text).split())


# --- the closing table ----------------------------------------------------------------------------


_ORDER: Final = (
    "success", "cached", "failed", "skipped", "cancelled", "aborted", "running", "backing_off", "ready", "waiting",
)  # fmt: skip


def _unpainted(_state: str, text: str) -> str:
    return text


def _no_words(_job: JobReport) -> str:
    return ""


def closing(
    report: Report,
    *,
    paint: Callable[[str, str], str] = _unpainted,
    going_on: Callable[[JobReport], str] = _no_words,
    printed: Callable[[JobReport], str] = _no_words,
    told: bool = False,
) -> str:
    """The table, the causes of failures and the sentence that end a run. The causes come late, so that they stand on the last screen.

    `paint(state, text)` may colour the text of a job, or of the run, in that state; `going_on(job)` says of one that has not ended how it
    stands; `printed(job)` is the last line that a failed one printed. `told`: what ended well has had its line already.
    """
    lines = [f"Batch {one_line(report.batch)}: {paint(report.status, report.status)}"]
    small = report.total_jobs <= SMALL
    table = (
        _every_job(report, paint, going_on, printed, told=told)
        if small
        else [*_bad_jobs(report, paint, printed), *_fan_outs(report, paint), *_skipped(report, paint)]
    )
    lines += table
    # In a short table every failure can be seen with its own message.
    at_least = 2 if len(table) <= _SEEN_AT_ONCE else 1
    causes = [cause for cause in digest(report.failures()) if cause.failures >= at_least]
    if causes:
        lines += ["Failures by cause:", *_causes(causes, report, printed)]
    lines.append(summary(report))
    return "\n".join(lines)


def _causes(causes: Sequence[Cause], report: Report, printed: Callable[[JobReport], str]) -> Iterator[str]:
    for cause in causes[:_CAUSES]:
        text = cause.text if len(cause.text) <= _LONG_CAUSE else f"{cause.text[: _LONG_CAUSE - 1]}…"
        name = cause.example if len(cause.example) <= _LONG_NAME else f"{cause.example[: _LONG_NAME - 1]}…"
        job = report.jobs.get(cause.example)
        last = f": {words}" if job is not None and (words := printed(job)) else ""
        yield f"  {cause.failures:>5} x {text} (such as `{name}`{last})"
    if len(causes) > _CAUSES:
        others = sum(cause.failures for cause in causes[_CAUSES:])
        more = len(causes) - _CAUSES
        yield f"  ... and {more} more {'cause' if more == 1 else 'causes'} of {others} {'failure' if others == 1 else 'failures'}"


def summary(report: Report) -> str:
    """One line: `4 jobs: 2 succeeded, 1 failed, 1 skipped, in 4.3 s`."""
    counts = report.counts
    words = {"success": "succeeded", "backing_off": "waiting to retry"}
    parts = [f"{counts[state]} {words.get(state, state)}" for state in _ORDER if counts[state]]
    if allowed := report.allowed_failures:
        parts = [f"{part} ({allowed} allowed)" if part.endswith(" failed") else part for part in parts]
    total = sum(counts.values())
    if not total:
        return "no jobs: nothing to do"
    # Only its end says how long a run took.
    going_on = any(counts[state] for state in ("running", "backing_off", "ready", "waiting"))
    took = "" if going_on else f", in {duration(report)}"
    return f"{taking_part(total, report.planned_jobs)}: {', '.join(parts)}{took}"


def duration(report: Report) -> str:
    """`4.3 s`; of a run that stood still in between `4.3 s of work, 2h07m since it began`."""
    took = format_duration(report.duration_ms / 1000)
    since = report.since_began_ms
    return took if since is None else f"{took} of work, {format_duration(since / 1000)} since it began"


def taking_part(count: int, of: int) -> str:
    """`4 jobs`; of a run that leaves jobs out, `4 of 12 jobs selected`."""
    return f"{count} {'job' if count == 1 else 'jobs'}" if count == of else f"{count} of {of} jobs selected"


def _every_job(
    report: Report,
    paint: Callable[[str, str], str],
    going_on: Callable[[JobReport], str],
    printed: Callable[[JobReport], str],
    *,
    told: bool,
) -> list[str]:
    jobs = [job for job in report.taking_part() if not (told and job.state in ("success", "cached"))]
    width = max((len(job.state) for job in jobs), default=0)
    return [_line(job, width, paint, going_on, printed) for job in jobs]


def _bad_jobs(report: Report, paint: Callable[[str, str], str], printed: Callable[[JobReport], str]) -> Iterator[str]:
    # The failures come first; what was stopped or skipped because of them follows as numbers in the last line.
    for job in report.first_failed(SMALL):
        yield _line(job, len("failed"), paint, printed=printed)
    failed = len(report.view.failures)
    if failed > SMALL:
        yield f"  ... and {failed - SMALL} more failed jobs"


def _fan_outs(report: Report, paint: Callable[[str, str], str]) -> Iterator[str]:
    """A line for each fan-out; those of which not all jobs ended well come first."""
    fans = sorted(report.fan_outs, key=lambda fan: fan[1].keys() <= {"success", "cached"})
    for spec, counts in fans[:SMALL]:
        parts = [paint(state, f"{counts[state]} {state}") for state in _ORDER if state in counts]
        yield f"  {fan_out_words(spec, sum(counts.values()))}  {', '.join(parts)}"
    if len(fans) > SMALL:
        yield f"  ... and {len(fans) - SMALL} more fan-outs"


def _skipped(report: Report, paint: Callable[[str, str], str]) -> Iterator[str]:
    # One that gathers what a fan-out makes is what the run was for; among thousands its number says nothing.
    skipped = report.skipped_alone(_SKIPPED + 1)
    yield from (_line(job, len("skipped"), paint) for job in skipped[:_SKIPPED])
    if len(skipped) > _SKIPPED:
        yield "  ... and more skipped jobs"


def fan_out_words(spec: JobSpec, count: int) -> str:
    """A fan-out in a few words: `build-*: 12 jobs (matrix code x day)`."""
    from joblot.core.fan_out import pattern_of

    names = [name for name in spec.fan_out.columns if name] if spec.fan_out is not None else []
    product = spec.fan_out is not None and spec.fan_out.kind == "matrix"
    others = f", and {len(names) - _AXES} more" if len(names) > _AXES else ""
    listed = (" × " if product else ", ").join(names[:_AXES]) + others  # noqa: RUF001
    columns = f" ({'matrix ' if product else ''}{one_line(listed)})" if names else ""
    return f"{pattern_of(spec.name)}: {count} {'job' if count == 1 else 'jobs'}{columns}"


def _line(
    job: JobReport,
    width: int,
    paint: Callable[[str, str], str],
    going_on: Callable[[JobReport], str] = _no_words,
    printed: Callable[[JobReport], str] = _no_words,
) -> str:
    label = paint(job.state, f"{job.state:<{width}}")
    line = f"  [{label}] {plain(job.name)}{' of `finally`' if job.finally_ else ''}"
    if words := going_on(job):
        line += f" ({words})"
    elif job.attempts:
        tries = "1 attempt" if job.attempts == 1 else f"{job.attempts} attempts"
        line += f" ({tries}, {format_duration(job.duration_ms / 1000)})"
    message = one_line(job.message or job.reason)
    last = f": {words}" if job.state == "failed" and (words := printed(job)) else ""
    return f"{line}: {message}{' (allowed)' if job.allowed else ''}{last}" if message else line


# --- the digest of failures -----------------------------------------------------------------------


class Cause(NamedTuple):
    """Failures with the same message but for numbers other than exit statuses, names of files and the like.

    `text` is the message, with those replaced where they differ, `failures` how many there are, `example` the name of the first such job and `message` its message as it is.
    """

    text: str
    reason: str
    failures: int
    example: str
    message: str


_VARYING: Final = (
    (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
    (r"\b\w+://[^\s'\"`]+", "<url>"),
    (r"(?<![\w<>])(?:\.{1,2}|~)?(?:/[\w.@%+=-]+)+/?|\b[\w.@%+=-]+(?:/[\w.@%+=-]+)+/?", "<path>"),
    (r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{7,}\b", "<hex>"),
    # What a command exits with is all that there is of its cause: 1 and 75 are two. Other numbers stand beside words.
    (r"(?<!\d)(?<!exit status )(?<!exit code )\d+(?:[.,:]\d+)*", "<n>"),
)


_REMEMBERED: Final = 1000


def normalise(message: str) -> str:
    """A message without what differs from job to job: ids, addresses, paths, hexadecimal and other numbers, but for exit statuses."""
    text = one_line(message)
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text


def digest(failures: Iterable[JobReport | Failure]) -> list[Cause]:
    """The failures grouped by their cause, the most frequent first and among equals the first seen."""
    causes = Causes()
    for job in failures:
        causes.add(job)
    return causes.sorted()


class Causes:
    """Failures grouped by their cause, as they come."""

    def __init__(self) -> None:
        self.failures = 0
        self._groups: dict[tuple[str, str], list[Any]] = {}
        self._texts: dict[str, str] = {}  # by message, for most messages are met again

    def add(self, job: JobReport | Failure) -> tuple[str, str]:
        """One more failure. The same is returned for all that have its cause."""
        message = job.message or job.reason
        text = self._texts.get(message)
        if text is None:
            text = normalise(message)
            if len(self._texts) < _REMEMBERED:
                self._texts[message] = text
        cause = job.reason, text
        group = self._groups.setdefault(cause, [0, job, message])
        group[0] += 1
        if group[2] != message:
            group[2] = None  # from now on it is told without what differs
        self.failures += 1
        return cause

    def sorted(self) -> list[Cause]:
        """The most frequent first, among equals the first seen."""
        causes = [
            Cause(
                text if shared is None else one_line(shared), reason, count, plain(first.name), one_line(first.message)
            )
            for (reason, text), (count, first, shared) in self._groups.items()
        ]
        return sorted(causes, key=lambda cause: -cause.failures)
