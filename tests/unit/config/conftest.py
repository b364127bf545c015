"""Loading small batches."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable

import pytest

from joblot.config.load import load_text
from joblot.core.model import Config
from joblot.errors import ConfigError, Diagnostic
from messages.signatures import SIGNATURES


def load_batch(text: str, kind: str = "yaml", **options) -> tuple[Config, list[Diagnostic]]:
    return load_text(
        textwrap.dedent(text),
        file=f"batch.{kind}",
        folder="/batches",
        format=kind,
        lookup=SIGNATURES.get,
        names=lambda: SIGNATURES,
        **options,
    )


@pytest.fixture
def read() -> Callable[..., Config]:
    """The batch in a text; warnings are not expected."""

    def read_config(text: str, kind: str = "yaml", **options) -> Config:
        config, warnings = load_batch(text, kind, **options)
        assert warnings == []
        return config

    return read_config


@pytest.fixture
def read_data(read) -> Callable[..., Config]:
    """The batch in a JSON-able value."""
    return lambda data, **options: read(json.dumps(data), "json", **options)


@pytest.fixture
def errors() -> Callable[..., list[Diagnostic]]:
    """What is wrong with the batch in a text."""

    def collect(text: str, kind: str = "yaml", **options) -> list[Diagnostic]:
        with pytest.raises(ConfigError) as caught:
            load_batch(text, kind, **options)
        return list(caught.value.diagnostics)

    return collect
