"""`joblot validate`: check a batch file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot.cli.options import batch_argument, batch_help, json_option, no_color_option, variables_option
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from joblot.cli.output import Output


@click.command(
    "validate",
    help="Check a batch file and list everything that is wrong. No program is started: "
    "commands of `foreach: {command: ...}` are not run; `imports` are imported, since they say what parameters there are."
    f"\n\n{batch_help}",
)
@batch_argument
@variables_option
@click.option("--strict", is_flag=True, help="let warnings count as errors")
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, batch: tuple[str, ...], variables: list[tuple[str, str]], *, strict: bool) -> int:
    """Load and expand the batch."""
    from joblot.cli import batch as batches

    plan, warnings = batches.read_ahead(batch, variables, strict=strict, commands=False)
    batches.warn(output, warnings)
    jobs = f"{len(plan)} job" if len(plan) == 1 else f"{len(plan)} jobs"
    unread = [plan.name(job) for job in plan.unread]
    if output.json:
        document = {"ok": True, "jobs": len(plan), "errors": [], "warnings": [each.as_dict() for each in warnings]}
        output.document(document | ({"not_listed": unread} if unread else {}))
    else:
        output.result(f"{output.tint('success', 'ok')}: {jobs}")
        for spec in plan.config.jobs:
            if spec.when != "success" and "*" in spec.needs and not spec.finally_:
                output.note(f"`{spec.name}` needs all others; under `finally` it would run whatever ends the run")
        if unread:
            output.note(f"no command was run: what `{unread[0]}` stands for{_others(unread)} counts as one job")
    return EXIT_OK


def _others(unread: list[str]) -> str:
    return f", and {len(unread) - 1} more," if len(unread) > 1 else ""
