"""Forecasts from earlier runs."""

import msgspec
import pytest

from joblot.api import Batch, run
from joblot.cli.forecast import forecast


def noop():
    return None


def batch(name, *chains):
    made = Batch(name)
    for chain in chains:
        before = []
        for job in chain:
            made.add(job, noop, needs=before)
            before = [job]
    return made


@pytest.fixture
def state(tmp_path):
    """A state folder with a run of `nightly` in which a took 2 s, b 4 s, and c failed after 100 s."""
    run(batch("nightly", "ab", "c"), on="inline", state=tmp_path / "state", run_id="r1")
    report = tmp_path / "state/runs/r1/report.json"
    made = [
        {"job": "a", "status": "success", "duration_ms": 2000},
        {"job": "b", "status": "success", "duration_ms": 4000},
    ]
    made.append({"job": "c", "status": "failed", "duration_ms": 100_000})
    lines = ",\n    ".join(msgspec.json.encode(one).decode() for one in made)
    report.write_text(f'{{\n  "run_id": "r1",\n  "results": [\n    {lines}\n  ]\n}}\n')
    return str(tmp_path / "state")


def test_the_longest_chain_and_the_work_divided_by_the_workers(state):
    found = forecast(batch("nightly", "ab").plan(), state, 2)
    assert (found.known, found.path, found.path_s, found.total_s) == (2, [0, 1], 6.0, 6.0)


def test_jobs_that_are_not_known_are_taken_for_average_ones(state):
    found = forecast(batch("nightly", "ab", "c", "d", "e", "f").plan(), state, 2)
    assert (found.known, found.path_s, found.total_s) == (2, 6.0, 10.0)  # what is ready first begins first


def test_there_is_none_without_an_earlier_run_of_that_name(state, tmp_path):
    assert forecast(batch("other", "ab").plan(), state, 2) is None
    assert forecast(batch("nightly", "xy").plan(), state, 2) is None
    assert forecast(batch("nightly").plan(), state, 2) is None
    assert forecast(batch("nightly", "ab").plan(), str(tmp_path / "nothing"), 2) is None


@pytest.mark.parametrize("cut", [-4, 60, 0])
def test_a_report_that_is_cut_short_is_not_asked(state, tmp_path, cut):
    report = tmp_path / "state/runs/r1/report.json"
    report.write_bytes(report.read_bytes()[:cut])
    assert forecast(batch("nightly", "ab").plan(), state, 2) is None


def test_the_report_that_a_run_writes_can_be_read(tmp_path):
    plan = batch("nightly", "ab").plan()
    run(batch("nightly", "ab"), on="inline", state=tmp_path / "state")
    assert forecast(plan, str(tmp_path / "state"), 2).known == 2


def test_a_state_folder_that_cannot_be_read_does_not_matter(tmp_path):
    (tmp_path / "journal.db").write_text("not a database")
    assert forecast(batch("nightly", "ab").plan(), str(tmp_path), 2) is None


def write_report(state, run_id, jobs, *, workers=2, on="local"):
    """A run of `nightly` of which the report says this: by name seconds, or a mapping of what is said."""
    run(batch("nightly", *jobs), on="inline", state=state, run_id=run_id)
    said = {name: one if isinstance(one, dict) else {"duration_ms": one * 1000} for name, one in jobs.items()}
    lines = [
        msgspec.json.encode({"job": name, "status": "success", "duration_ms": 1000} | one).decode()
        for name, one in said.items()
    ]
    text = ",\n    ".join(lines)
    (state / f"runs/{run_id}/report.json").write_text(
        f'{{\n  "run_id": "{run_id}",\n  "on": "{on}",\n  "workers": {workers},\n  "results": [\n    {text}\n  ]\n}}\n'
    )


def test_of_several_runs_the_median_counts(tmp_path):
    for number, seconds in enumerate((90, 4, 6)):
        write_report(tmp_path, f"r{number}", {"a": seconds, "b": 1})
    found = forecast(batch("nightly", "a", "b").plan(), str(tmp_path), 2)
    assert (found.runs, found.total_s) == (["r2", "r1", "r0"], 6.0)


