"""What a Python function takes, read from its signature: the schema of a job's `input` and `params`.

Knows nothing of batches or of values; it neither checks nor converts them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from joblot.core.model import Parameter, Signature
from joblot.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import inspect

CONTEXT: Final = "ctx"
INPUT: Final = "input"


def check(function: Callable[..., Any], *, by_name: bool = False) -> None:
    """Make sure that joblot can call `function`: only `input` and `ctx` need a position, no `*args`, not `async`.

    With `by_name` parameters may stand in a position too, as long as they can be given by name.

    Raises:
        UsageError: it cannot; the message names the function, its file and line, and the parameter.
    """
    import inspect

    if inspect.iscoroutinefunction(function):
        hint = "call `asyncio.run` in a plain function"
        raise UsageError(f"{describe(function)} is `async`: an action is a plain function", hint=hint)
    if inspect.isgeneratorfunction(function):
        raise UsageError(f"{describe(function)} is a generator: an action returns its result")
    # A batch file gives parameters by name, so each needs a name of its own; only `input` and `ctx` are filled in by joblot. Told at the
    # decorator, a wrong function is found when its module is imported and not in the middle of a run.
    for position, parameter in enumerate(_parameters(function)):
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise UsageError(f"{describe(function)} has `*{parameter.name}`: an action's parameters have names")
        if parameter.name == INPUT and position > 0 and parameter.kind is not parameter.KEYWORD_ONLY:
            raise UsageError(f"{describe(function)} has `{INPUT}` as parameter {position + 1}: it is the first one")
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name != INPUT:
            raise UsageError(f"{describe(function)} has the positional parameter `{parameter.name}`", hint=_STAR)
        by_position = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        if by_position and not by_name and parameter.name not in (INPUT, CONTEXT):
            raise UsageError(f"{describe(function)} has the positional parameter `{parameter.name}`", hint=_STAR)


def misfits(function: Callable[..., Any], params: Iterable[str], *, has_input: bool) -> list[tuple[str, str]]:
    """Why a call with parameters of these names cannot be: messages and hints; empty when it can."""
    try:
        check(function, by_name=True)
        known = read("", function)
    except UsageError as error:
        return [(error.message, error.hint)]
    name, given = describe(function), frozenset(params)
    found = []
    if known.input == "required" and not has_input:
        found.append((f"{name} needs an `input`", "give it: `input=...`"))
    for parameter in known.parameters.values():
        if parameter.required and parameter.name not in given:
            hint = f'give it: `params={{"{parameter.name}": ...}}`'
            found.append((f"{name} needs the parameter `{parameter.name}`", hint))
    if not known.open:
        listed = ", ".join(f"`{parameter}`" for parameter in known.parameters)
        takes_them = f"it takes {listed}" if listed else "it takes none"
        for other in sorted(given - known.parameters.keys()):
            hint = did_you_mean(other, known.parameters) or takes_them
            found.append((f"{name} has no parameter `{other}`", hint))
    return found


def check_fused(function: Callable[..., Any]) -> None:
    """Make sure that joblot can call `function` with the jobs of a bundle and their context.

    Raises:
        UsageError: it cannot; the message names the function, its file and line.
    """
    import inspect

    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(f"{describe(function)} is `async` or a generator: an action is a plain function")
    parameters = _parameters(function)
    by_position = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(by_position) != 2 or len(parameters) != 2:
        raise UsageError(f"{describe(function)} must take two parameters: `def many(jobs, ctx)`")


_STAR: Final = "put `*` before the parameters: `def action(input, *, name, ctx)`"


def read(name: str, function: Callable[..., Any]) -> Signature:
    """The signature of an action. Annotations that cannot be evaluated count as `Any`."""
    annotations = hints(function)
    parameters: dict[str, Parameter] = {}
    takes_input: Literal["required", "optional", "none"] = "none"
    is_open = False
    for parameter in _parameters(function):
        if parameter.name == CONTEXT:
            continue
        required = parameter.default is parameter.empty
        if parameter.name == INPUT:
            takes_input = "required" if required else "optional"
        elif parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        else:
            hint = annotations.get(parameter.name, Any)
            default = None if required else parameter.default
            parameters[parameter.name] = Parameter(parameter.name, hint, required, default, _doc(hint))
    return Signature(name, parameters, takes_input, is_open, _summary(function))


def takes_one_path(function: Callable[..., Any]) -> bool:
    """Whether `input` is annotated as one path."""
    from pathlib import Path

    return hints(function).get(INPUT) in (Path, Path | None)


def takes_paths(function: Callable[..., Any]) -> bool:
    """Whether `input` is annotated as a list, or another sequence, of paths."""
    hint = hints(function).get(INPUT)
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [get_origin(option) or option for option in options]
    return any(isinstance(kind, type) and issubclass(kind, Iterable) and not issubclass(kind, str) for kind in kinds)


def takes(function: Callable[..., Any], parameter: str) -> bool:
    """Whether `function` has a parameter of that name."""
    return any(known.name == parameter for known in _parameters(function))


def describe(function: Callable[..., Any]) -> str:
    """`/x/my_actions.py:12: `load``: a function's file, line and name."""
    name = getattr(function, "__qualname__", None) or repr(function)
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: `{name}`" if code else f"`{name}`"


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    import inspect

    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        options["annotation_format"] = Format.FORWARDREF  # as in `_annotations`
    try:
        return list(inspect.signature(function, **options).parameters.values())
    except (TypeError, ValueError) as error:
        raise UsageError(f"{describe(function)} does not tell its parameters: wrap it in a function") from error


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations, evaluated. A name imported only for type checkers makes its own parameter `Any`, not the others."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation runs the user's code
        return _hints_one_by_one(function)


def _hints_one_by_one(function: Callable[..., Any]) -> dict[str, Any]:
    evaluated: dict[str, Any] = {}
    for name, annotation in _annotations(function).items():
        alone = SimpleNamespace(__annotations__={name: annotation})
        try:
            evaluated |= get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)
        except Exception:  # noqa: BLE001 - as above
            evaluated[name] = Any
    return evaluated


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as they stand. Python 3.14 evaluates them when they are asked for, which fails for a name that is not known."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return get_annotations(function, format=Format.FORWARDREF)
    return getattr(function, "__annotations__", {})


def _doc(hint: Any) -> str:
    """The text of `Annotated[int, "how many"]`."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, str)), "")


def _summary(function: Callable[..., Any]) -> str:
    first, _, _ = (getattr(function, "__doc__", None) or "").strip().partition("\n\n")
    return " ".join(first.split())
