"""One run that cannot be read takes no other with it: every command does its work for the others, and says which one it is.

The commands run in this process, which is many times as fast; nothing of this depends on a process of its own.
"""

import json
import os
import re
import shutil
import sqlite3

import msgspec
import pytest

from joblot import RunLogger
from joblot.__main__ import main
from joblot.digest import blake2b
from joblot.journal.codec import CHAIN_START, jsonl_line, link
from joblot.journal.folder import StateFolder

BATCH = """\
name: small
jobs:
  - {name: a, run: "echo said; cp in out; echo 1 >> ran", input: in, outputs: [out]}
  - {name: b, run: "test -e mended", needs: [a]}
  - {name: c, run: "true", needs: [b]}
"""
RUNS = ("GOOD1", "BAD", "GOOD2")
_VARYING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|-\d{8}-\d{6}|\d+ ms|\d+\.\d+ s")


SOUND: dict = {}


class Project:
    """A folder with three runs of a batch, in all of which `b` failed: GOOD1, BAD, GOOD2."""

    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.state = path / ".joblot"

    def __call__(self, *words):
        code = main(list(words))
        out, err = self._capsys.readouterr()
        return code, *(_VARYING.sub("TIME", text.replace(str(self.path), "DIR")) for text in (out, err))

    def of_sound_runs(self, *words):
        """What a command says before anything is damaged; the folder is left as it was."""
        if words not in SOUND:
            SOUND[words] = self(*words)
            self.restore()
        return SOUND[words]

    def restore(self):
        shutil.rmtree(self.path)
        shutil.copytree(f"{self.path}.kept", self.path)
        os.chdir(self.path)

    def run_file(self, name, run="BAD"):
        return self.state / "runs" / run / name

    def sql(self, statement, *arguments):
        with sqlite3.connect(self.state / "journal.db") as database:
            found = database.execute(statement, arguments).fetchall()
        database.close()
        return found

    def lose_the_journal(self):
        for file in self.state.glob("journal.db*"):
            file.unlink()

    def rewrite(self, change, run="BAD"):
        """Have a run's records say something else, with a chain that holds, in both copies: as another joblot may write them."""
        ((number,),) = self.sql("SELECT number FROM run WHERE run_id = ?", run)
        chain, seq, rows = CHAIN_START, 1, []
        for at, body in self.sql("SELECT at, events FROM record WHERE id >> 36 = ? ORDER BY id", number):
            events = change(json.loads(body))
            body = msgspec.json.encode(events)
            chain = link(chain, seq, at, body)
            rows.append((seq, at, body, chain))
            seq += len(events)
        self.sql("DELETE FROM record WHERE id >> 36 = ?", number)
        for seq, *row in rows:
            self.sql("INSERT INTO record VALUES (?, ?, ?, ?)", number << 36 | seq, *row)
        self.run_file("events.jsonl", run).write_bytes(b"".join(jsonl_line(*row) for row in rows))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("unreadable")
    (path / "joblot.yaml").write_text(BATCH)
    (path / "in").write_text("x")
    before = os.getcwd()
    os.chdir(path)
    try:
        for run in RUNS:
            assert main(["run", "--run-id", run, "--on", "inline", "-q", "-f"]) == 1
    finally:
        os.chdir(before)
    shutil.copytree(path, f"{path}.kept")
    return path


@pytest.fixture
def joblot(made, capsys, monkeypatch):
    monkeypatch.chdir(made)
    project = Project(made, capsys)
    project.restore()
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    capsys.readouterr()
    return project


# --- kinds of damage ----------------------------------------------------------------------------------


def stored(content, *, as_written=True):
    """A plan in both copies; `as_written`: the first record has its hash, so it is what the run began with."""

    def damage(joblot):
        joblot.sql("UPDATE run SET plan = ? WHERE run_id = 'BAD'", content)
        joblot.run_file("plan.json").write_bytes(content)
        if as_written:
            digest = blake2b(content, digest_size=16).hexdigest()
            joblot.rewrite(
                lambda events: [one | {"fingerprint": digest} if "fingerprint" in one else one for one in events]
            )

    return damage


def sql(statement, *arguments):
    return lambda joblot: joblot.sql(statement, *arguments)


def row(column, value):
    return sql(f"UPDATE run SET {column} = {value} WHERE run_id = 'BAD'")


def records(change):
    return sql(f"UPDATE record SET {change} WHERE id >> 36 = (SELECT number FROM run WHERE run_id = 'BAD')")


