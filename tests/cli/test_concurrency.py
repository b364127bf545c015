"""One run at a time: what happens to the next one is what the batch says (`concurrency`), or `--wait`."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.conftest import Project

from joblot.errors import RunHeldError
from joblot.journal.claims import Claims

PYTHON = shlex.quote(sys.executable)
GOES_ON = "touch began; until [ -e go ]; do sleep 0.02; done; rm go began"


def batch(run="true", *, name="nightly", **concurrency):
    words = "".join(f"{word}: {value}, " for word, value in concurrency.items())
    return f"name: {name}\nconcurrency: {{{words}}}\njobs: [{{name: a, run: {json.dumps(run)}}}]\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A project in which a run `r1` goes on, of a batch in the folder `one`, without outputs, of the group `db`."""
    project = Project(tmp_path_factory.mktemp("concurrency"))
    project.write("one/joblot.yaml", batch(GOES_ON, group="db"))
    process = project.popen("run", "one/joblot.yaml", "--run-id", "r1")
    project.wait_for("one/began")
    yield project
    project.write("one/go", "")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


GROUP = "another run of group `db` is going on: run `r1`, process "


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("one/joblot.yaml", ()),
        ("one/joblot.yaml", ("--only", "a", "--force")),
        ("one/joblot.yaml", ("--state", "elsewhere")),
        ("two/joblot.yaml", ()),
        ("two/joblot.yaml", ("--on", "inline")),
        ("two/var.yaml", ("--var", "base=db")),
    ],
)
def test_another_run_of_the_group_is_refused(live, file, arguments):
    live.write("two/joblot.yaml", batch(name="other", group="db", on_conflict="fail"))
    text = batch(name="third", group='"${{ vars.base }}"')
    live.write("two/var.yaml", f"vars: {{base: files}}\n{text}")
    done = live("run", file, *arguments)
    assert (done.code, done.out) == (5, "")
    line, hint = done.err.splitlines()
    assert line.startswith(f"error: {GROUP}")
    assert hint.startswith("hint: wait for its end with `--wait`, or stop it: `joblot cancel r1")


@pytest.mark.parametrize("text", [batch(), batch(group="files"), batch(group="DB"), "jobs: [{name: a, run: 'true'}]\n"])
def test_another_group_or_none_runs_beside_it(live, text):
    live.write("three/joblot.yaml", text)
    assert live("run", "three/joblot.yaml").code == 0


def test_a_run_that_is_to_be_skipped_is(live):
    """Exit code 0 and one line; with `--json` a document, with `--quiet` nothing."""
    live.write("two/skip.yaml", batch(group="db", on_conflict="skip"))
    done = live("run", "two/skip.yaml")
    assert (done.code, done.out) == (0, "")
    assert done.plain.startswith(f"INFO | skipped: {GROUP}")
    assert done.plain.count("\n") == 1
    assert not (live.path / "two/.joblot/runs").exists()
    assert live("run", "two/skip.yaml", "-q")[:3] == (0, "", "")
    done = live("run", "two/skip.yaml", "--json")
    assert done.code == 0
    assert json.loads(done.out)["skipped"].startswith(GROUP)


@pytest.mark.parametrize("words", [("plan",), ("validate",), ("run", "--dry-run", "--wait"), ("graph",)])
def test_who_only_looks_never_waits(live, words):
    live.write("two/wait.yaml", batch(group="db", on_conflict="wait"))
    assert live(words[0], "two/wait.yaml", *words[1:]).code == 0


