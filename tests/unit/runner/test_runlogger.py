from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.clock import ManualClock
from joblot.errors import JoblotError, JournalWriteError, StateError, UsageError
from joblot.journal.folder import StateFolder
from joblot.journal.memory import MemoryJournal
from joblot.reports.runlog import RunLog
from joblot.runner.runlogger import RunLogger


def read(path):
    return json.loads(Path(path).read_text())


def types(path):
    return [event["event_type"] for event in read(path)["events"]]


def process(run, items):
    run.log_event("processing_started", item_count=len(items))
    for index, item in enumerate(items):
        run.log_item("item_processed", index=index, item=item, length=len(item))
    run.log_event("processing_completed", results_count=len(items))


# --- the log --------------------------------------------------------------------------------------


def test_a_run_of_n_items_has_n_plus_4_events_in_order_r37_r38(tmp_path):
    """R37 R38: run_started, processing_started, item_processed x N, processing_completed, run_finished, all counted."""
    with RunLogger("r1", log=tmp_path / "log.json", clock=ManualClock()) as run:
        process(run, ["a", "bc"])
    log = read(tmp_path / "log.json")
    assert [(event["event_type"], event["data"]) for event in log["events"]] == [
        ("run_started", {"run_id": "r1"}),
        ("processing_started", {"item_count": 2}),
        ("item_processed", {"index": 0, "item": "a", "length": 1}),
        ("item_processed", {"index": 1, "item": "bc", "length": 2}),
        ("processing_completed", {"results_count": 2}),
        ("run_finished", {"status": "completed", "duration_ms": 0, "errors": 0}),
    ]
    assert log["event_count"] == len(log["events"]) == 6


def test_the_log_has_the_documented_keys_r35_r36(tmp_path):
    """R35 R36."""
    RunLogger("r1", log=tmp_path / "log.json").finish()
    log = read(tmp_path / "log.json")
    keys = [
        "run_id",
        "status",
        "start_time",
        "end_time",
        "duration_ms",
        "event_count",
        "error_count",
        "warning_count",
        "events",
    ]
    assert list(log) == keys
    assert all(list(event) == ["run_id", "timestamp", "event_type", "data"] for event in log["events"])
    assert {event["run_id"] for event in log["events"]} == {"r1"}


