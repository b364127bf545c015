"""`joblot schema`: the JSON Schema of batch files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot.errors import EXIT_OK, UsageError, did_you_mean

if TYPE_CHECKING:
    from joblot.cli.output import Output


@click.command(
    "schema",
    help="Print the JSON Schema of batch files, with the parameters of every installed action, for editors; or the part of it "
    "that a dotted PATH names, such as `jobs.retry.max_attempts`.",
)
@click.argument("path", required=False)
@click.pass_obj
def command(output: Output, path: str | None) -> int:
    """Make the schema and print it."""
    from joblot.actions.registry import ACTIONS
    from joblot.config.schema import json_schema

    signatures = (ACTIONS.signature(name) for name in ACTIONS.names())
    schema = json_schema([signature for signature in signatures if signature is not None])
    part: dict[str, Any] = schema
    walked: list[str] = []
    for key in path.split(".") if path else []:
        fields = _fields(schema, part)
        if key not in fields:
            parent = f"`{'.'.join(walked)}`" if walked else "a batch file"
            hint = did_you_mean(key, fields) or f"one of: {', '.join(sorted(fields)) or 'none'}"
            raise UsageError(f"{parent} has no field `{key}`", hint=hint)
        part = fields[key]
        walked.append(key)
    output.document(_resolved(schema, part))
    return EXIT_OK


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part that a `$ref` names, or `part` itself."""
    while "$ref" in part:
        target: Any = schema
        for key in part["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        part = target
    return part


def _fields(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields below a part, also through lists and alternatives."""
    part = _resolved(schema, part)
    fields: dict[str, dict[str, Any]] = dict(part.get("properties", {}))
    below = [*part.get("anyOf", []), *part.get("oneOf", [])]
    if isinstance(part.get("items"), dict):
        below.append(part["items"])
    for other in below:
        fields = {**_fields(schema, other), **fields}
    return fields
