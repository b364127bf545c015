"""What is shown of a run while it goes on: log lines, or a live display on a terminal, or every event.

Observers: they read the records and what those come to, and never ask the engine. How a run ends is shown elsewhere.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from joblot.cli.eventtext import event_lines
from joblot.cli.tail import telling_lines
from joblot.core import events as ev
from joblot.core.model import FINAL, STATES
from joblot.errors import StateError
from joblot.reports.report import Report
from joblot.reports.text import one_line, plain, taking_part
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Group
    from rich.live import Live

    from joblot.cli.output import Output
    from joblot.journal.folder import RunFolder
    from joblot.reports.view import LiveView

SMALL: Final = 200
"""In runs of at most this many jobs every job that ends has a line."""
EVERY_S: Final = 5.0
"""How often larger runs say how far they are."""
DETAILED: Final = 20
"""So many failures are shown with the end of their logs, and so many jobs with unknown actions by name."""
LOG_LINES: Final = 20
_SHOWN: Final = 8
"""So many running jobs are listed in the live display."""
_RETRIED: Final = ("backing_off", "ready")
_NAMED: Final = 5


class Tally:
    """How a run stands: numbers of jobs, and the rate of the last minute or so. Read from the run's view when asked."""

    def __init__(self, view: LiveView, now: Callable[[], float]) -> None:
        self._view = view
        self._now = now
        self._began = now()
        self._done_before = self.done

    @property
    def total(self) -> int:
        """How many jobs take part."""
        return self._view.jobs - len(self._view.left_out)

    @property
    def done(self) -> int:
        """How many of them are in a final state."""
        counts = self._view.counts
        return sum(counts[STATES[state]] for state in FINAL)

    @property
    def elapsed_s(self) -> float:
        """Since this process began to drive the run."""
        return self._now() - self._began

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return (self.done - self._done_before) / max(self.elapsed_s, 0.001)

    def parts(self) -> list[str]:
        """`3 running`, `1 failed`, ...: the numbers that are not 0, what ended well first."""
        counts = self._view.counts
        order = ["success", "cached", "failed", "skipped", "cancelled", "aborted", "running", "backing_off"]
        words = {"success": "ok", "backing_off": "waiting to retry"}
        parts = [f"{counts[name]} {words.get(name, name)}" for name in order if counts[name]]
        if counts["failed"] and (allowed := self._allowed()):
            parts = [f"{part} ({allowed} allowed)" if part.endswith(" failed") else part for part in parts]
        return parts

    def _allowed(self) -> int:
        declarations = self._view.plan.declarations
        return sum(declarations[job].allow_failure for job in self._view.failures)

    def left_s(self) -> float | None:
        """How long it will take at this rate; None when nobody can tell yet."""
        rate = self.rate
        return (self.total - self.done) / rate if rate > 0 and self.elapsed_s > 1 else None


