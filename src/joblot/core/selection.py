"""Which jobs of a plan take part in a run: selectors such as `build-*`, `tag:nightly` or `item:code=6920Z`, and what they choose.

Part of the core: pure. It says which jobs are left out; what that means for those that need them is the run's affair.
"""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from joblot.core.fan_out import pattern_of
from joblot.core.plan import PATTERN
from joblot.core.references import as_text
from joblot.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from joblot.core.model import FanOut, JobSpec
    from joblot.core.plan import Plan

    Words = Callable[[Plan, JobSpec], Sequence[str]]

KINDS: Final = ("tag", "item", "action", "file")
"""The words that stand before the `:` of a selector."""
COMMAND: Final = "run"
"""What stands for the action of a job that has a command."""
_FORMS: Final = (
    "name jobs, or write a pattern such as `build-*`, `tag:NAME`, `item:COLUMN=VALUE`, `action:NAME`, `file:NAME`"
)
_MOST_COMPARED: Final = 20_000
"""So many words are looked at for the one that was meant."""


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


def selectors(given: str | Iterable[str]) -> tuple[str, ...]:
    """Selectors from a text with commas between them, or as they are: an item's value may hold a comma."""
    return tuple(part.strip() for part in given.split(",")) if isinstance(given, str) else tuple(given)


def leave_out(plan: Plan, selection: Selection) -> list[int]:
    """The jobs that take no part in the run, in the order of the plan.

    Raises:
        UsageError: a selector that matches nothing, nothing is left to run, or a job takes in the result of one that is left out.
    """
    if not selection:
        return []
    excluded = _all_of(plan, selection.exclude)
    chosen = (_wanted(plan, selection) if _is_positive(selection) else set(range(len(plan)))) - excluded
    if not chosen:
        raise UsageError("no job is selected: `exclude` takes away all that there is to run")
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


def _is_positive(selection: Selection) -> bool:
    return bool(selection.only or selection.upto or selection.from_)


def _wanted(plan: Plan, selection: Selection) -> set[int]:
    chosen = _all_of(plan, selection.only)
    chosen |= _closed(_all_of(plan, selection.upto), plan.needs.__getitem__)
    return chosen | _closed(_all_of(plan, selection.from_), plan.dependents.__getitem__)


def _closed(jobs: set[int], beside: Callable[[int], Iterable[int]]) -> set[int]:
    """The jobs, those beside them, those beside these, and so on."""
    found, left = set(jobs), list(jobs)
    while left:
        fresh = [other for other in beside(left.pop()) if other not in found]
        found.update(fresh)
        left += fresh
    return found


def _all_of(plan: Plan, selectors: Iterable[str]) -> set[int]:
    found: set[int] = set()
    for selector in selectors:
        found.update(match(plan, selector))
    return found


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
    return _where(plan, value, _WORDS[kind][0]) or _no_word(plan, kind, value)


# --- names ------------------------------------------------------------------------------------------


def _no_name(plan: Plan, name: str) -> list[int]:
    for spec in plan.config.jobs:
        if spec.fan_out is not None:
            pattern = pattern_of(spec.name)
            if name == spec.name or f"{name}-*" == pattern:
                raise UsageError(f"no job is called `{name}`", hint=f"`{pattern}` stands for all its jobs")
    growing = _growing_like(plan, name)
    if growing:
        raise UsageError(
            f"no job `{name}` is there before the run: `{growing}` finds its items on the way",
            hint=f"select `{growing}` as a whole",
        )
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


# --- tags, actions, files ---------------------------------------------------------------------------


def _tags(_plan: Plan, spec: JobSpec) -> Sequence[str]:
    return spec.tags


def _action(_plan: Plan, spec: JobSpec) -> Sequence[str]:
    if spec.action is not None:
        return (spec.action,)
    return (COMMAND,) if spec.run is not None else (str(getattr(spec.function, "__qualname__", "function")),)


def _files(plan: Plan, spec: JobSpec) -> Sequence[str]:
    """The file that declares the job, without its ending and with it."""
    name = posixpath.basename(spec.place.file if spec.place else "") or posixpath.basename(plan.config.source)
    return (posixpath.splitext(name)[0], name) if name else ()


_WORDS: Final[dict[str, tuple[Words, str, str]]] = {
    "tag": (_tags, "no job has the tag `{}`", "no job has a tag that matches `{}`"),
    "action": (_action, "no job runs the action `{}`", "no job runs an action that matches `{}`"),
    "file": (_files, "no job stands in the file `{}`", "no job stands in a file that matches `{}`"),
}
"""By kind of selector: the words of a job that it is held against, and what is said when none fits."""