def test_two_runs_of_the_same_clock_are_equal_byte_by_byte_r49(tmp_path):
    """R49: nothing in the files depends on anything but what was told and the clock."""
    for name in ("one", "two"):
        with RunLogger(
            "r1", log=tmp_path / f"{name}.json", stream=tmp_path / f"{name}.jsonl", clock=ManualClock(), keep=2
        ) as run:
            process(run, ["x", "y", "z"])
            run.log_warning("careful")
    for kind in ("json", "jsonl"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_times_are_utc_and_the_duration_is_monotonic_r40(tmp_path):
    """R40: a clock set back by an hour shows in the times, and not in the duration."""
    clock = ManualClock()
    with RunLogger("r1", log=tmp_path / "log.json", clock=clock):
        clock.advance(1.5)
        clock.jump(-3600)
    log = read(tmp_path / "log.json")
    start, end = (datetime.fromisoformat(log[key]) for key in ("start_time", "end_time"))
    assert start.tzinfo == UTC
    assert (end - start).total_seconds() == 1.5 - 3600
    assert log["duration_ms"] == 1500
    assert log["events"][-1]["data"]["duration_ms"] == 1500


def test_a_duration_of_nothing_is_zero_though_the_clock_went_back_r40(tmp_path):
    """R40."""
    clock = ManualClock()
    with RunLogger("r1", clock=clock) as run:
        clock.jump(-10)
    assert run.summary["duration_ms"] == 0


# --- run ids --------------------------------------------------------------------------------------


def test_ids_are_unique_when_not_given_r39():
    """R39: a thousand executions within a moment have a thousand ids."""
    clock = ManualClock()
    ids = set()
    for _ in range(1000):
        run = RunLogger(clock=clock)
        ids.add(run.run_id)
        run.finish()
    assert len(ids) == 1000


@pytest.mark.parametrize("run_id", ["demo-001", "a", "9", "A.b_c-D", "a..b", "x" * 100])
def test_an_id_is_kept_as_given_r39(run_id):
    """R39."""
    run = RunLogger(run_id)
    assert run.finish()["run_id"] == run_id


@pytest.mark.parametrize(
    ("run_id", "shown"),
    [
        ("../x", "../x"), ("", ""), ("a/b", "a/b"), (".hidden", ".hidden"), ("-x", "-x"), ("a b", "a b"), ("a\n", "a\\n"),
        ("\x1b[31m", "\\x1b[31m"), ("é", "\\xe9"), ("\udce9", "\\udce9"), ("x" * 101, "x" * 101), ("٣", "\\u0663"),
    ],
)  # fmt: skip
def test_unsafe_ids_are_refused_r39(run_id, shown):
    """R39."""
    with pytest.raises(ValueError) as caught:
        RunLogger(run_id)
    assert str(caught.value) == (
        f"run id `{shown}` cannot be used: write at most 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"
    )


# --- errors and warnings --------------------------------------------------------------------------


def test_errors_are_counted_and_say_what_is_known_r41_r43(tmp_path):
    """R41 R43: two errors are two `error` events and a count of two; the run may still complete."""
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        run.log_error("bad row", row=7)
        run.log_error("bad file", {"path": "x"})
    log = read(tmp_path / "log.json")
    assert [(e["event_type"], e["data"]) for e in log["events"][1:3]] == [
        ("error", {"message": "bad row", "row": 7}),
        ("error", {"message": "bad file", "path": "x"}),
    ]
    assert (log["error_count"], log["warning_count"], log["status"]) == (2, 0, "completed")
    assert log["events"][-1]["data"]["errors"] == 2
    assert (run.summary["errors"], run.last_error) == (2, "bad file")


def test_warnings_are_no_errors_r42_r43(tmp_path):
    """R42 R43."""
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        run.log_warning("slow", {"seconds": 3}, host="h")
    log = read(tmp_path / "log.json")
    assert log["events"][1]["data"] == {"message": "slow", "seconds": 3, "host": "h"}
    assert (log["events"][1]["event_type"], log["error_count"], log["warning_count"]) == ("warning", 0, 1)
    assert (run.summary["errors"], run.summary["warnings"]) == (0, 1)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "file not found: a.txt"),
        (PermissionError(13, "Permission denied", "a.txt"), "permission denied: a.txt"),
        (OSError("odd"), "OSError: odd"),
        (JoblotError("as it says"), "as it says"),
        (KeyError("k"), "KeyError: 'k'"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_exception_is_logged_in_one_line(tmp_path, error, message):
    run = RunLogger("r1", log=tmp_path / "log.json")
    run.log_error(error, job="j")
    run.finish("failed")
    assert read(tmp_path / "log.json")["events"][1]["data"] == {
        "message": message,
        "exception": type(error).__name__,
        "job": "j",
    }


# --- whatever is told -----------------------------------------------------------------------------


class Rude:
    def __str__(self):
        raise OSError("no")


def test_anything_can_be_logged(tmp_path):
    """A logger does not fail for what it is told."""
    cycle: list = []
    cycle += [cycle, cycle]
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        run.log_event(
            "plain",
            path=Path("a/b"),
            when=datetime(2026, 1, 2, tzinfo=UTC),
            inf=float("inf"),
            many={1},
            error=ValueError("v"),
        )
        run.log_event(
            "odd \udce9",
            {"caf\udce9": b"\xff".decode(errors="surrogateescape"), "rude": Rude(), (1, 2): [None, 1.5, True]},
        )
        run.log_event("cycle", cycle=cycle)
        run.log_error("bad \udce9 name")
        run.log_warning(Rude())
        run.log_event("event_type", event_type="own", self="own")
    _, plain, odd, loop, error, rude, own, _ = read(tmp_path / "log.json")["events"]
    assert plain["data"] == {"path": "a/b", "when": "2026-01-02T00:00:00Z", "inf": None, "many": [1], "error": "v"}
    assert odd["event_type"] == "odd \\udce9"
    assert odd["data"] == {
        "caf\\udce9": "\\udcff",
        "rude": "<Rude whose text raises OSError>",
        "(1, 2)": [None, 1.5, True],
    }
    assert "[...]" in str(loop["data"])
    assert error["data"] == {"message": "bad \\udce9 name"}
    assert rude["data"] == {"message": "<Rude whose text raises OSError>"}
    assert own["data"] == {"event_type": "own", "self": "own"}


def test_data_is_taken_as_it_is_now(tmp_path):
    data = {"n": [1]}
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        run.log_event("x", data)
        data["n"].append(2)
    assert read(tmp_path / "log.json")["events"][1]["data"] == {"n": [1]}


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=9), st.lists, max_leaves=5),
        max_size=3,
    )
)
def test_whatever_is_told_a_journal_can_keep(data):
    journal = MemoryJournal()
    run = RunLogger("r1", journal=journal)
    run.log_event("x", data)
    run.finish()
    assert [len(record.events) for record in journal.records("r1")] == [1, 1, 1]


