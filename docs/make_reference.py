"""Writes the parts of the reference that the code knows best: between the marks in `docs/reference/*.md` and `docs/sirene/*.md`.

`python docs/make_reference.py` writes them; with `--check` it says which are out of date, and exits 1.

A page's prose is written by hand; a block `<!-- begin: NAME -->` to `<!-- end: NAME -->` is replaced by what the function of that name
below makes of the code. A test runs the same comparison.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tempfile
import types
import typing
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS, BUILT_IN, Action
from joblot.cli import SECTIONS, cli, options
from joblot.config import fields as tables
from joblot.config.fields import BATCH, JOB, LIMIT, RETRY, SCHEDULE, SHARED, Field
from joblot.config.schema import json_schema
from joblot.config.variables import DECLARATION
from joblot.core import events
from joblot.core.model import Artifact, Config, JobSpec, Limit, Retry, Schedule
from joblot_sirene.cli import COMMANDS as SIRENE_COMMANDS
from joblot_sirene.cli import options as sirene_options
from joblot_sirene.jobs import jobfile, profiles
from joblot_sirene.register import code_lists
from joblot_sirene.steps import model, parameters

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REFERENCE: Final = Path(__file__).resolve().parent / "reference"
SIRENE: Final = REFERENCE.parent / "sirene"
_MODEL_NAMES: Final = {
    "timeout": "timeout_s",
    "grace": "grace_s",
    "delay": "delay_s",
    "max_delay": "max_delay_s",
    "within": "within_s",
}
_SAMPLE: Final = "INFO start\nERROR disk full\n\nINFO retry\nERROR disk full\n"
_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "copy": {"output": "out/copy.txt"},
    "count_lines": {"pattern": "ERROR"},
    "file_stats": {},
    "process_items": {},
    "search_pattern": {"pattern": "ERROR|start"},
    "word_frequency": {"top_n": 2},
}
"""Parameters with which each action that does its work itself is run on `_SAMPLE`."""


# --- tables -----------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(head)]
    lines += ["|".join("---" for _ in lines[0].split(" | "))]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" if index != 1 else f"|{line}|" for index, line in enumerate(lines))


def code(text: object) -> str:
    """Something as inline code."""
    return f"`{text}`"


# --- the batch file ---------------------------------------------------------------------------------


def kind_of(schema: dict[str, Any]) -> str:
    """What an editor is told of a field's type, in words."""
    if "enum" in schema:
        return " or ".join(code(item) for item in schema["enum"])
    if schema.get("examples") == tables._DURATION["examples"]:  # noqa: SLF001 - the one mark of a duration
        return "duration"
    if schema.get("examples") == tables._SIZE["examples"]:  # noqa: SLF001 - as above
        return "size"
    words = {
        "string": "text",
        "array": "list",
        "object": "mapping",
        "integer": "whole number",
        "boolean": "`true` or `false`",
    }
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    shown = [words.get(kind, kind) for kind in kinds if kind != "null"]
    return " or ".join(shown) or "any value"


def default_of(model: type[msgspec.Struct], name: str) -> str:
    """The default of a field, as one would write it."""
    known = {field.name: field for field in msgspec.structs.fields(model)}
    field = known.get(_MODEL_NAMES.get(name, name))
    if field is None:
        return "none"
    value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if value is msgspec.NODEFAULT or value is None or value in ((), {}, [], ""):
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, Retry):
        return "one attempt"
    if name in _MODEL_NAMES:
        return code({3600: "1h", 86_400: "24h"}.get(value, f"{value:g}s"))
    return code(f"{value:g}" if isinstance(value, float) else value)


def fields_table(fields: dict[str, Field], model: type[msgspec.Struct], required: Iterable[str] = ()) -> str:
    """The fields of one mapping of a batch file."""
    rows = (
        [
            code(name),
            kind_of(field.schema),
            "required" if name in required else default_of(model, name),
            field.about,
        ]
        for name, field in fields.items()
    )
    return table(["field", "type", "default", "meaning"], rows)


def batch_fields() -> str:
    """The fields of the batch itself."""
    return fields_table(BATCH, Config, json_schema([])["required"])


def job_fields() -> str:
    """The fields of a job."""
    return fields_table(JOB, JobSpec, json_schema([])["$defs"]["job"]["required"])


def retry_fields() -> str:
    """The fields of `retry`."""
    return fields_table(RETRY, Retry)


def schedule_fields() -> str:
    """The fields of `schedule`."""
    return fields_table(SCHEDULE, Schedule, ["cron"])


def limit_fields() -> str:
    """The fields of a limit."""
    return fields_table(LIMIT, Limit)


def variable_fields() -> str:
    """The fields of a declared variable."""
    rows = ([code(name), kind_of(field.schema), field.about] for name, field in DECLARATION.items())
    return table(["field", "type", "meaning"], rows)


def shared_fields() -> str:
    """What `defaults` may hold."""
    return ", ".join(code(name) for name in SHARED) + "."


