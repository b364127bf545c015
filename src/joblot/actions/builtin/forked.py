"""Work of an action shared out over the machine's cores, in forked processes that end with it. It does not know the work."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable


def cores() -> int:
    """The cores that this process may use; 1 when forking is not safe here."""
    try:
        alone = len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - names only
        return len(os.sched_getaffinity(0)) if alone else 1
    except (OSError, AttributeError):  # not Linux
        return 1


class Forked:
    """A forked process that does one piece of work and answers with a value that JSON can hold.

    An ordinary child, so that whoever kills this process's tree gets it too. `orphaned`, which the work gets, says whether its parent is gone.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], Any]) -> None:
        self._pipe, answer = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _answer(answer, lambda: work(lambda: os.getppid() != parent))
        os.close(answer)

    def result(self) -> Any:
        """Wait for its end.

        Raises:
            ActionError: it failed, or was killed.
        """
        import json

        with os.fdopen(self._pipe, "rb") as pipe:
            answer = pipe.read()
        self._pipe = -1
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        reply = json.loads(answer) if answer else {}
        if "value" not in reply:
            why = reply.get("error") or f"status {os.waitstatus_to_exitcode(status)}"
            raise ActionError(f"a process of the action ended early: {why}", reason="crash")
        return reply["value"]

    def end(self) -> None:
        """Kill it if it still runs."""
        from signal import SIGKILL

        if self._pipe >= 0:
            os.close(self._pipe)
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, SIGKILL)
            os.waitpid(self._pid, 0)


def _answer(descriptor: int, work: Callable[[], Any]) -> None:
    """Work, answer, end: nothing of the parent's clean-up may run here."""
    import json
    import signal

    reply: dict[str, Any] = {}
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        reply = {"value": work()}
    except BaseException as error:  # noqa: BLE001 - it must reach the parent, not the parent's handlers
        reply = {"error": f"{type(error).__name__}: {error}"}
    finally:
        with suppress(OSError), os.fdopen(descriptor, "wb") as pipe:
            pipe.write(json.dumps(reply).encode())
        os._exit(0)
