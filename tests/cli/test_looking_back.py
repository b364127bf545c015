"""After a run: `ls`, `show`, `logs`, `explain`."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from joblot.core.events import AttemptsStarted, RunEnded, RunStarted
from joblot.core.limits import Limits
from joblot.core.model import Config, JobSpec, Outcome
from joblot.core.plan import expand
from joblot.core.runstate import RunState

BATCH = """\
name: mixed
jobs:
  - {name: bad, run: "echo to standard error >&2; exit 3", retry: {max_attempts: 2, delay: 10ms}}
  - {name: after, run: "true", needs: [bad]}
  - {name: later, run: "true", needs: [after]}
  - {name: good, run: "echo one; echo two; echo three"}
  - {name: silent, run: "true"}
"""


@pytest.fixture
def ran(joblot):
    joblot.write("joblot.yaml", BATCH)
    assert joblot("run", "--run-id", "night-1", "-j", "1").code == 1
    return joblot


# --- ls -----------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_can_be_filtered(ran):
    """R52"""
    ran.write("slow.yaml", "name: slow\njobs:\n  - {name: a, run: 'sleep 0.6'}\n")
    ran("run", "slow.yaml", "--run-id", "slow-1")
    table = [line.split() for line in ran("ls").out.splitlines()]
    assert table[0] == ["RUN", "BATCH", "STATUS", "STARTED", "TOOK", "JOBS"]
    assert [row[:3] for row in table[1:]] == [["slow-1", "slow", "success"], ["night-1", "mixed", "failed"]]
    assert [one["run_id"] for one in json.loads(ran("ls", "--json", "--status", "failed").out)] == ["night-1"]
    assert [one["run_id"] for one in json.loads(ran("ls", "--json", "--longer", "500ms").out)] == ["slow-1"]
    assert [one["run_id"] for one in json.loads(ran("ls", "--json", "-n", "1").out)] == ["slow-1"]
    assert ran("ls", "--longer", "1h") == (0, "", "no runs match\n")


def test_a_listed_run_as_json(ran):
    """R52"""
    (one,) = json.loads(ran("ls", "--json").out)
    assert {key: one[key] for key in ("run_id", "batch", "source", "status", "total_jobs", "counts")} == {
        "run_id": "night-1", "batch": "mixed", "source": "DIR/joblot.yaml", "status": "failed", "total_jobs": 5,
        "counts": {"success": 2, "failed": 1, "skipped": 2},
    }  # fmt: skip
    assert type(one["duration_ms"]) is int


# --- show ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["night-1", "night", "-1", "last"])
def test_one_run(ran, name):
    """R52: by its id, the beginning or the end of it, or as the last one."""
    done = ran("show", "--", name)
    assert done.code == 0
    assert done.out.startswith("Run night-1 of mixed\n  batch file: DIR/joblot.yaml\n")
    assert "  [failed ] bad (2 attempts, T): exit status 3: to standard error\n" in done.result
    assert "  [skipped] later: `bad` failed\n" in done.result
    assert done.result.endswith("5 jobs: 2 succeeded, 1 failed, 2 skipped, in T\n")


def test_one_run_as_json_is_its_report(ran):
    report = json.loads(ran("show", "last", "--json").out)
    assert (report["run_id"], report["status"], report["exit_code"]) == ("night-1", "failed", 1)
    assert report["results"][0]["log"] == "DIR/.joblot/runs/night-1/logs/bad/2.log"


def test_events_as_lines_and_as_a_run_log(ran):
    kinds = [line.split()[1] for line in ran("show", "last", "--events").out.splitlines()]
    assert (kinds[0], kinds[-1], kinds.count("attempt_ended")) == ("run_started", "run_ended", 4)
    log = json.loads(ran("show", "last", "--events", "--json").out)
    assert (log["run_id"], log["event_count"]) == ("night-1", len(log["events"]))


def test_reading_changes_nothing(ran):
    def stamps():
        state = ran.path / ".joblot"
        # SQLite makes empty files beside a journal that is only read.
        files = (path for path in state.rglob("*") if path.is_file() and not path.name.startswith("journal.db-"))
        return {path: path.stat().st_mtime_ns for path in files}

    before = stamps()
    for command in (["ls"], ["show", "last"], ["logs", "last"], ["explain", "last", "bad"], ["plan"]):
        assert ran(*command).code == 0
    assert stamps() == before


# --- logs ---------------------------------------------------------------------------------------------


def test_the_log_of_a_job(ran):
    assert ran("logs", "last", "good") == (0, "one\ntwo\nthree\n", "")
    assert ran("logs", "last", "good", "--tail", "1").out == "three\n"
    assert ran("logs", "last", "bad", "--attempt", "1").out == "to standard error\n"
    assert ran("logs", "last", "silent") == (0, "", "attempt 1 of `silent` printed nothing\n")


def test_a_log_that_is_not_there(ran):
    hint = "hint: `joblot explain night-1 {}` says why\n"
    assert ran("logs", "last", "bad", "--attempt", "3") == (
        4,
        "",
        "error: job `bad` had 2 attempts\n" + hint.format("bad"),
    )
    assert ran("logs", "last", "after") == (4, "", "error: job `after` has not begun\n" + hint.format("after"))
    assert ran("logs", "last", "goof").err == "error: run `night-1` has no job `goof`\nhint: did you mean `good`?\n"


def test_all_logs_and_those_of_failed_jobs(ran):
    place = "DIR/.joblot/runs/night-1/logs"
    bad = f"==> bad ({place}/bad/2.log) <==\nto standard error\n"
    assert ran("logs", "last").out == f"{bad}==> good ({place}/good/1.log) <==\none\ntwo\nthree\n"
    assert ran("logs", "last", "--failed").out == bad


def test_logs_cannot_drive_the_terminal(joblot):
    """I15"""
    joblot.write("joblot.yaml", "jobs:\n  - name: a\n    run: printf '\\033]0;title\\007\\033[31mred\\033[0m\\n'\n")
    joblot("run")
    assert joblot("logs", "last", "a").out == "red\n"


def test_a_log_can_be_followed_while_the_job_runs(joblot):
    joblot.write(
        "joblot.yaml", "jobs:\n  - {name: a, run: 'echo one; while [ ! -e go ]; do sleep 0.05; done; echo two'}\n"
    )
    with joblot.popen("run", "--run-id", "r1") as run:
        joblot.wait_for(".joblot/runs/r1/logs/a/1.log")
        with joblot.popen("logs", "-f", "r1", "a") as follower:
            first = follower.stdout.readline()
            joblot.write("go", "")
            rest, _ = follower.communicate(timeout=60)
        run.communicate(timeout=60)
    assert (first, rest, follower.returncode) == (b"one\n", b"two\n", 0)


def test_following_an_ended_job_prints_its_log_and_ends(ran):
    assert ran("logs", "-f", "last", "good").out == "one\ntwo\nthree\n"
    assert ran("logs", "-f", "last", "good", "--tail", "1").out == "three\n"
    assert ran("logs", "-f", "last") == (2, "", "error: `--follow` follows one job\nhint: `joblot logs -f last JOB`\n")


# --- explain ------------------------------------------------------------------------------------------


def test_why_a_job_failed(ran):
    assert ran("explain", "last", "bad").result == (
        "bad: failed\n"
        "  exit_code: exit status 3\n"
        "  attempts:\n"
        "    1: exit after T: exit status 3; waited T\n"
        "    2: exit after T: exit status 3\n"
        "  needed by: after\n"
        "  log: DIR/.joblot/runs/night-1/logs/bad/2.log\n"
    )


def test_why_a_job_was_skipped(ran):
    """R22: the chain back to what failed."""
    assert ran("explain", "last", "later").out == (
        "later: skipped\n"
        "  need_failed: `bad` failed\n"
        "  because bad: failed: exit status 3\n"
        "  needs:\n"
        "    after: skipped: `bad` failed\n"
    )


def test_an_explanation_as_json(ran):
    found = json.loads(ran("explain", "last", "later", "--json").out)
    assert (found["job"]["state"], found["causes"], found["needs"]) == ("skipped", ["bad"], {"after": "skipped"})


def test_what_a_job_waits_for_while_the_run_goes_on(joblot):
    joblot.write(
        "joblot.yaml",
        "limits: {db: 1}\njobs:\n"
        "  - {name: a, run: 'touch began; while [ ! -e go ]; do sleep 0.05; done', resources: {db: 1}}\n"
        "  - {name: b, run: 'true', resources: {db: 1, memory: 64MiB}}\n"
        "  - {name: c, run: 'true', needs: [a, b]}\n",
    )
    with joblot.popen("run", "-j", "2", "--max-memory", "1GiB") as run:
        joblot.wait_for("began")
        said = [joblot("explain", "last", name).out.splitlines()[:2] for name in "abc"]
        joblot.write("go", "")
        run.communicate(timeout=60)
    age = said[0].pop()
    assert re.fullmatch(r"  an attempt is running: attempt 1, for (<1|\d+) s(, pid \d+)?", age)
    assert said == [
        ["a: running"],
        ["b: waiting", "  ready: waits for a free slot and for db: 1, memory: 64 MiB of 1.0 GiB (max_memory)"],
        ["c: waiting", "  waits for 2 of 2 needs: a, b"],
    ]


# --- clocks -------------------------------------------------------------------------------------------

JUMPS = """
import sys, time