def test_what_is_gone_on_with_does_not_wait(live):
    live.write("four/joblot.yaml", "jobs: [{name: a, run: exit 3}]\n")
    assert live("run", "four/joblot.yaml", "--run-id", "r4").code == 1
    live.write("four/joblot.yaml", batch("exit 3", group="free", on_conflict="wait"))
    assert live("run", "four/joblot.yaml", "--run-id", "r5", "--force").code == 1
    text = (live.path / "four/.joblot/runs/r5/plan.json").read_text()
    assert '"concurrency":{"group":"free","on_conflict":"wait"}' in text
    for words in (("resume", "r1"), ("retry", "r1", "--failed")):
        done = live(*words, "--state", "one/.joblot")
        assert done.code == 5
        assert "`r1`" in done.err
    code = (
        "import joblot\n"
        "try:\n"
        "    joblot.run('four/joblot.yaml', resume='r5', wait=True)\n"
        "except joblot.JoblotError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=live.path, env=live.env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "`wait` is for a run that begins: one that goes on does not wait for another\n", done.stderr


def test_accents_typed_in_two_ways_are_one_group(tmp_path):
    def claims(run, group):
        return Claims(run, batch=run, folder=str(tmp_path), state=None, group=group, makes=False)

    first, second = claims("r1", "caf\u00e9"), claims("r2", "cafe\u0301")
    assert first.take(())
    try:
        with pytest.raises(RunHeldError, match="run `r1`"):
            second.take(())
    finally:
        second.close()
        first.close()


@pytest.mark.parametrize("how", ["fail", "wait", "skip"])
def test_a_run_that_would_continue_another_does_not_wait_either(live, how):
    text = batch("exit 3", group="free", on_conflict=how)
    live.write("five/joblot.yaml", text)
    run = f"r-{how}"
    assert live("run", "five/joblot.yaml", "--run-id", run).code == 1
    live.write("five/joblot.yaml", text.replace("free", "db"))
    done = live("retry", run, "--state", "five/.joblot")
    assert (done.code, done.out) == (5, ""), done.err
    assert f"error: {GROUP}" in done.err
    # Nothing has come of that: it can be continued.
    live.write("five/joblot.yaml", text.replace("exit 3", "exit 0"))
    assert live("retry", run, "--state", "five/.joblot").code == 0


def test_a_batch_made_in_python_says_it_too(live):
    code = (
        "import joblot, sys\n"
        "for word in ('fail', 'skip'):\n"
        "    batch = joblot.Batch('py', concurrency={'group': 'db', 'on_conflict': word})\n"
        "    batch.command('a', 'true')\n"
        "    try:\n"
        "        batch.run(state=False)\n"
        "    except joblot.JoblotError as error:\n"
        "        print(type(error).__name__, isinstance(error, joblot.RunHeldError), error.exit_code, error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=live.path, env=live.env, capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert [line.split(" another")[0] for line in lines] == ["RunHeldError True 5", "RunSkippedError True 0"], (
        done.stderr
    )


def waiting(process):
    """The line in which a run says for whom it waits."""
    return process.stderr.readline().decode()


@pytest.mark.alone
@pytest.mark.parametrize("outputs", ["", ", outputs: [x]"])
def test_those_who_wait_have_their_turn_one_after_the_other(joblot, outputs):
    """Of a batch that says so, or is told to; each says once for whom it waits."""
    wait = "concurrency: {on_conflict: wait}\n"
    run = f"echo $JOBLOT_RUN_ID >> order; touch x; {GOES_ON}"
    joblot.write("joblot.yaml", f"name: nightly\n{wait}jobs: [{{name: a, run: '{run}'{outputs}}}]\n")
    runs = [joblot.popen("run", "--run-id", "r1", "--force")]
    joblot.wait_for("began")
    for number in (2, 3, 4):
        runs.append(joblot.popen("run", "--run-id", f"r{number}", "--force", "--wait"))
        line = waiting(runs[-1])
        assert " | WARNING | waiting: another run of batch `nightly` is going on: run `r1`, process " in line
    runs[1].send_signal(signal.SIGINT)
    _, rest = runs[1].communicate(timeout=60)
    assert (runs[1].returncode, rest) == (130, b"")
    runs[2].kill()
    runs[2].communicate(timeout=60)
    joblot.write("go", "")
    assert runs[0].wait(60) == 0
    joblot.wait_for("order", "r4")
    joblot.wait_for("began")
    joblot.write("go", "")
    _, rest = runs[3].communicate(timeout=60)
    assert (runs[3].returncode, b"waiting" in rest) == (0, False)
    runs[0].communicate(timeout=60)
    assert (joblot.path / "order").read_text() == "r1\nr4\n"
    assert list((joblot.path / ".local/state/joblot/claims").iterdir()) == []


STOPS = {
    "Ctrl-C": [signal.SIGINT],
    "Ctrl-C twice": [signal.SIGINT, signal.SIGINT],
    "TERM, then Ctrl-C": [signal.SIGTERM, signal.SIGINT],
    "HUP": [signal.SIGHUP],
    "cancel": [],
    "time limit": [],
}


@pytest.mark.alone
@pytest.mark.parametrize("how", STOPS)
def test_who_waits_begins_when_the_first_one_has_done_its_finally(joblot, how):
    """However the first is stopped: what its jobs of `finally` clean up is not cleaned up under the next run."""
    joblot.write(
        "joblot.yaml",
        f"timeout: {'2s' if how == 'time limit' else '1h'}\n"
        "jobs:\n"
        "  - name: a\n    grace: 0\n    outputs: [x]\n"
        "    run: 'echo $JOBLOT_RUN_ID >> order; touch x began; until [ -e done ]; do sleep 0.02; done'\n"
        "finally:\n"
        "  - {name: end, run: 'touch cleaning; until [ -e go ]; do sleep 0.02; done; echo $JOBLOT_RUN_ID ended >> order'}\n",
    )
    first = joblot.popen("run", "--run-id", "r1")
    joblot.wait_for("began")
    second = joblot.popen("run", "--run-id", "r2", "--wait", "--force")
    assert "run `r1`" in waiting(second)
    for number in STOPS[how]:
        first.send_signal(number)
        while b" SIG" not in (line := first.stderr.readline()):  # two signals of one kind may become one
            assert line
    if how == "cancel":
        assert joblot("cancel", "r1", "--kill").code == 0
    if len(STOPS[how]) == 1:
        joblot.write("done", "")
    joblot.wait_for("cleaning")
    joblot.write("done", "")
    assert (second.poll(), (joblot.path / "order").read_text()) == (None, "r1\n")
    joblot.write("go", "")
    first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert (joblot.path / "order").read_text() == "r1\nr1 ended\nr2\nr2 ended\n"


@pytest.mark.alone
def test_the_next_one_is_the_one_that_came_first(joblot):
    joblot.write("joblot.yaml", batch(f"echo $JOBLOT_RUN_ID >> order; {GOES_ON}", on_conflict="wait"))
    runs = [joblot.popen("run", "--run-id", "r0")]
    joblot.wait_for("began")
    for number in range(1, 5):
        runs.append(joblot.popen("run", "--run-id", f"r{number}"))
        assert "waiting: " in waiting(runs[-1])
    for number, process in enumerate(runs):
        joblot.wait_for("order", f"r{number}")
        joblot.wait_for("began")
        joblot.write("go", "")
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert (joblot.path / "order").read_text().split() == ["r0", "r1", "r2", "r3", "r4"]


@pytest.mark.alone
def test_who_does_not_wait_does_not_push_in(joblot):
    """A run that waits counts as one that goes on."""
    joblot.write("joblot.yaml", batch(GOES_ON, group="db", on_conflict="wait"))
    joblot.write("other.yaml", batch(name="other", group="db"))
    first = joblot.popen("run", "--run-id", "r1")
    joblot.wait_for("began")
    second = joblot.popen("run", "--run-id", "r2")
    assert "waiting: " in waiting(second)
    second.send_signal(signal.SIGSTOP)
    joblot.write("go", "")
    first.communicate(timeout=60)
    done = joblot("run", "other.yaml")
    second.send_signal(signal.SIGCONT)
    joblot.wait_for("began")
    joblot.write("go", "")
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode, done.code) == (0, 0, 5)
    assert "error: another run of group `db` waits for its turn: run `r2`, process " in done.err


