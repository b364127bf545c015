"""What is said of a job is said of its last attempt: no reason, file or end of an earlier one stays with it."""

import pytest

from joblot.core import events as ev
from joblot.core.model import Artifact, Config, JobSpec
from joblot.core.plan import expand
from joblot.reports.report import Report
from joblot.reports.text import closing
from joblot.reports.view import RunView

START = ev.AttemptsStarted([0])
OK, FIRST_OK = ev.AttemptEnded(0, 2, wall_s=0.002), ev.AttemptEnded(0, 1, wall_s=0.002)
AGAIN = ev.RunReopened([0])
RESUMED = ev.RunResumed()


def back(number=1, state="ready", reason="returned"):
    return ev.AttemptEnded(0, number, "returned", state, reason=reason)


def bad(kind="exit", state="ready", number=1, **more):
    more = {"message": f"it was {kind}", "reason": kind, "wall_s": 0.003} | more
    return ev.AttemptEnded(0, number, kind, state, **more)


EXIT = bad(exit_code=3)
CRASH = bad("crash", signal=11, artifacts=(Artifact("a.txt", 1),))
STORIES = {
    "handed back once": ([START, back(), START, FIRST_OK], "[success] a (1 attempt, 2 ms)"),
    "handed back twice": ([START, back(), START, back(), START, FIRST_OK], "[success] a (1 attempt, 2 ms)"),
    "handed back, and waits": ([START, back()], "[ready] a"),
    "handed back, and runs": ([START, back(), START], "[running] a (1 attempt, 0 ms)"),
    "handed back after a failure": ([START, EXIT, START, back(2), START, OK], "[success] a (2 attempts, 5 ms)"),
    "handed back, then failed": (
        [START, back(), START, bad(state="failed")],
        "[failed] a (1 attempt, 3 ms): it was exit",
    ),
    "handed back because the run stops": (
        [START, ev.RunStopping("cancelled"), back(state="cancelled", reason="cancelled")],
        "[cancelled] a: the run was cancelled",
    ),
    "handed back, then stopped": (
        [START, back(), ev.RunStopping("cancelled"), ev.JobsEnded([0], "cancelled", "cancelled")],
        "[cancelled] a: the run was cancelled",
    ),
    "a second attempt runs": ([START, EXIT, START], "[running] a (2 attempts, 3 ms)"),
    "a second attempt is due": (
        [START, bad(state="backing_off", delay_s=9.0)],
        "[backing_off] a (1 attempt, 3 ms): it was exit",
    ),
    "a second attempt went well": ([START, EXIT, START, OK], "[success] a (2 attempts, 5 ms)"),
    "a second attempt failed otherwise": (
        [START, CRASH, START, bad(state="failed", number=2)],
        "[failed] a (2 attempts, 6 ms): it was exit",
    ),
    "its worker was lost": ([START, bad("lost"), START, OK], "[success] a (2 attempts, 5 ms)"),
    "its worker was lost, and it runs": ([START, bad("lost"), START], "[running] a (2 attempts, 3 ms)"),
    "its bundle failed": ([START, bad("crash", reason="bundle"), START, OK], "[success] a (2 attempts, 5 ms)"),
    "resumed": ([START, RESUMED, bad("interrupted"), START, OK], "[success] a (2 attempts, 5 ms)"),
    "resumed, and it runs": ([START, RESUMED, bad("interrupted"), START], "[running] a (2 attempts, 3 ms)"),
    "resumed while the next one was due": (
        [START, bad(state="backing_off"), RESUMED, ev.BackoffEnded(0), START, OK],
        "[success] a (2 attempts, 5 ms)",
    ),
    "retried": ([START, bad(state="failed"), AGAIN, RESUMED, START, OK], "[success] a (2 attempts, 5 ms)"),
    "retried, and handed back": (
        [START, bad(state="failed"), AGAIN, RESUMED, START, back(2), START, OK],
        "[success] a (2 attempts, 5 ms)",
    ),
    "retried, and waits": ([START, bad(state="failed"), AGAIN, RESUMED], "[waiting] a (1 attempt, 3 ms)"),
    "retried, and skipped": (
        [START, bad(state="failed"), AGAIN, ev.JobsEnded([0], "skipped", "condition")],
        "[skipped] a (1 attempt, 3 ms): `when: success` did not come true",
    ),
}


def told(events):
    plan = expand(Config(name="b", folder="/b", jobs=[JobSpec(name="a", run="x")]))
    view = RunView(plan.name, 1)
    view.apply_all(ev.Record(n + 1, 1.8e9 + n, [event]) for n, event in enumerate([ev.RunStarted("f", 1), *events]))
    return Report(plan, view, run_id="r1", live=True)


@pytest.mark.parametrize(("events", "line"), STORIES.values(), ids=STORIES)
def test_what_is_said_of_a_job_belongs_to_its_last_attempt(events, line):
    """`[success] n-3 (2 attempts, 5 ms): returned` stood there for an attempt that had been handed back."""
    report = told(events)
    assert closing(report).splitlines()[1].strip() == line
    job, item = report.jobs["a"], report.to_dict()["results"][0]
    message = line.partition(": ")[2]
    assert (job.message, item.get("message", "")) == (message, message if job.state != "success" else "")
    assert bool(job.reason) is ("reason" in item) is bool(message)
    ended = [event for event in events if isinstance(event, ev.AttemptEnded) and event.outcome != "returned"]
    last = ended[-1] if ended and events[-1] is ended[-1] else None
    assert (job.exit_code, job.signal) == ((last.exit_code, last.signal) if last else (None, None))
    assert [event.attempt for event in job.history] == (
        [event.attempt for event in ended] if ended != [FIRST_OK] else []
    )
    over = job.state in ("success", "failed", "skipped", "cancelled", "backing_off")
    assert (job.ended_at is not None) is over


def test_files_of_an_earlier_attempt_are_not_those_of_the_job():
    assert told([START, CRASH]).jobs["a"].artifacts == CRASH.artifacts
    assert told([START, CRASH, START, OK]).jobs["a"].artifacts == ()
    assert "artifacts" not in told([START, CRASH, START, OK]).to_dict()["results"][0]
