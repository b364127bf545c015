"""The trace of a run: whatever happened in it, no two slices of a row overlap."""

import itertools
import json

import pytest

from joblot.core import events as ev
from joblot.core.model import FanOut, JobSpec
from joblot.reports import trace as module
from joblot.reports.report import Report
from joblot.reports.trace import trace
from joblot.reports.view import RunView
from joblot.testing import simulate
from simulation.cases import case_from
from simulation.test_seeds import WORLDS
from unit.reports.test_forms import made


def events(report):
    return json.loads(b"".join(trace(report)))["traceEvents"]


def check(found):
    """What Perfetto needs: nothing overlaps in a row, each row has a name, each arrow two ends that lie in slices."""
    rows, arrows = {}, {}
    named = {one["tid"] for one in found if one["ph"] == "M" and one["name"] == "thread_name"}
    for one in found:
        assert one["pid"] == 1
        if one["ph"] == "X":
            assert isinstance(one["ts"], int)
            assert one["dur"] >= 0
            rows.setdefault(one["tid"], []).append((one["ts"], one["ts"] + one["dur"]))
        elif one["ph"] in "sf":
            arrows.setdefault(one["id"], []).append(one)
    assert set(rows) == named
    for slices in rows.values():
        slices.sort()
        for (_, stop), (start, _) in itertools.pairwise(slices):
            assert stop <= start, "two slices of a row overlap"
    for start, stop in arrows.values():
        assert (start["ph"], stop["ph"]) == ("s", "f")
        for end in (start, stop):
            assert any(first <= end["ts"] <= last for first, last in rows[end["tid"]])
    counted = [one["args"] for one in found if one["ph"] == "C"]
    assert all(one["running"] >= 0 for one in counted)
    assert not counted or counted[-1]["running"] == 0
    return rows


@pytest.mark.parametrize("world", WORLDS)
def test_nothing_overlaps_in_a_row_of_any_run(world):
    """V7"""
    slices = 0
    for seed in range(60):
        plan, limits, unknown, left_out = case_from(seed)
        run = simulate(plan, seed=seed, limits=limits, faults=WORLDS[world], unknown_actions=unknown, left_out=left_out)
        grown = plan.fresh()
        for record in run.records:
            for event in record.events:
                if isinstance(event, ev.PlanExtended):
                    grown.extend(event.job, event.columns)
        view = RunView(grown.name, len(grown)).apply_all(run.records)
        rows = check(events(Report(grown, view, run_id="r")))
        slices += sum(map(len, rows.values()))
    assert slices > 60


def ran(*spans):
    """A run of one job a span: when each began and how long it took."""
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(len(spans))]
    ends = [ev.AttemptEnded(n, 1, began_s=began, wall_s=took) for n, (began, took) in enumerate(spans)]
    every = list(range(len(spans)))
    end = max(began + took for began, took in spans)
    return made(jobs, [ev.RunStarted("f", len(spans)), ev.AttemptsStarted(every)], [*ends, ev.RunEnded("success", end)])


def test_a_row_is_used_again_as_soon_as_it_is_free():
    found = events(ran((0, 2), (1, 2), (2, 1), (2.5, 1), (3, 1)))
    check(found)
    assert {one["name"]: one["tid"] for one in found if one["ph"] == "X"} == {
        "j0": 1,
        "j1": 2,
        "j2": 1,
        "j3": 3,
        "j4": 1,
    }


def test_attempts_of_one_job_are_joined_by_arrows():
    first = ev.AttemptEnded(0, 1, "exit", "ready", 0.0, 1.0, message="m", reason="exit_code")
    again = [ev.AttemptEnded(0, 2, began_s=1.5, wall_s=0.5), ev.RunEnded("success", 2.0)]
    steps = [[ev.RunStarted("f", 1), ev.AttemptsStarted([0])], [first, ev.AttemptsStarted([0])], again]
    found = events(made([JobSpec(name="a", run="x")], *steps))
    check(found)
    slices = [(one["args"]["attempt"], one["args"]["state"], one["ts"]) for one in found if one["ph"] == "X"]
    assert slices == [(1, "failed", 0), (2, "success", 1_500_000)]
    assert [one["ph"] for one in found if one["ph"] in "sf"] == ["s", "f"]


def test_counters_say_how_many_ran_and_failed():
    found = events(ran((0, 2), (1, 2)))
    assert [(one["ts"], one["args"]["running"]) for one in found if one["ph"] == "C"] == [
        (0, 1), (1_000_000, 2), (2_000_000, 1), (3_000_000, 0),
    ]  # fmt: skip


def test_of_a_very_large_run_each_declaration_has_a_row(monkeypatch):
    monkeypatch.setattr(module, "SLICES", 9)
    monkeypatch.setattr(module, "_POINTS", 10)
    fan = FanOut("rows", {"": [str(n) for n in range(10)]})
    jobs = [JobSpec(name="f-${{ item }}", run="x", fan_out=fan), JobSpec(name="last", run="x")]
    ends = [ev.AttemptEnded(n, 1, began_s=n * 0.5, wall_s=1.0) for n in range(11)]
    begun = [ev.RunStarted("f", 11), ev.AttemptsStarted(list(range(11)))]
    found = events(made(jobs, begun, [*ends, ev.RunEnded("success", 6.0)]))
    check(found)
    names = [one["args"]["name"] for one in found if one["ph"] == "M" and one["name"] == "thread_name"]
    assert names == ["f-*", "last"]
    assert len([one for one in found if one["ph"] == "X"]) <= 9
    assert len([one for one in found if one["ph"] == "C"]) <= 11


def test_a_run_without_jobs_is_a_trace_too():
    found = events(made([], [ev.RunStarted("f", 0), ev.RunEnded("success", 0.0)]))
    assert [one["name"] for one in found] == ["process_name"]
