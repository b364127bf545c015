"""The warden: a small process between the runner and everything that it starts.

It starts commands and forks workers, waits for their ends, kills their trees, and when its socket to the runner closes, however that came
about, it kills everything and goes. It is the subreaper (Linux): what a job's processes leave behind comes to it and dies there. It has one
thread, and imports the standard library and the two modules beside it only, so that it can fork at any moment.

It does not know jobs, plans or journals: a command is a number with words to execute, a worker a number with two descriptors.

Frames both ways: four bytes of length, then a marshalled tuple (same interpreter on both sides).

    runner -> warden   ("command", id, name, number, argv, environment, folder)
                       ("worker", id)                        with two descriptors beside it: its channel and its tokens
                       ("kill", "command" | "worker", id, grace seconds)
                       ("withdraw",)                         give back the commands that have not begun
                       ("show", id)                          give a running command's log its name
    warden -> runner   ("ended", id, status, user s, system s, peak, began, ended)
                       ("failed", id, errno)                 could not be executed
                       ("returned", id)                      never began
                       ("gone", id, status)
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from joblot.executors import processes
from joblot.executors.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joblot.executors.mask import Mask

_GATHER_S: Final = 0.001
"""How long news waits for more while there is work to go on with."""
_LENGTH: Final = struct.Struct(">I")
_SET_PDEATHSIG: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_DEFAULTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def frame(message: tuple[Any, ...]) -> bytes:
    """A message as it goes over the socket."""
    body = marshal.dumps(message)
    return _LENGTH.pack(len(body)) + body


def unframe(buffer: bytearray) -> list[tuple[Any, ...]]:
    """Take all whole messages from the front of a buffer."""
    messages = []
    start = 0
    while len(buffer) - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, start)
        end = start + _LENGTH.size + length
        if len(buffer) < end:
            break
        messages.append(marshal.loads(memoryview(buffer)[start + _LENGTH.size : end]))  # noqa: S302 - from our own process
        start = end
    del buffer[:start]
    return messages


class _Command:
    __slots__ = ("began", "name", "number", "pid", "spool")

    def __init__(self, pid: int, began: float, spool: Spool | None, name: str, number: int) -> None:
        self.pid = pid
        self.began = began
        self.spool = spool
        self.name = name
        self.number = number


class Warden:
    """The warden's loop.

    At most `slots` commands run at once; further ones wait here in their order. `work` is what a forked worker does with its id, its
    channel and its tokens' descriptor.
    """

    def __init__(
        self,
        sock: socket.socket,
        slots: int,
        environment: dict[bytes, bytes],
        logs: Path | None,
        mask: Mask,
        work: Callable[[int, int, int], None],
    ) -> None:
        self._sock = sock
        self._slots = slots
        self._pending: deque[tuple[Any, ...]] = deque()
        """Commands that wait for a slot."""
        self._environment = environment
        self._logs = logs
        self._mask = mask
        self._work = work
        self._commands: dict[int, _Command] = {}
        self._workers: dict[int, int] = {}
        """Worker ids by pid."""
        self._by_pid: dict[int, int] = {}
        """Command ids by pid."""
        self._due: list[tuple[float, int]] = []
        """When the grace of which pid ends."""
        self._spools: list[Spool] = []
        self._spool_count = 0
        self._programs: dict[bytes, str] = {}
        self._folder = ""
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._out = bytearray()
        self._answered = 0.0
        self._wake_r, self._wake_w = os.pipe()
        self._me = os.getpid()
        self._children = processes.OwnChildren()

    def run(self) -> None:
        """Until the socket closes."""
        self._become_warden()
        buffer = bytearray()
        fds: list[int] = []
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        while True:
            for fd, _ in poll.poll(self._patience()):
                if fd == self._wake_r:
                    os.read(fd, 4096)
                    self._reap()
                elif not self._receive(buffer, fds):
                    self._end()
            self._strike()
            if self._out and (not self._pending or time.monotonic() - self._answered >= _GATHER_S):
                self._answer()

    def _become_warden(self) -> None:
        prctl(_SET_CHILD_SUBREAPER, 1)
        for fd in (self._wake_r, self._wake_w):
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)

    def _patience(self) -> float | None:
        if not self._due:
            return None
        return max(0.0, (min(self._due)[0] - time.monotonic()) * 1000)

    # --- messages -------------------------------------------------------------------------------

    def _receive(self, buffer: bytearray, fds: list[int]) -> bool:
        try:
            data, got, _, _ = socket.recv_fds(self._sock, 1 << 18, 16)
        except (ConnectionError, OSError):
            return False
        if not data:
            return False
        buffer += data
        fds += got
        for message in unframe(buffer):
            kind = message[0]
            if kind == "command":
                self._pending.append(message[1:])
            elif kind == "worker":
                self._start_worker(message[1], fds.pop(0), fds.pop(0))
            elif kind == "kill":
                self._kill(*message[1:])
            elif kind == "withdraw":
                self._withdraw()
            elif kind == "show":
                self._show(message[1])
        self._start_pending()
        return True

    def _answer(self) -> None:
        try:
            self._sock.sendall(self._out)
        except OSError:
            self._end()  # the runner is gone: the same as the end of the socket
        self._out.clear()
        self._answered = time.monotonic()

    # --- commands -------------------------------------------------------------------------------

    def _start_pending(self) -> None:
        while self._pending and len(self._commands) < self._slots:
            self._start_command(*self._pending.popleft())

    def _withdraw(self) -> None:
        for command in self._pending:
            self._out += frame(("returned", command[0]))
        self._pending.clear()

    def _start_command(
        self, ident: int, name: str, number: int, argv: list[str], environment: dict[bytes, bytes], folder: str
    ) -> None:
        spool = self._take_spool()
        actions: list[Any] = [(os.POSIX_SPAWN_DUP2, self._null, 0)]
        output = spool.fd if spool is not None else self._null
        actions += [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        began = time.monotonic()
        try:
            if folder != self._folder:
                os.chdir(folder)
                self._folder = folder
            full = {**self._environment, **environment}
            program = self._find(argv[0], full)
            pid = os.posix_spawn(
                program, argv, full, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULTS
            )
        except (OSError, ValueError) as error:
            if spool is not None:
                self._spools.append(spool)
            self._out += frame(("failed", ident, getattr(error, "errno", None) or 8))
            return
        self._commands[ident] = _Command(pid, began, spool, name, number)
        self._by_pid[pid] = ident

    def _find(self, word: str, environment: dict[bytes, bytes]) -> str:
        """The program's path; looked up once for each PATH and word."""
        if "/" in word:
            return word
        path = environment.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin")
        key = path + b"\0" + os.fsencode(word)
        found = self._programs.get(key)
        if found is None:
            for folder in os.fsdecode(path).split(":"):
                candidate = f"{folder or '.'}/{word}"
                if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                    break
            else:
                raise FileNotFoundError(2, "not found", word)
            found = self._programs[key] = candidate
        return found

    def _take_spool(self) -> Spool | None:
        if self._logs is None:
            return None
        if self._spools:
            return self._spools.pop()
        self._spool_count += 1
        return Spool(self._logs, f"command-{os.getpid()}-{self._spool_count}", self._mask)

    def _show(self, ident: int) -> None:
        command = self._commands.get(ident)
        if command is not None and command.spool is not None:
            command.spool.show(command.name, command.number)

    # --- workers --------------------------------------------------------------------------------

    def _start_worker(self, ident: int, channel: int, tokens: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_worker(ident, channel, tokens)
        os.close(channel)
        os.close(tokens)
        self._workers[pid] = ident

    def _become_worker(self, ident: int, channel: int, tokens: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_DEFAULTS, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            prctl(_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._me:  # the warden died before it could take us along
                os._exit(1)
            self._sock.close()
            for fd in (self._wake_r, self._wake_w):
                os.close(fd)
            self._work(ident, channel, tokens)
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing may get out of a forked process
            os.write(2, f"BUG: worker {ident} failed: {error!r}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)

    # --- ends -----------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Take every child that has ended; then see whether strays came to us."""
        now = time.monotonic()
        ended: list[int] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            ended.append(pid)
            ident = self._by_pid.pop(pid, None)
            if ident is not None:
                command = self._commands.pop(ident)
                if command.spool is not None:
                    command.spool.collect(command.name, command.number)
                    self._spools.append(command.spool)
                times = (usage.ru_utime, usage.ru_stime, usage.ru_maxrss, command.began, now)
                self._out += frame(("ended", ident, status, *times))
            elif pid in self._workers:
                self._out += frame(("gone", self._workers.pop(pid), status))
        self._sweep_strays(ended)
        self._start_pending()

    def _sweep_strays(self, ended: list[int]) -> None:
        """Kill what is our child and neither a worker nor a command: left behind by a job that has ended.

        A stray may also come from a job that still runs (a daemon that it started and will talk to); its environment tells.
        """
        ours = self._children.pids()
        if len(ours) <= len(self._workers) + len(self._by_pid):
            return
        for pid in ended:
            processes.send_group(pid, signal.SIGKILL)
        running = {(c.name.encode(), str(c.number).encode()) for c in self._commands.values()}
        for pid in ours:
            if pid not in self._workers and pid not in self._by_pid and not self._belongs_to(pid, running):
                processes.kill_tree(pid)

    def _belongs_to(self, pid: int, running: set[tuple[bytes, bytes]]) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = dict(item.partition(b"=")[::2] for item in file.read().split(b"\0"))
        except OSError:
            return False
        if b"JOBLOT_JOB" not in pairs:
            return b"JOBLOT_SLOT" in pairs and bool(self._workers)  # of a Python action; swept when its worker ends
        return (pairs[b"JOBLOT_JOB"], pairs.get(b"JOBLOT_ATTEMPT", b"")) in running

    def _kill(self, kind: str, ident: int, grace: float) -> None:
        if kind == "command":
            for waiting in [waiting for waiting in self._pending if waiting[0] == ident]:
                self._pending.remove(waiting)
                self._out += frame(("returned", ident))
            command = self._commands.get(ident)
            pid = command.pid if command is not None else 0
        else:
            pid = next((pid for pid, worker in self._workers.items() if worker == ident), 0)
        if not pid:
            return
        if grace > 0:
            processes.send_tree(pid, signal.SIGTERM)
            processes.send_tree(pid, signal.SIGCONT)
        self._due.append((time.monotonic() + grace, pid))

    def _strike(self) -> None:
        """Kill the trees whose grace is over."""
        if not self._due:
            return
        now = time.monotonic()
        for entry in [entry for entry in self._due if entry[0] <= now]:
            self._due.remove(entry)
            if entry[1] in self._by_pid or entry[1] in self._workers:
                processes.kill_tree(entry[1])

    def _end(self) -> None:
        """The runner is gone or has closed: nothing may stay."""
        for _ in range(100):
            processes.kill_tree(self._me, keep_root=True)
            for pid in (*self._workers, *self._by_pid):
                processes.send_group(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.001)
        for spool in self._spools:
            spool.close()
        os._exit(0)


def prctl(option: int, value: int) -> None:
    """Set a process attribute (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(
    slots: int, environment: dict[bytes, bytes], logs: Path | None, mask: Mask, work: Callable[[int, int, int], None]
) -> tuple[int, socket.socket]:
    """Fork the warden. Returns its pid and the runner's end of the socket.

    Every descriptor of the runner but the standard three is closed in it: it must not keep the runner's locks alive.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            ours.detach()
            keep = theirs.fileno()
            os.closerange(3, keep)
            os.closerange(keep + 1, 65536)
            Warden(theirs, slots, environment, logs, mask, work).run()
        except BaseException as error:  # noqa: BLE001 - nothing may get out of a forked process
            os.write(2, f"BUG: the warden failed: {error!r}\n".encode("utf-8", "replace"))
        finally:
            os._exit(70)
    theirs.close()
    return pid, ours
