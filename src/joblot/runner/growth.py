"""The items that a growing job finds in a result: turned into columns, and validated for the jobs that are made of them.

It reads the plan and the results of a run; whether and when the plan grows is for `RunState` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.actions.registry import ACTIONS
from joblot.config.fan_out import check_items, find_column, inspect_values
from joblot.config.fields import Sink
from joblot.config.items import ItemsError, rows_to_columns
from joblot.config.tree import describe
from joblot.core.model import VARYING, FanOut, Outcome
from joblot.core.plan import Plan
from joblot.core.references import TemplateError, references
from joblot.errors import ConfigError, JoblotError, RunHeldError
from joblot.runner.links import refuse_links

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.core.fan_out import Making
    from joblot.runner.values import Values

_CHANGED: Final = "the items have changed since they were found, and this run keeps those: a new run takes the new ones"
BAD_ITEMS: Final = "bad_items"
"""The reason code of a growing job that found nothing that jobs can be made of."""


def find_items(
    plan: Plan, values: Values, job: int, number: int, began_s: float, claim: Callable[[Making], None]
) -> Outcome:
    """The outcome of a growing job's attempt: with the items it found, or with what is wrong with them.

    `began_s` is seconds since the run's start. A run keeps the items that it found first; when a later attempt finds others, the message says so.
    `claim` takes what their jobs will make.
    """
    try:
        columns = _columns(values.source_of(job))
        if job in plan.grown:  # an earlier attempt found them
            changed = columns != plan.items_of(job)
            return Outcome(
                job, number, "ok", began_s, result=_counted(len(plan.grown[job])), message=_CHANGED if changed else ""
            )
        _check(plan, job, columns)
        refuse_links(Plan(plan.config, *plan.try_to_extend(job, columns)))
        claim(plan.making_of_items(job, columns))
    except (ConfigError, ItemsError, RunHeldError) as error:
        message = error.diagnostics[0].message if isinstance(error, ConfigError) else error.message
        return Outcome(job, number, "error", began_s, message=message, reason=BAD_ITEMS)
    except (JoblotError, ValueError) as error:
        message = error.message if isinstance(error, (JoblotError, TemplateError)) else str(error)
        reason = BAD_ITEMS if isinstance(error, TemplateError) else "bad_reference"
        return Outcome(job, number, "error", began_s, message=message, reason=reason)
    count = len(next(iter(columns.values()), ()))
    return Outcome(job, number, "ok", began_s, result=_counted(count), items=columns)


def _counted(jobs: int) -> bytes:
    return msgspec.json.encode({"jobs": jobs})


def _columns(items: Any) -> dict[str, list[Any]]:
    if not isinstance(items, list):
        raise ItemsError(f"the items must be a list, not {describe(items)}")
    return rows_to_columns(items) or {"": []}


def _check(plan: Plan, job: int, columns: dict[str, list[Any]]) -> None:
    """Validate the items for the declaration, as those of a batch file are.

    Raises:
        ItemsError: the first thing that is wrong.
    """
    spec = plan.declarations[job]
    sink = Sink()
    inspect_values(sink, columns, ())
    # References and fields are checked only against sound values: the first problem is the cause of the others.
    if not sink.problems and any(columns.values()):
        fields = {name: value for name in (*VARYING, "if_") if (value := getattr(spec, name)) is not None}
        signature = ACTIONS.signature(spec.action) if spec.action is not None else None
        fan = FanOut("rows", columns)
        for reference in (reference for value in fields.values() for reference in references(_as_list(value))):
            if reference.root == "item":
                find_column(reference, fan)
        check_items(sink, fan, fields, signature, ())
    if sink.problems:
        raise ItemsError(sink.problems[0].message)


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
