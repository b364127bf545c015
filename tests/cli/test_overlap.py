"""Two runs at once that make the same files: the second is refused, whatever the two have in common and whatever they have not."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from tests.cli.conftest import Project

PYTHON = shlex.quote(sys.executable)
FIRST = """\
name: nightly
jobs:
  - {name: fetch, run: "mkdir -p made; echo data > data.txt; touch began; until [ -e go ]; do sleep 0.02; done", outputs: [data.txt]}
  - {name: tree, run: "mkdir -p tree; touch tree/x", outputs: [tree]}
"""
FAILING = "jobs: [{{name: a, run: 'echo broken > data.txt; exit 3', outputs: ['{}']}}]\n"
"""Another batch: a failing job that declares a path."""


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A project in whose folder `one` a run `r1` of FIRST is going on until the file `go` is there."""
    project = Project(tmp_path_factory.mktemp("overlap"))
    project.write("one/joblot.yaml", FIRST)
    (project.path / "link").symlink_to("one")
    project.write("two/leads.txt", "")
    (project.path / "two/leads.txt").unlink()
    (project.path / "two/leads.txt").symlink_to("../one/data.txt")
    process = project.popen("run", "one/joblot.yaml", "--run-id", "r1")
    project.wait_for("one/began")
    yield project
    project.write("one/go", "")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, b"2 succeeded" in out) == (0, True), err
    assert (project.path / "one/data.txt").read_text() == "data\n"


def held(error: str, what: str, batch_hint: str, *, begins: bool = True) -> bool:
    """Whether standard error is the refusal, in one line and a hint; only a run that begins can wait."""
    line, hint = error.splitlines()[-2:]
    wait = "wait for its end with `--wait`" if begins else "wait for its end"
    return (
        line.startswith(f"error: {what}: run `r1`, process ")
        and hint == f"hint: {wait}, or stop it: `joblot cancel r1{batch_hint}`; it needs no unlock when it is gone"
    )


SAME = "another run of batch `nightly` is going on"
SHARED = "`DIR/{}` is being made by another run, of batch `nightly`"
WHERE = " --state DIR/one/.joblot"


@pytest.mark.parametrize(
    "arguments",
    [
        ("one/joblot.yaml",),
        ("link/joblot.yaml",),
        ("one/joblot.yaml", "--state", "elsewhere"),
        ("one/joblot.yaml", "--only", "tree"),
        ("one/joblot.yaml", "--on", "inline"),
        ("one/joblot.yaml", "--run-id", "r2", "--force"),
        ("one/joblot.yaml", "-q"),
    ],
)
def test_a_second_run_of_a_batch_is_refused(first, arguments):
    """G5, exit code 5, whatever it is called by and wherever its state is."""
    done = first("run", *arguments)
    assert (done.code, done.out) == (5, "")
    assert held(done.err, SAME, WHERE), done.err
    assert not (first.path / "elsewhere/runs").exists()


@pytest.mark.parametrize("arguments", [("run",), ("run", "joblot.yaml", "-q"), ("run", "b.yaml")])
def test_in_the_folder_of_the_state_a_hint_need_not_name_it(first, arguments):
    first.write("one/b.yaml", FAILING.format("data.txt"))
    what = SHARED.format("one/data.txt") if "b.yaml" in arguments else SAME
    assert held(first(*arguments, cwd=first.path / "one").err, what, "")


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_who_goes_on_with_a_run_from_elsewhere_is_told_where_it_is(first, command):
    done = first(command, "r1", "--state", "one/.joblot")
    assert (done.code, done.out) == (5, "")
    assert done.err.endswith(f"hint: `joblot cancel{WHERE}` stops it; it needs no unlock when it is gone\n"), done.err


def test_what_a_run_is_making_is_not_accepted(first):
    """It may be half a file."""
    done = first("accept", "one/joblot.yaml", "fetch")
    assert (done.code, done.out) == (5, "")
    assert held(done.err, SAME, "", begins=False), done.err


@pytest.mark.parametrize(
    ("batch", "output", "path"),
    [
        ("one/b.yaml", "data.txt", "one/data.txt"),
        ("one/b.yaml", "./made/../data.txt", "one/data.txt"),
        ("two/b.yaml", "{}/one/data.txt", "one/data.txt"),
        ("two/b.yaml", "../one/data.txt", "one/data.txt"),
        ("two/b.yaml", "../link/data.txt", "one/data.txt"),
        ("two/b.yaml", "leads.txt", "one/data.txt"),
        ("one/b.yaml", "tree/inner/y", "one/tree/inner/y"),
        ("one/b.yaml", "data.txt/", "one/data.txt"),
        ("b.yaml", "one", "one"),
    ],
)
def test_a_run_of_another_batch_that_makes_the_same_is_refused(first, batch, output, path):
    first.write(batch, FAILING.format(output.format(first.path)))
    done = first("run", batch)
    assert (done.code, done.out) == (5, "")
    assert held(done.err, SHARED.format(path), WHERE), done.err
    assert (first.path / "one/data.txt").read_text() == "data\n"


