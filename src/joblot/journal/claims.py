"""Which live runs make which files: a run claims its batch and the outputs that it declares, against every run that it can see.

A claim is a locked file with the run's id and its outputs, named after the batch; one without outputs is named after a group of batches, of
which one run goes on at a time. A run that waits has a ticket, a locked file too, and counts as one that goes on for those behind it. The lock is the operating system's and ends with the
process, so nobody needs an unlock. Claims lie in two folders: one that all runs of a user share, whatever their state folders are, and one in
the state folder, for those who share that (or have no home). Where a folder cannot be used nothing is claimed in it. It knows paths and
locks; it does not know what makes the files.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.core.fan_out import Making, outputs_of
from joblot.digest import blake2b
from joblot.errors import RunHeldError, StateError
from joblot.files import check_own_folder
from joblot.journal.codec import NOT_JSON
from joblot.journal.folder import described, locked, owner
from joblot.journal.place import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

FOLDER: Final = "claims"
_WAIT_S: Final = 10.0
_AGAIN_S: Final = 0.01
_LOOK_S: Final = 0.1
"""How often a waiting run looks whether the other one has ended."""
_NAME: Final = re.compile(r"[0-9a-f]{32}").fullmatch
_CAREFULLY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TICKET: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{9})").fullmatch
_HINT: Final = "{}, or stop it: `joblot cancel {}`; it needs no unlock when it is gone"
_PATIENT: Final = "wait for its end"


class Claim(Struct, frozen=True):
    """What the first line of a claim says: the run, its batch, that one's real folder, the state folder (or nothing), who drives it."""

    run: str
    batch: str
    folder: str
    state: str
    by: dict[str, Any]


