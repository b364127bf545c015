"""What is different between two runs, as data."""

import msgspec
import pytest

from joblot.core import events as ev
from joblot.core.model import Artifact, Concurrency, Config, FanOut, JobSpec, Retry
from joblot.core.plan import expand
from joblot.reports.differences import MOST, Group, differences
from joblot.reports.report import Report
from joblot.reports.view import RunView

OK, STARTED = ev.AttemptEnded, ev.AttemptsStarted


def failed(job, message="exit status 1", attempt=1):
    return ev.AttemptEnded(job, attempt, "exit", "failed", message=message, reason="exit_code", exit_code=1)


def run(jobs, *ends, run_id="r1", status="success", by=None, settings=None, **fields):
    """The report of a run whose jobs all began, and ended like this."""
    plan = expand(Config(name="b", folder="/b", jobs=jobs, **fields))
    view = RunView(plan.name, len(plan))
    begun = [
        ev.RunStarted(plan.fingerprint, len(plan), settings or {}, by or {}),
        STARTED(sorted({one.job for one in ends if isinstance(one, OK)})),
    ]
    view.apply_all([ev.Record(1, 0.0, begun), ev.Record(9, 1.0, [*ends, ev.RunEnded(status, 1.0)])])
    return Report(plan, view, run_id=run_id)


def spec(name, **fields):
    return JobSpec(name=name, **{"run": "x"} | fields)


ONE = [spec("a")]


def test_equal_runs_are_equal_though_they_ran_at_other_times():
    found = differences(run(ONE, OK(0, 1, wall_s=5.0)), run(ONE, OK(0, 1, wall_s=5.9), run_id="r2"))
    assert not found
    assert (found.old.run_id, found.new.run_id) == ("r1", "r2")


def test_a_job_that_need_not_run_is_no_difference():
    assert not differences(run(ONE, OK(0, 1)), run(ONE, ev.JobsEnded([0], "cached", "up_to_date")))


def told(changes):
    return [str(change) for change in changes]


def test_variables_versions_and_how_the_runs_were_begun():
    old = run(
        ONE,
        OK(0, 1),
        by={"joblot": "0.1.0", "python": "3.11.7", "host": "a", "pid": 1},
        settings={"workers": 2},
        vars={"day": "x", "n": 1},
    )
    new = run(
        ONE,
        OK(0, 1),
        by={"joblot": "0.2.0", "python": "3.11.7", "host": "b", "pid": 2},
        settings={"workers": 2, "only": ["a"]},
        vars={"day": "y", "m": 2},
    )
    found = differences(old, new)
    assert told(found.variables) == ["day 'x' -> 'y'", "n 1 -> (none)", "m (none) -> 2"]
    assert told(found.versions) == ["joblot '0.1.0' -> '0.2.0'", "host 'a' -> 'b'"]
    assert told(found.begun) == ["only (none) -> ['a']"]


def test_fields_of_definitions_and_of_the_batch_under_the_names_of_a_batch_file():
    before = spec(
        "a",
        run="x ${{ vars.day }}",
        given={"vars.day": "1"},
        timeout_s=60.0,
        env={"A": "1", "KEY": "one"},
        when="always",
    )
    after = spec(
        "a",
        run="y ${{ vars.day }}",
        given={"vars.day": "2"},
        retry=Retry(3, 1.0),
        env={"A": "2", "KEY": "two"},
        if_=False,
        finally_=False,
    )
    old = run([before], OK(0, 1), env={"TOKEN": "one", "B": "1"}, secrets=("TOKEN", "KEY"), timeout_s=5.0)
    new = run([after], OK(0, 1), env={"TOKEN": "two", "B": "2"}, secrets=("TOKEN", "KEY"), concurrency=Concurrency("g"))
    found = differences(old, new)
    (definition,) = found.definitions
    assert definition.job == "a"
    assert sorted(told(definition.changes)) == [
        "env.A '1' -> '2'", "if True -> False", "retry.delay 0.0 -> 1.0", "retry.max_attempts 1 -> 3",
        "run 'x ${{ vars.day }}' -> 'y ${{ vars.day }}'", "timeout 60.0 -> None", "when 'always' -> 'success'",
    ]  # fmt: skip
    assert sorted(told(found.batch)) == [
        "concurrency None -> {'group': 'g'}",
        "env.B '1' -> '2'",
        "timeout 5.0 -> None",
    ]
    assert b"two" not in msgspec.json.encode(found), "values of secrets are told nowhere"


def fan(*items, **fields):
    return spec("f-${{ item }}", fan_out=FanOut("rows", {"": list(items)}), **fields)


