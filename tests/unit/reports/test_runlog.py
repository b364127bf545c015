from __future__ import annotations

import json

from joblot.core import events as ev
from joblot.reports.runlog import RunLog

T0 = 1_800_000_000.0


def log_of(*steps, names="abc"):
    records = [ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps)]
    return RunLog("r1", names.__getitem__).apply_all(records)


def events_of(log):
    return [(entry["event_type"], entry["data"]) for entry in log.to_dict()["events"]]


def test_the_head_of_the_log_r35_r38():
    """R35 R38 R40: the keys in their order, the count is that of the events, times are UTC with their zone."""
    log = log_of(
        [ev.RunStarted("f", 0)],
        [ev.Logged("error", "error"), ev.Logged("warning", "warning")],
        [ev.RunEnded("success", 2.5)],
    )
    data = log.to_dict()
    events = data.pop("events")
    assert list(data.items()) == [
        ("run_id", "r1"), ("status", "completed"), ("start_time", "2027-01-15T08:00:00.000Z"), ("end_time", "2027-01-15T08:00:02.000Z"),
        ("duration_ms", 2500), ("event_count", 4), ("error_count", 1), ("warning_count", 1),
    ]  # fmt: skip
    assert data["event_count"] == len(events)


def test_every_event_carries_the_run_id_r36():
    """R36: four keys an event."""
    events = log_of([ev.RunStarted("f", 0)], [ev.Logged("x", data={"a": 1})]).to_dict()["events"]
    assert [list(event) for event in events] == [["run_id", "timestamp", "event_type", "data"]] * 2
    assert events[1] == {"run_id": "r1", "timestamp": "2027-01-15T08:00:01.000Z", "event_type": "x", "data": {"a": 1}}


def test_a_batch_is_told_with_the_names_of_its_jobs_r124():
    """R124: every kind of event of a batch has its entry, and failed jobs are the errors."""
    log = log_of(
        [ev.RunStarted("f", 3), ev.AttemptsStarted([0, 1])],
        [
            ev.AttemptEnded(0, 1, wall_s=0.25),
            ev.AttemptEnded(
                1, 1, "exit", "backing_off", message="exit status 2", reason="exit_code", exit_code=2, delay_s=1.5
            ),
        ],
        [ev.BackoffEnded(1), ev.Logged("note", job=1, attempt=2, message="hi", data={"n": 1})],
        [
            ev.AttemptEnded(1, 2, "crash", "failed", reason="crash", signal=9),
            ev.JobsEnded([2], "skipped", "need_failed", 1),
        ],
        [ev.RunStopping("fail_fast", job=1), ev.RunEnded("failed")],
        [ev.RunResumed(by={"pid": 1})],
    )
    assert events_of(log) == [
        ("run_started", {"run_id": "r1", "jobs": 3}),
        ("attempts_started", {"jobs": ["a", "b"]}),
        ("attempt_ended", {"job": "a", "attempt": 1, "outcome": "ok", "state": "success", "duration_ms": 250}),
        (
            "attempt_ended",
            {
                "job": "b", "attempt": 1, "outcome": "exit", "state": "backing_off", "duration_ms": 0, "reason": "exit_code",
                "message": "exit status 2", "exit_code": 2, "delay_s": 1.5,
            },
        ),
        ("backoff_ended", {"job": "b"}),
        ("note", {"message": "hi", "n": 1, "job": "b", "attempt": 2}),
        (
            "attempt_ended",
            {"job": "b", "attempt": 2, "outcome": "crash", "state": "failed", "duration_ms": 0, "reason": "crash", "signal": 9},
        ),
        ("jobs_ended", {"jobs": ["c"], "state": "skipped", "reason": "need_failed", "cause": "b"}),
        ("run_stopping", {"reason": "fail_fast", "job": "b"}),
        ("run_finished", {"status": "failed", "duration_ms": 4000, "errors": 1}),
        ("run_resumed", {"by": {"pid": 1}}),
    ]  # fmt: skip
    assert (log.status, log.error_count, log.to_dict()["end_time"]) == ("running", 1, None)


def test_the_file_has_one_event_a_line(tmp_path):
    log = log_of([ev.RunStarted("f", 0)], [ev.RunEnded("success")])
    log.write(tmp_path / "new" / "log.json")
    lines = (tmp_path / "new" / "log.json").read_text().splitlines()
    assert lines[:2] == ["{", '  "run_id": "r1",']
    assert json.loads(lines[-3])["event_type"] == "run_finished"
    assert json.loads("\n".join(lines)) == log.to_dict()


def test_a_log_without_events_is_still_json():
    assert RunLog("r1").to_dict()["events"] == []


def test_apply_gives_the_new_entries():
    log = RunLog("r1")
    lines = log.apply(ev.Record(1, T0, [ev.Logged("x"), ev.Logged("y")]))
    assert [json.loads(line)["event_type"] for line in lines] == ["x", "y"]
