"""The interface of executors, and what they must know of the run. One contract test suite checks all of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from joblot.executors.spool import CAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from joblot.core.commands import Kill
    from joblot.core.model import Attempt, Outcome
    from joblot.core.plan import Plan


class RunContext(Struct):
    """What an executor must know of the run whose attempts it runs."""

    run_id: str
    plan: Plan
    run_dir: Path | None = None
    """The run's own folder; None: there are no logs."""
    capture: bool = True
    """Whether what attempts print goes to their logs instead of this process's output (`inline` only)."""
    max_log: int = CAP
    """Bytes that are kept of each log."""
    max_memory: int = 0
    """Bytes that all running attempts may hold together; 0: any."""
    warn: Callable[[str], None] | None = None
    """Called with a sentence for a person."""
    environments: Sequence[Mapping[str, str]] = ()
    """Where secrets may have other values than in this process's environment and in those of the plan."""
    from_files: Mapping[str, str] = {}
    """What files set in the environment of all jobs: the batch's `env` wins over it."""

    kept_open: Sequence[int] = ()
    """Descriptors that whoever ends what runs when this process is gone keeps open for as long."""
    observed: bool = False
    """Whether code of the program that runs the batch is called while it runs."""

    @property
    def env(self) -> dict[str, str]:
        """What the batch sets in the environment of all jobs."""
        return {**self.from_files, **self.plan.config.env}

    @property
    def cookie(self) -> str:
        """Marks the run's processes. Ids repeat in other state folders, this does not."""
        return str(self.run_dir) if self.run_dir is not None else f"{self.run_id}:{os.getpid()}"


class Executor(Protocol):
    """A way of running attempts. Used by one thread, from the first call on."""

    @property
    def slots(self) -> int:
        """How many attempts run at once."""

    @property
    def capacity(self) -> int:
        """How many attempts it is good to hand over at once: the slots, or more while attempts are short."""

    @property
    def held_bytes(self) -> int:
        """What all running attempts were last seen to hold together, where that has a limit; 0: not known."""

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Take these attempts, to be run in this order as slots are free. Each comes back from `wait` exactly once."""

    def kill(self, kills: Sequence[Kill]) -> None:
        """End these attempts; each comes back from `wait`. What has not begun comes back as `returned`, at once."""

    def give_back(self) -> list[Outcome]:
        """The run stops: of what has not begun as much as can be told at once, as `returned`; it does not come back from `wait`."""

    def wait(self, timeout: float | None) -> list[Outcome]:
        """What has ended, as soon as something has, or an empty list after `timeout` seconds or when the wake descriptor is readable."""

    def wake_on(self, fd: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""

    def close(self) -> None:
        """Kill what runs and leave nothing behind."""