def test_an_item_of_a_fan_out_counts_too(first):
    text = "jobs: [{name: 'a-${{ item }}', foreach: [x, data], run: exit 3, outputs: ['${{ item }}.txt']}]\n"
    first.write("one/fan.yaml", text)
    done = first("run", "one/fan.yaml")
    assert (done.code, held(done.err, SHARED.format("one/data.txt"), WHERE)) == (5, True), done.err


def test_a_batch_made_in_python_counts_too(first):
    code = (
        "import sys, joblot\n"
        "batch = joblot.Batch('other', folder='one')\n"
        "batch.command('a', 'exit 3', outputs=['data.txt'])\n"
        "try:\n"
        "    batch.run(state=False)\n"
        "except joblot.JoblotError as error:\n"
        "    print(type(error).__name__, error.message.partition(', process')[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=first.path, env=first.env, capture_output=True, text=True, timeout=60
    )
    text = done.stdout.replace(str(first.path), "DIR")
    assert text == f"RunHeldError {SHARED.format('one/data.txt')}: run `r1`\n", done.stderr


def test_the_state_folder_tells_those_who_share_it_and_have_another_home(first):
    first.write("home/x", "")
    for home in (str(first.path / "home"), "/nonexistent", "/"):
        done = first.real("run", "one/joblot.yaml", env={"HOME": home, "XDG_STATE_HOME": "relative"})
        assert (done.code, held(done.err, SAME, WHERE)) == (5, True), done.err


@pytest.mark.parametrize(
    "text",
    [
        "jobs: [{name: a, run: 'true'}]\n",
        "jobs: [{name: a, run: 'touch other.txt', outputs: [other.txt]}]\n",
        "jobs: [{name: a, run: 'touch data.txt.gz', outputs: [data.txt.gz]}]\n",
        "jobs: [{name: a, run: 'mkdir -p trees', outputs: [trees]}]\n",
        "jobs: [{name: a, run: 'mkdir -p DATA; touch DATA/data.txt', outputs: [DATA/data.txt]}]\n",
        "jobs: [{name: a, input: data.txt, run: 'true'}]\n",
    ],
)
def test_what_makes_other_files_runs_beside_it(first, text):
    first.write("one/other.yaml", text)
    assert first("run", "one/other.yaml").code == 0


WAITS = "mkdir -p out; touch out/began; until [ -e go ]; do sleep 0.02; done"


@pytest.mark.alone
def test_an_earlier_run_does_not_go_on_beside_it(joblot):
    joblot.write(
        "joblot.yaml", f"name: nightly\njobs: [{{name: a, run: 'test -e good || exit 3; {WAITS}', outputs: [out]}}]\n"
    )
    assert joblot("run", "--run-id", "r0").code == 1
    joblot.write("good", "")
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("out/began")
        refused = [joblot("resume", "r0"), joblot("retry", "r0", "--failed"), joblot("replay", "r0", "a")]
        joblot.write("go", "")
        assert process.wait(60) == 0
    assert [(done.code, held(done.err, SAME, "", begins=False)) for done in refused] == [(5, True)] * 3
    assert joblot("resume", "r0").code == 0
    assert joblot("replay", "r0", "a").code == 0


@pytest.mark.alone
def test_a_killed_run_needs_no_unlock(joblot):
    joblot.write("joblot.yaml", f"jobs: [{{name: a, run: '{WAITS}', outputs: [out], grace: 100ms}}]\n")
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("out/began")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    joblot.write("go", "")
    assert joblot("resume", "r1").code == 0
    assert joblot("run", "--force").code == 0
    assert list((joblot.path / ".local/state/joblot/claims").iterdir()) == []
    assert list((joblot.path / ".joblot/claims").iterdir()) == []