real, ahead = time.time, [0.0]
time.time = lambda: real() + ahead[0]  # before joblot takes it

from joblot import Batch, RunLogger

def jump():
    ahead[0] += float(sys.argv[2])

def fail_once():
    jump()
    if sys.argv[1] == "failed":
        raise OSError("no")

if sys.argv[1] == "program":
    with RunLogger("r1", state=".joblot"):
        jump()
    sys.exit()
batch = Batch("b")
batch.add("first", fail_once)
batch.add("then", jump, needs=["first"])
batch.run(on="inline", run_id="r1")
"""


@pytest.mark.parametrize("kind", ["success", "failed", "program"])
@pytest.mark.parametrize("seconds", [7200, -7200])
def test_a_clock_that_is_set_while_a_run_goes_on_changes_no_duration(joblot, kind, seconds):
    """D15: dates may be what they are; how long it took is measured, and the list says it as the report does."""
    joblot.write("program.py", JUMPS)
    words = [sys.executable, "program.py", kind, str(seconds)]
    subprocess.run(words, cwd=joblot.path, env=joblot.env, check=True, timeout=60, capture_output=True)
    (listed,) = json.loads(joblot("ls", "--json").out)
    shown = json.loads(joblot("show", "r1", "--json").out)
    assert listed["duration_ms"] == shown["duration_ms"] < 60_000
    assert (listed["started_at"] < listed["ended_at"]) is (seconds > 0)
    assert listed["ended_at"][:10] == shown["ended_at"][:10]
    assert joblot("ls", "--longer", "1m").out == ""
    took = joblot("ls").out.splitlines()[1].split("  ")[-2].strip()
    assert joblot("show", "r1").out.count(f", in {took}\n") == 1


@pytest.mark.parametrize(
    ("lost", "without_file", "by_dates"),
    [("events = x'00'", False, False), ("events = x'00'", True, True), ("events = '[]'", False, True), ("at = at", True, False)],
)  # fmt: skip
def test_of_a_run_whose_end_cannot_be_read_the_dates_tell_how_long_it_took(ran, lost, without_file, by_dates):
    with closing(sqlite3.connect(ran.path / ".joblot/journal.db", isolation_level=None)) as database:
        database.execute(f"UPDATE record SET {lost} WHERE id = (SELECT max(id) FROM record)")
        database.execute("UPDATE run SET ended_at = started_at + 3600")
    if without_file:
        (ran.path / ".joblot/runs/night-1/events.jsonl").unlink()
    (listed,) = json.loads(ran("ls", "--json").out)
    assert (listed["duration_ms"] == 3_600_000) is by_dates


def test_a_journal_without_its_records_is_listed_as_before(ran):
    """What the list reads of records beside its rows costs it nothing when they are damaged."""
    took = json.loads(ran("ls", "--json").out)[0]["duration_ms"]
    with closing(sqlite3.connect(ran.path / ".joblot/journal.db", isolation_level=None)) as database:
        database.execute("DROP VIEW event")
        database.execute("DROP TABLE record")
    (listed,) = json.loads(ran("ls", "--json").out)
    assert (listed["status"], listed["duration_ms"]) == ("failed", took)


@pytest.mark.alone
def test_a_run_that_goes_on_has_taken_what_its_process_has(joblot):
    """A date from which the machine's clock was set back does not make it hours."""
    joblot.write("joblot.yaml", 'jobs: [{name: a, run: "touch began; while ! test -e go; do sleep 0.05; done"}]')
    with joblot.popen("run", "--run-id", "r1") as run:
        joblot.wait_for("began")
        lock = joblot.path / ".joblot/runs/r1/lock"
        who = json.loads(lock.read_text())
        lock.write_text(json.dumps(who | {"since": who["since"] - 7200.0}))
        with closing(sqlite3.connect(joblot.path / ".joblot/journal.db", isolation_level=None)) as database:
            database.execute("UPDATE run SET started_at = started_at - 7200")
        (listed,) = json.loads(joblot("ls", "--json").out)
        joblot.write("go", "")
        run.communicate(timeout=60)
    assert (listed["status"], listed["ended_at"]) == ("running", None)
    assert listed["duration_ms"] < 60_000


