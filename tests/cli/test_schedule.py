"""`joblot schedule` and `joblot backfill` as people call them, with real runs."""

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from joblot.journal import schedules as schedules_module
from joblot.journal.folder import StateFolder
from joblot.journal.schedules import Schedules, take_lock


@pytest.fixture
def joblot(joblot):
    """Runs are started by the joblot that is tested, wherever it is."""
    joblot.env["PYTHONPATH"] = str(Path(schedules_module.__file__).parents[2])
    return joblot


ALWAYS = "timezone: Europe/Paris\nschedule: {{cron: '* * * * *', missed: {missed}{more}}}\njobs:\n  - name: a\n    run: {run}\n"


def batch(run="'true'", missed="once", more=""):
    return ALWAYS.format(run=run, missed=missed, more=more)


def known_since(project, minutes, *names):
    """Have schedules be known for so long, as if somebody had looked then."""
    sources = [str(project.path / name) for name in names]
    project("schedule", "tick")
    folder = StateFolder(project.path / ".joblot")
    try:
        schedules = Schedules(folder.journal)
        for source in sources:
            schedules.take_in(source, schedules.kept(source).asked, time.time() - minutes * 60)
    finally:
        folder.close()


def test_a_tick_starts_what_is_due_and_waits_for_it(joblot):
    """A run that is made up for has the day and the time for which it was due."""
    joblot.write("nightly.yaml", batch("echo ${{ run.scheduled_for }} ${{ run.date }} $JOBLOT_SCHEDULED_FOR > said"))
    assert joblot("schedule", "tick").code == 0
    assert not (joblot.path / "said").exists()
    known_since(joblot, 30, "nightly.yaml")
    done = joblot("schedule", "tick")
    assert (done.code, done.out) == (0, "")
    run, ended = done.plain.splitlines()
    assert run.startswith("INFO | nightly: run `")
    assert ended.endswith(": success")
    due, day, variable = (joblot.path / "said").read_text().split()
    assert due == variable
    assert due[:10] == day
    assert due.endswith(":00+01:00" if "+01:00" in due else ":00+02:00")
    assert abs(datetime.fromisoformat(due).timestamp() - time.time()) < 120
    listed = json.loads(joblot("ls", "--json").out)
    assert [info["status"] for info in listed] == ["success"]
    assert joblot("schedule", "tick", "-q").err == "" or datetime.now(UTC).second < 5


def test_a_run_that_fails_is_what_a_quiet_tick_prints(joblot):
    joblot.write("nightly.yaml", batch("echo no such table >&2; exit 3"))
    joblot.write("ok.yaml", batch())
    known_since(joblot, 10, "nightly.yaml", "ok.yaml")
    done = joblot("schedule", "tick", "-q")
    assert done.code == 1
    assert "ERROR | [1/1] a: failed: exit status 3" in done.plain
    assert "| no such table" in done.plain
    assert "ok" not in done.plain.replace("look", "")
    assert done.plain.splitlines()[-1].startswith("ERROR | nightly: run `")
    assert done.plain.splitlines()[-1].endswith(": failed")


def test_a_run_that_cannot_begin_has_that_as_its_reason_and_is_not_tried_for_ever(joblot):
    source = joblot.write("nightly.yaml", batch("echo ${{ vars.nothing }}"))
    known_since(joblot, 10, "nightly.yaml")
    done = joblot("schedule", "tick", "-q")
    assert done.code == 2
    assert "error: no variable `nothing`" in done.plain or "vars.nothing" in done.plain
    rows = json.loads(joblot("schedule", "ls", "--json").out)[0]["not_run"]
    assert rows[0]["fate"] == "refused"
    assert "nothing" in rows[0]["reason"]
    known = [row for row in rows if row["fate"] == "refused"]
    joblot("schedule", "tick")
    again = json.loads(joblot("schedule", "ls", "--json").out)[0]["not_run"]
    assert [row for row in again if row["due"] == known[0]["due"]] == known
    assert source.exists()


def test_a_run_by_hand_leaves_the_scheduled_one_out(joblot):
    """The lock is that of the batch, which has no `concurrency`."""
    joblot.write("nightly.yaml", batch("touch began; until [ -e go ]; do sleep 0.02; done"))
    known_since(joblot, 10, "nightly.yaml")
    process = joblot.popen("run", "nightly.yaml", "--run-id", "byhand")
    joblot.wait_for("began")
    done = joblot("schedule", "tick")
    joblot.write("go", "")
    process.communicate(timeout=60)
    assert done.code == 0
    assert "skipped: another run of batch `nightly` is going on: run `byhand`, process" in done.plain
    (row, *_) = json.loads(joblot("schedule", "ls", "--json").out)[0]["not_run"]
    assert row["fate"] == "skipped"
    assert row["reason"].startswith("another run of batch `nightly` is going on: run `byhand`, process ")


