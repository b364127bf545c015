"""What a batch says at its end: every warning once, verdicts, and which codes were not begun for which reason."""

import json

import pytest

from joblot_sirene.batch import grouped_warnings
from joblot_sirene.steps.parameters import NO_UNITS
from sirene.stock import place, write_places


def warnings(done):
    return [line.removeprefix("WARNING: ") for line in done.err.splitlines() if line.startswith("WARNING: ")]


@pytest.fixture
def batch(processes):
    write_places(processes.folder / "stock.csv", [place(2600)])

    def run(*words):
        return processes("batch", "--input", "stock.csv", "--output-dir", "out", *words)

    return run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--naf", "6201Z"], [f"6201Z: {NO_UNITS}"]),
        (["--naf", "6920Z"], ["6920Z: no row has the code `6920Z`: nearest in the file: `62.01Z`"]),
        (
            ["--naf", "6201Z", "--naf", "62", "--profile", "deep"],
            [f"6201Z, 62: {NO_UNITS}", "6201Z, 62: the target `with_name` is missed: 0.0 of 0.9"],
        ),
        (
            ["--naf", "6201Z", "--naf", "5610A"],
            [f"6201Z: {NO_UNITS}", "5610A: no row has the code `5610A`: nearest in the file: `62.01Z`"],
        ),
    ],
)
def test_every_warning_stands_once_on_standard_error(batch, words, told):
    done = batch(*words, *(["--json"] if len(told) == 2 else []))
    assert sorted(warnings(done)) == sorted(told)
    last = done.err.splitlines()[-len(told) :]
    assert all(line.startswith("WARNING: ") for line in last)  # at the end, where it is read
    again = batch(*words)  # up to date, and no less worth knowing
    assert sorted(warnings(again)) == sorted(told)


def test_the_quality_report_and_its_page_have_the_warnings_of_the_manifest(batch, processes):
    batch("--naf", "5610A", "--profile", "deep")
    folder = processes.folder / "out" / "naf_5610A"
    told = json.loads((folder / "manifest.json").read_text())["warnings"]
    assert told[0] == "no row has the code `5610A`: nearest in the file: `62.01Z`"
    assert json.loads((folder / "quality.json").read_text())["warnings"] == told
    assert all(warning in (folder / "quality.md").read_text() for warning in told)
    page = (folder / "report.html").read_text()
    assert "Aucune ligne n'a le code <code>5610A</code>" in page.replace("&#x27;", "'")
    assert 'lang="en"' not in page


def test_a_run_without_warnings_says_nothing(processes):
    rows = [place(2601) | {"denominationUniteLegale": "ACME", "categorieJuridiqueUniteLegale": "5499"}]
    write_places(processes.folder / "joined.csv", rows, tuple(rows[0]))
    done = processes("batch", "--naf", "6201Z", "--input", "joined.csv", "--output-dir", "out")
    assert (done.code, warnings(done)) == (0, [])
    assert done.out == "[SUCCESS] 6201Z: 1 rows in out/naf_6201Z\nOK: 1 of 1 datasets\n"


def test_a_verdict_that_is_not_pass_stands_beside_its_dataset(batch):
    done = batch("--naf", "6201Z", "--profile", "deep")
    assert done.out == (
        "[SUCCESS] 6201Z: 1 rows in out/naf_6201Z, verdict: fail\nOK: 1 of 1 datasets, 1 with the verdict fail\n"
    )
    assert batch("--naf", "6201Z", "--profile", "deep", "--json").json["results"][0]["verdict"] == "fail"


def test_a_warning_of_many_datasets_names_some_of_them():
    items = [{"naf_code": f"{code}", "warnings": ["same", "same"]} for code in range(11, 19)]
    assert grouped_warnings({"results": [*items, {"naf_code": "20", "error": "failed"}]}) == [
        "11, 12, 13, 14, 15 and 3 more: same"
    ]


@pytest.mark.parametrize(
    ("fuse", "codes"),
    [
        ([], ["6201Z", "4329A"]),
        ([], ["4329A", "6201Z", "47", "F"]),
        (["--no-fuse"], ["6201Z", "4329A", "47"]),
        (["--no-fuse"], ["4329A", "6201Z", "47", "F"]),
    ],
)
def test_codes_that_were_not_begun_are_no_failures_and_name_the_one_that_was(batch, processes, fuse, codes):
    (processes.folder / "out").mkdir()
    (processes.folder / "out" / "naf_6201Z").write_text("a file where the folder goes")
    done = batch(*(word for code in codes for word in ("--naf", code)), *fuse, "--json")
    result = done.json
    after = codes[codes.index("6201Z") + 1 :]
    assert (result["status"], result["failed_jobs"], result["not_started_jobs"]) == ("FAILED", 1, len(after))
    not_begun = [item for item in result["results"] if item["status"] == "NOT_STARTED"]
    assert [item["naf_code"] for item in not_begun] == after
    assert {(item["duration_ms"], item["duration"]) for item in not_begun} == {(0, 0.0)}
    assert {item["error"] for item in not_begun} == {"not begun: `6201Z` failed before"}
    assert f"Failed NAF codes: ['6201Z']\nNAF codes not begun: {after}\n" in done.err
    again = batch(*(word for code in codes for word in ("--naf", code)), *fuse)
    assert f"[NOT_STARTED] {after[0]}: not begun: `6201Z` failed before\n" in again.out
