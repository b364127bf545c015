"""What the runs of this user hold of limits that all of this machine share, and whose turn it is.

A run that uses such limits has a file in a folder that all runs of the user share: who it is, what it holds, and what it waits for. It is
locked as long as something of the run can live: by the runner, and by the warden that ends its jobs when the runner is gone. It is changed
in place, under the lock of the folder: all that a job needs is taken at once or nothing, so nobody waits in a circle. Who waits has its turn
in the order of asking, and nobody passes who needs something of the same. This knows files, locks and processes, not jobs.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import stat
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.core.model import Held  # noqa: TC001 - the fields of a struct can be read
from joblot.core.resources import UNIT
from joblot.errors import StateError
from joblot.executors import processes
from joblot.files import reason_of
from joblot.journal.claims import open_shared
from joblot.journal.codec import NOT_JSON
from joblot.journal.folder import described, locked, owner
from joblot.journal.mounts import network_type
from joblot.journal.place import shared_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from joblot.core.model import Limit
    from joblot.core.resources import Demand

FOLDER: Final = "limits"
_LOOK_S: Final = 1.0
"""How often a run that waits or holds something looks at the others, whatever it hears: nobody rings for one that was killed."""
_STALE_S: Final = 3.0
"""A run that has not looked for so long, because it was stopped or is busy, keeps its turn, but others may pass it."""
_PAGE: Final = 4096
"""What a run holds stands on a page of its own: a kill cannot leave half of it written."""
_ENTER_S: Final = 10.0
_WAIT_S: Final = 0.2
"""How long the folder's lock is waited for; it is held for less than a thousandth of a second, by whoever has not been stopped meanwhile."""
_AGAIN_S: Final = 0.0005
_NAME: Final = re.compile(r"[0-9a-f]{32}").fullmatch
_CAREFULLY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_NAMED: Final = 3
"""So many of those who hold something are named."""
_HINT: Final = "`XDG_STATE_HOME` takes a folder of yours on a disk of this machine"


class Holder(Struct, frozen=True):
    """Who a file is of: the run, its batch, what marks its processes, who drives it, in which namespace of processes.

    What a killed runner leaves on a cluster is over `lingers_s` seconds later.
    """

    run: str
    batch: str
    cookie: str
    by: dict[str, Any]
    namespace: str
    lingers_s: float = 0.0


class Want(Struct):
    """What a run waits for and of how much, as its batch says, in millionths; since when, and when it last looked (monotonic seconds).

    `among` are the slots of those limits that it is of, where they have names.
    """

    needed: dict[str, int]
    of: dict[str, int]
    since: float
    looked: float
    among: Held = {}


class Holding(Struct):
    """What a run holds, in millionths, which slots where they have names, since when (seconds since the epoch), and what it waits for."""

    held: dict[str, int] = {}
    slots: Held = {}
    since: dict[str, float] = {}
    wants: list[Want] = []
    gone_at: float = 0.0
    """When it was first seen that nobody drives it any more; 0: not yet."""


class Entry(Struct):
    """The file of a run. `holding` is None where that cannot be read: it may be anything."""

    name: str
    holder: Holder
    holding: Holding | None
    pid: int = 0
    """A process of it that has outlived its runner and its warden; 0: it is driven, or lingers on a cluster."""

    def holds(self, limit: str) -> int:
        """How much of a limit it holds, in millionths."""
        return self.holding.held.get(limit, 0) if self.holding is not None else 0

    @property
    def wants(self) -> list[Want]:
        """What it waits for, while it is there to take it."""
        now = time.monotonic()
        wants = self.holding.wants if self.holding is not None else []
        return [want for want in wants if 0 <= now - want.looked < _STALE_S]


