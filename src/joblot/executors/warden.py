"""The warden: a small process between the runner and everything that it starts.

It starts commands and forks workers, waits for their ends and kills their trees. When its socket to the runner closes, for whatever
reason, it kills everything and ends; what still lies in the socket then is never begun, however long this process has stood still. It is
the subreaper (Linux): processes that a job leaves behind become its children, and are killed when their own job has ended.
It has one thread, and imports the standard library, modules beside it and modules of the ground only, so that it can fork at any moment.

It does not know jobs, plans or journals: a command is a number with words to execute, a worker a number with two descriptors.

Frames both ways: four bytes of length, then a marshalled tuple (both sides are the same interpreter).

    runner -> warden   ("command", id, name, number, argv, environment, folder, memory limit, spared)
                       ("worker", id)                        sent with two descriptors: its channel and its tokens
                       ("limit", id, memory limit)           of the attempt that a worker begins; 0 when that has ended
                       ("attempt", id, began, spared)        what a worker runs is known to take long, or is spared; 0.0 when that has ended
                       ("most", bytes, is whole)             what all attempts may hold together from now on, and whether that is all that the run may
                       ("kill", "command" | "worker", id, grace seconds)
                       ("withdraw",)                         give back the commands that have not begun, unless they wait for room
                       ("show", id)                          give a running command's log its name
                       ("ping",)                             answer
    warden -> runner   ("ended", id, status, CPU s, peak, read, written, began, ended, verdict)
                       ("failed", id, errno)                 could not be executed
                       ("returned", id)                      never began
                       ("worker not started", id, errno)     it could not be forked
                       ("worker ended", id, status, held, verdict)
                       ("held", bytes, worker ids)           all attempts hold so much together, and these workers much of it
                       ("spared", bytes)                     all attempts hold so much together, which is too much, and all that may be ended have been; told once
                       ("shortage", errno, running)          commands wait because of it; told at each try, with how many run
                       ("alive",)                            the answer

A memory limit is bytes, 0 for none; so are a peak, and what was read from and written to storage, 0 where it is not known. A verdict is the reason and the message of what
ended for lack of memory, else empty. What is spared is not ended because all attempts hold too much together.
"""

from __future__ import annotations

import errno
import marshal
import math
import os
import select
import signal
import socket
import struct
import sys
import time
import warnings
from collections import deque
from heapq import heappop, heappush, heapreplace
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any, Final

from joblot.executors import footprint, processes
from joblot.executors.spool import Spool, path_of, trim_file
from joblot.files import system_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from joblot.executors.mask import Mask

_GATHER_S: Final = 0.001
"""How long messages are gathered while commands are waiting to be started."""
_LENGTH: Final = struct.Struct(">I")
_SET_PDEATHSIG: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_GET_CHILD_SUBREAPER: Final = 37
_WORKER_DEFAULTS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT)
_PYTHON_IGNORES: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python programs get as exceptions instead. Commands get the system's defaults, as from a shell."""
TEMPORARY_ERRORS: Final = frozenset(
    {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS}
)
"""Errors that may go away when other processes end."""
RESERVE: Final = 16
"""Descriptors that are kept free: without any, `/proc` cannot be read and nothing can be killed."""
_PAUSE_S: Final = 0.1
_AT_ONCE: Final = 1.05
"""How much of what all attempts may hold they may hold for a moment, with those that are being killed."""
_CHECK_S: Final = 0.2
"""How often the sizes of spools are checked; more often while one is large."""
_CHECK_OFTEN_S: Final = 0.025
_PAUSE_PER_COST: Final = 20
"""Seconds between looks at commands for each second that these take: about 50 us each."""
_UNREAD: Final = 4096
"""Result files that the runner may not have read yet, at the most: so many commands do not end within one of its turns."""
_FAILED: Final = 70
"""The exit status of a warden that has failed."""
_KILLED: Final = (-signal.SIGKILL, 128 + signal.SIGKILL)


def frame(message: tuple[Any, ...]) -> bytes:
    """A message as it goes over the socket."""
    body = marshal.dumps(message)
    return _LENGTH.pack(len(body)) + body


