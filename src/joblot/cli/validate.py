"""`joblot validate`: check a batch file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from joblot.cli.options import batch_argument, batch_help, json_option, no_color_option, variables_option
from joblot.errors import EXIT_CONFIG, EXIT_OK, ConfigError, UsageError

if TYPE_CHECKING:
    from joblot.cli.output import Output
    from joblot.errors import Diagnostic


@click.command(
    "validate",
    help="Check a batch file and list everything that is wrong. No program is started: "
    "commands of `foreach: {command: ...}` are not run; `imports` are imported, since they say what parameters there are."
    f"\n\n{batch_help}",
)
@batch_argument
@variables_option
@click.option("--strict", is_flag=True, help="let warnings count as errors")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github"]),
    default="text",
    help="`github`: errors and warnings as annotations that GitHub Actions shows at their lines",
)
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output, batch: tuple[str, ...], variables: list[tuple[str, str]], *, strict: bool, form: str
) -> int:
    """Load and expand the batch."""
    from joblot.cli import batch as batches

    if form == "github" and output.json:
        raise UsageError("`--format` and `--json` exclude each other")
    try:
        plan, warnings = batches.read_ahead(batch, variables, strict=strict, commands=False)
    except ConfigError as error:
        if form != "github":
            raise
        output.result("\n".join(map(annotation, error.diagnostics)))
        return EXIT_CONFIG
    if form == "github":
        for warning in warnings:
            output.result(annotation(warning))
    else:
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


def annotation(found: Diagnostic) -> str:
    """A line that GitHub Actions makes an annotation of: `::error file=joblot.yaml,line=3,col=5,title=unknown_field::message`."""
    file = found.file
    root = os.environ.get("GITHUB_WORKSPACE", "")
    if root and os.path.isabs(file) and file.startswith(f"{root}/"):  # noqa: PTH117
        file = os.path.relpath(file, root)
    places = {"file": file, "line": found.line or "", "col": found.column or "", "title": found.code}
    said = ",".join(f"{name}={_property(str(value))}" for name, value in places.items() if value)
    hint = f"\nhint: {found.hint}" if found.hint else ""
    shown = found.as_dict()  # as short as it is shown elsewhere
    return f"::{found.severity} {said}::{_data(str(shown['message']) + hint)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _others(unread: list[str]) -> str:
    return f", and {len(unread) - 1} more," if len(unread) > 1 else ""
