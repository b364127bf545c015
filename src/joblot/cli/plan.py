"""`joblot plan`: what would run, why, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli.options import (
    batch_argument,
    batch_help,
    forcing,
    json_option,
    no_color_option,
    state_option,
    variables_option,
)
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.cli.forecast import Forecast
    from joblot.cli.output import Output
    from joblot.model import JobSpec
    from joblot.plan import Plan
    from joblot.uptodate import Verdict

LISTED: Final = 100
"""Plans of at most this many jobs are listed job by job."""
_TIERS: Final = 20
_NAMED: Final = 5
_WIDE: Final = 60


@click.command(
    "plan",
    help=f"Show what would run, why, and how long it may take. Nothing runs and nothing is written.\n\n{batch_help}",
)
@batch_argument
@variables_option
@click.option(
    "-j", "--jobs", "--workers", "workers", metavar="N", type=click.IntRange(min=1), help="estimate for so many at once"
)
@click.option("--strict", is_flag=True, help="an unknown action is an error")
@forcing
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    batch: str | None,
    variables: list[tuple[str, str]],
    workers: int | None,
    state: str | None,
    *,
    strict: bool,
    force: bool,
    force_jobs: tuple[str, ...],
) -> int:
    """Load, expand and describe the batch."""
    from joblot.cli import batch as batches

    plan, warnings = batches.read(batch, variables, strict=strict)
    batches.warn(output, warnings)
    return show(output, plan, state, workers, force=("*",) if force else force_jobs)


def show(output: Output, plan: Plan, state: str | None, workers: int | None, *, force: Sequence[str] = ()) -> int:
    """Print a plan; also what `run --dry-run` prints."""
    from joblot.cli.ahead import verdicts
    from joblot.cli.forecast import forecast

    unknown = _unknown_actions(plan)
    found = [_judged(plan.spec(job), unknown, verdict) for job, verdict in enumerate(verdicts(plan, state, force))]
    current = [job for job, verdict in enumerate(found) if verdict.current]
    expected = forecast(plan, state, workers, current=current)
    if output.json:
        output.document(_as_data(plan, unknown, found, expected))
    else:
        output.result("\n".join(_lines(plan, unknown, found, expected)))
    return EXIT_OK


def _unknown_actions(plan: Plan) -> set[str]:
    from joblot.actions.registry import ACTIONS

    names = {spec.action for spec in plan.config.jobs if spec.action is not None}
    return {name for name in names if ACTIONS.signature(name) is None}


def _judged(spec: JobSpec, unknown: set[str], verdict: Verdict) -> Verdict:
    from joblot.uptodate import Verdict

    if spec.action not in unknown:
        return verdict
    return Verdict(current=False, why=f"unknown action `{spec.action}`: will be skipped")


def _what(spec: JobSpec) -> str:
    if spec.run is not None:
        text = spec.run if isinstance(spec.run, str) else " ".join(spec.run)
        return "run: " + " ".join(text.split())
    given = f" {spec.input}" if isinstance(spec.input, str) else ""
    return f"{spec.action}{given}"


# --- JSON -------------------------------------------------------------------------------------------


def _as_data(plan: Plan, unknown: set[str], found: list[Verdict], expected: Forecast | None) -> dict[str, Any]:
    return {
        "batch": plan.config.name,
        "source": plan.config.source,
        "fingerprint": plan.fingerprint,
        "total_jobs": len(plan),
        "tiers": [[plan.name(job) for job in tier] for tier in plan.tiers],
        "jobs": [_job_as_data(plan, job, unknown, found[job]) for job in range(len(plan))],
        "estimate": expected.as_data(plan) if expected else None,
    }


def _job_as_data(plan: Plan, job: int, unknown: set[str], verdict: Verdict) -> dict[str, Any]:
    spec = plan.spec(job)
    what = {"action": spec.action} if spec.run is None else {"run": spec.run}
    return {
        "job": spec.name,
        **what,
        "input": spec.input,
        "params": spec.params,
        "needs": [plan.name(need) for need in plan.needs[job]],
        "when": spec.when,
        "max_attempts": spec.retry.max_attempts,
        "timeout_s": spec.timeout_s,
        "resources": spec.resources,
        "outputs": spec.outputs,
        "will_run": spec.action not in unknown and not verdict.current,
        "why": verdict.why,
        **({"changes": verdict.changes} if verdict.changes else {}),
    }


# --- text -------------------------------------------------------------------------------------------


def _lines(plan: Plan, unknown: set[str], found: list[Verdict], expected: Forecast | None) -> Iterator[str]:
    jobs, tiers = _number(len(plan), "job"), _number(len(plan.tiers), "tier")
    yield (
        f"Batch {plan.config.name}: {jobs} in {tiers}"
        if len(plan)
        else f"Batch {plan.config.name}: no jobs: nothing to do"
    )
    yield from _every_job(plan, found) if len(plan) <= LISTED else _every_tier(plan, unknown, found)
    if expected:
        yield from expected.lines(plan)


def _every_job(plan: Plan, found: list[Verdict]) -> Iterator[str]:
    from joblot.cli.runs import columns

    rows = [
        [plan.name(job), _cut(_what(plan.spec(job))), _remarks(plan, job, found[job])] for job in range(len(plan))
    ]
    aligned = columns(rows) if rows else []
    for number, tier in enumerate(plan.tiers, 1):
        yield f"Tier {number}"
        yield from (f"  {aligned[job]}" for job in tier)


def _every_tier(plan: Plan, unknown: set[str], found: list[Verdict]) -> Iterator[str]:
    for number, tier in enumerate(plan.tiers[:_TIERS], 1):
        names = ", ".join(plan.name(job) for job in tier[:_NAMED])
        more = f", and {len(tier) - _NAMED} more" if len(tier) > _NAMED else ""
        yield f"Tier {number}: {_number(len(tier), 'job')}: {names}{more}"
    if len(plan.tiers) > _TIERS:
        yield f"... and {len(plan.tiers) - _TIERS} more tiers (`--json` lists all)"
    skipped = sum(spec.action in unknown for spec in plan.declarations)
    if skipped:
        yield f"{_number(skipped, 'job')} will be skipped: unknown action"
    current = sum(verdict.current for verdict in found)
    if current:
        yield f"{_number(current, 'job')} up to date, {len(plan) - skipped - current} to run"
        left = [job for job, verdict in enumerate(found) if not verdict.current]
        yield from (f"  {plan.name(job)}: {found[job].why}" for job in left[:_TIERS])
        if len(left) > _TIERS:
            yield f"  ... and {len(left) - _TIERS} more (`--json` lists all)"


def _remarks(plan: Plan, job: int, verdict: Verdict) -> str:
    from joblot.units import format_duration

    spec = plan.spec(job)
    parts = [verdict.why]
    needs = [plan.name(need) for need in plan.needs[job]]
    if needs:
        more = f" and {len(needs) - _NAMED} more" if len(needs) > _NAMED else ""
        parts.append(f"needs {', '.join(needs[:_NAMED])}{more}")
    if spec.when != "success":
        parts.append(f"when: {spec.when}")
    if spec.retry.max_attempts > 1:
        parts.append(f"{spec.retry.max_attempts} attempts")
    if spec.timeout_s is not None:
        parts.append(f"timeout {format_duration(spec.timeout_s)}")
    return "; ".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
