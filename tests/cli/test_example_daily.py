"""The example of a batch that runs day by day."""

import json
import shutil
import time
from pathlib import Path

import pytest

from cli.conftest import Project
from joblot.clock import day_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "daily"


@pytest.fixture
def joblot(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot", "out"))
    return Project(tmp_path / "example")


def jobs(project):
    return {one["job"]: one for one in json.loads(project("show", "last", "--json").out)["results"]}


def test_a_day_is_fetched_checked_and_added_up(joblot):
    done = joblot("run", "joblot.yaml", "--var", "day=2026-11-19")
    assert done.code == 0, done.err
    report = (joblot.path / "out" / "2026-11-19" / "report.txt").read_text()
    assert f"```text\n{report}```" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert {name: one["attempts"] for name, one in jobs(joblot).items()} == {"fetch": 2, "check": 1, "report": 1}
    joblot("run", "joblot.yaml", "--var", "day=2026-11-19")
    assert {name: one["status"] for name, one in jobs(joblot).items()} == {
        "fetch": "cached", "check": "success", "report": "cached",
    }  # fmt: skip


def test_without_a_day_it_is_today_s(joblot):
    days = [day_of(time.time(), "Europe/Paris")]
    assert joblot("run", "joblot.yaml").code == 0
    days.append(day_of(time.time(), "Europe/Paris"))  # midnight may have passed
    (made,) = (joblot.path / "out").iterdir()
    assert made.name in days
    assert f"{made.name}: 3 tills" in (made / "report.txt").read_text()


@pytest.mark.parametrize(
    ("old", "new", "failed", "attempts", "skipped"),
    [
        ("exit 75", "exit 1", "fetch", 1, ["check", "report"]),
        ("printf 'till-3,%s", "printf 'till 3,%s", "check", 1, ["report"]),
    ],
)  # fmt: skip
def test_what_goes_wrong_ends_where_it_does(joblot, old, new, failed, attempts, skipped):
    server = joblot.path / "server"
    server.write_text(server.read_text().replace(old, new))
    assert joblot("run", "joblot.yaml").code == 1
    found = jobs(joblot)
    assert (found[failed]["status"], found[failed]["attempts"]) == ("failed", attempts)
    assert [name for name, one in found.items() if one["status"] == "skipped"] == skipped
