"""`ls --job`: one job through the runs."""

import json
import re

import pytest

from joblot.__main__ import main

BATCH = """\
name: night
vars: {day: {type: date, default: 2026-11-19}}
secrets: [KEY]
jobs:
  - {name: load, run: "cat in.txt > ${{ outputs }}", input: in.txt, outputs: [load.csv]}
  - {name: join, run: "test -e good; cat load.csv > join.csv; : ${{ vars.day }}", input: load.csv, outputs: [join.csv], env: {KEY: one}}
  - {name: "f-${{ item }}", run: "true", foreach: [1, 2]}
"""


class Project:
    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.write(BATCH)
        (path / "in.txt").write_text("x\n")

    def write(self, text):
        (self.path / "joblot.yaml").write_text(text)

    def __call__(self, *words, code=0):
        assert main(list(words)) == code, self._capsys.readouterr().err
        out, self.err = self._capsys.readouterr()
        return out

    def run(self, run_id, *words, good=True):
        (self.path / "good").touch() if good else (self.path / "good").unlink(missing_ok=True)
        self("run", "-q", "--on", "inline", "--run-id", run_id, *words, code=0 if good else 1)

    def changed(self, job, *words):
        """Of each run its state, and what was changed."""
        found = json.loads(self("ls", "--job", job, "--json", *words))
        return [
            (
                one["run_id"],
                one["state"],
                [re.sub(r" None$", "", " ".join(map(str, change.values()))) for change in one["changed"]],
            )
            for one in found
        ]


@pytest.fixture
def joblot(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    return Project(tmp_path, capsys)


def test_what_became_of_it_in_each_run_and_where_it_changed(joblot):
    joblot.run("r1")
    joblot.run("r2")
    (joblot.path / "in.txt").write_text("y\n")
    joblot.run("r3")
    joblot.run("r4")
    joblot.write(BATCH.replace("env: {KEY: one}", "env: {KEY: two}, timeout: 10m"))
    joblot.run("r5", "--var", "day=2026-11-20", good=False)
    assert joblot.changed("join") == [
        ("r5", "failed", ["timeout None 600.0", "vars.day 2026-11-19 2026-11-20"]), ("r4", "cached", []), ("r3", "success", ["input load.csv"]),
        ("r2", "cached", []), ("r1", "success", []),
    ]  # fmt: skip
    assert joblot.changed("load") == [
        ("r5", "cached", []),
        ("r4", "cached", []),
        ("r3", "success", []),
        ("r2", "cached", []),
        ("r1", "success", []),
    ]
    lines = joblot("ls", "--job", "join").splitlines()
    assert lines[0].split() == ["RUN", "STARTED", "STATE", "ATTEMPTS", "TOOK", "PEAK", "CHANGED"]
    assert lines[1].endswith("  timeout None -> 600.0, vars.day '2026-11-19' -> '2026-11-20'")
    assert re.match(r"r4   \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  cached   0         -  ", lines[2])


def test_runs_are_chosen_as_in_the_list(joblot):
    joblot.run("r1")
    joblot.run("r2", "-f", good=False)
    joblot.run("r3", "--var", "day=2026-11-20")
    assert [run for run, *_ in joblot.changed("join", "--status", "success")] == ["r3", "r1"]
    assert [run for run, *_ in joblot.changed("join", "-n", "1")] == ["r3"]
    assert joblot.changed("join", "-n", "1")[0][2] == ["vars.day 2026-11-19 2026-11-20"], (
        "compared with one that is not listed"
    )
    assert [run for run, *_ in joblot.changed("join", "--var", "day=2026-11-20")] == ["r3"]


def test_a_run_without_the_job_is_passed_over(joblot):
    joblot.run("r1")
    joblot.write(BATCH.replace("[1, 2]", "[1, 2, 3]"))
    joblot.run("r2")
    joblot.write(BATCH.replace("[1, 2]", "[2, 3]"))
    joblot.run("r3")
    assert joblot.changed("f-3") == [("r3", "success", []), ("r2", "success", [])]
    assert [run for run, *_ in joblot.changed("f-1")] == ["r2", "r1"]


def test_what_has_no_report_is_told_from_its_records(joblot):
    joblot.run("r1")
    (joblot.path / ".joblot/runs/r1/report.json").unlink()
    assert joblot.changed("join") == [("r1", "success", [])]
    (joblot.path / ".joblot/runs/r1/report.json").write_text("{")
    assert joblot.changed("join") == [("r1", "success", [])]


def test_a_job_that_no_run_has(joblot):
    joblot.run("r1")
    joblot("ls", "--job", "nothing", code=4)
    assert joblot.err == "error: none of these runs has a job `nothing`\nhint: `joblot show RUN` lists those of a run\n"
    joblot("ls", "--job", "load", "--watch", code=2)
    assert joblot.err == "error: `--watch` is for a list of runs: it cannot be with `--job`\n"