def instead(name, content):
    """Something else in the place of a run's file: bytes, a folder (None) or a link that leads to itself."""

    def damage(joblot):
        file = joblot.run_file(name)
        file.unlink()
        if content is None:
            file.mkdir()
        elif content == "loop":
            file.symlink_to(file.name)
        else:
            file.write_bytes(content)

    return damage


def future(joblot):
    joblot.rewrite(lambda events: [*events, {"type": "run_paused"}] if events[0]["type"] == "run_started" else events)


def no_event(joblot):
    joblot.rewrite(lambda events: [5, *events] if events[0]["type"] == "run_started" else events)


ODD = b'{"name":"small","folder":"/","jobs":[{"name":"a","run":"true","once":"no"}]}'
CIRCLE = (
    b'{"name":"small","folder":"/","jobs":[{"name":"a","run":"x","needs":["b"]},{"name":"b","run":"x","needs":["a"]}]}'
)
NO_PLAN = b'{"name":"small","folder":"/","jobs":[{"name":"","run":"x","fan_out":{"kind":"rows","columns":{"k":[1]}}}]}'
WHY_ODD = "Expected `bool`, got `str` - at `$.jobs[0].once`"
WHY_BYTES = "it is not UTF-8 text"

LOOKS = "hint: `joblot recover BAD` looks for a copy that can; the other runs are not concerned\n"
TAKES = "hint: `joblot recover BAD` takes it from the run's own `plan.json`\n"
JOURNAL = "error: journal `DIR/.joblot/journal.db`"
OTHER = f"{JOURNAL} is damaged: the plan of run `BAD` is not the one that it began with\n{TAKES}"
NONE = f"{JOURNAL} is damaged: the plan of run `BAD` cannot be read\n{TAKES}"
AT_1 = (
    f"{JOURNAL} is damaged at event 1: what is read is not what was written\n"
    "hint: `joblot recover` makes it again from the run's own `events.jsonl`; everything before that event is sound\n"
)
NEWER = f"{JOURNAL} holds an event that this version cannot read: Invalid value 'run_paused' - at `$[2].type`\n"
WRITTEN = "hint: it is what was written: a newer joblot may have done so\n"
MOVE = "hint: make it readable or move it away: `joblot recover` makes it again from the journal\n"


def plan_error(why):
    return f"error: the plan of run `BAD` cannot be read: {why}\n{LOOKS}"


def file_error(why):
    return f"error: cannot read `DIR/.joblot/runs/BAD/events.jsonl`: {why}\n{MOVE}"


INSIDE = {
    "a plan that does not decode": (stored(ODD), plan_error(WHY_ODD)),
    "a plan that is not UTF-8": (stored(b'{"name":"sm\xff"}'), plan_error(WHY_BYTES)),
    "a plan that ends too soon": (stored(ODD[:20]), plan_error("Input data was truncated")),
    "an empty list as a plan": (stored(b"[]"), plan_error("Expected `object`, got `array`")),
    "a plan that is a circle": (stored(CIRCLE), plan_error("jobs need each other: a -> b -> a")),
    "a plan that nobody can make": (stored(NO_PLAN), plan_error("it is no plan that joblot makes")),
    "another plan": (stored(CIRCLE, as_written=False), OTHER),
    "no plan": (stored(b"", as_written=False), OTHER),
    "a text as a plan": (row("plan", "'x'"), NONE),
    "a number as a plan": (row("plan", "7"), NONE),
    "changed records": (records("at = at + 1"), AT_1),
    "records that are no text": (records("events = CAST(x'ff' AS TEXT)"), AT_1),
    "a future event": (future, NEWER + WRITTEN),
    "a folder of events": (instead("events.jsonl", None), file_error("is a directory")),
    "events behind a link to itself": (instead("events.jsonl", "loop"), file_error("too many levels of symbolic links")),
}  # fmt: skip
"""What is damaged inside of a run; and what is said when just that run is asked for. Nobody else notices."""

AGAIN = "hint: `joblot recover` makes the journal again from the runs' own files\n"


def row_fault(why):
    return f"run `BAD` cannot be read: its row in journal `DIR/.joblot/journal.db` is damaged: {why}\n{AGAIN}"


