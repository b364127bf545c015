"""`--report FILE.html`: the page of a run, when it ends and any time later."""

import re
import subprocess
import sys

import pytest

BATCH = """
name: night
jobs:
  - {name: load, run: 'echo no such table; exit 3'}
  - {name: total, run: echo sum, needs: [load]}
  - {name: other, run: 'true'}
"""


@pytest.fixture
def failed(joblot):
    joblot.write("joblot.yaml", BATCH)
    done = joblot("run", "-q", "--run-id", "r1", "--report", "out/report.html")
    assert done.code == 1
    assert "the report: DIR/out/report.html\n" in done.err
    return joblot


def page(joblot, name):
    return (joblot.path / name).read_text(encoding="utf-8")


def test_the_page_says_what_failed_why_and_what_to_type(failed):
    html = page(failed, "out/report.html")
    assert html.startswith("<!DOCTYPE html>")
    assert '<h3><span class="failed">✗ </span>exit status 3: no such table</h3>' in html
    assert "<code>joblot retry r1 --failed</code>" in html
    assert "1 job was skipped because of what failed." in html


def test_the_same_run_gives_the_same_bytes_any_time_later(failed):
    done = failed("show", "--report", "later.html")
    assert (done.code, "Batch night: failed" in done.out) == (0, True)
    assert page(failed, "later.html") == page(failed, "out/report.html")
    assert failed("show", "r1", "--json", "--report", "LATER.HTML").out.startswith("{")
    assert page(failed, "LATER.HTML") == page(failed, "later.html")


def test_what_it_says_to_type_can_be_typed(failed):
    commands = re.findall(r"<code>(joblot [^<]+)</code>", page(failed, "out/report.html"))
    assert [command.split()[1] for command in commands] == ["retry", "show", "logs", "retry"]
    assert "no such table" in failed(*commands[2].split()[1:]).out
    assert failed(*commands[1].split()[1:]).code == 0
    assert failed(*commands[0].split()[1:]).code == 1


def test_it_says_what_is_different_from_the_last_success(failed):
    """Also when the run itself has just written it, and the last success was one of the same file."""
    failed.write("joblot.yaml", BATCH.replace("exit 3", "true").replace("name: other", "name: another"))
    assert failed("run", "-q", "--run-id", "r2", "--report", "good.html").code == 0
    assert "What is different" not in page(failed, "good.html")
    failed.write("joblot.yaml", BATCH)
    assert failed("run", "-q", "--run-id", "r3", "--report", "bad.html").code == 1
    assert failed("show", "--report", "later.html").code == 0
    told = page(failed, "bad.html").partition('<h2 id="changes">')[2]
    assert "<code>r2</code>" in told
    assert '<th scope="row">newly failed</th><td>1 x exit status 3 (such as `load`)</td>' in told
    assert page(failed, "later.html") == page(failed, "bad.html")


def test_any_other_ending_is_json(failed):
    assert failed("show", "--report", "report.txt").code == 0
    assert page(failed, "report.txt").startswith('{\n  "joblot"')


def test_of_one_job_there_is_no_report(failed):
    done = failed("show", "r1", "load", "--report", "x.html")
    assert (done.code, done.err) == (2, "error: `--report` writes that of a whole run\n")
    assert not (failed.path / "x.html").exists()


def test_a_page_that_cannot_be_written_is_said(failed):
    done = failed("show", "--report", "joblot.yaml/x.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: cannot write `DIR/joblot.yaml/x.html`: not a directory\n"
        "hint: give a path to a file in a folder that you may write to\n"
    )


def test_a_page_that_cannot_be_written_at_the_end_leaves_the_run_as_it_is(joblot):
    """V3: exit code 1, since somebody has asked for it."""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: rm -r out}\n")
    (joblot.path / "real").mkdir()
    (joblot.path / "out").mkdir()
    done = joblot("run", "--report", "out/report.html")
    assert done.code == 0, "the folder is made anew"
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'rm -r out; touch out'}\n")
    done = joblot("run", "--report", "out/report.html")
    assert (done.code, "1 succeeded" in done.out) == (1, True)
    assert "error: cannot write `DIR/out/report.html`: not a directory\n" in done.err


def test_a_program_writes_its_page_itself(joblot):
    joblot.write(
        "go.py",
        "from joblot import Batch\nbatch = Batch('made')\nbatch.add('a', None, run='true')\nbatch.run().write('made.html')\n",
    )
    subprocess.run([sys.executable, "go.py"], cwd=joblot.path, check=True)
    assert "<h1>made " in page(joblot, "made.html")


def test_a_run_of_a_program_without_jobs_is_a_page(joblot):
    joblot.write(
        "go.py",
        "from joblot import RunLogger\nwith RunLogger('r1', state='.joblot') as log:\n    log.log_event('read')\n",
    )
    subprocess.run([sys.executable, "go.py"], cwd=joblot.path, check=True)
    assert joblot("show", "--report", "p.html").code == 0
    assert "no jobs: nothing to do" in page(joblot, "p.html")


def test_who_asks_for_no_page_pays_for_none(joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'true'}\n")
    done = joblot("run", "--report", "r.json", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    assert "joblot.reports.report" in done.err
    assert not re.search(r"joblot\.reports\.page|importlib\.resources\b.*\n.*joblot", done.err)
