"""`why`: who made a file, and of what."""

import json
import os
import re
import sqlite3
from contextlib import closing

import pytest

from joblot import outputs
from joblot.__main__ import main

BATCH = """\
name: night
vars: {day: {type: date, default: 2026-11-19}}
jobs:
  - {name: load, run: "cat in.txt > ${{ outputs }}; echo ${{ vars.day }} >> load.csv", input: in.txt, outputs: [load.csv]}
  - {name: both, run: "mkdir -p out; cat load.csv other.txt | tee out/a.txt > out/b.txt", input: [load.csv, other.txt], outputs: [out]}
  - {name: end, run: [cp, load.csv, end.txt], input: [out, load.csv], outputs: [end.txt], retry: 2}
"""


class Project:
    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        (path / "joblot.yaml").write_text(BATCH)
        (path / "in.txt").write_text("x\n")
        (path / "other.txt").write_text("y\n")

    def __call__(self, *words, code=0):
        assert main(list(words)) == code, self._capsys.readouterr().err
        out, self.err = self._capsys.readouterr()
        out = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", out)
        return out.replace(str(self.path), "DIR")

    def run(self, run_id, *words):
        self("run", "-q", "--on", "inline", "--run-id", run_id, *words)

    def known(self, file, *words):
        found = json.loads(self("why", file, "--json", *words))
        return found["job"], found["known"]

    def sql(self, statement):
        with closing(sqlite3.connect(self.path / ".joblot/journal.db", isolation_level=None)) as database:
            database.execute(statement)


@pytest.fixture
def joblot(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    project = Project(tmp_path, capsys)
    project.run("r1")
    return project


LOAD = """\
  made by job `load` of `night` (by hash)
  in run r1, attempt 1, DATE
  by: cat in.txt > load.csv; echo 2026-11-19 >> load.csv
  with day='2026-11-19'
  of:
    in.txt
      made by no job here, and as it was then (by hash)
"""


def test_who_made_a_file_and_what_that_was_made_of(joblot):
    assert joblot("why", "load.csv") == f"DIR/load.csv\n{LOAD}"
    behind = "".join(f"        {line}\n" for line in f"load.csv\n{LOAD}".splitlines())
    assert joblot("why", "end.txt") == (
        "DIR/end.txt\n"
        "  made by job `end` of `night` (by hash)\n"
        "  in run r1, attempt 1, DATE\n"
        "  by: cp load.csv end.txt\n"
        "  with day='2026-11-19'\n"
        "  of:\n"
        "    out\n"
        "      made by job `both` of `night` (by hash)\n"
        "      in run r1, attempt 1, DATE\n"
        "      by: mkdir -p out; cat load.csv other.txt | tee out/a.txt > ou...\n"
        "      with day='2026-11-19'\n"
        "      of:\n"
        f"{behind}"
        "        other.txt\n"
        "          made by no job here, and as it was then (by hash)\n"
        "    load.csv\n"
        "      made by job `load` of `night` (by hash)\n"
        "      told above\n"
    )  # fmt: skip


def test_as_data_each_job_is_told_once_with_what_it_read(joblot):
    found = json.loads(joblot("why", "end.txt", "--json"))
    assert {key: found[key] for key in ("path", "known", "job", "batch", "run_id", "attempt", "command", "variables")} == {
        "path": "DIR/end.txt", "known": "hash", "job": "end", "batch": "night", "run_id": "r1", "attempt": 1,
        "command": ["cp", "load.csv", "end.txt"], "variables": {"day": "2026-11-19"},
    }  # fmt: skip
    out, load = found["inputs"]
    assert [one["path"] for one in out["inputs"]] == ["load.csv", "other.txt"]
    assert out["inputs"][0]["inputs"] == [{"path": "in.txt", "known": "hash"}]
    assert "inputs" not in load


@pytest.mark.parametrize("word", ["load.csv", "sub/../load.csv", "DIR/load.csv", "link", "sub/link", "linked/load.csv"])
def test_by_whatever_path_a_file_is_named(joblot, tmp_path, word):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("load.csv")
    (tmp_path / "sub/link").symlink_to(tmp_path / "link")
    (tmp_path / "linked").symlink_to(".")
    assert joblot.known(word.replace("DIR", str(tmp_path))) == ("load", "hash")


def test_from_any_folder_and_with_the_nearest_state_folder_that_knows_it(joblot, tmp_path, monkeypatch):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "joblot.yaml").write_text(
        "name: inner\njobs: [{name: own, run: 'echo x > own.txt', outputs: [own.txt]}, {name: up, run: 'true', outputs: [../in.txt]}]\n"
    )
    joblot("run", "inner/joblot.yaml", "-q", "--on", "inline")
    monkeypatch.chdir("/")
    assert joblot.known(str(inner / "own.txt")) == ("own", "hash")
    assert joblot.known(str(tmp_path / "load.csv")) == ("load", "hash")
    (inner / "more").mkdir()
    (inner / "more/x").symlink_to(tmp_path / "load.csv")
    assert joblot.known(str(inner / "more/x")) == ("load", "hash"), "the folder of what the link leads to"
    joblot("why", str(tmp_path / "load.csv"), "--state", str(inner / ".joblot"), code=4)


