"""Shortages of descriptors, processes or memory: when to try again, and the warning for a person.

It starts nothing: the executor reports what the system refused, and asks before it tries again.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Final

from joblot.errors import StateError
from joblot.files import reason_of, system_error

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_S: Final = 0.25
GIVE_UP_S: Final = 10.0
"""After this long without room for even one process the run fails."""
_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Shortage:
    """The shortages of one executor. `warn` takes a sentence for a person, once for each kind of shortage."""

    def __init__(self, warn: Callable[[str], None] | None) -> None:
        self._warn = warn
        self._warned: set[str] = set()
        self._retry_at = 0.0
        self._stalled_since = 0.0

    def may_try(self) -> bool:
        """Whether to try (again) now."""
        return time.monotonic() >= self._retry_at

    def add(self, error: OSError, *, nothing_runs: bool | None) -> None:
        """Something was refused. With `nothing_runs` there is nothing whose end would make room; None: that is not known here.

        Raises:
            StateError: nothing could run for GIVE_UP_S.
        """
        now = time.monotonic()
        self._retry_at = now + PAUSE_S
        self._report(error.errno or 0)
        if nothing_runs is False:
            self._stalled_since = 0.0
        elif nothing_runs and not self._stalled_since:
            self._stalled_since = now
        elif nothing_runs and now - self._stalled_since > GIVE_UP_S:
            raise StateError(
                f"cannot start any process: {reason_of(error)}", hint="see `ulimit -n`, `ulimit -u` and the free memory"
            )

    def eased(self) -> None:
        """Something has run since the last refusal."""
        self._stalled_since = 0.0

    def _report(self, code: int) -> None:
        text = "`ulimit -n` is low" if code in _FILES else reason_of(system_error(code))
        if self._warn is not None and text not in self._warned:
            self._warned.add(text)
            self._warn(f"the system has no room for more processes ({text}): fewer jobs run at once")
