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
    help=f"Check a batch file and list everything that is wrong.\n\n{batch_help}",
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

    plan, warnings = batches.read(batch, variables, strict=strict)
    batches.warn(output, warnings)
    jobs = f"{len(plan)} job" if len(plan) == 1 else f"{len(plan)} jobs"
    if output.json:
        output.document(
            {"ok": True, "jobs": len(plan), "errors": [], "warnings": [each.as_dict() for each in warnings]}
        )
    else:
        output.result(f"ok: {jobs}")
    return EXIT_OK
