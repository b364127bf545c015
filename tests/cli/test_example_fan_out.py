"""The example of fan-outs: weather stations from a table."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cli.conftest import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "fan-out"


@pytest.fixture
def joblot(tmp_path):
    ignored = shutil.ignore_patterns(".joblot", "__pycache__", "out")
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored)
    return Project(tmp_path / "example")


def statuses(project):
    return {one["job"]: one["status"] for one in json.loads(project("show", "last", "--json").out)["results"]}


def test_each_station_has_a_page_and_the_summary_is_that_of_the_readme(joblot):
    done = joblot("run", "joblot.yaml")
    assert done.code == 0, done.err
    pages = sorted(path.name for path in (joblot.path / "out").glob("*.md"))
    assert pages == ["0042.md", "0107.md", "0310.md", "0311.md", "0588.md", "0590.md"]
    summary = (joblot.path / "out" / "summary.txt").read_text()
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert f"```text\n{summary}```" in readme
    told = [sorted(re.findall(r"/12\] (\S+): success \(", text)) for text in (done.err, readme)]
    assert told[0] == told[1]
    assert len(told[0]) == 12


def test_a_changed_row_runs_what_comes_from_it(joblot):
    joblot("run")
    stations = joblot.path / "stations.csv"
    stations.write_text(stations.read_text().replace(";31;", ";32;"))
    plan = joblot("plan").out
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"\$ joblot plan\n(.*?)\n\.\.\.", readme, re.DOTALL)[1]
    assert plan.startswith(shown)
    joblot("run")
    found = statuses(joblot)
    assert found["station-0107"] == "success"
    assert [found[f"station-{code}"] for code in ("0042", "0310", "0311", "0588", "0590")] == ["cached"] * 5


def test_a_row_that_cannot_be_is_named(joblot):
    with (joblot.path / "stations.csv").open("a") as file:
        file.write("9999;Nowhere;x;coast\n")
    done = joblot("plan")
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert done.code == 2
    assert done.err in readme


def test_a_station_without_observations_fails_alone_and_is_retried(joblot):
    with (joblot.path / "stations.csv").open("a") as file:
        file.write("9999;Nowhere;3;coast\n")
    assert joblot("run").code == 1
    found = statuses(joblot)
    assert [job for job, status in found.items() if status == "failed"] == ["station-9999"]
    assert found["summary"] == "skipped"
    with (joblot.path / "observations.csv").open("a") as file:
        file.write("9999,2026-11-20,1,2,3\n")
    assert joblot("retry", "last", "--failed").code == 0
    assert (joblot.path / "out" / "summary.txt").read_text().startswith("7 stations\n")
