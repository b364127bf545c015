"""The JSON Schema of batch files, for editors: the fields, and the parameters of every action.

It describes the same tables that the checks use. An editor cannot know all that `load` checks, so the schema lets a few wrong files
pass, but never refuses a right one.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final

import msgspec

from joblot.config.fields import BATCH, JOB, SHARED, Field
from joblot.config.variables import DECLARATION

if typing.TYPE_CHECKING:
    from joblot.core.model import Parameter, Signature

_REFERENCE: Final = {"type": "string", "pattern": r"\$\{\{"}
_SIMPLE: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_OWN: Final[dict[str, Any]] = {"^x-": {}}


def json_schema(signatures: Iterable[Signature]) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of batch files that use these actions."""
    ordered = sorted(signatures, key=lambda signature: signature.name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "joblot batch",
        "type": "object",
        "properties": {
            **_properties(BATCH),
            "vars": {**_described(BATCH["vars"]), "additionalProperties": _variable()},
            "defaults": {**_described(BATCH["defaults"]), **_closed(SHARED)},
            **{name: {**_described(BATCH[name]), "items": {"$ref": "#/$defs/job"}} for name in ("jobs", "finally")},
        },
        "patternProperties": _OWN,
        "additionalProperties": False,
        "required": ["jobs"],
        "$defs": {"job": _job(ordered), **{f"params.{signature.name}": _params(signature) for signature in ordered}},
    }


def _described(field: Field) -> dict[str, Any]:
    return {**field.schema, "description": field.about}


def _properties(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {name: _or_reference(_described(field)) for name, field in fields.items()}


def _closed(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {"properties": _properties(fields), "patternProperties": _OWN, "additionalProperties": False}


def _or_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or a text with a reference in it."""
    kinds = schema.get("type", "")
    if (not kinds and "enum" not in schema) or (("string" in kinds) and "pattern" not in schema):
        return schema
    about: dict[str, Any] = {name: schema[name] for name in ("description", "default") if name in schema}
    rest = {name: item for name, item in schema.items() if name not in about}
    return {**about, "anyOf": [rest, _REFERENCE]}


def _variable() -> dict[str, Any]:
    properties = {name: _described(field) for name, field in DECLARATION.items()}
    declaration = {**_closed(DECLARATION), "type": "object", "properties": properties}
    return {"anyOf": [{"type": ["string", "number", "boolean", "array", "null"]}, declaration]}


def _job(signatures: list[Signature]) -> dict[str, Any]:
    job: dict[str, Any] = {
        "type": "object",
        **_closed(JOB),
        "required": ["name"],
        "oneOf": [{"required": ["action"]}, {"required": ["run"]}],
    }
    if signatures:
        action = _described(JOB["action"])
        examples = [signature.name for signature in signatures]
        job["properties"] = {**job["properties"], "action": {**action, "examples": examples}}
        job["allOf"] = [_when_action(signature) for signature in signatures]  # empty it would be no valid schema
    return job


def _when_action(signature: Signature) -> dict[str, Any]:
    needed = ["input"] if signature.input == "required" else []
    needed += ["params"] if any(parameter.required for parameter in signature.parameters.values()) else []
    then: dict[str, Any] = {"properties": {"params": {"$ref": f"#/$defs/params.{signature.name}"}}}
    if signature.input == "none":
        then["properties"]["input"] = {"type": "null"}
    if needed:
        then["required"] = needed
    return {"if": {"properties": {"action": {"const": signature.name}}, "required": ["action"]}, "then": then}


def _params(signature: Signature) -> dict[str, Any]:
    required = [name for name, parameter in signature.parameters.items() if parameter.required]
    schema: dict[str, Any] = {
        "type": "object" if required else ["object", "null"],
        "properties": {name: _or_reference(_parameter(parameter)) for name, parameter in signature.parameters.items()},
        "additionalProperties": signature.open,
    }
    if signature.summary:
        schema["description"] = signature.summary
    if required:
        schema["required"] = required
    return schema


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(type_schema(parameter.type))
    if parameter.doc:
        schema["description"] = parameter.doc
    if not parameter.required:
        default = _as_json(parameter.default)
        if default is not None:
            schema["default"] = default
    return schema


def _as_json(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, enc_hook=str)
    except (TypeError, ValueError):
        return None


def type_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of an annotation; of one that says nothing about JSON, the schema that takes anything."""
    # Not `msgspec.json.schema`: it refuses unions that hold a path, or a type that only the action understands.
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [type_schema(member) for member in members]}
    if origin is typing.Literal:
        return {"enum": list(members)}
    if origin is typing.Annotated:
        return type_schema(members[0])
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return {"type": "string"}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    if isinstance(origin or kind, type):
        return _container_schema(origin or kind, members, kind)
    return {}


def _container_schema(origin: type, members: tuple[Any, ...], kind: Any) -> dict[str, Any]:
    # The order matters: a mapping is iterable too, and a tuple of several types is no list of one type.
    if issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": type_schema(members[1]) if len(members) == 2 else {}}
    if origin is tuple and members and members[-1] is not Ellipsis:
        return {
            "type": "array",
            "prefixItems": [type_schema(member) for member in members],
            "minItems": len(members),
            "maxItems": len(members),
        }
    if issubclass(origin, Iterable) and not issubclass(origin, (str, bytes)):
        return {"type": "array", "items": type_schema(members[0]) if members else {}}
    if origin.__module__ in ("datetime", "decimal", "uuid"):
        return {key: item for key, item in msgspec.json.schema(kind).items() if key in ("type", "format")}
    return {}
