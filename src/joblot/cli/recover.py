"""`joblot recover`: make a damaged or lost journal again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot.cli.options import no_color_option, run_argument, state_option
from joblot.errors import EXIT_OK, EXIT_STATE, JoblotError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.journal.recover import Recovered
    from joblot.reports.report import Report

_HELP = """Make the journal again from the runs' own files, or a run's file from the journal, wherever one of the two is damaged or lost.

Every record is kept twice, with a hash over all before it: each is taken from the copy that has it as it was written. What is replaced is
kept beside: `journal.db.corrupt-TIME`, `events.jsonl.damaged-TIME`. Nothing is run; `joblot resume` goes on afterwards.

RUN is a run's whole id. Without it all runs."""


@click.command("recover", help=_HELP)
@run_argument
@state_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str | None, state: str | None) -> int:
    """Recover, and say what was done."""
    from joblot.journal.folder import state_path
    from joblot.journal.recover import recover

    path = state_path(state)
    recovery = recover(path, run)
    whole = [run for run in recovery.runs if not run.lost]
    changed = {run.run_id: run for run in whole if run.changed}
    lost = [run for run in recovery.runs if run.lost]
    if recovery.kept is not None:
        output.result(f"the journal was made again; the old one is kept as `{recovery.kept}`")
    for recovered in changed.values():
        output.result(_line(recovered))
    listed, unreadable = _complete_list(path, [run.run_id for run in whole])
    for run_id in listed:
        if run_id not in changed:
            output.result(f"run {run_id}: its end is in the list of runs again")
    if not (changed or lost or listed or unreadable):
        output.result(f"{_count(len(recovery.runs), 'run')}: nothing to recover, both copies are sound")
    # What could be recovered is said first: one run that is lost does not hide that the others are whole.
    return _failures(output, lost, unreadable)


def _failures(output: Output, lost: list[Recovered], unreadable: dict[str, JoblotError]) -> int:
    """Say which runs there still is no way to read; the exit code."""
    for run in lost:
        output.error(f"run `{run.run_id}` cannot be recovered: {run.lost}", run.hint)
    for run_id, error in unreadable.items():
        output.error(f"run `{run_id}` is as it was written, and cannot be read: {error.message}", error.hint)
    return EXIT_STATE if lost or unreadable else EXIT_OK


def _line(run: Recovered) -> str:
    parts = [
        f"run {run.run_id}: {_count(run.records, 'record')} ({run.in_journal} in the journal, {run.in_file} in its file)"
    ]
    if run.plan_from:
        parts.append(f"plan from {run.plan_from}")
    if run.beyond:
        parts.append(f"{_count(run.beyond, 'record')} after a gap could not be taken")
    if run.kept:
        parts.append(f"the old file is kept as `{run.kept}`")
    return "; ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _complete_list(path: Path, run_ids: Sequence[str]) -> tuple[list[str], dict[str, JoblotError]]:
    """Have the list of runs say how those ended that have: their old rows may be lost.

    Returns the runs of which it did not know, and those that cannot be read, each with the reason.
    """
    from joblot.cli.runs import Run
    from joblot.journal.folder import StateFolder

    ended: list[Report] = []
    unreadable: dict[str, JoblotError] = {}
    reader = StateFolder(path, read_only=True)
    try:
        for run_id in run_ids:
            try:
                info = reader.journal.info(run_id)
                if info is not None and info.status == "running":
                    report = Run(reader, info).report()
                    if report.view.ended:
                        ended.append(report)
            except JoblotError as error:
                unreadable[run_id] = error
    finally:
        reader.close()
    if ended:
        folder = StateFolder(path)
        try:
            for report in ended:
                folder.journal.summarise(
                    report.run_id, status=report.status, ended_at=report.view.ended_at, counts=report.listed_counts
                )
        finally:
            folder.close()
    return [report.run_id for report in ended], unreadable
