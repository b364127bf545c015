"""`joblot actions`: the actions that jobs can name."""

from __future__ import annotations

import os
import re
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import click

from joblot.cli.options import json_option
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from joblot.actions.registry import Action
    from joblot.cli.output import Output


@click.command(
    "actions", help="List the actions that jobs can name, or describe one: its input, its parameters, their types."
)
@click.argument("name", required=False)
@click.option(
    "--import", "modules", metavar="MODULE", multiple=True, help="a Python file or module that registers more of them"
)
@json_option
@click.pass_obj
def command(output: Output, name: str | None, modules: tuple[str, ...]) -> int:
    """Read the registry and print it."""
    from joblot.actions.registry import ACTIONS, import_modules

    import_modules([_absolute(module) for module in modules])
    if name is not None:
        action = ACTIONS[name]
        if output.json:
            output.document(_as_data(action))
        else:
            output.result("\n".join(_describe(action)))
        return EXIT_OK
    actions = list(ACTIONS.values())
    if output.json:
        output.document([_as_data(action) for action in actions])
    else:
        from joblot.cli.runs import columns

        output.result("\n".join(columns([[action.name, action.signature.summary] for action in actions])))
    return EXIT_OK


def _absolute(module: str) -> str:
    return os.path.abspath(module) if module.endswith(".py") else module  # noqa: PTH100 - as the batch file's `imports` are


def _as_data(action: Action) -> dict[str, Any]:
    signature = action.signature
    return {
        "name": action.name,
        "summary": signature.summary,
        "input": signature.input,
        "parameters": [
            {"name": parameter.name, "type": _type(parameter.type), "required": parameter.required}
            | ({} if parameter.required else {"default": _plain(parameter.default)})
            | ({"doc": parameter.doc} if parameter.doc else {})
            for parameter in signature.parameters.values()
        ],
        "open": signature.open,
        "version": action.version,
        "origin": action.origin,
    }


def _describe(action: Action) -> list[str]:
    from joblot.actions.signature import describe
    from joblot.cli.runs import columns

    signature = action.signature
    lines = [action.name, f"  {signature.summary}" if signature.summary else "", f"  input: {signature.input}"]
    rows = [
        [each.name, _type(each.type), "required" if each.required else f"default {each.default!r}", each.doc]
        for each in signature.parameters.values()
    ]
    if rows:
        lines += ["  params:", *(f"    {line}" for line in columns(rows))]
    if signature.open:
        lines.append("  further params are passed on as they are")
    return [*filter(None, lines), f"  from: {describe(action.function)}"]


def _type(kind: Any) -> str:
    """An annotation as people write it. What `str` makes of a union or of `Path` differs from one Python to the next."""
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_type, get_args(kind)))
    if isinstance(kind, type) and not get_args(kind):
        return "None" if kind is NoneType else kind.__name__
    return re.sub(r"\b(typing|pathlib(\._local)?)\.", "", str(kind))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value, enc_hook=str)
