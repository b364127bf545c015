"""`diff`: which two runs are compared, and what is told."""

import json
import re
from pathlib import Path

import pytest

from joblot.__main__ import main

BATCH = """\
name: night
vars: {day: {type: date, default: 2026-11-19}}
env: {MODE: fast, TOKEN: first-secret}
secrets: [TOKEN]
jobs:
  - {name: load, run: "echo ${{ vars.day }} > load.csv", outputs: [load.csv], timeout: 60s}
  - {name: join, run: "test -e good", needs: [load]}
"""


class Project:
    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        (path / "joblot.yaml").write_text(BATCH)
        (path / "good").touch()

    def __call__(self, *words, code=0):
        assert main(list(words)) == code, self._capsys.readouterr().err
        out, self.err = self._capsys.readouterr()
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", out)

    def run(self, run_id, *words, good=True, file="joblot.yaml"):
        (self.path / "good").touch() if good else (self.path / "good").unlink(missing_ok=True)
        self("run", file, "-q", "--on", "inline", "--run-id", run_id, *words, code=0 if good else 1)

    def change(self, old, new):
        file = self.path / "joblot.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def joblot(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    return Project(tmp_path, capsys)


def test_the_last_run_and_the_last_success_before_it(joblot):
    joblot.run("n1")
    joblot.run("n2", good=False)
    joblot.change("60s", "10m")
    joblot.change("MODE: fast, TOKEN: first-secret", "MODE: slow, TOKEN: second-secret")
    joblot.run("n3", "--var", "day=2026-11-20", good=False)
    assert joblot("diff") == (
        "old: run n1  success  DATE\n"
        "new: run n3  failed  DATE\n"
        "variables:\n"
        "  day '2026-11-19' -> '2026-11-20'\n"
        "batch:\n"
        "  env.MODE 'fast' -> 'slow'\n"
        "definitions:\n"
        "  load: timeout 60.0 -> 600.0\n"
        "newly failed:\n"
        "  1 x exit status 1 (such as `join`)\n"
        "other contents:\n"
        "  load.csv (of `load`)\n"
    )
    assert joblot("diff", "n3") == joblot("diff", "n1", "n3") == joblot("diff")
    assert joblot("diff", "n3", "n1").startswith(
        "old: run n3  failed  DATE\nnew: run n1  success  DATE\nvariables:\n  day '2026-11-20' -> '2026-11-19'\n"
    )
    assert "mended:\n  1 x exit status 1 (such as `join`)\n" in joblot("diff", "n3", "n1")
    assert "secret" not in joblot("diff", "--json")


def test_values_of_secrets_are_masked_wherever_they_stand(joblot, monkeypatch):
    monkeypatch.setenv("KEY", "host-s3cret")
    joblot.change("secrets: [TOKEN]", "secrets: [TOKEN, KEY]")
    joblot.change("60s", "60s, env: {OTHER: a host-s3cret b}")
    joblot.run("n1")
    joblot.change(", env: {OTHER: a host-s3cret b}", "")
    joblot.run("n2")
    assert "  load: env.OTHER 'a *** b' -> (none)\n" in joblot("diff")
    assert "env.OTHER 'a *** b' -> (none)" in joblot("ls", "--job", "load")
    joblot("show", "n2", "--report", "page.html")
    shown = joblot("diff", "--json") + joblot("ls", "--job", "load", "--json") + Path("page.html").read_text()
    assert "s3cret" not in shown


def test_equal_runs_are_one_line(joblot):
    joblot.run("n1")
    joblot.run("n2", "-f")
    assert joblot("diff", "--exit-code") == "nothing is different in run n2 from run n1\n"
    assert json.loads(joblot("diff", "--json"))["different"] is False


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--exit-code"], 1), (["--exit-code", "--json"], 1)])
def test_differences_are_an_exit_code_only_where_that_is_asked_for(joblot, words, code):
    joblot.run("n1")
    joblot.run("n2", good=False)
    assert main(["diff", *words]) == code


def test_only_runs_of_the_same_batch_are_taken_by_itself(joblot):
    joblot.run("n1")
    (joblot.path / "other.yaml").write_text(BATCH)
    joblot.run("o1", file="other.yaml")
    joblot.run("n2", good=False)
    assert joblot("diff").startswith("old: run n1  ")
    joblot("diff", "o1", code=4)
    assert (
        joblot.err
        == "error: no run of `night` before `o1` succeeded\nhint: name the run to compare with: `joblot diff A B`\n"
    )
    joblot("diff", "nothing", code=4)
    assert joblot.err == f"error: no run `nothing` in `{joblot.path}/.joblot`\nhint: `joblot ls` lists the runs\n"


def test_no_more_than_ten_of_a_kind_are_shown(joblot):
    joblot.run("n1")
    with open("joblot.yaml", "a") as file:
        file.write("".join(f'  - {{name: "x{number}", run: "true"}}\n' for number in range(15)))
    joblot.run("n2")
    lines = joblot("diff").splitlines()
    assert lines[2:4] + lines[-2:] == ["jobs added:", "  x0", "  x9", "  ... and 5 more"]
