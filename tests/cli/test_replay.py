"""`replay`: one job of a past run, alone, as it was."""

import subprocess
import sys

import pytest

BATCH = """\
imports: [./acts.py]
jobs:
  - {name: first, run: "echo n=41 > $JOBLOT_OUTPUT"}
  - {name: adds, action: adds, params: {to: "${{ jobs.first.result.n }}"}, needs: [first]}
  - {name: raises, action: raises}
  - {name: says, run: "echo said $JOBLOT_JOB $JOBLOT_ATTEMPT; exit 3", retry: 2}
  - {name: slow, run: "sleep 60", timeout: 100ms}
"""
SECRETS = """\
secrets: [API_KEY]
imports: [./acts.py]
jobs:
  - {name: tells, run: "printf 'key hunter'; sleep 0.1; printf '22 and hun'; echo $API_KEY >&2; exit 3"}
  - {name: raises, action: raises_key}
"""
ACTIONS = """\
from joblot import action

@action("adds")
def adds(*, to: int) -> dict:
    print("adding")
    return {"sum": to + 1}

@action("raises_key")
def raises_key():
    import os, subprocess
    print("asked with", os.environ["API_KEY"], flush=True)
    subprocess.Popen(["sleep", "3"])
    raise ValueError(os.environ["API_KEY"])

@action("raises")
def raises():
    wanted = 7
    raise ValueError("not today")
"""


@pytest.fixture
def ran(joblot):
    joblot.write("joblot.yaml", BATCH)
    joblot.write("acts.py", ACTIONS)
    joblot("run", "--run-id", "r1", "-q")
    return joblot


def without_times(text):
    import re

    return re.sub(r"\d+\.\d{3} s", "T", text)


def test_an_action_gets_the_recorded_results_of_its_needs(ran):
    done = ran("replay", "r1", "adds")
    assert (done.code, done.out, without_times(done.err)) == (
        0,
        "adding\n",
        'job `adds` of run `r1` ended well after T: {"sum":42}\n',
    )


def test_the_recorded_plan_counts_and_nothing_is_recorded(ran):
    before = ran("show", "r1", "--events").out
    ran.write("joblot.yaml", "jobs: []")
    assert ran("replay", "r1", "adds").code == 0
    assert ran("show", "r1", "--events").out == before
    assert len(ran("ls").out.splitlines()) == 2


def test_a_command_prints_to_the_terminal_and_its_failure_is_exit_code_1(ran):
    done = ran("replay", "r1", "says")
    assert (done.code, done.out) == (1, "said says 2\n")
    assert without_times(done.err).startswith("error: job `says` of run `r1` ended with `exit` after T")


def test_the_timeout_of_a_command_counts(ran):
    done = ran("replay", "r1", "slow")
    assert done.code == 1
    assert (
        without_times(done.err)
        == "error: job `slow` of run `r1` ended with `timeout` after T: took longer than 0.1 s\n"
    )


def test_a_raising_action_shows_its_traceback_and_is_exit_code_1(ran):
    done = ran("replay", "r1", "raises")
    assert (done.code, done.out) == (1, "")
    assert 'raise ValueError("not today")' in done.err
    assert without_times(done.err).endswith(
        "error: job `raises` of run `r1` ended with `error` after T: ValueError: not today\n"
    )


def test_the_debugger_stands_where_the_action_raised(ran):
    command = [sys.executable, "-m", "joblot", "replay", "r1", "raises", "--pdb"]
    done = subprocess.run(
        command, input="p wanted + 35\nq\n", cwd=ran.path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "(Pdb) 42" in done.stdout


def test_an_unknown_job_is_one_line(ran):
    assert ran("replay", "r1", "ad") == (4, "", "error: run `r1` has no job `ad`\nhint: did you mean `adds`?\n")


def test_a_result_that_was_never_recorded_is_one_line(joblot):
    joblot.write("joblot.yaml", BATCH.replace("echo n=41 > $JOBLOT_OUTPUT", "exit 1"))
    joblot.write("acts.py", ACTIONS)
    joblot("run", "--run-id", "r1", "-q")
    done = joblot("replay", "r1", "adds")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: job `first` has no result to refer to (it is failed)\n"


@pytest.mark.parametrize("job", ["tells", "raises"])
def test_secrets_are_masked_on_the_terminal_too(joblot, job):
    """Also when one comes in two pieces, and when something that the action left behind keeps the output open."""
    joblot.env["API_KEY"] = "hunter22"
    joblot.write("joblot.yaml", SECRETS)
    joblot.write("acts.py", ACTIONS)
    joblot("run", "--run-id", "r1", "-q")
    done = joblot("replay", "r1", job)
    assert done.code == 1
    assert "hunter22" not in done.out + done.err
    if job == "tells":
        assert (done.out, done.err.splitlines()[0]) == ("key *** and hun", "***")
    else:
        assert done.out == "asked with ***\n"
        assert "ValueError: ***" in done.err
