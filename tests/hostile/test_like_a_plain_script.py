"""Attempts find what a plain script finds, or `python-actions.md` says what is different: twenty-nine looks, and what an attempt changes."""

from __future__ import annotations

import json
import re
import shutil
import sys
from subprocess import DEVNULL
from typing import Any

import pytest

from docs.pages import section, text
from hostile import probes
from hostile.conftest import Hostile

SCRIPT = """
import json, sys, probes
if __name__ == "__main__":
    found = probes.looked()
    print("#" + json.dumps(found))
"""
BATCH = """
imports: [./actions_of_the_batch.py]
max_workers: 1
jobs:
  - {name: first, action: looked}
  - {name: spoil, action: spoil, needs: [first]}
  - {name: second, action: looked, needs: [spoil]}
"""
ACTIONS = """
import probes
from joblot import action
action("looked")(probes.looked)
action("spoil")(probes.spoil)
"""
INLINE = """
import json, sys, probes
from joblot import Batch
if __name__ == "__main__":
    before = probes.looked()
    batch = Batch("inline")
    batch.add("first", probes.looked)
    batch.add("spoil", probes.spoil, needs=["first"])
    batch.add("second", probes.looked, needs=["spoil"])
    report = batch.run(on="inline")
    results = {job.name: job.result for job in report.jobs.values()}
    print("#" + json.dumps({**results, "before": before, "after": probes.looked()}))
"""


HANDLED = {"workers": {"SIGTERM"}, "inline": {"SIGTERM", "SIGINT", "SIGHUP"}}
"""Signals that are joblot's."""
DIFFERENT = {
    "workers": {"handlers", "streams", "limits", "environment", "words", "faults", "session"},
    "inline": {"handlers", "streams", "threads"},
}
"""Probes that find something else than in a plain script."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is found by a plain script, by two attempts of one worker and of `inline`, and by the program around `inline`."""
    hostile = Hostile(tmp_path_factory.mktemp("probes"))
    shutil.copy(probes.__file__, hostile.folder)
    (hostile.folder / "lies_beside.py").write_text("VALUE = 7\n")
    (hostile.folder / "actions_of_the_batch.py").write_text(ACTIONS)
    (hostile.folder / "joblot.yaml").write_text(BATCH)
    hostile.env["TZ"] = "Asia/Tokyo"
    try:
        ended = hostile.end(
            hostile.start(sys.executable, "-m", "joblot", "run", "-q", "--json", stdin=DEVNULL), limit=120.0
        )
        results = {result["job"]: result for result in json.loads(ended.out)["results"]}
        assert {result["status"] for result in results.values()} == {"success"}, results
        return {
            "plain": printed(hostile, "plain.py", SCRIPT),
            "workers": {name: results[name]["result"] for name in ("first", "second")},
            "inline": printed(hostile, "inline.py", INLINE),
        }
    finally:
        hostile.sweep()


def printed(hostile: Hostile, name: str, source: str) -> dict[str, Any]:
    """What a program prints after its last `#`."""
    (hostile.folder / name).write_text(source)
    ended = hostile.end(hostile.start(sys.executable, name, stdin=DEVNULL), limit=120.0)
    result: dict[str, Any] = json.loads(ended.out.rpartition("#")[2])
    return result


def test_both_attempts_are_of_one_worker(found: dict[str, Any]) -> None:
    """Or nothing would be put back between them."""
    assert found["workers"]["first"]["process"] == found["workers"]["second"]["process"]


@pytest.mark.parametrize("probe", [probe.__name__ for probe in probes.PROBES])
@pytest.mark.parametrize("on", ["workers", "inline"])
def test_attempts_find_what_a_plain_script_finds(found: dict[str, Any], on: str, probe: str) -> None:
    """The second one too, though the one between them has changed everything."""
    plain, first, second = (each[probe] for each in (found["plain"], found[on]["first"], found[on]["second"]))
    assert first == second
    assert (first != plain) == (probe in DIFFERENT[on])


@pytest.mark.parametrize("probe", [probe.__name__ for probe in probes.PROBES])
def test_inline_leaves_the_program_as_it_was(found: dict[str, Any], probe: str) -> None:
    """Though an attempt has changed everything."""
    assert found["inline"]["after"][probe] == found["inline"]["before"][probe] == found["plain"][probe]


@pytest.mark.parametrize("on", ["workers", "inline"])
def test_what_is_different_is_no_more_than_is_said(found: dict[str, Any], on: str) -> None:
    """Within the probes that differ."""
    plain, attempt = found["plain"], found[on]["first"]
    differing = {name for name, handler in plain["handlers"].items() if attempt["handlers"][name] != handler}
    assert differing == HANDLED[on]
    assert [encoding for encoding, *_ in attempt["streams"][0]] == ["utf-8"] * 3
    assert attempt["streams"][1] == ""
    assert attempt["streams"][2:4] == ["backslashreplace", "backslashreplace"]
    if on == "workers":
        assert [pair[1] for pair in attempt["limits"]] == [pair[1] for pair in plain["limits"]]
        assert sum(mine != its for mine, its in zip(attempt["limits"], plain["limits"], strict=True)) == 1
        more = set(attempt["environment"]) - set(plain["environment"])
        assert {variable.partition("=")[0] for variable in more} == {"JOBLOT_RUN_ID", "JOBLOT_RUN", "JOBLOT_SLOT"}
        assert set(plain["environment"]) < set(attempt["environment"])
        assert attempt["words"] == ["run", "-q", "--json"]
    else:
        assert attempt["threads"][:2] == plain["threads"]


def test_the_page_says_what_is_different() -> None:
    """Each probe that differs has its row."""
    page = section(text("howto/python-actions.md"), "## What is different from a script")
    rows = re.findall(r"^\| ([a-z ]+) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    names = {
        "handlers": "signals",
        "streams": "standard streams",
        "limits": "limits",
        "environment": "environment",
        "words": "command line",
        "faults": "crashes",
        "session": "process group",
        "threads": "threads",
    }
    told = {name: (worker != "as a script", inline != "as a script") for name, worker, inline in rows}
    for probe, name in names.items():
        assert told[name] == (probe in DIFFERENT["workers"], probe in DIFFERENT["inline"]), name
    assert DIFFERENT["workers"] | DIFFERENT["inline"] == set(names)
