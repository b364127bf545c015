"""How a run is to be driven: what it may use, and when it gives up. Values only; `runstate` decides by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BUNDLE: Final = 1000
"""Jobs that are run as one, at the most."""


class Limits:
    """How a run is to be driven; fixed for its life in one process.

    `slots` attempts run at once; `seed` makes jitter repeatable; `crash_limit` is how often a job may be lost with the machinery
    around it: from then on it runs alone, and when it is lost alone it has failed; `expected_memory` says in bytes what jobs, by number,
    that declare none are taken to need; `max_bundle` is how many jobs are run as one.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        limits: Mapping[str, float] | None = None,
        fail_fast: bool = False,
        max_failures: int | None = None,
        timeout_s: float | None = None,
        crash_limit: int = 3,
        seed: str = "",
        expected_memory: Mapping[int, int] | None = None,
        max_bundle: int = MAX_BUNDLE,
    ) -> None:
        self.slots = slots
        self.limits = dict(limits or {})
        self.fail_fast = fail_fast
        self.max_failures = 1 if fail_fast else max_failures
        self.timeout_s = timeout_s
        self.crash_limit = crash_limit
        self.seed = seed
        self.expected_memory = expected_memory or {}
        self.max_bundle = max_bundle