ROWS = {
    "jobs": (row("jobs", "'x'"), row_fault("Expected `int`, got `str` - at `$.jobs`")),
    "counts": (row("counts", "'{'"), row_fault("Input data was truncated")),
    "batch": (row("batch", "CAST(x'ff41' AS TEXT)"), row_fault("Expected `str`, got `bytes` - at `$.batch`")),
    "status": (row("status", "x'00'"), row_fault("Expected `str`, got `bytes` - at `$.status`")),
    "start": (row("started_at", "'noon'"), row_fault("Expected `float`, got `str` - at `$.started_at`")),
    "source": (row("source", "x'05'"), row_fault("Expected `str`, got `bytes` - at `$.source`")),
    "end": (row("ended_at", "1e300"), row_fault("Expected `float` < 253402300800.0 - at `$.ended_at`")),
}
"""What is damaged in a run's row in the list of runs, and what is said of it."""

OF_OTHERS = [
    ("show", "GOOD1"), ("show", "GOOD2", "--json"), ("show", "last", "--events"), ("logs", "GOOD1"), ("explain", "last", "b"),
    ("cancel", "GOOD2"), ("replay", "GOOD2", "a"), ("accept", "joblot.yaml", "a"), ("ls",), ("ls", "--json"), ("plan",), ("plan", "--json"),
    ("run", "-q", "--on", "inline", "--run-id", "NEW", "--max-memory", "1GiB"), ("resume", "GOOD1", "-q", "--on", "inline"),
    ("retry", "last", "-q", "--on", "inline"),
]  # fmt: skip
OF_ALL = ("ls", "plan")
"""The commands that look at the rows of all runs. `run` does so too: with `--max-memory`."""
OF_ITSELF = [
    ("show", "BAD"), ("show", "BAD", "--json"), ("show", "BAD", "--events"), ("logs", "BAD"), ("explain", "BAD", "a"), ("replay", "BAD", "a"),
    ("resume", "BAD", "--on", "inline"), ("retry", "BAD", "--on", "inline"), ("retry", "BAD", "--job", "b", "--on", "inline"),
]  # fmt: skip


def told(words, name):
    return pytest.param(words, id=f"{' '.join(words[:2])}{' --json' if '--json' in words else ''}"[:20])


def by_command(commands):
    return pytest.mark.parametrize("words", [told(words, None) for words in commands])


@by_command(OF_OTHERS)
@pytest.mark.parametrize("kind", INSIDE)
def test_what_is_damaged_inside_a_run_concerns_no_other(joblot, words, kind):
    expected = joblot.of_sound_runs(*words)
    assert expected[0] in (0, 1)
    INSIDE[kind][0](joblot)
    assert joblot(*words) == expected


@by_command(OF_ITSELF)
@pytest.mark.parametrize("kind", INSIDE)
def test_who_asks_for_the_run_itself_is_told_in_one_line(joblot, words, kind):
    damage, message = INSIDE[kind]
    damage(joblot)
    code, out, err = joblot(*words)
    assert (code, err) == (4, message)
    if "--json" in words:
        assert json.loads(out)["ok"] is False
    elif "--events" not in words:  # what can be read of them is shown
        assert out == ""


@by_command(OF_OTHERS)
@pytest.mark.parametrize("kind", ROWS)
def test_a_damaged_row_costs_one_run_and_a_warning(joblot, words, kind):
    damage, fault = ROWS[kind]
    expected = joblot.of_sound_runs(*words)
    damage(joblot)
    code, out, err = joblot(*words)
    assert code == expected[0]
    if words[0] in OF_ALL:
        assert err == f"warning: {fault}{expected[2]}"
    elif "--max-memory" in words:
        assert err == f"TIME | WARNING | {fault.replace(chr(10) + 'hint: ', '; ')}{expected[2]}"
    else:
        assert err == expected[2]
    if words == ("ls", "--json"):
        assert json.loads(out) == [one for one in json.loads(expected[1]) if one["run_id"] != "BAD"]
    elif words == ("ls",):
        assert [line.split()[0] for line in out.splitlines()] == ["RUN", "GOOD2", "GOOD1"]
    else:  # an estimate is from one run less
        told = expected[1].replace("the last 3 runs", "the last 2 runs").replace('      "BAD",\n', "")
        assert without_seconds(out) == without_seconds(told)


def without_seconds(text):
    return re.sub(r'(?<=_s": )[0-9.]+', "0", text)


