"""How far a run is, told to a function of the program; and what keeps a view that fails from ending the run that it shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from warnings import warn

from msgspec import Struct

from joblot.reports.cell import EVERY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.core.events import Record
    from joblot.reports.report import Report
    from joblot.reports.view import LiveView


class Progress(Struct, frozen=True, kw_only=True):
    """How far a run is: how many jobs take part, have ended, have failed, and run now; and the seconds since this process began to drive it."""

    total: int
    done: int
    failed: int
    running: int
    elapsed_s: float


class Told:
    """An observer that tells a function how far a run is: when it begins, twice a second at most, and at its end."""

    of_program = True
    """It calls code of the program that runs the batch."""

    def __init__(self, tell: Callable[[Progress], Any]) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self._next = 0.0

    def started(self, run_id: str, view: LiveView) -> None:  # noqa: ARG002 - the protocol of observers
        """The run begins."""
        self._view = view
        self.idle()

    def recorded(self, record: Record) -> None:
        """Of no use here."""

    def idle(self) -> None:
        """Tell how far it is, unless that has just been done."""
        if time.monotonic() >= self._next:
            self.ended("")
            self._next = time.monotonic() + EVERY_S

    def warned(self, message: str) -> None:
        """Of no use here."""

    def ended(self, status: str) -> None:  # noqa: ARG002 - the protocol of observers
        """Tell how far it is."""
        counts, total = self._view.counts, self._view.jobs - len(self._view.left_out)
        under_way = sum(counts[state] for state in ("waiting", "ready", "running", "backing_off"))
        self._tell(
            Progress(
                total=total,
                done=total - under_way,
                failed=counts["failed"],
                running=counts["running"],
                elapsed_s=time.monotonic() - self._began,
            )
        )

    def close(self, report: Report | None = None) -> None:
        """Of no use here."""


class Shown:
    """What shows a run, as an observer. A view that fails is told of once and left out: the run goes on."""

    def __init__(self, view: Any) -> None:
        self._view = view
        if hasattr(view, "of_program"):
            self.of_program = True

    def _tell(self, method: str, *said: Any) -> None:
        if self._view is None:
            return
        try:
            getattr(self._view, method)(*said)
        except Exception as error:  # noqa: BLE001 - the program's own function may raise anything
            self._view = None
            warn(f"the run is not shown any more: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)

    def started(self, run_id: str, view: LiveView) -> None:
        """Pass it on."""
        self._tell("started", run_id, view)

    def recorded(self, record: Record) -> None:
        """Pass it on."""
        self._tell("recorded", record)

    def idle(self) -> None:
        """Pass it on."""
        self._tell("idle")

    def warned(self, message: str) -> None:
        """Pass it on."""
        self._tell("warned", message)

    def ended(self, status: str) -> None:
        """Pass it on."""
        self._tell("ended", status)

    def close(self, report: Report | None) -> None:
        """Have the end shown, if there is one."""
        self._tell("close", report)
