"""Which jobs of a plan take part in a run: selectors such as `build-*`, `tag:nightly` or `item:code=6920Z`, and what they choose.

Part of the core: pure. It says which jobs are left out; what that means for those that need them is decided by `runstate`.
"""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from joblot.core.fan_out import pattern_of
from joblot.core.model import is_off
from joblot.core.plan import PATTERN
from joblot.core.references import as_text
from joblot.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from joblot.core.model import FanOut, JobSpec
    from joblot.core.plan import Plan

    Labels = Callable[[Plan, JobSpec], Sequence[str]]

KINDS: Final = ("tag", "item", "action", "file")
"""The words that stand before the `:` of a selector."""
COMMAND: Final = "run"
"""What stands for the action of a job that has a command."""
_FORMS: Final = (
    "name jobs, or write a pattern such as `build-*`, `tag:NAME`, `item:COLUMN=VALUE`, `action:NAME`, `file:NAME`"
)
_MOST_COMPARED: Final = 20_000
"""How many names, labels or values are compared for a hint: a plan may have a million."""


class Selection(Struct, frozen=True, omit_defaults=True, rename={"from_": "from"}):
    """What a person asked for: the union of `only`, `upto` and `from_` (all jobs when they are empty), without `exclude`.

    `upto` brings everything that its jobs need, `from_` everything that needs its jobs. Each holds selectors.
    """

    only: tuple[str, ...] = ()
    upto: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.only or self.upto or self.from_ or self.exclude)


EVERYTHING: Final = Selection()


def selectors(text: str | Iterable[str]) -> tuple[str, ...]:
    """Selectors from a text with commas between them, or as they are: an item's value may hold a comma."""
    return tuple(part.strip() for part in text.split(",")) if isinstance(text, str) else tuple(text)


def leave_out(plan: Plan, selection: Selection) -> list[int]:
    """The jobs that take no part in the run, in the order of the plan. Those of `finally` take part unless they are excluded by name.

    Raises:
        UsageError: a selector that matches nothing, nothing is left to run, or a job takes in the result of one that is left out.
    """
    if not selection:
        return []
    excluded = _all_of(plan, selection.exclude)
    named = selection.only or selection.upto or selection.from_
    chosen = (_chosen(plan, selection) if named else set(range(len(plan)))) - excluded
    if not chosen:
        raise UsageError("no job is selected: `exclude` takes away all that there is to run")
    chosen |= (
        plan.finals - excluded
    )  # however few jobs are run: what clears up, or tells, belongs to the end of each run
    left_out = [job for job in range(len(plan)) if job not in chosen]
    missing = missing_results(plan, chosen, set(left_out))
    if missing:
        job, need = missing[0]
        hint = f"do not exclude `{plan.name(need)}`" if need in excluded else f"`--upto {plan.name(job)}` runs both"
        raise UsageError(_missing(plan, missing), hint=hint)
    return left_out


def refuse_missing_results(plan: Plan, chosen: Iterable[int], left_out: Collection[int]) -> None:
    """Find out whether jobs that are to run after all take in the result of one that stays left out.

    Raises:
        UsageError: one does.
    """
    missing = missing_results(plan, chosen, left_out)
    if missing:
        raise UsageError(_missing(plan, missing), hint=f"`--job {plan.name(missing[0][1])}` runs it as well")


def _chosen(plan: Plan, selection: Selection) -> set[int]:
    chosen = _all_of(plan, selection.only)
    chosen |= _closed(_all_of(plan, selection.upto), plan.needs.__getitem__)
    return chosen | _closed(_all_of(plan, selection.from_), plan.dependents.__getitem__)


def _closed(jobs: set[int], related: Callable[[int], Iterable[int]]) -> set[int]:
    """The jobs, those related to them, those related to these, and so on."""
    reached, left = set(jobs), list(jobs)
    while left:
        fresh = [other for other in related(left.pop()) if other not in reached]
        reached.update(fresh)
        left += fresh
    return reached


def _all_of(plan: Plan, selectors: Iterable[str]) -> set[int]:
    return {job for selector in selectors for job in match(plan, selector)}


