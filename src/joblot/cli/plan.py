"""`joblot plan`: what would run, why, and how long it may take."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli import declared
from joblot.cli.bundles import PlannedBundles, planned_bundles
from joblot.cli.options import (
    Command,
    batch_argument,
    batch_help,
    forcing,
    json_option,
    looking_help,
    no_color_option,
    no_commands_option,
    selecting,
    selection_of,
    state_option,
    unknown_actions_option,
    variables_option,
)
from joblot.core.provenance import shown_command
from joblot.errors import EXIT_OK
from joblot.reports.text import fan_out_words, taking_part

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from joblot.cli.forecast import Forecast
    from joblot.cli.output import Output
    from joblot.core.model import Concurrency, JobSpec
    from joblot.core.plan import Plan
    from joblot.core.selection import Selection
    from joblot.runner.uptodate import Verdict

LISTED: Final = 100
"""Plans of at most this many jobs are listed job by job."""
_TIERS: Final = 20
_PART: Final = 1000
_NAMED: Final = 5
_WIDE: Final = 60
_NARROW: Final = 16
"""A terminal that has no room for so many columns of the commands shows none."""


@click.command(
    "plan",
    cls=Command,
    help=f"Show what would run, why, and how long it may take. No job runs and nothing is written. {looking_help}\n\n{batch_help}",
)
@batch_argument
@variables_option
@click.option(
    "-j", "--jobs", "--workers", "workers", metavar="N", type=click.IntRange(min=1), help="estimate for so many at once"
)
@click.option("--strict", is_flag=True, help="let warnings count as errors")
@unknown_actions_option
@no_commands_option
@selecting
@forcing
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    /,
    batch: tuple[str, ...],
    variables: list[tuple[str, str]],
    workers: int | None,
    state: str | None,
    *,
    strict: bool,
    skip_unknown_actions: bool,
    no_commands: bool,
    force: bool,
    force_jobs: tuple[str, ...],
    **selected: tuple[str, ...],
) -> int:
    """Load, expand and describe the batch."""
    from joblot.cli import batch as batches

    plan, warnings = batches.read_ahead(
        batch, variables, strict=strict, skip_unknown_actions=skip_unknown_actions, commands=not no_commands
    )
    batches.warn(output, warnings)
    selection = selection_of(**selected)
    state = batches.state_of(output, plan, state)
    return show(output, plan, state, workers, force=("*",) if force else force_jobs, selection=selection)


def show(
    output: Output,
    plan: Plan,
    state: str | None,
    workers: int | None,
    *,
    force: Sequence[str] = (),
    selection: Selection,
    fuse: bool = True,
) -> int:
    """Print a plan, or the part of it that is selected; also what `run --dry-run` prints."""
    from joblot.cli.ahead import too_large_to_keep, verdicts_on
    from joblot.cli.bundles import fuse_rules
    from joblot.cli.forecast import forecast
    from joblot.cli.history import read
    from joblot.core.selection import leave_out
    from joblot.runner.links import refuse_links
    from joblot.runner.uptodate import FAILED_LAST_TIME, NEW, NOT_SELECTED, Verdict

    unknown = _unknown_actions(plan)
    left_out = frozenset(leave_out(plan, selection))
    refuse_links(plan, left_out)
    verdicts = verdicts_on(plan, state, force, left_out)
    history = read(plan, state, output.warn)
    for job in history.failed():
        if (
            verdicts[job] == NEW
        ):  # successes are all that is kept by job, so what never had one is known by the reports only
            verdicts[job] = FAILED_LAST_TIME
    # Whatever the state folder says, an unknown action is skipped, and what is left out does not take part.
    if unknown:
        verdicts = [_judged(plan.declarations[job], unknown, verdict) for job, verdict in enumerate(verdicts)]
    for job in plan.unread:
        verdicts[job] = Verdict(to_run=True, why="the command that lists its items was not run")
    for job in left_out:
        verdicts[job] = NOT_SELECTED
    up_to_date = [job for job, verdict in enumerate(verdicts) if not verdict.to_run]
    rules = fuse_rules(plan) if fuse else None
    expected = forecast(
        plan, state, workers, up_to_date=up_to_date, left_out=left_out, fuse_rules=rules, history=history
    )
    part = _Part(plan, left_out)
    part.bundles = planned_bundles(plan, part.tiers, verdicts) if fuse else []
    part.not_kept = too_large_to_keep(plan, verdicts)
    if output.json and len(part.jobs) <= LISTED:
        output.document(_as_data(part, unknown, verdicts, expected))
    elif output.json:
        for text in _as_parts(part, unknown, verdicts, expected):
            output.result(text)
    else:
        output.result("\n".join(_lines(part, unknown, verdicts, expected, output.tint, output.columns)))
    return EXIT_OK


class _Part:
    """The jobs of a plan that are shown, by their numbers in it."""

    def __init__(self, plan: Plan, left_out: Collection[int]) -> None:
        self.plan = plan
        self.jobs: Sequence[int] = range(len(plan))
        self.tiers = plan.tiers
        self.bundles: list[PlannedBundles] = []
        """Which of them would be run as one."""
        self.not_kept: dict[int, list[str]] = {}
        """By job, the outputs that are there and too large to be copied before it changes them."""
        if left_out:
            self.jobs = [job for job in self.jobs if job not in left_out]
            tiers = ([job for job in tier if job not in left_out] for tier in plan.tiers)
            self.tiers = [tier for tier in tiers if tier]


def _unknown_actions(plan: Plan) -> set[str]:
    from joblot.actions.registry import ACTIONS

    names = {spec.action for spec in plan.config.jobs if spec.action is not None}
    return {name for name in names if ACTIONS.signature(name) is None}


def _judged(spec: JobSpec, unknown: set[str], verdict: Verdict) -> Verdict:
    from joblot.runner.uptodate import Verdict

    if spec.action not in unknown:
        return verdict
    return Verdict(to_run=True, why=f"unknown action `{spec.action}`: will be skipped")


def _what(spec: JobSpec) -> str:
    if spec.run is not None:
        run = shown_command(spec)
        text = " ".join(run) if isinstance(run, list) else run or ""
        by = f" ({' '.join(spec.shell)})" if spec.shell else ""
        return f"run{by}: " + " ".join(text.split())
    return f"{spec.action} {spec.input}" if isinstance(spec.input, str) else f"{spec.action}"


# --- JSON -------------------------------------------------------------------------------------------


def _head(part: _Part) -> dict[str, Any]:
    plan, jobs = part.plan, len(part.jobs)
    head: dict[str, Any] = {"batch": plan.config.name, "source": plan.config.source, "fingerprint": plan.fingerprint}
    if (concurrency := plan.config.concurrency) is not None:
        head["concurrency"] = {"group": concurrency.group, "on_conflict": concurrency.on_conflict or "fail"}
    return head | {"total_jobs": jobs} | ({"left_out": len(plan) - jobs} if jobs < len(plan) else {})


def _as_data(part: _Part, unknown: set[str], verdicts: list[Verdict], expected: Forecast | None) -> dict[str, Any]:
    plan = part.plan
    return {
        **_head(part),
        "tiers": [[plan.name(job) for job in tier] for tier in part.tiers],
        "jobs": [_job_as_data(part, job, unknown, verdicts[job]) for job in part.jobs],
        "bundles": [bundles.as_data(plan) for bundles in part.bundles],
        "estimate": expected.as_data(plan) if expected else None,
    }


def _as_parts(part: _Part, unknown: set[str], verdicts: list[Verdict], expected: Forecast | None) -> Iterator[str]:
    """The same in parts of whole lines, each job on a line of its own: a large plan is not held as a whole."""
    import msgspec

    def encoded(value: object) -> str:
        return msgspec.json.encode(value).decode()

    plan, shown = part.plan, part.jobs
    yield "{\n" + "".join(f'  "{name}": {encoded(value)},\n' for name, value in _head(part).items()) + '  "tiers": ['
    for number, tier in enumerate(part.tiers):
        names = map(plan.name, tier)
        yield "    [" if number == 0 else "    ,["
        comma = ""
        while block := list(islice(names, _PART)):
            yield f"    {comma}{encoded(block)[1:-1]}"
            comma = ","
        yield "    ]"
    yield '  ],\n  "jobs": ['
    for start in range(0, len(shown), _PART):
        jobs = (encoded(_job_as_data(part, job, unknown, verdicts[job])) for job in shown[start : start + _PART])
        yield ("    " if start == 0 else "    ,") + "\n    ,".join(jobs)
    yield f'  ],\n  "bundles": {encoded([bundles.as_data(plan) for bundles in part.bundles])},'
    yield f'  "estimate": {encoded(expected.as_data(plan) if expected else None)}\n}}'


def _job_as_data(part: _Part, job: int, unknown: set[str], verdict: Verdict) -> dict[str, Any]:
    plan, not_kept = part.plan, part.not_kept.get(job)
    spec = plan.spec(job)
    made = plan.made_input(job)
    what = {"action": spec.action} if spec.run is None else {"run": shown_command(spec)}
    return {
        "job": spec.name,
        **what,
        **({"shell": spec.shell} if spec.shell else {}),
        "input": spec.input,
        "params": spec.params,
        "needs": [plan.name(need) for need in plan.needs[job]],
        **({"input_made_by": {plan.name(need): path for need, path in made.items()}} if made else {}),
        "when": spec.when,
        "max_attempts": spec.retry.max_attempts,
        "timeout_s": spec.timeout_s,
        "resources": spec.resources,
        "outputs": spec.outputs,
        **({"finally": True} if spec.finally_ else {}),
        **({"allow_failure": True} if spec.allow_failure else {}),
        **({"if": shown_condition(spec)} if spec.if_ is not True else {}),
        "will_run": spec.action not in unknown and verdict.to_run and plan.condition(job, {}) is not False,
        "why": verdict.why,
        **({"changes": verdict.changes} if verdict.changes else {}),
        **({"not_kept": not_kept} if not_kept else {}),
    }


# --- text -------------------------------------------------------------------------------------------


def _lines(
    part: _Part,
    unknown: set[str],
    verdicts: list[Verdict],
    expected: Forecast | None,
    tint: Callable[[str, str], str],
    room: int | None,
) -> Iterator[str]:
    from joblot.reports.text import one_line

    plan = part.plan
    last = sum(tier[0] in plan.finals for tier in part.tiers)
    jobs, tiers = taking_part(len(part.jobs), len(plan)), _number(len(part.tiers) - last, "tier")
    tiers += " and `finally`" if last else ""
    yield (
        f"Batch {one_line(plan.config.name)}: {jobs} in {tiers}"
        if len(plan)
        else f"Batch {one_line(plan.config.name)}: no jobs: nothing to do"
    )
    if plan.config.concurrency is not None:
        yield _turn(plan.config.concurrency)
    yield from (
        _every_job(part, verdicts, tint, room)
        if len(part.jobs) <= LISTED
        else _every_tier(part, unknown, verdicts, tint)
    )
    yield from (bundles.line() for bundles in part.bundles[:_TIERS])
    if len(part.bundles) > _TIERS:
        yield f"... and {len(part.bundles) - _TIERS} more groups of fused jobs (`--json` lists all)"
    large = [(plan.name(job), path) for job, paths in part.not_kept.items() for path in paths]
    for name, path in large[:_NAMED]:
        yield one_line(
            f"`{path}` of {name} is above 512 MiB: no copy is kept while it is made, unless it can be cloned"
        )
    if len(large) > _NAMED:
        yield f"... and {len(large) - _NAMED} more outputs above 512 MiB (`--json` lists all)"
    if expected:
        yield from expected.lines(plan)


def _turn(concurrency: Concurrency) -> str:
    from joblot.reports.text import one_line

    whose = f"group `{one_line(concurrency.group)}`" if concurrency.group else "this batch"
    another = {"fail": "is refused", "wait": "waits for its turn", "skip": "is skipped"}[
        concurrency.on_conflict or "fail"
    ]
    return f"One run of {whose} at a time: another one {another}"


def _every_job(
    part: _Part, verdicts: list[Verdict], tint: Callable[[str, str], str], room: int | None
) -> Iterator[str]:
    from joblot.cli.runs import columns

    plan = part.plan
    rows = [[plan.name(job), _cut(_what(plan.spec(job))), _remarks(plan, job, verdicts[job])] for job in part.jobs]
    whose = list(part.jobs)
    if room is not None and rows:
        rows, whose = _narrowed(rows, whose, room - 2)

    def paint(row: int, column: int, text: str) -> str:
        if column < len(rows[row]) - 1 or not rows[row][0]:
            return text
        why = verdicts[whose[row]].why[: len(text)]
        return tint(_colour(verdicts[whose[row]].why), why) + text.removeprefix(why)

    aligned: dict[int, list[str]] = {}
    for job, line in zip(whose, columns(rows, paint) if rows else [], strict=True):
        aligned.setdefault(job, []).append(f"  {line}")
    for number, tier in enumerate(part.tiers, 1):
        yield _heading(plan, number, tier)
        for job in tier:
            yield from aligned[job]


def _narrowed(rows: list[list[str]], jobs: list[int], room: int) -> tuple[list[list[str]], list[int]]:
    """The rows and whose they are in so many columns: commands are cut or left out, and remarks go on below themselves."""
    from textwrap import wrap

    names, commands, remarks = (max(map(len, column)) for column in zip(*rows, strict=True))
    if names + commands + remarks + 4 <= room:
        return rows, jobs
    left = room - names - 4 - min(remarks, room // 2)
    if left < min(commands, _NARROW):
        rows, left = [[name, remark] for name, _, remark in rows], -2
    left = min(left, commands)
    lines, whose = [], []
    for job, row in zip(jobs, rows, strict=True):
        shown = [row[0], _cut(row[1], left), row[2]] if len(row) > 2 else row
        for part in wrap(row[-1], max(room - names - 4 - left, _NARROW), break_on_hyphens=False):
            lines.append([*shown[:-1], part])
            whose.append(job)
            shown = [""] * len(row)
    return lines, whose


def _colour(why: str) -> str:
    """The state in whose colour a verdict is told."""
    if why == "up to date":
        return "cached"
    return "failed" if why == "failed last time" else "skipped" if why.startswith("unknown action") else "running"


def _heading(plan: Plan, number: int, tier: list[int]) -> str:
    return "Finally" if tier[0] in plan.finals else f"Tier {number}"


def _every_tier(
    part: _Part, unknown: set[str], verdicts: list[Verdict], tint: Callable[[str, str], str]
) -> Iterator[str]:
    # Each list is cut, for a plan may have a hundred thousand jobs in as many tiers; what is cut off is at least counted.
    plan, jobs, tiers = part.plan, part.jobs, part.tiers
    for number, tier in enumerate(tiers[:_TIERS], 1):
        yield from _one_tier(plan, number, tier, verdicts)
    if len(tiers) > _TIERS:
        yield f"... and {len(tiers) - _TIERS} more tiers (`--json` lists all)"
    skipped = sum(plan.declarations[job].action in unknown for job in jobs) if unknown else 0
    if skipped:
        yield tint("skipped", f"{_number(skipped, 'job')} will be skipped: unknown action")
    left = [job for job in jobs if verdicts[job].to_run]
    up_to_date = len(jobs) - len(left)
    if up_to_date or any(map(_has_changed, map(verdicts.__getitem__, left))):
        done = tint("cached", f"{_number(up_to_date, 'job')} up to date")
        yield f"{done}, {tint('running', f'{len(left) - skipped} to run')}"
        told = declared.lines(plan, left, lambda job: _said(verdicts[job]), rest=" (`--json` lists all)")
        yield from (f"  {line}" for line in told)


def _has_changed(verdict: Verdict) -> bool:
    """Whether a job would have been up to date, were not something changed: not new, forced or without outputs."""
    return bool(verdict.changes) or verdict.why.startswith(("output ", "input ", "need will run"))


def _said(verdict: Verdict) -> declared.Said:
    if verdict.changes:
        return "changed: " + ", ".join(change.what for change in verdict.changes), verdict.why
    return verdict.why.partition(": ")[0], verdict.why


def _one_tier(plan: Plan, number: int, tier: list[int], verdicts: list[Verdict]) -> Iterator[str]:
    """A tier: its jobs by name as far as there is room, and a line for each fan-out."""
    single, fans = _apart(plan, tier)
    names = ", ".join(plan.name(job) for job in single[:_NAMED])
    others = f", and {len(single) - _NAMED} more" if len(single) > _NAMED else ""
    yield f"{_heading(plan, number, tier)}: {_number(len(tier), 'job')}{f': {names}{others}' if single else ''}"
    for spec, jobs in fans[:_TIERS]:
        up_to_date = sum(not verdicts[job].to_run for job in jobs)
        yield f"  {fan_out_words(spec, len(jobs))}{f', {up_to_date} up to date' if up_to_date else ''}"
    if len(fans) > _TIERS:
        yield f"  ... and {len(fans) - _TIERS} more fan-outs (`--json` lists all)"


def _apart(plan: Plan, tier: list[int]) -> tuple[list[int], list[tuple[JobSpec, list[int]]]]:
    """The jobs of a tier that stand for themselves, and those of each fan-out."""
    single: list[int] = []
    fans: list[tuple[JobSpec, list[int]]] = []
    at = 0
    for spec, jobs in plan.fan_outs:  # both are in the order of the batch
        begin = bisect_left(tier, jobs.start, at)
        end = bisect_left(tier, jobs.stop, begin)
        single += tier[at:begin]
        if end > begin:
            fans.append((spec, tier[begin:end]))
        at = end
    return [*single, *tier[at:]], fans


def _remarks(plan: Plan, job: int, verdict: Verdict) -> str:
    from joblot.units import format_duration

    spec = plan.spec(job)
    parts = [verdict.why]
    made = plan.made_input(job)
    needs = [f"{plan.name(need)} ({made[need]})" if need in made else plan.name(need) for need in plan.needs[job]]
    if needs:
        others = f" and {len(needs) - _NAMED} more" if len(needs) > _NAMED else ""
        parts.append(f"needs {', '.join(needs[:_NAMED])}{others}")
    if spec.if_ is not True:
        parts.append(f"if {shown_condition(spec)}")
    if spec.allow_failure:
        parts.append("may fail")
    if spec.when != "success":
        parts.append(f"when: {spec.when}")
    if spec.retry.max_attempts > 1:
        parts.append(f"{spec.retry.max_attempts} attempts")
    if spec.timeout_s is not None:
        parts.append(f"timeout {format_duration(spec.timeout_s)}")
    return "; ".join(parts)


def shown_condition(spec: JobSpec) -> str:
    """The `if` of a job, as far as it is known."""
    return ("not " if spec.if_not else "") + (spec.if_ if isinstance(spec.if_, str) else str(spec.if_).lower())


def _cut(text: str, most: int = _WIDE) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
