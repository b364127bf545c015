"""A report as a table: `report.rows()`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import joblot
from joblot import Batch
from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.reports.report import Report
from joblot.reports.rows import COLUMNS
from joblot.reports.view import RunView

T0 = 1_800_000_000.0
AT = datetime.fromtimestamp(T0, UTC)


def rows_of(jobs, *steps):
    plan = expand(Config(name="b", folder="/b", jobs=jobs))
    records = [ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps)]
    return Report(plan, RunView(plan.name, len(plan)).apply_all(records), run_id="r1").rows()


def by_job(rows):
    return {row["job"]: row for row in rows}


def test_every_row_has_all_columns_and_what_is_not_known_is_none():
    fan = FanOut("rows", {"code": ["a", "b"], "job": [1, 2], "": [True, None]})
    jobs = [
        JobSpec(name="make", run="x", fan_out=fan),
        JobSpec(name="load", function=len, needs=("make-*",)),
        JobSpec(name="last", function=len, needs=("load",)),
    ]
    rows = rows_of(
        jobs,
        [ev.RunStarted("f", 4, by={"host": "here"}), ev.AttemptsStarted([0, 1])],
        [ev.AttemptEnded(0, 1, began_s=0.5, wall_s=0.25, cpu_s=0.125, peak_bytes=7, result=ev.Raw(b'{"n": 3, "job": "x"}'))],
        [ev.AttemptEnded(1, 1, "exit", "failed", 0.75, 1.0, message="m", reason="exit_code", exit_code=2)],
        [ev.JobsEnded([2, 3], "skipped", "need_failed", 1), ev.RunEnded("failed", 3.0)],
    )  # fmt: skip
    assert {tuple(row) for row in rows} == {("code", "item.job", "item", *COLUMNS, "result.n", "result.job")}
    assert rows[0] == {
        "code": "a", "item.job": 1, "item": True, "job": "make-True", "state": "success", "reason": "", "attempts": 1,
        "queued_at": AT, "started_at": AT + timedelta(seconds=0.5), "ended_at": AT + timedelta(seconds=1), "wait_s": 0.5,
        "duration_s": 0.25, "cpu_s": 0.125, "peak_bytes": 7, "read_bytes": None, "written_bytes": None, "exit_code": 0, "signal": None, "host": "here", "log": "",
        "result.n": 3, "result.job": "x",
    } | {"job": rows[0]["job"]}  # fmt: skip
    failed, skipped = rows[1], rows[2]
    assert (failed["state"], failed["reason"], failed["exit_code"], failed["peak_bytes"]) == (
        "failed",
        "exit_code",
        2,
        None,
    )
    unknown = {
        "queued_at",
        "started_at",
        "wait_s",
        "duration_s",
        "cpu_s",
        "peak_bytes",
        "exit_code",
        "host",
        "code",
        "result.n",
    }
    assert {name for name in skipped if skipped[name] is None} >= unknown
    assert (skipped["reason"], skipped["attempts"], skipped["ended_at"]) == (
        "need_failed",
        0,
        AT + timedelta(seconds=3),
    )


def test_a_job_waits_from_the_end_of_its_last_need_on():
    jobs = [JobSpec(name="a", run="x"), JobSpec(name="b", run="x"), JobSpec(name="c", run="x", needs=("a", "b"))]
    rows = rows_of(
        jobs,
        [ev.RunStarted("f", 3), ev.AttemptsStarted([0, 1])],
        [ev.AttemptEnded(0, 1, began_s=0.0, wall_s=1.0)],
        [ev.AttemptEnded(1, 1, began_s=0.0, wall_s=2.0), ev.AttemptsStarted([2])],
        [ev.AttemptEnded(2, 1, began_s=2.5, wall_s=0.5)],
    )
    c = by_job(rows)["c"]
    assert (c["queued_at"], c["wait_s"]) == (AT + timedelta(seconds=2), 0.5)


RUNNING = [ev.RunStarted("f", 1), ev.AttemptsStarted([0])]
FIRST_FAILED = [ev.AttemptEnded(0, 1, "exit", "backing_off", 0.0, 1.0, reason="exit_code", exit_code=1, delay_s=1.0)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([RUNNING], {"state": "running", "attempts": 1, "duration_s": None, "ended_at": None, "exit_code": None}),
        ([RUNNING, FIRST_FAILED], {"state": "backing_off", "duration_s": 1.0, "exit_code": 1, "reason": "exit_code"}),
        (
            [[ev.RunStarted("f", 1), ev.JobsEnded([0], "cached", "up_to_date", results={0: ev.Raw(b"[1]")})]],
            {"state": "cached", "attempts": 0, "duration_s": None, "result": [1], "reason": "up_to_date"},
        ),
        (
            [RUNNING, [ev.AttemptEnded(0, 1, "crashed", "failed", 0.0, 1.0, reason="signal", signal=9)]],
            {"state": "failed", "signal": 9, "exit_code": None},
        ),
        ([[ev.RunStarted("f", 1), ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 1)]], {"state": "success", "host": None}),
        ([[ev.RunStarted("f", 1)]], {"state": "waiting", "attempts": 0, "queued_at": None, "log": ""}),
        (
            [
                [ev.RunStarted("f", 1, settings={"on": "dask"}, by={"host": "h"}), ev.AttemptsStarted([0])],
                [ev.AttemptEnded(0, 1, began_s=0.0, wall_s=1.0)],
            ],
            {"state": "success", "host": None},
        ),
        (
            [
                [ev.RunStarted("f", 1, by={"host": "h"})],
                [ev.RunResumed(by={"host": "other"}, settings={}), ev.AttemptsStarted([0])],
                [ev.AttemptEnded(0, 1, began_s=1.0, wall_s=1.0)],
            ],
            {"state": "success", "host": None},
        ),
        ([[ev.RunStarted("f", 1), ev.JobsEnded([0], "skipped", "not_selected")]], None),
    ],
)  # fmt: skip
def test_rows_of_jobs_in_all_states(steps, expected):
    rows = rows_of([JobSpec(name="a", run="x")], *steps)
    if expected is None:
        assert rows == []
    else:
        assert {name: rows[0][name] for name in expected} == expected


def test_a_row_costs_few_calls(calls):
    """For 100,000 rows in a second a row may take 10 microseconds: there is no room for a look at each job alone."""
    jobs = 10_000
    fan = FanOut("rows", {"n": list(range(jobs)), "code": [f"c{n}" for n in range(jobs)]})
    plan = expand(Config(name="b", folder="/b", jobs=[JobSpec(name="f", run="x", fan_out=fan)]))
    view = RunView(plan.name, jobs)
    view.apply(ev.Record(1, T0, [ev.RunStarted("f", jobs), ev.AttemptsStarted(list(range(jobs)))]))
    ends = [ev.AttemptEnded(n, 1, began_s=1.0, wall_s=1.0, result=ev.Raw(b'{"rows":3}')) for n in range(jobs)]
    view.apply(ev.Record(2, T0 + 5, ends))
    report = Report(plan, view, run_id="r")
    rows = report.rows()
    assert (len(rows), rows[-1]["result.rows"]) == (jobs, 3)
    assert 0 < calls(report.rows) / jobs < 25


def test_frames_are_made_of_rows_as_they_are(tmp_path):
    polars = pytest.importorskip("polars")
    batch = Batch("b", folder=tmp_path)

    def read(number, code):
        if number == 2:
            raise ValueError("cannot read it")
        return {"rows": number}

    items = [{"number": n, "code": f"c{n}"} for n in range(3)]
    params = {"number": "${{ item.number }}", "code": "${{ item.code }}"}
    batch.add("read", read, foreach=items, params=params)
    rows = batch.run(on="inline").rows()
    frame = polars.DataFrame(rows)
    assert frame.filter(polars.col("state") == "success")["result.rows"].to_list() == [0, 1]
    assert frame.columns[:3] == ["number", "code", "job"]
    assert all(row["ended_at"] >= row["started_at"] >= row["queued_at"] for row in rows)
    assert rows[2]["log"].endswith("1.log")


def test_earlier_runs_can_be_opened_and_listed(tmp_path):
    assert joblot.runs(state=tmp_path / "none") == []
    batch = Batch("b", folder=tmp_path)
    batch.command("a", "exit 3")
    first, second = batch.run(on="inline", run_id="first"), batch.run(on="inline", run_id="second")
    state = tmp_path / ".joblot"
    listed = joblot.runs(state=state)
    assert [(row["run"], row["status"], row["jobs"], row["failed"]) for row in listed] == [
        ("second", "failed", 1, 1), ("first", "failed", 1, 1),
    ]  # fmt: skip
    assert joblot.runs(state=state, limit=1) == listed[:1]
    assert joblot.open_run(state=state).rows() == second.rows()
    assert joblot.open_run("first", state=state).rows() == first.rows()
    with pytest.raises(joblot.StateError, match=r"^no run `third` in "):
        joblot.open_run("third", state=state)
