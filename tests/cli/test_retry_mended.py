"""`joblot retry` takes the batch as it is now: as it was, the same run goes on; changed, a new run continues it."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from joblot.clock import day_of

BATCH = """\
name: nightly
vars: {day: mon}
jobs:
  - {name: make, run: 'echo make >> log; echo {\\"n\\": 1} > $JOBLOT_OUTPUT'}
  - {name: load, run: 'echo load >> log; exit 3', needs: [make]}
  - {name: tell, run: 'echo tell ${{ vars.day }} ${{ jobs.make.result.n }} >> log', needs: [make]}
  - {name: after, run: 'echo after >> log', needs: [tell]}
  - {name: end, run: 'echo end >> log', needs: [load]}
"""
MENDED = BATCH.replace("; exit 3", "")
CARRIED = "carried over from the run that this one continues"


def begin(joblot, text=BATCH, *words):
    joblot.write("joblot.yaml", text)
    done = joblot("run", "--run-id", "r1", "-j", "1", *words)
    assert done.code == 1, done.err
    (joblot.path / "log").unlink(missing_ok=True)
    return done


def ran(joblot):
    """What has run since the last time this was asked."""
    file = joblot.path / "log"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def states(joblot, run="last"):
    document = json.loads(joblot("show", run, "--json").out)
    return {job["job"]: (job["status"], job.get("reason", "")) for job in document["results"]}


def runs(joblot):
    return [run["run_id"] for run in json.loads(joblot("ls", "--json").out)]


@pytest.mark.parametrize(
    "text",
    [
        BATCH,
        f"# a word\n\n{BATCH}",
        BATCH.replace("{name: make, run", "{run").replace("OUTPUT'}", "OUTPUT', name: make}"),
        BATCH.replace("vars: {day: mon}", "vars:\n  day: mon  # the first"),
        BATCH.replace("name: nightly\n", "") + "x-note: of ours\nname: nightly\n",
    ],
)
def test_a_batch_that_does_the_same_goes_on_in_the_same_run(joblot, text):
    begin(joblot)
    joblot.write("joblot.yaml", text)
    done = joblot("retry", "r1", "-j", "1")
    assert (done.code, runs(joblot), ran(joblot)) == (1, ["r1"], ["load"])
    assert "changed" not in done.err.split("to run again")[0]


def test_a_mended_batch_is_taken_by_a_new_run_that_continues_the_first(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", MENDED)
    done = joblot("retry", "r1", "-j", "1")
    assert done.code == 0
    new, old = runs(joblot)
    assert old == "r1"
    told = "INFO | the batch has changed since run `r1` began: a new run continues it (`--as-it-was` goes on with the old one)\n"
    assert done.plain.startswith(told)
    assert ran(joblot) == ["load", "end"]
    carried = ("cached", "carried_over")
    success = ("success", "")
    assert states(joblot) == {"make": carried, "load": success, "tell": carried, "after": carried, "end": success}
    assert states(joblot, "r1")["load"][0] == "failed"
    explained = f"tell: cached\n  carried_over: {CARRIED}\n  done in run `r1`: `joblot explain r1 tell`\n"
    assert joblot("explain", "last", "tell").out.startswith(explained)
    assert json.loads(joblot("explain", "last", "tell", "--json").out)["continues"] == "r1"
    assert "\n  continues: run r1\n" in joblot("show", "last").out
    assert "continues" not in joblot("show", "r1").out + joblot("explain", "r1", "tell", "--json").out
    first = json.loads((joblot.path / f".joblot/runs/{new}/events.jsonl").read_text().splitlines()[0])
    assert '"continues":"r1"' in json.dumps(first, separators=(",", ":"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([], ["load", "end"]),
        ([("echo make >>", "echo make  >>")], ["make", "load", "end"]),
        ([('": 1', '": 2')], ["make", "load", "tell mon 2", "end", "after"]),
        ([("day: mon", "day: tue")], ["load", "tell tue 1", "end", "after"]),
        ([("echo tell", "echo told")], ["load", "told mon 1", "end", "after"]),
        ([("name: after,", "name: later,")], ["load", "after", "end"]),
        ([("name: after, run", "name: after, timeout: 1h, retry: 3, run")], ["load", "end"]),
        ([("name: after, run", "name: after, env: {A: b}, run")], ["load", "after", "end"]),
        ([("needs: [tell]", "needs: [tell, load]")], ["load", "after", "end"]),
        ([("needs: [tell]", "needs: [make]")], ["load", "after", "end"]),
        ([("needs: [tell]", "needs: [tell, make]")], ["load", "after", "end"]),
        ([(", needs: [tell]", "")], ["load", "after", "end"]),
        ([("needs: [tell]", "needs: ['t*']")], ["load", "end"]),
        ([("vars:", "env: {A: b}\nvars:")], ["make", "load", "tell mon 1", "end", "after"]),
    ],
)
def test_what_runs_is_what_was_changed_and_what_came_out_otherwise_above(joblot, change, expected):
    begin(joblot)
    text = MENDED
    for before, after in change:
        assert before in text
        text = text.replace(before, after)
    joblot.write("joblot.yaml", text)
    assert joblot("retry", "last", "-j", "1").code == 0
    assert sorted(ran(joblot)) == sorted(expected)


def test_the_new_run_has_the_values_and_the_selection_of_the_first(joblot):
    begin(joblot, BATCH, "--var", "day=wed", "--exclude", "after")
    joblot.write("joblot.yaml", MENDED.replace("echo tell", "echo told"))
    assert joblot("retry", "r1", "-j", "1").code == 0
    assert sorted(ran(joblot)) == ["end", "load", "told wed 1"]
    assert "after" not in states(joblot)


def test_as_it_was_goes_on_with_the_old_plan(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", MENDED)
    done = joblot("retry", "r1", "--as-it-was")
    assert (done.code, runs(joblot), ran(joblot)) == (1, ["r1"], ["load"])
    assert "WARNING | `DIR/joblot.yaml` has changed since run `r1` began: its recorded plan is used\n" in done.plain


def test_a_run_is_continued_once(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", BATCH.replace("exit 3", "exit 4"))
    assert joblot("retry", "r1").code == 1
    second = runs(joblot)[0]
    joblot.write("joblot.yaml", BATCH.replace("exit 3", "exit 5"))
    assert joblot("retry", second).code == 1
    third = runs(joblot)[0]
    joblot.write("joblot.yaml", MENDED)
    for words in (("retry", "r1"), ("retry", "r1", "--as-it-was"), ("resume", "r1"), ("retry", "r1", "--job", "load")):
        done = joblot(*words)
        assert (done.code, done.out) == (4, "")
        assert done.err == f"error: run `r1` was continued by run `{third}`\nhint: `joblot retry {third}`\n"
    ran(joblot)
    assert joblot("retry", third, "-j", "1").code == 0
    assert ran(joblot) == ["load", "end"]


def test_a_batch_that_is_wrong_now_is_refused_and_nothing_begins(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", BATCH.replace("needs: [load]", "needs: [lead]"))
    done = joblot("retry", "r1")
    assert (done.code, runs(joblot)) == (2, ["r1"])
    assert "error: job `end` needs unknown job `lead`\n" in done.err
    joblot.write("joblot.yaml", MENDED)
    assert joblot("retry", "r1").code == 0


def test_a_batch_whose_file_is_gone_goes_on_as_it_was(joblot):
    begin(joblot)
    (joblot.path / "joblot.yaml").unlink()
    assert (joblot("retry", "r1").code, runs(joblot), ran(joblot)) == (1, ["r1"], ["load"])


def test_the_items_of_a_table_are_a_part_of_the_batch(joblot):
    joblot.write("codes.csv", "code\n1\n2x\n")
    text = "jobs: [{name: 'a-${{ item.code }}', foreach: codes.csv, run: 'echo ${{ item.code }} >> log; test ${{ item.code }} -gt 0'}]\n"
    begin(joblot, text)
    joblot.write("codes.csv", "code\n1\n2\n3\n")
    assert joblot("retry", "r1", "-j", "1").code == 0
    assert ran(joblot) == ["2", "3"]


def test_what_is_found_on_the_way_is_carried_over_item_by_item(joblot):
    text = (
        "jobs:\n"
        '  - {name: list, run: \'echo list >> log; echo {\\"all\\": [\\"x\\", \\"y\\"]} > $JOBLOT_OUTPUT\'}\n'
        "  - {name: 'on-${{ item }}', foreach: '${{ jobs.list.result.all }}', needs: [list], run: 'echo ${{ item }} >> log; test ${{ item }} = x'}\n"
        "  - {name: sum, needs: ['on-*'], run: 'echo sum >> log', when: always}\n"
        "  - {name: bad, run: exit 3}\n"
    )
    begin(joblot, text)
    joblot.write("joblot.yaml", text.replace('\\"y\\"', '\\"y\\", \\"x2\\"'))
    assert joblot("retry", "r1", "-j", "1").code == 1
    assert sorted(ran(joblot)) == ["list", "sum", "x2", "y"]
    joblot.write("joblot.yaml", text.replace('\\"y\\"', '\\"y\\", \\"x2\\"').replace("exit 3", "exit 0"))
    assert joblot("retry", "last", "-j", "1").code == 1
    assert sorted(ran(joblot)) == ["sum", "x2", "y"]


FILES = """\
jobs:
  - {name: src, run: 'echo src >> log; echo 1 > src.txt', outputs: [src.txt]}
  - {name: mid, run: 'echo mid >> log; cat src.txt > mid.txt', input: src.txt, outputs: [mid.txt]}
  - {name: use, run: 'echo use >> log', needs: [mid]}
  - {name: bad, run: 'exit 3', needs: [use]}
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("exit 3", "exit 0", []),
        ("echo 1 > src", "echo  1 > src", ["src"]),
        ("echo 1 > src", "echo 2 > src", ["src", "mid", "use"]),
        ("cat src.txt >", "cat < src.txt >", ["mid"]),
        ("cat src.txt >", "wc src.txt >", ["mid", "use"]),
    ],
)
def test_jobs_with_outputs_are_judged_by_their_files(joblot, before, after, expected):
    """A need whose outputs came out the same does not count as run."""
    begin(joblot, FILES)
    joblot.write("joblot.yaml", FILES.replace("exit 3", "exit 0").replace(before, after))
    assert joblot("retry", "r1", "-j", "1").code == 0
    assert ran(joblot) == expected


