"""The example of slots with names: a card for each training."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cli.conftest import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "gpus"


@pytest.fixture
def joblot(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot", "out", "*.busy"))
    return Project(tmp_path / "example")


def test_two_trainings_run_at_once_on_a_card_each_and_what_they_make_is_that_of_the_readme(joblot):
    """A training fails where another has its card."""
    done = joblot("run", "joblot.yaml")
    assert done.code == 0, done.err
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert f"```text\n{(joblot.path / 'out' / 'ranking.txt').read_text()}```" in readme
    slots = {job["job"]: job["slots"]["gpu"] for job in json.loads(joblot("show", "last", "--json").out)["results"]}
    assert slots.pop("compare") == [0, 1]
    assert min(map(tuple, slots.values())) == (0,)
    assert {len(cards) for cards in slots.values()} == {1}
    assert (1,) in map(tuple, slots.values())
    assert re.search(r"^  attempts: 1, [^,]+, with gpu [01]$", joblot("explain", "train-0.01").out, re.MULTILINE)
