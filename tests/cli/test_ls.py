"""`ls`: which runs are listed, and the ends of ids that are enough to name them."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from joblot.__main__ import main
from joblot.core.events import RunEnded
from joblot.journal import Chosen
from joblot.journal.folder import StateFolder

DAY_S = 86400.0
NOW = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))


def plan(**variables):
    return json.dumps(
        {"name": "b", "vars": variables, "jobs": [{"name": "a", "run": "true"}]}, separators=(",", ":")
    ).encode()


class Runs:
    """Runs that are written into a journal, and `ls` in its folder."""

    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.folder = StateFolder(path / ".joblot")

    def add(self, run_id, *, batch="night", source="", status="success", days=0.0, took=10.0, **variables):
        journal, at = self.folder.journal, NOW - days * DAY_S
        journal.create(run_id, batch=batch, source=source, jobs=1, plan=plan(**variables), at=at)
        if status != "running":
            journal.append(run_id, [RunEnded(status, took)], at)
            journal.summarise(run_id, status=status, ended_at=at + took, counts={status: 1})

    def __call__(self, *words):
        assert main(["ls", "--json", *words]) == 0
        return [one["run_id"] for one in json.loads(self._capsys.readouterr().out)]

    def refused(self, *words):
        assert main(["ls", *words]) == 2
        return self._capsys.readouterr().err.splitlines()[0]


@pytest.fixture
def runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    runs = Runs(tmp_path, capsys)
    yield runs
    runs.folder.close()


def test_runs_of_one_batch_by_its_name_or_its_file(runs, tmp_path, monkeypatch):
    (tmp_path / "night.yaml").write_text("jobs: []")
    runs.add("r1", source=str(tmp_path / "night.yaml"))
    runs.add("r2", batch="day", source=str(tmp_path / "day.yaml"))
    assert (runs("night"), runs("day"), runs("night.yaml"), runs("nothing")) == (["r1"], ["r2"], ["r1"], [])
    monkeypatch.chdir("/")
    assert runs(str(tmp_path / "night.yaml")) == ["r1"], "its state folder is beside it"


def test_several_statuses_and_interrupted_is_one_of_them(runs):
    runs.add("r1")
    runs.add("r2", status="failed")
    runs.add("r3", status="running")
    runs.add("r4", status="cancelled")
    hold = runs.folder.hold("r4x")
    runs.add("r4x", status="running")
    assert runs("--status", "failed,interrupted") == ["r3", "r2"]
    assert runs("--status", "running") == ["r4x"]
    assert runs("--status", "success, cancelled", "-n", "1") == ["r4"]
    hold.release()
    assert runs("--status", "running") == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--since", "2026-11-18"], ["r0", "r1", "r2"]), (["--since", "2026-11-18T13:00"], ["r0", "r1"]), (["--until", "2026-11-18"], ["r2", "r3"]),
        (["--until", "2026-11-18 11:00"], ["r3"]), (["--since", "2026-11-18", "--until", "2026-11-19"], ["r1", "r2"]),
        (["--since", "36h"], ["r0", "r1"]), (["--until", "47h"], ["r2", "r3"]), (["--since", "2026-11-21"], []),
    ],
)  # fmt: skip
def test_a_span_of_time(runs, monkeypatch, words, expected):
    for days in reversed(range(4)):
        runs.add(f"r{days}", days=days)
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert runs(*words) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("day=2026-11-20", ["r2", "r1"]), ("day=2026-11-2", []), ("n=5", ["r1"]), ("n=5.0", ["r1"]), ("n=2.50", ["r2"]), ("n=true", []),
        ("on=true", ["r1"]), ("on=1", []), ('many=["a", 1]', ["r2"]), ('quoted=a"b', ["r1"]), ("nothing=x", []),
    ],
)  # fmt: skip
def test_the_value_of_a_variable_as_it_is_typed(runs, typed, expected):
    runs.add("r1", day="2026-11-20", n=5, on=True, quoted='a"b')
    runs.add("r2", day="2026-11-20", n=2.5, many=["a", 1], other=5)
    runs.add("r3")
    assert runs("--var", typed) == expected
    assert runs("--var", typed, "--var", "day=2026-11-20") == expected


def test_what_is_slower_than_usual(runs):
    for number in range(5):
        runs.add(f"n{number}", took=10.0)
        runs.add(f"d{number}", batch="day", took=100.0)
    runs.add("n5", took=21.0)
    runs.add("n6", took=300.0, status="failed")
    runs.add("d5", batch="day", took=150.0)
    runs.add("seldom", batch="seldom", took=1000.0)
    assert runs("--slower-than", "2x") == ["n6", "n5"]
    assert runs("--slower-than", "1.4x", "--status", "success") == ["d5", "n5"]
    assert runs("--slower-than", "1.4x", "--longer", "2m") == ["d5", "n6"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--status", "bad"], "`--status`: `bad` is none of `running`, `interrupted`, `success`, `failed`, `cancelled`"),
        (["--since", "noon"], "`--since`: `noon` is neither a date such as `2026-11-20` nor a duration such as `7d`"),
        (["--until", "2026-13-01"], "`--until`: `2026-13-01` is neither a date such as `2026-11-20` nor a duration such as `7d`"),
        (["--slower-than", "2"], "`--slower-than`: `2` is not of the form `2x`"),
        (["--slower-than", "0x"], "`--slower-than`: `0x` is not of the form `2x`"),
        (["--slower-than", "nanx"], "`--slower-than`: `nanx` is not of the form `2x`"),
        (["--var", "day"], "`--var`: `day` is not of the form `name=value`"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_refused(runs, words, message):
    assert runs.refused(*words) == f"error: invalid value for {message}"


def test_a_damaged_plan_or_end_hides_only_what_it_would_say(runs):
    runs.add("r1", day="x")
    runs.add("r2", day="x", took=99.0)
    with closing(sqlite3.connect(runs.path / ".joblot/journal.db", isolation_level=None)) as database:
        database.execute("UPDATE run SET plan = x'00' WHERE run_id = 'r1'")
        database.execute("UPDATE record SET events = x'00'")
    assert runs("--var", "day=x") == ["r2"]
    assert runs("--longer", "50s") == ["r2"], "by the dates"


def test_a_damaged_row_is_told_whatever_is_chosen(runs, capsys):
    runs.add("r1")
    runs.add("r2")
    with closing(sqlite3.connect(runs.path / ".joblot/journal.db", isolation_level=None)) as database:
        database.execute("UPDATE run SET started_at = 'noon' WHERE run_id = 'r1'")
    assert main(["ls", "--since", "2026-11-01"]) == 0
    assert "run `r1` cannot be read" in capsys.readouterr().err


# --- what it costs ------------------------------------------------------------------------------------


def steps(journal, look):
    """How many instructions SQLite carries out for it."""
    count = [0]

    def step():
        count[0] += 1

    journal._db.set_progress_handler(step, 1)
    try:
        look()
    finally:
        journal._db.set_progress_handler(None, 1)
    return count[0]


def test_a_choice_costs_a_glance_at_each_run_and_reads_no_more_than_are_asked_for(runs):
    many = 1000
    runs.folder.journal._db.execute("BEGIN")
    for number in range(many):
        runs.add(f"20261120-{number:06d}", status="failed" if number % 100 == 0 else "success", day=str(number))
    runs.folder.journal._db.execute("COMMIT")
    journal = runs.folder.journal

    def first(chosen, **options):
        return lambda: next(journal.chosen(chosen, **options), None)

    assert steps(journal, lambda: journal.runs(limit=20)) < 20 * 30
    assert steps(journal, first(Chosen(statuses=("success",)))) < 200, "the newest one is one"
    rare = [Chosen(statuses=("cancelled",)), Chosen(batch="x"), Chosen(until=1.0), Chosen(variables=(("day", "x"),))]
    assert max(steps(journal, first(chosen)) for chosen in rare) < many * 40
    assert steps(journal, first(Chosen(), longer=lambda _: 1e9)) < many * 60
    assert steps(journal, lambda: journal.matching("000999")) < many * 40
    assert steps(journal, lambda: runs.folder.shortest(["20261120-000999"])) < many * 10


# --- the shortest ids ---------------------------------------------------------------------------------


def test_the_shortest_end_that_names_a_run(runs):
    ids = [
        "20261120-112300-73f53a86",
        "20261120-112301-00003a86",
        "20261121-112300-8f151adf",
        "3a86x",
        "r1",
        "xr1",
        "2026",
    ]
    for run_id in ids:
        runs.add(run_id)
    short = runs.folder.shortest(ids)
    assert short == {
        "20261120-112300-73f53a86": "53a86", "20261120-112301-00003a86": "03a86", "20261121-112300-8f151adf": "1adf",
        "3a86x": "a86x", "r1": "r1", "xr1": "xr1", "2026": "2026",
    }  # fmt: skip
    assert {run_id: runs.folder.resolve(end).run_id for run_id, end in short.items()} == {
        run_id: run_id for run_id in ids
    }


def test_an_end_that_another_id_begins_with_names_nobody(runs):
    for run_id in ("x-nigh", "night-1"):
        runs.add(run_id)
    assert runs.folder.shortest(["x-nigh"]) == {"x-nigh": "-nigh"}


def test_where_most_ids_end_alike_the_whole_id_is_told(runs):
    runs.folder.journal._db.execute("BEGIN")
    for number in range(1001):
        runs.add(f"{number:04d}-prod")
    runs.folder.journal._db.execute("COMMIT")
    assert runs.folder.shortest(["0007-prod"]) == {"0007-prod": "0007-prod"}


# --- watching -----------------------------------------------------------------------------------------


def test_a_watched_list_is_told_at_each_change_until_enough_was_seen(runs, monkeypatch, capsys):
    runs.add("r1", status="running")
    looks = [
        lambda: None,
        lambda: runs.folder.journal.summarise("r1", status="success", ended_at=NOW + 1, counts={"success": 1}),
    ]

    def next_look(_seconds):
        if not looks:
            raise KeyboardInterrupt
        looks.pop()()

    monkeypatch.setattr(time, "sleep", next_look)
    assert main(["ls", "--watch", "--json"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert [[one["status"] for one in json.loads(line)] for line in lines] == [["interrupted"], ["success"]]


def test_the_first_run_is_waited_for(tmp_path, monkeypatch, capsys):
    made = []

    def look(_seconds):
        if made:
            raise KeyboardInterrupt
        made.append(Runs(tmp_path, capsys))
        made[0].add("r1")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", look)
    assert main(["ls", "--watch"]) == 130
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["no", "RUN", "r1"]
    made[0].folder.close()
