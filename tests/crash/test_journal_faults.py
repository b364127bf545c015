"""The n-th write fails, for every n until none does: after each, another process resumes what was recorded."""

import pytest

from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import STATES, Config, JobSpec
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.errors import JournalWriteError
from joblot.journal.folder import StateFolder
from joblot.journal.memory import MemoryJournal
from joblot.runner.engine import Engine
from joblot.runner.launch import resume_run
from joblot.runner.options import Options
from joblot.testing import Referee, ScriptedExecutor, declare

PIPELINE = (
    "fetch max_attempts=3 delay=1; parse needs fetch; stats needs parse; index needs parse cpu=2;"
    " broken needs fetch max_attempts=2; behind needs broken; alert needs broken when=failure;"
    " report needs stats, index, behind when=always reads=stats; slow timeout=5 needs fetch; once needs fetch once=yes"
)
SCRIPT = {"fetch": ["exit", "ok"], "broken": ["error"], "slow": ["hang"]}
EXPECTED = {
    "fetch": "success", "parse": "success", "stats": "success", "index": "success", "broken": "failed", "behind": "skipped",
    "alert": "success", "report": "success", "slow": "failed", "once": "success",
}  # fmt: skip


class Failing:
    """A journal whose n-th append cannot be written: nothing of it is recorded."""

    def __init__(self, journal, fail_at):
        self._journal = journal
        self.left = fail_at

    def append(self, run_id, events, at):
        self.left -= 1
        if self.left == 0:
            raise JournalWriteError("cannot write to the journal: database or disk is full")
        return self._journal.append(run_id, events, at)

    def __getattr__(self, name):
        return getattr(self._journal, name)


class Judge:
    """An observer that hands every record to a referee."""

    def __init__(self, referee, executor):
        self._referee = referee
        self._executor = executor

    def recorded(self, record):
        self._referee.recorded(record.events, self._executor.capacity)

    def started(self, run_id, view): ...
    def idle(self): ...
    def warned(self, message): ...
    def ended(self, status): ...


class Process:
    """One process that drives the run until its end or the failing write."""

    def __init__(self, plan, journal, referee, clock, *, script=SCRIPT):
        self.state = RunState(plan, Limits(slots=2))
        self.executor = ScriptedExecutor(plan, clock, script, results={"stats": {"rows": 3}})
        self.recorded = [event for record in journal.records("r1") for event in record.events]
        for event in self.recorded:
            self.state.apply(event)
        self._clock = clock
        self._engine = Engine(
            run_id="r1",
            state=self.state,
            journal=journal,
            executor=self.executor,
            clock=clock,
            began_at=clock.wall(),
            observers=[Judge(referee, self.executor)],
        )

    def drive(self):
        begin = self.state.resume if self.recorded else self.state.start
        return self._engine.drive(begin(self._clock.now(), self._engine.capacity))


def successes(journal):
    return {
        event.job
        for record in journal.records("r1")
        for event in record.events
        if getattr(event, "state", "") == "success"
    }


def final_states(plan, state):
    return {plan.name(job): STATES[state.states[job]] for job in range(len(plan))}


def create(journal, plan):
    journal.create("r1", batch="b", source="", jobs=len(plan), plan=plan.encoded, at=0.0)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """Makes a journal with a run in it; the same one each time it is asked for by the same number."""
    opened = []

    def make(number, plan):
        if request.param == "memory":
            journal = MemoryJournal()
        else:
            folder = StateFolder(tmp_path / str(number))
            opened.append(folder)
            journal = folder.journal
        create(journal, plan)
        return journal

    yield make
    for folder in opened:
        folder.close()


def test_a_run_without_a_fault_ends_as_expected():
    plan, clock, journal = expand(declare(PIPELINE)), ManualClock(), MemoryJournal()
    create(journal, plan)
    process = Process(plan, journal, Referee(plan, Limits(slots=2)), clock)
    assert process.drive() == "failed"
    assert final_states(plan, process.state) == EXPECTED
    assert process.executor.values["report"]["params"] == {"value": {"rows": 3}}


def test_whichever_write_fails_the_engine_raises_and_a_resume_does_exactly_the_rest(store):
    """R130, G1, G2, G6: same final states; nothing with a recorded success runs again; nothing ran that was not recorded."""
    fail_at = 0
    while True:
        fail_at += 1
        plan, clock = expand(declare(PIPELINE)), ManualClock()
        journal, referee = store(fail_at, plan), Referee(plan, Limits(slots=2))
        first = Process(plan, Failing(journal, fail_at), referee, clock)
        try:
            first.drive()
        except JournalWriteError as error:
            said = str(error)
        else:
            break
        assert said == "cannot write to the journal: database or disk is full"
        started = [
            event
            for record in journal.records("r1")
            for event in record.events
            if isinstance(event, ev.AttemptsStarted)
        ]
        assert len(first.executor.started) == sum(len(event.jobs) for event in started)

        done = successes(journal)
        script = SCRIPT | {"fetch": ["ok"]} if first.state.failed_tries.get(0) else SCRIPT
        second = Process(plan, journal, referee, clock, script=script)
        second.drive()
        assert not {name for name, _ in second.executor.started} & {plan.name(job) for job in done}
        states = final_states(plan, second.state)
        unknown = states["once"] == "failed"
        assert states == EXPECTED | ({"once": "failed"} if unknown else {})
        assert not unknown or "once" in {name for name, _ in first.executor.started}
    assert fail_at > 8


