"""The ports of what other tools run: as long as the original at most, and what each is there to show."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.conftest import Project

PORTS = Path(__file__).parents[2] / "examples" / "ports"
ORIGINAL = {
    "snakemake": ["Snakefile", "config.yaml"],
    "github-actions": ["workflow.yaml"],
    "make": ["Makefile"],
    "cron": ["crontab"],
    "dagu": ["dagu.yaml"],
}
PORT = {"cron": ["joblot.yaml", "crontab.joblot"]}


@pytest.fixture
def port(tmp_path):
    def copy(name):
        shutil.copytree(PORTS / name, tmp_path / name, ignore=shutil.ignore_patterns(".joblot"))
        return Project(tmp_path / name)

    return copy


def lines(name, files):
    texts = [(PORTS / name / file).read_text(encoding="utf-8") for file in files]
    return [line for text in texts for line in text.splitlines() if re.match(r"\s*[^\s#]", line)]


def statuses(project):
    return {one["job"]: one["status"] for one in json.loads(project("show", "last", "--json").out)["results"]}


def mails(project):
    file = project.path / "mails"
    return [line for line in file.read_text().splitlines() if line.startswith("subject: ")] if file.exists() else []


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_all_ports_are_looked_at():
    assert {path.name for path in PORTS.iterdir() if path.is_dir()} == set(ORIGINAL)


@pytest.mark.parametrize("name", ORIGINAL)
def test_a_port_is_not_longer_than_the_original_and_gives_no_warning(name, port):
    assert 10 < len(lines(name, PORT.get(name, ["joblot.yaml"]))) <= len(lines(name, ORIGINAL[name]))
    done = port(name)("validate", "--strict")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_page_shows_the_files(name):
    page = (PORTS.parents[1] / "docs" / "howto" / "ports.md").read_text(encoding="utf-8")
    shown = set(re.findall(rf"literalinclude\}} \.\./\.\./examples/ports/{name}/(\S+)", page))
    assert shown == {*ORIGINAL[name], *PORT.get(name, ["joblot.yaml"])}


def test_snakemake_a_new_measurement_goes_through_its_own_chain_only(port):
    project = port("snakemake")
    assert project("run").code == 0
    assert (project.path / "plots" / "floods.txt").read_text() == "harbour  ##\nmill     #\n"
    assert set(statuses(project).values()) == {"success"}

    with (project.path / "data" / "gauges" / "weir.csv").open("a") as weir:
        weir.write("2026-11-05,400\n")
    assert project("run").code == 0
    assert {name for name, status in statuses(project).items() if status == "success"} == {
        "clean-weir",
        "sort-weir",
        "checksum-weir",
        "call",
        "plot",
    }
    assert (project.path / "plots" / "floods.txt").read_text() == "harbour  ##\nmill     #\nweir     #\n"


def test_github_actions_a_cell_that_may_fail_holds_nothing_up(port):
    project = port("github-actions")
    done = project("run")
    assert done.code == 0
    assert "5 succeeded, 1 failed (1 allowed), 1 skipped" in done.out
    found = statuses(project)
    assert found.pop("test-words-error") == "failed"
    assert found.pop("tell") == "skipped"
    assert set(found.values()) == {"success"}
    assert (project.path / "count.tar.gz").exists()
    assert mails(project) == []


def test_github_actions_another_cell_that_fails_lets_the_others_end_and_is_told(port):
    project = port("github-actions")
    with (project.path / "tests" / "lines.sh").open("a") as test:
        test.write('test "$PYTHONWARNINGS" = default\n')
    assert project("run").code == 1
    assert {name: status for name, status in statuses(project).items() if status != "success"} == {
        "test-lines-ignore": "failed",
        "test-words-error": "failed",
        "package": "skipped",
    }
    assert not (project.path / "count.tar.gz").exists()
    assert mails(project) == ["subject: checks failed"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no `make`")
def test_make_comes_to_the_same(port):
    project = port("make")
    subprocess.run(["make", "--silent"], cwd=project.path, check=True, capture_output=True)
    made = contents(project.path / "site")
    subprocess.run(["make", "--silent", "clean"], cwd=project.path, check=True)
    assert project("run").code == 0
    assert contents(project.path / "site") == made


def test_make_clean_runs_only_when_it_is_asked_for_and_then_alone(port):
    project = port("make")
    assert project("run").code == 0
    assert statuses(project).pop("clean") == "skipped"
    assert (project.path / "site.tar.gz").exists()

    assert project("run", "--only", "clean").code == 0
    assert statuses(project) == {"clean": "skipped"}
    assert (project.path / "site.tar.gz").exists()

    assert project("run", "--var", "clean=true").code == 0
    assert [name for name, status in statuses(project).items() if status != "skipped"] == ["clean"]
    assert not (project.path / "site").exists()
    assert not (project.path / "site.tar.gz").exists()


def test_cron_the_weekly_job_is_left_out_on_working_days(port):
    project = port("cron")
    weekdays, sunday = lines("cron", ["crontab.joblot"])
    (project.path / "backup").mkdir()
    (project.path / "backup" / "week.old").write_text("")
    assert project(*weekdays.partition("joblot ")[2].split()) == (0, "", "")  # cron has nothing to mail
    assert "tidy" not in statuses(project)
    assert (project.path / "backup" / "week.old").exists()
    assert (project.path / "report.txt").read_text().split() == ["21", "2", "apple", "1", "pear", "1", "plum"]

    assert project(*sunday.partition("joblot ")[2].split()) == (0, "", "")
    assert statuses(project)["tidy"] == "success"
    assert not (project.path / "backup" / "week.old").exists()
    assert mails(project) == []


def test_cron_what_comes_in_makes_what_reads_it_run_again_and_a_failure_sends_one_mail(port):
    project = port("cron")
    assert project("run").code == 0
    (project.path / "incoming" / "wednesday.csv").write_text("Bad line\n")
    assert project("run").code == 1
    found = statuses(project)
    assert {name for name, status in found.items() if status == "failed"} == {"check"}
    assert (found["orders"], found["stock"], found["backup"]) == ("success", "cached", "success")
    assert mails(project) == ["subject: night failed"]
    assert re.search(
        r"\[failed +\] check \(1 attempt, .*\): exit status 1: 1:Bad line\n", (project.path / "mails").read_text()
    )


def test_dagu_a_try_more_a_step_that_may_fail_and_the_handlers(port):
    project = port("dagu")
    assert project("run").code == 0
    results = {one["job"]: one for one in json.loads(project("show", "last", "--json").out)["results"]}
    assert (results["load"]["status"], results["load"]["attempts"]) == ("success", 2)
    assert (results["lint"]["status"], results["archive"]["status"]) == ("failed", "skipped")
    assert (project.path / "out" / "sales" / "rows.csv").read_text() == "till-1,10\ntill-2,20\n"
    assert mails(project) == ["subject: sales, 3 rows"]
    assert not (project.path / "scratch").exists()

    assert project("run", "--var", "archive=true", "--var", "table=stock").code == 0
    assert (project.path / "out" / "stock" / "3-rows.tar.gz").exists()


def test_dagu_without_anything_new_nothing_is_done_and_nothing_told(port):
    project = port("dagu")
    (project.path / "incoming" / "monday.csv.gz").unlink()
    assert project("run").code == 0
    assert {name for name, status in statuses(project).items() if status == "success"} == {"look", "clean"}
    assert mails(project) == []


def test_dagu_a_failure_is_told_and_cleaned_up(port):
    project = port("dagu")
    (project.path / "incoming" / "monday.csv.gz").write_text("no gzip")
    assert project("run").code == 1
    found = statuses(project)
    assert (found["unpack"], found["load"], found["loaded"], found["failed"]) == (
        "failed",
        "skipped",
        "skipped",
        "success",
    )
    assert mails(project) == ["subject: sales failed"]
    assert not (project.path / "scratch").exists()
