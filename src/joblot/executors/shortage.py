"""What the system refuses for want of room (descriptors, processes, memory): when to try again, and what to say of it.

It knows no processes: the executor tells what was refused, and asks before it tries again.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Final

from joblot.errors import JoblotError
from joblot.files import reason_of, system_error

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_S: Final = 0.25
GIVE_UP_S: Final = 10.0
"""After this long without room for even one process a run cannot go on."""
_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Shortage:
    """Kept by an executor. `warn` takes a sentence for a person; each kind of shortage is told once."""

    def __init__(self, warn: Callable[[str], None] | None) -> None:
        self._warn = warn
        self._told: set[str] = set()
        self._again_at = 0.0
        self._alone_since = 0.0

    def over(self) -> bool:
        """Whether it is time to try (again)."""
        return time.monotonic() >= self._again_at

    def met(self, error: OSError, *, alone: bool) -> None:
        """Something was refused; `alone` says that nothing else runs, whose end would make room.

        Raises:
            JoblotError: it has been so for too long.
        """
        now = time.monotonic()
        self._again_at = now + PAUSE_S
        self.say(error.errno or 0)
        if not alone:
            self._alone_since = 0.0
        elif not self._alone_since:
            self._alone_since = now
        elif now - self._alone_since > GIVE_UP_S:
            raise JoblotError(
                f"cannot start any process: {reason_of(error)}", hint="see `ulimit -n`, `ulimit -u` and the free memory"
            )

    def say(self, code: int) -> None:
        """Tell once that fewer jobs run than could, because of an error of this number."""
        text = "`ulimit -n` is low" if code in _FILES else reason_of(system_error(code))
        if self._warn is not None and text not in self._told:
            self._told.add(text)
            self._warn(f"the system has no room for more processes ({text}): fewer jobs run at once")
