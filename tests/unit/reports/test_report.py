from __future__ import annotations

import json
import os

import pytest

from joblot import __version__
from joblot.core import events as ev
from joblot.core.model import Artifact, Config, JobSpec
from joblot.core.plan import expand
from joblot.errors import BatchFailedError, JoblotError
from joblot.reports.report import JobReport, Report
from joblot.reports.view import RunView

T0 = 1_800_000_000.0


def report_of(*steps, jobs=None, **options):
    """The report of the batch `nightly` after one record a step, the records one second apart."""
    jobs = JOBS if jobs is None else jobs
    plan = expand(Config(name="nightly", folder="/b", source="/b/batch.yaml", jobs=jobs))
    records = [ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps)]
    view = RunView(plan.name, len(plan)).apply_all(records)
    return Report(plan, view, run_id="r1", **options)


JOBS = [
    JobSpec(name="fetch", run="curl x"),
    JobSpec(name="load", action="count_lines", input="a", needs=("fetch",)),
    JobSpec(name="send", function=len, needs=("load",)),
    JobSpec(name="other", action="nope"),
]
STARTED = [ev.RunStarted("f", 4), ev.AttemptsStarted([0])]
FETCHED = [
    ev.AttemptEnded(0, 1, began_s=0.5, wall_s=0.4996, cpu_s=0.1, peak_bytes=100, result=ev.Raw(b'{"n":1}')),
    ev.AttemptsStarted([1]),
]
FAILED = [
    ev.AttemptEnded(
        1, 1, "exit", "failed", 1.0, 0.2, 0.1, 50, message="exit status 2", reason="exit_code", exit_code=2
    ),
    ev.JobsEnded([2], "skipped", "need_failed", 1),
    ev.JobsEnded([3], "skipped", "unknown_action"),
]
MIXED = (STARTED, FETCHED, FAILED, [ev.RunEnded("failed", 3.25)])


def test_the_file_has_one_item_a_job_with_result_or_reason_r4_r5_r17_r115():
    """R4 R5 R17 R115: the keys, their order, and that the numbers add up."""
    report = report_of(*MIXED, log=lambda job, attempt: f"logs/{job}/{attempt}.log")
    data = report.to_dict()
    results = data.pop("results")
    assert list(data.items()) == [
        ("joblot", __version__), ("schema", 1), ("run_id", "r1"), ("batch", "nightly"), ("source", "/b/batch.yaml"),
        ("status", "failed"), ("exit_code", 1), ("started_at", "2027-01-15T08:00:00.000Z"), ("ended_at", "2027-01-15T08:00:03.000Z"),
        ("duration_ms", 3250), ("total_jobs", 4), ("succeeded", 1), ("failed", 1), ("skipped", 2), ("cached", 0), ("cancelled", 0),
        ("aborted", 0), ("all_passed", False), ("cpu_s", 0.2), ("peak_bytes", 100),
    ]  # fmt: skip
    assert data["total_jobs"] == len(results) == data["succeeded"] + data["failed"] + data["skipped"]
    assert [list(item.items()) for item in results] == [
        [
            ("job", "fetch"), ("action", "run"), ("status", "success"), ("attempts", 1), ("duration_ms", 500), ("result", {"n": 1}),
            ("started_at", "2027-01-15T08:00:00.500Z"), ("cpu_s", 0.1), ("peak_bytes", 100), ("log", "logs/fetch/1.log"),
        ],
        [
            ("job", "load"), ("action", "count_lines"), ("status", "failed"), ("attempts", 1), ("duration_ms", 200),
            ("reason", "exit_code"), ("message", "exit status 2"), ("started_at", "2027-01-15T08:00:01.000Z"), ("cpu_s", 0.1),
            ("peak_bytes", 50), ("exit_code", 2), ("log", "logs/load/1.log"),
        ],
        [
            ("job", "send"), ("action", "len"), ("status", "skipped"), ("attempts", 0), ("duration_ms", 0), ("reason", "need_failed"),
            ("message", "`load` failed"), ("cause", "load"), ("started_at", None), ("cpu_s", 0.0),
        ],
        [
            ("job", "other"), ("action", "nope"), ("status", "skipped"), ("attempts", 0), ("duration_ms", 0),
            ("reason", "unknown_action"), ("message", "unknown action `nope`"), ("started_at", None), ("cpu_s", 0.0),
        ],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("took", "keys"),
    [
        pytest.param({}, {}, id="nothing is known"),
        pytest.param({"peak_bytes": 7}, {"peak_bytes": 7}, id="memory only"),
        pytest.param({"read_bytes": 512}, {"read_bytes": 512}, id="read only"),
        pytest.param({"written_bytes": 512}, {"written_bytes": 512}, id="written only"),
        pytest.param(
            dict.fromkeys(("peak_bytes", "read_bytes", "written_bytes"), 1024),
            dict.fromkeys(("peak_bytes", "read_bytes", "written_bytes"), 1024),
            id="everything",
        ),
    ],
)
@pytest.mark.parametrize("outcome", ["ok", "exit"])
def test_what_is_not_known_of_memory_and_storage_is_not_there(took, keys, outcome):
    state = "success" if outcome == "ok" else "failed"
    report = report_of(
        [ev.RunStarted("f", 4), ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 1, outcome, state, **took)]
    )
    data = report.to_dict()
    names = ("peak_bytes", "read_bytes", "written_bytes")
    assert [{name: one[name] for name in names if name in one} for one in (data, data["results"][0])] == [keys, keys]
    assert {name: getattr(report.jobs["fetch"], name) for name in names} == {**dict.fromkeys(names), **keys}


