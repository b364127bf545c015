"""When Python looks for garbage. A run makes objects that stay: looking for garbage among them again and again takes a tenth of the time."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Collection:
    paused = False


@contextmanager
def collection_paused() -> Iterator[None]:
    """Nothing is looked for within, but between `resume_collection` and `pause_collection`. Within another such block, or where the program has stopped it, a no-op."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    _Collection.paused = True
    try:
        yield
    finally:
        _Collection.paused = False
        gc.enable()


def resume_collection() -> None:
    """Code of others is about to run, which may leave garbage."""
    if _Collection.paused:
        gc.enable()


def pause_collection() -> None:
    """It has returned."""
    if _Collection.paused:
        gc.disable()
