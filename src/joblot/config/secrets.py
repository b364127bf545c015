"""The values that the secrets of a batch have, as far as they are known while it is read; texts that must not hold them.

What a text of the batch says is stored with each run and shown. Nothing here masks what jobs print.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from joblot.core.references import as_text
from joblot.core.written import RawScalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from joblot.errors import Diagnostic

_SHORTEST: Final = 4
"""Shorter values are no secrets: they stand everywhere."""
_SHORTEST_LINE: Final = 6

Secrets = dict[str, list[str]]
"""Values by the name of the variable, those with several lines also line by line."""


def secrets_of(names: Iterable[str], environments: Iterable[Mapping[str, Any]] = ()) -> Secrets:
    """The values of the named variables in joblot's own environment, and as `environments` of the batch write them."""
    environments = [os.environ, *environments]
    return {name: list(_parts(environments, name)) for name in names}


def environments_of(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The `env` of a batch, of its defaults and of its jobs, as they are written. Whether they are right is not asked here."""
    for holder in _holders(data):
        env = holder.get("env") if isinstance(holder, dict) else None
        if isinstance(env, dict):
            yield env


def _holders(data: Mapping[str, Any]) -> Iterator[Any]:
    lists = (data.get("jobs"), data.get("finally"))
    yield from (data, data.get("defaults"), *(job for jobs in lists if isinstance(jobs, list) for job in jobs))


def files_of(data: Mapping[str, Any], folder: str) -> Iterator[Mapping[str, Any]]:
    """What the files say that a batch names in `env_file`, as far as they can be read by now."""
    for holder in _holders(data):
        given = holder.get("env_file") if isinstance(holder, dict) else None
        if given:
            from joblot.config.env_files import values_in

            yield from values_in(given if isinstance(given, list) else [given], folder)


def _parts(environments: Iterable[Mapping[str, Any]], name: str) -> Iterator[str]:
    for environment in environments:
        value = environment.get(name, "")
        text = value.text if isinstance(value, RawScalar) else value if isinstance(value, str) else ""
        if len(text.encode("utf-8", "surrogateescape")) >= _SHORTEST:
            yield text
            yield from (
                line for part in text.splitlines() if len(line := part.strip()) >= _SHORTEST_LINE and line != text
            )


def secret_in(value: Any, secrets: Secrets) -> str:
    """The name of the secret whose value a value holds; empty when there is none."""
    if not secrets:
        return ""
    text = as_text(value)
    return next((name for name, held in secrets.items() if any(one in text for one in held)), "")


def without_secrets(diagnostics: Iterable[Diagnostic], secrets: Secrets) -> list[Diagnostic]:
    """The diagnostics without the values, and without the lines that hold one."""
    held = sorted({value for values in secrets.values() for value in values}, key=len, reverse=True)
    if not held:
        return list(diagnostics)
    values = re.compile(
        "|".join(
            re.escape(form) for value in held for form in (value, json.dumps(value)[1:-1], value.replace("'", "''"))
        )
    )
    return [
        one._replace(
            message=values.sub("***", one.message),
            hint=values.sub("***", one.hint),
            source="" if values.search(one.source) else one.source,
        )
        for one in diagnostics
    ]  # fmt: skip