@by_command([*OF_ITSELF, ("cancel", "BAD"), ("show", "BA"), ("show", "AD")])
@pytest.mark.parametrize("kind", ROWS)
def test_who_asks_for_the_run_of_a_damaged_row_is_told_in_one_line(joblot, words, kind):
    damage, fault = ROWS[kind]
    damage(joblot)
    code, out, err = joblot(*words)
    assert (code, err) == (4, f"error: {fault}")
    assert (json.loads(out)["ok"] is False) if "--json" in words else out == ""


@pytest.mark.parametrize(
    "words", [("show", "last"), ("resume",), ("retry", "last"), ("cancel", "last"), ("logs", "last")]
)
def test_no_other_run_is_meant_when_the_last_one_cannot_be_read(joblot, words):
    joblot.sql("UPDATE run SET jobs = 'x' WHERE run_id = 'GOOD2'")
    code, out, err = joblot(*words)
    assert (code, out) == (4, "")
    assert err == f"error: {row_fault('Expected `int`, got `str` - at `$.jobs`')}".replace("BAD", "GOOD2")


@pytest.mark.parametrize(
    ("name", "shown", "why"),
    [
        ("x'ff00'", "b'\\xff\\x00'", "Expected `str`, got `bytes` - at `$.run_id`"),
        ("'a' || char(0)", "'a\\x00'", "its id cannot be the name of a folder"),
        ("'a' || char(27)", "'a\\x1b'", "its id cannot be the name of a folder"),
    ],
)
def test_a_run_without_a_readable_name_is_named_as_well_as_can_be(joblot, name, shown, why):
    joblot.sql(f"UPDATE run SET run_id = {name} WHERE run_id = 'BAD'")
    code, out, err = joblot("ls")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["RUN", "GOOD2", "GOOD1"]
    assert err == f"warning: {row_fault(why).replace('BAD', shown)}"
    lost = "hint: the journal has lost it, its files have not: `joblot recover BAD`\n"
    assert joblot("show", "BAD") == (4, "", f"error: no run `BAD` in `DIR/.joblot`\n{lost}")


def test_a_journal_of_a_newer_joblot_is_refused_as_a_whole(joblot):
    joblot.sql("UPDATE meta SET value = value + 1 WHERE key = 'events'")
    for words in (("ls",), ("show", "GOOD1"), ("resume", "GOOD1"), ("cancel", "last"), ("accept", "joblot.yaml", "a")):
        hint = "hint: upgrade joblot, or use another `--state`\n"
        assert joblot(*words) == (4, "", f"{JOURNAL} was written by a newer joblot\n{hint}")
    assert joblot("recover") == (4, "", f"{JOURNAL} was written by a newer joblot\nhint: upgrade joblot\n")


@pytest.mark.parametrize("content", [b"", b"\xff?\n" * 5], ids=["empty", "garbage"])
def test_events_that_the_journal_has_as_well_are_not_missed(joblot, content):
    expected = joblot("show", "BAD")
    instead("events.jsonl", content)(joblot)
    assert joblot("show", "BAD") == expected


# --- what is kept beside the runs -----------------------------------------------------------------------


def test_completion_offers_the_others_and_says_nothing(joblot, monkeypatch):
    joblot.sql("UPDATE run SET jobs = 'x' WHERE run_id = 'BAD'")
    monkeypatch.setenv("_JOBLOT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "joblot show ")
    monkeypatch.setenv("COMP_CWORD", "2")
    code, out, err = joblot()
    assert (code, out.split(), err) == (0, [f"plain,{word}" for word in ("last", "GOOD2", "GOOD1", "a", "b", "c")], "")


def took(**fields):
    line = json.dumps({"job": "a", "status": "success", "duration_ms": 1, **fields}, separators=(",", ":"))
    return f"{{\n    {line}\n}}\n".encode()


REPORT = "hint: it is passed over; `joblot show GOOD2 --json` says the same from the journal\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{\n    {"job": 5},\n}\n', "Expected `str`, got `int` - at `$.job`"),
        (b'{\n    {"job":"\xff"}\n}\n', WHY_BYTES),
        (b'{\n    {"job":"a","sta', "Input data was truncated"),
        (b"{\n", "Input data was truncated"),
        (took(duration_ms=-1), "Expected `int` >= 0 - at `$.duration_ms`"),
        (took(duration_ms=10**30), f"Expected `int` <= {2**62} - at `$.duration_ms`"),
        (took(peak_bytes=-1), "Expected `int` >= 0 - at `$.peak_bytes`"),
        (took(peak_bytes=2**64), f"Expected `int` <= {2**62} - at `$.peak_bytes`"),
        (took(bundle=-2), "Expected `int` >= 0 - at `$.bundle`"),
        (b'{\n  "workers": -3,\n}\n', "Expected `int` >= 0"),
        (None, "is a directory"),
    ],
)
def test_a_report_that_cannot_be_read_costs_the_forecast_one_run(joblot, content, why):
    """The run before is asked, which had the same jobs."""
    instead("report.json", content)(joblot)
    file = joblot.run_file("report.json", "GOOD2")
    file.unlink()
    joblot.run_file("report.json").rename(file)
    code, out, err = joblot("plan", "-f")
    assert (code, err) == (0, f"warning: the report of run `GOOD2` cannot be read: {why}\n{REPORT}")
    assert "from run GOOD1" in out or "from run BAD" in out