def test_a_need_that_another_run_has_made_since_counts_as_run(joblot):
    begin(joblot, FILES)
    joblot.write("joblot.yaml", FILES.replace("echo 1 > src", "echo 2 > src"))
    assert joblot("run", "--run-id", "r2", "--only", "src,mid").code == 0
    ran(joblot)
    joblot.write("joblot.yaml", FILES.replace("echo 1 > src", "echo 2 > src").replace("exit 3", "exit 0"))
    assert joblot("retry", "r1", "-j", "1").code == 0
    assert ran(joblot) == ["use"]


ONCE = """\
jobs:
  - {name: see, run: 'echo see >> log; echo {\\"n\\": 1} > $JOBLOT_OUTPUT'}
  - {name: pay, run: 'echo pay >> log', once: true, needs: [see]}
  - {name: end, run: 'echo end >> log; exit 3', needs: [pay]}
"""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("echo pay", "echo paid", "changed: run 'echo pay >> log' -> 'echo paid >> log'"),
        ('": 1', '": 2', "`see` came out otherwise"),
    ],
)
def test_what_may_run_only_once_and_did_is_kept_and_told(joblot, before, after, why):
    begin(joblot, ONCE)
    text = ONCE.replace("; exit 3", "").replace(before, after)
    joblot.write("joblot.yaml", text)
    done = joblot("retry", "r1", "-j", "1")
    told = f"WARNING | pay: kept as it is, because it may run only once and did ({why}); `--job pay` runs it again\n"
    assert (done.code, told in done.plain) == (0, True), done.plain
    assert not {"pay", "paid"} & set(ran(joblot))


