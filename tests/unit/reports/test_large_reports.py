"""Reports of runs with many jobs: nothing is made of a job that nobody asked for, and a fan-out has one line."""

import json

from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.reports.report import Report
from joblot.reports.text import closing, digest, fan_out_words
from joblot.reports.view import RunView

TILES = JobSpec(
    name="tile-${{ matrix.x }}-${{ matrix.y }}", run="x", fan_out=FanOut("matrix", {"x": list(range(60)), "y": [1, 2]})
)
ROWS = JobSpec(name="row", run="x", fan_out=FanOut("rows", {"": list("abc")}))


def report(*specs, failed=()):
    plan = expand(Config(name="survey", folder="/s", jobs=list(specs)))
    view = RunView(plan.name, len(plan))
    view.apply(ev.Record(1, 0.0, [ev.RunStarted("f", len(plan))]))
    for job in range(len(plan)):
        good = job not in failed
        ended = (
            {"outcome": "ok", "state": "success"}
            if good
            else {"outcome": "exit", "state": "failed", "reason": "exit_code"}
        )
        message = "" if good else f"no data in /x/{job}.tif"
        end = ev.AttemptEnded(job=job, attempt=1, message=message, **ended)
        view.apply(ev.Record(job + 2, 1.0, [ev.AttemptsStarted([job]), end]))
    return Report(plan, view, run_id="r", live=True)


def test_failures_come_first_and_a_fan_out_has_one_line():
    text = closing(report(JobSpec(name="one", run="x"), TILES, ROWS, failed=range(5, 45))).splitlines()
    assert text[1] == "  [failed] tile-2-1 (1 attempt, 0 ms): no data in /x/5.tif"
    assert text[31:] == [
        "  ... and 10 more failed jobs",
        "  tile-*-*: 120 jobs (matrix x × y)  80 success, 40 failed",
        "  row-*: 3 jobs  3 success",
        "Failures by cause:",
        "     40 x no data in <path> (such as `tile-2-1`)",
        "124 jobs: 84 succeeded, 40 failed, in 0 ms",
    ]


def test_of_many_fan_outs_those_that_went_wrong_come_first():
    fans = [JobSpec(name=f"f{number}", run="x", fan_out=FanOut("rows", {"n": [1, 2]})) for number in range(40)]
    text = closing(report(*fans, failed=[70])).splitlines()
    assert text[2] == "  f35-*: 2 jobs (n)  1 success, 1 failed"
    assert text[3] == "  f0-*: 2 jobs (n)  2 success"
    assert text[-4:] == [
        "  ... and 10 more fan-outs",
        "Failures by cause:",
        "      1 x no data in /x/70.tif (such as `f35-1`)",
        "80 jobs: 79 succeeded, 1 failed, in 0 ms",
    ]


def test_a_small_run_is_listed_job_by_job():
    assert "  [success] row-a (1 attempt, 0 ms)" in closing(report(ROWS)).splitlines()


def test_a_fan_out_in_words():
    wide = JobSpec(name="w", run="x", fan_out=FanOut("rows", {name: ["1"] for name in "abcdefgh"}))
    assert fan_out_words(TILES, 120) == "tile-*-*: 120 jobs (matrix x × y)"
    assert fan_out_words(ROWS, 1) == "row-*: 1 job"
    assert fan_out_words(wide, 2) == "w-*: 2 jobs (a, b, c, d, e, f, and 2 more)"


def test_what_is_said_of_failures_is_what_their_reports_say():
    made = report(TILES, failed=[3, 7])
    assert [tuple(one) for one in made.failures()] == [(job.name, job.message, job.reason) for job in made.failed]
    assert made.first_failed(1) == made.failed[:1]
    assert digest(made.failures()) == digest(made.failed)
    assert made.fan_outs == [(TILES, {"success": 118, "failed": 2})]


def test_a_report_in_parts_is_the_report():
    large = JobSpec(
        name="n-${{ item }}", run="x", fan_out=FanOut("rows", {"": [str(number) for number in range(2500)]})
    )
    made = report(large)
    parts = list(made.to_json_parts())
    assert "".join(parts) == made.to_json()
    assert len(parts) == 3
    assert all(part.endswith("\n") for part in parts)
    assert json.loads(made.to_json())["succeeded"] == 2500