def test_a_report_that_cannot_be_read_costs_the_forecast_of_memory_one_run(joblot):
    joblot.run_file("report.json", "GOOD2").write_bytes(b"[]")
    expected = (
        f"TIME | WARNING | the report of run `GOOD2` cannot be read: Expected `object`, got `array`; {REPORT[6:]}"
    )
    err = joblot("run", "-q", "--on", "inline", "--max-memory", "1GiB")[2]
    assert err.startswith(expected)
    assert "cannot be read" not in err.removeprefix(expected)


@pytest.mark.parametrize(
    "change", ["run = CAST(x'ff' AS TEXT)", "at = 'noon'", "parts = 7", "result = 'x'", "files = 'x'"]
)
def test_what_was_kept_of_a_job_and_cannot_be_read_costs_one_run_of_it(joblot, change):
    assert joblot("run", "-q", "--on", "inline")[0] == 1
    assert len((joblot.path / "ran").read_text().split()) == 3  # up to date, but for the damage
    joblot.sql(f"UPDATE made SET {change}")
    assert json.loads(joblot("plan", "--json")[1])["jobs"][0]["why"] == "changed: what was kept of it cannot be read"
    warned = "TIME | WARNING | what was kept of `a` cannot be read: nobody can tell whether it is up to date\n"
    assert joblot("run", "-q", "--on", "inline")[2].startswith(warned)
    assert len((joblot.path / "ran").read_text().split()) == 4
    assert joblot("run", "-q", "--on", "inline")[2].count("kept of") == 0
    assert len((joblot.path / "ran").read_text().split()) == 4


def test_what_was_kept_of_a_job_without_a_name_is_of_no_job(joblot):
    joblot.sql("UPDATE made SET job = x'ff'")
    assert joblot("resume", "GOOD1", "-q", "--on", "inline")[0] == 1


def test_a_run_logger_records_beside_it(joblot):
    joblot.sql("UPDATE run SET jobs = 'x' WHERE run_id = 'BAD'")
    folder = StateFolder(joblot.state)
    with RunLogger("logged", journal=folder.journal) as log:
        log.log_event("seen")
    folder.close()
    code, out, _ = joblot("show", "logged", "--events")
    assert code == 0
    assert "seen" in out


# --- recover --------------------------------------------------------------------------------------------

LEFT = "hint: its files were left as they are\n"


def lost(why):
    return f"error: run `BAD` cannot be recovered: {why}\n{LEFT}"


BEYOND = {
    "a plan that does not decode": (stored(ODD), lost(f"its plan cannot be read: {WHY_ODD}")),
    "a plan that is not UTF-8": (stored(b'{"name":"sm\xff"}'), lost(f"its plan cannot be read: {WHY_BYTES}")),
    "a plan that ends too soon": (stored(ODD[:20]), lost("its plan cannot be read: Input data was truncated")),
    "an empty list as a plan": (stored(b"[]"), lost("its plan cannot be read: Expected `object`, got `array`")),
    "another plan": (stored(CIRCLE, as_written=False), lost("no copy of its plan is what it began with")),
    "no plan": (stored(b"", as_written=False), lost("no copy of its plan is what it began with")),
    "a folder of events": (instead("events.jsonl", None), lost("cannot read `DIR/.joblot/runs/BAD/events.jsonl`: is a directory")),
    "events behind a link to itself": (
        instead("events.jsonl", "loop"), lost("cannot read `DIR/.joblot/runs/BAD/events.jsonl`: too many levels of symbolic links"),
    ),
    "a folder as a lock": (instead("lock", None), lost("cannot write to `DIR/.joblot/runs/BAD/lock`: is a directory")),
}  # fmt: skip
"""What `recover` can do nothing about, and what it says."""
WITHOUT_THE_JOURNAL = BEYOND | {
    "garbage as events": (instead("events.jsonl", b"?\n" * 5), lost("none of its records is what was written")),
    "a folder as a plan": (instead("plan.json", None), lost("cannot read `DIR/.joblot/runs/BAD/plan.json`: is a directory")),
    "a link to itself as its folder": (
        lambda joblot: (shutil.rmtree(joblot.run_file("")), os.symlink("BAD", joblot.run_file(""))),
        lost("cannot write to `DIR/.joblot/runs/BAD/lock`: too many levels of symbolic links"),
    ),
}  # fmt: skip
FROM_FILES = "".join(
    f"run {run}: 3 records (0 in the journal, 3 in its file); plan from plan.json\n" for run in ("GOOD1", "GOOD2")
)


