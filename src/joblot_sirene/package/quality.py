"""The quality report of a dataset: what its steps found, for programs (JSON) and for people (Markdown).

It is made from a finished result and has no row of it but the SIRET numbers that checks give as examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblot_sirene.register import privacy
from joblot_sirene.steps import model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from joblot_sirene.jobs.profiles import Profile
    from joblot_sirene.pipeline import Result
    from joblot_sirene.register.naf import Selection
    from joblot_sirene.register.privacy import Policy
    from joblot_sirene.register.stock_date import StockDate


def report(
    result: Result,
    profile: Profile,
    policy: Policy,
    *,
    selections: Sequence[Selection],
    stock_date: StockDate,
    left_out: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The report as plain values: `issues`, `kpis`, `verdict`, `score`, `rights`, each step's facts, and the columns.

    `left_out` has how many rows of these codes there are, and how many of them were not taken; `warnings` are those of the file and of
    the steps.
    """
    facts = {step.name: step.facts for step in result.steps}
    checks = facts.get("checks", {})
    return {
        "code": ", ".join(selection.code for selection in selections) or None,
        "label": "; ".join(selection.label for selection in selections if selection.label) or None,
        "profile": profile.name,
        "rows": result.frame.height,
        "verdict": checks.get("verdict"),
        "issues": checks.get("issues", []),
        "kpis": checks.get("kpis", []),
        "score": facts.get("score"),
        "left_out": dict(left_out or {}),
        "rights": privacy.describe(policy, result.counts, stock_date),
        "warnings": list(warnings),
        "steps": [
            {
                "name": step.name,
                "rows_in": step.rows_in,
                "rows_out": step.rows_out,
                "warnings": list(step.warnings),
                "facts": step.facts,
            }
            for step in result.steps
        ],
        "columns": model.dictionary(result.frame),
    }


def told(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every warning once, with the name of its step; without one where it is about the file."""
    of_steps = [(step["name"], warning) for step in report["steps"] for warning in step["warnings"]]
    known = {warning for _, warning in of_steps}
    return [("", warning) for warning in report["warnings"] if warning not in known] + of_steps


def markdown(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as lines of Markdown."""
    yield f"# {report['code']}: {report['label']}" if report["code"] else "# dataset"
    yield ""
    yield f"{report['rows']} rows, profile {report['profile']}{_verdict(report)}. {report['rights']['source']}, {report['rights']['licence']}."
    yield from _rights(report["rights"])
    yield from _table(
        "Targets",
        ("target", "wanted", "found", "verdict"),
        [(k["key"], k["target"], _or_dash(k["value"]), k["verdict"]) for k in report["kpis"]],
    )
    yield from _table(
        "Issues", ("issue", "rows", "share"), [(i["key"], i["count"], f"{i['share']:.1%}") for i in report["issues"]]
    )
    if report["score"]:
        yield from _score(report["score"])
    yield from _table(
        "Steps",
        ("step", "rows before", "rows after"),
        [(s["name"], s["rows_in"], s["rows_out"]) for s in report["steps"]],
    )
    warnings = [f"- {step}: {warning}" if step else f"- {warning}" for step, warning in told(report)]
    if warnings:
        yield from ["", "## Warnings", "", *warnings]


def _score(score: Mapping[str, Any]) -> Iterator[str]:
    values = tuple(_or_dash(score[key]) for key in ("mean", "p50", "p90"))
    yield from _table("Score", ("mean", "median", "best tenth"), [values])
    yield ""
    weights = ", ".join(f"{name} {weight:g}" for name, weight in score["weights"].items())
    yield f"Weights: {weights}. Note: {score['note']}."


def _verdict(report: Mapping[str, Any]) -> str:
    return f", targets: {report['verdict']}" if report["kpis"] else ""


def _rights(rights: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    left_out, masked = rights["rows_excluded_for_partial_diffusion"], rights["rows_masked_for_partial_diffusion"]
    yield f"Partial diffusion: {left_out} rows left out, {masked} masked."
    persons, unknown = rights["rows_of_natural_persons"], rights["rows_of_unknown_legal_form"]
    known = "unknown (no file of legal units)" if persons is None else f"{persons}"
    if persons is not None and unknown:
        known += f", and of {unknown} rows it is unknown (they have no legal form)"
    yield f"Rows of natural persons: {known}; their names are {'' if rights['names_of_natural_persons'] else 'not '}in the dataset."


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield from ["", f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _or_dash(value: Any) -> Any:
    return "-" if value is None else value
