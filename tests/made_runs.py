"""Runs that a test makes: what the core decides, with outcomes and times of the test's own. No process and no disk."""

import heapq

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import Config, JobSpec, Outcome
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.reports.report import Report
from joblot.reports.view import RunView

T0 = 1_800_000_000.0


def well(job, attempt):
    """An attempt of 100 ms that ends well."""
    return Outcome(job, attempt, "ok", wall_s=0.1, cpu_s=0.05, peak_bytes=10 << 20)


def badly(job, attempt, message="exit status 1", **more):
    """An attempt of 100 ms that does not."""
    facts = {"wall_s": 0.1, "message": message, "reason": "exit_code", "exit_code": 1, **more}
    return Outcome(job, attempt, "exit", **facts)


def made_run(jobs, outcome=well, *, slots=4, stop_at=None, log=None, state="", live=False, **config):
    """The report of a run of these jobs, of which each attempt ends as `outcome(job, attempt)` says, after its seconds.

    With `stop_at` nothing is recorded any more from that second on.
    """
    settings = {"name": "made", "folder": "/b", "source": "/b/joblot.yaml"} | config
    plan = expand(Config(jobs=list(jobs), **settings))
    run = RunState(plan, Limits(slots=slots))
    head = {
        "settings": {"workers": slots, "on": "local"},
        "by": {"host": "here", "user": "me", "joblot": "0.1.0", "python": "3.11.7"},
    }
    records, now, running = [], 0.0, []
    view = RunView(plan.name, len(plan))

    def record(decision):
        events = list(decision.events)
        for number, event in enumerate(events):
            if isinstance(event, ev.RunStarted):
                events[number] = ev.RunStarted(event.fingerprint, event.jobs, **head)
            if isinstance(event, ev.RunEnded):
                events[number] = ev.RunEnded(event.status, now)
        if events:
            records.append(ev.Record(len(records) + 1, T0 + now, events))
        for job in decision.starts:
            ended = outcome(job, run.attempts[job])
            ended.began = now
            heapq.heappush(running, (now + ended.wall_s, job, ended))

    record(run.start(now, slots))
    while not run.ended:
        due = running[0][0] if running else run.next_due()
        now = due
        if stop_at is not None and now >= stop_at:
            break
        if running and running[0][0] <= now:
            record(run.attempts_ended([heapq.heappop(running)[2]], now, slots))
        else:
            record(run.tick(now, slots))
    return Report(plan, view.apply_all(records), run_id="r1", log=log, state=state, live=live)


def commands(*names, **fields):
    """Jobs of a command, by their names."""
    return [JobSpec(name=name, run="x", **fields) for name in names]


def log_in(folder):
    """Where the log of a job's attempt stands in a state folder below `folder`: what is above that is nobody's business."""
    log = folder / "state" / "runs" / "r1" / "logs" / "job" / "1.log"
    for part in reversed(log.relative_to(folder).parents[:-1]):
        (folder / part).mkdir(mode=0o700, exist_ok=True)
    return log
