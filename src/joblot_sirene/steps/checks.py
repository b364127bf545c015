"""What is missing or doubtful in a dataset, counted and compared with the targets of the job."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from joblot_sirene.register import naf
from joblot_sirene.register.privacy import PUBLIC
from joblot_sirene.steps.model import Inputs, Outcome
from joblot_sirene.steps.parameters import KPIS, Checks
from joblot_sirene.steps.withheld import is_empty, is_withheld

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from joblot_sirene.register.privacy import Policy

Verdict = Literal["pass", "warn", "fail"]

NEAR: Final = 0.05
"""A share below its target by less than this is a warning, not a failure."""

EXAMPLES: Final = 3
"""SIRET numbers listed for each issue at most."""


# the key of an issue, the columns that it needs, and when a row has it
_ISSUES: Final[Mapping[str, tuple[tuple[str, ...], pl.Expr]]] = MappingProxyType(
    {
        "siret_invalid": (("siret_valide",), ~pl.col("siret_valide")),
        "siren_invalid": (("siren_valide",), ~pl.col("siren_valide")),
        "siren_not_of_siret": (("siren", "siret"), pl.col("siret").str.slice(0, 9) != pl.col("siren")),
        "name_missing": (("raison_sociale",), is_empty("raison_sociale")),
        "sign_missing": (("enseigne",), is_empty("enseigne")),
        "address_missing": (("adresse",), is_empty("adresse")),
        "postal_code_missing": (("code_postal", "pays"), is_empty("code_postal") & pl.col("pays").is_null()),
        "postal_code_malformed": (("code_postal",), ~pl.col("code_postal").str.contains(r"^(\d{5}|\[ND\])$")),
        "commune_missing": (("code_commune", "pays"), pl.col("code_commune").is_null() & pl.col("pays").is_null()),
        "abroad": (("pays",), pl.col("pays").is_not_null()),
        "department_of_post_differs": (
            ("code_postal", "departement"),
            # postal codes of Corsica begin with 20, its departments are 2A and 2B
            pl.col("code_postal").str.contains(r"^\d{5}$")
            & (pl.col("code_postal").str.slice(0, 2).replace("20", None) != pl.col("departement").str.slice(0, 2)),
        ),
        "creation_unknown": (("date_creation",), pl.col("date_creation").is_null()),
        "creation_absurd": (("date_creation",), pl.col("date_creation").dt.year() < 1800),
        "period_before_creation": (("date_debut", "date_creation"), pl.col("date_debut") < pl.col("date_creation")),
        "activity_missing": (("naf",), pl.col("naf").is_null()),
        "activity_not_in_list": (("naf",), ~pl.col("naf").is_in([*naf.labels(naf.REV2), *naf.labels(naf.NAF25)])),
        "activity_of_older_list": (("nomenclature",), pl.col("nomenclature").is_in(naf.OLDER)),
        "headcount_unknown": (
            ("tranche_effectifs",),
            pl.col("tranche_effectifs").is_null() | (pl.col("tranche_effectifs") == "NN"),
        ),
        "partial_diffusion": (("statut_diffusion",), pl.col("statut_diffusion") != "O"),
        "closed": (("etat",), pl.col("etat") == "F"),
        "looks_alike": (("groupe_doublons",), pl.col("groupe_doublons").is_not_null()),
        "outside_territory": (("hors_territoire",), pl.col("hors_territoire")),
    }
)


_OF_VALUES: Final = {
    "name_missing": "raison_sociale",
    "sign_missing": "enseigne",
    "address_missing": "adresse",
    "postal_code_missing": "code_postal",
}
"""The column of which an issue says that it has no value."""


def run(frame: pl.DataFrame, parameters: Checks, inputs: Inputs) -> Outcome:
    """Count issues, with a few SIRET numbers as examples, and give a verdict on each target. Rows stay as they are.

    A target whose issue cannot be counted (its column is not in this profile) is a warning, never a pass.
    """
    rules = {**_ISSUES, "creation_in_future": (("date_creation",), pl.col("date_creation") > inputs.today)}
    known = {key: rule for key, (needed, rule) in rules.items() if set(needed) <= set(frame.columns)}
    issues = _issues(frame, known, inputs.policy)
    targets = [_target(key, target, issues) for key, target in parameters.kpi_targets.items()]
    if parameters.minimum_rows:
        verdict: Verdict = "pass" if frame.height >= parameters.minimum_rows else "fail"
        targets.append({"key": "rows", "target": parameters.minimum_rows, "value": frame.height, "verdict": verdict})
    facts = {
        "rows": frame.height,
        "issues": [
            {name: value for name, value in issue.items() if name != "rows"}
            for issue in issues.values()
            if issue["count"]
        ],
        "kpis": targets,
        "verdict": _worst(targets),
    }
    return Outcome(frame=frame, facts=facts, warnings=tuple(_warnings(targets)) if frame.height else ())


def _issues(frame: pl.DataFrame, rules: Mapping[str, pl.Expr], policy: Policy) -> dict[str, dict[str, Any]]:
    """The rows with each issue, among those that could be without: a value that the policy leaves out is not missing."""
    withheld = {key: is_withheld(column, frame, policy) for key, column in _OF_VALUES.items() if key in rules}
    has = {key: rule.fill_null(value=False) & ~withheld.get(key, pl.lit(value=False)) for key, rule in rules.items()}
    # all in one pass, as most issues have no row in most datasets
    sums = [rule.sum().alias(key) for key, rule in has.items()]
    sums += [rule.sum().alias(f"withheld {key}") for key, rule in withheld.items()]
    counts = frame.select(sums).row(0, named=True)
    # nobody who is masked is to be found by a list of what is wrong with them
    is_shown = pl.col("statut_diffusion") == PUBLIC if "statut_diffusion" in frame.columns else pl.lit(value=True)
    issues = {}
    for key in rules:
        count, rows = counts[key], frame.height - counts.get(f"withheld {key}", 0)
        shown = pl.col("siret").filter(has[key] & is_shown).drop_nulls().head(EXAMPLES)
        examples = frame.select(shown)["siret"].to_list() if count else []
        share = round(count / rows, 4) if rows else 0.0
        issues[key] = {"key": key, "count": count, "share": share, "examples": examples, "rows": rows}
    return issues


def _target(key: str, target: float, issues: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    issue = issues.get(KPIS[key])
    if issue is None or not issue["rows"]:
        return {"key": key, "target": target, "value": None, "verdict": "warn"}
    value = 1 - issue["count"] / issue["rows"]
    verdict: Verdict = "pass" if value >= target else "warn" if value >= target - NEAR else "fail"
    return {"key": key, "target": target, "value": round(value, 4), "verdict": verdict}


def _worst(targets: list[dict[str, Any]]) -> Verdict:
    verdicts = {kpi["verdict"] for kpi in targets}
    return "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "pass"


def _warnings(targets: Iterable[dict[str, Any]]) -> Iterator[str]:
    for kpi in targets:
        if kpi["verdict"] != "pass":
            outcome = "missed" if kpi["verdict"] == "fail" else "not quite met or unknown"
            yield f"the target `{kpi['key']}` is {outcome}: {kpi['value']} of {kpi['target']}"