class PlainProgress:
    """Log lines. `folder` holds the logs of the run's attempts (None: they are kept nowhere)."""

    def __init__(self, output: Output, folder: RunFolder | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._folder = folder
        self._now = now
        self._next = 0.0
        self._detailed = 0
        self._unknown = 0
        self._small = True
        self._finished = 0
        self._many_interrupted = False
        self._bundle_failures: list[ev.AttemptEnded] = []
        """Attempts of a record whose bundles failed: they are told of together."""
        self._lines_of: dict[type, Callable[[Any], None]] = {
            ev.AttemptEnded: self._attempt_ended, ev.JobsEnded: self._jobs_ended, ev.RunStopping: self._stopping,
            ev.RunSettled: self._settled, ev.Logged: self._logged,
        }  # fmt: skip
        self.begun = False
        """Whether the engine has begun to drive the run."""

    # --- Observer -------------------------------------------------------------------------------

    def started(self, run_id: str, view: LiveView) -> None:
        """Say which run begins, and how large it is."""
        self.begun = True
        self._view = view
        self._plan = view.plan
        self._slots: int = view.settings.get("workers", 1)
        self.tally = Tally(view, self._now)
        self._small = self.tally.total <= SMALL
        self._next = self._now() + EVERY_S
        self._say("INFO", f"run `{run_id}`: {taking_part(self.tally.total, len(self._plan))}, {self._slots} at once")

    def recorded(self, record: ev.Record) -> None:
        """Say what the events of a record mean for a person."""
        if self._small:  # the view is ahead: it has the whole record already
            self._finished = self.tally.done - sum(map(_ends, record.events))
        ended = [event for event in record.events if type(event) is ev.AttemptEnded]
        interrupted = sum(event.outcome == "interrupted" for event in ended)
        self._many_interrupted = interrupted > DETAILED
        if self._many_interrupted:
            message = f"{interrupted} attempts were running when the runner ended; their jobs go on as each may"
            self._say("WARNING", message)
        for event in record.events:
            say = self._lines_of.get(type(event))
            if say is not None:
                say(event)
        if self._bundle_failures:
            self._bundle_failed(self._bundle_failures)
            self._bundle_failures = []

    def idle(self) -> None:
        """Say every now and then how far the run is."""
        if self._now() >= self._next:
            self._next = self._now() + EVERY_S
            self._say("INFO", self._standing())

    def warned(self, message: str) -> None:
        """Pass the warning on."""
        self._say("WARNING", message)

    def ended(self, status: str) -> None:
        """Of no use here: the end has its own table."""

    # --- lines ----------------------------------------------------------------------------------

    def _say(self, level: str, message: str) -> None:
        self._output.log(level, message)

    def _standing(self) -> str:
        tally = self.tally
        left = tally.left_s()
        eta = f", about {format_duration(left)} left" if left is not None and tally.done < tally.total else ""
        parts = "".join(f", {part}" for part in tally.parts())
        return f"{tally.done} of {tally.total} done{parts}, {tally.rate:.1f} jobs/s{eta}"

    def _count(self) -> str:
        """`[3/20] `, in small runs."""
        if not self._small:
            return ""
        self._finished += 1
        return f"[{self._finished}/{self.tally.total}] "

    def _attempt_ended(self, event: ev.AttemptEnded) -> None:
        if event.outcome == "ok":
            if self._small:
                self._ended_well(event)
        elif not (self._many_interrupted and event.outcome == "interrupted" and event.state in _RETRIED):
            self._ended_badly(event)

    def _ended_well(self, event: ev.AttemptEnded) -> None:
        tries = f"attempt {event.attempt}, " if event.attempt > 1 else ""
        name = self._plan.name(event.job)
        self._say("INFO", f"{self._count()}{name}: success ({tries}{format_duration(event.wall_s)})")

    def _ended_badly(self, event: ev.AttemptEnded) -> None:
        name = self._plan.name(event.job)
        why = one_line(event.message or event.reason or event.outcome)
        if event.state == "failed":
            tries = f"{event.attempt} attempts" if event.attempt > 1 else "1 attempt"
            level, may = (
                ("WARNING", " (allowed)") if self._plan.declarations[event.job].allow_failure else ("ERROR", "")
            )
            self._say(level, f"{self._count()}{name}: failed{may}: {why} ({tries}, {format_duration(event.wall_s)})")
            self._show_log(name, event.attempt, why)
        elif event.reason == ev.BUNDLE_FAILED:
            self._bundle_failures.append(event)
        elif event.state in _RETRIED and event.outcome != "returned":
            again = f"again in {format_duration(event.delay_s)}" if event.delay_s else "again"
            self._say("WARNING", f"{name}: attempt {event.attempt} ended with `{event.outcome}`: {why}; {again}")
        elif event.state not in _RETRIED:
            self._say("WARNING", f"{self._count()}{name}: {event.state}: {why}")

    def _bundle_failed(self, events: list[ev.AttemptEnded]) -> None:
        for message, group in groupby(events, key=lambda event: event.message):
            names = [self._plan.name(event.job) for event in group]
            others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self._say("WARNING", f"{', '.join(names[:_NAMED])}{others}: {one_line(message)}; again, with fewer others")

    def _show_log(self, name: str, attempt: int, why: str) -> None:
        self._detailed += 1
        if self._folder is None or self._detailed > DETAILED:
            return
        path = self._folder.log_path(name, attempt)
        try:
            lines = telling_lines(path, LOG_LINES)
        except StateError:  # the job has put something else in its place, which is no reason to end the run
            return
        if [line.removeprefix("error: ") for line in lines] not in ([], [why]):
            self._show([f"  the end of `{path}`:", *(f"  | {line}" for line in lines)])

    def _show(self, lines: list[str]) -> None:
        self._output.note("\n".join(lines))

    def _jobs_ended(self, event: ev.JobsEnded) -> None:
        if event.reason == ev.NOT_SELECTED:
            return
        unknown = event.reason == "unknown_action"
        level = "WARNING" if unknown or event.state not in ("skipped", "cached") else "INFO"
        if self._small:
            # The event has a reason only; a report words it for each job, as the end of the run does. Too much work for large runs.
            report = Report(self._plan, self._view, run_id="")
            if len(event.jobs) > DETAILED and event.state in ("cancelled", "aborted"):
                why = one_line(report.jobs[self._plan.name(event.jobs[0])].message)
                self._finished += len(event.jobs)
                self._say(level, f"{len(event.jobs)} jobs: {event.state}: {why}")
                return
            for job in event.jobs:
                name = self._plan.name(job)
                self._say(level, f"{self._count()}{name}: {event.state}: {one_line(report.jobs[name].message)}")
        elif unknown:
            for job in event.jobs[: max(DETAILED - self._unknown, 0)]:
                self._say(level, f"{self._plan.name(job)}: skipped: unknown action `{self._plan.spec(job).action}`")
            self._unknown += len(event.jobs)
            if len(event.jobs) > DETAILED:
                self._say(level, f"{self._unknown} jobs in all are skipped because their actions are unknown")

    def _stopping(self, event: ev.RunStopping) -> None:
        words = {
            "cancelled": f"stopping: {event.by}",
            "fail_fast": f"stopping: `{self._plan.name(event.job)}` failed"
            if event.job >= 0
            else "stopping: a job failed",
            "max_failures": "stopping: too many failures",
            "time_limit": "stopping: the run's time limit is reached",
        }
        self._say("WARNING", words.get(event.reason, event.reason))

    def _settled(self, event: ev.RunSettled) -> None:
        self._say("INFO", f"the run is settled: {event.status}; now `finally`")

    def _logged(self, event: ev.Logged) -> None:
        if self._small or event.level in ("warning", "error"):
            name = f"{self._plan.name(event.job)}: " if event.job >= 0 else ""
            data = "".join(f" {key}={value}" for key, value in (event.data or {}).items())
            self._say(event.level.upper(), one_line(f"{name}{event.message}{data}"))


class EventLines(PlainProgress):
    """Every event as it happens, through `write`; no other lines but warnings."""

    def __init__(self, output: Output, folder: RunFolder | None, write: Callable[[str], None]) -> None:
        super().__init__(output, folder)
        self._write = write

    def recorded(self, record: ev.Record) -> None:
        """Write each event as a line."""
        self._write("\n".join(event_lines(record, self._plan.name)))
        super().recorded(record)

    def _ended_well(self, event: ev.AttemptEnded) -> None:  # noqa: ARG002 - the event is written already
        self._count()


class LiveProgress(PlainProgress):
    """A display that is redrawn in place: how far the run is, and what runs now. Warnings and failures stay above it."""

    def started(self, run_id: str, view: LiveView) -> None:
        """Begin the display."""
        super().started(run_id, view)
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=self._output.terminal, no_color=self._output.colourless, highlight=False, markup=False, emoji=False
        )
        self._since: dict[tuple[int, int], float] = {}
        # Without a refreshing thread of its own: the engine may fork, and it comes by four times a second anyway.
        self._live: Live | None = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    _live: Live | None = None

    def idle(self) -> None:
        """Draw the display anew."""
        if self._live is not None:
            try:
                self._live.update(self._picture(), refresh=True)
            except OSError:
                self._live = None  # the terminal has gone; the run goes on

    def ended(self, status: str) -> None:  # noqa: ARG002 - the protocol's signature
        """Take the display away."""
        self.close()

    def close(self) -> None:
        """Take the display away."""
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except OSError:
                return  # the terminal has gone

    def _say(self, level: str, message: str) -> None:
        if self._live is None:
            super()._say(level, message)
        elif level != "INFO":
            self._above(self._output.log_line(level, message))

    def _show(self, lines: list[str]) -> None:
        if self._live is None:
            super()._show(lines)
        else:
            self._above("\n".join(lines))

    def _above(self, text: str) -> None:
        from rich.text import Text

        assert self._live is not None
        try:
            self._live.console.print(Text.from_ansi(self._output.shown(text)))
        except OSError:
            self._live = None

    def _picture(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        tally = self.tally
        bar = ProgressBar(total=max(tally.total, 1), completed=tally.done, width=40)
        head = Text(f"{self._standing()}, {format_duration(tally.elapsed_s)}", no_wrap=True, overflow="ellipsis")
        lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._running()]
        return Group(bar, head, *lines)

    def _running(self) -> list[str]:
        """The attempts that have been out the longest; times are measured from when the display first saw them."""
        now, counts = self._now(), self._view.counts
        self._since = {attempt: self._since.get(attempt, now) for attempt in self._view.running()}
        first = sorted(self._since.items(), key=lambda item: item[1])[: min(_SHOWN, self._slots)]
        lines = [f"  {plain(self._plan.name(job))}  {format_duration(now - since)}" for (job, _), since in first]
        queued = counts["ready"] + counts["waiting"]
        return [*lines, f"  {queued} waiting"] if queued else lines


def _ends(event: ev.AnyEvent) -> int:
    """How many jobs an event brings to a final state."""
    if isinstance(event, ev.AttemptEnded):
        return event.state not in _RETRIED
    return len(event.jobs) if isinstance(event, ev.JobsEnded) and event.reason != ev.NOT_SELECTED else 0