def unframe(buffer: bytearray) -> list[tuple[Any, ...]]:
    """Take all complete messages from the front of a buffer."""
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
    __slots__ = ("began", "is_spared", "name", "number", "peak", "pid", "result", "spool")

    def __init__(
        self, pid: int, began: float, spool: Spool | None, name: str, number: int, result: bytes, *, is_spared: bool
    ) -> None:
        self.pid = pid
        self.began = began
        self.spool = spool
        self.name = name
        self.number = number
        self.result = result
        self.is_spared = is_spared
        self.peak = footprint.Peak(began)


class Warden:
    """The warden's loop.

    At most `slots` commands run at once; others wait here, in order. A forked worker calls `work` with its id, its channel and its
    tokens' descriptor.
    """

    def __init__(
        self,
        sock: socket.socket,
        slots: int,
        environment: dict[bytes, bytes],
        logs: Path | None,
        cap: int,
        mask: Mask,
        work: Callable[[int, int, int], None],
        most_memory: int = 0,
    ) -> None:
        self._sock = sock
        self._slots = slots
        self._pending: deque[tuple[Any, ...]] = deque()
        """Commands that wait for a slot."""
        self._environment = environment
        self._logs = logs
        self._cap = cap
        self._mask = mask
        self._work = work
        self._commands: dict[int, _Command] = {}
        self._workers: dict[int, int] = {}
        """Worker ids by pid."""
        self._by_pid: dict[int, int] = {}
        """Command ids by pid."""
        self._marker = processes.Marker(environment.get(processes.COOKIE[:-1], b""))
        self._owners: dict[int, set[int]] = {}
        """By pid of a stray, the ids of the attempts that may have left it."""
        self._due: list[tuple[float, int]] = []
        """When the grace of a kill ends, and the pid."""
        self._killed_pids: set[int] = set()
        """Pids killed by this process and not yet reaped."""
        self._watches: dict[int, footprint.Watch] = {}
        """Memory limits by pid."""
        self._total = footprint.Total(most_memory, time.monotonic()) if most_memory else None
        self._long: dict[int, tuple[float, bool]] = {}
        """By worker id, when its attempt began that takes long or is spared, and whether it is spared."""
        self._pressed: dict[int, tuple[int, tuple[str, str]]] = {}
        """By pid of what was killed because all attempts held too much, what it held, and its verdict."""
        self._told_of_spared = False
        self._base = 0
        """What a worker holds when it begins, as a copy of this process."""
        self._looks: list[tuple[float, int]] = []
        """When commands are to be looked at next, and their ids; a heap, with those that have ended."""
        self._look_at = 0.0
        """When there is time to look again."""
        self._kernel = footprint.KernelKills()
        self._next_check_at = 0.0
        """When to check the sizes of spools next."""
        self._short = False
        """Whether commands wait for room in the system."""
        self._retry_at = 0.0
        """When to try to start them again."""
        self._results: deque[bytes] = deque(maxlen=_UNREAD)
        """Result files of commands that have ended, where they may hold secrets: the runner masks them when it reads and removes them."""
        self._spools: list[Spool] = []
        self._spool_count = 0
        self._programs: dict[bytes, str] = {}
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._max_fds = processes.max_descriptors() - RESERVE
        self._out = bytearray()
        self._answered = 0.0
        self._wake_r, self._wake_w = os.pipe()
        self._own_pid = os.getpid()
        self._children = processes.OwnChildren()

    def run(self) -> None:
        """Serve until the socket closes."""
        self._become_warden()
        buffer = bytearray()
        fds: list[int] = []
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        while True:
            for fd, event in poll.poll(self._poll_timeout_ms()):
                if fd == self._wake_r:
                    os.read(fd, 4096)
                    self._reap()
                elif event & select.POLLHUP or not self._receive(buffer, fds):
                    # Whoever resumes the run may have begun already: nothing of what the runner sent before its end may begin now.
                    self._end()
            self._kill_due()
            self._check_limits()
            if self._looks:
                self._look_at_commands()
            if self._short:
                self._start_pending()
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
        # Whoever started the runner may have blocked what this waits for.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)

    def _poll_timeout_ms(self) -> float | None:
        """Milliseconds until something is due; None when nothing is."""
        moments = [min(self._due)[0]] if self._due else []
        if self._watches:
            moments.append(min(watch.due for watch in self._watches.values()))
        if self._by_pid or self._workers:
            moments.append(self._next_check_at)
            if self._total is not None:
                moments.append(self._total.due)
        if self._looks and (self._due_to_be_seen(math.inf) is not None):
            moments.append(max(self._looks[0][0], self._look_at))
        if self._short:
            moments.append(self._retry_at)
        return max(0.0, (min(moments) - time.monotonic()) * 1000) if moments else None

    # --- messages -------------------------------------------------------------------------------

    def _receive(self, buffer: bytearray, fds: list[int]) -> bool:
        try:
            data, fds_received, _, _ = socket.recv_fds(self._sock, 1 << 18, 16)
        except (ConnectionError, OSError):
            return False
        if not data:
            return False
        buffer += data
        fds += fds_received
        # Commands begin after all that was read: what takes them back again may be among it.
        for message in unframe(buffer):
            kind = message[0]
            if kind == "command":
                self._pending.append(message[1:])
            elif kind == "worker":
                self._start_worker(message[1], fds)
            elif kind == "limit":
                self._limit_worker(*message[1:])
            elif kind == "attempt":
                self._note_attempt(*message[1:])
            elif kind == "most":
                self._set_most(*message[1:])
            elif kind == "kill":
                self._kill(*message[1:])
            elif kind == "withdraw":
                self._withdraw()
            elif kind == "show":
                self._show(message[1])
            elif kind == "ping":
                self._out += frame(("alive",))
        self._start_pending()
        return True

    def _answer(self) -> None:
        try:
            self._sock.sendall(self._out)
        except OSError:
            self._end()  # the runner is gone, as when the socket closes
        self._out.clear()
        self._answered = time.monotonic()

    # --- commands -------------------------------------------------------------------------------

    def _start_pending(self) -> None:
        while self._pending and len(self._commands) < self._slots and time.monotonic() >= self._retry_at:
            command = self._pending.popleft()
            try:
                self._start_command(*command)
                self._short = False
            except OSError as error:
                if self._must_wait(error):
                    self._pending.appendleft(command)
                else:
                    self._out += frame(("failed", command[0], error.errno or errno.ENOEXEC))
            except ValueError:
                self._out += frame(("failed", command[0], errno.EINVAL))
        if not self._pending:
            self._short = False

    def _must_wait(self, error: OSError) -> bool:
        """Whether a command that could not be started waits for room in the system; sets when to try again. How long is up to the runner."""
        if error.errno not in TEMPORARY_ERRORS:
            return False
        self._short = True
        self._out += frame(("shortage", error.errno, len(self._commands)))
        self._retry_at = time.monotonic() + _PAUSE_S
        return True

    def _withdraw(self) -> None:
        if self._short:  # they would come back at once, before the next try, and so never be tried
            return
        for command in self._pending:
            self._out += frame(("returned", command[0]))
        self._pending.clear()

    def _start_command(
        self,
        ident: int,
        name: str,
        number: int,
        argv: list[str],
        environment: dict[bytes, bytes],
        folder: str,
        memory: int,
        is_spared: bool,
    ) -> None:
        # posix_spawn cannot set the child's folder. Each time anew, since another folder may have that name by now.
        os.chdir(folder)
        full = {**self._environment, **environment}
        program = self._find_program(argv[0], full)
        spool = self._take_spool()
        output = spool.fd if spool is not None else self._null
        actions: list[Any] = [
            (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((self._null, output, output))
        ]
        self._marker.set(ident)
        began = time.monotonic()
        try:
            pid = self._spawn(program, argv, full, actions)
        except BaseException:
            if spool is not None:
                self._spools.append(spool)
            raise
        result = environment.get(b"JOBLOT_OUTPUT", b"")
        self._commands[ident] = _Command(pid, began, spool, name, number, result, is_spared=is_spared)
        self._by_pid[pid] = ident
        heappush(self._looks, (began + footprint.LOOK_S, ident))
        if memory:
            self._watches[pid] = footprint.Watch(memory, began)

    def _spawn(self, program: str, argv: list[str], environment: dict[bytes, bytes], actions: list[Any]) -> int:
        try:
            return os.posix_spawn(
                program,
                argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=processes.DEFAULTS,
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        # A script without a line that names its interpreter: a shell would interpret it itself, and people rely on that.
        words = ["/bin/sh", program, *argv[1:]]
        return os.posix_spawn(
            words[0], words, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=processes.DEFAULTS
        )

    def _find_program(self, word: str, environment: dict[bytes, bytes]) -> str:
        """The program's path, looked up once for each PATH and word. Raises FileNotFoundError."""
        if "/" in word:
            return word
        path = environment.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin")
        key = path + b"\0" + os.fsencode(word)
        program = self._programs.get(key)
        if program is None:
            for folder in os.fsdecode(path).split(":"):
                candidate = f"{folder or '.'}/{word}"
                if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                    break
            else:
                raise FileNotFoundError(2, "not found", word)
            program = self._programs[key] = candidate
        return program

    def _take_spool(self) -> Spool | None:
        if self._logs is None:
            return None
        if self._spools:
            return self._spools.pop()
        copy = os.dup(self._null)
        os.close(copy)
        if copy >= self._max_fds:
            raise system_error(errno.EMFILE)
        self._spool_count += 1
        return Spool(self._logs, f"command-{os.getpid()}-{self._spool_count}", self._mask, cap=self._cap)

    def _show(self, ident: int) -> None:
        command = self._commands.get(ident)
        if command is not None and command.spool is not None:
            command.spool.show(command.name, command.number)

    # --- workers --------------------------------------------------------------------------------

    def _start_worker(self, ident: int, fds: list[int]) -> None:
        """Fork a worker with the two descriptors of the message, of which the system drops those that this process has no room for."""
        worker_fds, fds[:] = fds[:2], fds[2:]
        try:
            if len(worker_fds) < 2:
                raise OSError(errno.EMFILE, "descriptors were lost")
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # of several threads, which newer Pythons count wrong: this is one
                self._marker.set(ident)
                pid = os.fork()
        except OSError as error:
            self._out += frame(("worker not started", ident, error.errno or errno.EAGAIN))
        else:
            if pid == 0:
                self._become_worker(ident, *worker_fds)
            self._workers[pid] = ident
        for fd in worker_fds:
            os.close(fd)

    def _limit_worker(self, ident: int, memory: int) -> None:
        for pid, worker in self._workers.items():
            if worker == ident:
                self._watches.pop(pid, None)
                if memory:
                    # A worker begins as a copy of this process, with whatever the runner had in memory.
                    self._watches[pid] = footprint.Watch(
                        memory, time.monotonic(), footprint.held_bytes([self._own_pid], 0)
                    )

    def _note_attempt(self, ident: int, began: float, is_spared: bool) -> None:
        if began:
            self._long[ident] = began, is_spared
        else:
            self._long.pop(ident, None)

    def _become_worker(self, ident: int, channel: int, tokens: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _WORKER_DEFAULTS:
                signal.signal(number, signal.SIG_DFL)
            for number in _PYTHON_IGNORES:
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            prctl(_SET_PDEATHSIG, signal.SIGKILL)
            # Processes that an attempt leaves behind become children of its worker, which kills them when the attempt ends.
            prctl(_SET_CHILD_SUBREAPER, 1)
            if os.getppid() != self._own_pid:  # the warden died before the signal above was set
                os._exit(1)
            self._sock.close()
            for fd in (self._wake_r, self._wake_w):
                os.close(fd)
            self._work(ident, channel, tokens)
            status = 0
        except KeyboardInterrupt:  # between attempts: it ends as any program does
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException as error:  # noqa: BLE001 - nothing may get out of a forked process
            status = status_of_failure(error) or status
            if status == 1 and isinstance(error, OSError) and error.errno == errno.EBADF:
                text = "the attempt has closed descriptors that it had not opened, and its process cannot go on without them\n"
                os.write(2, text.encode())
            elif status == 1:
                os.write(2, f"BUG: worker {ident} failed: {error!r}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)

    # --- ends -----------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Report every child that has ended, then kill the strays of these."""
        now = time.monotonic()
        own = getrusage(RUSAGE_SELF).ru_maxrss * footprint.KIB
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            self._owners.pop(pid, None)
            ident = self._by_pid.pop(pid, None)
            if ident is not None:
                ended[pid] = ident
                command = self._commands.pop(ident)
                if self._mask:
                    self._results.append(command.result)
                if command.spool is not None:
                    command.spool.collect(command.name, command.number)
                    self._spools.append(command.spool)
                watch = self._watches.get(pid)
                peak = command.peak.told(usage.ru_maxrss * footprint.KIB, own, now)
                if watch is not None and watch.peak > peak:
                    peak = watch.peak
                if self._total is not None:
                    peak = max(peak, self._total.peaks.get(pid, 0))
                read, written = usage.ru_inblock * footprint.BLOCK, usage.ru_oublock * footprint.BLOCK
                figures = (usage.ru_utime + usage.ru_stime, peak, read, written, command.began, now)
                self._out += frame(("ended", ident, status, *figures, self._verdict(pid, status)))
            elif pid in self._workers:
                ended[pid] = self._workers.pop(pid)
                self._long.pop(ended[pid], None)
                held = self._pressed[pid][0] if pid in self._pressed else 0
                self._out += frame(("worker ended", ended[pid], status, held, self._verdict(pid, status)))
            if self._total is not None:
                self._total.held.pop(pid, None)
        if self._total is not None:
            self._tell_held(self._total)
        self._sweep_strays(ended)
        self._start_pending()

    def _verdict(self, pid: int, status: int) -> tuple[str, str] | None:
        """The reason and the message of a process that ended for lack of memory."""
        pressed = self._pressed.pop(pid, None)
        watch = self._watches.pop(pid, None)
        killed_here = pid in self._killed_pids
        self._killed_pids.discard(pid)
        if not status:
            return None
        if watch is not None and watch.breach:
            return "oom", watch.verdict()
        if pressed is not None:
            return pressed[1]
        if not killed_here and os.waitstatus_to_exitcode(status) in _KILLED and self._kernel.killed_lately():
            return "oom", "out of memory: killed by the kernel"
        return None

    def _sweep_strays(self, ended: dict[int, int]) -> None:
        """Kill the strays of attempts that have ended, the last of them in `ended`: ids by pid."""
        strays = self._strays()
        if strays:
            running = {*self._commands, *self._workers.values()}
            for pid in strays:
                if running.isdisjoint(self._owners_of(pid, ended)):
                    processes.kill_tree(pid)

    def _strays(self) -> list[int]:
        """Children that are neither workers nor commands. A command that runs may still need them, as a daemon that it has started."""
        ours = self._children.pids()
        if len(ours) <= len(self._workers) + len(self._by_pid):
            return []
        return [pid for pid in ours if pid not in self._workers and pid not in self._by_pid]

    def _owners_of(self, pid: int, ended: dict[int, int]) -> set[int]:
        """The ids of the attempts that may have left a stray. It is theirs until the last of them has ended."""
        owners = self._owners.get(pid)
        if owners is None:
            # Without a mark the session tells. One of its own says nothing: any attempt of now may have begun it, and no later one.
            known = {**self._by_pid, **self._workers, **ended}
            number, session = self._marker.attempt_of(pid), processes.session_of(pid)
            if number >= 0:
                owners = {ident for ident in known.values() if ident % processes.MARKED_NUMBERS == number}
            elif session in known:
                owners = {known[session]}
            else:
                owners = set(known.values())
            self._owners[pid] = owners
        return owners

    # --- limits ---------------------------------------------------------------------------------

    def _check_limits(self) -> None:
        """Measure the memory of attempts with a limit, and the sizes of spools, as often as each is due."""
        now = time.monotonic()
        for pid, watch in self._watches.items():
            if watch.due <= now:
                self._check_memory(pid, watch)
        if self._total is not None and self._total.due <= now and (self._by_pid or self._workers):
            self._weigh_all(self._total)
        if now >= self._next_check_at and (self._by_pid or self._workers):
            self._kernel.sample(now)
            self._next_check_at = now + (self._trim_spools() if self._logs is not None else _CHECK_S)

    def _look_at_commands(self) -> None:
        """See how large the first command has become that is due: the kernel does not tell of those that stay smaller than this process."""
        now = time.monotonic()
        if now < self._look_at or (ident := self._due_to_be_seen(now)) is None:
            return
        command = self._commands[ident]
        command.peak.look((command.pid, *processes.descendants(command.pid)), now)
        heapreplace(self._looks, (command.peak.due, ident))
        after = time.monotonic()
        self._look_at = after + _PAUSE_PER_COST * (after - now)

    def _due_to_be_seen(self, now: float) -> int | None:
        """The id of the running command that is to be looked at first, if that is due."""
        while self._looks and self._looks[0][1] not in self._commands:
            heappop(self._looks)
        return self._looks[0][1] if self._looks and self._looks[0][0] <= now else None

    def _check_memory(self, pid: int, watch: footprint.Watch) -> None:
        began = time.monotonic()
        roots = [pid, *self._strays_of(pid)]
        if watch.add_sample(footprint.held_bytes(_members(roots), watch.limit, watch.base), began):
            for root in roots:
                processes.kill_tree(root)

    def _weigh_all(self, total: footprint.Total) -> None:
        """Measure what all attempts hold together, and have some end as long as that is too much."""
        began = time.monotonic()
        if self._workers and not self._base:
            self._base = footprint.held_bytes([self._own_pid], 0)
        trees = {pid: _members([pid, *self._strays_of(pid)]) for pid in (*self._by_pid, *self._workers)}
        held = footprint.held_by_trees(trees, total.limit, self._base, self._workers.keys())
        together = total.add_samples(held, began)
        # What was killed gives its memory back in a moment, a gigabyte in about 40 ms. The others are not ended for that, unless it comes to too much.
        left = together - sum(held[pid] for pid in self._pressed if pid in held)
        while left > total.limit or together > total.limit * _AT_ONCE:
            pid = self._to_press(total)
            if not pid:
                if left > total.limit and not self._told_of_spared:
                    self._told_of_spared = True
                    self._out += frame(("spared", left))
                break
            self._press(pid, total, together)
            left -= held[pid]
            together -= held[pid]
        self._tell_held(total)

    def _to_press(self, total: footprint.Total) -> int:
        """The pid of what is to be ended next: what is too large by itself, else the youngest that holds a part worth naming; 0: there is none."""
        chosen, latest = 0, -math.inf
        for pid, held in total.held.items():
            if pid in self._by_pid:
                command = self._commands[self._by_pid[pid]]
                began, is_spared = command.began, command.is_spared
            else:
                began, is_spared = self._long.get(self._workers[pid], (math.inf, False))
            if pid in self._pressed or is_spared or not total.is_much(held):
                continue
            if held > total.limit:
                return pid
            if began > latest:
                chosen, latest = pid, began
        return chosen

    def _press(self, pid: int, total: footprint.Total, together: int) -> None:
        """Have an attempt stand still at once, then end."""
        held = total.held[pid]
        alone = held > total.limit
        used = held if alone else together
        verdict = footprint.verdict(used, total.limit, alone=alone, is_whole=total.is_whole)
        self._pressed[pid] = held, verdict
        self._killed_pids.add(pid)
        roots = [pid, *self._strays_of(pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for root in roots:
                processes.send_tree(root, number)
        self._due.append((time.monotonic() + _PAUSE_S, pid))  # for what was begun in between

    def _tell_held(self, total: footprint.Total) -> None:
        held = total.news()
        if held >= 0:
            large = [ident for pid, ident in self._workers.items() if total.is_much(total.held.get(pid, 0))]
            self._out += frame(("held", held, large))

    def _set_most(self, most: int, is_whole: bool) -> None:
        if self._total is not None:
            self._total.limit, self._total.is_whole, self._total.due = most, is_whole, 0.0

    def _strays_of(self, pid: int) -> list[int]:
        ident = self._by_pid.get(pid)
        if ident is None:
            return []
        return [stray for stray in self._strays() if self._owners_of(stray, {}) == {ident}]

    def _trim_spools(self) -> float:
        """Bound the disk space that running attempts take by printing. Returns in how many seconds to check again."""
        assert self._logs is not None
        most = 0
        for command in self._commands.values():
            if command.spool is not None:
                most = max(most, command.spool.trim())
        for worker in self._workers.values():
            most = max(most, trim_file(path_of(self._logs, f"worker-{worker}"), self._cap))
        return _CHECK_OFTEN_S if most > self._cap // 2 else _CHECK_S

    # --- killing --------------------------------------------------------------------------------

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
            processes.send_tree(pid, signal.SIGCONT)  # a stopped process acts on SIGTERM only then
        self._due.append((time.monotonic() + grace, pid))

    def _kill_due(self) -> None:
        """Kill the trees whose grace is over."""
        if not self._due:
            return
        now = time.monotonic()
        for entry in [entry for entry in self._due if entry[0] <= now]:
            self._due.remove(entry)
            if entry[1] in self._by_pid or entry[1] in self._workers:
                self._killed_pids.add(entry[1])
                processes.kill_tree(entry[1])

    def _end(self) -> None:
        """Kill everything and exit: the runner has closed the socket or is gone."""
        for _ in range(100):
            processes.kill_tree(self._own_pid, keep_root=True)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.001)
        for command in self._commands.values():
            if command.spool is not None:
                command.spool.collect(command.name, command.number)
                self._spools.append(command.spool)
        for spool in self._spools:
            spool.close()
        if self._mask and self._logs is not None:
            self._remove_unmasked(self._logs.parent / "live")
        os._exit(0)

    def _remove_unmasked(self, live: Path) -> None:
        """Delete what nobody will mask any more: the spools of killed workers, and results that the runner has not read."""
        # Only results of its own commands: who has resumed the run meanwhile may have others here.
        results = {os.fsdecode(result) for result in (*self._results, *(one.result for one in self._commands.values()))}
        for path in live.glob("*"):
            if path.match("worker-*.log") or str(path) in results:
                try:
                    path.unlink()
                except OSError:
                    pass  # deleted already


def _members(roots: list[int]) -> list[int]:
    return [member for root in roots for member in (root, *processes.descendants(root))]


def status_of_failure(error: BaseException) -> int:
    """The exit status of a process that had no room to begin: the number of the system's error; 0 for other failures."""
    return error.errno or 0 if isinstance(error, OSError) and error.errno in TEMPORARY_ERRORS else 0


def prctl(option: int, value: int) -> None:
    """Set a process attribute (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def set_subreaper(value: int) -> int:
    """Whether orphans among this process's descendants become its children; returns what held before."""
    if sys.platform != "linux":
        return 0
    import ctypes

    before = ctypes.c_int()
    ctypes.CDLL(None).prctl(_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(_SET_CHILD_SUBREAPER, value)
    return before.value


def start(
    slots: int,
    environment: dict[bytes, bytes],
    logs: Path | None,
    cap: int,
    mask: Mask,
    work: Callable[[int, int, int], None],
    kept_open: Sequence[int] = (),
    most_memory: int = 0,
) -> tuple[int, socket.socket]:
    """Fork the warden. Returns its pid and the runner's end of the socket.

    Every descriptor of the runner but the standard three and those that are `kept_open` is closed in it, or it would hold the runner's locks. `logs` is the folder of the
    attempts' logs (None: there are none), `cap` how many bytes of each are kept, `most_memory` how many bytes all attempts may hold together
    (0: any).
    """
    processes.fill_standard_descriptors()
    ours, theirs = socket.socketpair()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the executor warns of other threads in its own words
        pid = os.fork()
    if pid == 0:
        status = _FAILED
        try:
            os.setsid()
            ours.close()
            first = 3
            for kept in sorted((theirs.fileno(), *kept_open)):
                os.closerange(first, kept)
                first = kept + 1
            os.closerange(first, 65536)
            Warden(theirs, slots, environment, logs, cap, mask, work, most_memory).run()
        except BaseException as error:  # noqa: BLE001 - nothing may get out of a forked process
            status = status_of_failure(error) or status
            if status == _FAILED:
                os.write(2, f"BUG: the warden failed: {error!r}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)
    theirs.close()
    return pid, ours
