"""Limits that hold for the machine: several runs at once, as people see them and as they are killed."""

import json
import os
import signal
import time

import pytest
from tests.cli.conftest import Project

from joblot.executors import processes

BATCH = """\
name: {name}
limits: {{db: {{count: {count}, across: machine}}}}
jobs:
  - name: load-${{{{ item }}}}
    foreach: {jobs}
    resources: {{db: 1}}
    run: |
      echo begin $$ >> ../log
      {run}
      echo end $$ >> ../log
"""


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    made.env["XDG_STATE_HOME"] = str(tmp_path / "home")
    made.env |= {name: text for name, text in os.environ.items() if name == "PYTHONPATH"}
    return made


def write(project, name, *, count=1, jobs=1, run="until [ -e ../go ]; do sleep 0.02; done"):
    text = BATCH.format(name=name, count=count, jobs=list(range(1, jobs + 1)), run=run)
    return project.write(f"{name}/joblot.yaml", text)


def begin(project, name, *words):
    """A run of that name, whose standard error goes to a file."""
    with (project.path / f"{name}.err").open("w") as file:
        return project.popen("run", f"{name}/joblot.yaml", "--run-id", name, *words, stderr=file)


def end(*runs):
    """Wait for the ends of runs, and give their exit codes."""
    for run in runs:
        run.communicate(timeout=60)
    return [run.returncode for run in runs]


def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_once(project):
    """How many jobs ran at once at the most, and how many began."""
    running = most = begun = 0
    for line in (project.path / "log").read_text().splitlines():
        running += 1 if line.startswith("begin") else -1
        begun += line.startswith("begin")
        most = max(most, running)
    return most, begun


def limits_folder(project):
    return os.listdir(project.path / "home/joblot/limits")


def test_of_all_runs_no_more_jobs_go_on_than_there_is_of_it(project):
    names = ["one", "two", "three"]
    for name in names:
        write(project, name, count=2, jobs=5, run="sleep 0.05")
    runs = [begin(project, name, "-j", "4") for name in names]
    assert end(*runs) == [0, 0, 0]
    assert at_once(project) == (2, 15)
    assert limits_folder(project) == []


def test_while_it_waits_a_run_says_for_whom_and_once(project):
    write(project, "one")
    write(project, "two", jobs=3)
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two")
    project.wait_for("two/.joblot/journal.db")
    until(lambda: any("waits_for" in run for run in json.loads(project("ls", "--state", "two/.joblot", "--json").out)))
    held = f"`db` of this machine: 1 of 1 held by run `one` of batch `one`, process {one.pid} of "
    assert (
        project("explain", "two", "load-1", "--state", "two/.joblot")
        .out.splitlines()[1]
        .startswith(f"  ready: waits for {held}")
    )
    assert "  3, waits for `db` of this machine" in project("ls", "--state", "two/.joblot").out
    project.wait_for("two.err", f"waiting for {held}")
    project.write("go", "")
    assert end(one, two) == [0, 0]
    assert (project.path / "two.err").read_text().count("waiting for") == 1


def test_what_is_killed_frees_what_it_held(project):
    write(project, "one", jobs=3)
    write(project, "two")
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two")
    until(lambda: len(limits_folder(project)) == 3)  # a file each, and the bell of the one that waits
    one.kill()
    assert end(one) == [-signal.SIGKILL]
    until(lambda: (project.path / "log").read_text().count("begin") == 2)
    project.write("go", "")
    assert end(two) == [0]
    resumed = project.real("resume", "one", "--state", "one/.joblot")
    assert resumed.code == 0
    assert limits_folder(project) == []


