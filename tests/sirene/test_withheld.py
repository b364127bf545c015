"""What the policy of a job leaves out is not missing: neither for its targets and issues nor for its scores."""

import json

import polars as pl
import pytest

from sirene.files import MASK, hidden, person, row, unit, write

COMPANY = {"categorieJuridique": "5710", "denomination": ""}


def batch(sirene, units, stock, *words, template=None):
    """The quality report and the rows of a dataset."""
    write(stock, sirene.folder / "stock.csv")
    write(units, sirene.folder / "units.csv")
    if template is not None:
        (sirene.folder / "own.yaml").write_text(template)
        words = (*words, "--template", "own.yaml")
    words = (*words, "--unite-legale", "units.csv", "--profile", "deep", "--output-dir", "out")
    done = sirene("batch", "--naf", "6201Z", "--input", "stock.csv", *words)
    assert done.code == 0, done.err
    folder = sirene.folder / "out" / "naf_6201Z"
    return json.loads((folder / "quality.json").read_text()), pl.read_parquet(folder / "dataset.parquet"), folder


def target(report, key):
    found = next(kpi for kpi in report["kpis"] if kpi["key"] == key)
    return found["value"], found["verdict"]


def count(report, key):
    return next(((issue["count"], issue["share"]) for issue in report["issues"] if issue["key"] == key), (0, 0.0))


KINDS = {
    "nine persons, one company": ([*map(person, range(1, 10)), unit(10)], (1.0, "pass"), (0, 0.0)),
    "persons only": ([*map(person, range(1, 11))], (None, "warn"), (0, 0.0)),
    "companies only": ([*map(unit, range(1, 11))], (1.0, "pass"), (0, 0.0)),
    "half of the companies without a name": (
        [*map(person, range(1, 7)), unit(7), unit(8), unit(9, **COMPANY), unit(10, **COMPANY)], (0.5, "fail"), (2, 0.5),
    ),
    "no company with a name": ([*map(person, range(1, 10)), unit(10, **COMPANY)], (0.0, "fail"), (1, 1.0)),
    "joint owners": ([unit(n, categorieJuridique="2110") for n in range(1, 10)] + [unit(10)], (1.0, "pass"), (0, 0.0)),
    "a unit that is not in the file": ([*map(person, range(1, 9)), unit(10)], (0.5, "fail"), (1, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_counts_rows_whose_name_may_be_shown(sirene, kind):
    units, value, issue = KINDS[kind]
    report, _, folder = batch(sirene, units, [row(n, enseigne1="A") for n in range(1, 11)])
    assert target(report, "with_name") == value
    assert count(report, "name_missing") == issue
    assert report["verdict"] == ("fail" if value[1] == "fail" else report["verdict"])
    assert (report["verdict"] == "fail") == (value[1] == "fail")
    assert json.loads((folder / "manifest.json").read_text())["verdict"] == report["verdict"]


def test_a_job_that_asks_for_names_misses_those_that_are_not_there(sirene):
    template = MASK.replace("{partial_diffusion: mask}", "{person_names: true}")
    units = [person(1, nom="", prenomUsuel=""), person(2), person(3, nom="", prenomUsuel=""), unit(4)]
    report, _, _ = batch(sirene, units, [row(n) for n in range(1, 5)], template=template)
    assert target(report, "with_name") == (0.5, "fail")


def test_a_person_without_a_name_is_scored_like_a_company_with_one(sirene):
    _, rows, _ = batch(sirene, [person(1), unit(2), unit(3, **COMPANY)], [row(n) for n in (1, 2, 3)])
    scores = rows.sort("siret")["score"].to_list()
    assert scores[0] == scores[1] > scores[2]


@pytest.mark.parametrize(("masked", "value"), [(0, 1.0), (5, 1.0), (9, 1.0), (10, None)])
def test_masked_rows_miss_no_address(sirene, masked, value):
    stock = [hidden(row(n)) if n <= masked else row(n) for n in range(1, 11)]
    template = MASK + "kpi_targets: {with_address: 0.9, with_postal_code: 0.9, with_name: 0.9, with_sign: 0.9}\n"
    report, _, _ = batch(sirene, [unit(n) for n in range(1, 11)], stock, template=template)
    for key in ("with_address", "with_postal_code", "with_name", "with_sign"):
        assert target(report, key) == (value, "warn" if value is None else "pass")
    assert report["verdict"] != "fail"


def test_public_rows_without_an_address_still_miss_it(sirene):
    stock = [hidden(row(1)), row(2), row(3, numeroVoie="", typeVoie="", libelleVoie="")]
    template = MASK + "kpi_targets: {with_address: 0.9}\n"
    report, _, _ = batch(sirene, [unit(n) for n in (1, 2, 3)], stock, template=template)
    assert target(report, "with_address") == (0.5, "fail")
    assert count(report, "address_missing") == (1, 0.5)