def test_a_file_in_a_folder_that_a_job_makes(joblot):
    assert "made by job `both` of `night`, in `out` (by hash)\n" in joblot("why", "out/a.txt")
    (joblot.path / "out/b.txt").write_text("other\n")
    assert "made by job `both` of `night`, and changed since: `out`, which it is in, is not what it made\n" in joblot(
        "why", "out/a.txt"
    )
    (joblot.path / "out/a.txt").unlink()
    assert "made by job `both` of `night`, if it was in `out`; it is not there now\n" in joblot("why", "out/a.txt")


def test_a_file_that_was_changed_touched_or_removed_since(joblot):
    os.utime(joblot.path / "load.csv", (1, 1))
    assert joblot.known("load.csv") == ("load", "hash"), "its contents are what counts"
    (joblot.path / "load.csv").write_text("other\n")
    assert "  made by job `load` of `night`, and changed since: it is not what it made\n" in joblot("why", "load.csv")
    (joblot.path / "load.csv").unlink()
    assert "  made by job `load` of `night`; it is not there now\n" in joblot("why", "load.csv")


def test_what_was_made_anew_after_it_was_read(joblot):
    (joblot.path / "in.txt").write_text("new\n")
    joblot.run("r2", "--only", "load")
    found = json.loads(joblot("why", "end.txt", "--json"))
    assert [(one["path"], one["known"], one["run_id"]) for one in found["inputs"]] == [
        ("out", "hash", "r1"),
        ("load.csv", "remade", "r2"),
    ]
    assert "made by job `load` of `night`, which has made it anew since\n" in joblot("why", "end.txt")


@pytest.mark.parametrize(("after", "words"), [("other", "changed since it was read"), (None, "not there now")])
def test_what_nobody_has_made_is_compared_with_what_is_there(joblot, after, words):
    file = joblot.path / "in.txt"
    file.unlink() if after is None else file.write_text(after)
    assert joblot("why", "load.csv").endswith(f"    in.txt\n      made by no job here, and {words}\n")


@pytest.mark.parametrize(
    ("after", "words"), [("other", "and changed since: it is not what it made"), (None, "it is not there now")]
)
def test_what_a_job_has_read_is_compared_with_what_is_there(joblot, after, words):
    file = joblot.path / "load.csv"
    file.unlink() if after is None else file.write_text(after)
    told = joblot("why", "end.txt")
    assert f"    load.csv\n      made by job `load` of `night`{',' if after else ';'} {words}\n" in told


