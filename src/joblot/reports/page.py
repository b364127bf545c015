"""A run as one page for people: a file that opens in any browser, without a network, a month later.

What says what failed, why, and what to type is plain HTML; the script only draws the timeline and searches jobs, from the data of
`pagedata`. Nothing that anybody has written becomes markup: texts are escaped, the data is base64, the script writes texts only, and the
policy of the page allows this very script and style. The style is in `page.css`, the script in `page.js`.

The page is bounded: by declarations, causes and the slowest, never by jobs.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import ceil
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from joblot.core.fan_out import FanOutJobs, pattern_of
from joblot.core.references import as_text
from joblot.core.written import plain
from joblot.errors import JoblotError
from joblot.garbage import collection_paused
from joblot.reports.differences import differences, told
from joblot.reports.markup import SIGNS, end_of_log, html_text
from joblot.reports.pagedata import PageData
from joblot.reports.tail import last_printed
from joblot.reports.text import SMALL, Causes, duration, fan_out_words
from joblot.units import format_duration, format_size
from joblot.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from joblot.core.plan import Plan
    from joblot.reports.report import JobReport, Report
    from joblot.reports.text import Cause

BOXES: Final = 100
"""A graph of more declarations is not drawn."""
_CAUSES: Final = 8
_COMMON: Final = 3
_FAN_OUTS: Final = 40
_SLOWEST: Final = 10
_SHOWN: Final = 10
"""Differences of a kind."""
_COMPARED: Final = 20_000
"""Runs of more jobs are not compared: reading the other one takes as long as all the rest."""
_PATH: Final = 20
_VALUES: Final = 40
_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 4000
_LINE_BYTES: Final = 400
_TEXT_BYTES: Final = 300
_VALUE_BYTES: Final = 500
_NAME_BYTES: Final = 150
_LONG: Final = 22
"""Characters of a name in a box of the graph."""
_BOX: Final = (190.0, 30.0)
_GAP: Final = (44.0, 12.0)
_WIDE: Final = ("fan", "plain jobs")
"""Tables that do not fit on a telephone."""
_NO_NUMBERS: Final = slice(0)
_STATES: Final = (
    "success", "cached", "failed", "skipped", "cancelled", "aborted", "running", "backing_off", "ready", "waiting",
)  # fmt: skip
_TONES: Final = {"aborted": "cancelled", "interrupted": "cancelled", "stopping": "running", "backing_off": "waiting", "ready": "waiting"}  # fmt: skip
"""States that have the colour of another one."""


def html_page(report: Report) -> Iterator[bytes]:
    """The page, in parts."""
    with collection_paused():  # it would go through all records of a large run again and again
        lines = list(_Page(report).lines())
    yield from (f"{line}\n".encode() for line in lines)


class _Page:
    """What the sections of the page are made of."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.plan = plan = report.plan
        self.view = report.view
        self.data = PageData(plan, report.view, report.left_out)
        self.facts = report.view.arrays()
        folder = Path(plan.config.folder)
        elsewhere = report.state and Path(report.state) != folder / ".joblot"
        self._state = f" --state {quote(report.state)}" if elsewhere else ""
        self._folder = str(folder)

    def lines(self) -> Iterator[str]:
        sections = [
            ("failures", "Failures", "What failed, and why", list(self._failures())),
            ("fan-outs", "Fan-outs", "Fan-outs", list(self._fan_outs())),
            ("timeline", "Timeline", "Timeline", list(self._timeline())),
            ("slowest", "Slowest", "Slowest and most retried", list(self._slowest())),
            ("path", "Critical path", "What the run had to wait for", list(self._path())),
            ("graph", "Graph", "What needs what", list(self._graph())),
            ("jobs", "Jobs", "Jobs", list(self._jobs())),
            ("made", "Variables", "Variables and versions", list(self._made())),
            ("changes", "Differences", "What is different from the last success", list(self._changes())),
        ]
        sections = [section for section in sections if section[-1]]
        style, script = (_own(f"page.{kind}") for kind in ("css", "js"))
        yield from self._head(style, script)
        yield from self._header()
        yield "<nav aria-label=Sections>"
        yield " ".join(f'<a href="#{anchor}">{short}</a>' for anchor, short, *_ in sections)
        yield "</nav></header><main>"
        for anchor, _, title, lines in sections:
            yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>'
            yield from lines
            yield "</section>"
        yield f"</main><footer><p>Made by joblot {__version__} from the journal of the run.</p></footer>"
        yield f'<script type="application/octet-stream" id="data">{b64encode(self.data.packed()).decode()}</script>'
        yield f"<script>{script}</script></body></html>"

    # --- the top --------------------------------------------------------------------------------

    def _head(self, style: str, script: str) -> Iterator[str]:
        policy = (
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        yield '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        yield '<meta name="color-scheme" content="light dark">'
        sign, status = SIGNS.get(self.report.status, "…"), self.report.status
        yield f"<title>{sign} {html_text(self.report.batch, _NAME_BYTES)}: {status}</title>"
        yield f"<style>{style}</style></head><body>"

    def _header(self) -> Iterator[str]:
        report = self.report
        source = f" · <code>{html_text(report.source, _TEXT_BYTES)}</code>" if report.source else ""
        yield f'<header><p class="above">Run <code>{html_text(report.run_id, _NAME_BYTES)}</code>{source}</p>'
        tone = "pass" if report.exit_code == 0 else "fail"
        tone = "none" if report.status in ("running", "stopping") else tone
        yield f'<h1>{html_text(report.batch, _NAME_BYTES)} <span class="pill {tone}">{SIGNS.get(report.status, "…")} {report.status}</span></h1>'
        counts = {state: report.counts[state] for state in _STATES if report.counts[state]}
        yield f'<p class="lead">{self._sentence(counts)}</p>'
        if counts:
            yield _strip(counts)
        yield f'<p class="source">{" · ".join(self._when())}</p>'
        yield from self._what_to_type()

    def _sentence(self, counts: dict[str, int]) -> str:
        """How many jobs ended in which way, each way in its colour, and how long it took."""
        report = self.report
        if not counts:
            return "no jobs: nothing to do"
        parts = [f'<span class="{_tone(state)}">{_words(state, count)}</span>' for state, count in counts.items()]
        if allowed := report.allowed_failures:
            parts = [f"{part} ({allowed:,} allowed)" if "failed" in part else part for part in parts]
        took = f", in {escape(duration(report))}" if self.view.ended else ""
        count, of = report.total_jobs, report.planned_jobs
        jobs = f"{count:,} {'job' if count == 1 else 'jobs'}" if count == of else f"{count:,} of {of:,} jobs selected"
        return f"{jobs}: {', '.join(parts)}{took}"

    def _when(self) -> Iterator[str]:
        view = self.view
        if view.started_at is not None:
            yield f"began <time>{_moment(view.started_at)}</time>"
        if view.ended_at is not None:
            yield f"ended <time>{_moment(view.ended_at)}</time>"
        if view.by.get("host"):
            yield f"on {html_text(str(view.by['host']), _NAME_BYTES)}"
        if view.continues:
            yield f"continues run <code>{html_text(view.continues, _NAME_BYTES)}</code>"

    def _what_to_type(self) -> Iterator[str]:
        """What goes on from here: nothing where all went well, or where only the program that made the batch could go on."""
        report = self.report
        commands: list[tuple[str, str]] = []
        if report.status in ("running", "stopping"):
            commands.append((self._command("show"), "how it stands now"))
        elif report.exit_code and report.source:
            if report.status in ("failed", "success"):
                commands.append(
                    (self._command("retry", "--failed"), "runs again what failed, and what was skipped for it")
                )
            else:
                commands.append((self._command("resume"), "does the rest"))
            commands.append((self._command("show"), "the run on a terminal"))
        if not commands:
            return
        yield f'<div class="brief"><h2>What to type</h2><p class="note">in <code>{html_text(self._folder, _TEXT_BYTES)}</code></p><ul class="type">'
        yield from (f"<li><code>{command}</code> <small>{words}</small></li>" for command, words in commands)
        yield "</ul></div>"

    def _command(self, verb: str, *words: str) -> str:
        """What to type, as HTML."""
        return html_text(" ".join(["joblot", verb, self.report.run_id, *words]) + self._state, _VALUE_BYTES)

    # --- what failed ----------------------------------------------------------------------------

    def _failures(self) -> Iterator[str]:
        if why := self._stopped():
            yield f"<p>{why}</p>"
        causes = self._causes()
        reasons = ("need_failed", "need_skipped", "no_result")
        skipped = self.view.in_state("skipped") if causes else []
        for_it = sum(self.view.reason(job) in reasons for job in skipped)
        if for_it:
            yield f"<p>{for_it:,} {'job was' if for_it == 1 else 'jobs were'} skipped because of what failed.</p>"
        for cause, jobs in causes[:_CAUSES]:
            yield from self._cause(cause, jobs)
        if len(causes) > _CAUSES:
            others = sum(cause.failures for cause, _ in causes[_CAUSES:])
            yield f'<p class="note">{len(causes) - _CAUSES:,} more causes, of {others:,} failures.</p>'

    def _stopped(self) -> str:
        stopping = self.view.stopping
        if self.report.status == "interrupted":
            return "Nobody drives this run any more, and its end is not recorded."
        if stopping is None:
            return ""
        words = {
            "cancelled": "It was cancelled",
            "fail_fast": "It was stopped after the first failure",
            "max_failures": "It was stopped after too many failures",
            "time_limit": "It was stopped by its time limit",
        }.get(stopping.reason, "It was stopped")
        by = f" ({html_text(stopping.by, _NAME_BYTES)})" if stopping.by else ""
        return f"{words}{by}."

    def _causes(self) -> list[tuple[Cause, list[int]]]:
        """The causes, the most frequent first, each with the jobs that failed for it."""
        causes, jobs = Causes(), dict[tuple[str, str], list[int]]()
        for job, failure in zip(self.view.failures, self.report.failures(), strict=True):
            jobs.setdefault(causes.add(failure), []).append(job)
        return list(zip(causes.sorted(), sorted(jobs.values(), key=lambda some: -len(some)), strict=True))

    def _in_common(self, jobs: Sequence[int]) -> list[str]:
        """The values that the items of all these jobs have, and others of their fan-out have not; empty unless it is one fan-out."""
        spec, numbers = next((fan for fan in self.plan.fan_outs if jobs[0] in fan[1]), (None, range(0)))
        if spec is None or spec.fan_out is None or len(jobs) < 2 or not all(job in numbers for job in jobs):
            return []
        fan = FanOutJobs(spec)
        texts = list(map(as_text, fan.item(jobs[0] - numbers.start)))
        same = list(range(len(texts)))
        for job in jobs:
            item = fan.item(job - numbers.start)
            same = [column for column in same if as_text(item[column]) == texts[column]]
            if not same:
                return []
        columns = list(spec.fan_out.columns.items())
        return [
            f"{columns[column][0] or 'item'} {texts[column]}"
            for column in same
            if any(as_text(value) != texts[column] for value in columns[column][1])
        ]

    def _cause(self, cause: Cause, jobs: Sequence[int]) -> Iterator[str]:
        job = self.report.jobs[cause.example]
        text = html_text(cause.message if cause.failures == 1 else cause.text, _TEXT_BYTES)
        many = f"{cause.failures:,} × " if cause.failures > 1 else ""  # noqa: RUF001
        last = html_text(last_printed(job), _TEXT_BYTES)
        yield f'<article class="card cause"><h3><span class="failed">✗ {many}</span>{text}{last and f": {last}"}</h3>'
        name = html_text(cause.example, _NAME_BYTES)
        facts = [f"{'such as' if cause.failures > 1 else 'job'} <code>{name}</code>", *self._told(job)]
        if common := self._in_common(jobs):
            facts.insert(
                0, f"all with {' and '.join(f'<code>{html_text(one, _NAME_BYTES)}</code>' for one in common[:_COMMON])}"
            )
        message, log = html_text(job.message, _TEXT_BYTES), end_of_log(job.log, _TAIL_LINES, _TAIL_BYTES, _LINE_BYTES)
        if message != text and message not in log:
            facts.append(message)
        yield f"<p>{' · '.join(facts)}</p>"
        if log:
            yield f'<pre tabindex="0" role="region" aria-label="the end of the log of {name}">{log}</pre>'
        else:
            yield '<p class="note">It printed nothing.</p>'
        commands = [self._command("logs", cause.example)] if log else []
        if self.report.source:
            commands.append(self._command("retry", cause.example))
        if commands:
            yield f'<p class="type">{" ".join(f"<code>{command}</code>" for command in commands)}</p>'
        yield "</article>"

    def _told(self, job: JobReport) -> Iterator[str]:
        yield f"{job.attempts} {'attempt' if job.attempts == 1 else 'attempts'}, {format_duration(job.duration_ms / 1000)}"
        if job.peak_bytes:
            yield f"{format_size(job.peak_bytes)} of memory"
        if job.allowed:
            yield "allowed to fail"

    # --- where time went ------------------------------------------------------------------------

    def _fan_outs(self) -> Iterator[str]:
        ranges = [jobs for spec, jobs in self.plan.fan_outs if self.view.counts_of(jobs)]
        fans = [(spec, counts, jobs) for (spec, counts), jobs in zip(self.report.fan_outs, ranges, strict=True)]
        fans.sort(key=lambda fan: fan[1].keys() <= {"success", "cached"})
        if not fans:
            return
        yield from _table(
            "fan",
            "Jobs that one declaration stands for",
            ("fan-out", "how they ended", "together", "longest"),
            numbers=slice(2, None),
        )
        took = self.facts.wall_s
        for spec, counts, jobs in fans[:_FAN_OUTS]:
            words = html_text(fan_out_words(spec, sum(counts.values())), _TEXT_BYTES)
            ended = ", ".join(_words(state, counts[state]) for state in _STATES if state in counts)
            seconds = took[jobs.start : jobs.stop]
            yield (
                f'<tr><th scope="row">{words}</th><td>{_strip(counts)}<span class="value">{ended}</span></td>'
                f'<td class="number">{format_duration(sum(seconds))}</td><td class="number">{format_duration(max(seconds))}</td></tr>'
            )
        yield "</tbody></table></div>"
        if len(fans) > _FAN_OUTS:
            yield f'<p class="note">{len(fans) - _FAN_OUTS:,} more fan-outs.</p>'

    def _timeline(self) -> Iterator[str]:
        if not self.data.spans.jobs:
            return
        curves = self.data.curves
        most = ceil(max(curves["running"]) - 0.005)  # where 10.2 ran on average there was a moment with 11
        facts = [f"At most {most:,} {'job' if most == 1 else 'jobs'} ran at once"]
        if workers := self.view.settings.get("workers"):
            facts[0] += f", of {workers} that could"
        if waiting := max(curves["waiting"]):
            facts.append(f"at most {waiting:,.0f} waited for a slot or a resource")
        if self.view.cpu_s:
            facts.append(f"{format_duration(self.view.cpu_s)} of CPU time")
        if peak := max(self.facts.peak_bytes, default=0):
            facts.append(f"the largest job took {format_size(peak)} of memory")
        idle = self.data.end_s - sum(stop - start for start, stop in self.data.pieces)
        if idle >= 1:
            facts.append(f"{format_duration(idle)} in which nothing ran are cut out")
        yield f"<p>{escape(', '.join(facts))}.</p>"
        yield '<div id="drawn" class="card" hidden></div><noscript><p class="note">The picture is drawn by the script of this page.</p></noscript>'

    def _slowest(self) -> Iterator[str]:
        slowest, tried = self.data.slowest(_SLOWEST), self.data.most_tried(_SLOWEST)
        if len(slowest) < 2 and not tried:
            return
        yield '<div class="pair">'
        total = sum(self.facts.wall_s) or 1.0
        if len(slowest) > 1:
            yield from self._of_jobs(
                "The slowest", ("job", "took", "of all"),
                ((job, format_duration(self.facts.wall_s[job]), f"{self.facts.wall_s[job] / total:.0%}") for job in slowest),
            )  # fmt: skip
        if tried:
            yield from self._of_jobs(
                "Most often tried", ("job", "attempts", "took"),
                ((job, str(self.facts.attempts[job]), format_duration(self.facts.wall_s[job])) for job in tried),
            )  # fmt: skip
        yield "</div>"

    def _of_jobs(self, caption: str, heads: tuple[str, ...], rows: Iterable[tuple[int, str, str]]) -> Iterator[str]:
        yield from _table("plain", caption, heads, numbers=slice(1, None))
        for job, *cells in rows:
            yield f'<tr><th scope="row">{self._name(job)}</th>{"".join(f"<td class=number>{cell}</td>" for cell in cells)}</tr>'
        yield "</tbody></table></div>"

    def _name(self, job: int) -> str:
        state = self.view.state(job)
        return f'<span class="{_tone(state)}" title="{_word(state)}">{SIGNS.get(state, "…")}</span> <code>{html_text(self.plan.name(job), _NAME_BYTES)}</code>'

    def _path(self) -> Iterator[str]:
        path = self.data.path
        if not path:
            return
        took, ended, began = self.facts.wall_s, self.facts.ended, self.facts.began
        total, whole = sum(took[job] for job in path), self.view.worked_s
        share = f", {min(total / whole, 1):.0%} of the run" if whole else ""
        yield f"<p>Each of these {len(path):,} jobs needs the one before it. Together they took {format_duration(total)}{share}: more slots make the run no shorter than that.</p>"
        shown = path if len(path) <= _PATH else sorted(path, key=lambda job: -took[job])[:_PATH]
        chosen = frozenset(shown)
        rows = []
        for before, job in zip([-1, *path], path, strict=False):
            if job in chosen:
                waited = began[job] - (ended[before] if before >= 0 else self.view.started_at or 0.0)
                rows.append((job, format_duration(took[job]), format_duration(waited) if waited > 0 else "-"))
        yield from self._of_jobs("The chain of needs that took longest", ("job", "took", "waited before"), rows)
        if len(path) > _PATH:
            yield f'<p class="note">Of {len(path):,} jobs the {_PATH} that took longest.</p>'

    # --- the batch ------------------------------------------------------------------------------

    def _graph(self) -> Iterator[str]:
        if not self.plan.needs.partners:
            return
        boxes = _boxes(self.plan)
        if len(boxes.first) > BOXES:
            yield f'<p class="note">{len(boxes.first):,} declarations are more than can be drawn.</p>'
            return
        places, width, height = _places(boxes)
        yield f'<div class="scroll card" tabindex="0" role="region" aria-label="Picture of what needs what"><svg class="graph" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{len(boxes.first)} declarations and what they need">'
        lines = []
        for need, box in boxes.edges:
            (left, top), (right, bottom) = places[need], places[box]
            left, top, bottom = left + _BOX[0], top + _BOX[1] / 2, bottom + _BOX[1] / 2
            middle = _GAP[0] / 2
            lines.append(f"M{left:.0f} {top:.0f}C{left + middle:.0f} {top:.0f} {right - middle:.0f} {bottom:.0f} {right:.0f} {bottom:.0f}")  # fmt: skip
        yield f'<path class="edges" d="{"".join(lines)}"/>'
        for (left, top), first, jobs in zip(places, boxes.first, boxes.jobs, strict=True):
            yield self._box(left, top, first, jobs)
        yield "</svg></div>"

    def _box(self, left: float, top: float, first: int, jobs: range) -> str:
        spec = self.plan.declarations[first]
        counts = self.view.counts_of(jobs)
        name = pattern_of(spec.name) if spec.fan_out is not None else self.plan.name(first)
        state = next(
            (state for state in ("failed", "cancelled", "aborted", "running", "skipped") if state in counts), ""
        )
        state = state or next(iter(counts), "skipped")
        many = f" ({len(jobs)})" if spec.fan_out is not None else ""
        room = _LONG - len(many)
        short = name if len(name) <= room else f"{name[: room // 2]}…{name[-(room - room // 2 - 1) :]}"
        ended = ", ".join(_words(each, counts[each]) for each in _STATES if each in counts) or "not selected"
        return (
            f'<g class="{_tone(state)}"><title>{escape(name)}: {ended}</title>'
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{_BOX[0]:.0f}" height="{_BOX[1]:.0f}" rx="6"/>'
            f'<text x="{left + 9:.0f}" y="{top + 19.5:.1f}">{SIGNS.get(state, "…")} {escape(short)}{many}</text></g>'
        )

    def _jobs(self) -> Iterator[str]:
        """Every job of a small run; of a larger one what the script searches."""
        report, listed = self.report, len(self.data.listed)
        if not listed:
            return
        few = (
            ""
            if listed == report.total_jobs
            else f" Of {report.total_jobs:,} jobs the {listed:,} that failed, took longest or were tried most can be found here."
        )
        if report.total_jobs > SMALL:
            command = self._command("show", "JOB")
            yield f"<noscript><p>Without its script this page lists no jobs: <code>{command}</code> shows one of them.</p></noscript>"
        yield f'<div id="search" hidden></div>{f"<p class=note>{few.strip()}</p>" if few else ""}'
        yield f'<div id="found"{"" if report.total_jobs <= SMALL else " hidden"}>'
        yield from _table(
            "plain jobs",
            "Jobs, and how they ended",
            ("state", "job", "took", "attempts", "memory", "why"),
            numbers=slice(2, 5),
        )
        if report.total_jobs <= SMALL:
            for job in report.taking_part():
                tries, memory = (job.attempts or "", format_size(job.peak_bytes) if job.peak_bytes else "")
                took = format_duration(job.duration_ms / 1000) if job.attempts else ""
                yield (
                    f'<tr><td>{_swatch(job.state)}{_word(job.state)}</td><th scope="row"><code>{html_text(job.name, _NAME_BYTES)}</code></th>'
                    f'<td class="number">{took}</td><td class="number">{tries}</td><td class="number">{memory}</td><td>{html_text(job.message, _TEXT_BYTES)}</td></tr>'
                )
        yield "</tbody></table></div></div>"

    def _made(self) -> Iterator[str]:
        view, config = self.view, self.plan.config
        given = view.settings.get("given") or {}
        yield '<div class="pair">'
        if config.vars:
            yield from _table("plain", "Variables", ("name", "value", "from"))
            for name, value in list(config.vars.items())[:_VALUES]:
                where = "<code>--var</code>" if name in given else "the batch"
                yield f'<tr><th scope="row"><code>{html_text(name, _NAME_BYTES)}</code></th><td>{_value(value)}</td><td>{where}</td></tr>'
            yield "</tbody></table></div>"
            if len(config.vars) > _VALUES:
                yield f'<p class="note">{len(config.vars) - _VALUES} more.</p>'
        facts: dict[str, Any] = {
            "joblot": view.by.get("joblot"), "Python": view.by.get("python"), "user": view.by.get("user"), "host": view.by.get("host"),
            "ran on": view.settings.get("on"), "at once": view.settings.get("workers"), "batch file": config.digest[:16],
            "plan": self.plan.fingerprint[:16],
        }  # fmt: skip
        yield from _table("plain", "Who ran it, and with what", ("what", "which"))
        for name, value in facts.items():
            if value:
                yield f'<tr><th scope="row">{name}</th><td>{_value(value)}</td></tr>'
        yield "</tbody></table></div></div>"

    def _changes(self) -> Iterator[str]:
        """What another run of the batch has to do with it, the last one before that succeeded."""
        if self.report.total_jobs > _COMPARED:
            yield f'<p class="type"><code>{self._command("diff")}</code> says it.</p>'
            return
        try:
            earlier = self.report.earlier()
        except JoblotError:  # it cannot be read any more: that is no reason to have no page
            earlier = None
        if earlier is None:
            return
        found = differences(earlier, self.report)
        since = f"run <code>{html_text(earlier.run_id, _NAME_BYTES)}</code>"
        if earlier.view.started_at is not None:
            since += f" of {_moment(earlier.view.started_at)}"
        kinds = list(told(found))
        yield f"<p>{'Compared with' if kinds else 'Nothing but how it ended is different from' if found else 'Nothing is different from'} {since}{'' if kinds else '.'}</p>"
        if not kinds:
            return
        yield from _table("plain", "What is different", ("what", "how"))
        for title, lines, count in kinds:
            shown = "<br>".join(html_text(line, _TEXT_BYTES) for line in lines[:_SHOWN])
            more = f"<br>… and {count - _SHOWN:,} more" if count > _SHOWN else ""
            yield f'<tr><th scope="row">{title}</th><td>{shown}{more}</td></tr>'
        yield "</tbody></table></div>"


# --- the graph ------------------------------------------------------------------------------------


class _Boxes(NamedTuple):
    """Declarations as boxes: the number of the first job of each, its jobs, and which box needs which."""

    first: list[int]
    jobs: list[range]
    edges: list[tuple[int, int]]


def _boxes(plan: Plan) -> _Boxes:
    """The declarations of a plan, and what they need; of too many of them without the needs."""
    fans = {jobs.start: jobs for _, jobs in plan.fan_outs if len(jobs)}
    box_of, job = [0] * len(plan), 0
    ranges: list[range] = []
    while job < len(plan):
        jobs = fans.get(job, range(job, job + 1))
        box_of[jobs.start : jobs.stop] = [len(ranges)] * len(jobs)
        ranges.append(jobs)
        job = jobs.stop
    edges: set[tuple[int, int]] = set()
    if len(ranges) <= BOXES:
        needs = plan.needs
        for number in range(len(plan)):
            box = box_of[number]
            edges.update((box_of[need], box) for need in needs[number])
    return _Boxes([jobs.start for jobs in ranges], ranges, sorted(edge for edge in edges if edge[0] != edge[1]))


def _places(boxes: _Boxes) -> tuple[list[tuple[float, float]], float, float]:
    """Where the boxes stand, from the left to the right as they need each other, and how wide and high the picture is."""
    count = len(boxes.first)
    levels = [0] * count
    for _ in range(count):  # fan-outs may need each other in a circle, which their jobs do not
        moved = [(box, levels[need] + 1) for need, box in boxes.edges if levels[box] <= levels[need] < count - 1]
        if not moved:
            break
        for box, level in moved:
            levels[box] = max(levels[box], level)
    columns = [[box for box in range(count) if levels[box] == level] for level in sorted(set(levels))]
    rows = [0.0] * count
    for column in columns:
        wanted = {
            box: [rows[need] for need, other in boxes.edges if other == box and levels[need] < levels[box]]
            for box in column
        }
        column.sort(key=lambda box: (sum(wanted[box]) / len(wanted[box]) if wanted[box] else 0.0, box))
        for row, box in enumerate(column):
            rows[box] = float(row)
    width, height = _BOX[0] + _GAP[0], _BOX[1] + _GAP[1]
    places = [(0.0, 0.0)] * count
    for number, column in enumerate(columns):
        for box in column:
            places[box] = (number * width + 1, rows[box] * height + 1)
    tallest = max(map(len, columns), default=0)
    return places, len(columns) * width - _GAP[0] + 2, tallest * height - _GAP[1] + 2


# --- pieces ---------------------------------------------------------------------------------------


def _own(name: str) -> str:
    return (files("joblot") / "reports" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _tone(state: str) -> str:
    return _TONES.get(state, state)


def _word(state: str) -> str:
    return state.replace("_", " ")


def _words(state: str, count: int) -> str:
    return f"{SIGNS.get(state, '…')} {count:,} {_word(state)}"


def _swatch(state: str) -> str:
    return f'<span class="sign {_tone(state)}" aria-hidden="true">{SIGNS.get(state, "…")}</span>'


def _strip(counts: dict[str, int]) -> str:
    """One bar divided by states. What there is stays visible beside what there is a thousand times as much of."""
    shown = [(state, counts[state]) for state in _STATES if counts.get(state)]
    total, left, parts = sum(max(count, 1) for _, count in shown), 0.0, []
    least = 8.0
    rest = 1000.0 - least * len(shown)
    for state, count in shown:
        width = least + rest * count / total
        parts.append(f'<rect class="{_tone(state)}" x="{left:.1f}" width="{width:.1f}" height="10"/>')
        left += width
    return (
        f'<svg class="strip" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _table(kind: str, caption: str, heads: Sequence[str], *, numbers: slice = _NO_NUMBERS) -> Iterator[str]:
    """The beginning of a table; `numbers` says which columns are numbers."""
    right = heads[numbers]
    cells = "".join(f'<th scope="col"{" class=number" if head in right else ""}>{head}</th>' for head in heads)
    reached = f' tabindex="0" role="region" aria-label="{caption}"' if kind in _WIDE else ""  # to be moved by keys too
    yield f'<div class="scroll"{reached}><table class="{kind}"><caption>{caption}</caption><thead><tr>{cells}</tr></thead><tbody>'


def _value(value: Any) -> str:
    value = plain(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return f"<code>{html_text(text, _VALUE_BYTES)}</code>" if text else '<span class="soft">empty</span>'


def _moment(at: float) -> str:
    """The time on this machine's clock, and how far that is from UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    except (OverflowError, OSError, ValueError):
        return "unknown"
