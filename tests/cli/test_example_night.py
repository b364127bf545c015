"""The example of a night's load: `if`, `allow_failure` and `finally`."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cli.conftest import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "night"


@pytest.fixture
def joblot(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot"))
    return Project(tmp_path / "example")


def statuses(project):
    return {one["job"]: one["status"] for one in json.loads(project("show", "last", "--json").out)["results"]}


def test_a_failed_check_is_allowed_and_the_end_is_told_as_the_readme_says(joblot):
    done = joblot("run")
    assert done.code == 0, done.err
    assert statuses(joblot) == {
        "look": "success",
        "load": "success",
        "check": "failed",
        "publish": "success",
        "archive": "skipped",
        "clean": "success",
        "tell": "success",
        "alarm": "skipped",
    }
    told = re.sub(r", in .*", "", (joblot.path / "told").read_text())
    assert f"```text\n{told}```" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert not (joblot.path / "scratch").exists()


def test_without_anything_new_nothing_is_loaded(joblot):
    shutil.rmtree(joblot.path / "incoming")
    assert joblot("run").code == 0
    assert [name for name, status in statuses(joblot).items() if status == "skipped"] == [
        "load",
        "check",
        "publish",
        "archive",
        "alarm",
    ]


def test_a_failure_is_an_alarm(joblot):
    (joblot.path / "look.sh").unlink()
    assert joblot("run", "--var", "full=true").code == 1
    alarm = (joblot.path / "alarm").read_text()
    assert "Batch night: failed\n" in alarm
    assert re.search(r"\[failed +\] look ", alarm)
    assert statuses(joblot)["archive"] == "success"