# --- finishing ------------------------------------------------------------------------------------


def test_the_summary_r32_r43():
    """R32 R43."""
    run = RunLogger("r1", clock=ManualClock())
    assert run.summary == {
        "run_id": "r1",
        "status": "running",
        "events": 1,
        "errors": 0,
        "warnings": 0,
        "duration_ms": 0,
    }
    assert run.finish() == {
        "run_id": "r1",
        "status": "completed",
        "events": 2,
        "errors": 0,
        "warnings": 0,
        "duration_ms": 0,
    }


def test_only_the_first_finish_counts_r47(tmp_path):
    """R47: exactly one `run_finished`, whatever is called afterwards."""
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        first = run.finish("failed")
    assert run.finish("completed") == first == run.summary
    assert types(tmp_path / "log.json") == ["run_started", "run_finished"]
    assert read(tmp_path / "log.json")["status"] == "failed"


def test_a_finished_run_takes_no_more_events():
    run = RunLogger("r1", keep=2)
    run.log_item("x")
    run.finish()
    for tell in (run.log_event, run.log_item, run.log_error, run.log_warning):
        with pytest.raises(RuntimeError, match=r"^run `r1` is finished and takes no more events$"):
            tell("x")


def test_a_status_that_does_not_exist_is_refused():
    run = RunLogger("r1")
    with pytest.raises(ValueError, match=r"^a run ends as `completed`, `failed` or `cancelled`, not as `done`$"):
        run.finish("done")
    assert run.finish()["status"] == "completed"


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    ("error", "status", "event"),
    [
        (ValueError("x"), "failed", "error"),
        (FileNotFoundError(2, "No such file", "in"), "failed", "error"),
        (KeyboardInterrupt(), "cancelled", "run_stopping"),
        (SystemExit(143), "cancelled", "run_stopping"),
        (SystemExit(3), "failed", "error"),
        (GeneratorExit(), "failed", "error"),
    ],
)
def test_an_exception_anywhere_finishes_the_run_and_goes_on_r47_r50(tmp_path, at, error, status, event):
    """R47 R50: after each number of events, the log has the exception and one `run_finished` at the end."""
    with pytest.raises(type(error)) as caught, RunLogger("r1", log=tmp_path / "log.json") as run:  # noqa: PT012
        for _ in range(at):
            run.log_event("step")
        raise error
    assert caught.value is error
    assert types(tmp_path / "log.json") == ["run_started", *["step"] * at, event, "run_finished"]
    assert read(tmp_path / "log.json")["status"] == status


