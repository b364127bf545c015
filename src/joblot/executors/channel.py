"""The runner's end of one worker: what was sent to it, what came back, and what became of it when it died.

It decides nothing about who gets work; `local` does. The frames and the tokens are described in `worker`.
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
    """What came from a worker is not an outcome."""


class Channel:
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
        """Bytes that the attempt in it may hold; 0 when there is no limit."""
        self._epoch = 0
        self._first_is_older = False
        """Whether the first attempt's token is of an earlier epoch than those behind it."""
        self.outstanding: deque[Attempt] = deque()
        """Attempts that were sent and have not ended; the first one runs, or is about to."""
        self.bundle: list[Attempt] = []
        """While it runs a bundle, all attempts of that: those that are outstanding run at once, and end in any order."""
        self.active_at = 0.0
        """When it was last given work while idle, or last sent an outcome."""
        self.is_slow = False
        """Whether its running attempt was found to take long."""
        self.early_log: Path | None = None
        """The name that its running attempt's log got for that."""
        self.early_spool: Path | None = None
        """For a bundle, the file that got that name."""
        self.usable = True
        """Whether it may get work: not once it is to be killed."""
        self.closed = False
        """Whether its channel has ended."""
        self.broken = False
        """Whether something else than outcomes came from it."""
        self._buffer = bytearray()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_frame = msgspec.msgpack.Decoder(Outcome).decode

    def send(self, attempts: list[Attempt], *, as_bundle: bool = False) -> None:
        """Queue attempts in the worker, or with `as_bundle` have an idle one run them as a bundle."""
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
            self.usable = False  # it has died; the warden will say how

    def take_back(self) -> list[Attempt]:
        """Take back what has not begun, in order. What is sent later is of a new epoch."""
        try:
            count = len(os.read(self.token_r, 4096))
        except BlockingIOError:
            return []
        if self.bundle:
            count, self.bundle = len(self.outstanding), []
        return self._remove_last(count)

    @property
    def has_begun(self) -> bool:
        """Whether the first attempt that is outstanding runs, or its bundle does."""
        return self._tokens_left() < (1 if self.bundle else len(self.outstanding))

    def take_back_queued(self) -> list[Attempt]:
        """Take back what is queued behind the first attempt. That one stays, whether it has begun or is about to."""
        if self.has_begun:
            return self.take_back()
        # Its token has to stay in the pipe all the time, or the worker would take it for taken back. That works once: then what is
        # sent has tokens of another epoch, and the first in the pipe is no longer like the last.
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
        """The outcomes that have come."""
        outcomes = []
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
        """The outcome in a frame. Only that of an attempt that runs can come."""
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
            self.usable = False  # it ends
        return outcome

    def retire(self) -> None:
        """Give it no more work: it ends by itself."""
        self.usable = False
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def close(self) -> None:
        """Close the channel: an idle worker ends by itself."""
        self._sock.close()
        for fd in (self.token_r, self._token_w):
            os.close(fd)


def crash_outcome(attempt: Attempt, worker: Channel, status: int) -> Outcome:
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
