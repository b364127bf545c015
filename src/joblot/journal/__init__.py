"""The journal: the durable, ordered record of what happened in runs.

`Journal` is what the engine and the readers need of one. `memory` keeps it in this process, `sqlite` in a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.core.events import AnyEvent, Record
    from joblot.core.provenance import LastSuccess


_YEAR_10000: Final = 253_402_300_800.0
WallTime = Annotated[float, Meta(ge=0.0, lt=_YEAR_10000)]
"""Seconds since the epoch that can be shown as a date."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """One run as a list of runs shows it. Times are seconds since the epoch.

    `status` is `running` until an end is recorded; who asks must know whether the run is held to tell `interrupted` from it.
    `counts` gives the number of jobs by final state, once the run has ended. With a `fault` nothing is known of the run but its id.
    """

    run_id: str
    batch: str
    source: str
    jobs: int
    status: str
    started_at: WallTime
    ended_at: WallTime | None = None
    counts: dict[str, int] = {}
    fault: str = ""
    """What is wrong with what the list of runs has of it; empty when nothing is."""


class Chosen(Struct, frozen=True, kw_only=True):
    """Which runs of a list are meant: all that are as every field says; one that is as it is left out says nothing.

    Times are seconds since the epoch.
    """

    batch: str = ""
    """The name of a batch, or of a program."""
    source: str = ""
    """The file of a batch. With both, one of the two is enough."""
    statuses: tuple[str, ...] = ()
    """As `RunInfo.status` has them."""
    since: float = 0.0
    until: float = _YEAR_10000
    variables: tuple[tuple[str, str], ...] = ()
    """Names of variables and what they stood for, as it is typed."""


class Request(Struct, frozen=True):
    """Something asked of the process that drives a run, by another one. `kind`: `cancel` or `kill`."""

    kind: str
    by: str
    at: float


class Journal(Protocol):
    """A store of runs. One process writes a run at a time; any number may read."""

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> None:
        """Add a run without events.

        Raises:
            StateError: a run of that id exists.
        """

    def append(self, run_id: str, events: Sequence[AnyEvent], at: float) -> Record:
        """Record events together, durably in the sense of the store's setting, and give them their numbers.

        Raises:
            JournalWriteError: nothing was recorded; the same call may succeed later.
        """

    def records(self, run_id: str, after: int = 0) -> Iterator[Record]:
        """The records of a run in order, from the first whose `seq` is greater than `after`.

        Raises:
            JournalDamagedError: the chain of hashes does not hold, or a record cannot be read.
        """

    def plan(self, run_id: str) -> bytes:
        """What was stored with the run for its plan: the batch (`Config`) as JSON, from which the plan is made again."""

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        """The runs, newest first, those with a `fault` among them: one that cannot be read takes no other with it."""

    def info(self, run_id: str) -> RunInfo | None:
        """One run, or None when there is none of that id.

        Raises:
            JournalDamagedError: it cannot be read.
        """

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> None:
        """Keep what `RunInfo` shows of a run that has ended (or goes on again). A copy of what the events say; no run's state is made from it."""

    def request(self, run_id: str, kind: str, by: str, at: float) -> None:
        """Ask something of the process that drives the run."""

    def requests(self, run_id: str) -> list[Request]:
        """What was asked and not yet taken; taking it. Cheap enough to call several times a second."""

    def last_successes(self, batch: str) -> dict[str, LastSuccess]:
        """The last successes of a batch's jobs that declare outputs, by the jobs' names; without `parts` where one cannot be read."""

    def save_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        """Keep these, each in place of what was kept of that job.

        Raises:
            JournalWriteError: none was kept.
        """

    def note_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        """Have these survive a kill until they are saved; whoever asks for last successes gets them. If they cannot be noted, nothing is said."""

    def force(self) -> None:
        """Return when everything appended so far is on the disk, whatever the durability setting."""

    def close(self) -> None:
        """Force what is left and let go of files."""