# --- the command line -------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its options, from click's own description."""
    parts = [_options("joblot", cli)]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            parts.append(_command(name, command))
            if isinstance(command, click.Group):
                parts += [_command(f"{name} {inner}", below) for inner, below in command.commands.items()]
    return "\n\n".join(part for part in parts if part)


def sirene_commands() -> str:
    """The group `sirene`, which comes through the entry point group `joblot.commands`, and its commands."""
    group = cli.get_command(click.Context(cli), "sirene")
    assert isinstance(group, click.Group)
    parts = [" ".join((group.help or "").split())]
    for name in SIRENE_COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        parts.append(_command(f"sirene {name}", command))
    return "\n\n".join(parts)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command)
    words = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join(["joblot", name, "[OPTIONS]", *words])
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    about = "\n\n".join(map(_paragraph, paragraphs))
    if isinstance(command, click.Group):  # its commands have the options
        return f"### `joblot {name}`\n\n{about}"
    return "\n\n".join([f"### `joblot {name}`", f"```text\n{usage}\n```", about, _options(name, command)]).rstrip()


def _paragraph(text: str) -> str:
    """A paragraph of a command's help; lines that click keeps apart are command lines."""
    if text.startswith("\b\n"):
        return f"```bash\n{inspect.cleandoc(text.removeprefix(chr(8)))}\n```"
    return " ".join(text.split())


def _options(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    if getattr(command, "groups", None):
        assert isinstance(command, (options.Command, sirene_options.Command))
        return "\n\n".join(f"{title}:\n\n{_option_table(found)}" for title, found in command.grouped(context))
    return _option_table([one for one in command.get_params(context) if isinstance(one, click.Option)])


def _option_table(options: Iterable[click.Option]) -> str:
    rows = [[_written(option), _meaning(option), code(option.envvar) if option.envvar else ""] for option in options]
    return table(["option", "meaning", "environment"], rows)


def _meaning(option: click.Option) -> str:
    shown = f" (default: {code(option.default)})" if option.show_default is True and not option.is_flag else ""
    return f"{option.help or ''}{shown}"


def _written(option: click.Option) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.metavar or _values(option)}"
    return ", ".join(code(f"{name}{value}") for name in names)


def _values(option: click.Option) -> str:
    kind = option.type
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()


# --- actions ----------------------------------------------------------------------------------------


def actions() -> str:
    """Every built-in action, with what it gives for a small file."""
    return "\n\n".join(_action(ACTIONS[name]) for name in sorted(BUILT_IN))


def sirene_action() -> str:
    """The action of `joblot_sirene`."""
    return _action(ACTIONS["sirene.dataset"])


def _action(action: Action) -> str:
    signature = action.signature
    parts = [f"## `{action.name}`", *_paragraphs(action.function), f"Input: {signature.input}."]
    rows = [
        [code(one.name), code(_type(one.type)), "required" if one.required else code(_literal(one.default))]
        for one in signature.parameters.values()
    ]
    parts.append(table(["parameter", "type", "default"], rows) if rows else "No parameters.")
    if action.name in _EXAMPLES:
        parts.append(_example(action))
    return "\n\n".join(parts)


def _paragraphs(function: Callable[..., Any]) -> Iterator[str]:
    """The docstring, with its section on errors as a sentence."""
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        text = " ".join(paragraph.split())
        yield re.sub(r"^Raises: ActionError: ", "The job fails when: ", text)


def _type(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " | ".join(_type(member) for member in typing.get_args(kind))
    if kind is type(None):
        return "None"
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(kind)) if typing.get_args(kind) else kind.__name__


def _literal(value: Any) -> str:
    return "null" if value is None else msgspec.json.encode(value).decode()


