"""`joblot graph`: the jobs and their needs as a picture's source."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import click

from joblot.cli.options import batch_argument, batch_help, looking_help, no_commands_option, variables_option
from joblot.core.fan_out import pattern_of
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from joblot.cli.output import Output
    from joblot.core.plan import Plan


LISTED: Final = 100
"""In larger plans the jobs of a fan-out are drawn as one."""


@click.command(
    "graph",
    help=f"Print the jobs and their needs for mermaid or dot; more than {LISTED} jobs with those of a fan-out as one. {looking_help}\n\n{batch_help}",
)
@batch_argument
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "dot"]), default="mermaid", show_default=True, help="the language"
)
@variables_option
@no_commands_option
@click.pass_obj
def command(
    output: Output, batch: tuple[str, ...], form: str, variables: list[tuple[str, str]], *, no_commands: bool
) -> int:
    """Load the batch and draw it."""
    from joblot.cli import batch as batches

    plan, warnings = batches.read(batch, variables, commands=not no_commands)
    batches.warn(output, warnings)
    output.result("\n".join(_dot(plan) if form == "dot" else _mermaid(plan)))
    return EXIT_OK


def _mermaid(plan: Plan) -> Iterator[str]:
    nodes, edges = _nodes_and_edges(plan)
    yield "flowchart LR"
    ordinary, last = _apart(plan, nodes)
    yield from (f'  j{job}["{text}"]' for job, text in ordinary)
    if last:
        yield "  subgraph finally"
        yield from (f'    j{job}["{text}"]' for job, text in last)
        yield "  end"
    yield from (
        f'  j{need} -->|"{_escaped(path)}"| j{job}' if path else f"  j{need} --> j{job}" for job, need, path in edges
    )


def _dot(plan: Plan) -> Iterator[str]:
    nodes, edges = _nodes_and_edges(plan)
    name = plan.config.name.replace("\\", "\\\\").replace('"', '\\"')
    yield f'digraph "{name}" {{'
    yield "  rankdir=LR"
    ordinary, last = _apart(plan, nodes)
    yield from (f'  j{job} [label="{text}"]' for job, text in ordinary)
    if last:
        yield "  subgraph cluster_finally {"
        yield '    label="finally"'
        yield from (f'    j{job} [label="{text}"]' for job, text in last)
        yield "  }"
    for job, need, path in edges:
        label = path.replace("\\", "\\\\").replace('"', '\\"')
        yield f'  j{need} -> j{job} [label="{label}"]' if path else f"  j{need} -> j{job}"
    yield "}"


def _apart(plan: Plan, nodes: Iterable[tuple[int, str]]) -> tuple[Iterable[tuple[int, str]], list[tuple[int, str]]]:
    """The nodes, those of `finally` by themselves."""
    if not plan.finals:
        return nodes, []
    nodes = list(nodes)
    return [node for node in nodes if node[0] not in plan.finals], [node for node in nodes if node[0] in plan.finals]


def _nodes_and_edges(plan: Plan) -> tuple[Iterable[tuple[int, str]], Iterable[tuple[int, int, str]]]:
    """Nodes, and edges with the file between them: of a large plan the jobs of a fan-out are one node, which bears the number of the first."""
    if len(plan) <= LISTED:
        files = (plan.made_input(job) for job in range(len(plan)))
        edges = ((job, need, made.get(need, "")) for job, made in enumerate(files) for need in plan.needs[job])
        return enumerate(map(plan.name, range(len(plan)))), edges
    pairs = ((job, need) for job in range(len(plan)) for need in plan.needs[job])
    # A plan may have a million jobs, so an array of four bytes a job and no dictionary. The edges between two fan-outs all become the same
    # pair, which is drawn once; those within a fan-out would be loops.
    stands_for = array("i", range(len(plan)))
    texts = {}
    for spec, jobs in plan.fan_outs:
        stands_for[jobs.start : jobs.stop] = array("i", [jobs.start]) * len(jobs)
        texts[jobs.start] = f"{pattern_of(spec.name)} ({len(jobs)})"
    nodes = ((job, texts.get(job) or plan.name(job)) for job in range(len(plan)) if stands_for[job] == job)
    joined = ((stands_for[job], stands_for[need]) for job, need in pairs) if plan.needs.partners else ()
    return nodes, ((job, need, "") for job, need in dict.fromkeys(pair for pair in joined if pair[0] != pair[1]))


def _escaped(text: str) -> str:
    """A text for a label of mermaid, where a quote and a `#` begin something."""
    return text.replace("#", "#35;").replace('"', "#quot;")