def test_job_runs_it_again_and_what_needs_it_and_nothing_else(joblot):
    text = ONCE + "  - {name: other, run: 'echo other >> log; exit 3'}\n"
    begin(joblot, text)
    joblot.write("joblot.yaml", text.replace("; exit 3", "").replace("echo pay", "echo paid"))
    done = joblot("retry", "r1", "--job", "pay", "-j", "1")
    assert (done.code, ran(joblot)) == (0, ["paid", "end"])
    assert list(states(joblot)) == ["see", "pay", "end"]


def test_job_of_a_changed_batch_needs_what_it_needs(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", MENDED)
    done = joblot("retry", "r1", "--job", "end")
    assert (done.code, done.err.splitlines()[-2:]) == (
        2,
        ["error: job `end` needs `load`, which did not succeed", "hint: `--job load` runs it as well"],
    )
    done = joblot("retry", "r1", "--job", "ent")
    assert (done.code, done.err.splitlines()[-2:]) == (
        2,
        ["error: no job is called `ent`", "hint: did you mean `end`?"],
    )
    assert runs(joblot) == ["r1"]


def test_the_hint_says_which_it_will_be(joblot):
    done = begin(joblot)
    hint = "INFO | to run again what failed: joblot retry r1 --failed\n"
    same = "INFO | that goes on with this run; once the batch is changed, it begins a new run that continues this one\n"
    assert hint + same in done.plain
    changing = "jobs: [{name: a, run: 'echo >> joblot.yaml; exit 3'}]\n"
    joblot.write("joblot.yaml", changing)
    done = joblot("run", "--run-id", "r2")
    new = "INFO | that begins a new run, which continues this one: the batch was changed since this run began\n"
    assert hint.replace("r1", "r2") + new in done.plain


PYTHON = """\
import sys
from joblot import Batch

def log(word, fail=False):
    with open("log", "a") as file:
        file.write(word + "\\n")
    if fail:
        raise ValueError("no")

batch = Batch("py")
batch.add("a", lambda: log("a"))
batch.add("b", log, params={"word": "b", "fail": sys.argv[1] == "bad"}, needs=["a"])
batch.add("c", log, params={"word": sys.argv[2]})
report = batch.run(on="inline", **({"run_id": "r1"} if len(sys.argv) < 4 else {"retry": sys.argv[3]}))
print(report.run_id == "r1", report.status, report.jobs["a"].reason)
"""


def test_batches_made_in_python_are_continued_too(joblot):
    joblot.write("batch.py", PYTHON)

    def program(*words):
        command = [sys.executable, "batch.py", *words]
        done = subprocess.run(command, cwd=joblot.path, env=joblot.env, capture_output=True, text=True, timeout=60)
        return done.stdout.splitlines(), sorted(ran(joblot)), done.stderr.splitlines()[-2:]

    assert program("bad", "c")[:2] == (["True failed "], ["a", "b", "c"])
    assert program("bad", "c", "r1")[:2] == (["True failed "], ["b"])
    assert program("good", "c", "r1")[:2] == (["False success carried_over"], ["b"])
    error, hint = program("good", "c", "r1")[2]
    assert error.startswith("joblot.errors.StateError: run `r1` was continued by run `")
    assert hint.startswith("hint: `joblot retry ")
    assert program("good", "d", "last")[:2] == (["False success carried_over"], ["d"])


def test_python_retries_a_batch_file_with_the_values_of_the_run(joblot):
    begin(joblot, BATCH, "--var", "day=wed")
    joblot.write("joblot.yaml", MENDED.replace("echo tell", "echo told"))
    code = "import joblot; print(joblot.run('joblot.yaml', retry='r1', workers=1).status)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=joblot.path, env=joblot.env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, sorted(ran(joblot))) == ("success\n", ["after", "end", "load", "told wed 1"]), done.stderr


@pytest.mark.alone
def test_a_continuing_run_that_was_killed_goes_on_as_one(joblot):
    """What was carried over and what is to be are known to `resume`; what may run only once is not run again."""
    begin(joblot, ONCE + "  - {name: last, run: 'echo last >> log', needs: [end], when: always}\n")
    text = ONCE.replace("exit 3", "touch began; until [ -e go ]; do sleep 0.02; done").replace("echo pay", "echo paid")
    joblot.write("joblot.yaml", text + "  - {name: last, run: 'echo last >> log', needs: [end], when: always}\n")
    with joblot.popen("retry", "r1") as process:
        joblot.wait_for("began")
        process.kill()
        process.wait(60)
    joblot.write("go", "")
    assert joblot("resume").code == 0
    assert ran(joblot) == ["end", "end", "last"]
    assert len(runs(joblot)) == 2


@pytest.mark.alone
def test_a_run_that_was_killed_is_continued_from_what_it_recorded(joblot):
    wait = "touch began; until [ -e go ]; do sleep 0.02; done"
    text = (
        "jobs:\n  - {name: a, run: 'echo a >> log'}\n"
        f"  - {{name: b, run: 'echo half > b.txt; {wait}', outputs: [b.txt], needs: [a]}}\n"
    )
    joblot.write("joblot.yaml", text)
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("began")
        process.kill()
        process.wait(60)
    joblot.write(
        "joblot.yaml",
        text.replace(wait, "echo b >> log").replace("echo half", "test ! -e b.txt; echo whole"),
    )
    ran(joblot)
    done = joblot("retry", "r1")
    assert (done.code, ran(joblot)) == (0, ["b"]), done.err
    assert (joblot.path / "b.txt").read_text() == "whole\n"


@pytest.mark.alone
def test_a_run_that_goes_on_is_not_continued(joblot):
    text = "jobs: [{name: a, run: 'touch began; until [ -e go ]; do sleep 0.02; done'}]\n"
    joblot.write("joblot.yaml", text)
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("began")
        joblot.write("joblot.yaml", text.replace("sleep", "sleep "))
        done = joblot("retry", "r1")
        joblot.write("go", "")
        assert process.wait(60) == 0
    assert (done.code, "error: run `r1` is held by process " in done.err) == (5, True)
    assert runs(joblot) == ["r1"]


ENDING = """\
jobs:
  - {name: start, run: 'echo start >> log'}
  - {name: may, run: 'echo may >> log; exit 4', allow_failure: true}
  - {name: behind, run: 'echo behind >> log', needs: [may]}
  - {name: off, run: 'echo off >> log', needs: [ask], if: '${{ jobs.ask.result.go }}'}
  - {name: ask, run: 'echo ask >> log; echo {\\"go\\": false} > $JOBLOT_OUTPUT'}
  - {name: although, run: 'echo although >> log', needs: [off], when: always}
  - {name: bad, run: 'echo bad >> log; exit 3', needs: [start]}
  - {name: clean, run: 'echo clean >> log', needs: [bad], when: always}
finally:
  - {name: tell, run: 'echo tell $JOBLOT_STATUS >> log'}
  - {name: mail, run: 'echo mail >> log', when: failure}
"""
GOOD_END = ENDING.replace("bad >> log; exit 3", "bad >> log")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([], ["bad", "clean", "may", "tell success"]),  # `behind` went on after a failure, and does so after the same one
        ([("; exit 4", "")], ["bad", "behind", "clean", "may", "tell success"]),
        ([("; exit 4", ""), (", allow_failure: true", "")], ["bad", "behind", "clean", "may", "tell success"]),
        ([("false", "true")], ["although", "ask", "bad", "clean", "may", "off", "tell success"]),
        ([(", if: '${{ jobs.ask.result.go }}'", "")], ["although", "bad", "clean", "may", "off", "tell success"]),
        ([("echo off", "echo of")], ["bad", "clean", "may", "tell success"]),  # it is skipped as it was
        ([("needs: [bad], when: always", "needs: [start], when: always")], ["bad", "clean", "may", "tell success"]),
        ([("echo tell", "echo told")], ["bad", "clean", "may", "told success"]),
        ([("bad >> log", "bad >> log; exit 5")], ["bad", "clean", "mail", "may", "tell failed"]),
    ],
)  # fmt: skip
def test_the_end_comes_anew_and_what_was_skipped_or_may_fail_is_no_success(joblot, change, expected):
    begin(joblot, ENDING)
    text = GOOD_END
    for before, after in change:
        assert before in text
        text = text.replace(before, after)
    joblot.write("joblot.yaml", text)
    joblot("retry", "r1", "-j", "1")
    assert sorted(ran(joblot)) == expected
    told = states(joblot)
    assert told["tell"] == ("success", "")
    assert told["start"] == ("cached", "carried_over")