def test_what_outlives_runner_and_warden_is_waited_for(project):
    write(project, "one")
    write(project, "two")
    one = begin(project, "one")
    project.wait_for("log")
    (warden,) = processes.children(one.pid)
    os.kill(warden, signal.SIGSTOP)
    one.kill()
    one.wait()
    os.kill(warden, signal.SIGKILL)
    end(one)
    pid = (project.path / "log").read_text().split()[1]
    two = begin(project, "two")
    until(lambda: "waits for" in project("explain", "two", "load-1", "--state", "two/.joblot").out)
    words = project("explain", "two", "load-1", "--state", "two/.joblot").out
    assert "1 of 1 held by process " in words
    assert " of run `one` of batch `one`, whose runner was killed" in words
    os.kill(int(pid), signal.SIGKILL)
    project.write("go", "")
    assert end(two) == [0]


def test_a_stopped_run_keeps_what_its_jobs_hold_and_is_passed_when_it_waits(project):
    for name in ("one", "two", "three"):
        write(project, name)
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two")
    until(lambda: len(limits_folder(project)) == 3)
    two.send_signal(signal.SIGSTOP)
    three = begin(project, "three")
    project.write("go", "")
    assert end(one, three) == [0, 0]
    assert two.poll() is None
    two.send_signal(signal.SIGCONT)
    assert end(two) == [0]
    assert at_once(project) == (1, 3)


def test_ctrl_c_ends_the_wait_at_once(project):
    write(project, "one")
    write(project, "two")
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two")
    until(lambda: len(limits_folder(project)) == 3)
    two.send_signal(signal.SIGINT)
    assert end(two) == [130]
    project.write("go", "")
    assert end(one) == [0]
    assert at_once(project) == (1, 1)


def test_jobs_that_ask_for_nothing_of_it_go_on(project):
    write(project, "one")
    file = write(project, "two")
    file.write_text(file.read_text() + "  - {name: other, run: touch ../other}\n")
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two", "-j", "1")
    project.wait_for("other")
    project.write("go", "")
    assert end(one, two) == [0, 0]


def test_waiting_is_no_part_of_a_jobs_timeout(project):
    write(project, "one")
    file = write(project, "two", run="true")
    file.write_text(file.read_text() + "    timeout: 1s\n")
    one = begin(project, "one")
    project.wait_for("log")
    two = begin(project, "two")
    until(lambda: len(limits_folder(project)) == 3)
    time.sleep(1.2)
    project.write("go", "")
    assert end(one, two) == [0, 0]


@pytest.mark.parametrize("on", ["inline", "local"])
def test_a_run_alone_is_not_hindered(project, on):
    write(project, "one", count=1, jobs=5, run="true")
    assert project.real("run", "one/joblot.yaml", "--on", on).code == 0
    assert at_once(project) == (1, 5)
    assert limits_folder(project) == []


def test_without_a_folder_for_it_nothing_begins(project):
    write(project, "one", run="true")
    project.env["XDG_STATE_HOME"] = str(project.write("home", "") / "in")
    done = project("run", "one/joblot.yaml")
    assert (done.code, done.out) == (4, "")
    assert done.err.splitlines() == [
        "error: limits of this machine cannot be kept in `DIR/home/in/joblot/limits`: not a directory",
        "hint: `XDG_STATE_HOME` takes a folder of yours on a disk of this machine",
    ]
    assert not (project.path / "log").exists()


def test_no_two_jobs_of_two_runs_hold_one_slot(project):
    slots = "limits: {gpu: {slots: [a, b], across: machine}}"
    run = "mkdir ../$JOBLOT_SLOT_GPU && sleep 0.05 && echo ${{ slots.gpu }} >> ../held && rmdir ../$JOBLOT_SLOT_GPU"
    for name in ("one", "two"):
        text = write(project, name, jobs=6, run=run).read_text()
        text = text.replace("limits: {db: {count: 1, across: machine}}", slots).replace("{db: 1}", "{gpu: 1}")
        project.write(f"{name}/joblot.yaml", text)
    assert end(begin(project, "one", "-j", "4"), begin(project, "two", "-j", "4")) == [0, 0]
    assert at_once(project) == (2, 12)
    assert set((project.path / "held").read_text().split()) == {"a", "b"}