def _where(plan: Plan, wanted: str, words: Words) -> list[int]:
    """The jobs of whose words one is wanted; what is declared once is asked once."""
    found: list[int] = []
    last, kept = None, False
    for job, spec in enumerate(plan.declarations):
        if spec is not last:
            last, kept = spec, any(_fits(word, wanted) for word in words(plan, spec))
        if kept:
            found.append(job)
    return found


def _fits(word: str, wanted: str) -> bool:
    return word == wanted or (PATTERN.search(wanted) is not None and fnmatchcase(word, wanted))


def _no_word(plan: Plan, kind: str, wanted: str) -> list[int]:
    words, exactly, like = _WORDS[kind]
    known = dict.fromkeys(word for spec in plan.config.jobs for word in words(plan, spec))
    message = like if PATTERN.search(wanted) else exactly
    raise UsageError(message.format(wanted), hint=did_you_mean(wanted, islice(known, _MOST_COMPARED)))


# --- items ------------------------------------------------------------------------------------------


def _by_item(plan: Plan, wanted: str) -> list[int]:
    """The jobs of a fan-out with a value in a column (`code=6920Z`), or whose items are one value (`6920Z`)."""
    name, equals, value = wanted.partition("=")
    found: list[int] = []
    for spec, jobs in plan.fan_outs:
        fan = spec.fan_out
        assert fan is not None, "BUG: not a fan-out"
        if equals and name in fan.columns:
            found += _holding(fan, jobs, name, value)
        elif len(fan.columns) == 1:
            found += _holding(fan, jobs, next(iter(fan.columns)), wanted)
    return found


def _holding(fan: FanOut, jobs: range, name: str, wanted: str) -> list[int]:
    """Those of a fan-out's jobs whose items have the value in a column."""
    hits = [_fits(as_text(value), wanted) for value in fan.columns[name]]
    if fan.kind == "rows":
        return [job for job, hit in zip(jobs, hits, strict=True) if hit]
    turns = 1  # how many items follow one another with the same value: the last column turns fastest
    for other in reversed(fan.columns):
        if other == name:
            break
        turns *= len(fan.columns[other])
    return [job for job in jobs if hits[(job - jobs.start) // turns % len(hits)]]


def _no_item(plan: Plan, wanted: str) -> list[int]:
    name, equals, value = wanted.partition("=")
    fans = [spec.fan_out for spec, _ in plan.fan_outs if spec.fan_out is not None]
    columns = dict.fromkeys(column for fan in fans for column in fan.columns if column)
    if plan.growing and not (equals and name in columns):
        pattern = plan.name(min(plan.growing))
        raise UsageError(
            f"no item `{wanted}` is there before the run: `{pattern}` finds its items on the way",
            hint=f"select `{pattern}` as a whole",
        )
    if not fans:
        raise UsageError(f"no job has an item `{wanted}`: no job of this batch is made from items")
    if equals and name in columns:
        raise UsageError(f"no item has `{value}` as its `{name}`", hint=did_you_mean(value, _values(fans, name)))
    if equals and columns:
        listed = ", ".join(f"`{column}`" for column in columns)
        raise UsageError(f"no item has a `{name}`", hint=did_you_mean(name, columns) or f"items have {listed}")
    holding = [column for column in columns if any(_fits(text, wanted) for text in _values(fans, column))]
    if holding:
        raise UsageError(f"no item is `{wanted}`", hint=f"write `item:{holding[0]}={wanted}`")
    raise UsageError(f"no item is `{wanted}`", hint=did_you_mean(wanted, _values(fans, "")))


def _values(fans: Iterable[FanOut], column: str) -> list[str]:
    """The different values of a column as texts, not all of very many."""
    texts = (as_text(value) for fan in fans for value in fan.columns.get(column, ()))
    return list(dict.fromkeys(islice(texts, _MOST_COMPARED)))


# --- results ----------------------------------------------------------------------------------------


def missing_results(plan: Plan, chosen: Iterable[int], left_out: Collection[int]) -> list[tuple[int, int]]:
    """Of each declaration with a chosen job that takes in the result of one that is left out: the job, and that one."""
    found: list[tuple[int, int]] = []
    met: set[int] = set()
    for job in sorted(chosen):
        spec = plan.declarations[job]
        if spec.deferred and id(spec) not in met:
            met.add(id(spec))
            found += [
                (job, need) for need in map(plan.find, plan.results_in(spec)) if need is not None and need in left_out
            ][:1]
    return found


def _missing(plan: Plan, missing: Sequence[tuple[int, int]]) -> str:
    job, need = missing[0]
    more = f" (and {len(missing) - 1} more such jobs)" if len(missing) > 1 else ""
    return f"job `{plan.name(job)}` takes in the result of job `{plan.name(need)}`, which is not selected{more}"
