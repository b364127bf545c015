"""What is shown of a run while it goes on: log lines, or every event; `live` has the display on a terminal.

Observers: they read the records and what those come to, and never ask the engine. How a run ends is shown elsewhere.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from heapq import heappop, heappush, nsmallest
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from joblot.cli.eventtext import event_lines
from joblot.core import events as ev
from joblot.core.model import FINAL, STATES
from joblot.errors import StateError
from joblot.reports.report import Failure, Report
from joblot.reports.tail import last_lines, telling_lines
from joblot.reports.text import Causes, one_line, taking_part
from joblot.units import about_duration, format_age, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.cli.timeleft import TimeLeft
    from joblot.journal.folder import RunFolder
    from joblot.reports.view import LiveView

SMALL: Final = 200
"""In runs of at most this many jobs every job that ends has a line."""
DETAILED: Final = 20
"""So many failures are shown with the end of their logs, so many retries one by one, and so many jobs that are slow or have unknown actions."""
LOG_LINES: Final = 20
SLOW_S: Final = 60.0
"""A job that takes longer than this, and than so many times its longest success, is named."""
_SLOW_TIMES: Final = 3
_LOOK_S: Final = 1.0
_STANDING: Final = ((60.0, 5.0), (600.0, 30.0))
"""Until so long after the beginning nothing is silent for longer than that; later for no longer than a minute."""
_STANDING_LATER_S: Final = 60.0
_LISTED: Final = 50
"""So many when a signal asks what runs."""
_WIDE: Final = 1 << 30
"""Columns of what is no terminal."""
_GUESS_FROM_S: Final = 1.0
"""How long a run has gone on when it is first asked how long it will still take."""
_RETRIED: Final = ("backing_off", "ready")
_NAMED: Final = 5
_CAUSES: Final = 3
_ALWAYS: Final = 4
"""The rank of what a standing line never leaves out; below it 3 is the time since the beginning."""


class Tally:
    """How a run stands: numbers of jobs, and the rate of the last minute or so. Read from the run's view when asked."""

    def __init__(self, view: LiveView, now: Callable[[], float], left_s: Callable[[], float | None]) -> None:
        self._view = view
        self._now = now
        self.left_s = left_s
        """How long it will still take, in seconds; None while nobody can tell."""
        self._began = now()
        self._done_before = self.done - self._stopped
        self._slots: int = view.settings.get("workers", 1)
        self._may_fail = any(spec.allow_failure for spec in view.plan.config.jobs)

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
        """Jobs a second; those that a stop has ended never ran."""
        return (self.done - self._stopped - self._done_before) / max(self.elapsed_s, 0.001)

    @property
    def _stopped(self) -> int:
        return self._view.counts["cancelled"] + self._view.counts["aborted"]

    @property
    def running(self) -> int:
        """How many jobs run: of those that were handed out as many as there are slots, unless one attempt runs several."""
        out = self._view.counts["running"]
        first = next(self._view.running(), None) if out > self._slots else None
        return out if first is None or self._view.bundle(first[0]) else self._slots

    @property
    def waiting(self) -> int:
        """How many jobs have yet to begin."""
        counts = self._view.counts
        return counts["waiting"] + counts["ready"] + counts["running"] - self.running

    def standing(self, columns: int = _WIDE) -> str:
        """`after 1m05s: 947/3000 done, 946 ok, 1 failed, 4 running, 31.4 jobs/s, about 4 min left`, without what is 0.

        Of what does not fit into so many columns the least important is left out; how many are done and have failed and the time that is
        left stay.
        """
        # Of a run that is being stopped nobody knows how long those that run will take to end.
        counts, left = self._view.counts, None if self._stopped else self.left_s()
        failed, allowed = counts["failed"], self._allowed()
        about = about_duration(left) if left is not None and self.done < self.total else ""
        rate, running = self.rate, self.running
        parts = [
            (_ALWAYS, f"{self.done}/{self.total} done"),
            (0, _number(counts["success"], "ok")),
            (0, _number(counts["cached"], "cached")),
        ]
        parts.append((_ALWAYS, _number(failed, "failed") + (f" ({allowed} allowed)" if allowed else "")))
        parts += [(0, _number(counts[state], state)) for state in ("skipped", "cancelled", "aborted")]
        parts += [(2, _number(running, "running")), (0, _number(counts["backing_off"], "waiting to retry"))]
        parts += [(1, _rate(rate) if rate else ""), (_ALWAYS, f"{about} left" if about else "")]
        for gone in range(_ALWAYS + 1):
            after = f"after {format_age(self.elapsed_s)}: " if gone < _ALWAYS else ""
            text = after + ", ".join(part for rank, part in parts if part and rank >= gone)
            if len(text) <= columns:
                return text
        for short in (str, _thousands):
            few = [f"{short(self.done)}/{short(self.total)}", f"{short(failed)} failed" if failed else "", about]
            text = ", ".join(filter(None, few))
            if len(text) <= columns:
                break
        return text

    @property
    def has_failed(self) -> bool:
        """Whether a job failed that may not."""
        return self._view.counts["failed"] > self._allowed()

    def _allowed(self) -> int:
        if not self._may_fail:  # there may be a hundred thousand failures
            return 0
        declarations = self._view.plan.declarations
        return sum(declarations[job].allow_failure for job in self._view.failures)


