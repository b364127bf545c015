"""What is stale is never told as up to date, and nothing half made keeps its final name, whatever the times of files say. Whole runs of the real command."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from cli.conftest import Project

COPY = 'jobs:\n  - {name: copy, run: "cat %s > out.txt; echo ran >> ran.txt", input: %s, outputs: [out.txt]}\n'


def states(done) -> dict[str, str]:
    """Of each job of a report its state."""
    return {one["job"]: one["status"] for one in json.loads(done.out)["results"]}


class Files(Project):
    """A project whose jobs say in `ran.txt` that they ran."""

    def run(self, *arguments: str) -> int:
        """Run the batch; how many jobs ran."""
        done = self("run", *arguments)
        assert done.code == 0, done.err
        path = self.path / "ran.txt"
        words = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return len(words)

    def states(self, *arguments: str) -> dict[str, str]:
        """Run the batch; the states of its jobs."""
        return states(self("run", "--json", *arguments))

    def killed(self, *arguments: str, once: str) -> None:
        """Run a command and kill it when a file is there."""
        with self.popen(*arguments) as process:
            self.wait_for(once)
            process.kill()


@pytest.fixture
def joblot(tmp_path):
    return Files(tmp_path)


def put(path, text: str, at: float = 1.0) -> None:
    """A file of that time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def copied(old, new) -> None:
    """As `cp -p NEW OLD`."""
    shutil.copyfile(new, old)
    shutil.copystat(new, old)


