"""Runs attempts in this process, one after another: for debugging, and for trusted tiny actions.

A Python action that hangs hangs the run, and a crash ends it; `local` is the executor that can kill. Commands are processes of their own
here too and can be killed with their process group. What an attempt prints goes to its log by file descriptor, as in every executor.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from joblot.core.model import Attempt, Outcome
from joblot.errors import JoblotError
from joblot.executors import command, processes
from joblot.executors.footprint import BLOCK, KIB, Peak
from joblot.executors.perform import Performer
from joblot.executors.process_state import ProcessState, long_attempt_s, set_streams
from joblot.executors.randomness import Kept
from joblot.executors.spool import Spool, link_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.core.commands import Kill
    from joblot.executors.protocol import RunContext

SLICE_S: Final = 0.02
"""How long `wait` runs short attempts before it reports their ends: after a crash at most this much is run again."""
MAX_AHEAD: Final = 512
"""Attempts that are taken at once while they are short."""
_SHORT_S: Final = 0.001


class InlineExecutor:
    """`Executor` in this process."""

    slots = 1

    def __init__(self, context: RunContext) -> None:
        processes.fill_standard_descriptors()
        self._child_signals = processes.take_child_signals()
        self._context = context
        self._performer = Performer(context)
        self._builder = command.CommandBuilder(context)
        self._marker = processes.Marker(os.fsencode(context.cookie))
        self._queue: deque[Attempt] = deque()
        self._ended: list[Outcome] = []
        self._running: _RunningCommand | None = None
        self._wake_fd = -1
        self._typical_s = 0.0
        self._spool: Spool | None = None
        self._redirection: _Redirection | None = None
        self._threaded = threading.current_thread() is not threading.main_thread()
        """Whether the state of the process is the program's business, which goes on beside this thread."""
        self._long_s = long_attempt_s()
        self._process_state: ProcessState | None = None
        """As attempts find it: with what joblot has set since."""
        self._callers: ProcessState | None = None if self._threaded or context.observed else ProcessState()

    @property
    def capacity(self) -> int:
        """One, or many while attempts are so short that handing them over one by one would cost more than they do."""
        return MAX_AHEAD if self._typical_s < _SHORT_S else 1

    def wake_on(self, fd: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""
        self._wake_fd = fd

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Queue attempts; they run inside `wait`."""
        self._queue.extend(attempts)

    def kill(self, kills: Sequence[Kill]) -> None:
        """Kill the command that runs, give back what is queued. A Python action never runs during this call: it runs inside `wait`."""
        for kill in kills:
            if self._running is not None and self._running.matches(kill):
                self._running.kill(kill.grace_s)
        keys = {(kill.job, kill.number) for kill in kills}
        bundles = {attempt.bundle_number for attempt in self._queue if (attempt.job, attempt.number) in keys} - {0}
        kept: deque[Attempt] = deque()
        for attempt in self._queue:
            if (attempt.job, attempt.number) in keys or attempt.bundle_number in bundles:
                self._ended.append(Outcome(attempt.job, attempt.number, "returned"))
            else:
                kept.append(attempt)
        self._queue = kept

    @property
    def held_bytes(self) -> int:
        """Not known here."""
        return 0

    def give_back(self) -> list[Outcome]:
        """All that is queued: an attempt of any length may stand there behind short ones."""
        queued = [Outcome(attempt.job, attempt.number, "returned") for attempt in self._queue]
        self._queue.clear()
        return queued

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Run the queue until an attempt fails, the slice is over, or a command begins; return what has ended."""
        if self._running is not None:
            self._watch(timeout)
        elif self._queue:
            if not self._ended:
                self._work()
        elif not self._ended and (timeout is None or timeout > 0):
            select.select([self._wake_fd] if self._wake_fd >= 0 else [], [], [], timeout)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Kill the command that runs, and remove the spool."""
        if self._running is not None:
            self._running.kill(0.0)
            self._running.reap()
            self._running = None
        if self._redirection is not None:
            self._redirection.close()
            self._redirection = None
        if self._process_state is not None:
            self._process_state.close()
            self._process_state = None
        if self._callers is not None:
            _restore(self._callers)
            self._callers.close()
            self._callers = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if self._child_signals is not None:
            signal.signal(signal.SIGCHLD, self._child_signals)
            self._child_signals = None

    def _work(self) -> None:
        """Run Python actions from the front of the queue; begin a command when that comes first."""
        # One loop with local names, because it runs once for each attempt of a trivial action. It ends at the first failure, so that
        # the engine can stop the run or retry before it goes on, and after a slice, so that ends are recorded soon.
        if self._redirection is None:
            self._redirection = _Redirection(self._open_spool())
        plan, perform, queue, ended = self._context.plan, self._performer.perform, self._queue, self._ended
        until = time.monotonic() + SLICE_S
        generators = Kept()
        with self._redirection as output:
            state = self._process_state
            if state is None and not self._threaded:
                state = self._process_state = ProcessState()
            context = copy_context if state is None or not state.has_decimals else state.context
            while queue:
                attempt = queue[0]
                spec = plan.declarations[attempt.job]
                if spec.function is None and command.is_command(spec):
                    break
                queue.popleft()
                if attempt.bundle_number and queue and queue[0].bundle_number == attempt.bundle_number:
                    context().run(self._work_bundle, attempt, spec.timeout_s, output)
                    break
                if spec.timeout_s is None:
                    outcome = context().run(perform, attempt)
                else:
                    with _Alarm(spec.timeout_s) as alarm:
                        outcome = context().run(perform, attempt)
                    alarm.apply_timeout(outcome)
                is_long = outcome.wall_s >= self._long_s
                if is_long or (sys.stdin, sys.stdout, sys.stderr) != output.streams:
                    output.put_back()
                if state is not None:
                    if is_long:
                        _restore(state)
                    else:
                        state.restore_usual()
                if output.has_printed():
                    output.collect(plan.name(attempt.job), attempt.number)
                ended.append(outcome)
                if outcome.kind != "ok" or outcome.began + outcome.wall_s >= until:  # type: ignore[operator]
                    break
            if state is not None and self._context.observed:
                _restore(state)  # what the program's code changes until the next slice is no attempt's doing
                state.close()
                self._process_state = None
        generators.put_back()
        if ended:
            self._typical_s = 0.5 * self._typical_s + 0.5 * sum(outcome.wall_s for outcome in ended) / len(ended)
        elif queue:
            self._begin_command(queue.popleft())

    def _work_bundle(self, first: Attempt, timeout_s: float | None, output: _Redirection) -> None:
        """Run the first attempt with those queued behind it that belong to its bundle."""
        attempts = [first]
        while self._queue and self._queue[0].bundle_number == first.bundle_number:
            attempts.append(self._queue.popleft())
        outcomes: list[Outcome] = []
        if timeout_s is None:
            outcomes.append(self._performer.perform_bundle(attempts, outcomes.append))
        else:
            began = time.monotonic()
            with _Alarm(timeout_s) as alarm, suppress(TimeoutError):  # the alarm may also come after the call
                outcomes.append(self._performer.perform_bundle(attempts, outcomes.append))
            ended_jobs = {outcome.job for outcome in outcomes}
            # It may also interrupt the report of an end, which is lost then: such attempts get an outcome here.
            outcomes += [
                Outcome(attempt.job, attempt.number, "error", began, shared=True)
                for attempt in attempts
                if attempt.job not in ended_jobs
            ]
            for outcome in outcomes:
                if outcome.shared:
                    alarm.apply_timeout(outcome)
        output.put_back()
        if self._process_state is not None:
            _restore(self._process_state)
        names = [(self._context.plan.name(attempt.job), attempt.number) for attempt in attempts]
        if output.collect(*names[0]) and self._spool is not None:
            link_log(self._spool.logs, *names[0], names[1:])
        self._ended += outcomes

    def _begin_command(self, attempt: Attempt) -> None:
        self._typical_s = _SHORT_S
        try:
            line = self._builder.build(attempt)
        except (JoblotError, ValueError) as error:
            self._ended.append(command.build_failure(attempt, error, self._performer.mask, began=time.monotonic()))
            return
        spool = self._open_spool()
        if self._performer.mask and line.result_path:
            command.make_private(line.result_path)
        began = time.monotonic()
        try:
            self._running = _RunningCommand(
                attempt, line, self._builder.base, spool.fd if spool is not None else -1, began
            )
            self._marker.set(0, self._running.pid)
        except OSError as error:
            line.dispose()
            outcome = command.start_failure(attempt, error, line, self._builder.base, began=began)
            self._performer.mask.outcome(outcome)
            self._ended.append(outcome)

    def _watch(self, timeout: float | None) -> None:
        running = self._running
        assert running is not None
        outcome = running.wait(timeout, self._wake_fd)
        if outcome is None:
            if self._spool is not None:
                self._spool.trim()
            return
        self._running = None
        if self._spool is not None:
            self._spool.collect(self._context.plan.name(outcome.job), outcome.number)
        self._performer.mask.outcome(outcome)
        self._ended.append(outcome)

    def _open_spool(self) -> Spool | None:
        if self._spool is None and self._context.run_dir is not None and self._context.capture:
            self._spool = Spool(
                self._context.run_dir / "logs", "inline", self._performer.mask, cap=self._context.max_log
            )
        return self._spool


def _restore(state: ProcessState) -> None:
    state.restore()
    state.restore_timers()
    state.restore_costly()


class _RunningCommand:
    """The command that runs."""

    def __init__(
        self, attempt: Attempt, line: command.CommandLine, base: dict[bytes, bytes], output_fd: int, began: float
    ) -> None:
        self.attempt = attempt
        self._line = line
        self._began = began
        self._kill_at: float | None = None
        self._peak = Peak(began)
        self.pid = spawn(line, {**base, **line.env}, output_fd)

    def matches(self, kill: Kill) -> bool:
        """Whether this is the attempt to kill."""
        return (self.attempt.job, self.attempt.number) == (kill.job, kill.number)

    def kill(self, grace_s: float) -> None:
        """TERM now, KILL after the grace."""
        self._signal(signal.SIGTERM if grace_s > 0 else signal.SIGKILL)
        self._kill_at = time.monotonic() + grace_s

    def wait(self, timeout: float | None, wake_fd: int) -> Outcome | None:
        """The outcome, or None when the time is over or the wake descriptor is readable."""
        # Polling, since nothing portable waits for a process and a descriptor together with a timeout: pidfd_open is Linux only, and
        # SIGCHLD handlers belong to the program that embeds us. The pause doubles to 50 ms, which is what a long command costs in latency.
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            now = time.monotonic()
            if pid:
                self._signal(signal.SIGKILL)  # what the command left in its group
                cpu_s = usage.ru_utime + usage.ru_stime
                outcome = command.finished_outcome(self.attempt, status, cpu_s, began=self._began, ended=now)
                own = getrusage(RUSAGE_SELF).ru_maxrss
                outcome.peak_bytes = self._peak.told(usage.ru_maxrss * KIB, own * KIB, now)
                outcome.read_bytes, outcome.written_bytes = usage.ru_inblock * BLOCK, usage.ru_oublock * BLOCK
                command.add_result(outcome, self._line.result_path)
                self._line.dispose()
                return outcome
            if now >= self._peak.due:
                self._peak.look((self.pid, *processes.descendants(self.pid)), now)
            if self._kill_at is not None and now >= self._kill_at:
                self._signal(signal.SIGKILL)
            if until is not None and now >= until:
                return None
            pause = min(pause * 2, 0.05)
            if wake_fd >= 0 and select.select([wake_fd], [], [], pause)[0]:
                return None
            if wake_fd < 0:
                time.sleep(pause)

    def reap(self) -> None:
        """Wait for the end of a killed command."""
        os.waitpid(self.pid, 0)
        self._line.dispose()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def spawn(line: command.CommandLine, environment: dict[bytes, bytes], output_fd: int) -> int:
    """Start a command in a session of its own, standard input empty, output to a descriptor (-1: as this process).

    Raises:
        OSError: it cannot be executed.
    """
    import shutil

    program = (
        line.argv[0]
        if "/" in line.argv[0]
        else shutil.which(line.argv[0], path=os.fsdecode(environment.get(b"PATH", b"")))
    )
    if program is None:
        raise FileNotFoundError(2, "not found", line.argv[0])
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    if output_fd >= 0:
        actions += [(os.POSIX_SPAWN_DUP2, output_fd, 1), (os.POSIX_SPAWN_DUP2, output_fd, 2)]
    try:
        folder_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the working folder was deleted
        folder_fd = -1
    os.chdir(line.cwd)  # posix_spawn cannot set the child's folder
    try:
        return os.posix_spawn(
            program,
            line.argv,
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=processes.DEFAULTS,
        )
    finally:
        if folder_fd >= 0:
            os.fchdir(folder_fd)
            os.close(folder_fd)


class _Alarm:
    """Ends a Python action that takes too long by an exception inside it, which is all that one process can do.

    It does not reach native code that does not return to the interpreter, and works in the main thread only.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._usable = threading.current_thread() is threading.main_thread()
        self._expired = False
        self._previous_handler: Any = None

    def __enter__(self) -> Self:
        if self._usable:
            self._previous_handler = signal.signal(signal.SIGALRM, self._expire)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def _expire(self, *_: object) -> None:
        self._expired = True
        raise TimeoutError("the action took too long")

    def __exit__(self, *_: object) -> None:
        if self._usable:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._previous_handler)

    def apply_timeout(self, outcome: Outcome) -> None:
        """Make the outcome a timeout, unless the action ended well or the alarm never came."""
        if self._expired and outcome.kind != "ok":
            outcome.kind, outcome.reason = "timeout", "timeout"


