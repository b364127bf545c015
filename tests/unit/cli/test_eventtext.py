"""Events as lines."""

import pytest
from msgspec import Raw

from joblot.cli.eventtext import event_lines
from joblot.core import events as ev

NAMES = ["fetch", "count", "report"] + [f"j{n}" for n in range(20)]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ev.AttemptsStarted([0, 2]), "attempts_started jobs=fetch,report"),
        (
            ev.AttemptsStarted(list(range(12))),
            "attempts_started jobs=fetch,count,report,j0,j1,j2,j3,j4,j5,j6,...(12)",
        ),
        (
            ev.AttemptEnded(1, 2, began_s=0.5, wall_s=1.25, result=Raw(b'{"n":3}')),
            'attempt_ended job=count attempt=2 outcome=ok state=success began_s=0.5 wall_s=1.25 result={"n":3}',
        ),
        (
            ev.AttemptEnded(0, 1, "exit", "failed", message="exit status 3", reason="exit_code", exit_code=3),
            'attempt_ended job=fetch attempt=1 outcome=exit state=failed message="exit status 3" reason=exit_code exit_code=3',
        ),
        (ev.JobsEnded([1], "skipped", "need_failed", 0), "jobs_ended jobs=count state=skipped reason=need_failed cause=fetch"),
        (ev.JobsEnded([1], "skipped", "condition"), "jobs_ended jobs=count state=skipped reason=condition"),
        (ev.RunStopping("fail_fast", job=0), "run_stopping reason=fail_fast job=fetch"),
        (ev.Logged("log", "info", 0, 1, "half \x1b[31mway", {"done": 5}), 'logged event=log level=info job=fetch attempt=1 message="half way" data={"done":5}'),
        (ev.RunEnded("success"), "run_ended status=success"),
    ],
)  # fmt: skip
def test_an_event_is_one_line_with_names_of_jobs_and_without_what_is_empty(event, line):
    """R44, I15"""
    record = ev.Record(1, 1_800_000_000.0, [event])
    assert list(event_lines(record, NAMES.__getitem__)) == [f"2027-01-15T08:00:00.000Z {line}"]


def test_a_long_result_is_cut():
    event = ev.AttemptEnded(0, 1, result=Raw(b'"' + b"x" * 5000 + b'"'))
    (line,) = event_lines(ev.Record(1, 0.0, [event]), NAMES.__getitem__)
    assert len(line) < 450
    assert line.endswith("xxx...")