def match(plan: Plan, selector: str) -> Sequence[int]:
    """The jobs that a selector stands for; never none.

    Raises:
        UsageError: it stands for none, or is no selector.
    """
    kind, colon, value = selector.partition(":")
    if not selector.strip():
        raise UsageError("a selector is empty", hint=_FORMS)
    if not colon:
        return plan.match(selector) or _no_name(plan, selector)
    if kind not in KINDS:
        raise UsageError(
            f"`{selector}` is no selector: there is no `{kind}:`", hint=did_you_mean(kind, KINDS) or _FORMS
        )
    if not value:
        raise UsageError(f"`{selector}` is no selector: nothing follows the `:`", hint=_FORMS)
    if kind == "item":
        return _by_item(plan, value) or _no_item(plan, value)
    return _by_label(plan, value, _LABELS[kind][0]) or _no_label(plan, kind, value)


# --- names ------------------------------------------------------------------------------------------


def _no_name(plan: Plan, name: str) -> list[int]:
    for spec in plan.config.jobs:
        if spec.fan_out is not None:
            pattern = pattern_of(spec.name)
            if name == spec.name or f"{name}-*" == pattern:
                raise UsageError(f"no job is called `{name}`", hint=f"`{pattern}` stands for all its jobs")
    growing = _growing_like(plan, name)
    if growing:
        raise _not_before_the_run(plan, f"job `{name}`", growing)
    names = map(plan.name, range(min(len(plan), _MOST_COMPARED)))
    what = f"no job's name matches `{name}`" if PATTERN.search(name) else f"no job is called `{name}`"
    raise UsageError(what, hint=did_you_mean(name, names))


def _growing_like(plan: Plan, name: str) -> str:
    """The growing job whose jobs may be called like that, as a pattern."""
    start = PATTERN.split(name)[0]
    for job in sorted(plan.growing):
        pattern = plan.name(job)
        if fnmatchcase(name, pattern) or (start != name and start.startswith(pattern.split("*")[0] or "*")):
            return pattern
    return ""


def _not_before_the_run(plan: Plan, what: str, growing: str) -> UsageError:
    message = f"no {what} is there before the run: `{growing}` finds its items on the way"
    if plan.find(growing) in plan.unread:
        message = f"no {what} is known: the command that lists the items of `{growing}` was not run"
    return UsageError(message, hint=f"select `{growing}` as a whole")


# --- tags, actions, files ---------------------------------------------------------------------------


def _action(_plan: Plan, spec: JobSpec) -> Sequence[str]:
    if spec.action is not None:
        return (spec.action,)
    return (COMMAND,) if spec.run is not None else (str(getattr(spec.function, "__qualname__", "function")),)


def _files(plan: Plan, spec: JobSpec) -> Sequence[str]:
    """The file that declares the job, without its ending and with it."""
    name = posixpath.basename(spec.place.file if spec.place else "") or posixpath.basename(plan.config.source)
    return (posixpath.splitext(name)[0], name) if name else ()


_LABELS: Final[dict[str, tuple[Labels, str, str]]] = {
    "tag": (lambda _, spec: spec.tags, "no job has the tag `{}`", "no job has a tag that matches `{}`"),
    "action": (_action, "no job runs the action `{}`", "no job runs an action that matches `{}`"),
    "file": (_files, "no job stands in the file `{}`", "no job stands in a file that matches `{}`"),
}
"""By kind of selector: the labels of a job that it is compared with, and the messages when none matches."""


def _by_label(plan: Plan, pattern: str, labels: Labels) -> list[int]:
    """The jobs with a label that matches; each declaration is compared once, however many jobs it stands for."""
    jobs: list[int] = []
    last, matches = None, False
    for job, spec in enumerate(plan.declarations):
        if spec is not last:
            last, matches = spec, any(_matches(label, pattern) for label in labels(plan, spec))
        if matches:
            jobs.append(job)
    return jobs


def _matches(text: str, pattern: str) -> bool:
    return text == pattern or (PATTERN.search(pattern) is not None and fnmatchcase(text, pattern))


def _no_label(plan: Plan, kind: str, pattern: str) -> list[int]:
    labels, exactly, like = _LABELS[kind]
    known = dict.fromkeys(label for spec in plan.config.jobs for label in labels(plan, spec))
    message = like if PATTERN.search(pattern) else exactly
    raise UsageError(message.format(pattern), hint=did_you_mean(pattern, islice(known, _MOST_COMPARED)))


# --- items ------------------------------------------------------------------------------------------