def test_job_leaves_the_end_in_and_needs_nothing_that_may_fail(joblot):
    begin(joblot, ENDING)
    joblot.write("joblot.yaml", GOOD_END.replace("echo behind", "echo beyond"))
    done = joblot("retry", "r1", "--job", "behind", "-j", "1")
    assert (done.code, sorted(ran(joblot))) == (0, ["beyond", "tell success"]), done.err
    done = joblot("retry", "last", "--job", "behind", "-j", "1")
    assert (done.code, sorted(ran(joblot))) == (0, ["beyond", "tell success"]), done.err


def test_what_may_not_fail_any_more_is_a_failure(joblot):
    begin(joblot, ENDING)
    joblot.write("joblot.yaml", GOOD_END.replace(", allow_failure: true", ""))
    assert joblot("retry", "r1", "-j", "1").code == 1
    assert states(joblot)["behind"] == ("skipped", "need_failed")


DAY = """\
timezone: UTC
jobs:
  - {name: a, run: 'echo a ${{ run.date }} >> log'}
  - {name: b, run: 'echo b ${{ run.date }} >> log; exit 3'}
"""


def began_on_another_day(joblot, run):
    """Put the beginning of a run to 2025-12-31, 23:50 UTC."""
    with closing(sqlite3.connect(joblot.path / ".joblot/journal.db")) as journal:
        journal.execute("UPDATE run SET started_at = 1767225000.0 WHERE run_id = ?", (run,))
        journal.commit()