@pytest.mark.alone
def test_what_a_run_finds_on_its_way_is_claimed_then(joblot):
    """The growing job fails, and nothing of what the other run makes is touched."""
    growing = (
        "jobs:\n"
        '  - {name: list, run: \'echo {\\"names\\": [\\"x\\", \\"out\\"]} > $JOBLOT_OUTPUT\'}\n'
        "  - {name: 'make-${{ item }}', run: exit 3, foreach: '${{ jobs.list.result.names }}', outputs: ['${{ item }}'], needs: [list]}\n"
    )
    joblot.write("joblot.yaml", f"name: first\njobs: [{{name: a, run: '{WAITS}', outputs: [out]}}]\n")
    joblot.write("growing.yaml", growing)
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("out/began")
        done = joblot("run", "growing.yaml")
        joblot.write("go", "")
        assert process.wait(60) == 0
    assert done.code == 1
    assert "make-*: failed: `DIR/out` is being made by another run, of batch `first`: run `r1`, process " in done.err
    assert joblot("retry", "last", "--failed", "--json").code == 1  # now its jobs run, and fail by themselves
    assert json.loads(joblot("show", "last", "--json").out)["results"][-1]["status"] == "failed"


@pytest.mark.alone
def test_what_a_run_has_found_is_claimed_against_those_that_begin_later(joblot):
    growing = (
        "name: growing\n"
        "jobs:\n"
        '  - {name: list, run: \'echo {\\"names\\": [\\"out\\"]} > $JOBLOT_OUTPUT\'}\n'
        f"  - {{name: 'make-${{{{ item }}}}', run: '{WAITS}', foreach: '${{{{ jobs.list.result.names }}}}', outputs: ['${{{{ item }}}}'], needs: [list]}}\n"
    )
    joblot.write("growing.yaml", growing)
    joblot.write("joblot.yaml", FAILING.format("out/x.txt"))
    with joblot.popen("run", "growing.yaml", "--run-id", "r1") as process:
        joblot.wait_for("out/began")
        done = joblot("run")
        joblot.write("go", "")
        assert process.wait(60) == 0
    assert (done.code, held(done.err, "`DIR/out/x.txt` is being made by another run, of batch `growing`", "")) == (
        5,
        True,
    )


@pytest.mark.alone
def test_a_run_within_a_job_of_another_may_make_what_that_job_declares(joblot):
    joblot.write("inner.yaml", "jobs: [{name: a, run: 'echo x > made.txt', outputs: [made.txt]}]\n")
    joblot.write("middle.yaml", f'jobs: [{{name: a, run: "{PYTHON} -m joblot run inner.yaml"}}]\n')
    joblot.write(
        "joblot.yaml", f'jobs: [{{name: a, run: "{PYTHON} -m joblot run middle.yaml", outputs: [made.txt]}}]\n'
    )
    assert joblot.real("run").code == 0
    assert (joblot.path / "made.txt").read_text() == "x\n"


def test_a_run_within_a_job_of_another_may_be_of_the_same_batch(joblot):
    inner = f"{PYTHON} -m joblot run --only b"
    joblot.write(
        "joblot.yaml", f"jobs: [{{name: a, run: \"{inner}\"}}, {{name: b, run: 'echo x >> b.txt', outputs: [b.txt]}}]\n"
    )
    done = joblot.real("run", "--only", "a")
    assert (done.code, (joblot.path / "b.txt").read_text()) == (0, "x\n"), done.err


@pytest.mark.parametrize("place", [".joblot/claims", ".local/state/joblot/claims"])
def test_a_claim_that_is_another_file_by_a_second_name_is_made_anew(joblot, place):
    joblot.write("joblot.yaml", f"jobs: [{{name: a, run: 'ls {place} > a.txt', outputs: [a.txt]}}]\n")
    assert joblot("run", "-q").code == 0
    name = (joblot.path / "a.txt").read_text().strip()
    joblot.write("victim", "precious")
    (joblot.path / place / name).hardlink_to(joblot.path / "victim")
    done = joblot("run", "-q", "--force")
    assert (done.code, done.err) == (0, "")
    assert (joblot.path / "victim").read_text() == "precious"
    assert (joblot.path / "a.txt").read_text().strip() == name


@pytest.mark.parametrize("kind", ["file", "pipe", "link", "stranger's link", "writable for all"])
def test_a_folder_of_claims_that_cannot_be_used_stands_in_nobodys_way(joblot, kind):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'touch a.txt', outputs: [a.txt]}]\n")
    home = joblot.path / ".local/state/joblot"
    home.mkdir(parents=True)
    target = joblot.path / "target"
    target.mkdir()
    kept = target / ("0" * 32)
    kept.write_text("kept")
    if kind == "file":
        (home / "claims").write_text("")
    elif kind == "pipe":
        os.mkfifo(home / "claims")
    elif kind == "link":
        (home / "claims").symlink_to(target)
    elif kind == "stranger's link":
        home.rmdir()
        home.symlink_to(target)
        (target / "claims").symlink_to(target)
    else:
        (home / "claims").mkdir()
        (home / "claims").chmod(0o777)
        (home / "claims/x").write_text("")
    done = joblot("run", "-q")
    assert (done.code, done.err) == (0, "")
    assert kept.read_text() == "kept"
