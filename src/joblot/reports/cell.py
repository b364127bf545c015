"""A run as the cell of a notebook shows it: how far it is, and how it ended, in plain HTML.

No script, no widget and no style sheet: what hosts of notebooks take away or forbid is not missed, and colours are those of the page, dark or
light. Of a run of any size it is at most `MOST_BYTES`. Nothing that a job has written becomes markup.
"""

from __future__ import annotations

import time
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from joblot.reports.markup import SIGNS, end_of_log, html_text
from joblot.reports.text import digest, fan_out_words, summary
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from joblot.core import events as ev
    from joblot.reports.report import JobReport, Report
    from joblot.reports.view import LiveView

MOST_BYTES: Final = 20_000
EVERY_S: Final = 0.5
"""How often a cell is drawn anew, at most."""
_CAUSES: Final = 5
_FAN_OUTS: Final = 10
_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 2000
_TEXT_BYTES: Final = 400
_NAME_BYTES: Final = 150
_WARNINGS: Final = 3
_LEFT: Final = ' style="text-align:left"'
_BAD: Final = ' style="color:var(--jp-error-color1,var(--vscode-errorForeground,inherit))"'
"""The colour of errors where the host of the notebook names it; the sign and the word say the same."""


def ended(report: Report, *, details: bool = True) -> str:
    """The run of a report: status, counts, failures by cause, fan-outs; with `details` also how logs of failures end."""
    bad = report.exit_code != 0
    status = report.status
    head = (
        f"<p><strong{_BAD if bad else ''}>{SIGNS.get(status, '…')} {html_text(report.batch, _NAME_BYTES)}: {status}</strong>"
        f" · {escape(summary(report))} · run <code>{html_text(report.run_id, _NAME_BYTES)}</code></p>"
    )
    causes = digest(report.failures())
    parts = [head]
    if causes:
        rows = [
            (str(cause.failures), html_text(cause.message if cause.failures == 1 else cause.text, _TEXT_BYTES),
             f"<code>{html_text(cause.example, _NAME_BYTES)}</code>")
            for cause in causes[:_CAUSES]
        ]  # fmt: skip
        parts.append(_table(("failures", "cause", "such as"), rows))
        if len(causes) > _CAUSES:
            more = len(causes) - _CAUSES
            parts.append(f"<p>… and {more} more {'cause' if more == 1 else 'causes'}</p>")
        if details:
            parts += (_tail(report.jobs[cause.example]) for cause in causes[:_CAUSES])
    if details:
        fans = sorted(report.fan_outs, key=lambda fan: fan[1].keys() <= {"success", "cached"})
        if fans:
            shown = [
                (html_text(fan_out_words(spec, sum(counts.values())), _TEXT_BYTES), _counts(counts))
                for spec, counts in fans[:_FAN_OUTS]
            ]
            parts.append(_table(("fan-out", "jobs"), shown))
        if len(fans) > _FAN_OUTS:
            parts.append(f"<p>… and {len(fans) - _FAN_OUTS} more fan-outs</p>")
    return f"<div>{''.join(parts)}</div>"


def going_on(batch: str, run_id: str, view: LiveView, elapsed_s: float) -> str:
    """A run that is not over: how many jobs have ended, and how."""
    counts, total = view.counts, view.jobs - len(view.left_out)
    done = sum(counts[state] for state in SIGNS if state in counts)
    head = (
        f"<p><strong>{html_text(batch, _NAME_BYTES)}: {view.status or 'running'}</strong>"
        f' · <progress value="{done}" max="{max(total, 1)}"></progress> {done} of {total} done'
        f" · {_counts({state: count for state, count in counts.items() if count})}"
        f" · {escape(format_duration(elapsed_s))} · run <code>{html_text(run_id, _NAME_BYTES)}</code></p>"
    )
    return f"<div>{head}</div>"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{SIGNS.get(state, '')} {count} {state.replace('_', ' ')}".lstrip() for state, count in counts.items()
    )


def _tail(job: JobReport) -> str:
    """How the log of a failed job ends, to be opened."""
    log = end_of_log(job.log, _TAIL_LINES, _TAIL_BYTES, _TEXT_BYTES)
    if not log:
        return ""
    name = html_text(job.name, _NAME_BYTES)
    return f"<details><summary>the end of the log of <code>{name}</code></summary><pre{_LEFT}>{log}</pre></details>"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = "".join(f"<th{_LEFT}>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td{_LEFT}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


class CellDisplay:
    """An observer that keeps one output of a cell up to date. `show` is given HTML and the same in words."""

    def __init__(
        self, batch: str, show: Callable[[str, str], None], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._batch = batch
        self._show = show
        self._now = now
        self._began = now()
        self._next = 0.0
        self._warnings: list[str] = []
        self._view: LiveView | None = None
        self._run_id = ""

    def started(self, run_id: str, view: LiveView) -> None:
        """Show that the run has begun."""
        self._run_id, self._view = run_id, view
        self.idle()

    def recorded(self, record: ev.Record) -> None:
        """Of no use here: it is looked at the view, and not for each record."""

    def idle(self) -> None:
        """Draw it anew, unless that has just been done."""
        if self._now() >= self._next:
            self._draw()

    def warned(self, message: str) -> None:
        """Keep the warning in sight while the run goes on."""
        self._warnings = [*self._warnings, message][-_WARNINGS:]
        if self._view is None:  # perhaps it waits for another run: nothing else would be seen
            self._draw()

    def ended(self, status: str) -> None:
        """Of no use here: the report has the end."""

    def close(self, report: Report | None = None) -> None:
        """Show how the run ended: this is what stays in the notebook."""
        if report is not None:
            self._show(
                ended(report, details=False) + self._told(), f"{report.batch}: {report.status}: {summary(report)}"
            )

    def _told(self) -> str:
        return "".join(f"<p>{html_text(f'warning: {warning}', _TEXT_BYTES)}</p>" for warning in self._warnings)

    def _draw(self) -> None:
        self._next = self._now() + EVERY_S
        if self._view is None:
            self._show(self._told(), f"{self._batch}: begins")
            return
        html = going_on(self._batch, self._run_id, self._view, self._now() - self._began)
        self._show(html + self._told(), f"{self._batch}: {self._view.status or 'running'}")


def output_of_cell() -> Callable[[str, str], None]:
    """One output of the cell that runs now, to be written again and again: for `CellDisplay`."""
    display: Any = import_module("IPython").display.display
    handle: Any = None

    def show(html: str, text: str) -> None:
        nonlocal handle
        bundle = {"text/html": html, "text/plain": text}
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)

    return show
