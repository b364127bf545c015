"""From a batch file's name to a plan: what all commands that take a BATCH begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from joblot.actions.registry import ACTIONS, import_modules
from joblot.config.load import load
from joblot.errors import UsageError
from joblot.plan import expand

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblot.cli.output import Output
    from joblot.errors import Diagnostic
    from joblot.plan import Plan

NAMES: Final = ("joblot.yaml", "joblot.yml", "joblot.json", "joblot.toml")
_WARNINGS: Final = 20
"""How many warnings are shown in full."""


def read(batch: str | None, variables: Iterable[tuple[str, str]], *, strict: bool) -> tuple[Plan, list[Diagnostic]]:
    """The plan of a batch file, and what is doubtful in it.

    Raises:
        ConfigError: with everything that is wrong in the file.
        UsageError: no file was named and none of the usual name is here.
    """
    config, warnings = load(
        batch or _here(),
        vars=dict(variables),
        lookup=ACTIONS.signature,
        names=ACTIONS.names,
        strict=strict,
        importer=import_modules,
    )
    return expand(config), warnings


def _here() -> str:
    found = next((name for name in NAMES if os.path.exists(name)), None)  # noqa: PTH110 - pathlib costs start-up time
    if found is None:
        raise UsageError("no batch file was named, and there is no `joblot.yaml` here", hint="`joblot init` writes one")
    return found


def warn(output: Output, warnings: list[Diagnostic]) -> None:
    """Show warnings as errors are shown, but not thousands of them."""
    for one in warnings[:_WARNINGS]:
        output.note(one.render())
    if len(warnings) > _WARNINGS:
        output.note(f"... and {len(warnings) - _WARNINGS} more warnings (`joblot validate` lists all)")