def _by_item(plan: Plan, pattern: str) -> list[int]:
    """The jobs of a fan-out with a value in a column (`code=6920Z`), or whose item as a whole, or only value, is this (`6920Z`)."""
    name, equals, value = pattern.partition("=")
    chosen: list[int] = []
    for spec, jobs in plan.fan_outs:
        fan = spec.fan_out
        assert fan is not None, "BUG: not a fan-out"
        found = _with_value(fan, jobs, name, value) if equals and name in fan.columns else []
        if found:
            chosen += found
        elif "" in fan.columns or (len(fan.columns) == 1 and name not in fan.columns):
            chosen += _with_value(fan, jobs, "" if "" in fan.columns else next(iter(fan.columns)), pattern)
    return chosen


def _with_value(fan: FanOut, jobs: range, name: str, pattern: str) -> list[int]:
    """Those of a fan-out's jobs whose items have a matching value in a column."""
    hits = [_matches(as_text(value), pattern) for value in fan.columns[name]]
    if fan.kind == "rows":
        return [job for job, hit in zip(jobs, hits, strict=True) if hit]
    # The last column turns fastest, so a value stays for all combinations of the columns behind its own.
    names = list(fan.columns)
    repeats = prod(len(fan.columns[other]) for other in names[names.index(name) + 1 :])
    return [job for job in jobs if hits[(job - jobs.start) // repeats % len(hits)]]


def _no_item(plan: Plan, pattern: str) -> list[int]:
    # The most that is known is said: that a column is right but not the value helps more than that the batch has growing jobs.
    name, equals, value = pattern.partition("=")
    fans = [spec.fan_out for spec, _ in plan.fan_outs if spec.fan_out is not None]
    columns = dict.fromkeys(column for fan in fans for column in fan.columns if column)
    if equals and name in columns:
        raise UsageError(f"no item has `{value}` as its `{name}`", hint=did_you_mean(value, _values(fans, name)))
    if plan.growing:
        raise _not_before_the_run(plan, f"item `{pattern}`", plan.name(min(plan.growing)))
    if not fans:
        raise UsageError(f"no job has an item `{pattern}`: no job of this batch is made from items")
    if equals and columns:
        listed = ", ".join(f"`{column}`" for column in columns)
        raise UsageError(f"no item has a `{name}`", hint=did_you_mean(name, columns) or f"items have {listed}")
    raise UsageError(f"no item is `{pattern}`", hint=_hint_for_value(fans, columns, pattern))


def _hint_for_value(fans: Sequence[FanOut], columns: Iterable[str], pattern: str) -> str:
    """The column that has the value, where it was not named; else the nearest item."""
    matching = [column for column in columns if any(_matches(text, pattern) for text in _values(fans, column))]
    return f"write `item:{matching[0]}={pattern}`" if matching else did_you_mean(pattern, _values(fans, ""))


def _values(fans: Iterable[FanOut], column: str) -> list[str]:
    """The different values of a column as texts, not all of very many."""
    texts = (as_text(value) for fan in fans for value in fan.columns.get(column, ()))
    return list(dict.fromkeys(islice(texts, _MOST_COMPARED)))


# --- results ----------------------------------------------------------------------------------------


def missing_results(plan: Plan, chosen: Iterable[int], left_out: Collection[int]) -> list[tuple[int, int]]:
    """Of each declaration with a chosen job that takes in the result of one that is left out: the job, and that one."""
    pairs: list[tuple[int, int]] = []
    checked: set[int] = set()  # by identity: specs hold mappings, so they have no hash
    for job in sorted(chosen):
        spec = plan.declarations[job]
        if spec.deferred and id(spec) not in checked:
            checked.add(id(spec))
            needs = [need for need in map(plan.find, plan.results_in(spec)) if need is not None]
            if spec.finally_:  # where there is no result of another job, it is skipped
                needs = [need for need in needs if need in plan.finals]
            pairs += [(job, need) for need in needs if need in left_out][:1]
    return pairs


def unmade_input(plan: Plan, left_out: Collection[int]) -> Iterator[tuple[int, int, str]]:
    """The jobs that take part and read what one that is left out makes, that one, and what it makes; of each pair the first path."""
    left = set(left_out)
    for job in range(len(plan)):
        if job not in left and not left.isdisjoint(plan.needs[job]) and not is_off(plan.declarations[job]):
            made = plan.made_input(job).items()
            yield from ((job, need, path) for need, path in made if need in left and need not in plan.growing)


def _missing(plan: Plan, missing: Sequence[tuple[int, int]]) -> str:
    job, need = missing[0]
    others = f" (and {len(missing) - 1} more such jobs)" if len(missing) > 1 else ""
    return f"job `{plan.name(job)}` takes in the result of job `{plan.name(need)}`, which is not selected{others}"
