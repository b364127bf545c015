"""An agent's own process: runs attempts with the executor of one machine, and sends their ends over a socket. Started by `python -m`.

It has one thread, so that the warden can be forked from it. When its socket closes it ends everything below it and then itself. It does
not know Dask: the other end of its socket is `agent`.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from joblot.cluster import messages
from joblot.config.load import decode
from joblot.core.plan import expand
from joblot.errors import JoblotError, UsageError, did_you_mean
from joblot.executors.local import LocalExecutor
from joblot.executors.protocol import RunContext

if TYPE_CHECKING:
    from joblot.core.model import Attempt, Outcome
    from joblot.core.plan import Plan

_READ_BYTES: Final = 1 << 18
_INSTALL_HINT: Final = (
    "workers import what the batch names by themselves: install it there, or share its folder (`PYTHONPATH`)"
)


class UnfitError(JoblotError):
    """Something that the batch needs is not on this machine."""


def main() -> None:
    """Read the `Hello`, answer it, then run what is sent until the socket closes."""
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        sock.set_inheritable(False)
        hello = messages.decode(_read_body(sock), messages.Hello)
        folder = Path(os.environ.pop("JOBLOT_SITE_FOLDER"))
        try:
            plan = _prepare(hello)
        except JoblotError as error:
            sock.sendall(messages.frame(messages.Refused(error.message, error.hint)))
            return
        context = RunContext(hello.run_id, plan, folder, max_log=hello.max_log, warn=_warn, environments=hello.masked)
        context.max_memory = hello.max_memory
        executor = LocalExecutor(context, int(sys.argv[2]))
        try:
            sock.sendall(messages.frame(messages.Ready()))
            _Loop(sock, executor, context).run()
        except OSError:
            pass  # the Dask worker is gone
        finally:
            executor.close()
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(hello: messages.Hello) -> Plan:
    """Load what the attempts need, before anything is forked.

    Raises:
        UnfitError: a folder, module or action is missing.
    """
    from joblot.actions.registry import ACTIONS, import_modules

    os.environ.update(hello.secrets)
    config = decode(hello.batch)
    if not os.path.isdir(config.folder):
        raise UnfitError(
            f"the batch's folder `{config.folder}` is not there",
            hint="workers see the batch's files under the same path: put them on a shared file system",
        )
    if config.folder not in sys.path:
        sys.path.insert(0, config.folder)
    try:
        import_modules(config.imports)
    except UsageError as error:
        raise UnfitError(error.message, hint=error.hint or _INSTALL_HINT) from None
    for name in hello.modules:
        _import(name)
    for name in hello.actions:
        if ACTIONS.signature(name) is None:
            raise UnfitError(
                f"there is no action `{name}`",
                hint=did_you_mean(name, ACTIONS.names()) or "install the package that has it on the workers too",
            )
    return expand(config)


def _import(name: str) -> None:
    try:
        import_module(name)
    except Exception as error:  # noqa: BLE001 - importing runs the module's own code
        raise UnfitError(
            f"module `{name}` cannot be imported: {type(error).__name__}: {error}",
            hint=_INSTALL_HINT,
        ) from None


class _Loop:
    """Passes attempts from the socket to the executor, and ends back."""

    def __init__(self, sock: socket.socket, executor: LocalExecutor, context: RunContext) -> None:
        self._sock = sock
        self._executor = executor
        self._plan = context.plan
        assert context.run_dir is not None
        self._logs = context.run_dir / "logs"
        self._buffer = bytearray()
        self._bundles: dict[tuple[int, int], _Bundle] = {}
        """By job and number, the bundles of attempts that run in one."""
        executor.wake_on(sock.fileno())

    def run(self) -> None:
        """Serve until the socket closes."""
        while True:
            outcomes = self._executor.wait(None)
            if outcomes:
                self._sock.sendall(messages.frame(messages.News([self._attempt_end(outcome) for outcome in outcomes])))
            if not self._receive():
                return

    def _receive(self) -> bool:
        try:
            data = self._sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        self._buffer += data
        while (body := _take_body(self._buffer)) is not None:
            request = messages.to_agent(body)
            if isinstance(request, messages.Start):
                self._start(request.attempts)
            elif isinstance(request, messages.Most):
                self._executor.limit_memory(request.memory, is_whole=request.is_whole)
            else:
                self._executor.kill(request.kills)
        return bool(data)

    def _start(self, attempts: list[Attempt]) -> None:
        bundle = _Bundle(0, "", 0)
        for attempt in attempts:
            assert attempt.spec is not None, "BUG: an attempt without its job"
            self._plan.adopt(attempt.job, attempt.spec)
            if attempt.bundle_number:
                if attempt.bundle_number != bundle.number:
                    bundle = _Bundle(attempt.bundle_number, attempt.spec.name, attempt.number)
                bundle.jobs.append(attempt.job)
                bundle.left += 1
                self._bundles[attempt.job, attempt.number] = bundle
        self._executor.start(attempts)

    def _attempt_end(self, outcome: Outcome) -> messages.AttemptEnd:
        """The outcome with its log, which for a bundle is complete when the last of its attempts has ended."""
        job, number = self._plan.name(outcome.job), outcome.number
        bundle = self._bundles.pop((outcome.job, number), None)
        log = b""
        if bundle is None:
            log = self._take_log(job, number)
            self._plan.forget(outcome.job)
        else:
            bundle.left -= 1
            if not bundle.left:
                log = self._take_log(bundle.job, bundle.attempt)
                for member in bundle.jobs:
                    self._plan.forget(member)
        return messages.AttemptEnd(outcome, log)

    def _take_log(self, job: str, number: int) -> bytes:
        path = f"{self._logs}/{job}/{number}.log"
        try:
            with open(path, "rb") as file:
                log = file.read()
            os.unlink(path)
        except OSError:
            return b""  # it printed nothing
        return log


class _Bundle(msgspec.Struct):
    """Attempts that run as one call: the job and number that name their log, and how many have not ended."""

    number: int
    job: str
    attempt: int
    jobs: list[int] = []
    left: int = 0


def _take_body(buffer: bytearray) -> bytes | None:
    """Take the body of a complete message from the front of a buffer."""
    if len(buffer) < messages.LENGTH_BYTES:
        return None
    end = messages.LENGTH_BYTES + int.from_bytes(buffer[: messages.LENGTH_BYTES], "big")
    if len(buffer) < end:
        return None
    body = bytes(buffer[messages.LENGTH_BYTES : end])
    del buffer[:end]
    return body


def _read_body(sock: socket.socket) -> bytes:
    buffer = bytearray()
    while (body := _take_body(buffer)) is None:
        data = sock.recv(_READ_BYTES)
        if not data:
            sys.exit(0)
        buffer += data
    return body


def _warn(message: str) -> None:
    print(f"joblot: {message}", file=sys.stderr)  # noqa: T201 - it can be read in the Dask worker's log


if __name__ == "__main__":
    try:
        main()
    except (msgspec.MsgspecError, KeyError) as error:
        _warn(f"BUG: {error!r}")
