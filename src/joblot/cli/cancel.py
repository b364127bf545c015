"""`joblot cancel`: stop a run that another process drives."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import click

from joblot.cli.options import json_option, no_color_option, run_argument, run_help, state_option
from joblot.errors import EXIT_OK, StateError
from joblot.reports.text import one_line

if TYPE_CHECKING:
    from joblot.cli.output import Output
    from joblot.journal import RunInfo
    from joblot.journal.folder import StateFolder

WAIT_S: Final = 5.0
POLL_S: Final = 0.1


@click.command(
    "cancel",
    help=f"Ask the process that drives a run to stop it: nothing more starts, running jobs may end.\n\n{run_help} Without it the one that goes on.",
)
@run_argument
@click.option("--kill", is_flag=True, help="kill the running jobs at once")
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str | None, state: str | None, *, kill: bool) -> int:
    """Leave a request in the journal and wait a few seconds for its effect."""
    from joblot.journal.folder import StateFolder, described, holder

    reader = StateFolder(state, read_only=True)
    try:
        info = reader.resolve(run) if run is not None else _going_on(reader)
        if not reader.is_held(info.run_id):
            status = reader.status(info)
            goes_on = status == "interrupted" and reader.journal.plan(info.run_id)  # a program's run has none
            hint = f"; `joblot resume {info.run_id}` would go on with it" if goes_on else ""
            _report(output, info.run_id, status, f"run `{info.run_id}` is not running: {status}{hint}")
            return EXIT_OK
        if not reader.journal.plan(info.run_id):
            who = described(holder(reader.run_folder(info.run_id).lock) or {})
            raise StateError(
                f"run `{info.run_id}` is recorded by a program, which takes no requests: {who}",
                hint="end the program: Ctrl-C and SIGTERM make its run `cancelled`",
            )
    finally:
        reader.close()
    folder = StateFolder(state)
    try:
        by = f"process {os.getpid()} of {os.environ.get('USER') or f'uid {os.getuid()}'}"
        folder.journal.request(info.run_id, "kill" if kill else "cancel", by, time.time())
        status = _wait(folder, info.run_id)
    finally:
        folder.close()
    if status == "running":
        hint = "" if kill else f"; `joblot cancel --kill {info.run_id}` kills what runs"
        _report(output, info.run_id, "stopping", f"asked run `{info.run_id}` to stop; it has not ended yet{hint}")
    else:
        _report(output, info.run_id, status, f"run `{info.run_id}` has ended: {status}")
    return EXIT_OK


def _going_on(reader: StateFolder) -> RunInfo:
    """The run that goes on, or the last one where none does.

    Raises:
        StateError: several go on: which of them is to stop nobody guesses.
    """
    runs = [info for info in reader.journal.runs() if info.status == "running" and reader.is_held(info.run_id)]
    if len(runs) > 1:
        named = ", ".join(f"`{info.run_id}` of `{one_line(info.batch)}`" for info in runs[:5])
        raise StateError(f"{len(runs)} runs go on: {named}", hint=f"name one: `joblot cancel {runs[0].run_id}`")
    return runs[0] if runs else reader.resolve(None)


def _wait(folder: StateFolder, run_id: str) -> str:
    until = time.monotonic() + WAIT_S
    while True:
        info = folder.journal.info(run_id)
        status = "interrupted" if info is None else folder.status(info)
        if status != "running" or time.monotonic() >= until:
            return status
        time.sleep(POLL_S)


def _report(output: Output, run_id: str, status: str, text: str) -> None:
    if output.json:
        output.document({"run_id": run_id, "status": status, "message": text})
    else:
        output.result(text)
