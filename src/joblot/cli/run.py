"""`joblot run`: run the jobs of a batch file."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from joblot.cli.options import (
    Command,
    batch_argument,
    batch_help,
    driving_options,
    forcing,
    looking_help,
    no_commands_option,
    selecting,
    selection_of,
    unknown_actions_option,
    variables_option,
)
from joblot.clock import SystemClock, new_run_id
from joblot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.cli.output import Output
    from joblot.reports.report import Report
    from joblot.runner.schedule import Taken


@click.command(
    "run", cls=Command, help=f"Run the jobs of a batch file. With `--dry-run`: {looking_help}\n\n{batch_help}"
)
@batch_argument
@click.option("-n", "--dry-run", is_flag=True, help="check the batch and show what would run; run no job")
@no_commands_option
@variables_option
@click.option("--run-id", metavar="ID", help="what to call the run (default: made of the time)")
@click.option(
    "--strict",
    is_flag=True,
    envvar="JOBLOT_STRICT",
    show_envvar=True,
    help="let warnings count as errors: nothing runs",
)
@click.option(
    "--wait",
    is_flag=True,
    help="wait for the end of another run of the batch, of its group, or that makes the same files",
)
@click.option(
    "--scheduled-for",
    metavar="TIME",
    help="run for a time at which the batch's `schedule` is due, such as `2026-11-20T02:30`: `run.date` is its day",
)
@unknown_actions_option
@selecting
@forcing
@driving_options
@click.pass_obj
def command(
    output: Output,
    /,
    batch: tuple[str, ...],
    variables: list[tuple[str, str]],
    *,
    dry_run: bool,
    no_commands: bool,
    run_id: str | None,
    strict: bool,
    wait: bool,
    scheduled_for: str | None,
    skip_unknown_actions: bool,
    force: bool,
    force_jobs: tuple[str, ...],
    only: tuple[str, ...],
    upto: tuple[str, ...],
    from_: tuple[str, ...],
    exclude: tuple[str, ...],
    **driving: Any,
) -> int:
    """Begin a run and drive it to its end."""
    from joblot.cli import batch as batches

    if no_commands and not dry_run:
        raise UsageError("`--no-commands` is for `--dry-run`: a run needs the items that commands list")
    timed: dict[str, Any] = {}
    taken: Taken | None = None
    chosen = run_id or new_run_id(SystemClock().wall())
    if scheduled_for is not None:
        from joblot.cli.schedule import take

        taken, driving["state"] = take(batch, scheduled_for, chosen, driving)
        timed = {"moment": taken.at, "scheduled": True}
    read = batches.read_ahead if dry_run else batches.read
    selection = selection_of(only=only, upto=upto, from_=from_, exclude=exclude)
    forced = ("*",) if force else force_jobs
    with taken if taken is not None and not dry_run else nullcontext():
        plan, warnings = read(
            batch,
            variables,
            strict=strict,
            skip_unknown_actions=skip_unknown_actions,
            commands=not no_commands,
            **timed,
        )
        batches.warn(output, warnings)
        driving["state"] = batches.state_of(output, plan, driving["state"])
        if dry_run:
            from joblot.cli.plan import show

            state, workers, fuse = driving["state"], driving["workers"], not driving["no_fuse"]
            return show(output, plan, state, workers, force=forced, selection=selection, fuse=fuse)
        from joblot.cli.drive import Choices, drive
        from joblot.runner.launch import start_run

        choices = Choices(**driving)
        options = choices.options(
            run_id=chosen, skip_unknown_actions=skip_unknown_actions, force=forced, wait=wait, selection=selection
        )

        def begin(observers: Sequence[Any]) -> Report:
            return start_run(plan, options, observers=observers, given=dict(variables))

        return drive(output, choices, chosen, begin if taken is None else taken.noting(begin))