class Permits:
    """What one run may use of the limits that it shares with the machine, by name. `cookie` marks its processes.

    `fd` is to be kept open by whoever ends the run's jobs when this process is gone. `wake` becomes readable when it is the run's turn.

    Raises:
        StateError: there is no folder for it that all runs of the user share, or it is not on a disk of this machine.
    """

    def __init__(
        self,
        run_id: str,
        *,
        batch: str,
        cookie: str,
        limits: Mapping[str, Limit],
        lingers_s: float = 0.0,
    ) -> None:
        self._of = {name: limit.count * UNIT for name, limit in limits.items()}
        self._among: Held = {name: list(limit.slots) for name, limit in limits.items() if limit.slots}
        self._holding = Holding()
        self._turns: dict[Demand, Want] = {}
        """What was asked for and not granted. Also what is not waited for now, since there is no slot for the job: it keeps its turn."""
        self._live: dict[Demand, Want] = {}
        """Those of them that are waited for."""
        self._asked: set[Demand] = set()
        self._told: dict[str, str] = {}
        self._told_at = 0.0
        self._wanted: frozenset[str] = frozenset()
        self._survivors: dict[str, int] = {}
        self._seen = 0
        self._look_at = 0.0
        self._bell = -1
        self._name = os.urandom(16).hex()
        self._cookie = cookie
        self._folder = _open_folder()
        line = msgspec.json.encode(Holder(run_id, batch, cookie, owner(), _namespace(), lingers_s)) + b"\n"
        self._at = -(-len(line) // _PAGE) * _PAGE
        try:
            with self._alone(_ENTER_S):  # or it could be taken for a dead run's before it is locked
                self.fd = os.open(
                    self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600, dir_fd=self._folder
                )
                fcntl.flock(self.fd, fcntl.LOCK_EX)
                # The page is there from now on: what is held can be given back on a full disk.
                os.pwrite(self.fd, line.ljust(self._at) + (msgspec.json.encode(self._holding) + b"\n").ljust(_PAGE), 0)
        except OSError as error:
            raise _unusable(reason_of(error)) from None
        except _BusyError:
            hint = "a joblot that stands still has it: end that, or let it go on"
            raise StateError(f"another process has held `{_path()}` for {_ENTER_S:g} s", hint=hint) from None
        self.wake = select.epoll()

    def forget_earlier(self) -> None:
        """Nothing of an earlier process of the run lives any more: what it held is free."""
        with suppress(OSError, _BusyError), self._alone():
            for name, fd, holder, _ in self._files():
                if holder.cookie == self._cookie and locked(fd, fcntl.LOCK_SH):
                    self._remove(name)
            self._ring(self._others())

    # --- what this run asks for -----------------------------------------------------------------

    def ask(self, needed: Demand, used: Mapping[str, int], slots: Held) -> Held | None:
        """What a job that needs this may hold beside what the run uses, where slots have names; None: not now, and the run waits for it."""
        self._asked.add(needed)
        now = time.monotonic()
        want = self._turns.get(needed)
        if want is None:
            amounts = {name: round(amount * UNIT) for name, amount in needed}
            of = {name: self._of[name] for name in amounts}
            among = {name: self._among[name] for name in amounts if name in self._among}
            want = self._turns[needed] = Want(amounts, of, now, now, among)
        want.looked, held = now, self._holding.held
        self._live[needed] = want
        try:
            with self._alone():
                held.update({name: used[name] for name in want.needed})  # what is not used is taken anew, or not
                others = self._others()
                self._holding.slots.update({name: slots[name] for name in want.among})
                free = next((free for _, one, free in _next([*others, self._own()]) if one is want), None)
                if free is not None:
                    del self._turns[needed], self._live[needed]
                    for name, amount in want.needed.items():
                        if not held[name]:
                            self._holding.since[name] = time.time()
                        held[name] += amount
                    for name, granted in free.items():
                        self._holding.slots[name] = [*self._holding.slots[name], *granted]
                elif self._bell < 0:
                    self._open_bell()
                self._write()
                if free is None:
                    self._tell_holders()
                self._wanted = _names(others)
                if self._wanted:  # what changed may let others come before or behind this run
                    self._ring(others)
        except (OSError, _BusyError):
            return None
        return free

    def again(self) -> bool:
        """Whether to ask again for what is waited for: it may be this run's turn, or it is time to look."""
        if not self._live:
            return False
        rung = False
        with suppress(OSError):
            rung = bool(os.read(self._bell, _PAGE))
        now = time.monotonic()
        if not rung and now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        self._asked.clear()
        return True

    def settle(self, used: Mapping[str, int], slots: Held, *, again: bool = False) -> None:
        """Give back what the run was granted and does not use any more; after `again` also the places of what it did not ask for again."""
        held = self._holding.held
        unasked = [needed for needed in self._live if needed not in self._asked] if again else []
        if not unasked and all(used[name] >= amount for name, amount in held.items()):
            return
        with suppress(OSError, _BusyError), self._alone():
            for needed in unasked:
                del self._live[needed]
            for name, amount in held.items():
                held[name] = min(amount, used[name])
            self._holding.slots.update(slots)
            self._write()
            self._ring(self._others())

    def wanted(self) -> frozenset[str]:
        """The limits that others wait for while this run holds something. It costs next to nothing while nobody has come."""
        if not any(self._holding.held.values()):
            return frozenset()
        now, changed = time.monotonic(), os.fstat(self._folder).st_mtime_ns
        if changed != self._seen or (now >= self._look_at and not self._live):
            self._seen = changed
            if not self._live:
                self._look_at = now + _LOOK_S
            with suppress(OSError, _BusyError), self._alone():
                self._wanted = _names(self._others())
        return self._wanted

    def waited_for(self) -> dict[str, str]:
        """As `waits_of`, of this run; what it has waited for since the last look, found out once between two."""
        now = time.monotonic()
        if not self._live or now < self._told_at + _LOOK_S:
            return self._told if self._live else {}
        self._told_at = now
        self._told = (
            waits_of(self._cookie, look()) if min(want.since for want in self._live.values()) < now - _LOOK_S else {}
        )
        return self._told

    def close(self) -> None:
        """Give everything back."""
        self._live.clear()
        try:
            with self._alone():
                self._remove(self._name)
                self._holding = Holding()
                self._ring(self._others())
        except (OSError, _BusyError):
            self._remove(self._name)
        for fd in (self.fd, self._folder, self._bell):
            if fd >= 0:
                os.close(fd)
        self.wake.close()

    # --- files ----------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, wait_s: float = _WAIT_S) -> Iterator[None]:
        """Changes are made by one process at a time.

        Raises:
            _BusyError: another one has the lock and does not go on.
        """
        with _alone(self._folder, wait_s):
            yield

    def _own(self) -> Entry:
        self._holding.wants = list(self._live.values())
        return Entry(self._name, _NOBODY, self._holding)

    def _write(self) -> None:
        self._holding.wants = list(self._live.values())
        os.pwrite(self.fd, msgspec.json.encode(self._holding) + b"\n", self._at)

    def _files(self) -> Iterator[tuple[str, int, Holder, Holding | None]]:
        return (file for file in _files(self._folder) if file[0] != self._name)

    def _others(self) -> list[Entry]:
        """What the other runs hold and want. The files of those of which nothing is left are removed."""
        entries = []
        for name, fd, holder, holding in self._files():
            pid = 0
            if locked(fd, fcntl.LOCK_SH):
                pid = self._survivor(name, holder)
                if not pid and not _lingers(fd, holder, holding):
                    self._remove(name)
                    continue
                fcntl.flock(fd, fcntl.LOCK_UN)
                if holding is not None:
                    holding.wants = []
            entries.append(Entry(name, holder, holding, pid))
        return entries

    def _survivor(self, name: str, holder: Holder) -> int:
        """A process of a run whose runner and warden are gone; 0 when there is none, or none that could be seen from here."""
        known = self._survivors.get(name, 0)
        if known and processes.is_of_run(known, holder.cookie):
            return known
        found = processes.pids_of_run(holder.cookie) if holder.namespace == _namespace() else []
        self._survivors[name] = found[0] if found else 0
        return self._survivors[name]

    def _remove(self, name: str) -> None:
        for file in (_bell(name), name):
            with suppress(OSError):
                os.unlink(file, dir_fd=self._folder)

    # --- bells ----------------------------------------------------------------------------------

    def _open_bell(self) -> None:
        """A pipe by which whoever gives something back wakes this run, and no other, when it is its turn."""
        os.mkfifo(_bell(self._name), 0o600, dir_fd=self._folder)
        # Open to write as well: it never comes to an end.
        self._bell = os.open(_bell(self._name), os.O_RDWR | _CAREFULLY, dir_fd=self._folder)
        self.wake.register(self._bell, select.EPOLLIN)

    def _ring(self, others: Sequence[Entry]) -> None:
        """Wake those whose turn it is now."""
        for name, _, _ in _next([*others, self._own()]):
            if name == self._name:
                self._look_at = 0.0
                continue
            with suppress(OSError):  # it is gone: the next look of whoever comes behind it sees that
                bell = os.open(_bell(name), os.O_WRONLY | _CAREFULLY, dir_fd=self._folder)
                try:
                    os.write(bell, b"!")
                finally:
                    os.close(bell)

    def _tell_holders(self) -> None:
        """Have those who hold something look who waits: the folder has another time from now on."""
        moment = max(time.time_ns(), os.fstat(self._folder).st_mtime_ns + 1)
        os.utime(self._folder, ns=(moment, moment))


class _BusyError(Exception):
    """Another process has the folder and does not go on."""


_NOBODY: Final = Holder("", "", "", {}, "")
_NOTHING: Final = Entry("", _NOBODY, Holding())


def look() -> list[Entry]:
    """What the runs of this user hold and wait for, for people. It changes nothing, and is empty where nobody uses such limits."""
    entries = []
    try:
        folder = os.open(_path(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        with _alone(folder, _WAIT_S):
            for name, fd, holder, holding in _files(folder):
                left = processes.pids_of_run(holder.cookie)[:1] or [0] if locked(fd, fcntl.LOCK_SH) else []
                if left != [0]:
                    entries.append(Entry(name, holder, holding, sum(left)))
    except (OSError, _BusyError):
        return []
    finally:
        os.close(folder)
    return entries


def waits_of(cookie: str, entries: Sequence[Entry]) -> dict[str, str]:
    """What a run waits for of what others have or come before it for: by limit, who that is."""
    real = os.path.realpath(cookie)
    # Beside what its last process has left there may be what that one holds.
    own = next((one for one in entries if not one.pid and os.path.realpath(one.holder.cookie) == real), _NOTHING)
    waits = {}
    for want in own.wants:
        for limit in want.needed:
            others = [entry for entry in entries if entry is not own]
            holders = [entry for entry in others if entry.holds(limit)]
            before = [
                one for one in others if any(limit in other.needed and other.since < want.since for other in one.wants)
            ]
            total = sum(entry.holds(limit) for entry in entries)
            has_room = limit not in want.among and total + want.needed[limit] <= want.of[limit]
            if before or (holders and not has_room):
                held = [_described(limit, entry) for entry in holders[:_MOST_NAMED]]
                held += [f"{len(holders) - _MOST_NAMED} more"] if len(holders) > _MOST_NAMED else []
                held += ["this run"] if own.holds(limit) else []
                words = [f"{total / UNIT:g} of {want.of[limit] / UNIT:g} held{' by ' if held else ''}{', '.join(held)}"]
                words += [f"run `{before[0].holder.run}` comes before"] if len(before) == 1 else []
                words += [f"{len(before)} runs come before"] if len(before) > 1 else []
                waits[limit] = f"`{limit}` of this machine: {'; '.join(words)}"
    return waits


def _described(limit: str, entry: Entry) -> str:
    holder = entry.holder
    slots = entry.holding.slots.get(limit) if entry.holding is not None else None
    which = f" ({', '.join(map(str, slots))})" if slots else ""
    who = f"run `{holder.run}`{which} of batch `{' '.join(holder.batch.split())}`"
    if entry.pid:
        return f"process {entry.pid} of {who}, whose runner was killed"
    since = entry.holding.since.get(limit) if entry.holding is not None else None
    return f"{who}, {described({**holder.by, 'since': since or holder.by.get('since', 0)})}"


def _next(entries: Sequence[Entry]) -> list[tuple[str, Want, Held]]:
    """Whose turn it is now, of all who wait: each with the name of its file, and the slots for it. Who came first and lacks something holds back who needs the same."""
    totals: Counter[str] = Counter()
    taken: dict[str, set[str]] = {}
    for entry in entries:
        if entry.holding is None:
            return []
        totals.update(entry.holding.held)
        for limit, held in entry.holding.slots.items():
            taken.setdefault(limit, set()).update(map(str, held))
    found, claimed = [], set[str]()
    waiting = sorted(
        ((want.since, entry.name, want) for entry in entries for want in entry.wants), key=lambda one: one[:2]
    )
    for _, name, want in waiting:
        if _fits(want, totals, taken) and claimed.isdisjoint(want.needed):
            slots = {limit: _free(want, limit, taken)[: want.needed[limit] // UNIT] for limit in want.among}
            found.append((name, want, slots))
            totals.update(want.needed)
            for limit, chosen in slots.items():
                taken.setdefault(limit, set()).update(map(str, chosen))
        else:
            claimed.update(want.needed)
    return found


def _fits(want: Want, totals: Counter[str], taken: dict[str, set[str]]) -> bool:
    """Whether there is room for what is wanted. Slots with names are in the way of those that have them too; what has no names may be any."""
    for limit, amount in want.needed.items():
        if limit in want.among:
            others = len(taken.get(limit, set()) - set(map(str, want.among[limit])))
            if totals[limit] - others * UNIT + amount > want.of[limit]:
                return False
        elif totals[limit] and totals[limit] + amount > want.of[limit]:
            return False
    return True


def _free(want: Want, limit: str, taken: dict[str, set[str]]) -> list[int | str]:
    return [slot for slot in want.among[limit] if str(slot) not in taken.get(limit, ())]


def _names(entries: Sequence[Entry]) -> frozenset[str]:
    return frozenset(name for entry in entries for want in entry.wants for name in want.needed)


def _files(folder: int) -> Iterator[tuple[str, int, Holder, Holding | None]]:
    """Each run's file: its name, itself, open, and what it says. What is none is passed over."""
    for name in os.listdir(folder):
        if not _NAME(name):
            continue
        try:
            fd = os.open(name, os.O_RDWR | _CAREFULLY, dir_fd=folder)
        except OSError:
            continue
        try:
            size = os.fstat(fd).st_size
            data = os.pread(fd, size, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
            line = data.partition(b"\n")[0]
            try:
                holder = msgspec.json.decode(line, type=Holder)
            except NOT_JSON:
                holder = _NOBODY
            state = data[-(-(len(line) + 1) // _PAGE) * _PAGE :].partition(b"\n")[0]
            try:
                holding = msgspec.json.decode(state, type=Holding)
            except NOT_JSON:
                holding = None
            yield name, fd, holder, holding
        finally:
            os.close(fd)


def _lingers(fd: int, holder: Holder, holding: Holding | None) -> bool:
    """Whether something of a killed run may still go on elsewhere, where nobody can look."""
    if not holder.lingers_s or holding is None or not any(holding.held.values()):
        return False
    now = time.time()
    if not 0 < holding.gone_at <= now:
        holding.gone_at = now
        line = msgspec.json.encode(holder) + b"\n"
        os.pwrite(fd, msgspec.json.encode(holding) + b"\n", -(-len(line) // _PAGE) * _PAGE)
    return now - holding.gone_at < holder.lingers_s


@contextmanager
def _alone(folder: int, wait_s: float) -> Iterator[None]:
    until = time.monotonic() + wait_s
    while not locked(folder, fcntl.LOCK_EX):
        if time.monotonic() > until:
            raise _BusyError
        time.sleep(_AGAIN_S)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _path() -> Path:
    return Path(shared_folder(), FOLDER)


def _open_folder() -> int:
    if not _path().is_absolute():
        raise _unusable("there is no home")
    kind = network_type(_path())
    if kind:
        raise _unusable(f"it is on a network ({kind})")
    try:
        return open_shared(FOLDER)
    except OSError as error:
        raise _unusable(reason_of(error) if error.errno else "it is not yours alone") from None


def _unusable(reason: str) -> StateError:
    return StateError(f"limits of this machine cannot be kept in `{_path()}`: {reason}", hint=_HINT)


def _bell(name: str) -> str:
    return f"{name}.bell"


def _namespace() -> str:
    try:
        return f"{os.uname().nodename} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
