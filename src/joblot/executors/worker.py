"""A worker: a forked process that runs attempts of Python actions, one at a time, until its channel closes.

It has the plan and the actions in memory, from before the fork; attempts arrive as numbers. For each attempt it takes a token: the runner
can take tokens back, so an attempt that was sent but has not begun can be given to another worker. Tokens and frames have an epoch, which
distinguishes tokens for new work from those for work that was taken back.

Frames: to the worker `>IB` (length, epoch) and a list of attempts; from the worker `>I` (length) and an outcome; both msgpack.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import struct
import sys
import threading
import time
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Final

import msgspec

from joblot.core.model import Attempt, Outcome
from joblot.executors import processes
from joblot.executors.footprint import BLOCK, KIB
from joblot.executors.perform import Performer, Stopped
from joblot.executors.process_state import (
    ProcessState,
    end_resource_tracker,
    forget_children,
    long_attempt_s,
)
from joblot.executors.spool import Spool, link_log
from joblot.files import write_all

if TYPE_CHECKING:
    from types import FrameType

    from joblot.executors.protocol import RunContext

TO_WORKER: Final = struct.Struct(">IB")
_GROWTH: Final = 256
"""KiB that an attempt may grow the process by before its peak is reset for the next one."""
_NO_PROCESS_S: Final = 0.0001
"""No process is started and waited for in so short a time."""
HASH_OUTPUTS: Final = "hash_outputs"
"""In the values of what is no attempt: a command has ended, and its outputs are to be hashed."""
FROM_WORKER: Final = struct.Struct(">I")
SPIN_BELOW_S: Final = 0.0002
"""While attempts are shorter than this, the channel is polled for a moment before the process sleeps."""
_SPIN_S: Final = 0.00008
"""That moment: about what sleeping and waking cost, so that waiting never costs more than twice as much."""
_MAX_SKIPS: Final = 255
"""How many waits in a row are not preceded by polling, at the most."""


class Worker:
    """A worker's process after the fork."""

    def __init__(self, context: RunContext, ident: int, channel: int, tokens: int) -> None:
        self._context = context
        self._channel = channel
        self._tokens = tokens
        for fd in (channel, tokens):
            os.set_inheritable(fd, False)
        self._spare_token = -1  # one of another epoch, for a later frame
        self._stopping = False
        self._interrupted = False
        """Whether `Stopped` was raised in what ran when the worker was asked to end."""
        self._last_s = 1.0
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._spin = Spin(self._poll)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._busy = False
        self._meter = Meter()
        self._children = processes.OwnChildren()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[Attempt]).decode
        self._performer = Performer(context)
        logs = context.run_dir / "logs" if context.run_dir is not None else None
        self._spool = (
            Spool(logs, f"worker-{ident}", self._performer.mask, cap=context.max_log) if logs is not None else None
        )
        os.environ["JOBLOT_RUN_ID"] = context.run_id
        os.environ["JOBLOT_RUN"] = context.cookie
        os.environ.pop("JOBLOT_SCHEDULED_FOR", None)
        if context.plan.config.scheduled_for:
            os.environ["JOBLOT_SCHEDULED_FOR"] = context.plan.config.scheduled_for
        os.environ["JOBLOT_SLOT"] = str(ident)

    def run(self) -> None:
        """Run attempts until the channel closes or the worker is asked to end."""
        # A bundle has one token for all its attempts, so it begins or is taken back as a whole.
        self._prepare()
        while not self._stopping:
            if self._last_s < SPIN_BELOW_S:
                self._spin.ready()
            head = _read_exactly(self._channel, TO_WORKER.size)
            if head is None:
                break
            length, epoch = TO_WORKER.unpack(head)
            body = _read_exactly(self._channel, length)
            if body is None:
                break
            attempts = self._decode(body)
            if len(attempts) > 1 and 0 < attempts[0].bundle_number == attempts[-1].bundle_number:
                if self._may_begin(epoch):
                    self._run_bundle(attempts)
                continue
            for attempt in attempts:
                if self._may_begin(epoch):
                    self._run_one(attempt)
        if self._spool is not None:
            self._spool.close()

    def _prepare(self) -> None:
        gc.freeze()  # collecting what was there before the fork would copy the pages shared with the warden
        os.dup2(self._null, 0)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open for the worker's life
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - open for the worker's life
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - open for the worker's life
        self._point_streams()
        faulthandler.enable(2)
        signal.signal(signal.SIGTERM, self._terminated)
        os.register_at_fork(after_in_child=_reset_signals)
        self._process_state = ProcessState()
        self._long_s = long_attempt_s()

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        if self._busy:
            self._interrupted = True
            raise Stopped

    def _set_busy(self) -> None:
        """From here on SIGTERM interrupts what runs; it may have arrived since the attempt's token was taken."""
        self._busy = True
        if self._stopping and not self._interrupted:
            self._interrupted = True
            raise Stopped

    def _may_begin(self, epoch: int) -> bool:
        """Take a token of this epoch; where there is none the attempt was taken back."""
        if self._stopping:
            return False
        token = self._spare_token
        if token < 0:
            try:
                token = os.read(self._tokens, 1)[0]
            except BlockingIOError:
                return False
        if token != epoch:
            self._spare_token = token
            return False
        self._spare_token = -1
        return True

    def _run_one(self, attempt: Attempt) -> None:
        # The outcome is sent last: with it the runner counts the slot as free, so nothing of this attempt may remain by then.
        if attempt.spec is not None:
            self._context.plan.adopt(attempt.job, attempt.spec)
        if attempt.values is not None and HASH_OUTPUTS in attempt.values:
            self._send(self._with_hashes(Outcome(attempt.job, attempt.number, "ok", time.monotonic())))
            self._meter.begin()
            return
        self._point_streams()
        self._process_state.restore()
        try:
            self._set_busy()
            outcome = self._process_state.context().run(self._performer.perform, attempt)
            self._busy = False
        except Stopped:  # raised after the action had returned
            self._busy = False
            outcome = Outcome(attempt.job, attempt.number, "cancelled")
        self._clean_up()
        if outcome.wall_s >= self._long_s and not self._process_state.restore_costly():
            self._stopping = True
        if self._spool is not None:
            self._spool.collect(self._context.plan.name(attempt.job), attempt.number)
        self._meter.measure(outcome)
        self._last_s = outcome.wall_s
        self._send(self._with_hashes(outcome) if outcome.kind == "ok" else outcome)
        if outcome.looked:
            self._meter.begin()
        if attempt.spec is not None:  # it is sent with each attempt, and there may be millions of them
            self._context.plan.forget(attempt.job)

    def _run_bundle(self, attempts: list[Attempt]) -> None:
        """Run attempts as one call. Ends are sent as they come, but for the last, which follows the clearing up as in `_run_one`."""
        # The costly state is reset each time: for many jobs that costs little, and any of them may have changed it.
        for attempt in attempts:
            if attempt.spec is not None:
                self._context.plan.adopt(attempt.job, attempt.spec)
        self._point_streams()
        self._process_state.restore()
        last: Outcome | None = None
        try:
            self._set_busy()
            last = self._process_state.context().run(self._performer.perform_bundle, attempts, self._report)
            self._busy = False
        except Stopped:  # raised outside the action: the end of this process reports what was not sent
            self._busy = False
        self._clean_up()
        if not self._process_state.restore_costly():
            self._stopping = True
        if self._spool is not None:
            names = [(self._context.plan.name(attempt.job), attempt.number) for attempt in attempts]
            if self._spool.collect(*names[0]):
                link_log(self._spool.logs, *names[0], names[1:])
        self._last_s = 1.0
        if last is not None:
            last.peak_bytes = self._meter.peak_bytes()
            self._send(self._with_hashes(last) if last.kind == "ok" else last)
        self._meter.begin()
        for attempt in attempts:
            if attempt.spec is not None:
                self._context.plan.forget(attempt.job)

    def _report(self, outcome: Outcome) -> None:
        """Send the end of one attempt of a bundle that goes on, without being interrupted in the middle of a frame."""
        self._busy = False
        outcome.peak_bytes = self._meter.peak_bytes()
        self._send(self._with_hashes(outcome) if outcome.kind == "ok" else outcome)
        self._busy = True
        if self._stopping and not self._interrupted and threading.current_thread() is threading.main_thread():
            self._interrupted = True
            raise Stopped

    def _with_hashes(self, outcome: Outcome) -> Outcome:
        """The outcome with the hashes of its declared outputs, which keep no other slot waiting here. Interrupted, the runner hashes them."""
        paths = self._context.plan.spec(outcome.job).outputs
        if paths:
            from joblot.outputs import Hashes  # loaded before this process was forked

            try:
                self._busy = True
                outcome.looked = Hashes(self._context.plan.config.folder, is_made=lambda _path: True).look(paths)
                self._busy = False
            except (Stopped, OSError):
                self._busy = False
        return outcome

    def _send(self, outcome: Outcome) -> None:
        body = self._encode(outcome)
        try:
            write_all(self._channel, FROM_WORKER.pack(len(body)) + body)
        except BrokenPipeError:  # the runner is gone, and the warden is about to end this process
            self._stopping = True

    def _point_streams(self) -> None:
        """Make descriptors 1 and 2 the attempt's log again, whatever the previous attempt did to them."""
        fd = self._spool.fd if self._spool is not None else self._null
        os.dup2(fd, 1)
        os.dup2(fd, 2)

    def _clean_up(self) -> None:
        """End what an attempt has started: timers, children, threads."""
        os.dup2(self._null, 0)
        self._point_streams()  # before anything is opened, which would be given the number of what the attempt has closed
        self._process_state.restore_streams()
        if not self._process_state.has_streams():
            self._stopping = True
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # the action closed it, or its file is full
                pass
        self._process_state.restore_timers()
        threads = threading.active_count() > 1
        if self._children.pids() or (threads and processes.children(os.getpid())):
            end_resource_tracker()
            processes.kill_tree(os.getpid(), keep_root=True)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            forget_children()
        if threads:
            self._stopping = True  # a thread cannot be ended, only its process can


