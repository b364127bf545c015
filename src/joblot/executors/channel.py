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

_LONGEST_FRAME: Final = 1 << 26


class BrokenFrameError(Exception):
    """What came from a worker is not an outcome."""


class Channel:
    """The runner's end of one worker. Raises OSError when its descriptors would be `most_fds` or higher."""

    def __init__(self, ident: int, most_fds: int) -> None:
        self.ident = ident
        self.token_r, self._token_w = os.pipe()
        try:
            self._sock, self.theirs = socket.socketpair()
            if self.theirs.fileno() >= most_fds:
                self._sock.close()
                self.theirs.close()
                raise system_error(errno.EMFILE)
        except OSError:
            os.close(self.token_r)
            os.close(self._token_w)
            raise
        self.fd = self._sock.fileno()
        os.set_blocking(self.token_r, False)
        self.limit = 0
        """Bytes that the attempt in it may hold; 0 when there is no limit."""
        self._epoch = 0
        self._first_is_older = False
        """Whether the first attempt's token is of an earlier epoch than those behind it."""
        self.outstanding: deque[Attempt] = deque()
        """Attempts that were sent and have not ended; the first one runs, or is about to."""
        self.together: list[Attempt] = []
        """While it runs a bundle, all attempts of that: those that are outstanding run at once, and end in any order."""
        self.heard = 0.0
        """When it was last given work while idle, or last sent an outcome."""
        self.shown = False
        """Whether its running attempt was found to take long."""
        self.shown_log: Path | None = None
        """The name that its running attempt's log got for that."""
        self.shown_spool: Path | None = None
        """For a bundle, the file that got that name."""
        self.usable = True
        """Whether it may get work: not once it is to be killed."""
        self.silent = False
        """Whether its channel has ended."""
        self.broken = False
        """Whether something else than outcomes came from it."""
        self._buffer = bytearray()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Outcome).decode

    def send(self, attempts: list[Attempt], *, together: bool = False) -> None:
        """Queue attempts in the worker, or with `together` have an idle one run them as a bundle."""
        if together and len(attempts) > 1:
            self.together = attempts
        if not self.outstanding:
            self.heard = time.monotonic()
            self.shown = self._first_is_older = False
        self.outstanding.extend(attempts)
        body = self._encode(attempts)
        os.write(self._token_w, bytes((self._epoch,)) * (1 if self.together else len(attempts)))
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
        if self.together:
            count, self.together = len(self.outstanding), []
        return self._taken(count)

    @property
    def has_begun(self) -> bool:
        """Whether the first attempt that is outstanding runs, or its bundle does."""
        return self._tokens_left() < (1 if self.together else len(self.outstanding))

    def take_back_behind(self) -> list[Attempt]:
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
        return self._taken(count)

    def _tokens_left(self) -> int:
        return int.from_bytes(fcntl.ioctl(self.token_r, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _taken(self, count: int) -> list[Attempt]:
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
                self.silent = True
                self.usable = False
        except BlockingIOError:
            pass
        except ConnectionError:
            self.silent = True
            self.usable = False
        start = 0
        while len(self._buffer) - start >= FROM_WORKER.size:
            (length,) = FROM_WORKER.unpack_from(self._buffer, start)
            end = start + FROM_WORKER.size + length
            if length > _LONGEST_FRAME:
                raise BrokenFrameError
            if len(self._buffer) < end:
                break
            outcomes.append(self._next(memoryview(self._buffer)[start + FROM_WORKER.size : end]))
            start = end
        if outcomes:
            del self._buffer[:start]
        if outcomes and not self.together:
            self.heard = time.monotonic()
            self.shown = self._first_is_older = False
        return outcomes

    def _next(self, body: memoryview) -> Outcome:
        """The outcome in a frame. Only that of an attempt that runs can come."""
        try:
            outcome = self._decode(body)
        except msgspec.MsgspecError:
            raise BrokenFrameError from None
        ended = (outcome.job, outcome.number)
        running = self.outstanding if self.together else islice(self.outstanding, 1)
        place = next((place for place, one in enumerate(running) if (one.job, one.number) == ended), -1)
        if place < 0:
            raise BrokenFrameError
        del self.outstanding[place]
        if not self.outstanding:
            self.together = []
        if outcome.kind == "cancelled":
            self.usable = False  # it ends
        return outcome

    def let_go(self) -> None:
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


def died(attempt: Attempt, worker: Channel, status: int) -> Outcome:
    """The outcome of an attempt whose worker died while it ran."""
    outcome = Outcome(
        attempt.job, attempt.number, "error", worker.heard, time.monotonic() - worker.heard, reason="crash"
    )
    code = os.waitstatus_to_exitcode(status)
    if worker.broken:
        outcome.message = "the action wrote to its worker's own descriptors"
    elif code:
        command.judge(outcome, code)
    else:
        outcome.message = "the worker's process ended before the action returned"
    return outcome
