"""The JSON Schema for editors."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from joblot.config.fields import BATCH, JOB
from joblot.config.schema import json_schema, type_schema
from joblot.core.model import Parameter, Signature
from messages.signatures import SIGNATURES


class Colour(enum.Enum):
    RED = "red"


SCHEMA = json_schema(SIGNATURES.values())


def test_schema_is_json_and_names_its_draft():
    assert json.loads(json.dumps(SCHEMA))["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_that_is_read_is_described():
    assert set(SCHEMA["properties"]) == set(BATCH)
    assert set(SCHEMA["$defs"]["job"]["properties"]) == set(JOB)
    for fields in (SCHEMA["properties"], SCHEMA["$defs"]["job"]["properties"]):
        assert all(field["description"].endswith(".") for field in fields.values())


def test_parameters_depend_on_the_action():
    rules = {rule["if"]["properties"]["action"]["const"]: rule["then"] for rule in SCHEMA["$defs"]["job"]["allOf"]}
    assert set(rules) == set(SIGNATURES)
    assert rules["search_pattern"] == {
        "properties": {"params": {"$ref": "#/$defs/params.search_pattern"}},
        "required": ["input", "params"],
    }
    assert rules["notify"]["properties"]["input"] == {"type": "null"}
    params = SCHEMA["$defs"]["params.search_pattern"]
    assert params["required"] == ["pattern"]
    assert params["additionalProperties"] is False
    assert params["properties"]["pattern"] == {"type": "string"}
    assert SCHEMA["$defs"]["params.notify"]["additionalProperties"] is True


def test_parameters_show_their_default_and_description():
    signature = Signature(
        "a",
        {"n": Parameter("n", int, False, 5, "How many."), "p": Parameter("p", Path, False, Path("x"))},
        "none",
        summary="Does.",
    )
    found = json_schema([signature])["$defs"]["params.a"]
    assert found["description"] == "Does."
    assert found["properties"]["n"]["description"] == "How many."
    assert found["properties"]["n"]["default"] == 5
    assert found["properties"]["p"] == {"type": "string", "default": "x"}


def test_number_may_be_a_reference():
    assert SCHEMA["$defs"]["params.build"]["properties"]["top"]["anyOf"] == [
        {"type": "integer"},
        {"type": "string", "pattern": r"\$\{\{"},
    ]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}), (bool, {"type": "boolean"}), (Any, {}), (Path, {"type": "string"}), (Colour, {"enum": ["red"]}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}), (Literal["a", 1], {"enum": ["a", 1]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}), (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (Mapping[str, float], {"type": "object", "additionalProperties": {"type": "number"}}), (dict, {"type": "object", "additionalProperties": {}}),
        (tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}), (Annotated[int, "x"], {"type": "integer"}),
        (dt.date, {"type": "string", "format": "date"}), (complex, {}), (bytes, {}),
    ],
)  # fmt: skip
def test_types(kind, schema):
    assert type_schema(kind) == schema


def test_schema_without_actions():
    assert "allOf" not in json_schema([])["$defs"]["job"]