def test_a_run_that_was_resumed_took_the_time_between_and_what_was_measured():
    """The dates tell how long nobody drove it; a clock that is set afterwards changes nothing."""
    plan = expand(Config(name="b", folder="/b", jobs=[JobSpec(name="a", run="x")]))
    state = RunState(plan, Limits(slots=1))
    for event in (RunStarted(plan.fingerprint, 1), AttemptsStarted([0])):
        state.apply(event)
    state.resume(1000.0, 1, elapsed_s=50.0)
    (ended,) = [
        event for event in state.attempts_ended([Outcome(0, 2, "ok")], 1003.0, 1).events if isinstance(event, RunEnded)
    ]
    assert ended.wall_s == 53.0


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "x" * 100_000, "a\n\nRun r2 of b"])
def test_the_name_of_a_batch_takes_one_line(joblot, name):
    """A line end in it made two rows of one run, and a long one a table that no screen shows."""

    def lines(called, state):
        joblot.write("batch.json", json.dumps({"name": called, "jobs": [{"name": "a", "run": "true"}]}))
        printed = [joblot("run", "batch.json", "--state", state).out, joblot("plan", "batch.json").out]
        printed += [joblot("ls", "--state", state).out, joblot("show", "last", "--state", state).out]
        assert max(map(len, printed[2].splitlines())) < 160
        return [len(text.splitlines()) for text in printed]

    assert lines(name, "one") == lines("plain", "two")