def test_what_was_too_large_to_be_read_is_known_by_path_and_time_only(joblot, monkeypatch):
    monkeypatch.setattr(outputs, "MAX_HASHED", 3)
    joblot.run("r2", "-f")
    assert joblot.known("load.csv") == ("load", "time")
    assert "made by job `load` of `night` (by path and time only)\n" in joblot("why", "load.csv")
    assert joblot("why", "load.csv").endswith("    in.txt\n      made by no job here, and as it was then (by hash)\n")
    os.utime(joblot.path / "load.csv", (1, 1))
    assert joblot.known("load.csv") == ("load", "changed")


def test_a_run_that_was_cleared_up_takes_no_origin_with_it(joblot):
    joblot.run("r2", "-f", "--only", "end")
    joblot.run("r3", "-f", "--only", "end")
    joblot.sql("UPDATE run SET started_at = 0 WHERE run_id = 'r1'")
    joblot("prune", "--keep", "1")
    told = joblot("why", "load.csv")
    assert "  in run r1, which was cleared up, DATE\n  by: cat in.txt > load.csv; echo 2026-11-19 >> load.csv\n" in told


def test_what_an_action_makes_though_its_job_does_not_declare_it(joblot):
    (joblot.path / "acts.py").write_text(
        "from joblot import action\n\n@action('makes')\ndef makes(*, size: int = 1, ctx) -> None:\n"
        "    with ctx.output('made.txt') as part:\n        part.write_text('x' * size)\n"
    )
    (joblot.path / "act.yaml").write_text(
        "name: act\nimports: [./acts.py]\njobs: [{name: one, action: makes, params: {size: 3}}]\n"
    )
    for run in ("a1", "a2"):
        joblot("run", "act.yaml", "-q", "--on", "inline", "--run-id", run)
    assert joblot("why", "made.txt") == (
        "DIR/made.txt\n  made by job `one` of `act` (by path only)\n  in run a2, attempt 1, DATE\n  by action makes(size=3)\n"
    )
    (joblot.path / "made.txt").write_text("more than that")
    assert joblot.known("made.txt") == ("one", "changed")


def test_a_file_that_no_job_made(joblot, tmp_path):
    joblot("why", "in.txt", code=4)
    hint = f"`{tmp_path}/.joblot` has what jobs declare as `outputs`, and what actions make by `ctx.output`"
    assert joblot.err == f"error: no job is known to have made `{tmp_path}/in.txt`\nhint: {hint}\n"


def test_where_nothing_has_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    assert main(["why", "x"]) == 4
    assert (
        capsys.readouterr().err
        == f"error: no job is known to have made `{tmp_path}/x`\nhint: `--state` names the state folder of its batch\n"
    )


def test_more_ways_than_jobs_and_more_jobs_than_are_told(joblot):
    """Each of forty jobs reads what the two before it made: the ways from the last to the first are millions."""
    jobs = [
        f'  - {{name: "j{n}", run: "echo {n} > f{n}", input: {[f"f{max(0, n - 1)}", f"f{max(0, n - 2)}"][: min(n, 2)]}, outputs: [f{n}]}}\n'
        for n in range(40)
    ]
    (joblot.path / "many.yaml").write_text("name: many\njobs:\n" + "".join(jobs))
    joblot("run", "many.yaml", "-q", "--on", "inline")
    assert len(joblot("why", "f39").splitlines()) < 200
    assert joblot("why", "f39", "--json").count('"job": "j0"') < 5


def test_a_damaged_success_takes_no_other_with_it(joblot):
    joblot.sql("UPDATE made SET files = x'00', parts = x'00' WHERE job = 'both'")
    assert joblot.known("out") == ("both", "hash"), "as the records of the run say it"
    assert joblot.known("load.csv") == ("load", "hash")
    joblot.sql("UPDATE made SET parts = x'00' WHERE job = 'load'")
    assert joblot.known("load.csv") == ("load", "hash")