def test_the_day_stays_that_of_the_first_run(joblot):
    """A new day alone is no change; a run that continues one has its day, and so has the next that continues that."""
    today = day_of(time.time(), "UTC")
    begin(joblot, DAY)
    assert joblot("retry", "r1").code == 1
    assert (runs(joblot), ran(joblot)) == (["r1"], [f"b {today}"])
    began_on_another_day(joblot, "r1")
    joblot.write("joblot.yaml", DAY.replace("exit 3", "exit 4"))
    assert joblot("retry", "r1", "-j", "1").code == 1
    assert sorted(ran(joblot)) == ["a 2025-12-31", "b 2025-12-31"]
    assert joblot("retry", "last").code == 1
    assert (len(runs(joblot)), ran(joblot)) == (2, ["b 2025-12-31"])
    joblot.write("joblot.yaml", DAY.replace("; exit 3", ""))
    assert joblot("retry", "last").code == 0
    assert (len(runs(joblot)), ran(joblot)) == (3, ["b 2025-12-31"])


def test_the_day_of_a_batch_made_in_python_stays_too(joblot):
    joblot.write("days.py", DAYS)

    def program(*words):
        command = [sys.executable, "days.py", *words]
        done = subprocess.run(command, cwd=joblot.path, env=joblot.env, capture_output=True, text=True, timeout=60)
        return done.stdout, ran(joblot), done.stderr

    today = day_of(time.time(), "UTC")
    assert program("exit 3")[:2] == ("True failed\n", [f"a {today}", f"b {today}"])
    assert program("exit 3", "r1")[:2] == ("True failed\n", [f"b {today}"])
    began_on_another_day(joblot, "r1")
    assert program("exit 3", "r1")[:2] == (
        "True failed\n",
        [f"b {today}"],
    )  # the same batch: the same run, which knows its day
    assert program("exit 0", "r1")[:2] == ("False success\n", [f"b {today}"])


