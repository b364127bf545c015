"""The runner's end of one worker: what was sent to it, what came back, and the outcome of what ran in it when it died.

It does not decide who gets work; `local` does. `worker` describes the frames and the tokens.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import termios
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from joblot.core.model import Attempt, Outcome
from joblot.executors import command
from joblot.executors.worker import FROM_WORKER, TO_WORKER
from joblot.files import system_error

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FRAME: Final = 1 << 26


class BrokenFrameError(Exception):
    """The bytes from a worker are not an outcome."""


class WorkerHandle:
    """The runner's end of one worker. Raises OSError when its descriptors would be `max_fds` or higher."""

    def __init__(self, ident: int, max_fds: int) -> None:
        self.ident = ident
        self.token_r, self._token_w = os.pipe()
        try:
            self._sock, self.worker_end = socket.socketpair()
            if self.worker_end.fileno() >= max_fds:
                self._sock.close()
                self.worker_end.close()
                raise system_error(errno.EMFILE)
        except OSError:
            os.close(self.token_r)
            os.close(self._token_w)
            raise
        self.fd = self._sock.fileno()
        os.set_blocking(self.token_r, False)
        self.limit_bytes = 0
        """Memory limit of the attempt in it; 0 for none."""
        self.is_noted = False
        """Whether the warden knows of the attempt in it, that it takes long or is spared."""
        self.has_grown = False
        """Whether it holds much of what all attempts may hold together."""
        self._epoch = 0
        self._first_is_older = False
        """Whether the first attempt's token is of an earlier epoch than those behind it."""
        self.outstanding: deque[Attempt] = deque()
        """Attempts that were sent and have not ended; the first one runs, or is about to."""
        self.bundle: list[Attempt] = []
        """All attempts of the bundle that it runs, if it runs one: those that are outstanding run at once and end in any order."""
        self.active_at = 0.0
        """When it last got work while idle, or last sent an outcome (monotonic seconds)."""
        self.is_slow = False
        """Whether its running attempt has been found to take long."""
        self.early_log: Path | None = None
        """The path that its running attempt's log got because of that."""
        self.early_spool: Path | None = None
        """For a bundle, the file that got that path."""
        self.usable = True
        """Whether it may get work; not while it is being killed."""
        self.closed = False
        """Whether the worker's end of the channel is closed."""
        self.broken = False
        """Whether it sent something that is not an outcome."""
        self._buffer = bytearray()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_frame = msgspec.msgpack.Decoder(Outcome).decode

    def send(self, attempts: list[Attempt], *, as_bundle: bool = False) -> None:
        """Queue attempts in the worker; with `as_bundle` an idle one runs them as one bundle."""
        if as_bundle and len(attempts) > 1:
            self.bundle = attempts
        if not self.outstanding:
            self.active_at = time.monotonic()
            self.is_slow = self._first_is_older = False
        self.outstanding.extend(attempts)
        body = self._encode(attempts)
        os.write(self._token_w, bytes((self._epoch,)) * (1 if self.bundle else len(attempts)))
        try:
            self._sock.sendall(TO_WORKER.pack(len(body), self._epoch) + body)
        except OSError:
            self.usable = False  # it has died; the warden reports how

    def take_back(self) -> list[Attempt]:
        """Take back what has not begun, in order. Whatever is sent later has a new epoch."""
        try:
            count = len(os.read(self.token_r, 4096))
        except BlockingIOError:
            return []
        if self.bundle:
            count, self.bundle = len(self.outstanding), []
        return self._remove_last(count)

    @property
    def has_begun(self) -> bool:
        """Whether the first outstanding attempt, or its bundle, is running."""
        return self._tokens_left() < (1 if self.bundle else len(self.outstanding))

    def take_back_queued(self) -> list[Attempt]:
        """Take back what is queued behind the first attempt. That one stays, whether it has begun or is about to."""
        if self.has_begun:
            return self.take_back()
        # The first attempt's token must stay in the pipe, or the worker would skip that attempt as taken back. So this works once: what
        # is sent afterwards has tokens of another epoch, and reading from the front would no longer leave a token like the first.
        left = self._tokens_left()
        if self._first_is_older or left < 2:
            return []
        try:
            count = len(os.read(self.token_r, left - 1))
        except BlockingIOError:
            return []
        self._first_is_older = True
        return self._remove_last(count)

    def _tokens_left(self) -> int:
        return int.from_bytes(fcntl.ioctl(self.token_r, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _remove_last(self, count: int) -> list[Attempt]:
        self._epoch = (self._epoch + 1) % 256
        taken = [self.outstanding.pop() for _ in range(min(count, len(self.outstanding)))]
        return taken[::-1]

    def receive(self) -> list[Outcome]:
        """The outcomes that have arrived. Raises BrokenFrameError: an action can write to any descriptor of its process."""
        outcomes = []
        # One large read takes all frames that have arrived, and a short one shows that the socket is empty: asking again for EAGAIN would
        # cost a system call for each attempt.
        try:
            while data := self._sock.recv(1 << 18, socket.MSG_DONTWAIT):
                self._buffer += data
                if len(data) < 1 << 18:
                    break
            else:
                self.closed = True
                self.usable = False
        except BlockingIOError:
            pass
        except ConnectionError:
            self.closed = True
            self.usable = False
        start = 0
        while len(self._buffer) - start >= FROM_WORKER.size:
            (length,) = FROM_WORKER.unpack_from(self._buffer, start)
            end = start + FROM_WORKER.size + length
            if length > _MAX_FRAME:
                raise BrokenFrameError
            if len(self._buffer) < end:
                break
            outcomes.append(self._decode_outcome(memoryview(self._buffer)[start + FROM_WORKER.size : end]))
            start = end
        if outcomes:
            del self._buffer[:start]
        if outcomes and not self.bundle:
            self.active_at = time.monotonic()
            self.is_slow = self._first_is_older = False
        return outcomes

    def _decode_outcome(self, body: memoryview) -> Outcome:
        """The outcome in a frame, which must be that of an attempt that runs here."""
        try:
            outcome = self._decode_frame(body)
        except msgspec.MsgspecError:
            raise BrokenFrameError from None
        key = (outcome.job, outcome.number)
        running = self.outstanding if self.bundle else islice(self.outstanding, 1)
        index = next((index for index, attempt in enumerate(running) if (attempt.job, attempt.number) == key), -1)
        if index < 0:
            raise BrokenFrameError
        del self.outstanding[index]
        if not self.outstanding:
            self.bundle = []
        if outcome.kind == "cancelled":
            self.usable = False  # it was asked to end, and does
        return outcome

    def retire(self) -> None:
        """Give it no more work; then it ends by itself."""
        self.usable = False
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended already

    def close(self) -> None:
        """Close the channel, which ends an idle worker."""
        self._sock.close()
        for fd in (self.token_r, self._token_w):
            os.close(fd)


def crash_outcome(attempt: Attempt, worker: WorkerHandle, status: int) -> Outcome:
    """The outcome of an attempt whose worker died while it ran."""
    outcome = Outcome(
        attempt.job, attempt.number, "error", worker.active_at, time.monotonic() - worker.active_at, reason="crash"
    )
    code = os.waitstatus_to_exitcode(status)
    if worker.broken:
        outcome.message = "the action wrote to its worker's own descriptors"
    elif code:
        command.apply_exit_code(outcome, code)
    else:
        outcome.message = "the worker's process ended before the action returned"
    return outcome