def relinked(link, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


FILE_CHANGES = {
    "copied with its time": ("in.txt", lambda path: copied(path / "in.txt", path / "v2")),
    "a link that leads elsewhere": ("link", lambda path: relinked(path / "link", "v2")),
    "what a link leads to": ("link", lambda path: copied(path / "v1", path / "v2")),
    "moved into a folder": ("folder", lambda path: (path / "v2").rename(path / "folder/in")),
    "what a link in a folder leads to": ("linking", lambda path: put(path / "v1", "bbbb")),
    "in a folder that is linked": ("linking", lambda path: put(path / "store/in", "bbbb")),
    "in a folder with a time to come": ("future", lambda path: put(path / "future/in", "bbbb")),
    "two change names": ("two", lambda path: [(path / "two" / a).rename(path / b) for a, b in (("a", "x"), ("b", "two/a"))] + [(path / "x").rename(path / "two/b")]),
}  # fmt: skip


@pytest.mark.parametrize(("read", "change"), FILE_CHANGES.values(), ids=FILE_CHANGES)
def test_an_input_of_equal_size_and_time_that_is_another_is_seen(joblot, read, change):
    for name in ("v1", "in.txt", "folder/in", "store/in", "future/in", "two/a"):
        put(joblot.path / name, "aaaa")
    put(joblot.path / "v2", "bbbb")
    put(joblot.path / "two/b", "bbbb")
    put(joblot.path / "future/new", "c", 2**32)
    (joblot.path / "link").symlink_to("v1")
    (joblot.path / "linking").mkdir()
    (joblot.path / "linking/file").symlink_to("../v1")
    (joblot.path / "linking/store").symlink_to("../store")
    cat = f"$(find -L {read} -type f | sort)"
    joblot.write("joblot.yaml", COPY % (cat, read))
    assert joblot.run() == 1
    old = (joblot.path / "out.txt").read_text()
    change(joblot.path)
    assert json.loads(joblot("plan", "--json").out)["jobs"][0]["why"] == f"input changed: {read}"
    assert joblot.run() == 1
    assert (joblot.path / "out.txt").read_text() != old


def test_an_output_of_equal_size_and_time_that_is_another_is_made_again(joblot):
    put(joblot.path / "in.txt", "aaaa")
    joblot.write("joblot.yaml", COPY % ("in.txt", "in.txt"))
    assert joblot.run() == 1
    other = joblot.write("other", "bbbb")
    shutil.copystat(joblot.path / "out.txt", other)
    copied(joblot.path / "out.txt", other)
    assert joblot.run() == 1
    assert (joblot.path / "out.txt").read_text() == "aaaa"


def test_what_only_has_another_time_or_inode_is_up_to_date(joblot):
    """Its contents were read, and its new stamp is kept."""
    put(joblot.path / "in/a", "aaaa")
    joblot.write("joblot.yaml", COPY % ("in/a", "in"))
    assert joblot.run() == 1
    (joblot.path / "in/a").unlink()
    put(joblot.path / "in/a", "aaaa", 5.0)
    os.utime(joblot.path / "out.txt", (9, 9))
    assert [joblot.run(), joblot.run()] == [0, 0]


INNER = 'jobs:\n  - {name: copy, run: "ls > %s; echo ran >> ../ran.txt", input: %s, outputs: ["%s"]}\n'


@pytest.mark.parametrize(
    ("read", "made", "options"),
    [
        (".", "list.txt", []),
        (".", "list.txt", ["--state", "kept"]),
        (".", "list.txt", ["--report", "report.json", "--log", "run.jsonl"]),
        ("data", "data/list.txt", ["--state", "data/kept"]),
        ("linked", "data/list.txt", []),
        ("data", "linked/list.txt", []),
    ],
)
def test_what_joblot_and_the_job_itself_write_in_an_input_is_no_part_of_it(joblot, read, made, options):
    project = Files(joblot.path / "inner")
    project.write("data/file", "")
    (project.path / "linked").symlink_to("data")
    project.write("joblot.yaml", INNER % (made, read, made))
    assert [project.states(*options)["copy"] for _ in range(3)] == ["success", "cached", "cached"]
    project.write("data/file", "more")
    assert project.states(*options) == {"copy": "success"}


# --- half-made outputs -------------------------------------------------------------------------------

HALF = """\
jobs:
  - {name: copy, run: "%s; touch began; sleep 60", outputs: [o.txt], once: true}
  - {name: use, run: "cat o.txt", needs: [copy], when: always}
"""
HALVES = {
    "touch -r": "head -c 50 big.txt > o.txt; touch -r big.txt o.txt",
    "moved over one of equal size": "printf half > half; touch -r big.txt half; mv half o.txt",
    "through a link": "rm o.txt; ln -s target o.txt; cp -p big.txt target",
}


@pytest.mark.alone
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_a_half_made_output_with_an_old_time_loses_its_name(joblot, half):
    """G4"""
    put(joblot.path / "big.txt", "x" * 1000, 1_500_000_000)
    put(joblot.path / "o.txt", "done", 1_500_000_000)
    joblot.write("joblot.yaml", HALF % half)
    joblot.killed("run", "--run-id", "r", once="began")
    assert joblot("resume", "r").code == 1
    assert joblot("logs", "r", "use").out == "done\n"
    assert (joblot.path / ".joblot/runs/r/partial/copy/1/o.txt").exists() or half.startswith("rm")
    assert not (joblot.path / "o.txt").is_symlink()
    assert not (joblot.path / ".joblot/runs/r/kept").exists()
    assert not (joblot.path / ".joblot/runs/r/found.jsonl").exists(), "nobody needs it any more"


@pytest.mark.alone
@pytest.mark.parametrize("at", [1.0, 2.0**32], ids=["old", "in time to come"])
def test_an_output_that_a_killed_attempt_did_not_touch_stays(joblot, at):
    put(joblot.path / "big.txt", "")
    put(joblot.path / "o.txt", "done", at)
    joblot.write("joblot.yaml", HALF % "true")
    joblot.killed("run", "--run-id", "r", once="began")
    joblot("resume", "r")
    assert joblot("logs", "r", "use").out == "done\n"


# --- successes that a kill came close behind ---------------------------------------------------------

MANY = "jobs:\n" + "".join(
    f'  - {{name: j{n}, run: "echo {n} > {n}.txt; echo ran >> ran.txt", outputs: ["{n}.txt"]}}\n' for n in range(60)
)
MANY += "  - {name: last, run: 'test -e go || sleep 30; touch last.txt', outputs: [last.txt]}\n"  # so that no kill comes too late


@pytest.mark.alone
@pytest.mark.parametrize("resume", [True, False], ids=["resumed", "run anew"])
def test_a_success_that_a_kill_came_close_behind_is_not_made_again(joblot, resume):
    """At whichever job the kill came: all that the first run has recorded is up to date in the next one."""
    joblot.write("joblot.yaml", MANY)
    joblot.killed("run", "--run-id", "r", once="40.txt")
    joblot.write("go", "")
    before = {
        one["job"] for one in json.loads(joblot("show", "r", "--json").out)["results"] if one["status"] == "success"
    }
    assert before
    if resume:
        assert joblot("resume", "r").code == 0
        assert set(joblot.states().values()) == {"cached"}
        assert not list((joblot.path / ".joblot").glob("made-*")), "the database has them"
    else:
        states = joblot.states()
        assert {states[name] for name in before} == {"cached"}


KILLED_BEFORE = """
import os, signal, sys
from joblot.__main__ import main
from joblot.core.events import AttemptEnded
from joblot.journal.sqlite import SqliteJournal

append, left = SqliteJournal.append, [int(sys.argv[1])]

def appending(journal, run_id, events, at):
    left[0] -= any(isinstance(event, AttemptEnded) and event.state == "success" for event in events)
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return append(journal, run_id, events, at)

SqliteJournal.append = appending
sys.exit(main(sys.argv[2:]))
"""
"""The command, killed when the so many-th success is noted for later runs, and not recorded yet."""


def killed_before_a_record(joblot, number, *words):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE, str(number), *words],
        cwd=joblot.path,
        env=joblot.env,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


NOTED = """\
jobs:
  - {name: a, run: 'cat f >> ran; echo a > f; echo {\\"n\\": 1} > $JOBLOT_OUTPUT', outputs: [f]}
  - {name: b, run: 'echo ${{ jobs.a.result.n }} > g', needs: [a], outputs: [g]}
"""