def test_two_ticks_at_once_start_one_run(joblot):
    joblot.write("nightly.yaml", batch("echo >> ran; sleep 0.3"))
    known_since(joblot, 10, "nightly.yaml")
    ticks = [joblot.popen("schedule", "tick", "-q") for _ in range(3)]
    for process in ticks:
        process.communicate(timeout=60)
    rows = json.loads(joblot("schedule", "ls", "--json").out)[0]
    assert (joblot.path / "ran").read_text().count("\n") == len(json.loads(joblot("ls", "--json").out))
    assert rows["last"]["status"] == "success"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_starts_what_is_due_and_ends_gently(joblot, number):
    joblot.write(
        "nightly.yaml", batch("trap 'echo gently > said; exit 0' TERM; touch began; while :; do sleep 0.02; done")
    )
    known_since(joblot, 10, "nightly.yaml")
    process = joblot.popen("schedule", "run")
    joblot.wait_for("began")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (joblot.path / "said").read_text() == "gently\n"
    assert b": cancelled" in err


def test_run_takes_in_the_ends_of_orphans(joblot):
    """The first process of a container is given them; here it is made a subreaper for that."""
    joblot.write("nightly.yaml", batch())
    known_since(joblot, 10, "nightly.yaml")
    code = (
        "import ctypes, os, subprocess, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "subprocess.run(['sh', '-c', 'sleep 0.01 &'])\n"
        "sys.argv = ['joblot', 'schedule', 'tick']\n"
        "from joblot.__main__ import main\ncode = main()\n"
        "import time; time.sleep(0.05)\n"
        "try: os.waitpid(-1, os.WNOHANG); print('left')\nexcept ChildProcessError: print('none')\n"
    )
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=joblot.path,
        env=joblot.env,
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("none\n"), done.stderr


def test_a_folder_without_schedules_says_so(joblot):
    joblot.write("plain.yaml", "jobs: []\n")
    assert joblot("schedule", "ls")[:3] == (0, "", "no batch file with a schedule in `DIR`\n")
    assert joblot("schedule", "ls", "gone").err == "error: cannot look at `DIR/gone`: no such file or directory\n"
    done = joblot("schedule", "tick", "gone")
    assert done.code == 4
    assert done.plain == "ERROR | cannot look at `DIR/gone`: no such file or directory\n"


def test_ls_shows_what_is_next_with_its_offset_and_why_others_had_no_run(joblot):
    joblot.write("nightly.yaml", "timezone: Europe/Paris\nschedule: 30 2 * * *\njobs: []\n")
    joblot.write("broken.yaml", "timezone: UTC\nschedule: 30 2 * *\njobs: []\n")
    done = joblot("schedule", "ls")
    assert done.code == 0
    assert done.err.startswith("DIR/broken.yaml:2:11: error: `schedule` is no time of a crontab: `30 2 * *`")
    head, *following = done.out.splitlines()
    assert head == "nightly: 30 2 * * * (Europe/Paris)"
    assert len(following) == 3
    assert all(line.split()[-2:-1] == ["02:30"] and line.split()[-1] in ("+01:00", "+02:00") for line in following)


def test_what_a_unit_says_systemd_understands(joblot, tmp_path):
    """Names with blanks, quotes, `%` and `$` too."""
    odd = joblot.path / "a b%d $x"
    odd.mkdir()
    text = joblot("schedule", "units", str(odd)).out
    unit = tmp_path / "joblot-test.service"
    unit.write_text(text)
    assert 'schedule run "DIR/a b%%d $$x"' in text.replace(str(joblot.path), "DIR")
    (line,) = [line for line in text.splitlines() if "schedule tick -q" in line]
    assert line.startswith("#   * * * * *  ")
    assert line.replace(str(joblot.path), "DIR").endswith("schedule tick -q 'DIR/a b\\%d $x'")
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", "--user", str(unit)], capture_output=True, text=True)
        assert "joblot-test" not in done.stderr, done.stderr