def test_a_job_that_the_last_run_did_not_have_is_known_from_an_earlier_one(tmp_path):
    write_report(tmp_path, "r0", {"a": 4, "b": 7})
    write_report(tmp_path, "r1", {"a": 4, "b": {"status": "cached"}})
    assert forecast(batch("nightly", "a", "b").plan(), str(tmp_path), 1).total_s == 11.0


def test_runs_with_as_many_at_once_count_more_than_others(tmp_path):
    write_report(tmp_path, "r0", {"a": 4}, workers=2)
    write_report(tmp_path, "r1", {"a": 40}, workers=8)
    rows = {workers: forecast(batch("nightly", "a").plan(), str(tmp_path), workers).total_s for workers in (2, 8, 3)}
    assert rows == {2: 4.0, 8: 40.0, 3: 4.0}


def test_processors_bound_what_more_at_once_can_gain(tmp_path, monkeypatch):
    monkeypatch.setattr("joblot.cli.history.processors", lambda: 2)
    busy = {"duration_ms": 10_000, "cpu_s": 10.0}
    write_report(tmp_path, "r0", dict.fromkeys("abcd", busy))
    found = forecast(batch("nightly", *"abcd").plan(), str(tmp_path), 4)
    assert found.total_s == 20.0
    write_report(tmp_path, "r0b", dict.fromkeys("abcd", busy), on="tcp://scheduler:8786")
    assert forecast(batch("nightly", *"abcd").plan(), str(tmp_path), 4).total_s == 10.0


def test_what_was_slowed_down_by_others_at_once_is_not_slow_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("joblot.cli.history.processors", lambda: 2)
    busy, idle = {"duration_ms": 40_000, "cpu_s": 10.0}, {"duration_ms": 40_000, "cpu_s": 0.1}
    write_report(tmp_path, "r0", {"a": busy, "b": idle}, workers=8)
    assert forecast(batch("nightly", "a", "b").plan(), str(tmp_path), 1).total_s == 50.0
    assert forecast(batch("nightly", "a", "b").plan(), str(tmp_path), 8).total_s == 40.0


def test_memory_is_that_of_the_jobs_that_run_at_once(tmp_path):
    write_report(tmp_path, "r0", {"a": {"peak_bytes": 3 << 30}, "b": {"peak_bytes": 2 << 30}, "c": {}})
    plan = batch("nightly", "a", "b", "c").plan()
    data = forecast(plan, str(tmp_path), 2).as_data(plan)
    assert data["peak_bytes"] == 5 << 30
    assert {row["workers"]: row["peak_bytes"] for row in data["what_if"]}[1] == 3 << 30


@pytest.mark.parametrize("known", [0, 5 << 30])
def test_the_lines(tmp_path, known, monkeypatch):
    monkeypatch.setattr("joblot.cli.forecast.processors", lambda: 4)
    write_report(tmp_path, "r0", {name: {"duration_ms": 60_000, "peak_bytes": known} for name in "abcd"})
    plan = batch("nightly", "ab", "c", "d", "e").plan()
    memory, one, four = (", 10 GiB of memory", " (5.0 GiB)", " (20 GiB)") if known else ("", "", "")
    assert list(forecast(plan, str(tmp_path), 2).lines(plan)) == [
        f"Estimate: about 3m00s with 2 at once{memory} (from run r0, in which 4 of these 5 jobs have succeeded)",
        f"  with -j 1: 5m00s{one}, -j 4: 2m00s{four}",
        "Critical path: a -> b (2m00s)",
    ]


def test_a_plan_that_is_too_large_to_be_played_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("joblot.cli.history._PLAYED", 3)
    write_report(tmp_path, "r0", {name: {"duration_ms": 6000, "peak_bytes": 8} for name in "abcd"} | {"e": 1})
    found = forecast(batch("nightly", "ab", "c", "d", "e").plan(), str(tmp_path), 2)
    assert (found.total_s, found.row.peak_bytes) == (12.5, 16)