@pytest.mark.alone
def test_wait_also_waits_for_another_batch_that_makes_the_same(joblot):
    joblot.write("one.yaml", f"jobs: [{{name: a, run: 'echo one > x; {GOES_ON}', outputs: [x]}}]\n")
    joblot.write("two.yaml", "jobs: [{name: a, run: 'cat x > seen; echo two > x', outputs: [x]}]\n")
    first = joblot.popen("run", "one.yaml", "--run-id", "r1")
    joblot.wait_for("began")
    second = joblot.popen("run", "two.yaml", "--wait")
    assert "waiting: `" in waiting(second)
    joblot.write("go", "")
    assert [process.communicate(timeout=60) and process.returncode for process in (first, second)] == [0, 0]
    assert (joblot.path / "seen").read_text() == "one\n"


@pytest.mark.parametrize("how", ["fail", "wait", "skip"])
def test_a_job_may_run_a_batch_of_its_own_group(joblot, how):
    """It does a part of the work of the run that has the group; to wait for that one would be for ever."""
    joblot.write("inner.yaml", batch("touch made", name="inner", group="db", on_conflict=how))
    joblot.write("joblot.yaml", batch(f"{PYTHON} -m joblot run inner.yaml", group="db"))
    assert joblot.real("run").code == 0
    assert (joblot.path / "made").exists()


