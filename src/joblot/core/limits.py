"""How a run is to be driven: what it may use, and when it gives up. Values only; `runstate` decides by them."""

from __future__ import annotations

from collections.abc import Collection, Mapping  # noqa: TC003 - the fields of a struct can be read
from typing import Final

from msgspec import Struct

MAX_BUNDLE: Final = 1000
"""Jobs that are run as one, at the most."""


class Limits(Struct, kw_only=True):
    """How a run is to be driven; fixed for its life in one process.

    `slots` attempts run at once; `named` are the named resources, and `shared` those of them that all runs of this machine share: of these
    no more is used than the machine grants; `seed` makes jitter repeatable; `crash_limit` is how often a job may be lost with the machinery
    around it: from then on it runs alone, and when it is lost alone it has failed; `max_memory` is how many bytes all that runs may hold
    together, `most_memory` how many of them there are in any one place (0: all), `expected_memory` says in bytes what jobs, by number, took in
    earlier runs; `max_bundle` is how many jobs are run as one.
    """

    slots: int = 1
    named: Mapping[str, float] = {}
    shared: Collection[str] = ()
    fail_fast: bool = False
    max_failures: int | float | None = None
    timeout_s: float | None = None
    crash_limit: int = 3
    seed: str = ""
    max_memory: int | None = None
    most_memory: int = 0
    expected_memory: Mapping[int, int] = {}
    max_bundle: int = MAX_BUNDLE

    def __post_init__(self) -> None:
        if self.fail_fast:
            self.max_failures = 1