DAYS = """\
import sys
from joblot import Batch

batch = Batch("py", timezone="UTC")
batch.command("a", "echo a ${{ run.date }} >> log")
batch.command("b", "echo b ${{ run.date }} >> log; " + sys.argv[1])
report = batch.run(workers=1, **({"run_id": "r1"} if len(sys.argv) < 3 else {"retry": sys.argv[2]}))
print(report.run_id == "r1", report.status)
"""


@pytest.mark.alone
def test_of_several_retries_at_once_one_continues_the_run(joblot):
    begin(joblot)
    joblot.write("joblot.yaml", MENDED.replace("echo load", "until [ -e go ]; do sleep 0.02; done; echo load"))
    processes = [joblot.popen("retry", "r1") for _ in range(3)]
    until = time.monotonic() + 60
    while sum(process.poll() is not None for process in processes) < 2:
        assert time.monotonic() < until, "more than one goes on"
        time.sleep(0.02)
    joblot.write("go", "")
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    codes = [process.returncode for process in processes]
    refused = [error.rpartition("error: ")[2] for code, error in zip(codes, errors, strict=True) if code]
    assert (codes.count(0), set(codes) <= {0, 4, 5}) == (1, True), errors
    # Whoever comes while the first run is being handed over is told who holds it.
    assert all(error.startswith(("run `r1` was continued by run ", "run `r1` is held by ")) for error in refused)
    assert (len(runs(joblot)), sorted(ran(joblot))) == (2, ["end", "load"])


def test_a_run_that_was_killed_before_its_first_record_is_continued_with_what_it_was_given(joblot):
    """Its selection and the values of its variables stand in a note until there is a record."""
    begin(joblot, BATCH, "--var", "day=wed", "--exclude", "after")
    (joblot.path / ".joblot/runs/r1/events.jsonl").unlink()
    (joblot.path / ".joblot/runs/r1/report.json").unlink()
    with closing(sqlite3.connect(joblot.path / ".joblot/journal.db")) as journal:
        journal.execute("DELETE FROM record")
        journal.execute("UPDATE run SET status = 'running', ended_at = NULL")
        journal.commit()
    joblot.write("joblot.yaml", MENDED)
    assert joblot("retry", "r1", "-j", "1").code == 0
    assert sorted(ran(joblot)) == ["end", "load", "make", "tell wed 1"]


