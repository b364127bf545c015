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
@run_argument(required=False)
@state_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str | None, state: str | None) -> int:
    """Recover, and say what was done."""
    from joblot.journal.folder import state_path
    from joblot.journal.recover import recover

    path = state_path(state)
    recovery = recover(path, run)
    made = [one for one in recovery.runs if one.changed and not one.lost]
    lost = [one for one in recovery.runs if one.lost]
    if recovery.kept is not None:
        output.result(f"the journal was made again; the old one is kept as `{recovery.kept}`")
    for one in made:
        output.result(_line(one))
    told, unreadable = _sum_up(path, [one.run_id for one in recovery.runs if not one.lost])
    for name in told:
        if name not in {one.run_id for one in made}:
            output.result(f"run {name}: its end is in the list of runs again")
    if not made and not lost and not told and not unreadable:
        output.result(f"{_count(len(recovery.runs), 'run')}: nothing to recover, both copies are sound")
    for one in lost:
        output.error(f"run `{one.run_id}` cannot be recovered: {one.lost}", one.hint)
    for name, error in unreadable.items():
        output.error(f"run `{name}` is as it was written, and cannot be read: {error.message}", error.hint)
    return EXIT_STATE if lost or unreadable else EXIT_OK


def _line(one: Recovered) -> str:
    parts = [
        f"run {one.run_id}: {_count(one.records, 'record')} ({one.in_journal} in the journal, {one.in_file} in its file)"
    ]
    if one.plan_from:
        parts.append(f"plan from {one.plan_from}")
    if one.beyond:
        parts.append(f"{_count(one.beyond, 'record')} after a gap could not be taken")
    if one.kept:
        parts.append(f"the old file is kept as `{one.kept}`")
    return "; ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _sum_up(path: Path, names: Sequence[str]) -> tuple[list[str], dict[str, JoblotError]]:
    """Have the list of runs say how those ended that have: their old rows may be lost.

    Returns the runs of which it did not know, and those that cannot be read, each with the reason.
    """
    from joblot.cli.runs import Run
    from joblot.journal.folder import StateFolder

    ended: list[Report] = []
    unreadable: dict[str, JoblotError] = {}
    reader = StateFolder(path, read_only=True)
    try:
        for name in names:
            try:
                info = reader.journal.info(name)
                if info is not None and info.status == "running":
                    ended += [report for report in (Run(reader, info).report(),) if report.view.ended]
            except JoblotError as error:
                unreadable[name] = error
    finally:
        reader.close()
    if ended:
        folder = StateFolder(path)
        try:
            for report in ended:
                folder.journal.summarise(
                    report.run_id, status=report.status, ended_at=report.view.ended_at, counts=report.counts
                )
        finally:
            folder.close()
    return [report.run_id for report in ended], unreadable