def goes_on(joblot, *runs):
    """These runs are as they were: they can be listed, shown and brought to a good end."""
    assert {one["run_id"]: one["status"] for one in json.loads(joblot("ls", "--json")[1])}.items() >= dict.fromkeys(
        runs, "failed"
    ).items()
    (joblot.path / "mended").touch()
    for run in runs:
        assert joblot("resume", run, "-q", "--on", "inline")[0] == 0


@pytest.mark.parametrize("kind", BEYOND)
def test_recover_names_the_run_beside_a_sound_journal_and_changes_nothing(joblot, kind):
    damage, message = BEYOND[kind]
    damage(joblot)
    before = (joblot.state / "journal.db").read_bytes()
    assert joblot("recover") == (4, "", message)
    assert joblot("recover", "BAD") == (4, "", message)
    assert joblot("recover", "GOOD1") == (0, "1 run: nothing to recover, both copies are sound\n", "")
    assert (joblot.state / "journal.db").read_bytes() == before
    goes_on(joblot, "GOOD1", "GOOD2")


@pytest.mark.parametrize("kind", WITHOUT_THE_JOURNAL)
def test_recover_without_a_journal_names_the_run_and_recovers_all_others(joblot, kind):
    damage, message = WITHOUT_THE_JOURNAL[kind]
    damage(joblot)
    joblot.lose_the_journal()
    assert joblot("recover") == (4, FROM_FILES, message)
    assert joblot("recover") == (4, "", message)
    if "link to itself as its folder" not in kind:
        rest = (
            "\nhint: the journal has lost it, its files have not: `joblot recover BAD`\n"
            if os.path.exists(joblot.run_file("events.jsonl"))
            else ", nor a job of its last run `GOOD2`\nhint: `joblot ls` lists the runs\n"
        )
        assert joblot("show", "BAD") == (4, "", f"error: no run `BAD` in `DIR/.joblot`{rest}")
    goes_on(joblot, "GOOD1", "GOOD2")


@pytest.mark.parametrize("kind", BEYOND)
def test_recover_keeps_what_a_broken_journal_has_of_it(joblot, kind):
    """The journal is made again for another run's sake: what it has of this one is no worse for it."""
    damage, message = BEYOND[kind]
    damage(joblot)
    joblot.sql("UPDATE record SET at = at + 1 WHERE id >> 36 = (SELECT number FROM run WHERE run_id = 'GOOD1')")
    before = joblot.sql("SELECT run_id, batch, jobs, status, counts, plan FROM run WHERE run_id = 'BAD'")
    code, out, err = joblot("recover")
    assert (code, err) == (4, message)
    assert out.splitlines()[1:] == ["run GOOD1: 3 records (0 in the journal, 3 in its file)"]
    assert joblot.sql("SELECT run_id, batch, jobs, status, counts, plan FROM run WHERE run_id = 'BAD'") == before
    assert joblot.sql("SELECT count(*) FROM record") == [(9,)]
    goes_on(joblot, "GOOD1", "GOOD2")


