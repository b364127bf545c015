"""Built-in actions that are commands: they say what to start, and joblot starts it as it starts any `run:`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from joblot.actions.registry import action
from joblot.errors import ActionError

_NO_ARGS: Final[list[str]] = []


@action("shell", command=True)
def shell(input: Path | None = None, *, command: str) -> str:  # noqa: ARG001 - a declared input counts for being up to date
    """Run a shell command. `input`, if any, only says what the command depends on.

    Raises:
        ActionError: the command is blank.
    """
    if not command.strip():
        raise ActionError("`command` is empty", reason="bad_params")
    return command


@action("python", command=True)
def python(
    input: Path | None = None,  # noqa: ARG001 - as above
    *,
    code: str | None = None,
    script: Path | None = None,
    args: list[str] = _NO_ARGS,
) -> list[str]:
    """Run Python code or a Python script, with `args`, in the Python that runs joblot. `input` only says what it depends on.

    Raises:
        ActionError: not exactly one of `code` and `script` is given.
    """
    if code is not None and script is not None:
        raise ActionError("`code` and `script` exclude each other: give one", reason="bad_params")
    if code is not None:
        return [sys.executable, "-c", code, *args]
    if script is not None:
        return [sys.executable, str(script), *args]
    raise ActionError("give `code` or `script`", reason="bad_params")