def test_a_program_that_ends_itself_well_has_completed(tmp_path):
    with pytest.raises(SystemExit), RunLogger("r1", log=tmp_path / "log.json"):
        sys.exit(0)
    assert read(tmp_path / "log.json")["status"] == "completed"


def test_an_exception_that_was_logged_is_not_logged_twice(tmp_path):
    with pytest.raises(OSError), RunLogger("r1", log=tmp_path / "log.json") as run:  # noqa: PT012
        try:
            raise OSError("x")
        except OSError as error:
            run.log_error(error, step="write")
            raise
    assert types(tmp_path / "log.json") == ["run_started", "error", "run_finished"]
    assert read(tmp_path / "log.json")["status"] == "failed"


def test_threads_may_log_at_once(tmp_path):
    with RunLogger("r1", log=tmp_path / "log.json") as run:
        threads = [threading.Thread(target=lambda: [run.log_event("x") for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read(tmp_path / "log.json")["event_count"] == len(types(tmp_path / "log.json")) == 202


# --- signals and real processes -------------------------------------------------------------------

PROGRAM = """
import os, signal, sys, time
from joblot.runner.runlogger import RunLogger
"""


def run_program(tmp_path, text, **options):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


@pytest.mark.parametrize(("number", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGINT", "SIGINT", -signal.SIGINT)])
def test_a_signal_ends_the_run_with_its_log_r47(tmp_path, number, by, code):
    """R47: TERM and Ctrl-C."""
    done = run_program(
        tmp_path,
        f"""
with RunLogger("r1", log="log.json") as run:
    run.log_event("before")
    os.kill(os.getpid(), signal.{number})
    time.sleep(30)
""",
    )
    assert done.returncode == code, done.stderr
    log = read(tmp_path / "log.json")
    assert types(tmp_path / "log.json") == ["run_started", "before", "run_stopping", "run_finished"]
    assert (log["status"], log["events"][2]["data"]) == ("cancelled", {"reason": "cancelled", "by": by})


def test_a_signal_does_not_interrupt_the_writing_of_the_log_r47_r48(tmp_path):
    """R47 R48: a TERM that comes while the log is written takes effect when it is there."""
    done = run_program(
        tmp_path,
        """
class Slow:
    def create(self, *_, **__): pass
    def summarise(self, *_, **__): pass
    def append(self, run_id, events, at):
        if type(events[-1]).__name__ == "RunEnded":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
with RunLogger("r1", log="log.json", journal=Slow()) as run:
    run.log_event("step")
print("not reached")
""",
    )
    assert (done.returncode, done.stdout) == (143, ""), done.stderr
    assert types(tmp_path / "log.json") == ["run_started", "step", "run_finished"]
    assert read(tmp_path / "log.json")["status"] == "completed"


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with RunLogger("r1"):
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_the_program_s_own_handler_is_left_alone():
    own = lambda *_: None  # noqa: E731
    before = signal.signal(signal.SIGTERM, own)
    try:
        with RunLogger("r1"):
            assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_it_works_outside_of_the_main_thread(tmp_path):
    def work():
        with RunLogger("r1", log=tmp_path / "log.json") as run:
            run.log_event("x")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert types(tmp_path / "log.json") == ["run_started", "x", "run_finished"]


def test_a_run_that_nobody_finished_is_failed_at_exit_r47(tmp_path):
    """R47: without `with` and without `finish`, also after an exception."""
    done = run_program(
        tmp_path,
        """
run = RunLogger("r1", log="log.json")
raise SystemExit(7)
""",
    )
    assert done.returncode == 7
    log = read(tmp_path / "log.json")
    assert log["status"] == "failed"
    assert log["events"][1]["data"] == {"message": "the program ended without finishing the run"}
    assert types(tmp_path / "log.json") == ["run_started", "error", "run_finished"]


def test_a_forked_child_does_not_finish_its_parent_s_run(tmp_path):
    done = run_program(
        tmp_path,
        """
run = RunLogger("r1", log="log.json")
child = os.fork()
if not child:
    sys.exit(0)
os.waitpid(child, 0)
print(os.path.exists("log.json"))
run.finish()
""",
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
    assert read(tmp_path / "log.json")["status"] == "completed"


def test_a_kill_leaves_no_half_log_and_a_stream_of_whole_lines_r48_r127(tmp_path):
    """R48 R127: after kill -9 there is no log file, and the stream tells everything up to there."""
    done = run_program(
        tmp_path,
        """
with RunLogger("r1", log="log.json", stream="log.jsonl") as run:
    for n in range(100):
        run.log_event("step", n=n)
    os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["log.jsonl"]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event_type"] for line in lines] == ["run_started"] + ["step"] * 100


# --- files that cannot be written -----------------------------------------------------------------


def test_a_log_that_cannot_be_written_is_an_error_before_any_work_r48(tmp_path):
    """R48: one clear line, and an exit code that is not 0."""
    (tmp_path / "file").touch()
    for path, why in ((tmp_path / "file" / "x.json", "not a directory"), (tmp_path, "is a directory")):
        for option in ("log", "stream"):
            with pytest.raises(UsageError) as caught:
                RunLogger("r1", **{option: path})
            assert (str(caught.value), caught.value.exit_code) == (f"cannot write `{path}`: {why}", 2)


def test_a_log_that_can_no_longer_be_written_is_an_error_at_the_end_r48(tmp_path):
    """R48: the run counts as finished, and a program's own exception comes first."""
    folder = tmp_path / "logs"

    def spoil():
        folder.rmdir()
        folder.touch()

    message = f"cannot write `{folder}/log.json`: not a directory"
    with pytest.raises(JoblotError) as caught, RunLogger("r1", log=folder / "log.json") as run:
        spoil()
    assert str(caught.value) == message
    assert run.summary["status"] == "completed"
    folder.unlink()
    with pytest.raises(ZeroDivisionError) as own, RunLogger("r1", log=folder / "log.json"):  # noqa: PT012
        spoil()
        1 / 0
    assert own.value.__notes__ == [message]


def test_the_log_goes_where_it_was_meant_to_go_though_the_program_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunLogger("r1", log="log.json"):
        (tmp_path / "else").mkdir()
        os.chdir("else")
    assert read(tmp_path / "log.json")["run_id"] == "r1"


def test_a_stream_on_a_full_disk_is_told_once_and_the_log_is_written_r48(tmp_path):
    """R48."""
    with pytest.raises(JoblotError) as caught:
        RunLogger("r1", stream="/dev/full")
    assert str(caught.value) == "cannot write the stream of run `r1`: no space left on device"


class FullDisk(MemoryJournal):
    """A journal whose disk is full from the third event on."""

    def append(self, run_id, events, at):
        if sum(len(record.events) for record in self.records(run_id)) >= 2:
            raise JournalWriteError("the disk is full")
        return super().append(run_id, events, at)


def test_a_journal_that_fails_is_told_once_and_the_log_is_written_r47(tmp_path):
    """R47: a failing journal ends the block as any error does."""
    with pytest.raises(JournalWriteError), RunLogger("r1", log=tmp_path / "log.json", journal=FullDisk()) as run:  # noqa: PT012
        run.log_event("first")
        run.log_event("second")
    assert types(tmp_path / "log.json") == ["run_started", "first", "second", "error", "run_finished"]
    assert read(tmp_path / "log.json")["events"][3]["data"]["message"] == "the disk is full"


# --- watching -------------------------------------------------------------------------------------


def test_verbose_prints_each_event_when_it_happens_r44(capsys):
    """R44: each line is there before the next event, on stdout."""
    run = RunLogger("r1", verbose=True, clock=ManualClock())
    assert capsys.readouterr().out == '2027-01-15T08:00:00.000Z run_started {"run_id":"r1"}\n'
    run.log_warning("careful", n=1)
    assert capsys.readouterr().out == '2027-01-15T08:00:00.000Z warning {"message":"careful","n":1}\n'
    run.finish()
    assert (
        capsys.readouterr().out
        == '2027-01-15T08:00:00.000Z run_finished {"status":"completed","duration_ms":0,"errors":0}\n'
    )


def test_events_may_be_shown_elsewhere_and_cannot_drive_the_terminal():
    """D6 I15"""
    screen = io.StringIO()
    with RunLogger("r1", verbose=screen, clock=ManualClock()) as run:
        run.log_event("x\x1b[31m", text="\x9b31mred\x7f")
    assert screen.getvalue().splitlines()[1] == '2027-01-15T08:00:00.000Z x {"text":"red"}'


def test_a_screen_without_accents_gets_escapes():
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with RunLogger("r1", verbose=screen) as run:
        run.log_event("été")
    assert b"\\xe9t\\xe9 {}" in screen.buffer.getvalue()


def test_nobody_watching_any_more_does_not_end_the_run_r44(tmp_path):
    """R44: `| head` closes the pipe."""
    reader, writer = os.pipe()
    screen = os.fdopen(writer, "w", buffering=1)
    with RunLogger("r1", log=tmp_path / "log.json", verbose=screen) as run:
        os.close(reader)
        run.log_event("x")
    with pytest.raises(BrokenPipeError):
        screen.close()
    assert types(tmp_path / "log.json") == ["run_started", "x", "run_finished"]


# --- many items -----------------------------------------------------------------------------------


def test_items_are_thinned_and_all_errors_are_kept_r51(tmp_path):
    """R51: each tenth item, every error and warning, and exact counts of what was left out."""
    with RunLogger("r1", log=tmp_path / "log.json", keep=10) as run:
        for index in range(95):
            run.log_item("item_processed", index=index)
            if index % 30 == 7:
                run.log_error("bad", index=index)
                run.log_warning("odd", index=index)
    log = read(tmp_path / "log.json")
    items = [event["data"]["index"] for event in log["events"] if event["event_type"] == "item_processed"]
    assert items == list(range(0, 95, 10))
    assert (log["error_count"], log["warning_count"]) == (3, 3)
    assert log["event_count"] == len(log["events"]) == 1 + 10 + 6 + 1 + 1
    assert log["events"][-2]["event_type"] == "items_left_out"
    assert log["events"][-2]["data"] == {"kept": 10, "left_out": 85, "every": 10}


def test_nothing_is_said_of_thinning_when_nothing_was_left_out(tmp_path):
    with RunLogger("r1", log=tmp_path / "log.json", keep=10) as run:
        run.log_item("x")
    assert types(tmp_path / "log.json") == ["run_started", "x", "run_finished"]


@pytest.mark.parametrize("keep", [0, -1])
def test_keep_is_at_least_one_r51(keep):
    """R51."""
    with pytest.raises(ValueError, match=rf"^`keep` must be at least 1, got {keep}$"):
        RunLogger("r1", keep=keep)


def test_memory_and_log_grow_with_what_is_kept_only_r51(tmp_path):
    """R51: a hundred thousand items of which a thousandth is kept take next to nothing."""
    with RunLogger("r1", log=tmp_path / "log.json", stream=tmp_path / "log.jsonl", keep=1000) as run:
        run.log_item("item_processed", index=0, item="warm up")
        gc.collect()
        tracemalloc.start()
        for index in range(1, 100_000):
            run.log_item("item_processed", index=index, item="an item of a line", length=17)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 50_000
    assert (tmp_path / "log.json").stat().st_size < 25_000
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == read(tmp_path / "log.json")["event_count"] == 103


# --- the stream -----------------------------------------------------------------------------------


def test_the_stream_has_the_events_of_the_log_as_they_happen_r51(tmp_path):
    """R51."""
    run = RunLogger("r1", log=tmp_path / "log.json", stream=tmp_path / "new" / "log.jsonl")
    run.log_event("x", n=1)
    assert len((tmp_path / "new" / "log.jsonl").read_text().splitlines()) == 2
    run.finish()
    lines = (tmp_path / "new" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == read(tmp_path / "log.json")["events"]


def test_a_stream_goes_on_after_a_line_that_was_cut(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"run_id":"r0"}\n{"run_id":"r0","time')
    RunLogger("r1", stream=tmp_path / "log.jsonl").finish()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines[:2] == ['{"run_id":"r0"}', '{"run_id":"r0","time']
    assert [json.loads(line)["event_type"] for line in lines[2:]] == ["run_started", "run_finished"]


# --- the journal ----------------------------------------------------------------------------------


def test_the_run_is_in_the_journal_with_the_same_events_r52_r124(tmp_path):
    """R52 R124: the log made from the journal's records is the log file."""
    journal = MemoryJournal()
    clock = ManualClock()
    with (  # noqa: PT012
        pytest.raises(ValueError),
        RunLogger("r1", log=tmp_path / "log.json", clock=clock, keep=2, journal=journal, name="demo") as run,
    ):
        process(run, ["a", "b", "c"])
        run.log_warning("careful")
        clock.advance(6)
        raise ValueError("x")
    RunLog("r1").apply_all(journal.records("r1")).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "log.json").read_bytes()
    (info,) = journal.runs()
    assert (info.run_id, info.batch, info.jobs, info.status) == ("r1", "demo", 0, "failed")
    assert info.ended_at - info.started_at == 6


def test_runs_in_a_state_folder_can_be_asked_for_r52(tmp_path):
    """R52: list them, filter by status and by duration, show one."""
    state = StateFolder(tmp_path / "state")
    clock = ManualClock()
    for run_id, seconds, status in (("quick", 1, "completed"), ("slow", 6, "completed"), ("bad", 7, "failed")):
        run = RunLogger(run_id, clock=clock, journal=state.journal)
        clock.advance(seconds)
        run.finish(status)
    infos = state.journal.runs()
    assert {info.run_id for info in infos if info.status == "success"} == {"quick", "slow"}
    assert {info.run_id for info in infos if info.ended_at - info.started_at > 5} == {"slow", "bad"}
    assert RunLog("bad").apply_all(state.journal.records("bad")).to_dict()["status"] == "failed"
    state.close()


def test_an_id_that_the_journal_knows_is_refused(tmp_path):
    journal = MemoryJournal()
    RunLogger("r1", journal=journal).finish()
    with pytest.raises(StateError, match=r"^run `r1` exists already$"):
        RunLogger("r1", stream=tmp_path / "log.jsonl", journal=journal)


class Forgetful(io.TextIOBase):
    def write(self, text):
        return len(text)


@pytest.mark.parametrize("way", ["stream", "verbose", "journal", "state", "stream and verbose", "nothing"])
def test_events_are_kept_only_for_a_log_that_is_written_at_the_end_r51(tmp_path, way):
    """A streaming logger kept every event; what is in the stream need not be kept."""
    where = {}
    if "stream" in way:
        where["stream"] = tmp_path / "l.jsonl"
    if "verbose" in way:
        where["verbose"] = Forgetful()
    with contextlib.ExitStack() as stack:
        if way == "state":
            where["state"] = tmp_path / "state"
        if way == "journal":
            where["journal"] = stack.enter_context(contextlib.closing(StateFolder(tmp_path / "state").journal))
        run = stack.enter_context(RunLogger("big", **where))
        run.log_event("row", n=0)
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(3000):
                run.log_event("row", n=number, text="x" * 100)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    # An entry has more than 200 bytes; the database of a state folder takes up to 512 at once.
    assert kept < (400_000 if way == "state" else 150_000)
    assert run.summary["events"] == 3003
    if "stream" in way:
        assert len((tmp_path / "l.jsonl").read_bytes().splitlines()) == 3003