class PlainProgress:
    """Log lines. `folder` holds the logs of the run's attempts (None: they are kept nowhere).

    `now` is a clock for what goes by here, `wall` the one by which records are dated.
    """

    def __init__(
        self,
        output: Output,
        folder: RunFolder | None,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._output = output
        self._folder = folder
        self._now = now
        self._wall = wall
        self._next = 0.0
        """When the next standing line is due, if nothing else is said before."""
        self._look_at = 0.0
        self._asked = False
        self._failed = self._retried = self._unknown = 0
        self._more = {"failed": Causes(), "failed (allowed)": Causes(), "ended badly, to be tried again": Causes()}
        """What has no line of its own any more, since the last standing line."""
        self._due: list[float] = []
        """When jobs that wait to retry are due; a heap."""
        self._slow: set[int] = set()
        """Jobs that were named as slow."""
        self._longest: dict[int, tuple[float, float]] = {}
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
        self.shows_logs = True
        """Whether a failure is shown with the end of what it printed."""

    # --- Observer -------------------------------------------------------------------------------

    def started(self, run_id: str, view: LiveView) -> None:
        """Say which run begins, and how large it is."""
        self.begun = True
        self._view = view
        self._plan = view.plan
        self._slots: int = view.settings.get("workers", 1)
        self.tally = Tally(view, self._now, self._left_s)
        self._small = self.tally.total <= SMALL
        self._said()
        self._open(run_id, taking_part(self.tally.total, len(self._plan)))

    def _left_s(self) -> float | None:
        """How long the run will still take. What guesses it is loaded when it is first wanted."""
        if self._time_left is None:
            if self.tally.elapsed_s < _GUESS_FROM_S:
                return None
            from joblot.cli.timeleft import TimeLeft

            state = self._folder.path.parent.parent if self._folder is not None else None
            self._time_left = TimeLeft(
                self._view, state, elapsed_s=self.tally.elapsed_s, rate=lambda: self.tally.rate, wall=self._wall
            )
        return self._time_left.seconds()

    _time_left: TimeLeft | None = None

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
        """Say every now and then how far the run is, name what is slow, and answer who has asked what runs."""
        now = self._now()
        if self._asked:
            self._asked = False
            self._show(self._what_runs())
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            if self.tally.elapsed_s >= SLOW_S:
                self._name_slow()
        if now >= self._next:
            self._said()
            self._say("INFO", self.tally.standing())
            self._say_causes()

    def ask(self) -> None:
        """Have it told soon what runs: a signal's handler may call this."""
        self._asked = True

    @property
    def told_all(self) -> bool:
        """Whether every job that ended well has had its line."""
        return self._small

    def warned(self, message: str) -> None:
        """Pass the warning on."""
        self._say("WARNING", message)

    def ended(self, status: str) -> None:  # noqa: ARG002 - the protocol's signature
        """Say what has no line of its own yet, where no table of the end does."""
        if self._output.quiet:
            self._say_causes()

    def make_room(self) -> None:
        """Leave the terminal to somebody else for a moment."""

    def close(self) -> None:
        """Leave nothing behind, however the run ended."""

    def conclude(self, message: str) -> None:
        """Say something about a run that is over."""
        self._output.log("INFO", message)

    # --- lines ----------------------------------------------------------------------------------

    def _say(self, level: str, message: str) -> None:
        self._said()
        self._output.log(level, message)

    def _open(self, run_id: str, jobs: str) -> None:
        self._say("INFO", f"run `{run_id}`: {jobs}, {self._slots} at once")

    def _remark(self, message: str) -> None:
        """Say what is no warning, and yet not to be seen in the display."""
        self._say("INFO", message)

    def _said(self) -> None:
        if not self.begun:
            return
        elapsed = self.tally.elapsed_s
        pause = next((pause for until, pause in _STANDING if elapsed < until), _STANDING_LATER_S)
        self._next = self._now() + pause

    def _say_causes(self) -> None:
        for what, causes in self._more.items():
            if causes.failures:
                named = [f"{cause.failures} x {cause.text} (such as `{cause.example}`)" for cause in causes.sorted()]
                more = len(named) - _CAUSES
                others = f", {more} more {'cause' if more == 1 else 'causes'}" if more > 0 else ""
                level = "ERROR" if what == "failed" else "WARNING"
                self._say(level, f"{causes.failures} more {what}: {', '.join(named[:_CAUSES])}{others}")
                self._more[what] = Causes()

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
            count, self._failed = self._count(), self._failed + 1
            level, failed = (
                ("WARNING", "failed (allowed)")
                if self._plan.declarations[event.job].allow_failure
                else ("ERROR", "failed")
            )
            if self._failed > DETAILED:
                self._more[failed].add(Failure(name, why, event.reason))
                return
            tries = f"{event.attempt} attempts" if event.attempt > 1 else "1 attempt"
            self._say(level, f"{count}{name}: {failed}: {why} ({tries}, {format_duration(event.wall_s)})")
            self._show_log(name, event.attempt, why)
        elif event.reason == ev.BUNDLE_FAILED:
            self._bundle_failures.append(event)
        elif event.state in _RETRIED and event.outcome != "returned":
            self._tried_again(event, name, why)
        elif event.state not in _RETRIED:
            said = event.state if why == event.state else f"{event.state}: {why}"
            self._say("WARNING", f"{self._count()}{name}: {said}")

    def _tried_again(self, event: ev.AttemptEnded, name: str, why: str) -> None:
        if event.delay_s:
            heappush(self._due, self._now() + event.delay_s)
        self._retried += 1
        if self._retried > DETAILED:
            self._more["ended badly, to be tried again"].add(Failure(name, why, event.reason))
            return
        again = f"again in {format_duration(event.delay_s)}" if event.delay_s else "again"
        if event.reason == ev.MEMORY_PRESSURE:
            again = "again later, alone"
        self._say("WARNING", f"{name}: attempt {event.attempt} ended with `{event.outcome}`: {why}; {again}")

    def _bundle_failed(self, events: list[ev.AttemptEnded]) -> None:
        for message, group in groupby(events, key=lambda event: event.message):
            names = [self._plan.name(event.job) for event in group]
            others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self._say("WARNING", f"{', '.join(names[:_NAMED])}{others}: {one_line(message)}; again, with fewer others")

    def _show_log(self, name: str, attempt: int, why: str) -> None:
        if self._folder is None or not self.shows_logs:
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

    # --- what runs ------------------------------------------------------------------------------

    def _oldest(self, most: int) -> list[tuple[int, int]]:
        """The attempts that have been out the longest, as jobs and numbers. What is handed out ahead of a free slot does not count."""
        since = self._view.running_since
        return nsmallest(min(most, self._slots), self._view.running(), key=lambda attempt: since(attempt[0]))

    def _age(self, job: int) -> float:
        return max(0.0, self._wall() - self._view.running_since(job))

    def _log_of(self, job: int, attempt: int) -> Path | None:
        if self._folder is None:
            return None
        bundle = self._view.bundle(job)
        first, number = (bundle.first, bundle.attempt) if bundle else (job, attempt)
        return self._folder.log_path(self._plan.name(first), number)

    def _log_file(self, job: int, attempt: int) -> tuple[int, int]:
        """The log's device and number on it; of none where it has no name yet."""
        path = self._log_of(job, attempt)
        try:
            status = path.stat() if path is not None else None
        except OSError:
            status = None
        return (status.st_dev, status.st_ino) if status is not None else (-1, -1)

    def _last_line(self, job: int, attempt: int) -> str:
        path = self._log_of(job, attempt)
        try:
            lines = last_lines(path, LOG_LINES) if path is not None else []
        except StateError:  # the job has put something else in its place
            return ""
        return next((line for line in map(one_line, reversed(lines)) if line), "")

    def _others(self, shown: int) -> str:
        """`+4 more running, 2000 waiting (other runs have `db`), 3 waiting to retry (next in 12 s)`, without what is 0."""
        tally, now = self.tally, self._now()
        parts = [f"+{tally.running - shown} more running"] if tally.running > shown else []
        names = " and ".join(f"`{name}`" for name in self._view.waits_for)
        others_have = f" (other runs have {names})" if names else ""
        parts += [f"{tally.waiting} waiting{others_have}"] if tally.waiting else []
        if retried := self._view.counts["backing_off"]:
            while self._due and self._due[0] <= now:
                heappop(self._due)
            due = f" (next in {format_age(self._due[0] - now)})" if self._due else ""
            parts.append(f"{retried} waiting to retry{due}")
        return ", ".join(parts)

    def _what_runs(self) -> list[str]:
        from joblot.executors.processes import writers

        oldest, pids = self._oldest(_LISTED), writers(os.getpid())
        lines = [f"what runs: {self.tally.standing()}"]
        for job, attempt in oldest:
            pid = pids.get(self._log_file(job, attempt))
            known = "" if pid is None else f", pid {pid}"
            lines.append(
                f"  {format_age(self._age(job)):>6}  {one_line(self._plan.name(job))} (attempt {attempt}{known})"
            )
            if line := self._last_line(job, attempt):
                lines.append(f"          | {line}")
        others = self._others(len(oldest))
        return [*lines, f"  {others}"] if others else lines

    def _name_slow(self) -> None:
        for job, _ in self._view.running():
            age = self._age(job)
            if age >= SLOW_S and job not in self._slow and len(self._slow) < DETAILED:
                longest = self._longest_success(job)
                if age >= _SLOW_TIMES * longest:
                    self._slow.add(job)
                    runs = f"{self._plan.name(job)}: has been running for {format_age(age)}"
                    if longest:
                        self._remark(f"{runs}; its longest success took {format_age(longest)}")
                    else:
                        self._say("INFO", runs)

    def _longest_success(self, job: int) -> float:
        """The longest that a job of the same declaration took in this run to succeed, in seconds; 0 when nobody knows."""
        fans = self._plan.fan_outs
        number = bisect_right(fans, job, key=lambda fan: fan[1].start) - 1
        if number < 0 or job not in fans[number][1]:
            return 0.0
        looked_at, longest = self._longest.get(number, (-SLOW_S, 0.0))
        if self._now() - looked_at >= SLOW_S / 2:  # there may be a million of them
            longest = self._view.longest_success(fans[number][1])
            self._longest[number] = self._now(), longest
        return longest

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

    @property
    def told_all(self) -> bool:
        """As events, which are for another reader."""
        return False


def _ends(event: ev.AnyEvent) -> int:
    """How many jobs an event brings to a final state."""
    if isinstance(event, ev.AttemptEnded):
        return event.state not in _RETRIED
    return len(event.jobs) if isinstance(event, ev.JobsEnded) and event.reason != ev.NOT_SELECTED else 0


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count else ""


def _thousands(count: int) -> str:
    """`947k`, `1.2M`: rounded down."""
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count // 100_000 / 10}M"


def _rate(jobs_a_second: float) -> str:
    units = ((1, "s"), (60, "min"), (3600, "h"))
    seconds, unit = next((unit for unit in units if jobs_a_second * unit[0] >= 1), (86400, "day"))
    return f"{jobs_a_second * seconds:.1f} jobs/{unit}"
