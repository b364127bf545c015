"""`joblot resume`: go on with a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joblot.cli.options import Command, driving_options, last_help, run_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblot.cli.output import Output
    from joblot.reports.view import LiveView

_HELP = f"""Go on with a run: everything without a recorded success runs, nothing with one.

The plan is the one that was recorded when the run began, whatever the batch file says now.

{last_help}"""


@click.command("resume", cls=Command, help=_HELP)
@run_argument
@driving_options
@click.pass_obj
def command(output: Output, /, run: str | None, **driving: Any) -> int:
    """Find the run and drive it to its end."""
    return go_on(output, run, driving, None)


def go_on(
    output: Output,
    name: str | None,
    driving: dict[str, Any],
    reopen: Callable[[LiveView], Sequence[int]] | None,
    *,
    is_same: bool = False,
) -> int:
    """Resume a run, after taking the jobs that `reopen` chooses back to the beginning.

    `is_same`: whether its batch is known to be as it was, whatever else stands in its files now.
    """
    from joblot.cli.drive import Choices, drive
    from joblot.cli.runs import open_run
    from joblot.runner.continuing import changed_files, refuse_continued
    from joblot.runner.launch import resume_run

    choices = Choices(**driving)
    with open_run(output, name, choices.state) as past:
        refuse_continued(past.folder, past.id)
        run_id, config = past.id, past.config
        changed = [] if is_same else changed_files(config)
        gone = [path for path in changed if not os.path.lexists(path)]
        if gone:
            rest = f" and {len(gone) - 1} more are" if len(gone) > 1 else " is"
            output.log("WARNING", f"`{gone[0]}`{rest} not there any more: the recorded plan of run `{run_id}` is used")
        elif changed:
            rest = f" and {len(changed) - 1} more have" if len(changed) > 1 else " has"
            output.log("WARNING", f"`{changed[0]}`{rest} changed since run `{run_id}` began: its recorded plan is used")
        if config.source and _is_of_another_folder(Path(config.source), past.folder.path.parent):
            what = f"run `{run_id}` is of `{config.source}`, not of the file beside `{past.folder.path}`"
            output.log("WARNING", f"{what}: its jobs run in `{config.folder}`")
    options = choices.options()
    return drive(
        output, choices, run_id, lambda observers: resume_run(run_id, options, observers=observers, reopen=reopen)
    )


def _is_of_another_folder(source: Path, folder: Path) -> bool:
    """Whether a folder has a batch file of its own by that name: it was copied or moved with the runs of the first one."""
    beside = folder / source.name
    try:
        return beside.is_file() and not (source.exists() and beside.samefile(source))
    except OSError:
        return False
