"""A worker: a forked process that runs attempts of Python actions, one at a time, until its channel closes.

It has the plan and the actions in memory, from before the fork; attempts come as numbers. For each attempt it takes a token: the runner
can take tokens back, so an attempt that was sent but has not begun can be given to another worker. A token and a frame carry an epoch,
which tells a token for new work from one for work that was taken back.

Frames: to the worker `>IB` (length, epoch) and a list of attempts; from the worker `>I` (length) and an outcome; both msgpack.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import struct
import sys
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from joblot.executors import processes
from joblot.executors.perform import Performer, Stopped
from joblot.executors.spool import Spool
from joblot.model import Attempt, Outcome

if TYPE_CHECKING:
    from types import FrameType

    from joblot.executors import RunContext

TO_WORKER: Final = struct.Struct(">IB")
FROM_WORKER: Final = struct.Struct(">I")


class Worker:
    """What a worker does after the fork."""

    def __init__(self, context: RunContext, ident: int, channel: int, tokens: int) -> None:
        self._context = context
        self._channel = channel
        self._tokens = tokens
        self._held = -1
        self._stopping = False
        self._busy = False
        self._children = processes.OwnChildren()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[Attempt]).decode
        self._performer = Performer(context)
        logs = context.run_dir / "logs" if context.run_dir is not None else None
        self._spool = Spool(logs, f"worker-{ident}", self._performer.mask) if logs is not None else None
        os.environ["JOBLOT_RUN"] = os.environ["JOBLOT_RUN_ID"] = context.run_id
        os.environ["JOBLOT_SLOT"] = str(ident)

    def run(self) -> None:
        """Until the channel closes or the worker was asked to end."""
        self._prepare()
        while not self._stopping:
            head = _read_exactly(self._channel, TO_WORKER.size)
            if head is None:
                break
            length, epoch = TO_WORKER.unpack(head)
            body = _read_exactly(self._channel, length)
            if body is None:
                break
            for attempt in self._decode(body):
                if self._may_begin(epoch):
                    self._run_one(attempt)
        if self._spool is not None:
            self._spool.close()

    def _prepare(self) -> None:
        gc.freeze()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open for the worker's life
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - open for the worker's life
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - open for the worker's life
        self._point()
        faulthandler.enable(2)
        signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        if self._busy:
            raise Stopped

    def _may_begin(self, epoch: int) -> bool:
        """Take a token for an attempt of this epoch; without one the attempt was taken back."""
        if self._stopping:
            return False
        token = self._held
        if token < 0:
            try:
                token = os.read(self._tokens, 1)[0]
            except BlockingIOError:
                return False
        if token != epoch:
            self._held = token
            return False
        self._held = -1
        return True

    def _run_one(self, attempt: Attempt) -> None:
        try:
            self._busy = True
            outcome = self._performer.perform(attempt)
            self._busy = False
        except Stopped:  # it struck between the action's end and here
            self._busy = False
            outcome = Outcome(attempt.job, attempt.number, "cancelled")
        self._clean_up()
        if self._spool is not None and self._spool.collect(self._context.plan.name(attempt.job), attempt.number):
            self._point()
        body = self._encode(outcome)
        _write_all(self._channel, FROM_WORKER.pack(len(body)) + body)

    def _clean_up(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # the action closed or replaced it
                pass
        if self._children.pids() or (threading.active_count() > 1 and processes.children(os.getpid())):
            processes.kill_tree(os.getpid(), keep_root=True)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass

    def _point(self) -> None:
        fd = self._spool.fd if self._spool is not None else os.open(os.devnull, os.O_WRONLY)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        if self._spool is None:
            os.close(fd)


def _read_exactly(fd: int, count: int) -> bytes | None:
    data = os.read(fd, count)
    while data and len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            return None
        data += more
    return data or None


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
