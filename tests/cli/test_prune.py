"""`prune`: which runs go and which stay, and that each goes as a whole."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from joblot import RunLogger
from joblot.__main__ import main
from joblot.journal import prune
from joblot.journal.folder import StateFolder

DAY_S = 86400.0
BATCH = """\
name: {name}
jobs:
  - {{name: a, run: "echo said; cp in out", input: in, outputs: [out]}}
  - {{name: b, run: "test -e good", needs: [a]}}
"""


class Project:
    """A folder with batches, and joblot in it."""

    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.state = path / ".joblot"
        (path / "in").write_text("x")
        (path / "joblot.yaml").write_text(BATCH.format(name="night"))

    def __call__(self, *words, code=0):
        assert main(list(words)) == code, self._capsys.readouterr().err
        self.out, self.err = self._capsys.readouterr()
        return self.out

    def run(self, run_id, *, good=True, days=0.0, batch="joblot.yaml"):
        """A run that began so many days ago."""
        (self.path / "good").touch() if good else (self.path / "good").unlink(missing_ok=True)
        self("run", batch, "-q", "-f", "--on", "inline", "--run-id", run_id, code=0 if good else 1)
        self.date(run_id, days)

    def date(self, run_id, days):
        self.sql("UPDATE run SET started_at = ? WHERE run_id = ?", time.time() - days * DAY_S, run_id)

    def sql(self, statement, *arguments):
        with closing(sqlite3.connect(self.state / "journal.db", isolation_level=None)) as database:
            return database.execute(statement, arguments).fetchall()

    def listed(self):
        return [one["run_id"] for one in json.loads(self("ls", "--json"))]

    def folders(self):
        return sorted(path.name for path in (self.state / "runs").iterdir())

    def leftovers(self):
        return [path.name for path in self.state.iterdir() if path.name.startswith("pruned-")]


@pytest.fixture
def joblot(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Project(tmp_path, capsys)


# --- which --------------------------------------------------------------------------------------------


def test_a_run_goes_with_its_rows_its_events_and_its_logs(joblot):
    for number in range(4):
        joblot.run(f"r{number}", days=40 - number)
    assert joblot("prune", "--keep", "2").startswith("2 runs cleared up, about ")
    assert (joblot.listed(), joblot.folders(), joblot.leftovers()) == (["r3", "r2"], ["r2", "r3"], [])
    assert joblot.sql("SELECT DISTINCT run_id FROM run JOIN record ON record.id >> 36 = run.number") == [
        ("r2",),
        ("r3",),
    ]
    assert joblot.sql("SELECT count(DISTINCT id >> 36) FROM record") == [(2,)]
    joblot("show", "r0", code=4)
    assert (
        joblot.err
        == f"error: no run `r0` in `{joblot.state}`, nor a job of its last run `r3`\nhint: `joblot ls` lists the runs\n"
    )
    assert joblot("show", "r2", "--json")
    assert joblot("logs", "r2", "a") == "said\n"
    joblot("recover")
    assert joblot.listed() == ["r3", "r2"]


def test_the_last_of_each_kind_of_each_batch_stays(joblot):
    (joblot.path / "day.yaml").write_text(BATCH.format(name="day"))
    for number, good in enumerate([True, False, False, True, True]):
        joblot.run(f"n{number}", good=good, days=100 - number)
    joblot.run("d0", batch="day.yaml", days=200)
    joblot.run("d1", batch="day.yaml", good=False, days=150)
    joblot.run("d2", batch="day.yaml", good=False, days=140)
    joblot.sql("UPDATE run SET status = 'cancelled' WHERE run_id = 'n0'")
    joblot("prune", "--older", "30d")
    assert joblot.listed() == ["d2", "d0", "n4", "n2", "n0"], "a success, a failure and what was cancelled of each"


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["--keep", "4"], ["n0"]), (["--keep", "0"], ["n0", "n1", "n2", "n3"]), (["--older", "96d12h"], ["n0", "n1", "n2", "n3"]),
        (["--older", "98d12h"], ["n0", "n1"]), (["--keep", "4", "--older", "98d12h"], ["n0", "n1"]), (["--older", "365d", "--keep", "9"], []),
        (["--max-size", "1GiB"], []), (["--max-size", "0"], ["n0", "n1", "n2", "n3"]),
    ],
)  # fmt: skip
def test_each_limit_holds_by_itself(joblot, words, gone):
    for number in range(5):
        joblot.run(f"n{number}", days=100 - number)
    listed = json.loads(joblot("prune", *words, "--dry-run", "--json"))
    assert [one["run_id"] for one in listed["runs"]] == gone
    assert listed["bytes"] == sum(one["bytes"] for one in listed["runs"])
    keys = {"run_id", "batch", "source", "status", "started_at", "bytes", "why"}
    assert all(one.keys() == keys for one in listed["runs"])
    assert len(joblot.listed()) == 5
    joblot("prune", *words)
    assert joblot.listed() == [name for name in ("n4", "n3", "n2", "n1", "n0") if name not in gone]


def test_of_what_is_too_large_the_oldest_go_and_no_more_than_need_be(joblot):
    for number in range(4):
        joblot.run(f"n{number}", days=100 - number)
        (joblot.state / f"runs/n{number}/partial").mkdir()
        (joblot.state / f"runs/n{number}/partial/x").write_bytes(os.urandom(2**20))
    table = joblot("prune", "--max-size", "3MiB", "--dry-run").splitlines()
    assert table[0].split() == ["RUN", "BATCH", "STATUS", "STARTED", "SIZE", "WHY"]
    assert [line.split()[0] for line in table[1:]] == ["n0", "n1", "2"]
    assert table[1].endswith("1.0 MiB  the state folder is above 3.0 MiB")
    joblot("prune", "--max-size", "3MiB")
    assert joblot.listed() == ["n3", "n2"]


def test_what_can_be_resumed_and_what_goes_on_stays(joblot):
    for number in range(3):
        joblot.run(f"n{number}", days=100 - number)
    joblot.sql("UPDATE run SET status = 'running', ended_at = NULL WHERE run_id = 'n0'")
    folder = StateFolder(joblot.state)
    hold = folder.hold("n1")
    joblot("prune", "--keep", "0")
    assert joblot.listed() == ["n2", "n1", "n0"], "n1 has ended, and somebody has it again"
    hold.release()
    folder.close()
    joblot("prune", "--keep", "0")
    assert joblot.listed() == ["n2", "n0"]


def test_a_killed_program_can_be_resumed_by_nobody(joblot):
    for number in range(2):
        with RunLogger(f"p{number}", name="backup", state=joblot.state):
            pass
    joblot.sql("UPDATE run SET status = 'running', ended_at = NULL WHERE run_id = 'p0'")
    joblot("prune", "--keep", "1")
    assert joblot.listed() == ["p1"]


def test_what_a_failed_run_continues_stays_as_long_as_it_does(joblot):
    joblot.run("n0", good=False, days=100)
    (joblot.path / "joblot.yaml").write_text(BATCH.format(name="night").replace("test -e", "test  -e"))
    joblot("retry", "n0", "-q", "--on", "inline", code=1)
    second = joblot.listed()[0]
    joblot.date(second, 90)
    joblot.run("n2", good=False, days=10)
    joblot.date("n2", 10)
    assert json.loads(joblot("prune", "--keep", "2", "--dry-run", "--json"))["runs"] == []
    (gone, other) = json.loads(joblot("prune", "--keep", "1", "--dry-run", "--json"))["runs"]
    assert (gone["run_id"], other["run_id"]) == ("n0", second)


def test_a_run_whose_predecessor_is_gone_says_so(joblot):
    joblot.run("n0", good=False)
    (joblot.path / "joblot.yaml").write_text(BATCH.format(name="night").replace("test -e", "test  -e"))
    joblot("retry", "n0", "-q", "--on", "inline", code=1)
    second = joblot.listed()[0]
    joblot.sql("DELETE FROM run WHERE run_id = 'n0'")
    shutil.rmtree(joblot.state / "runs/n0")
    joblot("resume", second, "-q", "--on", "inline", code=4)
    message = "run `n0`, which is continued here, was cleared up: nobody knows what was done in it"
    assert joblot.err == f"error: {message}\nhint: `joblot run` begins a new one\n"
    joblot("retry", "n0", "-q", code=4)
    assert joblot.err.startswith(f"error: no run `n0` in `{joblot.state}`")


def test_what_is_up_to_date_stays_so(joblot):
    for number in range(3):
        joblot.run(f"n{number}", days=100 - number)
    joblot.run("n3", good=False, days=1)
    joblot.sql("UPDATE made SET run = 'n0'")
    joblot("prune", "--keep", "0")
    (joblot.path / "good").touch()
    done = json.loads(joblot("run", "--json", "--on", "inline"))
    assert [one["status"] for one in done["results"]] == ["cached", "success"]
    (joblot.path / "in").write_text("y")
    done = json.loads(joblot("run", "--json", "--on", "inline"))
    assert [one["status"] for one in done["results"]] == ["success", "success"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing says which runs are to go\nhint: `--keep 100`, `--older 30d`, `--max-size 5GiB`, or `retention` in the settings\n"),
        (["--keep", "-1"], "invalid value for `--keep`: -1 is not in the range x>=0\nhint: `joblot prune --help` says what it takes\n"),
        (["--older", "soon"], "invalid value for `--older`: `soon` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`\nhint: `joblot prune --help` says what it takes\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(joblot, words, message):
    joblot.run("n0")
    joblot("prune", *words, code=2)
    assert joblot.err == f"error: {message}"


# --- as a whole or not at all -------------------------------------------------------------------------


def copied(folder, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, symlinks=True)


def killed_at(number, words):
    """The command in a forked process that ends at its n-th call that changes something. Whether it came so far."""
    pid = os.fork()
    if not pid:
        left = [number]

        def dying(call):
            def instead(*arguments, **options):
                left[0] -= 1
                if not left[0]:
                    os._exit(77)
                return call(*arguments, **options)

            return instead

        for name in ("rename", "unlink", "rmdir", "open", "mkdir"):
            setattr(os, name, dying(getattr(os, name)))

        class Connection(sqlite3.Connection):
            def execute(self, *arguments):
                return dying(super().execute)(*arguments)

        connect = sqlite3.connect
        sqlite3.connect = lambda *arguments, **options: connect(*arguments, **options, factory=Connection)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(main(words))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 77


@pytest.mark.alone
def test_killed_at_any_call_a_run_is_whole_or_gone(joblot, tmp_path):
    """Every run that is listed is as it was, no other is found, and whoever clears up next does the rest."""
    for number in range(2):
        joblot.run(f"n{number}", days=100 - number)
    told = {run: (joblot("show", run, "--json"), joblot("logs", run, "a")) for run in ("n0", "n1")}
    kept = tmp_path.parent / f"{tmp_path.name}-kept"
    copied(joblot.state, kept)
    number, states = 0, set()
    while True:
        copied(kept, joblot.state)
        number += 1
        was_killed = killed_at(number, ["prune", "--keep", "1"])
        listed = joblot.listed()
        states.add(tuple(listed))
        for run in listed:
            assert (joblot("show", run, "--json"), joblot("logs", run, "a")) == told[run], f"call {number}"
        for run in set(told) - set(listed):
            assert run not in joblot.folders()
            joblot("show", run, code=4)
        lost = tmp_path / "lost"
        copied(joblot.state, lost)
        for file in lost.glob("journal.db*"):
            file.unlink()
        joblot("recover", "--state", str(lost))
        assert [one["run_id"] for one in json.loads(joblot("ls", "--json", "--state", str(lost)))] == listed, (
            "without the journal as well"
        )
        joblot("prune", "--keep", "1")
        assert (joblot.listed(), joblot.folders(), joblot.leftovers()) == (["n1"], ["n1"], [])
        assert joblot.sql("SELECT count(DISTINCT id >> 36) FROM record") == [(1,)]
        if not was_killed:
            break
    assert states == {("n1", "n0"), ("n1",)}
    assert number > 20, "calls were counted"


def test_a_run_of_the_same_id_does_not_begin_before_the_rest_is_cleared_up(joblot):
    for number in range(2):
        joblot.run(f"n{number}", days=100 - number)
    (joblot.state / "runs/n0").rename(joblot.state / "pruned-n0")
    assert joblot.listed() == ["n1"]
    joblot("run", "-q", "--on", "inline", "--run-id", "n0", code=4)
    message = "run `n0` was cleared up, and something is left of it"
    assert joblot.err == f"error: {message}\nhint: `joblot prune` clears that up as well\n"
    joblot("prune", "--keep", "9")
    joblot("run", "-q", "--on", "inline", "--run-id", "n0")
    assert joblot.listed() == ["n0", "n1"]


def test_a_run_without_its_files_goes_as_well(joblot):
    for number in range(2):
        joblot.run(f"n{number}", days=100 - number)
    shutil.rmtree(joblot.state / "runs/n0")
    joblot("prune", "--keep", "1")
    assert joblot.listed() == ["n1"]


def test_folders_of_runs_that_never_began_go_once_they_are_old(joblot):
    joblot.run("n0")
    for name in ("young", "old", "lost"):
        (joblot.state / "runs" / name).mkdir()
        (joblot.state / "runs" / name / "lock").touch()
    (joblot.state / "runs/lost/events.jsonl").touch()
    for name in ("old", "lost"):
        os.utime(joblot.state / "runs" / name, (time.time() - 7200,) * 2)
    joblot("prune", "--keep", "1")
    assert joblot.folders() == ["lost", "n0", "young"]


def test_files_that_may_not_be_removed_are_told_and_the_run_is_gone(joblot, monkeypatch):
    for number in range(2):
        joblot.run(f"n{number}", days=100 - number)
    monkeypatch.setattr(prune, "remove_all", lambda path: None)
    joblot("prune", "--keep", "1", code=4)
    assert joblot.err == (
        f"warning: cannot remove `{joblot.state}/pruned-n0`: directory not empty\nhint: remove `{joblot.state}/pruned-n0`\n"
    )
    assert joblot.listed() == ["n1"]


def test_a_link_in_the_place_of_what_is_left_leads_nowhere(joblot, tmp_path):
    for number in range(2):
        joblot.run(f"n{number}", days=100 - number)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (joblot.state / "pruned-x").symlink_to(elsewhere)
    (joblot.state / "runs/n0").rename(tmp_path / "moved")
    (joblot.state / "runs/n0").symlink_to(tmp_path / "moved")
    joblot("prune", "--keep", "1", code=4)
    assert (
        f"cannot remove `{joblot.state}/pruned-x`: too many levels of symbolic links\nhint: move it away\n"
        in joblot.err
    )
    assert [path.name for path in elsewhere.iterdir()] == ["file"]
    assert (tmp_path / "moved/report.json").exists()
    assert joblot.listed() == ["n1", "n0"]


# --- on a full disk -----------------------------------------------------------------------------------


def test_on_a_full_disk_files_go_first_and_make_the_room_that_the_journal_needs(joblot, monkeypatch):
    for number in range(3):
        joblot.run(f"n{number}", days=100 - number)
    real, full = StateFolder.__init__, [True]

    def opening(self, path=None, **options):
        if (
            not options.get("read_only")
            and not [name for name in joblot.leftovers() if os.listdir(joblot.state / name) == ["lock"]][1:]
        ):
            raise prune.StateError("cannot use journal: no space left on device")
        real(self, path, **options)

    monkeypatch.setattr(StateFolder, "__init__", opening)
    joblot("prune", "--keep", "1")
    assert full
    assert (joblot.listed(), joblot.leftovers(), joblot.err) == (["n2"], [], "")


# --- as the settings ask ------------------------------------------------------------------------------


def settings(joblot, text):
    file = Path(joblot.path, "config/joblot/settings.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_settings_have_runs_go_at_the_end_of_one_at_most_once_a_day(joblot):
    for number in range(3):
        joblot.run(f"n{number}", days=100 - number)
    settings(joblot, '[retention]\nkeep = 2\nolder = "30d"\nmax_size = "5GiB"\n')
    joblot.run("n3")
    assert joblot.listed() == ["n3"]
    joblot.run("n4")
    joblot.date("n3", 99)
    joblot.run("n5")
    assert joblot.listed() == ["n5", "n4", "n3"], "not twice a day"
    os.utime(joblot.state / "pruned", (time.time() - DAY_S,) * 2)
    joblot.run("n6")
    assert joblot.listed() == ["n6", "n5"]
    joblot.date("n5", 99)
    assert joblot("prune").startswith("1 run cleared up"), "as the settings ask, and now"


def test_without_settings_nothing_goes(joblot):
    for number in range(3):
        joblot.run(f"n{number}", days=400 - number)
    assert joblot.listed() == ["n2", "n1", "n0"]
    assert not (joblot.state / "pruned").exists()


def test_no_more_go_at_the_end_of_a_run_than_it_has_time_for(joblot, monkeypatch):
    for number in range(4):
        joblot.run(f"n{number}", days=100 - number)
    settings(joblot, "[retention]\nkeep = 1\n")
    monkeypatch.setattr(prune, "_AT_AN_END", 2)
    joblot.run("n4")
    assert joblot.listed() == ["n4", "n3", "n2"]
    joblot.run("n5")
    assert joblot.listed() == ["n5", "n4"], "the rest at the next end"
    joblot.run("n6")
    assert joblot.listed() == ["n6"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retention = 3", "`retention` must be a table with `keep`, `older` or `max_size`"),
        ("[retention]", "`retention` must be a table with `keep`, `older` or `max_size`"),
        ("[retention]\nkep = 1", "unknown key `retention.kep`: it has `keep`, `older` and `max_size`"),
        ("[retention]\nkeep = true", "`retention.keep`: `True` is no number of runs"),
        ("[retention]\nkeep = -1", "`retention.keep`: `-1` is no number of runs"),
        ('[retention]\nolder = "soon"', "`retention.older`: `soon` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`"),
        ("[retention]\nolder = []", "`retention.older`: `[]` is no duration"),
        ("[retention]\nmax_size = 1.5", "`retention.max_size`: a size is a number of bytes or a text such as `512MB` or `2GiB`"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong_remove_nothing_and_change_no_run(joblot, text, message):
    joblot.run("n0", days=400)
    file = settings(joblot, text)
    joblot.run("n1")
    told = joblot.err.partition(" | WARNING | ")[2]
    assert told == f"nothing was cleared up: in the settings `{file}`: {message}\n"
    joblot("prune", code=4)
    assert joblot.err == f"error: in the settings `{file}`: {message}\n"
    assert joblot.listed() == ["n1", "n0"]


# --- how large it is ----------------------------------------------------------------------------------


def test_a_large_state_folder_is_told_below_the_list(joblot, monkeypatch):
    joblot.run("n0")
    joblot("ls")
    assert joblot.err == ""
    monkeypatch.setattr(prune, "size_about", lambda folder: 3 * 2**30)
    joblot("ls")
    assert joblot.err == "the state folder takes about 3.0 GiB: `joblot prune --older 30d` clears up what is older\n"
    joblot("ls", "--json")
    assert joblot.err == ""


def test_the_size_is_told_by_some_runs_of_many(joblot, monkeypatch):
    for number in range(6):
        joblot.run(f"n{number}")
        (joblot.state / f"runs/n{number}/report.json").write_bytes(os.urandom(2**20))
    with closing(StateFolder(joblot.state, read_only=True)) as folder:
        whole = prune.size_about(folder)
        assert 6 * 2**20 < whole < 7 * 2**20
        monkeypatch.setattr(prune, "_SAMPLED", 2)
        assert abs(prune.size_about(folder) - whole) < 2**18
        assert folder.journal.sample(2) == (["n0", "n3"], 6)


def test_room_in_the_journal_is_given_back_where_that_is_much(joblot, monkeypatch):
    for number in range(30):
        joblot.run(f"n{number}")
    monkeypatch.setattr(prune, "_SHRINK_FROM", 1000)
    before = (joblot.state / "journal.db").stat().st_size
    joblot("prune", "--keep", "1")
    assert (joblot.state / "journal.db").stat().st_size < before / 2
    assert joblot.listed() == ["n29"]
