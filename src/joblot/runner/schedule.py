"""Looks at the schedules of a folder, starts what is due, and waits for it.

Each run is a process of its own, `joblot run FILE --scheduled-for TIME`. What is due is decided by `core.schedule`; that a due time is taken
is recorded before its run is started, by whoever has the lock of the batch file, which the run inherits. So whatever is killed, and however many look
at once, a due time has one run: who finds one whose run has not begun, and the lock free, starts the same run. It knows neither commands nor how
runs go.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from msgspec import Struct

from joblot.clock import iso_in, new_run_id, offset_at
from joblot.config.load import timing_of
from joblot.core.schedule import LATEST, ON_TIME_S, Verdict, due, due_times
from joblot.digest import blake2b
from joblot.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_STATE,
    ConfigError,
    JoblotError,
    RunHeldError,
    RunSkippedError,
    StateError,
    UsageError,
)
from joblot.journal.schedules import Claim, Schedules, opened, take_lock
from joblot.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from joblot.config.check import Timing
    from joblot.journal.folder import StateFolder
    from joblot.reports.report import Report
    from joblot.runner.engine import Observer

LOOK_S: Final = 60.0
"""So often files are looked at, at the least."""
MOST_TRIES: Final = 5
"""A run that was killed so often before it had begun is given up."""
ENDINGS: Final = (".yaml", ".yml", ".json", ".toml")
_SIGNALS: Final = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NEVER: Final = float("inf")


class Planned(Struct):
    """A batch file with a schedule, as it is now. Times are seconds since the epoch."""

    source: str
    timing: Timing
    offset_at: Callable[[float], int]
    next_at: float = 0.0
    """Its next due time; 0: it has to be looked at."""

    @property
    def name(self) -> str:
        """What people call it: the file's name."""
        return os.path.splitext(os.path.basename(self.source))[0]  # noqa: PTH119, PTH122

    @property
    def asked(self) -> str:
        """What it asks for, in one text: what is due by another is another schedule."""
        return msgspec.json.encode([self.timing.schedule.cron, self.timing.timezone]).decode()

    @property
    def waits(self) -> bool:
        """Whether a due time that finds a run of the batch going on is decided only when that has ended."""
        usual = "wait" if self.timing.schedule.missed == "all" else "skip"
        return (self.timing.on_conflict or usual) == "wait"

    @property
    def delay_s(self) -> float:
        """How long after a due time its run begins, within `jitter`: always the same for a file."""
        share = int.from_bytes(blake2b(os.fsencode(self.source), digest_size=4).digest()) / 2**32
        return share * self.timing.schedule.jitter_s

    def due_from(self, after: float, until: float = LATEST) -> Iterator[int]:
        """The due times after an instant."""
        return due_times(self.timing.schedule, self.offset_at, after, until)

    def told(self, at: float) -> str:
        """A due time for people: `2026-11-20 02:30 +01:00`."""
        text = iso_in(at, self.timing.timezone)
        seconds = "" if text[16:19] == ":00" else text[16:19]
        return f"{text[:10]} {text[11:16]}{seconds} {text[19:]}"


class Start(Struct):
    """A run that is to be started: `lock` is the open lock of its batch file; `delay_s` how long it has still to wait."""

    planned: Planned
    at: int
    run: str
    lock: int
    delay_s: float = 0.0