def _example(action: Action) -> str:
    params = _EXAMPLES[action.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.log").write_text(_SAMPLE, encoding="utf-8")
        made = {key: folder / item if key == "output" else item for key, item in params.items()}
        result = action.call(folder / "app.log", made, Context.for_test(folder))
    written = msgspec.json.encode(params).decode()
    shown = msgspec.json.encode(result).decode()
    return f"With `params: {written}` on [the sample](#the-sample):\n\n```json\n{shown}\n```"


def sample() -> str:
    """The file that the examples were run on."""
    return f"```text\n{_SAMPLE}```"


# --- events -----------------------------------------------------------------------------------------


def event_kinds() -> str:
    """Every event: what it records, and its fields."""
    notes = _attribute_notes(Path(inspect.getfile(events)))
    kinds = typing.get_args(events.AnyEvent)
    return "\n\n".join(_event(kind, notes) for kind in (*kinds, events.Record, Artifact))


def _event(kind: type[msgspec.Struct], notes: dict[tuple[str, str], str]) -> str:
    tag = kind.__struct_config__.tag
    title = code(tag) if tag else kind.__name__
    about = "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(kind.__doc__ or "").split("\n\n"))
    rows = [
        [code(field.name), code(_type(field.type)), _field_default(field), notes.get((kind.__name__, field.name), "")]
        for field in msgspec.structs.fields(kind)
    ]
    return f"## {title}\n\n{about}\n\n" + table(["field", "type", "left out when", "meaning"], rows)


def _field_default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is events.NO_RESULT:
        return "no result"
    if field.default_factory is not msgspec.NODEFAULT:
        return "empty"
    return "never" if field.default is msgspec.NODEFAULT else code(msgspec.json.encode(field.default).decode())


def _attribute_notes(path: Path) -> dict[tuple[str, str], str]:
    """The texts that stand under attributes of classes."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for attribute, note in zip(node.body, node.body[1:], strict=False):
                if isinstance(attribute, ast.AnnAssign) and isinstance(note, ast.Expr):
                    text = ast.literal_eval(note.value)
                    found[node.name, ast.unparse(attribute.target)] = " ".join(text.split())
    return found


# --- joblot_sirene ----------------------------------------------------------------------------------


def dataset_columns() -> str:
    """The columns that a dataset may have."""
    return table(["column", "meaning"], ([code(name), meaning] for name, meaning in model.COLUMNS.items()))


def shipped_profiles() -> str:
    """Each shipped profile as `--explain` shows it."""
    found = (profiles.load(name) for name in profiles.NAMES)
    return "\n\n".join(
        f"### `{one.name}`\n\n{one.description[0].upper()}{one.description[1:]}.\n\n```text\n"
        + "\n".join(one.explain())
        + "\n```"
        for one in found
    )


def step_parameters() -> str:
    """Every step with its parameters."""
    rows = []
    for name, purpose in profiles.STEPS.items():
        struct = getattr(parameters, name.capitalize())
        fields = [
            f"`{field.name}`: `{_literal(msgspec.to_builtins(_value_of(field)))}`"
            for field in msgspec.structs.fields(struct)
        ]
        about = " ".join(inspect.cleandoc(struct.__doc__ or "").split()) if fields else ""
        rows.append(
            [
                code(name),
                purpose,
                "" if name in profiles.BEFORE_NORMALISE else "`normalise`",
                "<br>".join(fields),
                about,
            ]
        )
    return table(["step", "what it does", "after", "parameters and defaults", "meaning of the parameters"], rows)


def _value_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def target_keys() -> str:
    """What targets can be set for."""
    rows = ([code(key), f"without the issue `{issue}`"] for key, issue in parameters.KPIS.items())
    return table(["key", "the share of rows"], rows)


def profiles_file() -> str:
    """The shipped file of profiles."""
    return f"```yaml\n{profiles.shipped()}```"


def job_template() -> str:
    """The shipped template of job files."""
    return f"```yaml\n{jobfile.template()}```"


def headcount_bands() -> str:
    """The bands of headcounts."""
    rows = (
        [code(band), str(least), "" if most is None else str(most), label]
        for band, (least, most, label) in code_lists.HEADCOUNTS.items()
    )
    return table(["band", "least", "most", "label"], rows)


def street_types() -> str:
    """The types of street that are written in full, by their short form."""
    return ", ".join(f"`{short}` {long}" for short, long in code_lists.STREET_TYPES.items()) + "."


def region_names() -> str:
    """The regions that `filters.regions` knows by name."""
    return ", ".join(sorted(code_lists.REGIONS.values())) + "."


# --- the pages --------------------------------------------------------------------------------------

BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "batch fields": batch_fields,
    "job fields": job_fields,
    "retry fields": retry_fields,
    "schedule fields": schedule_fields,
    "limit fields": limit_fields,
    "variable fields": variable_fields,
    "shared fields": shared_fields,
    "commands": commands,
    "actions": actions,
    "sample": sample,
    "events": event_kinds,
    "sirene commands": sirene_commands,
    "sirene action": sirene_action,
    "dataset columns": dataset_columns,
    "shipped profiles": shipped_profiles,
    "step parameters": step_parameters,
    "target keys": target_keys,
    "profiles file": profiles_file,
    "job template": job_template,
    "headcount bands": headcount_bands,
    "region names": region_names,
    "street types": street_types,
}
_BLOCK: Final = re.compile(r"(<!-- begin: ([a-z ]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def renewed(text: str) -> str:
    """A page with its blocks as the code has them now."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n\n{match[3]}", text)


def pages() -> list[Path]:
    """The pages that may have blocks."""
    return sorted([*REFERENCE.glob("*.md"), *SIRENE.glob("*.md")])


def outdated() -> list[tuple[Path, str]]:
    """The pages that are not what they should be, with what they should be."""
    found = ((path, path.read_text(encoding="utf-8")) for path in pages())
    fresh = ((path, text, renewed(text)) for path, text in found)
    return [(path, new) for path, old, new in fresh if new != old]


def main() -> int:
    """Write or check."""
    found = outdated()
    for path, new in found:
        sys.stdout.write(f"{path.relative_to(REFERENCE.parent.parent)}\n")
        if "--check" not in sys.argv:
            path.write_text(new, encoding="utf-8")
    return 1 if found and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
