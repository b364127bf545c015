"""How old what runs is, and when what waits is tried again: in `show` and `explain`, while the run goes on and after it was killed."""

import json
import os
import re
import signal
import time

import pytest

from joblot.units import format_age

BATCH = """\
name: live
jobs:
  - {name: first, run: "echo $$ > first; while [ ! -e go ]; do sleep 0.05; done"}
  - {name: again, run: "[ -e tried ] || { touch tried; exit 1; }; echo $$ > again; while [ ! -e go ]; do sleep 0.05; done", retry: {max_attempts: 2, delay: 10ms}}
  - {name: later, run: "touch later; exit 3", retry: {max_attempts: 2, delay: 50m}}
"""


AGE = r"(<1 s|\d+ s)"
DUE = r"in (49m\d\ds|50m00s)"


def test_how_old_what_runs_is_and_when_what_waits_is_due(joblot):
    joblot.write("joblot.yaml", BATCH)
    with joblot.popen("run", "-j", "3", "--run-id", "r1") as run:
        for name in ("first", "again"):
            joblot.wait_for(name, "\n")
        while "[backing_off] later" not in (shown := joblot("show").out) or shown.count(", pid ") < 2:
            assert run.poll() is None
        told = {name: joblot("explain", name).out for name in ("first", "again", "later")}
        data = {name: json.loads(joblot("explain", name, "--json").out) for name in told}
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()

    first, again = (int((joblot.path / name).read_text()) for name in ("first", "again"))
    assert re.search(rf"^  \[running    \] first \(attempt 1, for {AGE}, pid {first}\)$", shown, re.MULTILINE), shown
    assert re.search(rf"^  \[running    \] again \(attempt 2, for {AGE}, pid {again}\)$", shown, re.MULTILINE), shown
    later = rf"^  \[backing_off\] later \(1 attempt, next try {DUE}\): exit status 3$"
    assert re.search(later, shown, re.MULTILINE), shown
    assert "0 ms" not in shown

    assert re.match(rf"first: running\n  an attempt is running: attempt 1, for {AGE}, pid {first}\n", told["first"])
    assert re.search(rf"^  an attempt is running: attempt 2, for {AGE}, pid {again}$", told["again"], re.MULTILINE)
    assert "\n    1: exit after" in told["again"]
    due = rf"later: backing_off\n  the last attempt failed; the next is due 3000 s after it: {DUE}\n"
    assert re.match(due, told["later"])

    assert (data["first"]["pid"], data["again"]["pid"]) == (first, again)
    assert data["first"]["running_since"] == data["first"]["job"]["started_at"]
    assert data["again"]["running_since"] > data["again"]["job"]["started_at"]
    assert data["later"]["next_try_at"] > data["later"]["job"]["ended_at"]

    # Of what nobody drives any more no age is told.
    shown = joblot("show").out
    assert (
        "  [running    ] first (attempt 1, when the runner ended)\n  [running    ] again (attempt 2, when the runner ended)\n"
        in shown
    )
    assert "  [backing_off] later (1 attempt): exit status 3\n" in shown
    lost = "nobody drives the run: `joblot resume r1` goes on with it\n"
    unknown = "an attempt was running when the runner ended; how it ended is not known"
    assert joblot("explain", "first").out.startswith(f"first: running\n  {unknown}\n  {lost}")
    assert joblot("explain", "again").out.startswith(f"again: running\n  {unknown}\n  {lost}")
    due = "later: backing_off\n  the last attempt failed; the next is due 3000 s after it\n"
    assert joblot("explain", "later").out.startswith(f"{due}  {lost}")
    every = joblot("explain").out
    assert every.count(lost) == 1
    assert every.endswith(f"\n{lost}"), "it said only that they are running"


def test_of_a_large_run_the_oldest_of_what_runs_are_listed(joblot):
    wait = "touch on.${{ item.n }}; while [ ! -e go ]; do sleep 0.05; done"
    items = ", ".join(f"{{n: {number}}}" for number in range(31))
    joblot.write("joblot.yaml", f"jobs:\n  - {{name: 'f-${{{{ item.n }}}}', run: '{wait}', foreach: [{items}]}}\n")
    with joblot.popen("run", "-j", "10") as run:
        for number in range(10):
            joblot.wait_for(f"on.{number}")
        lines = joblot("show").out.splitlines()
        joblot.write("go", "")
        run.communicate()
    rows = [re.sub(r", pid \d+", "", line) for line in lines if line.startswith("  [running] ")]
    assert [re.sub(AGE, "AGE", row) for row in rows] == [f"  [running] f-{n} (attempt 1, for AGE)" for n in range(8)]
    assert "  ... and 2 more running" in lines


def test_who_goes_on_with_a_run_begins_the_wait_anew(joblot):
    joblot.write(
        "joblot.yaml", "jobs: [{name: a, run: 'echo >> tried; exit 3', retry: {max_attempts: 2, delay: 50m}}]\n"
    )
    due = []
    for words in (["run"], ["resume"]):
        with joblot.popen(*words) as run:
            joblot.wait_for("tried")
            until = time.monotonic() + 30
            while (found := json.loads(joblot("explain", "a", "--json").out).get("next_try_at", "")) in ("", *due):
                assert time.monotonic() < until, "the wait did not begin anew"
            assert ": in " in joblot("explain", "a").out
            due.append(found)
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
    assert due[0] < due[1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "<1 s"), (0.99, "<1 s"), (1.0, "1 s"), (59.9, "59 s"), (60.0, "1m00s"), (185.2, "3m05s"), (7620.0, "2h07m")],
)
def test_an_age_in_words(seconds, words):
    assert format_age(seconds) == words