class Claims:
    """The claims of one run of a batch, whose outputs are relative to its `folder`.

    With a `group` that is claimed, and the batch itself only if it makes something (`makes`). What claims `beside` it hold is in nobody's way.
    """

    def __init__(
        self,
        run_id: str,
        *,
        batch: str,
        folder: str,
        state: Path | None,
        group: str = "",
        makes: bool = True,
        beside: Claims | None = None,
    ) -> None:
        self._makings: Sequence[Making] = ()
        self.hint = _PATIENT
        """What to do about another run but to stop it."""
        self._group = group
        self._state = state
        self._real = os.path.realpath(folder)
        self._batch = batch
        self._run = run_id
        self._own_paths: _Paths | None = None
        own = _digest(f"{self._real}\0{batch}")
        if (
            beside is not None and own in beside.names
        ):  # the batch is claimed, and what it was making may be another's by now
            own = _digest(own)
        self.names: list[str] = [own] * (makes or not group) + [_digest(f"\0{_composed(group)}")] * bool(group)
        """The files to lock: the batch's, if it is claimed, and the group's."""
        self._besides = self.names if beside is None else [*self.names, *beside.names]
        self._in_state = False
        self._held: list[tuple[int, int, str]] = []
        """Of each claim: its folder, open; the file, open and locked; its name."""

    def take(self, makings: Sequence[Making], *, wait: Callable[[RunHeldError], None] | None = None) -> bool:
        """Claim what the jobs make, in the folder that all runs of this user share. Returns whether that folder can be used.

        `wait` is told once which run is in the way; then its end is waited for.

        Raises:
            RunHeldError: another run makes the same, and it is not waited for; the message says which.
        """
        self._makings = makings
        return self._take(lambda: open_shared(FOLDER), wait)

    def take_in_state(self, *, wait: Callable[[RunHeldError], None] | None = None) -> None:
        """Claim the same in the state folder, if it is there and this was not done before.

        Raises:
            RunHeldError: as `take`.
            UntrustedError: what is claimed there is not the user's own alone.
        """
        state = self._state
        if state is not None and not self._in_state:
            self._in_state = self._take(lambda: _open_in(state), wait)

    def add(self, making: Making) -> None:
        """Claim what the run has found on its way that it will make.

        Raises:
            RunHeldError: as `take`; nothing was added.
        """
        if making.outputs:
            paths = _Paths(self._real, [making])
            for folder, fd, name in self._held:
                if name != self.names[0]:
                    continue  # a group's
                with _alone(folder):
                    try:
                        for other, lines, file in _live(folder, besides=self._besides):
                            self._refuse_shared(paths, other, lines, file)
                    except _TakenError as taken:
                        raise taken.refused from None
                    os.lseek(fd, 0, os.SEEK_END)
                    _write(fd, msgspec.json.encode(making) + b"\n")

    def close(self) -> None:
        """Let go of everything that is claimed."""
        for folder, fd, name in self._held:
            _let_go(folder, fd, name)
            os.close(folder)
        self._held = []

    def _take(self, opened: Callable[[], int], wait: Callable[[RunHeldError], None] | None) -> bool:
        try:
            folder = opened()
        except OSError:  # no home, or one that may not be written to
            return False
        try:
            held = self._claimed(folder, wait)
        except OSError:
            return False
        finally:
            os.close(folder)
        self._held += held
        return True

    def _claimed(self, folder: int, wait: Callable[[RunHeldError], None] | None) -> list[tuple[int, int, str]]:
        """What is claimed in a folder, after the end of all that is in the way if that is waited for."""
        tickets: list[tuple[int, str]] = []
        try:
            while True:
                try:
                    with _alone(folder):
                        return self._claim(folder, tickets)
                except _TakenError as taken:
                    if wait is None:
                        raise taken.refused from None
                    if not tickets:
                        with _alone(folder):
                            tickets += [self._ticket(folder, name) for name in self.names]
                        wait(taken.refused)
                    _await(folder, taken.name)
        finally:
            for fd, name in tickets:
                _let_go(folder, fd, name)

    def _claim(self, folder: int, tickets: Sequence[tuple[int, str]]) -> list[tuple[int, int, str]]:
        """Lock the files, compare what is made with every other live run, and write down what this one makes: all of it or nothing.

        What a run has of which this one is a job is not claimed.
        """
        locks: list[tuple[int, str]] = []
        own = self.names[0]
        try:
            for name in self.names:
                fd = self._lock(folder, name)
                if fd >= 0:
                    locks.append((fd, name))
            # Where nothing was locked this is a job of the run that others wait for.
            self._refuse_to_push_in(folder, [name for _, name in locks], tickets)
            if locks and locks[0][1] == own and self._makings:
                for other, lines, name in _live(folder, besides=self._besides):
                    self._refuse_shared(self._paths, other, lines, name)
            for fd, name in locks:
                os.ftruncate(fd, 0)
                self._write(fd, self._makings if name == own else ())
            return [(os.dup(folder), fd, name) for fd, name in locks]
        except BaseException:
            for fd, name in locks:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)
                os.close(fd)
            raise

    def _lock(self, folder: int, name: str) -> int:
        """The file of that name, locked; -1 when the run has it of which this one is a job."""
        mode = stat.S_IMODE(os.fstat(folder).st_mode) & 0o666  # who may claim there has to see what is claimed
        fd = os.open(name, os.O_RDWR | os.O_CREAT | _CAREFULLY, mode, dir_fd=folder)
        try:
            if not locked(fd, fcntl.LOCK_EX):
                other = _claim_in(_lines(fd))
                if other is None or not _is_job_of(other):
                    raise _TakenError(self._refused(self._going_on(name), other), name)
                os.close(fd)
                return -1
            if os.fstat(fd).st_nlink > 1:  # another file by a second name, whose contents are not ours to replace
                os.unlink(name, dir_fd=folder)
                os.close(fd)
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, mode, dir_fd=folder)
                locked(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _going_on(self, name: str, how: str = "is going on") -> str:
        is_group = self._group and name == self.names[-1]
        whose = " ".join(
            (self._group if is_group else self._batch).split()
        )  # a name may have line breaks, a message has none
        return f"another run of {'group' if is_group else 'batch'} `{whose}` {how}"

    def _refuse_to_push_in(self, folder: int, names: Sequence[str], own: Sequence[tuple[int, str]]) -> None:
        """Whoever waits for one of the names and came before us goes first."""
        ours = {name.partition(".")[0]: name for _, name in own}
        for ticket in _live_tickets(folder, names):
            name = ticket.partition(".")[0]
            if ticket < ours.get(name, "~"):
                fd = os.open(ticket, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
                other = _claim_in(_lines(fd))
                os.close(fd)
                raise _TakenError(self._refused(self._going_on(name, "waits for its turn"), other), ticket)

    def _ticket(self, folder: int, name: str) -> tuple[int, str]:
        """A place behind all who wait for that name already."""
        last = max((int(other.partition(".")[2]) for other in _live_tickets(folder, [name])), default=0)
        ticket = f"{name}.{last + 1:09d}"
        mode = stat.S_IMODE(os.fstat(folder).st_mode) & 0o666
        fd = os.open(ticket, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, mode, dir_fd=folder)
        locked(fd, fcntl.LOCK_EX)
        self._write(fd, ())
        return fd, ticket

    @property
    def _paths(self) -> _Paths:
        if self._own_paths is None:
            self._own_paths = _Paths(self._real, self._makings)
        return self._own_paths

    def _write(self, fd: int, makings: Sequence[Making]) -> None:
        state = "" if self._state is None else str(self._state)
        claim = Claim(self._run, self._batch, self._real, state, owner())
        # As declared, not path by path: there may be a million of them, and mostly nobody ever asks.
        for line in (claim, *makings):
            _write(fd, msgspec.json.encode(line) + b"\n")

    def _refuse_shared(self, own: _Paths, other: Claim, lines: Iterable[bytes], name: str) -> None:
        makings = (msgspec.json.decode(line, type=Making) for line in lines)
        path = own.shared_with(_Paths(other.folder, makings))
        if path and not _is_job_of(other):
            refused = self._refused(f"`{path}` is being made by another run, of batch `{other.batch}`", other)
            raise _TakenError(refused, name)

    def _refused(self, what: str, other: Claim | None) -> RunHeldError:
        if other is None:
            return RunHeldError(what, hint=f"{self.hint}; it needs no unlock when it is gone")
        own = "" if self._state is None else str(self._state)
        words = other.run if other.state == own else f"{other.run} --state {other.state}"
        return RunHeldError(f"{what}: run `{other.run}`, {described(other.by)}", hint=_HINT.format(self.hint, words))


class _TakenError(Exception):
    """Another run is in the way: how it is refused because of that, and the file that is locked for as long."""

    def __init__(self, refused: RunHeldError, name: str) -> None:
        super().__init__(refused.message)
        self.refused = refused
        self.name = name


class _Paths:
    """Outputs as real paths: two names of one file are the same. A link that is an output stands for what it leads to."""

    def __init__(self, folder: str, makings: Iterable[Making]) -> None:
        self._known: dict[str, str] = {"": ""}
        self.paths = {self._real(_absolute(folder, path)) for making in makings for path in outputs_of(making)}

    def shared_with(self, other: _Paths) -> str:
        """A path that both make, or that one makes inside of what the other makes; empty when there is none."""
        both = self.paths & other.paths or self.paths & other.folders or self._inside(other)
        return min(both, default="")

    def _inside(self, other: _Paths) -> set[str]:
        outer = other.paths & self.folders
        return (
            {path for path in self.paths if any(path.startswith(f"{folder}/") for folder in outer)} if outer else set()
        )

    @property
    def folders(self) -> set[str]:
        """All folders above the paths."""
        folders: set[str] = set()
        for folder in {os.path.dirname(path) for path in self.paths}:
            above = folder
            while above not in folders:
                folders.add(above)
                above = os.path.dirname(above)
        return folders

    def _real(self, path: str) -> str:
        """As `os.path.realpath`, which asks for every folder anew."""
        folder, _, name = path.rpartition("/")
        known = self._known.get(folder)
        if known is None:
            known = self._known[folder] = self._real(folder)
        path = f"{known}/{name}"
        return os.path.realpath(path) if os.path.islink(path) else path


def _composed(text: str) -> str:
    """A name in one form, whether its accents were typed as one character or as two."""
    if text.isascii():
        return text
    from unicodedata import normalize

    return normalize("NFC", text)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _absolute(folder: str, path: str) -> str:
    plain = not path.startswith(("/", ".")) and "/." not in path and "//" not in path and not path.endswith("/")
    return f"{folder.rstrip('/')}/{path}" if plain else os.path.realpath(os.path.join(folder, path))


def _is_job_of(other: Claim) -> bool:
    """Whether this process is a job of that run, or a job's job: then it does a part of that one's work."""
    if other.run == os.environ.get("JOBLOT_RUN_ID"):
        return True
    pid, driver = os.getppid(), other.by.get("pid")
    while pid > 1 and pid != driver:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return pid == driver and other.by.get("host") == os.uname().nodename


def open_shared(folder: str) -> int:
    """A folder that all runs of this user share, open: in `$XDG_STATE_HOME/joblot` or `~/.local/state/joblot`; both are the user's own alone.

    Raises:
        OSError: it cannot be made or is not so.
    """
    base, ours = os.path.split(shared_folder())
    if not base.startswith("/"):
        raise FileNotFoundError
    if not os.path.isdir(base):
        _refuse_others(os.stat(os.path.expanduser("~")))
        os.makedirs(base, mode=0o700, exist_ok=True)
    fd = os.open(os.path.realpath(base), _OPEN_FOLDER)
    for name in (ours, folder):
        try:
            _refuse_others(os.fstat(fd))
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
            inner = os.open(name, _OPEN_FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    try:
        _refuse_others(os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def _refuse_others(status: os.stat_result) -> None:
    """A folder of somebody else, or one that everybody may write to, can hold anything."""
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
        raise PermissionError


def _open_in(state: Path) -> int:
    """The folder of claims in a state folder, open. Who may write to the state folder may claim.

    Raises:
        UntrustedError: somebody else owns it or may write to it, and the state folder is not trusted.
        OSError: it cannot be made, or is no folder.
    """
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileExistsError):
            os.mkdir(FOLDER, 0o700, dir_fd=folder)
            os.chmod(FOLDER, stat.S_IMODE(os.fstat(folder).st_mode), dir_fd=folder)
        check_own_folder(state / FOLDER, above=2)
        return os.open(FOLDER, _OPEN_FOLDER, dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Claims are made and compared by one process at a time: the folder itself is locked.

    Raises:
        StateError: another process holds it and does not go on.
    """
    until = time.monotonic() + _WAIT_S
    while not locked(folder, fcntl.LOCK_EX):
        if time.monotonic() > until:
            raise StateError(
                f"cannot find out which runs make which files: another process has held the claims for {_WAIT_S:g} s",
                hint="a joblot that begins a run stands still: end it, or let it go on",
            )
        time.sleep(_AGAIN_S)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _let_go(folder: int, fd: int, name: str) -> None:
    # Under the folder's lock, or another process could lock the file a moment before it has no name any more.
    if locked(folder, fcntl.LOCK_EX):
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
        fcntl.flock(folder, fcntl.LOCK_UN)
    os.close(fd)


def _await(folder: int, name: str) -> None:
    """Return when nobody has that file locked any more."""
    while True:
        time.sleep(_LOOK_S)
        with _alone(folder):  # whoever wants the file meanwhile must not take our look at it for a run
            if not _is_locked(folder, name):
                return


def _is_locked(folder: int, name: str) -> bool:
    try:
        fd = os.open(name, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
    except OSError:
        return False
    try:
        return not locked(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _live_tickets(folder: int, names: Sequence[str]) -> Iterator[str]:
    """The tickets of those who wait for one of the names. Those whose runs are gone are removed."""
    for ticket in os.listdir(folder):
        found = _TICKET(ticket)
        if found and found[1] in names:
            if _is_locked(folder, ticket):
                yield ticket
            else:
                with suppress(OSError):
                    os.unlink(ticket, dir_fd=folder)


def _live(folder: int, *, besides: Collection[str]) -> Iterator[tuple[Claim, Iterator[bytes], str]]:
    """The claims of other runs, each with the lines of its outputs and its file. Those whose runs are gone are removed."""
    for name in os.listdir(folder):
        if name in besides or not _NAME(name):
            continue
        try:
            fd = os.open(name, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
        except OSError:
            continue
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                continue
            if locked(fd, fcntl.LOCK_SH):
                os.unlink(name, dir_fd=folder)
                continue
            lines = _lines(fd)
            claim = _claim_in(lines)
            if claim is not None:
                yield claim, lines, name
        except OSError:
            continue
        finally:
            os.close(fd)


def _lines(fd: int) -> Iterator[bytes]:
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        yield from file


def _claim_in(lines: Iterator[bytes]) -> Claim | None:
    try:
        return msgspec.json.decode(next(lines, b""), type=Claim)
    except NOT_JSON:
        return None


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