class _Redirection:
    """Sends standard output and standard error of this process to the spool while it runs attempts.

    Both the descriptors and Python's streams: in a notebook or under a test runner the streams do not write to the descriptors.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._saved_fds = [os.dup(1), os.dup(2)] if spool is not None else []
        self._saved_streams: tuple[Any, Any, Any] = (None, None, None)
        self._outputs = self._open()
        self.streams: tuple[Any, Any, Any] = (None, None, None)
        """The standard streams that attempts find."""

    def _open(self) -> list[TextIO]:
        return [_stream(fd) for fd in (1, 2)] if self._spool is not None else []

    def __enter__(self) -> Self:
        self.streams = self._saved_streams = (sys.stdin, sys.stdout, sys.stderr)
        if self._spool is not None:
            _flush()
            self._point_at_spool()
            self.streams = sys.stdin, sys.stdout, sys.stderr = sys.stdin, self._outputs[0], self._outputs[1]
        return self

    def put_back(self) -> None:
        """Set the streams and descriptors of an attempt, whatever the one before has put there."""
        if self._spool is not None:
            self._point_at_spool()
        set_streams(self.streams)

    def has_printed(self) -> bool:
        """Whether there is something to collect."""
        if self._spool is None:
            return False
        out, error = self._outputs
        try:
            out.flush()
            error.flush()
        except (OSError, ValueError):  # nobody reads it, or the attempt has closed it: no failure of this attempt
            self._outputs = self._open()
            self.streams = sys.stdin, sys.stdout, sys.stderr = sys.stdin, self._outputs[0], self._outputs[1]
        return self._spool.has_grown()

    def collect(self, job: str, number: int) -> bool:
        """Make what an attempt has printed its log; whether it has printed anything."""
        if not self.has_printed():
            return False
        assert self._spool is not None
        self._spool.collect(job, number)
        self._point_at_spool()
        return True

    def _point_at_spool(self) -> None:
        assert self._spool is not None
        os.dup2(self._spool.fd, 1)
        os.dup2(self._spool.fd, 2)

    def __exit__(self, *_: object) -> None:
        if self._spool is not None:
            sys.stdin, sys.stdout, sys.stderr = self._saved_streams
            for fd, saved_fd in enumerate(self._saved_fds, 1):
                os.dup2(saved_fd, fd)

    def close(self) -> None:
        """Close the saved descriptors."""
        for saved_fd in self._saved_fds:
            os.close(saved_fd)
        self._saved_fds = []


def _stream(fd: int) -> TextIO:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):  # closed, or nobody reads it: no failure of this attempt
                pass
