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
    assert (found.known, found.path_s, found.total_s) == (2, 6.0, 9.0)


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
