"""From a batch file's name to a plan: what all commands that take a BATCH begin with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from joblot.actions.registry import ACTIONS, import_modules
from joblot.cli.usual import usual_file
from joblot.config.load import env_files_of, load
from joblot.core.plan import expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from joblot.cli.output import Output
    from joblot.core.plan import Plan
    from joblot.errors import Diagnostic

_WARNINGS: Final = 20
"""How many warnings are shown in full."""


def read(
    files: Sequence[str],
    variables: Iterable[tuple[str, str]],
    *,
    strict: bool = False,
    skip_unknown_actions: bool = False,
    commands: bool = True,
    moment: float | None = None,
    scheduled: bool = False,
) -> tuple[Plan, list[Diagnostic]]:
    """The plan of a batch file, or of several together, and what is doubtful in it: with `strict` that is wrong.

    Jobs with unknown actions are wrong, or doubtful with `skip_unknown_actions`.

    Without `commands` none that lists items is run, and their jobs are not known (`Plan.unread`). `moment` is when the run begins, in seconds
    since the epoch; None: now; `scheduled` says that a schedule has started it for that instant.

    Raises:
        ConfigError: with everything that is wrong in the file.
        UsageError: no file was named and this folder has none of the usual names; or the files cannot be taken together.
    """
    options: dict[str, Any] = {"vars": dict(variables), "strict": strict, "lookup": ACTIONS.signature}
    options |= {"names": ACTIONS.names, "importer": import_modules, "commands": commands, "moment": moment}
    if skip_unknown_actions:
        options["unknown"] = "skipped"
    if len(files) > 1:
        from joblot.config.several import load_several

        config, warnings = load_several(files, **options)
    else:
        config, warnings = load(files[0] if files else usual_file(), scheduled=scheduled, **options)
    if not any(spec.outputs for spec in config.jobs):
        return expand(config), warnings
    from joblot.core.named import expand_with_doubts  # needed only where a job declares what it makes

    plan, doubts = expand_with_doubts(config, strict=strict)
    return plan, warnings + doubts


def read_ahead(
    files: Sequence[str], variables: Iterable[tuple[str, str]], **options: Any
) -> tuple[Plan, list[Diagnostic]]:
    """As `read`, for those who look at a batch and run nothing: what it reads when a run starts may be on another machine, which is a warning.

    Raises:
        ConfigError: also with what is wrong in files of environment variables that are there.
    """
    plan, warnings = read(files, variables, **options)
    env_files = env_files_of(plan.config)
    return plan, warnings if env_files is None else warnings + env_files.warnings()


def state_of(output: Output, plan: Plan, chosen: str | None) -> str:
    """The state folder of a batch; says so when it is not where one would look for it."""
    from joblot.journal import place

    return str(place.state_of(plan.config, chosen, partial(output.log, "WARNING")))


def warn(output: Output, warnings: list[Diagnostic]) -> None:
    """Show warnings as errors are shown, but not thousands of them."""
    for warning in warnings[:_WARNINGS]:
        output.diagnose(warning)
    if len(warnings) > _WARNINGS:
        output.note(f"... and {len(warnings) - _WARNINGS} more warnings (`joblot validate` lists all)")
