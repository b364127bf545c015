"""A disk without room while a run goes on: it waits, goes on, or ends with one line; nothing recorded is lost."""

import json
import os
import resource
import signal
from contextlib import suppress

import pytest

from contract.journals import exit_code, in_child
from joblot.clock import ManualClock
from joblot.core.limits import Limits
from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.errors import JournalWriteError, StateError
from joblot.journal.folder import StateFolder
from joblot.journal.memory import MemoryJournal
from joblot.journal.runfile import read_rows
from joblot.runner.engine import Engine
from joblot.runner.launch import resume_run, start_run
from joblot.runner.options import Options
from joblot.testing import ScriptedExecutor, declare

JOBS = "a; b needs a; c needs b; d; e needs d"


class Full:
    """A journal that cannot write from the n-th append on, some times."""

    def __init__(self, journal, first, times):
        self._journal = journal
        self._calls = 0
        self.failing = range(first, first + times)

    def append(self, run_id, events, at):
        self._calls += 1
        if self._calls in self.failing:
            raise JournalWriteError("cannot write to `events.jsonl`: no space left on device")
        return self._journal.append(run_id, events, at)

    def __getattr__(self, name):
        return getattr(self._journal, name)


class Listener:
    def __init__(self):
        self.warnings = []
        self.records = []

    def recorded(self, record):
        self.records.append(record)

    def warned(self, message):
        self.warnings.append(message)

    def started(self, run_id, view): ...
    def idle(self): ...
    def ended(self, status): ...


def prepared(first, times, *, disk_wait_s=60.0):
    plan, clock = expand(declare(JOBS)), ManualClock()
    journal = MemoryJournal()
    journal.create("r1", batch="b", source="", jobs=len(plan), plan=plan.encoded, at=0.0)
    state, executor, listener = RunState(plan, Limits(slots=2)), ScriptedExecutor(plan, clock), Listener()
    full = Full(journal, first, times)
    engine = Engine(
        run_id="r1",
        state=state,
        journal=full,
        executor=executor,
        clock=clock,
        began_at=None,
        observers=[listener],
        disk_wait_s=disk_wait_s,
    )
    return engine, state, executor, listener, journal


WAITS = "cannot write to `events.jsonl`: no space left on device: starting nothing, trying again for 60 s"


@pytest.mark.parametrize("first", range(1, 5))
@pytest.mark.parametrize("times", [1, 3, 9])
def test_a_run_waits_for_room_and_goes_on(first, times):
    """G6: the facts of the decision are kept and recorded once there is room; nothing starts before."""
    engine, state, executor, listener, journal = prepared(first, times)
    assert engine.drive(state.start(0.0, 2)) == "success"
    assert listener.warnings[0] == WAITS
    assert listener.warnings[1].startswith("the journal takes facts again, after ")
    assert listener.warnings[1].endswith(" s: going on")
    assert list(journal.records("r1")) == listener.records
    assert sorted(executor.started) == [(name, 1) for name in "abcde"]


def test_a_disk_that_stays_full_ends_the_run_after_the_wait():
    """G6: the error is the write's own; what was not recorded was not begun."""
    engine, state, executor, listener, journal = prepared(2, 10**6)
    clock = engine._clock
    began = clock.now()
    with pytest.raises(JournalWriteError) as caught:
        engine.drive(state.start(0.0, 2))
    assert str(caught.value) == "cannot write to `events.jsonl`: no space left on device"
    assert listener.warnings == [WAITS]
    assert 60.0 <= clock.now() - began < 70.0
    assert len(list(journal.records("r1"))) == 1
    assert sorted(executor.started) == [("a", 1), ("d", 1)]


def test_without_a_wait_the_first_failed_write_ends_the_run():
    engine, state, _, listener, _ = prepared(2, 1, disk_wait_s=0.0)
    with pytest.raises(JournalWriteError):
        engine.drive(state.start(0.0, 2))
    assert listener.warnings == []


def plan_in(folder, count, run="true"):
    return expand(Config(name="b", folder=str(folder), jobs=[JobSpec(name=f"j{n}", run=run) for n in range(count)]))


class Limiting(Listener):
    """Lets no file of this process grow any more once a few records are there."""

    def __init__(self, events):
        super().__init__()
        self._events = events

    def recorded(self, record):
        super().recorded(record)
        if len(self.records) == 5:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._events.stat().st_size + 1000, resource.RLIM_INFINITY))