def test_a_run_by_hand_for_a_due_time(joblot):
    joblot.write(
        "nightly.yaml",
        "timezone: Europe/Paris\nschedule: 30 2 * * *\njobs: [{name: a, run: 'echo ${{ run.date }} > said'}]\n",
    )
    words = ("run", "nightly.yaml", "--scheduled-for")
    assert joblot(*words, "2026-10-25T02:30", "--run-id", "r1").code == 0
    assert (joblot.path / "said").read_text() == "2026-10-25\n"
    done = joblot(*words, "2026-10-25T02:30:00+02:00")
    assert (done.code, done.err) == (
        4,
        """error: due 2026-10-25 02:30 +02:00: run `r1` was started for that: success
hint: `joblot retry r1`, or `joblot backfill` where it has not succeeded
""",
    )
    assert joblot(*words, "2026-03-29T03:00", "-n").code == 0
    for text, told in [
        (
            "2026-10-25T02:31",
            "error: `nightly` is not due at 2026-10-25 02:31 +02:00\nhint: it is at 2026-10-26 02:30 +01:00, say\n",
        ),
        ("soon", "error: `soon` is no time such as `2026-11-20T02:30`\n"),
    ]:
        done = joblot(*words, text)
        assert (done.code, done.err) == (2, told)
    joblot.write("plain.yaml", "jobs: []\n")
    done = joblot("run", "plain.yaml", "--scheduled-for", "2026-10-25T02:30")
    assert done.err.startswith("error: `plain.yaml` has no `schedule`\nhint: write one beside `jobs`: ")
    done = joblot("run", "plain.yaml", "nightly.yaml", "--scheduled-for", "2026-10-25T02:30")
    assert done.err == "error: `--scheduled-for` is for one batch file\n"


def test_a_run_beside_one_that_the_schedule_has_started_is_refused(joblot):
    source = joblot.write("nightly.yaml", "timezone: UTC\nschedule: 30 2 * * *\njobs: []\n")
    (joblot.path / ".joblot").mkdir(0o700)
    lock = take_lock(joblot.path / ".joblot", str(source))
    done = joblot("run", "nightly.yaml", "--scheduled-for", "2026-10-25T02:30")
    os.close(lock)
    assert (done.code, done.err.splitlines()[0]) == (
        5,
        "error: another run of `nightly` that its schedule has started still runs",
    )


def test_a_retry_of_a_scheduled_run_is_for_the_same_due_time(joblot):
    joblot.write(
        "nightly.yaml",
        "timezone: UTC\nschedule: 30 2 * * *\njobs: [{name: a, run: 'echo ${{ run.scheduled_for }} $JOBLOT_SCHEDULED_FOR ${{ run.date }} >> said; test -e ok'}]\n",
    )
    assert joblot("run", "nightly.yaml", "--scheduled-for", "2026-10-25T02:30", "--run-id", "r1").code == 1
    joblot.write("ok", "")
    done = joblot("retry", "r1")
    assert done.code == 0, done.err
    assert len(json.loads(joblot("ls", "--json").out)) == 1
    assert (joblot.path / "said").read_text() == "2026-10-25T02:30:00+00:00 2026-10-25T02:30:00+00:00 2026-10-25\n" * 2


def test_backfill_runs_for_what_has_no_success(joblot):
    joblot.write(
        "nightly.yaml",
        "timezone: UTC\nschedule: 30 2 * * *\njobs: [{name: a, run: 'echo ${{ run.date }} >> said; test ${{ run.date }} != 2026-10-03 || test -e ok'}]\n",
    )
    assert joblot("run", "nightly.yaml", "--scheduled-for", "2026-10-02T02:30").code == 0
    words = ("backfill", "nightly.yaml", "--from", "2026-10-01", "--to", "2026-10-04")
    done = joblot(*words, "-n")
    assert done.out == "".join(f"2026-10-0{day} 02:30 +00:00\n" for day in (1, 3, 4))
    assert done.plain == "INFO | nightly: 3 runs to do, 1 had a success\n"
    assert joblot(*words, "-q").code == 1
    joblot.write("ok", "")
    assert joblot(*words, "-q").code == 0
    assert joblot(*words, "-n").plain == "INFO | nightly: 0 runs to do, 4 had a success\n"
    assert (joblot.path / "said").read_text().split() == [f"2026-10-0{day}" for day in (2, 1, 3, 4, 3)]
    done = joblot("backfill", "nightly.yaml", "--from", "x")
    assert (done.code, done.err) == (2, "error: `x` is no time such as `2026-11-20T02:30`\n")
    joblot.write("plain.yaml", "jobs: []\n")
    assert joblot("backfill", "plain.yaml", "--from", "2026-10-01").code == 2