class Files:
    """The batch files of a folder, or one file, read again when they have changed."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 - links stay as they are
        self.is_file = os.path.isfile(self.path)  # noqa: PTH113
        self.folder = os.path.dirname(self.path) if self.is_file else self.path  # noqa: PTH120
        self._read: dict[str, tuple[tuple[int, ...], Planned | None, str]] = {}
        self.planned: list[Planned] = []
        """Those with a schedule."""
        self.faults: dict[str, str] = {}
        """What cannot be read, and why, in lines for people."""
        self.gone: set[str] = set()
        """What had a schedule here and has none any more."""

    def look(self) -> None:
        """Read what has changed since the last look.

        Raises:
            StateError: the folder cannot be looked at.
        """
        try:
            found = dict(self._entries())
        except OSError as error:
            from joblot.files import reason_of

            raise StateError(f"cannot look at `{self.path}`: {reason_of(error)}") from None
        read = {path: self._again(path, stamp) for path, stamp in found.items()}
        had = {path for path, (_, planned, _) in self._read.items() if planned is not None}
        self._read = read
        self.planned = [planned for _, planned, _ in read.values() if planned is not None]
        self.faults = {path: fault for path, (_, _, fault) in read.items() if fault}
        self.gone = had - {planned.source for planned in self.planned} - self.faults.keys()

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        if self.is_file:
            yield self.path, os.stat(self.path)  # noqa: PTH116 - as the entries of a folder
            return
        with os.scandir(self.folder) as entries:
            for entry in sorted(entries, key=attrgetter("name")):
                if entry.name.endswith(ENDINGS) and not entry.name.startswith("."):
                    with suppress(FileNotFoundError):
                        if entry.is_file():
                            yield entry.path, entry.stat()

    def _again(self, path: str, status: os.stat_result) -> tuple[tuple[int, ...], Planned | None, str]:
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known
        try:
            timing = timing_of(path)
        except ConfigError as error:
            return stamp, None, "\n".join(one.render() for one in error.diagnostics)
        return stamp, None if timing is None else Planned(path, timing, offset_at(timing.timezone)), ""


class Scheduler:
    """What is due in a folder. `state` is its state folder; `tell` is told what happens; `wall` tells the time in seconds since the epoch."""

    def __init__(
        self,
        files: Files,
        state: Path,
        tell: Callable[[str, str], None],
        *,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[float], str] = new_run_id,
    ) -> None:
        self.files = files
        self._state = state
        self._tell = tell
        self._wall = wall
        self._new_id = new_id
        self._looked = 0.0
        self._told: dict[str, str] = {}

    def look(self) -> list[Start]:
        """Read what has changed, decide what is due now, and record it. What is returned is to be started.

        Raises:
            StateError: the folder or the state folder cannot be used.
        """
        self.files.look()
        now = self._wall()
        with opened(self._state) as (_, schedules):
            before = schedules.look(self.files.path, now)
            went_back = now < self._looked
            self._looked = now
            self._tell_faults(schedules, now)
            starts = []
            for planned in self.files.planned:
                if planned.next_at <= now or went_back:
                    start = self._attend(schedules, planned, now, before)
                    if start is not None:
                        starts.append(start)
            return starts

    @property
    def next_at(self) -> float:
        """When something is due next; infinite where nothing is."""
        return min((planned.next_at for planned in self.files.planned), default=_NEVER)

    def settled(self, start: Start, code: int) -> str:
        """Take in that the process of a run has ended with that exit code; minus a signal's number if one killed it.

        Returns what became of it: the run's status, or why it did not begin; empty if it is to begin still.
        """
        start.planned.next_at = 0.0
        with opened(self._state) as (folder, schedules):
            info = folder.journal.info(start.run)
            with schedules.deciding():
                if info is not None:
                    schedules.settle(start.planned.source, start.at, start.run, "started", folder.status(info))
                elif code > 0:  # what it knows of it, it has recorded by itself
                    schedules.settle(start.planned.source, start.at, start.run, "refused", f"exit code {code}")
                elif code < 0:
                    schedules.count_killed(start.planned.source, start.at)
            if info is not None:
                return folder.status(info)
            row = schedules.of(start.planned.source, start.at)
            return "" if row is None or row.fate == "claimed" else f"{row.fate}: {row.why}"

    def _tell_faults(self, schedules: Schedules, now: float) -> None:
        """Say once of a file that it cannot be read; nothing of it is decided until it can. What has no schedule any more is due no more."""
        for path, fault in self.files.faults.items():
            if schedules.kept(path).told != fault:
                self._tell("ERROR", fault)
                schedules.tell(path, fault)
            schedules.hold(path, "the batch file could not be read")
        known = {planned.source for planned in self.files.planned}
        here = [self.files.path] if self.files.is_file else schedules.sources(self.files.folder)
        for path in here:
            if path not in known and path not in self.files.faults and os.path.dirname(path) == self.files.folder:  # noqa: PTH120
                with schedules.deciding():
                    schedules.take_in(path, "", now)

    def _attend(self, schedules: Schedules, planned: Planned, now: float, before: float) -> Start | None:
        """Decide what is due of one batch file."""
        kept, source = schedules.kept(planned.source), planned.source
        if kept.told:
            schedules.tell(source, "")
        if kept.asked != planned.asked:
            self._take_in(schedules, planned, kept.asked, now)
            kept = schedules.kept(source)
        claim = schedules.claimed(source)
        if claim is None and not self._due(schedules, planned, kept.since, now, before):
            self._settle(planned, now)
            return None
        lock = take_lock(self._state, source)
        if lock < 0:
            self._under_way(schedules, planned, now, before)
            return None
        start = None
        try:
            with schedules.deciding():
                claim = schedules.claimed(source)
                if claim is not None and claim.has_begun:
                    schedules.settle(source, claim.at, claim.run, "started")
                elif claim is not None:
                    start = self._again(schedules, planned, claim, now, lock)
                if start is None:
                    start = self._decide(schedules, planned, now, before, lock)
            if start is None:
                self._settle(planned, now)
            return start
        finally:
            if start is None:
                os.close(lock)

    def _due(self, schedules: Schedules, planned: Planned, since: float, now: float, before: float) -> list[Verdict]:
        """What is due since the last look, but for what has a row: somebody else looked meanwhile, or the clock was set back."""
        last = max(since, schedules.last(planned.source, min(before, now)))
        taken = schedules.taken(planned.source, last, now)
        return due(planned.timing.schedule, planned.offset_at, last, now, taken)

    def _settle(self, planned: Planned, now: float) -> None:
        """All is decided that was due until now."""
        planned.next_at = next(planned.due_from(now), _NEVER)

    def _take_in(self, schedules: Schedules, planned: Planned, asked: str, now: float) -> None:
        """A schedule that is new, or another than it was, begins now: what was due by the one before has come or is missed."""
        with schedules.deciding():
            if asked:
                cron, zone = msgspec.json.decode(asked)
                with suppress(Exception):  # a zone that this machine does not know any more
                    old = msgspec.structs.replace(planned.timing.schedule, cron=tuple(cron), missed="skip")
                    last = max(schedules.kept(planned.source).since, schedules.last(planned.source, now))
                    for verdict in due(old, offset_at(zone), last, now):
                        missed = Verdict("missed", verdict.first, verdict.last, verdict.count, verdict.more)
                        schedules.add(planned.source, missed, fate="missed", why="the schedule was changed")
            schedules.take_in(planned.source, planned.asked, now)

    def _under_way(self, schedules: Schedules, planned: Planned, now: float, before: float) -> None:
        """Another run of the batch file that a schedule has started is going on."""
        other = schedules.last_run(planned.source)
        planned.next_at = now  # when that has ended, or at the next look
        with schedules.deciding():
            if planned.waits:
                schedules.hold(planned.source, f"run `{other}` still ran")
                return
            kept = schedules.kept(planned.source)
            for verdict in self._due(schedules, planned, kept.since, now, before):
                if verdict.fate == "start":
                    why = f"run `{other}` still runs"
                    schedules.add(planned.source, verdict, fate="skipped", why=why)
                    level = "ERROR" if planned.timing.on_conflict == "fail" else "INFO"
                    self._tell(level, f"{planned.name}: due {planned.told(verdict.last)}: skipped: {why}")
                else:
                    self._keep(schedules, planned, verdict, kept.held, now, before)
        self._settle(planned, now)

    def _decide(self, schedules: Schedules, planned: Planned, now: float, before: float, lock: int) -> Start | None:
        kept, start = schedules.kept(planned.source), None
        for verdict in self._due(schedules, planned, kept.since, now, before):
            if verdict.fate != "start":
                self._keep(schedules, planned, verdict, kept.held, now, before)
                continue
            run = self._new_id(now)
            schedules.add(planned.source, verdict, fate="claimed", run=run)
            late = now - verdict.last >= ON_TIME_S
            delay_s = planned.delay_s if late else max(0.0, verdict.last + planned.delay_s - now)
            start = Start(planned, verdict.last, run, lock, delay_s)
        if kept.held:
            schedules.hold(planned.source, "")
        planned.next_at = now if start else 0.0
        return start

    def _keep(
        self, schedules: Schedules, planned: Planned, verdict: Verdict, held: str, now: float, before: float
    ) -> None:
        if verdict.fate == "merged":
            schedules.add(planned.source, verdict, fate="merged", why=str(verdict.into))
            return
        why = held or f"nothing looked at the schedule from {planned.told(before)[:16]} to {planned.told(now)[:16]}"
        schedules.add(planned.source, verdict, fate="missed", why=why)
        count = f"more than {verdict.count:,}" if verdict.more else f"{verdict.count:,}"
        which = f"due {planned.told(verdict.first)}"
        if verdict.count > 1 or verdict.more:
            which = f"{count} due times from {planned.told(verdict.first)} to {planned.told(verdict.last)}"
        self._tell("WARNING", f"{planned.name}: {which}: missed: {why}")

    def _again(self, schedules: Schedules, planned: Planned, claim: Claim, now: float, lock: int) -> Start | None:
        """A run that was to begin, and whoever was to start it is gone."""
        schedule = planned.timing.schedule
        if claim.tries > MOST_TRIES:
            why = f"killed {MOST_TRIES} times before it began"
            schedules.settle(planned.source, claim.at, claim.run, "refused", why)
        elif now - claim.at > schedule.within_s + schedule.jitter_s:
            why = f"it was not begun within {format_duration(schedule.within_s)}"
            schedules.settle(planned.source, claim.at, claim.run, "missed", why)
        else:
            planned.next_at = now
            return Start(planned, claim.at, claim.run, lock, max(0.0, claim.at + planned.delay_s - now))
        row = schedules.of(planned.source, claim.at)
        self._tell("ERROR", f"{planned.name}: due {planned.told(claim.at)}: {row.fate}: {row.why}" if row else "")
        return None


class Driver:
    """The processes of the runs that are started: children of this process, which takes in the ends of all children that it is given.

    A context manager, for the main thread: in it signals are waited for, never delivered.
    """

    def __init__(self, scheduler: Scheduler, tell: Callable[[str, str], None], state: Path) -> None:
        self._scheduler = scheduler
        self._tell = tell
        self._state = state
        self._running: dict[int, Start] = {}
        self._waiting: list[tuple[float, Start]] = []
        """By the monotonic clock, those whose time within `jitter` has not come."""
        self._asked = 0
        self._said = ""
        self.code = EXIT_OK
        """The first exit code that tells of a failure."""

    def __enter__(self) -> Self:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def tick(self) -> int:
        """Start what is due now, and wait for it. Returns the first exit code of a failure."""
        self._look()
        while self._running or self._waiting:
            waits = [start.planned.waits for start in self._turn(_NEVER)]
            if any(waits) and not self._asked:  # what was missed is made up for one after the other
                self._look()
        return self.code

    def run(self) -> int:
        """Start what is due until a signal asks for the end; then what runs is asked to end, and waited for."""
        while not self._asked:
            self._look()
            until = min(self._scheduler.next_at - time.time(), LOOK_S)
            self._turn(max(until, 0.05))
        while self._running:
            self._turn(_NEVER)
        return EXIT_OK

    def _look(self) -> None:
        try:
            starts, said = self._scheduler.look(), ""
        except JoblotError as error:  # the disk is full, say: the next look may find it better
            starts, said = [], f"{error.message}; {error.hint}" if error.hint else error.message
            self.code = self.code or error.exit_code
            if said != self._said:
                self._tell("ERROR", said)
        self._said = said
        if self._scheduler.files.faults:
            self.code = self.code or EXIT_CONFIG
        # What else the journal owes, such as messages, is to be seen to here: after what is due was started, and before it is waited for.
        now = time.monotonic()
        for start in starts:
            if start.delay_s:
                self._waiting.append((now + start.delay_s, start))
            else:
                self._begin(start)

    def _begin(self, start: Start) -> None:
        planned = start.planned
        try:
            pid = spawn_run(
                planned, start.at, start.run, self._state, start.lock, ["-q"], apart=True, mask=self._before
            )
        except OSError as error:
            from joblot.files import reason_of

            self._tell("ERROR", f"{planned.name}: run `{start.run}` cannot be started: {reason_of(error)}")
            self.code = self.code or EXIT_STATE
        else:
            self._running[pid] = start
            self._tell("INFO", f"{planned.name}: run `{start.run}` for {planned.told(start.at)}")
        finally:
            os.close(start.lock)  # the run has it

    def _turn(self, longest_s: float) -> list[Start]:
        """Wait for a signal, for the end of a run or until there is something to start. Returns the runs that have ended."""
        now = time.monotonic()
        ripe = [item for item in self._waiting if item[0] <= now]
        self._waiting = [item for item in self._waiting if item[0] > now]
        for _, start in ripe:
            self._begin(start)
        if ripe:
            return []
        longest_s = min(longest_s, LOOK_S, *(at - now for at, _ in self._waiting))
        found = signal.sigtimedwait(_SIGNALS, longest_s)
        if found is not None and found.si_signo != signal.SIGCHLD:
            self._asked += 1
            for _, start in self._waiting:  # it is recorded: the next look starts it
                os.close(start.lock)
            self._waiting = []
            for pid in self._running:
                with suppress(ProcessLookupError):
                    os.kill(pid, found.si_signo)
        return list(self._ended())

    def _ended(self) -> Iterator[Start]:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            start = self._running.pop(pid, None)
            if start is not None:  # else an orphan that the first process of a container is given
                self._end(start, os.waitstatus_to_exitcode(status))
                yield start

    def _end(self, start: Start, code: int) -> None:
        self.code = self.code or (max(0, code))
        try:
            status = self._scheduler.settled(start, code)
        except JoblotError as error:
            status = error.message
        level = "INFO" if not code else "ERROR"
        self._tell(
            level, f"{start.planned.name}: run `{start.run}`: {status or f'killed by signal {-code} before it began'}"
        )


# --- in the process of a run ------------------------------------------------------------------------


def planned_of(path: str) -> Planned:
    """A batch file with a schedule.

    Raises:
        ConfigError: it cannot be read, or what it says of its schedule is wrong.
        UsageError: it has none.
    """
    source = os.path.abspath(path)  # noqa: PTH100 - links stay as they are
    timing = timing_of(path)
    if timing is None:
        hint = 'write one beside `jobs`: `schedule: {cron: "30 2 * * *"}`'
        raise UsageError(f"`{path}` has no `schedule`", hint=hint)
    return Planned(source, timing, offset_at(timing.timezone))


def read_instant(planned: Planned, text: str, *, end: bool = False) -> float:
    """The instant that a person means, by the clock of the batch unless an offset is given; with `end` a date is its end.

    Raises:
        UsageError: it is none.
    """
    from datetime import UTC, datetime, timedelta

    try:
        there = datetime.fromisoformat(text)
        is_day = len(text) <= len("2026-11-20")
        there += timedelta(days=end and is_day)
        if there.tzinfo is not None:
            return there.timestamp()
        said = there.replace(tzinfo=UTC).timestamp()
        # A time of day that comes twice is the first of the two; one that does not come is where it would be.
        offsets = [planned.offset_at(said - 86_400), planned.offset_at(said + 86_400)]
        at = next((said - one for one in offsets if planned.offset_at(said - one) == one), said - offsets[0])
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"`{text}` is no time such as `2026-11-20T02:30`") from None
    return at - 1 if end and is_day else at


def read_due(planned: Planned, text: str) -> int:
    """The due time that a person means, as `read_instant`.

    Raises:
        UsageError: the batch is not due then.
    """
    at = int(read_instant(planned, text))
    if next(planned.due_from(at - 1, at), None) != at:
        after = next(planned.due_from(at), None)
        hint = f"it is at {planned.told(after)}, say" if after else ""
        raise UsageError(f"`{planned.name}` is not due at {planned.told(at)}", hint=hint)
    return at


def spawn_run(
    planned: Planned,
    at: int,
    run: str,
    state: Path,
    lock: int,
    more: Sequence[str] = (),
    *,
    apart: bool = False,
    mask: Iterable[int] = (),
) -> int:
    """Start the process of a run, which inherits the lock; `apart` from the terminal's signals. Returns its pid.

    Raises:
        OSError: the system refuses it.
    """
    words = ["run", planned.source, "--scheduled-for", iso_in(at, planned.timing.timezone)]
    words += ["--run-id", run, "--state", str(state), *more]
    command = [sys.executable, "-m", "joblot", *words]
    null = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)] if apart else []
    options: dict[str, Any] = {"setpgroup": 0} if apart else {}
    os.set_inheritable(lock, True)
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=null, setsigmask=mask, **options)


def held(planned: Planned, schedules: Schedules) -> RunHeldError:
    """That a run which the schedule has started still runs."""
    other = schedules.last_run(planned.source)
    which = f"run `{other}` of `{planned.name}`" if other else f"another run of `{planned.name}`"
    hint = f"`joblot cancel {other}` stops it" if other else ""
    return RunHeldError(f"{which} that its schedule has started still runs", hint=hint)


class Taken:
    """A due time that this process runs for: a context manager, which records what becomes of it where its run does not begin."""

    def __init__(self, planned: Planned, at: int, run: str, state: Path, *, network_ok: bool = True) -> None:
        self._planned = planned
        self.at = at
        self._run = run
        self._state = state
        self._network_ok = network_ok
        self._lock = -1

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            RunHeldError: a run that a schedule has started is going on.
            StateError: it had a run.
        """
        planned, at = self._planned, self.at
        with opened(self._state, network_ok=self._network_ok) as (folder, schedules):
            self._lock = take_lock(self._state, planned.source, given=True)
            if self._lock < 0:
                raise held(planned, schedules)
            try:
                with schedules.deciding():
                    row = schedules.of(planned.source, at)
                    known = row.run if row is not None and row.at == at else ""
                    if known != self._run:
                        self._refuse_other(folder, planned, known)
                        schedules.claim(planned.source, at, self._run)
            except BaseException:
                os.close(self._lock)
                raise
        return self

    def _refuse_other(self, folder: StateFolder, planned: Planned, run: str) -> None:
        info = folder.journal.info(run) if run else None
        if info is not None:
            status = folder.status(info)
            raise StateError(
                f"due {planned.told(self.at)}: run `{run}` was started for that: {status}",
                hint=f"`joblot retry {run}`, or `joblot backfill` where it has not succeeded",
            )

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            self.note(error)
        finally:
            os.close(self._lock)

    def noting(self, begin: Callable[[Sequence[Observer]], Report]) -> Callable[[Sequence[Observer]], Report]:
        """What begins the run, and records it when another run is in the way."""

        def noted(observers: Sequence[Observer]) -> Report:
            try:
                return begin(observers)
            except RunSkippedError as skipped:
                self.note(skipped)
                raise

        return noted

    def note(self, error: BaseException | None) -> None:
        """Record why the run did not begin, if it did not."""
        with opened(self._state, network_ok=self._network_ok) as (folder, schedules), schedules.deciding():
            settle = schedules.settle
            if (info := folder.journal.info(self._run)) is not None:
                settle(self._planned.source, self.at, self._run, "started", folder.status(info))
            elif isinstance(error, RunSkippedError):
                settle(self._planned.source, self.at, self._run, "skipped", error.message)
            elif isinstance(error, ConfigError):
                settle(self._planned.source, self.at, self._run, "refused", error.diagnostics[0].message)
            elif isinstance(error, JoblotError):
                settle(self._planned.source, self.at, self._run, "refused", error.message)