def test_a_real_file_that_cannot_grow_ends_the_run_and_a_resume_does_the_rest(tmp_path):
    """G6: with a limit on the size of files, in a process of its own; nothing with a recorded success runs again."""
    plan, state = plan_in(tmp_path, 40), tmp_path / "state"
    events = state / "runs" / "r1" / "events.jsonl"

    def run():
        listener = Limiting(events)
        with pytest.raises(JournalWriteError) as caught:
            start_run(plan, Options(state=state, run_id="r1", on="inline", disk_wait_s=0.2), observers=[listener])
        assert str(caught.value) == f"cannot write to `{events}`: file too large"
        assert listener.warnings == [f"{caught.value}: starting nothing, trying again for 0.2 s"]
        os._exit(4)

    assert exit_code(in_child(run)) == 4
    before = [row[2] for row, _ in read_rows(events)]
    report = resume_run("r1", Options(state=state, on="inline"))
    assert (report.status, report.counts["success"]) == ("success", 40)
    rows = [row[2] for row, _ in read_rows(events)]
    assert rows[: len(before)] == before
    assert sum(b'"run_resumed"' in row for row in rows) == 1
    well = [
        event["job"]
        for row in rows
        for event in json.loads(row)
        if event.get("outcome", "ok") == "ok" and "job" in event
    ]
    assert sorted(well) == list(range(40))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_real_disk_that_gets_room_again(tmp_path):
    """G6: a tmpfs of 1 MB, filled up by somebody else and emptied while the run waits."""
    import subprocess
    import threading
    import time

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    ballast = disk / "ballast"
    listener = Listener()

    def fill(record):
        listener.records.append(record)
        if len(listener.records) == 3 and not ballast.exists():
            try:
                with ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 512)
            except OSError:
                threading.Thread(target=empty).start()

    def empty():
        until = time.monotonic() + 30
        while not listener.warnings and time.monotonic() < until:
            time.sleep(0.01)
        ballast.unlink()

    watcher = Listener()
    watcher.recorded, watcher.warned = fill, listener.warned
    try:
        plan = plan_in(tmp_path, 120)
        report = start_run(
            plan, Options(state=disk / "state", run_id="r1", on="inline", disk_wait_s=30.0), observers=[watcher]
        )
        assert (report.status, report.counts["success"]) == ("success", 120)
        assert "no space left on device: starting nothing, trying again for 30 s" in listener.warnings[0]
        assert listener.warnings[1].endswith(" s: going on")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB, and what fills it."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")

    def fill():
        file = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while os.write(file, b"x" * 512):
                pass
        os.close(file)

    yield disk, fill
    subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("read_meanwhile", [False, True])
def test_a_disk_that_is_full_before_anything_begins(tmp_path, small_disk, read_meanwhile):
    """One error that says what may take the room: a job that filled the disk and failed has left its outputs in its run's folder."""
    disk, fill = small_disk
    state = disk / "state"
    start_run(plan_in(tmp_path, 2), Options(state=state, run_id="r0", on="inline"))
    reader = StateFolder(state, read_only=True) if read_meanwhile else None
    if reader:
        assert [info.run_id for info in reader.journal.runs()] == ["r0"]
    fill()
    with pytest.raises(StateError) as caught:
        start_run(plan_in(tmp_path, 2), Options(state=state, run_id="r1", on="inline"))
    # Memory that a reader shares is there for all, and so it is the run's folder for which there is no room.
    where = f"cannot write to `{state}/runs/r1" if reader else f"cannot use journal `{state}/journal.db"
    assert str(caught.value).startswith(where)
    assert str(caught.value).endswith("`: no space left on device")
    hint = f"make room on that disk; what failed attempts have left is in `{state}/runs/*/partial`"
    assert (caught.value.hint, caught.value.exit_code) == (hint, 4)
    if reader:
        reader.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ls",), "r0  "),
        (("show",), "Run r0 of b\n"),
        (("show", "r0", "--json"), '"run_id": "r0"'),
        (("logs", "j0"), "hello\n"),
        (("explain", "j0"), "j0: success\n"),
        (("ls", "--status", "success"), "r0  "),
    ],
)
def test_who_only_looks_needs_no_room(tmp_path, small_disk, capfd, words, told):
    """In the morning after a night that filled the disk, for it said `disk I/O error`."""
    from joblot.__main__ import main

    disk, fill = small_disk
    state = disk / "state"
    start_run(plan_in(tmp_path, 1, "echo hello"), Options(state=state, run_id="r0", on="inline"))
    fill()
    assert main([*words, "--state", str(state)]) == 0
    out, err = capfd.readouterr()
    assert told in out
    assert err == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_to_clear_up_needs_no_room(tmp_path, small_disk, capfd):
    """It is what makes room: nothing can be written before some files are gone."""
    from joblot.__main__ import main

    disk, fill = small_disk
    state = disk / "state"
    for number in range(3):
        start_run(plan_in(tmp_path, 1, "echo hello"), Options(state=state, run_id=f"r{number}", on="inline"))
    (state / "runs/r0/partial").mkdir()
    (state / "runs/r0/partial/dump").write_bytes(bytes(200_000))
    fill()
    assert main(["prune", "--keep", "1", "--state", str(state)]) == 0
    assert capfd.readouterr().err == ""
    assert main(["ls", "--state", str(state)]) == 0
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines()] == ["RUN", "r2"]
    assert sorted(path.name for path in (state / "runs").iterdir()) == ["r2"]
    assert not [path.name for path in state.iterdir() if path.name.startswith("pruned-")]
    start_run(plan_in(tmp_path, 1), Options(state=state, run_id="r3", on="inline"))
