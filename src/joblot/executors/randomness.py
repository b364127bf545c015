"""Seeds the generators of random numbers that are loaded in this process: `random`, and the global one of `numpy.random`.

Workers are copies of one process, so what a generator has loaded would give the same numbers in all of them. What is not loaded costs a
look into `sys.modules`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from joblot.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMPY: Final = "numpy.random"


class Seeds:
    """The seeds of one run: of the batch's `seed` and the job only, or, without one, of the run, the job and the attempt."""

    def __init__(self, run_id: str, seed: int | None, name: Callable[[int], str]) -> None:
        self._run_id = run_id
        self._seed = seed
        self._name = name
        self._last = b""
        if seed is not None:
            import random  # noqa: F401 - so that the first attempt of a worker draws what the second one would

    def sow(self, job: int, attempt: int) -> None:
        """Seed what is loaded for an attempt."""
        if self._seed is None:
            if "random" not in sys.modules and _NUMPY not in sys.modules:
                return
            self._last = _digest(f"{self._run_id}\0{self._name(job)}\0{attempt}")
        else:
            self._last = _digest(f"{self._seed}\0{self._name(job)}")
            if _NUMPY not in sys.modules and not any(type(finder) is _WhenImported for finder in sys.meta_path):
                # For the same reason; its import takes too long to be made for nothing.
                sys.meta_path.insert(0, _WhenImported(_NUMPY, self._again))
        self._again()

    def _again(self) -> None:
        random, numpy = sys.modules.get("random"), sys.modules.get(_NUMPY)
        if random is not None:
            random.seed(int.from_bytes(self._last, "big"))
        if numpy is not None:
            try:
                numpy.seed([int.from_bytes(self._last[start : start + 4], "big") for start in range(0, 16, 4)])
            except (AttributeError, TypeError):
                pass  # it is being imported in a thread, or the program has given it another kind of generator


class _WhenImported:
    """Calls a function when a module has been imported."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the protocol of finders
        """Let the others find it, and add the call."""
        if name != self._name:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)  # the protocol wants nothing else
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_call(module: Any) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = execute_and_call  # type: ignore[method-assign]
        return spec


class Kept:
    """The states of the loaded generators, to be put back: a program that runs a batch in itself goes on drawing as if it had not."""

    def __init__(self) -> None:
        random, numpy = sys.modules.get("random"), sys.modules.get(_NUMPY)
        self._random = random.getstate() if random is not None else None
        self._numpy = numpy.get_state() if numpy is not None else None

    def put_back(self) -> None:
        """Set them as they were; those that have been loaded since begin as if nobody had seeded them, and no import is watched any more."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _WhenImported]
        random, numpy = sys.modules.get("random"), sys.modules.get(_NUMPY)
        if self._random is not None:
            sys.modules["random"].setstate(self._random)
        elif random is not None:
            random.seed()
        if self._numpy is not None:
            sys.modules[_NUMPY].set_state(self._numpy)
        elif numpy is not None:
            with suppress(AttributeError, TypeError):  # a program's own kind of generator
                numpy.seed(None)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