@pytest.mark.parametrize("kind", ROWS)
def test_recover_makes_a_damaged_row_again(joblot, kind):
    expected = json.loads(joblot("ls", "--json")[1])
    ROWS[kind][0](joblot)
    code, out, err = joblot("recover")
    assert (code, err) == (0, "")
    kept = "the journal was made again; the old one is kept as `DIR/.joblot/journal.db.corruptTIME`\n"
    assert out == f"{kept}run BAD: its end is in the list of runs again\n"
    times = ("started_at", "ended_at", "duration_ms")
    without = [
        [{key: one[key] for key in one if key not in times} for one in runs]
        for runs in (json.loads(joblot("ls", "--json")[1]), expected)
    ]
    assert without[0] == without[1]
    goes_on(joblot, *RUNS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (future, NEWER),
        (
            no_event,
            NEWER.replace("Invalid value 'run_paused' - at `$[2].type`", "Expected `object`, got `int` - at `$[0]`"),
        ),
    ],
)
def test_recover_without_a_journal_keeps_the_events_of_a_newer_joblot(joblot, damage, message):
    """Nothing of them is lost, and a newer joblot can read them; this one says that it cannot."""
    damage(joblot)
    before = joblot.run_file("events.jsonl").read_bytes()
    joblot.lose_the_journal()
    code, out, err = joblot("recover")
    assert (code, out) == (
        4,
        f"run BAD: 3 records (0 in the journal, 3 in its file); plan from plan.json\n{FROM_FILES}",
    )
    assert err == f"error: run `BAD` is as it was written, and cannot be read: {message[7:]}{WRITTEN}"
    assert joblot.run_file("events.jsonl").read_bytes() == before
    assert joblot("show", "BAD") == (4, "", message + WRITTEN)
    goes_on(joblot, "GOOD1", "GOOD2")


def test_recover_that_may_not_write_one_file_has_the_rest_done(joblot):
    instead("plan.json", None)(joblot)
    joblot.sql("UPDATE record SET at = at + 1 WHERE id >> 36 = (SELECT number FROM run WHERE run_id = 'GOOD2')")
    code, out, err = joblot("recover")
    assert out.splitlines()[1:] == ["run GOOD2: 3 records (0 in the journal, 3 in its file)"]
    hint = "hint: what was found is in the journal; mend that, and recover again\n"
    refused = "cannot write to `DIR/.joblot/runs/BAD/plan.json`: is a directory"
    assert (code, err) == (4, f"error: run `BAD` cannot be recovered: {refused}\n{hint}")
    assert joblot("show", "BAD")[0] == 0
    goes_on(joblot, *RUNS)


@pytest.mark.parametrize("damage", [records("at = at + 1"), row("plan", "7"), instead("events.jsonl", b"?\n")])
def test_recover_takes_from_the_other_copy_what_one_has_lost(joblot, damage):
    shown = joblot("show", "BAD")
    damage(joblot)
    code, out, err = joblot("recover")
    assert (code, err) == (0, "")
    assert "run BAD: 3 records" in out
    assert joblot("show", "BAD") == shown
    goes_on(joblot, *RUNS)


def test_recover_does_not_take_a_run_for_one_that_has_done_nothing(joblot):
    """Its plan is there, and no record: all that it did would be done again."""
    records("at = at + 1")(joblot)
    joblot.run_file("events.jsonl").unlink()
    code, _, err = joblot("recover")
    assert (code, err) == (4, lost("none of its records is what was written"))
    assert joblot("resume", "BAD")[0] == 4
    goes_on(joblot, "GOOD1", "GOOD2")


def test_records_that_do_not_fit_the_plan(joblot):
    """Whoever wrote them: the chain holds."""
    joblot.rewrite(lambda events: [one | {"job": 99} if one["type"] == "attempt_ended" else one for one in events])
    message = "the records of run `BAD` do not fit its plan: IndexError: bytearray index out of range"
    assert joblot("show", "BAD") == (4, "", f"error: {message}\n{WRITTEN.replace('it is', 'they are')}")
    joblot.lose_the_journal()
    hint = WRITTEN.replace("it is", "they are")
    assert joblot("recover")[::2] == (
        4,
        f"error: run `BAD` is as it was written, and cannot be read: {message}\n{hint}",
    )
    goes_on(joblot, "GOOD1", "GOOD2")


def test_recover_makes_the_row_of_a_program_again(joblot):
    folder = StateFolder(joblot.state)
    with RunLogger("logged", journal=folder.journal) as log:
        log.log_event("seen")
    folder.close()
    joblot.sql("UPDATE run SET batch = 7 WHERE run_id = 'logged'")
    assert joblot("recover")[::2] == (0, "")
    assert joblot("show", "logged")[0] == 0
    goes_on(joblot, *RUNS)