def test_jobs_that_came_and_went_by_their_declarations():
    old = run([spec("gone"), fan(1, 2, 3), spec("stays")], *(OK(job, 1) for job in range(5)))
    new = run([fan(2, *range(10, 16)), spec("stays"), spec("come")], *(OK(job, 1) for job in range(9)))
    found = differences(old, new)
    assert found.added == [
        Group(declaration="f-*", jobs=6, examples=["f-10", "f-11", "f-12"]),
        Group(declaration="come", jobs=1, examples=["come"]),
    ]
    assert found.gone == [
        Group(declaration="gone", jobs=1, examples=["gone"]),
        Group(declaration="f-*", jobs=2, examples=["f-1", "f-3"]),
    ]
    assert [(one.job, told(one.changes)) for one in found.definitions] == [("f-${{ item }}", ["items 3 -> 7"])]


def test_what_failed_newly_and_what_was_mended_by_cause():
    jobs = [fan(*range(8))]
    old = run(
        jobs, *(failed(job, f"no `x{job}`") if job in (0, 1, 2) else OK(job, 1) for job in range(8)), status="failed"
    )
    new = run(
        jobs,
        *(failed(job, f"exit status {job // 6}") if job in (2, 4, 5, 6) else OK(job, 1) for job in range(8)),
        status="failed",
    )
    found = differences(old, new)
    assert [(one.text, one.failures, one.example) for one in found.failed] == [
        ("exit status 0", 2, "f-4"),
        ("exit status 1", 1, "f-6"),
    ]
    assert [(one.failures, one.example) for one in found.mended] == [(2, "f-0")], "f-2 fails as before"


def test_a_job_that_came_and_failed_is_a_new_failure():
    found = differences(run(ONE, OK(0, 1)), run([*ONE, spec("b")], OK(0, 1), failed(1), status="failed"))
    assert [(one.failures, one.example) for one in found.failed] == [(1, "b")]


def test_what_was_done_and_is_not_any_more():
    jobs = [fan(*range(5))]
    new = run(
        jobs,
        failed(0),
        ev.JobsEnded([1, 2], "skipped", "need_failed", 0),
        ev.JobsEnded([3], "cancelled", "cancelled"),
        OK(4, 1),
        status="failed",
    )
    assert differences(run(jobs, *(OK(job, 1) for job in range(5))), new).undone == {"skipped": 2, "cancelled": 1}


@pytest.mark.parametrize(
    ("old_s", "new_s", "slower"),
    [(4.0, 5.2, True), (4.0, 5.0, False), (1.0, 1.9, False), (100.0, 120.0, False), (0.1, 1.2, True)],
)
def test_slower_by_a_quarter_and_by_a_second(old_s, new_s, slower):
    found = differences(run(ONE, OK(0, 1, wall_s=old_s)), run(ONE, OK(0, 1, wall_s=new_s)))
    assert ([(one.job, one.old_s, one.new_s) for one in found.slower] == [("a", old_s, new_s)]) is slower
    assert bool(found) is slower


def test_files_with_other_contents_where_both_runs_know_the_hash():
    def made(*files):
        return OK(0, 1, artifacts=tuple(Artifact(path, 1, sha) for path, sha in files))

    found = differences(
        run(ONE, made(("x", "1"), ("y", "1"), ("z", ""), ("gone", "1"))),
        run(ONE, made(("x", "2"), ("y", "1"), ("z", "2"), ("new", "1"))),
    )
    assert [(one.path, one.job, one.old, one.new) for one in found.files] == [("x", "a", "1", "2")]
    assert found.remade == 1


def test_what_was_not_selected_is_neither_gone_nor_undone():
    jobs = [spec("a"), spec("b")]
    left_out = run(jobs, OK(0, 1), ev.JobsEnded([1], "skipped", ev.NOT_SELECTED))
    assert not differences(run(jobs, OK(0, 1), OK(1, 1)), left_out)


def test_of_many_jobs_the_first_hundred_are_named_and_all_are_counted(calls):
    many = 5000
    jobs = [fan(*range(many))]
    old = run(jobs, *(OK(job, 1, wall_s=1.0, artifacts=(Artifact(f"f{job}", 1, "1"),)) for job in range(many)))
    new = run(jobs, *(OK(job, 1, wall_s=3.0 + job, artifacts=(Artifact(f"f{job}", 1, "2"),)) for job in range(many)))
    found = differences(old, new)
    assert (len(found.slower), found.slower_jobs, len(found.files), found.remade) == (MOST, many, MOST, many)
    assert found.slower[0].job == f"f-{many - 1}"
    assert calls(lambda: differences(old, new)) < 10 * many
