"""The quality report says what the steps found."""

import datetime as dt
import json

import polars as pl
import pytest

from joblot_sirene import pipeline
from joblot_sirene.jobs import profiles
from joblot_sirene.package import quality
from joblot_sirene.register import expressions, naf
from joblot_sirene.register.privacy import Policy
from joblot_sirene.register.stock_date import StockDate
from joblot_sirene.steps.model import Inputs
from joblot_sirene.synthetic.sample import establishments, legal_units

TODAY = dt.date(2026, 11, 20)


@pytest.fixture(scope="module")
def reports():
    selection = naf.parse_code("F")
    rows = establishments(4000, seed=1).filter(expressions.matches(selection))
    made = {}
    for name in profiles.NAMES:
        profile = profiles.load(name)
        nameless = pl.lit(None, pl.String)  # a target is missed
        units = legal_units(4000, seed=1).with_columns(denominationUniteLegale=nameless, sigleUniteLegale=nameless)
        result = pipeline.run(profile, [rows], Inputs(today=TODAY, units=units))
        made[name] = quality.report(
            result, profile, Policy(), selections=[selection], stock_date=StockDate(dt.date(2026, 11, 1), "option")
        )
    return made


def test_r91_issues_are_keys_and_counts_and_the_report_is_plain_json(reports):
    report = json.loads(json.dumps(reports["standard"]))
    assert {"key", "count"} <= set(report["issues"][0])
    assert report["verdict"] in {"pass", "warn", "fail"}
    assert report["rows"] == report["steps"][-1]["rows_out"]
    assert set(report["score"]) >= {"rows", "mean", "p50", "p90"}  # R90


def test_r92_rights_and_columns_are_told(reports):
    report = reports["deep"]
    assert report["rights"]["personal_data"] is True
    assert report["rights"]["rows_excluded_for_partial_diffusion"] > 0
    assert [column["name"] for column in report["columns"]][:2] == ["siret", "siren"]


def test_people_read_it_as_markdown(reports):
    text = "\n".join(quality.markdown(reports["deep"]))
    assert text.startswith("# F: Construction\n\n")
    assert "Source: INSEE, base Sirene, stock of 2026-11-01, Licence Ouverte 2.0 (Etalab)." in text
    assert "| with_name | 0.9 |" in text
    assert "## Warnings" in text


def test_a_quick_report_has_no_empty_chapters(reports):
    text = "\n".join(quality.markdown(reports["quick"]))
    assert "## Steps" in text
    assert "## Targets" not in text
    assert "unknown (no file of legal units)" in text