def shown(joblot):
    results = json.loads(joblot("show", "r", "--json").out)["results"]
    return {one["job"]: (one["status"], one["attempts"], one.get("result")) for one in results}


@pytest.mark.alone
@pytest.mark.parametrize("words", [[], ["--force"], ["--on", "inline"]], ids=" ".join)
def test_a_success_that_was_noted_and_not_recorded_is_one_when_the_run_is_resumed(joblot, words):
    joblot.write("joblot.yaml", NOTED)
    joblot.write("f", "before\n")
    killed_before_a_record(joblot, 1, "run", "--run-id", "r", *words)
    assert joblot("resume", "r").code == 0
    assert shown(joblot) == {"a": ("success", 1, {"n": 1}), "b": ("success", 1, None)}
    report = json.loads(joblot("show", "r", "--json").out)["results"][0]
    assert [one["path"] for one in report["artifacts"]] == ["f"]
    assert ((joblot.path / "ran").read_text(), (joblot.path / "g").read_text()) == ("before\n", "1\n")


@pytest.mark.alone
@pytest.mark.parametrize("change", ["output", "note", "tried again"])
def test_what_was_noted_and_is_not_there_any_more_is_made_again(joblot, change):
    joblot.write("joblot.yaml", NOTED)
    joblot.write("f", "before\n")
    if change == "tried again":  # what is noted may be of the first attempt
        assert joblot("run", "--run-id", "r").code == 0
        killed_before_a_record(joblot, 1, "retry", "r", "--job", "a")
        assert joblot("resume", "r").code == 0
        assert shown(joblot)["a"] == ("success", 3, {"n": 1})
        return
    killed_before_a_record(joblot, 1, "run", "--run-id", "r")
    if change == "output":
        joblot.write("f", "other\n")
    for note in (joblot.path / ".joblot").glob("made-*") if change == "note" else ():
        note.unlink()
    assert joblot("resume", "r").code == 0
    assert shown(joblot)["a"] == ("success", 2, {"n": 1})
    assert (joblot.path / "ran").read_text() == "before\nbefore\n"


def test_notes_of_successes_that_are_damaged_are_passed_over(joblot):
    joblot.write("joblot.yaml", MANY)
    joblot.killed("run", once="40.txt")
    joblot.write("go", "")
    [file] = (joblot.path / ".joblot").glob("made-*")
    noted = file.read_bytes()
    file.write_bytes(b"x y\n\xff\n" + noted.replace(b'"j1"', b'"j2"')[:-5])
    assert set(joblot.states().values()) == {"cached", "success"}
    assert set(joblot.states().values()) == {"cached"}


# --- outputs that are links --------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["local", "inline"])
def test_an_output_that_is_a_link_stays_one_and_what_it_leads_to_is_replaced(joblot, on):
    joblot.write(
        "acts.py",
        "from joblot import Context, action\n@action('write')\ndef write(*, ctx: Context):\n"
        "    with ctx.output('link.txt') as part:\n        part.write_text('new')\n",
    )
    joblot.write("joblot.yaml", "imports: [./acts.py]\njobs: [{name: a, action: write, outputs: [link.txt]}]\n")
    joblot.write("store/real.txt", "old")
    (joblot.path / "link.txt").symlink_to("store/real.txt")
    assert joblot("run", "--on", on).code == 0
    assert (joblot.path / "link.txt").is_symlink()
    assert (joblot.path / "store/real.txt").read_text() == "new"
    assert os.listdir(joblot.path / "store") == ["real.txt"]


def test_what_a_failed_command_has_written_through_a_link_is_moved_and_both_are_as_before(joblot):
    joblot.write("store/real.txt", "old")
    (joblot.path / "link.txt").symlink_to("store/real.txt")
    joblot.write("joblot.yaml", 'jobs:\n  - {name: a, run: "echo half > link.txt; exit 3", outputs: [link.txt]}\n')
    assert joblot("run", "--run-id", "r").code == 1
    assert (joblot.path / "link.txt").is_symlink()
    assert (joblot.path / "store/real.txt").read_text() == "old"
    assert (joblot.path / ".joblot/runs/r/partial/a/1/link.txt").read_text() == "half\n"


# --- the code of actions -----------------------------------------------------------------------------

ACTION = """\
from joblot import Context, action

@action("own")
def own(*, ctx: Context):
    with ctx.output("out.txt") as part:
        part.write_text("{}")
"""


@pytest.mark.parametrize("on", ["local", "inline"])
def test_code_of_equal_size_and_time_is_other_code(joblot, on):
    """Python's own compiled files are of the source's size and second: what runs must be what the file says."""
    joblot.write("joblot.yaml", "imports: [./own.py]\njobs: [{name: a, action: own, outputs: [out.txt]}]\n")
    for text in ("aaaa", "bbbb"):
        put(joblot.path / "own.py", ACTION.format(text), 1_700_000_000)
        assert states(joblot.real("run", "--on", on, "--json")) == {"a": "success"}
        assert (joblot.path / "out.txt").read_text() == text
    assert states(joblot("run", "--on", on, "--json")) == {"a": "cached"}