def test_memory_is_the_most_and_storage_the_sum_of_all_attempts():
    tries = [
        ev.AttemptEnded(0, 1, "exit", "ready", peak_bytes=9, read_bytes=512, written_bytes=1024),
        ev.AttemptEnded(0, 2, peak_bytes=5, read_bytes=512, written_bytes=512),
    ]
    report = report_of(
        [ev.RunStarted("f", 4), ev.AttemptsStarted([0])], tries[:1], [ev.AttemptsStarted([0])], tries[1:]
    )
    job = report.jobs["fetch"]
    assert (job.peak_bytes, job.read_bytes, job.written_bytes) == (9, 1024, 1536)


def test_jobs_are_found_by_name_in_the_order_of_the_batch():
    report = report_of(*MIXED)
    assert list(report.jobs) == ["fetch", "load", "send", "other"]
    assert len(report.jobs) == 4
    assert report.jobs["fetch"] == JobReport(
        name="fetch", action="run", state="success", attempts=1, duration_ms=500, result={"n": 1},
        started_at="2027-01-15T08:00:00.500Z", ended_at="2027-01-15T08:00:01.000Z", cpu_s=0.1, peak_bytes=100,
    )  # fmt: skip
    assert report.jobs["fetch"].ok
    assert not report.jobs["send"].ok
    assert (report.jobs["send"].needs, report.jobs["send"].cause) == (("load",), "load")
    assert [job.name for job in report.failed] == ["load"]
    assert [job.name for job in report.in_state("skipped")] == ["send", "other"]
    with pytest.raises(KeyError, match="'nothing'"):
        report.jobs["nothing"]


@pytest.mark.parametrize(
    ("reason", "cause", "message"),
    [
        ("need_failed", 0, "`fetch` failed"),
        ("need_skipped", 0, "`fetch` was skipped"),
        ("condition", -1, "`when: success` did not come true"),
        ("fail_fast", 0, "stopped after `fetch` failed"),
        ("fail_fast", -1, "fail fast"),
        ("max_failures", 0, "stopped after too many failures"),
        ("time_limit", -1, "the run's time limit was reached"),
        ("cancelled", -1, "the run was cancelled"),
        ("up_to_date", -1, "up to date"),
        ("some_reason", -1, "some reason"),
    ],
)
def test_a_job_that_did_not_run_says_why_in_words_r108(reason, cause, message):
    """R108 R15 R22: the reason names the job that brought it about."""
    report = report_of([ev.RunStarted("f", 4)], [ev.JobsEnded([1], "skipped", reason, cause)])
    assert report.jobs["load"].message == message


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        ([ev.RunEnded("success")], "success", 0),
        ([ev.RunEnded("failed")], "failed", 1),
        ([ev.RunStopping("fail_fast", job=0), ev.RunEnded("failed")], "failed", 1),
        ([ev.RunStopping("time_limit"), ev.RunEnded("failed")], "failed", 124),
        ([ev.RunStopping("time_limit"), ev.RunEnded("success")], "success", 0),
        ([ev.RunStopping("cancelled", "SIGINT"), ev.RunEnded("cancelled")], "cancelled", 130),
        ([ev.RunStopping("cancelled", "SIGTERM"), ev.RunEnded("cancelled")], "cancelled", 143),
        ([ev.RunStopping("cancelled", "ada")], "interrupted", 1),
        ([], "interrupted", 1),
    ],
)
def test_the_exit_code_says_how_the_run_ended_r26_r126(events, status, code):
    """R26 R126 D1"""
    report = report_of([ev.RunStarted("f", 4)], events)
    assert (report.status, report.exit_code, report.ok) == (status, code, code == 0)


def test_a_run_without_an_end_is_running_only_while_somebody_drives_it():
    assert report_of(STARTED, live=True).status == "running"
    assert report_of(STARTED, [ev.RunStopping("cancelled")], live=True).status == "stopping"
    report = report_of(STARTED)
    assert report.status == "interrupted"
    assert (report.to_dict()["unfinished"], report.to_dict()["ended_at"], report.duration_ms) == (4, None, 0)


