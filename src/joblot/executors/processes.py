"""Trees of processes: who belongs to whom, and ending all of them. Standard library only; reads `/proc` where there is one.

Elsewhere (macOS) a tree is what is left of its process group; that is said in the documentation.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COOKIE: Final = b"JOBLOT_RUN="
_MAX_SWEEPS: Final = 200
_PAUSE_S: Final = 0.001
_HAS_PROC: Final = os.path.isdir("/proc/self/task")


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads. Empty when it is gone."""
    pids: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return pids
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                pids += map(int, file.read().split())
        except OSError:
            continue
    return pids


class OwnChildren:
    """The direct children of this process's main thread, by one system call each time: it is asked after every attempt."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._fd = os.open(f"/proc/self/task/{self._pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def pids(self) -> list[int]:
        """Their pids; empty where the system does not tell."""
        return [int(pid) for pid in os.pread(self._fd, 1 << 20, 0).split()] if self._fd >= 0 else []


def threads() -> int:
    """How many threads this process has, those that no Python code began included; 1 where the system does not tell."""
    return len(os.listdir("/proc/self/task")) if _HAS_PROC else 1


def max_descriptors() -> int:
    """How many descriptors this process may have."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on; without the process itself."""
    pids: list[int] = []
    parents = [pid]
    while parents:
        below = children(parents.pop())
        pids += below
        parents += below
    return pids


def send(pid: int, number: int) -> bool:
    """Send a signal; whether there was a process to take it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_group(pid: int, number: int) -> bool:
    """Send a signal to a process group; whether there was one."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_tree(pid: int, number: int) -> None:
    """Send a signal to a process, its group and all its descendants, each once."""
    below = descendants(pid) if _HAS_PROC else []
    if not send_group(pid, number):
        send(pid, number)
    for other in below:
        if _group_of(other) != pid:
            send(other, number)


def kill_tree(pid: int, *, keep_root: bool = False) -> None:
    """Stop, then kill, a process and all its descendants, again until none is left.

    Stopping first keeps a tree from growing while it is being cut down. `keep_root` spares the process itself.
    """
    for _ in range(_MAX_SWEEPS):
        living = [other for other in descendants(pid) if _is_alive(other)]
        if not keep_root:
            send_group(pid, signal.SIGSTOP)
        for other in living:
            send(other, signal.SIGSTOP)
        for other in descendants(pid):
            send(other, signal.SIGKILL)
        if not keep_root:
            _ = send_group(pid, signal.SIGKILL) or send(pid, signal.SIGKILL)
            # The root is dead now; what it had not yet left behind is reparented to the subreaper, who sweeps strays.
        if not living:
            return
        time.sleep(_PAUSE_S)


def pids_with_cookie(cookie: str) -> list[int]:
    """Every living process whose environment says that it belongs to the run."""
    entry = COOKIE + os.fsencode(cookie)
    pids = []
    for pid in _all_pids():
        if pid != os.getpid():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = file.read()
            except OSError:
                continue
            if entry in environment.split(b"\0") and _is_alive(pid):
                pids.append(pid)
    return pids


def sweep(cookie: str, live: str) -> int:
    """Kill everything that a run left behind when its warden was killed too. Returns how many processes that were.

    Commands carry the run's cookie in their environment, and what they started is below them. What an action forked has the environment
    of the program that it was forked from; it is known by its session, whose leader noted itself in a file of the folder `live`.
    """
    return _kill_all(lambda: [*pids_with_cookie(cookie), *_pids_in_sessions(_recorded_sessions(live))])


def sweep_marked(variable: str, matches: Callable[[str], bool]) -> int:
    """Kill every process whose environment has a variable with a doomed value, and what is below it. Returns how many that were."""
    return _kill_all(lambda: [pid for pid, value in _with_variable(variable) if matches(value)])


def _kill_all(find: Callable[[], Iterable[int]]) -> int:
    """Kill the processes that `find` returns and their descendants, again until it returns none. Returns how many that were."""
    killed = 0
    for _ in range(_MAX_SWEEPS):
        roots = set(find()) - {os.getpid()}
        if not roots:
            break
        for pid in roots:
            send(pid, signal.SIGSTOP)
        below = {pid for root in roots for pid in descendants(root)} - {os.getpid()}
        killed += sum(send(pid, signal.SIGKILL) for pid in roots | below)
        time.sleep(_PAUSE_S)
    return killed


def _with_variable(variable: str) -> Iterator[tuple[int, str]]:
    prefix = os.fsencode(variable) + b"="
    for pid in _all_pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue
        if prefix in environment and pid != os.getpid() and _is_alive(pid):
            for item in environment.split(b"\0"):
                if item.startswith(prefix):
                    yield pid, os.fsdecode(item[len(prefix) :])


def attempt_of(pid: int) -> tuple[bytes, bytes]:
    """Job and attempt number, from the environment of a process; empty when it has none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = dict(item.partition(b"=")[::2] for item in file.read().split(b"\0"))
    except OSError:
        return b"", b""
    return pairs.get(b"JOBLOT_JOB", b""), pairs.get(b"JOBLOT_ATTEMPT", b"")


def record_session(path: str) -> None:
    """Write down that this process leads a session, so that what it leaves behind can be found by it."""
    pid = os.getpid()
    with open(path, "wb") as file:
        file.write(b"%d %d" % (pid, _start_ticks(pid)))


def _recorded_sessions(live: str) -> set[int]:
    """The sessions noted in a folder. One whose number belongs to a later process now has ended, and nobody is left in it."""
    sessions: set[int] = set()
    try:
        names = [name for name in os.listdir(live) if name.endswith(".pid")]
    except OSError:
        return sessions
    for name in names:
        try:
            with open(f"{live}/{name}", "rb") as file:
                pid, ticks = map(int, file.read().split())
        except (OSError, ValueError):
            continue
        if _start_ticks(pid) in (0, ticks):
            sessions.add(pid)
    return sessions


def _pids_in_sessions(sessions: set[int]) -> list[int]:
    if not sessions:
        return []
    pids = []
    for pid in _all_pids():
        stat = _stat(pid)
        if stat and int(stat[3]) in sessions and stat[0] not in (b"Z", b"X"):
            pids.append(pid)
    return pids


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if _HAS_PROC else []


def _stat(pid: int) -> list[bytes]:
    """State, parent, group, session and so on: the fields of `/proc/PID/stat` behind the name. Empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _start_ticks(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 when there is none."""
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _is_alive(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat[0] not in (b"Z", b"X")


def fill_standard_descriptors() -> None:
    """Open the null device for standard descriptors that are closed: whatever is opened next must not become one of them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