def test_every_process_may_meet_a_fault():
    """Each process gets two writes further than the one before it; the end is the same."""
    plan, clock, journal = expand(declare(PIPELINE.replace(" once=yes", ""))), ManualClock(), MemoryJournal()
    create(journal, plan)
    referee = Referee(plan, Limits(slots=2))
    for _ in range(60):
        process = Process(plan, Failing(journal, 3), referee, clock, script=SCRIPT | {"fetch": ["ok"]})
        if process.state.ended:
            break
        try:
            process.drive()
        except JournalWriteError:
            continue
    assert final_states(plan, process.state) == EXPECTED


def test_a_full_database_under_the_engine_is_one_error_and_the_run_goes_on_later(tmp_path):
    """G6: a real SQLite journal with a limit on its pages; after the limit is lifted a resume ends the run."""
    for more in range(6):
        folder = StateFolder(tmp_path / str(more))
        plan = expand(declare("; ".join(f"j{number}" for number in range(400))))
        create(folder.journal, plan)
        pages = folder.journal._db.execute("PRAGMA page_count").fetchone()[0] + more
        folder.journal._db.execute(f"PRAGMA max_page_count={pages}")
        clock, referee = ManualClock(), Referee(plan, Limits(slots=2))
        with pytest.raises(JournalWriteError) as caught:
            Process(plan, folder.journal, referee, clock).drive()
        assert str(caught.value) == f"cannot write to journal `{folder.path / 'journal.db'}`: database or disk is full"
        done = successes(folder.journal)
        folder.journal._db.execute("PRAGMA max_page_count=100000")
        second = Process(plan, folder.journal, referee, clock)
        assert second.drive() == "success"
        assert not {name for name, _ in second.executor.started} & {plan.name(job) for job in done}
        folder.close()


@pytest.mark.parametrize("reason", ["cancelled", "fail_fast"])
def test_a_runner_killed_while_it_stopped_leaves_a_run_that_resume_finishes(tmp_path, reason):
    """R130, G2: the stop was of that process; a person who resumes wants the rest, not the rest of the stop."""
    plan = expand(Config(name="b", folder=str(tmp_path), jobs=[JobSpec(name=name, run="true") for name in "abc"]))
    folder = StateFolder(tmp_path / "state")
    create(folder.journal, plan)
    hold = folder.hold("r1")
    hold.attach(folder.journal, "normal")
    state = RunState(plan, Limits(slots=1))
    for decision in (state.start(0.0, 1), state.stop(reason, 1.0, 1)):
        folder.journal.append("r1", decision.events, 1.0)
    folder.close()
    hold.release()
    report = resume_run("r1", Options(state=folder.path, on="inline"))
    assert (report.status, report.counts["success"]) == ("success", 3)


@pytest.mark.parametrize("kept", [0, 1], ids=["before the first record", "after it"])
def test_a_run_killed_before_its_first_record_begins_when_it_is_resumed(tmp_path, kept):
    """R130, G2: its events begin with `run_started`, as those of any run, and only once."""
    plan = expand(Config(name="b", folder=str(tmp_path), jobs=[JobSpec(name="a", run="true")]))
    folder = StateFolder(tmp_path / "state")
    create(folder.journal, plan)
    hold = folder.hold("r1")
    hold.attach(folder.journal, "normal", plan=plan.encoded)
    if kept:
        folder.journal.append("r1", RunState(plan, Limits(slots=1)).start(0.0, 1).events, 1.0)
    folder.close()
    hold.release()
    report = resume_run("r1", Options(state=folder.path, on="inline"))
    assert report.status == "success"
    reader = StateFolder(folder.path, read_only=True)
    kinds = [type(event).__name__ for record in reader.journal.records("r1") for event in record.events]
    reader.close()
    assert kinds.count("RunStarted") == 1
    assert kinds.count("RunResumed") == kept
    assert kinds[0] == "RunStarted"


def test_a_damaged_file_is_told_of_when_the_run_goes_on(tmp_path):
    """G6: one warning, with the name under which the old file is kept."""
    plan = expand(Config(name="b", folder=str(tmp_path), jobs=[JobSpec(name="a", run="true")]))
    folder = StateFolder(tmp_path / "state")
    create(folder.journal, plan)
    hold = folder.hold("r1")
    hold.attach(folder.journal, "normal", plan=plan.encoded)
    folder.journal.append("r1", RunState(plan, Limits(slots=1)).start(0.0, 1).events, 1.0)
    folder.close()
    hold.release()
    file = hold.folder.events
    file.write_bytes(b"?" + file.read_bytes()[1:])
    warned = []

    class Listener(Judge):
        def __init__(self): ...
        def recorded(self, record): ...
        def warned(self, message):
            warned.append(message)

    assert resume_run("r1", Options(state=folder.path, on="inline"), observers=[Listener()]).status == "success"
    (aside,) = file.parent.glob("events.jsonl.damaged-*")
    assert warned == [f"the run's own `events.jsonl` was damaged; it was made again, the old one is kept as `{aside}`"]
