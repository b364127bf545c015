"""Built-in actions that move whole files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from joblot.actions.builtin.reading import reading
from joblot.actions.context import Context
from joblot.actions.registry import action

_CHUNK_BYTES: Final = 2**20


@action("copy")
def copy(input: Path, *, output: Path, ctx: Context) -> dict[str, Any]:
    """Copy a file. The copy is complete under its name, or absent.

    Raises:
        ActionError: the input cannot be read, or the output cannot be written.
    """
    size = 0
    with reading(input, ctx) as source, ctx.output(output) as part, part.open("wb", buffering=0) as target:
        while chunk := os.read(source, _CHUNK_BYTES):
            rest = memoryview(chunk)
            while rest:
                rest = rest[target.write(rest) :]
            size += len(chunk)
            ctx.progress(size, unit="bytes")
    return {"size_bytes": size, "output": ctx.shown(output)}
