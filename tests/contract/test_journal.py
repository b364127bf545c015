"""What every journal promises, in memory and on disk, for one process and for several."""

import pytest

from contract.journals import FEW, STARTED, create, exit_code, fill, in_child
from joblot.core import events as ev
from joblot.errors import StateError
from joblot.journal import Request, RunInfo
from joblot.journal.folder import StateFolder
from joblot.journal.memory import MemoryJournal
from joblot.journal.runfile import RunFile
from joblot.journal.sqlite import SqliteJournal


class Reopened:
    """A SQLite journal that is closed and opened again around every call."""

    def __init__(self, path):
        self.path = path

    def __getattr__(self, name):
        def call(*arguments, **options):
            journal = SqliteJournal(self.path)
            try:
                found = getattr(journal, name)(*arguments, **options)
                return iter(list(found)) if name == "records" else found
            finally:
                journal.close()

        return call


@pytest.fixture(params=["memory", "normal", "full", "reopened", "driven"])
def journal(request, tmp_path):
    path = tmp_path / "journal.db"
    match request.param:
        case "memory":
            made = MemoryJournal()
        case "reopened":
            made = Reopened(path)
        case "driven":
            made = SqliteJournal(path)
            (tmp_path / "runs" / "r1").mkdir(parents=True)
            made.attach("r1", RunFile(tmp_path / "runs" / "r1" / "events.jsonl", durability="normal"))
        case durability:
            made = SqliteJournal(path, durability=durability)
    yield made
    made.close()


# --- every journal -----------------------------------------------------------------------------------


def test_what_is_appended_can_be_read(journal):
    written = fill(journal)
    assert [record.seq for record in written] == [1, 3, 5]
    assert list(journal.records("r1")) == written
    assert [record.events for record in journal.records("r1")] == FEW
    assert [record.at for record in journal.records("r1")] == [100.0, 101.0, 102.0]


@pytest.mark.parametrize(("after", "seqs"), [(0, [1, 3, 5]), (1, [3, 5]), (2, [3, 5]), (3, [5]), (5, []), (99, [])])
def test_records_after_a_number(journal, after, seqs):
    fill(journal)
    assert [record.seq for record in journal.records("r1", after)] == seqs


def test_a_run_without_events_has_no_records(journal):
    create(journal)
    assert list(journal.records("r1")) == []


def test_runs_do_not_mix(journal):
    fill(journal)
    create(journal, "r2")
    journal.append("r2", [STARTED], 7.0)
    journal.append("r1", [ev.RunEnded("failed")], 8.0)
    assert [record.seq for record in journal.records("r2")] == [1]
    assert [record.seq for record in journal.records("r1")] == [1, 3, 5, 6]


def test_the_plan_is_kept_as_it_was_given(journal):
    create(journal)
    assert journal.plan("r1") == b'{"name":"b"}'


def test_a_run_id_is_given_once(journal):
    create(journal)
    with pytest.raises(StateError) as caught:
        create(journal)
    assert str(caught.value) == "run `r1` exists already"


def test_runs_are_listed_newest_first(journal):
    for number in (1, 2, 3):
        create(journal, f"r{number}", at=float(number))
    assert [info.run_id for info in journal.runs()] == ["r3", "r2", "r1"]
    assert [info.run_id for info in journal.runs(limit=2)] == ["r3", "r2"]
    assert journal.runs(limit=0) == []


def test_a_run_is_running_until_it_is_summarised(journal):
    create(journal)
    begun = RunInfo(run_id="r1", batch="b", source="/b.yaml", jobs=2, status="running", started_at=100.0)
    assert journal.info("r1") == begun
    journal.summarise("r1", status="failed", ended_at=105.5, counts={"success": 1, "failed": 1})
    ended = journal.info("r1")
    assert (ended.status, ended.ended_at, ended.counts) == ("failed", 105.5, {"success": 1, "failed": 1})
    journal.summarise("r1", status="running", ended_at=None, counts={})
    assert journal.info("r1") == begun
    assert journal.info("r2") is None


def test_requests_are_taken_once_and_in_order(journal):
    create(journal)
    assert journal.requests("r1") == []
    journal.request("r1", "cancel", "ann", 1.0)
    journal.request("r1", "kill", "bob", 2.0)
    assert journal.requests("r1") == [Request("cancel", "ann", 1.0), Request("kill", "bob", 2.0)]
    assert journal.requests("r1") == []
    journal.request("r1", "kill", "ann", 3.0)
    assert journal.requests("r1") == [Request("kill", "ann", 3.0)]


def test_a_request_is_for_one_run(journal):
    create(journal, "r1")
    create(journal, "r2")
    journal.request("r2", "cancel", "ann", 1.0)
    assert journal.requests("r1") == []
    assert journal.requests("r2") == [Request("cancel", "ann", 1.0)]


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal: journal.append("nix", [STARTED], 1.0),
        lambda journal: list(journal.records("nix")),
        lambda journal: journal.plan("nix"),
        lambda journal: journal.summarise("nix", status="failed", ended_at=1.0, counts={}),
        lambda journal: journal.request("nix", "cancel", "ann", 1.0),
        lambda journal: journal.requests("nix"),
    ],
    ids=["append", "records", "plan", "summarise", "request", "requests"],
)
def test_a_run_that_does_not_exist_is_said_to(journal, ask):
    create(journal)
    with pytest.raises(StateError, match=r"^no run `nix` in "):
        ask(journal)


def test_forcing_returns(journal):
    fill(journal)
    journal.force()
    assert len(list(journal.records("r1"))) == 3


# --- two at once ------------------------------------------------------------------------------------
@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def opened(path):
    journal = SqliteJournal(path)
    yield journal
    journal.close()


def test_a_reader_sees_what_was_appended_a_moment_ago(tmp_path):
    """The writer's group has not reached the database yet; the run's own file has it."""
    writer = StateFolder(tmp_path)
    create(writer.journal)
    hold = writer.hold("r1")
    hold.attach(writer.journal, "normal")
    for number, events in enumerate(FEW):
        writer.journal.append("r1", events, float(number))
        reader = StateFolder(tmp_path, read_only=True)
        assert [record.events for record in reader.journal.records("r1")] == FEW[: number + 1]
        reader.close()
    writer.close()
    hold.release()


def test_a_request_of_another_process_arrives(path, opened):
    create(opened)
    assert opened.requests("r1") == []
    other = SqliteJournal(path)
    other.request("r1", "cancel", "ann", 1.0)
    other.close()
    assert opened.requests("r1") == [Request("cancel", "ann", 1.0)]


def test_many_may_make_the_same_journal_at_the_same_moment(tmp_path):
    """K runners in a fresh folder: all get a journal, none is told that it is none."""
    for turn in range(6):
        path = tmp_path / f"{turn}.db"
        children = [in_child(lambda path=path, name=f"r{number}": make_run(path, name)) for number in range(6)]
        assert [exit_code(child) for child in children] == [0] * 6
        journal = SqliteJournal(path, read_only=True)
        assert sorted(info.run_id for info in journal.runs()) == [f"r{number}" for number in range(6)]
        journal.close()


def make_run(path, name):
    journal = SqliteJournal(path)
    create(journal, name)
    journal.append(name, [STARTED], 1.0)
    journal.close()