class Meter:
    """What one attempt after another takes in this process and in those that it has waited for, by the kernel's counts."""

    def __init__(self) -> None:
        self._resets = True
        self.begin()

    def begin(self) -> None:
        """What comes now is the next attempt's."""
        try:
            # Opened each time: an attempt may have closed what was opened here, and opened a file of its own under the same number.
            with open("/proc/self/clear_refs", "wb", buffering=0) as file:
                file.write(b"5")  # have the kernel measure the largest resident size anew
        except OSError:  # not Linux, or not permitted
            self._resets = False
        own, self._others = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        self._least, self._read, self._written = own.ru_maxrss, own.ru_inblock, own.ru_oublock

    def peak_bytes(self) -> int:
        """The largest resident size of this process since `begin`; 0: not known."""
        peak = getrusage(RUSAGE_SELF).ru_maxrss
        return peak * KIB if self._resets or peak > self._least else 0

    def measure(self, outcome: Outcome) -> None:
        """Set what an attempt took that began at the last `begin` or after the last `measure`."""
        own = getrusage(RUSAGE_SELF)
        peak, read, written = own.ru_maxrss, own.ru_inblock, own.ru_oublock
        if self._resets or peak > self._least:
            outcome.peak_bytes = peak * KIB
        if read != self._read or written != self._written:
            outcome.read_bytes, outcome.written_bytes = (read - self._read) * BLOCK, (written - self._written) * BLOCK
            self._read, self._written = read, written
        if outcome.wall_s > _NO_PROCESS_S:
            self._add_others(outcome)
        if peak > self._least + _GROWTH:
            self.begin()

    def _add_others(self, outcome: Outcome) -> None:
        """Add the processes that the attempt has waited for."""
        before, after = self._others, getrusage(RUSAGE_CHILDREN)
        if after.ru_minflt == before.ru_minflt:
            return
        self._others = after
        # Of all times the kernel keeps the largest peak: one that is no new one is known only to be no larger.
        largest = after.ru_maxrss * KIB
        if largest > outcome.peak_bytes:
            outcome.peak_bytes = largest if after.ru_maxrss > before.ru_maxrss else 0
        outcome.read_bytes += (after.ru_inblock - before.ru_inblock) * BLOCK
        outcome.written_bytes += (after.ru_oublock - before.ru_oublock) * BLOCK
        outcome.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _reset_signals() -> None:
    """Let SIGTERM end a process that an action has forked, as it ends any other program."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Spin:
    """Polls for a moment before a process sleeps, as long as that finds something.

    Where both sides have a processor, the answer comes within the moment and saves waking up. Where they share one, polling only keeps the
    other side from working: after each time in vain it is skipped twice as often as before.
    """

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._skip_next = 0
        self._skips_left = 0

    def ready(self) -> list[tuple[int, int]]:
        """What is ready within a moment, without sleeping."""
        if self._skips_left:
            self._skips_left -= 1
            return []
        until = time.monotonic() + _SPIN_S
        while not (ready := self._poll.poll(0)) and time.monotonic() < until:
            pass
        self._skip_next = 0 if ready else min(2 * self._skip_next + 1, _MAX_SKIPS)
        self._skips_left = self._skip_next
        return ready


def _read_exactly(fd: int, count: int) -> bytes | None:
    data = os.read(fd, count)
    while data and len(data) < count:
        rest = os.read(fd, count - len(data))
        if not rest:
            return None
        data += rest
    return data or None
