"""`joblot graph`: the jobs and their needs as a picture's source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot.cli.options import batch_argument, batch_help, variables_option
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot.cli.output import Output
    from joblot.plan import Plan


@click.command("graph", help=f"Print the jobs and their needs for mermaid or dot.\n\n{batch_help}")
@batch_argument
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "dot"]), default="mermaid", show_default=True, help="the language"
)
@variables_option
@click.pass_obj
def command(output: Output, batch: str | None, form: str, variables: list[tuple[str, str]]) -> int:
    """Load the batch and draw it."""
    from joblot.cli import batch as batches

    plan, warnings = batches.read(batch, variables, strict=False)
    batches.warn(output, warnings)
    output.result("\n".join(_dot(plan) if form == "dot" else _mermaid(plan)))
    return EXIT_OK


def _mermaid(plan: Plan) -> Iterator[str]:
    yield "flowchart LR"
    for job in range(len(plan)):
        yield f'  j{job}["{plan.name(job)}"]'
    yield from (f"  j{need} --> j{job}" for job, need in _edges(plan))


def _dot(plan: Plan) -> Iterator[str]:
    name = plan.config.name.replace("\\", "\\\\").replace('"', '\\"')
    yield f'digraph "{name}" {{'
    yield "  rankdir=LR"
    for job in range(len(plan)):
        yield f'  j{job} [label="{plan.name(job)}"]'
    yield from (f"  j{need} -> j{job}" for job, need in _edges(plan))
    yield "}"


def _edges(plan: Plan) -> Iterator[tuple[int, int]]:
    return ((job, need) for job in range(len(plan)) for need in plan.needs[job])