def test_a_group_that_others_cannot_see_is_told(joblot):
    joblot.write("joblot.yaml", batch(group="db"))
    done = joblot("run", env={"HOME": "/nonexistent"})
    told = "WARNING | group `db` holds among the runs of this state folder only: `/nonexistent/.local/state/joblot` cannot be used\n"
    assert (done.code, told in done.plain) == (0, True), done.err


def test_nothing_is_claimed_that_is_not_asked_for(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true'}]\n")
    assert joblot("run", "--wait").code == 0
    assert not (joblot.path / ".joblot/claims").exists()
    assert not os.path.lexists(joblot.path / ".local")


@pytest.mark.alone
def test_a_run_that_was_killed_is_in_nobodys_way(joblot):
    joblot.write("joblot.yaml", batch(GOES_ON, group="db", on_conflict="skip"))
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("began")
        process.kill()
        process.wait(60)
    joblot.write("go", "")
    until = time.monotonic() + 30
    while (done := joblot("run", "--run-id", "r2")).err.count("skipped: another") and time.monotonic() < until:
        time.sleep(0.02)
    assert (done.code, "1 succeeded" in done.out) == (0, True), done.err


@pytest.mark.parametrize(
    ("words", "line", "data"),
    [
        ({"on_conflict": "fail"}, "One run of this batch at a time: another one is refused", ("", "fail")),
        ({"on_conflict": "wait"}, "One run of this batch at a time: another one waits for its turn", ("", "wait")),
        ({"group": "a/b é", "on_conflict": "skip"}, "One run of group `a/b é` at a time: another one is skipped", ("a/b é", "skip")),
        ({"group": '"a\\nb"'}, "One run of group `a b` at a time: another one is refused", ("a\nb", "fail")),
    ],
)  # fmt: skip
def test_a_plan_says_it(joblot, words, line, data):
    joblot.write("joblot.yaml", batch(**words))
    done = joblot("plan")
    assert done.out.splitlines()[1] == line
    assert json.loads(joblot("plan", "--json").out)["concurrency"] == dict(
        zip(("group", "on_conflict"), data, strict=True)
    )


def test_a_plan_says_nothing_where_nothing_is_asked_for(joblot):
    joblot.write("joblot.yaml", "jobs: []\n")
    assert "at a time" not in joblot("plan").out
    assert "concurrency" not in json.loads(joblot("plan", "--json").out)
