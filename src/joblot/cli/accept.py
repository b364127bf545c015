"""`joblot accept`: take what is there for what jobs make now, without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot.cli.options import (
    batch_argument_required,
    job_of_batch,
    json_option,
    no_color_option,
    state_option,
    variables_option,
)
from joblot.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot.cli.output import Output
    from joblot.core.plan import Plan


@click.command(
    "accept",
    help="Take the outputs that are there for what the jobs make now, without running them: after a change that cannot change them, "
    "such as a comment in an action's file.\n\nBATCH is a batch file, JOB a job's name or a pattern.",
)
@batch_argument_required
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=job_of_batch)
@variables_option
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output, batch: str, jobs: tuple[str, ...], variables: list[tuple[str, str]], state: str | None
) -> int:
    """Record the outputs that are there as up to date."""
    from joblot.cli import batch as batches
    from joblot.cli.ahead import judge_of
    from joblot.clock import SystemClock
    from joblot.config.load import env_files_of
    from joblot.journal.claims import Claims
    from joblot.journal.folder import StateFolder
    from joblot.runner.killed import killed_runs, settle
    from joblot.runner.uptodate import batch_key, matching

    plan, warnings = batches.read((batch,), variables)
    batches.warn(output, warnings)
    chosen = sorted(matching(plan, jobs))
    if (env_files := env_files_of(plan.config)) is not None:
        env_files.refuse([plan.declarations[job] for job in chosen])
    for job in chosen:
        if job in plan.growing:
            hint = "its jobs are found, and judged, in a run"
            raise UsageError(f"`{plan.name(job)}` makes nothing itself", hint=hint)
    folder = StateFolder(batches.state_of(output, plan, state))
    claims = Claims("accept", batch=plan.config.name, folder=plan.config.folder, state=folder.path)
    try:
        claims.take(plan.makings())  # what a run makes at this moment may be half a file
        claims.take_in_state()
        for run_id in killed_runs(folder, plan.config):
            settle(folder, run_id, plan.config, lambda message: output.log("WARNING", message), claims)
        judge = judge_of(plan, folder.journal.last_successes(batch_key(plan)), str(folder.path))
        at = SystemClock().wall()
        for job in chosen:
            judge.accept(job, at)
        judge.keep(folder.journal)
    finally:
        claims.close()
        folder.close()
    if output.json:
        output.document({"accepted": [plan.name(job) for job in chosen]})
    else:
        output.result("\n".join(_lines(plan, chosen)))
    return EXIT_OK


def _lines(plan: Plan, jobs: list[int]) -> Iterator[str]:
    """A line for each job, or, of many, one for those of a declaration."""
    from joblot.cli import declared

    groups = (
        [(plan.name(job), [job]) for job in jobs]
        if len(jobs) <= declared.SINGLY
        else declared.by_declaration(plan, jobs)
    )
    for name, some in groups[: declared.SINGLY]:
        what = f"{len(some)} jobs, up to date as they are" if len(some) > 1 else "up to date as it is"
        yield f"accepted `{name}`: {what}" if name else f"accepted {what}"
    if len(groups) > declared.SINGLY:
        yield f"... and {sum(len(some) for _, some in groups[declared.SINGLY :])} more (`--json` lists all)"