def test_a_value_of_a_variable_that_is_gone_is_an_error(joblot):
    begin(joblot, BATCH, "--var", "day=wed")
    joblot.write("joblot.yaml", MENDED.replace("day", "date"))
    done = joblot("retry", "r1")
    assert (done.code, runs(joblot)) == (2, ["r1"])
    assert done.err.startswith("DIR/joblot.yaml:2:7: error: no variable `day` in this batch: it has `date`\n")


# --- what the run was begun with does not fit any more ------------------------------------------------

VALUES = "a retry takes the values that the run was given; "
AS_IT_WAS = "`joblot retry r1 --as-it-was` goes on with the batch as it was"
MISFITS = {
    "a selected job was renamed": (
        ["--only", "load"],
        ("load", "loads"),
        [],
        ["no job is called `load`; run `r1` was begun with that selection", f"did you mean `loads`? {AS_IT_WAS}"],
    ),
    "no job matches a selected pattern any more": (
        ["--exclude", "aft*"],
        ("name: after", "name: behind"),
        [],
        ["no job's name matches `aft*`; run `r1` was begun with that selection", AS_IT_WAS],
    ),
    "a given variable was renamed": (
        ["--var", "day=wed"],
        ("day", "days"),
        [],
        ["no variable `day` in this batch: it has `days`", f"did you mean `days`? {VALUES}{AS_IT_WAS}"],
    ),
    "a given variable has another type": (
        ["--var", "day=wed"],
        ("day: mon", "day: {type: int, default: 3}"),
        [],
        ["variable `day` must be a whole number, not `wed`", f"{VALUES}{AS_IT_WAS}"],
    ),
    "a given variable is held to other values": (
        ["--var", "day=wed"],
        ("day: mon", "day: {enum: [mon, tue], default: mon}"),
        [],
        ["variable `day` must be one of `mon`, `tue`, not the text `wed`", f"{VALUES}{AS_IT_WAS}"],
    ),
    "a variable is required": (
        [],
        ("day: mon", "day: mon, new: {required: true}"),
        [],
        ["variable `new` needs a value", f"{VALUES}{AS_IT_WAS}"],
    ),
    "a job that is to run was renamed": (
        [],
        ("load", "loads"),
        ["--job", "load"],
        ["no job is called `load` any more, as in run `r1`", f"did you mean `loads`? {AS_IT_WAS}"],
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_the_run_was_begun_with_does_not_fit_the_batch_any_more(joblot, case):
    words, (old, new), more, told = MISFITS[case]
    begin(joblot, BATCH, *words)
    joblot.write("joblot.yaml", BATCH.replace(old, new))
    done = joblot("retry", "r1", *more)
    lines = [line.partition("error: ")[2] or line.removeprefix("hint: ") for line in done.err.splitlines()]
    assert (done.code, [line for line in lines if line in told]) == (2, told), done.err
    assert joblot("retry", "r1", "--as-it-was").code == 1
    assert runs(joblot) == ["r1"]


@pytest.mark.parametrize(
    ("files", "gone", "told"),
    [
        (["b.yaml"], ["b.yaml"], "`DIR/b.yaml` is not there any more: the recorded plan of run `r1` is used"),
        (["b.yaml", "c.yaml"], ["c.yaml"], "`DIR/c.yaml` is not there any more: the recorded plan of run `r1` is used"),
        (
            ["b.yaml", "c.yaml", "d.yaml"],
            ["b.yaml", "d.yaml"],
            "`DIR/b.yaml` and 1 more are not there any more: the recorded plan of run `r1` is used",
        ),
    ],
)
@pytest.mark.parametrize("command", ["retry", "resume"])
def test_a_file_that_is_gone_has_not_changed(joblot, command, files, gone, told):
    for name in files:
        joblot.write(name, "jobs: [{name: a, run: exit 3}]\n")
    assert joblot("run", *files, "--run-id", "r1").code == 1
    for name in gone:
        (joblot.path / name).unlink()
    done = joblot(command, "r1")
    assert (done.code, told in done.plain, "has changed" in done.plain) == (1, True, False)
