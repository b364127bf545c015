"""What past reports tell of the memory that jobs need."""

from __future__ import annotations

import json

from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand
from joblot.reports.peaks import observed_peaks

MIB = 2**20


def plan(*jobs):
    return expand(Config(name="b", folder="/", jobs=list(jobs)))


def report(path, *rows):
    results = [
        {"job": job, "action": action, "status": "success", "peak_bytes": int(mib * MIB)} for job, action, mib in rows
    ]
    path.write_text(json.dumps({"run_id": "r", "results": results}))
    return path


def test_a_job_is_taken_for_the_most_that_was_seen_of_it_rounded_up(tmp_path):
    reports = [report(tmp_path / "1", ("a", "x", 300)), report(tmp_path / "2", ("a", "x", 500))]
    assert observed_peaks(plan(JobSpec(name="a", action="x")), reports) == {0: 512 * MIB}


def test_a_job_that_is_new_is_taken_for_what_others_of_its_action_took(tmp_path):
    reports = [report(tmp_path / "1", ("a", "x", 100), ("b", "x", 130))]
    found = observed_peaks(plan(JobSpec(name="new", action="x"), JobSpec(name="other", action="y")), reports)
    assert found == {0: 192 * MIB}


def test_what_a_job_declares_counts_and_what_is_small_does_not(tmp_path):
    reports = [report(tmp_path / "1", ("said", "x", 900), ("small", "y", 63))]
    jobs = (JobSpec(name="said", action="x", resources={"memory": 1.0}), JobSpec(name="small", action="y"))
    assert observed_peaks(plan(*jobs), reports) == {}


def test_reports_that_cannot_be_read_are_passed_over(tmp_path):
    (tmp_path / "half").write_text('{"results": [')
    reports = [tmp_path / "none", tmp_path / "half", report(tmp_path / "1", ("a", "x", 64))]
    assert observed_peaks(plan(JobSpec(name="a", action="x")), reports) == {0: 64 * MIB}
