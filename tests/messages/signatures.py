"""The actions that the batches of the tests of `config` use."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Literal

from joblot.core.model import Parameter, Signature


def signature(name: str, takes: str, *, more: bool = False, **types: Any) -> Signature:
    """A signature whose parameters are optional, but for those given as a tuple of their type."""
    parameters = {
        key: Parameter(key, kind[0] if isinstance(kind, tuple) else kind, isinstance(kind, tuple))
        for key, kind in types.items()
    }
    return Signature(name, parameters, takes, open=more)


SIGNATURES = {
    found.name: found
    for found in (
        signature("count_lines", "required", pattern=str | None),
        signature("search_pattern", "required", pattern=(str,), ignore_case=bool),
        signature(
            "build", "optional",
            codes=(list[str],), day=dt.date | None, top=int, share=float, mode=Literal["quick", "deep"], output=Path,
        ),
        signature("notify", "none", more=True),
    )
}  # fmt: skip
