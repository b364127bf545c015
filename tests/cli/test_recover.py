"""`recover`: whichever copy is damaged or lost, the other one makes it again, and `resume` goes on."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

BATCH = """\
name: small
jobs:
  - {name: a, run: "echo a >> ran; echo n=1 > $JOBLOT_OUTPUT"}
  - {name: b, run: "echo b >> ran; test -e mended", needs: [a]}
  - {name: c, run: "echo c >> ran", needs: [b]}
"""
_STAMP = re.compile(r"-\d{8}-\d{6}")


@pytest.fixture
def failed(joblot):
    """A run in which `b` failed."""
    joblot.write("joblot.yaml", BATCH)
    assert joblot("run", "--run-id", "r1", "-q").code == 1
    return joblot


def said(done):
    assert done.err == ""
    return done.code, _STAMP.sub("-TIME", done.out)


def state(joblot):
    return joblot.path / ".joblot"


def database(joblot):
    return state(joblot) / "journal.db"


def events(joblot):
    return state(joblot) / "runs" / "r1" / "events.jsonl"


def goes_on(joblot):
    """The rest of the run, and nothing of what has succeeded."""
    joblot.write("mended", "")
    assert joblot("resume", "r1", "-q").code == 0
    assert (joblot.path / "ran").read_text().split() == ["a", "b", "b", "c"]


def spoil(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_sound_copies_are_left_alone(failed):
    before = database(failed).read_bytes(), events(failed).read_bytes()
    assert said(failed("recover")) == (0, "1 run: nothing to recover, both copies are sound\n")
    assert said(failed("recover", "r1")) == (0, "1 run: nothing to recover, both copies are sound\n")
    assert (database(failed).read_bytes(), events(failed).read_bytes()) == before


def test_an_end_that_the_list_of_runs_does_not_know_is_put_there(failed):
    """G1: a recovery that was killed before it had summed up the runs is completed by the next one."""
    listed = json.loads(failed("ls", "--json").out)
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as journal:
        journal.execute("UPDATE run SET status = 'running', ended_at = NULL, counts = '{}'")
    assert json.loads(failed("ls", "--json").out)[0]["status"] == "interrupted"
    assert said(failed("recover")) == (0, "run r1: its end is in the list of runs again\n")
    again = json.loads(failed("ls", "--json").out)
    assert [drop_times(one) for one in again] == [drop_times(one) for one in listed]
    assert said(failed("recover")) == (0, "1 run: nothing to recover, both copies are sound\n")


def test_a_lost_journal_is_made_again_from_the_files(failed):
    """G1, G6: plan, events and what `ls` shows come back; the rest runs. What a recovery that was killed has left goes."""
    listed = json.loads(failed("ls", "--json").out)
    records = len(events(failed).read_text().splitlines())
    for file in state(failed).glob("journal.db*"):
        file.unlink()
    for left in (".joblot-0123456789abcdef.part", ".joblot-0123456789abcdef.part-wal"):
        (state(failed) / left).touch()
    assert said(failed("recover")) == (
        0,
        f"run r1: {records} records (0 in the journal, {records} in its file); plan from plan.json\n",
    )
    assert sorted(os.listdir(state(failed))) == [".gitignore", "journal.db", "runs"]
    again = json.loads(failed("ls", "--json").out)
    assert [drop_times(one) for one in again] == [drop_times(one) for one in listed]
    goes_on(failed)


def drop_times(one):
    return {key: value for key, value in one.items() if not key.startswith(("started", "ended", "duration", "wall"))}


@pytest.mark.parametrize("damage", ["garbage", "half", "empty"])
def test_a_journal_that_is_no_database_any_more_is_kept_beside_a_new_one(failed, damage):
    content = database(failed).read_bytes()
    bad = {"garbage": b"?" * len(content), "half": content[:5000], "empty": b""}[damage]
    database(failed).write_bytes(bad)
    done = said(failed("recover"))
    assert done[0] == 0
    assert done[1].startswith(
        "the journal was made again; the old one is kept as `DIR/.joblot/journal.db.corrupt-TIME`\nrun r1: "
    )
    kept = [file for file in state(failed).iterdir() if ".corrupt-" in file.name and not file.name.endswith("-wal")]
    assert [file.read_bytes() for file in kept] == [bad]
    goes_on(failed)


@pytest.mark.parametrize(
    ("old", "new"), [(b"CREATE TABLE meta", b"CREATE TABLE mets"), (b"events", b"eve\xffts")], ids=["table", "key"]
)
def test_a_journal_with_a_flipped_name_is_ours_all_the_same(failed, old, new):
    """SQLite finds such a file sound, and nothing can open it."""
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = database(failed).read_bytes()
    place = content.rindex(old) if old == b"events" else content.index(old)
    database(failed).write_bytes(content[:place] + new + content[place + len(old) :])
    assert failed("ls").code == 4
    assert failed("recover").code == 0
    goes_on(failed)


def test_a_changed_record_in_the_journal_is_taken_from_the_file(failed):
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("UPDATE record SET at = at + 1 WHERE id = (SELECT min(id) FROM record)")
    done = failed("resume", "r1")
    assert (done.code, done.err) == (
        4,
        (
            "error: journal `DIR/.joblot/journal.db` is damaged at event 1: what is read is not what was written\n"
            "hint: `joblot recover` makes it again from the run's own `events.jsonl`; everything before that event is sound\n"
        ),
    )
    assert failed("recover", "r1").code == 0
    goes_on(failed)


@pytest.mark.parametrize("began", [{"r1": 3e9, "r2": 4e9, "r3": 1e9}, {"r1": 1e9, "r2": 5e8}])
def test_runs_keep_their_order_when_the_clock_was_set_back_between_them(failed, began):
    """One that the journal has lost comes behind what began before it."""
    for n in (2, 3):
        failed("run", "--run-id", f"r{n}", "-q")
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.executemany("UPDATE run SET started_at = ? WHERE run_id = ?", [(at, run) for run, at in began.items()])
        db.execute("UPDATE record SET at = at + 1 WHERE id = (SELECT min(id) FROM record)")
        if "r3" not in began:
            db.execute("DELETE FROM run WHERE run_id = 'r3'")
    assert failed("recover").code == 0
    assert [one["run_id"] for one in json.loads(failed("ls", "--json").out)] == ["r3", "r2", "r1"]


def test_a_changed_line_in_the_file_is_taken_from_the_journal(failed):
    before = events(failed).read_bytes()
    spoil(events(failed), b'"job":', b'"jab":')
    records = len(before.splitlines())
    code, out = said(failed("recover", "r1"))
    assert code == 0
    assert re.fullmatch(
        rf"run r1: {records} records \({records} in the journal, \d in its file\); "
        r"the old file is kept as `DIR/\.joblot/runs/r1/events\.jsonl\.damaged-TIME`\n",
        out,
    )
    assert events(failed).read_bytes() == before
    goes_on(failed)


def test_damage_in_different_places_of_both_copies_loses_nothing(failed):
    before = events(failed).read_bytes()
    lines = before.splitlines(keepends=True)
    events(failed).write_bytes(b"".join([lines[0], b"?\n", *lines[2:]]))
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("UPDATE record SET chain = x'00' WHERE id = (SELECT max(id) FROM record)")
    assert failed("recover").code == 0
    assert events(failed).read_bytes() == before
    goes_on(failed)


def test_a_changed_plan_is_found_and_taken_from_the_file(failed):
    """G1: the recorded plan is what runs, or nothing does."""
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("UPDATE run SET plan = CAST(replace(CAST(plan AS TEXT), 'mended', 'nobody') AS BLOB)")
    done = failed("resume", "r1")
    assert (done.code, done.err) == (
        4,
        (
            "error: journal `DIR/.joblot/journal.db` is damaged: the plan of run `r1` is not the one that it began with\n"
            "hint: `joblot recover r1` takes it from the run's own `plan.json`\n"
        ),
    )
    assert said(failed("recover", "r1"))[1].endswith("; plan from plan.json\n")
    goes_on(failed)


def test_a_run_that_the_journal_has_lost_is_not_begun_anew_over_its_files(failed):
    shutil.copy(database(failed), failed.path / "kept.db")
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("DELETE FROM run")
        db.execute("DELETE FROM record")
    hint = "hint: the journal has lost it, its files have not: `joblot recover r1`\n"
    assert failed("run", "--run-id", "r1") == (4, "", f"error: run `r1` exists already\n{hint}")
    assert failed("resume", "r1") == (4, "", f"error: no run `r1` in `DIR/.joblot`\n{hint}")
    assert failed("recover", "r1").code == 0
    goes_on(failed)


def test_without_any_copy_of_the_plan_the_run_is_given_up_and_its_files_stay(failed):
    (events(failed).parent / "plan.json").unlink()
    for file in state(failed).glob("journal.db*"):
        file.unlink()
    done = failed("recover")
    assert (done.code, done.out, done.err) == (
        4,
        "",
        (
            "error: run `r1` cannot be recovered: no copy of its plan is what it began with\n"
            "hint: its files were left as they are\n"
        ),
    )
    assert events(failed).exists()


def test_runs_of_programs_are_kept_when_the_journal_is_made_again(failed):
    """A `RunLogger` has no file of its own: what can be read of it in the old journal is taken."""
    code = (
        "from joblot import RunLogger\nfrom joblot.journal.folder import StateFolder\n"
        "folder = StateFolder()\nwith RunLogger('logged', journal=folder.journal) as log:\n    log.log_event('seen')\nfolder.close()"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], cwd=failed.path, check=True)
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("UPDATE record SET chain = x'00' WHERE id = (SELECT min(id) FROM record)")
    assert failed("recover").code == 0
    shown = failed("show", "logged", "--events")
    assert shown.code == 0
    assert "seen" in shown.out


def test_a_run_that_is_driven_is_not_touched(joblot):
    """G5: exit code 5."""
    joblot.write("joblot.yaml", 'jobs: [{name: a, run: "touch began; sleep 30"}]')
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("began")
        done = joblot("recover")
        assert done.code == 5
        assert done.err.startswith(f"error: run `r1` is held by process {process.pid} of ")
        process.kill()


def test_a_journal_that_is_no_file_is_not_waited_for(failed):
    for file in state(failed).glob("journal.db*"):
        file.unlink()
    os.mkfifo(database(failed))
    done = failed("recover")
    assert (done.code, done.err) == (
        4,
        "error: cannot use journal `DIR/.joblot/journal.db`: it is not a file\nhint: move it away\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("recover",),
            "error: nothing to recover in `DIR/.joblot`: it has no runs\nhint: choose another with `--state`\n",
        ),
        (
            ("recover", "r9"),
            "error: no run `r9` in `DIR/.joblot`\nhint: give the whole id: the name of its folder in `runs`\n",
        ),
    ],
)
def test_nothing_to_recover_from(joblot, words, message):
    assert joblot(*words) == (4, "", message)


def test_a_database_of_another_program_is_refused(joblot):
    state(joblot).mkdir()
    with closing(sqlite3.connect(database(joblot), isolation_level=None)) as db:
        db.execute("CREATE TABLE letters (body TEXT)")
    assert joblot("recover") == (4, "", "error: `DIR/.joblot/journal.db` is not a joblot journal\n")


def test_a_journal_of_a_newer_joblot_is_refused(failed):
    with closing(sqlite3.connect(database(failed), isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'tables'")
    assert failed("recover") == (
        4,
        "",
        "error: journal `DIR/.joblot/journal.db` was written by a newer joblot\nhint: upgrade joblot\n",
    )