def test_all_passed_asks_more_than_that_nothing_failed():
    """R115: a run whose jobs were skipped for an unknown action ends well, but not all passed."""
    both = [JobSpec(name="a", action="x"), JobSpec(name="b", action="y", when="failure", needs=("a",))]
    good = [ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 1)]
    done = [ev.RunEnded("success")]
    excused = report_of([ev.RunStarted("f", 2)], *good, [ev.JobsEnded([1], "skipped", "condition")], done, jobs=both)
    unknown = report_of(
        [ev.RunStarted("f", 2)], *good, [ev.JobsEnded([1], "skipped", "unknown_action")], done, jobs=both
    )
    cached = report_of([ev.RunStarted("f", 2)], *good, [ev.JobsEnded([1], "cached", "up_to_date")], done, jobs=both)
    assert [r.all_passed for r in (excused, unknown, cached)] == [True, False, True]
    assert all(r.ok for r in (excused, unknown, cached))


def test_check_raises_and_names_what_failed():
    report_of([ev.RunStarted("f", 4)], [ev.RunEnded("success")]).check()
    with pytest.raises(BatchFailedError) as caught:
        report_of(*MIXED).check()
    assert str(caught.value) == "1 of 4 jobs failed: `load` (exit status 2)"
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(7)]
    ends = [ev.AttemptEnded(n, 1, "timeout", "failed", reason="timeout") for n in range(7)]
    with pytest.raises(BatchFailedError) as caught:
        report_of([ev.AttemptsStarted(list(range(7)))], ends, [ev.RunEnded("failed")], jobs=jobs).check()
    assert str(caught.value) == "7 of 7 jobs failed: 7 x timeout (such as `j0`)"
    words = ["one", "two", "three", "four", "five", "six", "six"]
    ends = [ev.AttemptEnded(n, 1, "error", "failed", message=f"no {words[n]}", reason="exception") for n in range(7)]
    with pytest.raises(BatchFailedError) as caught:
        report_of([ev.AttemptsStarted(list(range(7)))], ends, [ev.RunEnded("failed")], jobs=jobs).check()
    assert str(caught.value) == (
        "7 of 7 jobs failed: 2 x no six (such as `j5`), `j0` (no one), `j1` (no two), `j2` (no three), `j3` (no four) and 1 more cause"
    )
    with pytest.raises(BatchFailedError, match=r"^run `r1` did not succeed: interrupted$"):
        report_of(STARTED).check()


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["cancelled", "cancelled"], "; 2 were cancelled"),
        (["cancelled"], "; 1 was cancelled"),
        (["aborted", "aborted", "aborted"], "; 3 were aborted"),
        (["skipped"], ""),
        (["success", "cached"], ""),
    ],
)
def test_check_says_how_many_jobs_were_stopped(states, told):
    """Else `1 of 300 jobs failed` would read as if the others had run."""
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(len(states) + 1)]
    failed = [ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 1, "exit", "failed", reason="exit")]
    others = [ev.JobsEnded([n], state, "x") for n, state in enumerate(states, 1)]
    with pytest.raises(BatchFailedError) as caught:
        report_of(*failed, others, [ev.RunEnded("failed")], jobs=jobs).check()
    assert str(caught.value) == f"1 of {len(jobs)} jobs failed: `j0` (exit){told}"


def test_a_batch_without_jobs_has_a_report_r16_r121():
    """R16 R121 R3: zero jobs give a valid report of a run that passed."""
    report = report_of([ev.RunStarted("f", 0)], [ev.RunEnded("success")], jobs=[])
    data = json.loads(report.to_json())
    assert (data["total_jobs"], data["results"], data["all_passed"], data["exit_code"]) == (0, [], True, 0)


def test_the_result_is_passed_on_as_it_is():
    big = b'{"n":123456789012345678901234567890,"t":"\\u00e9","f":1.10}'
    text = report_of([ev.AttemptsStarted([0])], [ev.AttemptEnded(0, 1, result=ev.Raw(big))]).to_json()
    assert big.decode() in text


def test_artifacts_are_listed():
    ended = ev.AttemptEnded(0, 1, artifacts=(Artifact("out.csv", 12, "ab"),))
    item = report_of([ev.AttemptsStarted([0])], [ended]).to_dict()["results"][0]
    assert item["artifacts"] == [{"path": "out.csv", "size": 12, "sha256": "ab"}]


def test_the_file_is_written_in_one_step_r3_r127(tmp_path):
    """R3 R127: parents are made, what was there is replaced whole, nothing else is left in the folder."""
    target = tmp_path / "deep" / "er" / "report.json"
    report = report_of(*MIXED)
    report.write(target)
    assert target.read_text() == report.to_json()
    target.write_text("old" * 10_000)
    report.write(target)
    assert json.loads(target.read_text())["run_id"] == "r1"
    assert os.listdir(target.parent) == ["report.json"]


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JoblotError) as caught:
        report_of(*MIXED).write(tmp_path / "file" / "report.json")
    assert str(caught.value) == f"cannot write `{tmp_path}/file/report.json`: not a directory"


def test_the_report_says_what_it_is():
    assert repr(report_of(*MIXED)) == "<Report r1 of nightly: failed, 4 jobs>"
