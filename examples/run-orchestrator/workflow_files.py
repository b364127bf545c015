"""Workflows from files: JSON with the fields of a step, or lines of `name|depends_on|description`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from orchestrator import Workflow, WorkflowStep

from joblot import ConfigError, Diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """A step as a JSON file has it; `action` names a Python function."""

    name: str
    action: str
    depends_on: list[str] = []
    max_retries: AtLeastOne = 1
    timeout_ms: AtLeastOne = 30_000
    retry_delay_ms: Annotated[int, msgspec.Meta(ge=0)] = 0


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    """A whole JSON file."""

    steps: list[Step]


def load_workflow(path: Path, actions: Mapping[str, Callable[[], str]]) -> Workflow:
    """The workflow in a file, JSON or lines by its ending.

    Raises:
        ConfigError: (a ValueError) the file cannot be read or is wrong; the message says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
        steps = _from_json(text, actions) if path.suffix == ".json" else _from_lines(text)
        workflow = Workflow(steps, name=path.stem)
        workflow.execution_order()
    except ConfigError as error:
        raise ConfigError([one._replace(file=str(path)) for one in error.diagnostics]) from None
    except OSError as error:
        raise ConfigError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise ConfigError([Diagnostic("workflow", str(error), file=str(path))]) from None
    return workflow


def _from_json(text: str, actions: Mapping[str, Callable[[], str]]) -> list[WorkflowStep]:
    steps = []
    for step in msgspec.json.decode(text, type=Steps).steps:
        if step.action not in actions:
            raise ValueError(f"step `{step.name}`: unknown action `{step.action}`, known are {', '.join(actions)}")
        fields = msgspec.structs.asdict(step)
        steps.append(WorkflowStep(**fields | {"action": actions[step.action]}))
    return steps


def _from_lines(text: str) -> list[WorkflowStep]:
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("|", 2)]
        if len(parts) != 3:
            message = f"expected `name|depends_on|description`, got `{line.strip()}`"
            raise ConfigError([Diagnostic("workflow", message, line=number, column=1)])
        name, needs, description = parts
        depends_on = [need.strip() for need in needs.split(",") if need.strip()]
        steps.append(WorkflowStep(name, _says(description), depends_on))
    return steps


def _says(description: str) -> Callable[[], str]:
    """A step that only says what it stands for."""
    return lambda: description
