"""What an earlier program left behind: every released program's state folders are shown, resumed and retried by this one.

They lie in `tests/state_folders/VERSION/KIND`, were written by `make.py` there, and are never written again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cli.conftest import Project
from joblot.journal.runfile import read_rows

KEPT = Path(__file__).resolve().parents[1] / "state_folders"
PLACES = Path("/tmp/joblot-state-folders")
"""Where the batches were when they ran, which stands in their plans."""
RELEASED = {"0.1.0": "622cd413609d49bd93bc0f0fc84aa165f5973d28a26a2e699b892e4c421a623b"}
"""Every program whose state folders are kept, and the SHA-256 of its `SHA256SUMS`."""
KINDS = ("dask", "ended", "fused", "growing", "interrupted", "logger", "python", "several")


class Kept(Project):
    """A state folder in the place where it was written, and joblot run beside it."""

    def __init__(self, path):
        super().__init__(path)
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self._told = len(self._ran())
        self.results = {}
        """Of the jobs that were read last: what they came to, if anything."""

    def _ran(self):
        file = self.path / "ran"
        return file.read_text().split() if file.exists() else []

    def ran(self):
        """The jobs that have run since this was last asked, each as often as it has."""
        ran, told = self._ran(), self._told
        self._told = len(ran)
        return sorted(ran[told:])

    def listed(self):
        """Of each run in `ls`: id, batch, status, number of jobs."""
        found = json.loads(self("ls", "--json").out)
        return [(one["run_id"], one["batch"], one["status"], one["total_jobs"]) for one in found]

    def states(self, run):
        """Of each job in `show`: state and attempts."""
        return self._read(self("show", run, "--json").out)

    def _read(self, report):
        jobs = json.loads(report)["results"]
        self.results = {one["job"]: one["result"] for one in jobs if one.get("result") is not None}
        return {one["job"]: (one["status"], one["attempts"]) for one in jobs}

    def why(self, run, job):
        """What `explain` says first of a job: its state, and why."""
        return self("explain", run, job).out.splitlines()[:2]

    def goes_on(self, *words):
        """`resume` or `retry`: exit code, what has run, and of each job its state and attempts."""
        done = self(*words, "--json")
        return done.code, self.ran(), self._read(done.out)


@contextmanager
def brought_back(version, kind):
    """A kept folder in its place, which is this process's alone meanwhile; afterwards nothing is there."""
    with locked(kind):
        place = PLACES / kind
        shutil.rmtree(place, ignore_errors=True)
        try:
            shutil.copytree(KEPT / version / kind, place)
            (place / "state").rename(place / ".joblot")
            yield Kept(place)
        finally:
            shutil.rmtree(place)


@contextmanager
def locked(kind):
    """Other processes that test have the same places. The lock's file goes at the end, so whoever gets it must see that it is still there."""
    file = PLACES / f"{kind}.lock"
    while True:
        PLACES.mkdir(mode=0o700, exist_ok=True)
        status = PLACES.lstat()
        assert PLACES.is_dir() and not PLACES.is_symlink() and status.st_uid == os.getuid(), (
            f"{PLACES} is somebody else's"
        )
        try:
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # the folder went at the end of another test
        fcntl.flock(fd, fcntl.LOCK_EX)
        if file.exists() and os.path.samestat(os.fstat(fd), file.stat()):
            break
        os.close(fd)
    try:
        yield
    finally:
        file.unlink()
        os.close(fd)
        try:
            PLACES.rmdir()
        except OSError:
            pass  # another test has a folder there


@pytest.fixture(params=sorted(RELEASED))
def kept(request):
    """Brings a kind of state folder back."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(brought_back(request.param, kind))


# --- what is kept -----------------------------------------------------------------------------------


def test_every_released_program_is_listed_here():
    assert {path.name for path in KEPT.iterdir() if path.is_dir() and path.name[0].isdigit()} == set(RELEASED)


@pytest.mark.parametrize("version", sorted(RELEASED))
def test_what_is_kept_is_what_was_written(version):
    """Changed, lost or added: none of it may be."""
    folder = KEPT / version
    sums = (folder / "SHA256SUMS").read_bytes()
    assert hashlib.sha256(sums).hexdigest() == RELEASED[version]
    listed = {name: digest for digest, name in (line.split("  ") for line in sums.decode().splitlines())}
    there = {path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"}
    assert {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in there} == listed
    assert {name.partition("/")[0] for name in listed} == set(KINDS)


def test_what_is_kept_has_every_event_that_there_was():
    """What the journal of a logger alone has is `logged` as well."""
    found = set()
    for file in (KEPT / "0.1.0").rglob("events.jsonl"):
        for line in file.read_text().splitlines():
            found |= {event["type"] for event in json.loads(line)["events"]}
    assert found == {
        "run_started", "run_resumed", "run_stopping", "run_ended", "run_reopened", "plan_extended", "attempts_started",
        "attempt_ended", "backoff_ended", "jobs_ended", "logged",
    }  # fmt: skip


# --- runs that had ended ----------------------------------------------------------------------------

ENDED = {
    "good": ("success", 1),
    "make": ("success", 1),
    "use": ("success", 1),
    "bad": ("failed", 2),
    "after": ("skipped", 0),
    "alert": ("success", 1),
}


def test_runs_that_failed_are_shown(kept):
    """The first was retried once, and failed again."""
    folder = kept("ended")
    assert folder.listed() == [("second", "ended", "failed", 6), ("first", "ended", "failed", 6)]
    assert folder.states("first") == ENDED | {"bad": ("failed", 4)}
    assert folder.states("second") == ENDED | {"make": ("cached", 0)}
    assert folder.results == {"good": {"n": "7"}}
    assert folder("logs", "first", "bad", "--attempt", "1").out == "attempt 1\nmended is missing\n"
    assert folder("logs", "first", "bad").out == "attempt 4\nmended is missing\n"
    assert folder("logs", "second", "use").out == "got 7\n"
    assert folder.why("first", "bad") == ["bad: failed", "  exit_code: exit status 1"]
    assert folder.why("second", "make") == ["make: cached", "  up_to_date: up to date"]
    assert folder.why("second", "after") == ["after: skipped", "  need_failed: `bad` failed"]
    assert folder.ran() == []


def test_a_run_that_failed_is_retried(kept):
    folder = kept("ended")
    folder.write("mended", "")
    states = ENDED | {"bad": ("success", 5), "after": ("success", 1), "alert": ("skipped", 1)}
    assert folder.goes_on("retry", "first") == (0, ["after", "bad"], states)
    assert folder("logs", "first", "bad").out == "attempt 5\nmended is missing\n"


def test_a_run_that_failed_is_resumed_and_fails_again(kept):
    folder = kept("ended")
    states = ENDED | {"make": ("cached", 0), "bad": ("failed", 4)}
    assert folder.goes_on("resume", "second") == (1, ["bad", "bad"], states)


def test_what_an_earlier_program_made_is_up_to_date(kept):
    """It came to a new file here, with another time: its content says so."""
    folder = kept("ended")
    folder.write("mended", "")
    states = ENDED | {"make": ("cached", 0), "bad": ("success", 1), "after": ("success", 1), "alert": ("skipped", 0)}
    assert folder.goes_on("run", "--run-id", "third") == (0, ["after", "bad", "good", "use"], states)


def test_one_looks_back_over_what_an_earlier_program_has_left(kept):
    """Chosen, followed, compared, traced back and cleared up; what is up to date stays so."""
    folder = kept("ended")
    assert [
        one["run_id"]
        for one in json.loads(folder("ls", "ended", "--status", "failed", "--since", "2026-01-01", "--json").out)
    ] == ["second", "first"]
    through = json.loads(folder("ls", "--job", "make", "--json").out)
    assert [(one["run_id"], one["state"], one["changed"]) for one in through] == [
        ("second", "cached", []),
        ("first", "success", []),
    ]
    found = json.loads(folder("diff", "first", "second", "--json").out)
    assert (found["old"]["status"], found["new"]["status"]) == ("failed", "failed")
    assert (found["added"], found["gone"], found["failed"], found["mended"], found["files"]) == ([], [], [], [], [])
    origin = json.loads(folder("why", "made.txt", "--json").out)
    assert (origin["job"], origin["known"], origin["run_id"]) == ("make", "hash", "first")
    assert json.loads(folder("prune", "--keep", "1", "--json").out)["runs"][0]["run_id"] == "first"
    assert [run for run, *_ in folder.listed()] == ["second"]
    folder.write("mended", "")
    states = ENDED | {"make": ("cached", 0), "bad": ("success", 1), "after": ("success", 1), "alert": ("skipped", 0)}
    assert folder.goes_on("run", "--run-id", "third") == (0, ["after", "bad", "good", "use"], states)


def test_some_jobs_of_several_files_are_shown_and_resumed(kept):
    """The run was stopped by its first failure; what was left out stays out."""
    folder = kept("several")
    assert folder.listed() == [("failed", "several", "failed", 6)]
    assert folder.states("failed") == {
        "a.fetch": ("success", 1),
        "a.check": ("failed", 1),
        "a.build": ("skipped", 0),
        "b.fetch": ("success", 1),
        "b.check": ("aborted", 0),
        "b.build": ("aborted", 0),
    }
    assert folder.why("failed", "b.check") == ["b.check: aborted", "  fail_fast: stopped after `a.check` failed"]
    assert folder.why("failed", "a.extra") == ["a.extra: skipped", "  not_selected: not selected when the run began"]
    assert folder("logs", "failed", "a.fetch").err == "attempt 1 of `a.fetch` printed nothing\n"
    folder.write("mended", "")
    assert folder.goes_on("resume") == (
        0,
        ["a.build", "a.check", "b.build", "b.check"],
        {
            "a.fetch": ("success", 1),
            "a.check": ("success", 2),
            "a.build": ("success", 1),
            "b.fetch": ("success", 1),
            "b.check": ("success", 1),
            "b.build": ("success", 1),
        },
    )
    assert folder("logs", "failed", "b.build").out == "b\n"


def test_a_job_that_was_left_out_is_taken_in(kept):
    folder = kept("several")
    states = {
        "a.fetch": ("success", 1),
        "a.check": ("failed", 1),
        "a.build": ("skipped", 0),
        "b.fetch": ("success", 1),
        "b.check": ("aborted", 0),
        "b.build": ("aborted", 0),
        "b.extra": ("success", 1),
    }
    assert folder.goes_on("retry", "failed", "--job", "b.extra") == (1, ["b.extra"], states)


def test_fused_jobs_that_failed_are_shown_and_retried(kept):
    folder = kept("fused")
    found = {"here-E1": ("success", 1), "here-E2": ("success", 1), "here-E3": ("success", 1)}
    assert folder.states("failed") == found | {"late-E1": ("failed", 1), "late-E2": ("failed", 1)}
    matches = {name: result["matches"] for name, result in folder.results.items()}
    assert matches == {"here-E1": 1, "here-E2": 2, "here-E3": 0}
    assert folder.why("failed", "late-E2") == ["late-E2: failed", "  missing_input: file not found: late.txt"]
    together = "job late-E1:\nerror: file not found: late.txt\njob late-E2:\nerror: file not found: late.txt\n"
    assert folder("logs", "failed", "late-E1").out == together
    folder.write("late.txt", "E1\nE1\n")
    states = found | {"late-E1": ("success", 2), "late-E2": ("success", 2)}
    assert folder.goes_on("retry", "failed") == (0, [], states)
    matches |= {"late-E1": 2, "late-E2": 0}
    assert {name: result["matches"] for name, result in folder.results.items()} == matches
    assert "  attempt 2 was run as one with 1 other job\n" in folder("explain", "failed", "late-E1").out


def test_a_run_of_a_cluster_is_shown_and_retried_here(kept):
    folder = kept("dask")
    assert folder.states("failed") == {"good": ("success", 1), "bad": ("failed", 1), "after": ("skipped", 0)}
    assert folder("logs", "failed", "bad").out == "mended is missing\n"
    assert folder.why("failed", "bad") == ["bad: failed", "  exit_code: exit status 1"]
    folder.write("mended", "")
    states = {"good": ("success", 1), "bad": ("success", 2), "after": ("success", 1)}
    assert folder.goes_on("retry", "failed", "--on", "local") == (0, ["after", "bad"], states)
    assert folder("logs", "failed", "after").out == "7\n"


def test_the_run_of_a_logger_is_shown_and_not_resumed(kept):
    folder = kept("logger")
    assert folder.listed() == [("logged", "program", "success", 0)]
    events = [line.split(maxsplit=1)[1] for line in folder("show", "logged", "--events").out.splitlines()]
    assert events[1:-1] == [
        'logged event=rows_loaded level=info data={"rows":12}',
        'logged event=warning level=warning message="no header"',
        'logged event=error level=error message="row 7 is empty" data={"row":7}',
    ]
    assert folder("resume", "logged") == (
        4,
        "",
        "error: run `logged` has no jobs: a program recorded it, and went on by itself\n",
    )


# --- runs whose runner was killed -------------------------------------------------------------------


def test_a_run_that_was_killed_is_shown(kept):
    folder = kept("interrupted")
    assert folder.listed() == [("killed", "interrupted", "interrupted", 3)]
    assert folder.states("killed") == {"first": ("success", 1), "second": ("running", 1), "third": ("waiting", 0)}
    assert folder("logs", "killed", "second").out == "attempt 1\n"
    assert folder.why("killed", "second") == [
        "second: running",
        "  an attempt was running when the runner ended; how it ended is not known",
    ]
    assert folder.why("killed", "third") == ["third: waiting", "  waits for 1 of 2 needs: second"]
    assert folder.ran() == []


WENT_ON = {"first": ("success", 1), "second": ("success", 2), "third": ("success", 1)}


def went_on(folder):
    """Whether a killed run goes on from its first job's recorded result, with the variable that it was given."""
    folder.write("go", "")
    assert folder.goes_on("resume", "killed") == (0, ["second", "third"], WENT_ON)
    assert folder("logs", "killed", "third").out == "kept 7\n"


def test_a_run_that_was_killed_goes_on(kept):
    folder = kept("interrupted")
    went_on(folder)
    assert folder.listed() == [("killed", "interrupted", "success", 3)]
    assert folder("logs", "killed", "second", "--attempt", "1").out == "attempt 1\n"
    assert folder("logs", "killed", "second").out == "attempt 2\n"


def test_a_journal_that_is_lost_is_made_again(kept):
    folder = kept("interrupted")
    for file in (folder.path / ".joblot").glob("journal.db*"):
        file.unlink()
    records = len(list(read_rows(folder.path / ".joblot" / "runs" / "killed" / "events.jsonl")))
    assert folder("recover") == (
        0,
        f"run killed: {records} records (0 in the journal, {records} in its file); plan from plan.json\n",
        "",
    )
    went_on(folder)


def test_a_file_of_events_that_is_lost_is_made_again(kept):
    folder = kept("interrupted")
    (folder.path / ".joblot" / "runs" / "killed" / "events.jsonl").unlink()
    went_on(folder)


def test_a_bundle_that_was_killed_goes_on_without_what_was_done(kept):
    folder = kept("fused")
    assert folder.listed() == [("killed", "together", "interrupted", 3), ("failed", "fused", "failed", 5)]
    assert folder.states("killed") == {"do-one": ("success", 1), "do-two": ("running", 1), "do-three": ("running", 1)}
    folder.write("go", "")
    states = {"do-one": ("success", 1), "do-two": ("success", 2), "do-three": ("success", 2)}
    assert folder.goes_on("resume", "killed") == (0, ["do-three", "do-two"], states)
    assert folder.results == {f"do-{word}": {"what": word} for word in ("one", "two", "three")}
    assert "  attempt 2 was run as one with 1 other job\n" in folder("explain", "killed", "do-two").out


def test_a_plan_that_had_grown_goes_on(kept):
    folder = kept("growing")
    assert folder.listed() == [("killed", "growing", "interrupted", 3)]
    assert folder.states("killed") == {
        "list": ("success", 1),
        "do-*": ("success", 1),
        "all": ("waiting", 0),
        "do-a": ("success", 1),
        "do-b": ("running", 1),
        "do-c": ("waiting", 0),
    }
    assert folder.why("killed", "all") == ["all: waiting", "  waits for 2 of 4 needs: do-b, do-c"]
    assert folder("logs", "killed", "do-a").out == "1: a of 1\n"
    folder.write("go", "")
    folder.write("items.json", '{"found": []}')
    states = {
        "list": ("success", 1),
        "do-*": ("success", 1),
        "all": ("success", 1),
        "do-a": ("success", 1),
        "do-b": ("success", 2),
        "do-c": ("success", 1),
    }
    assert folder.goes_on("resume") == (0, ["all", "b", "c"], states)
    assert folder("logs", "killed", "do-c").out == "1: c of 3\n"


def test_a_run_that_was_killed_on_a_cluster_goes_on_here(kept):
    folder = kept("dask")
    assert folder.listed() == [("killed", "killed", "interrupted", 3), ("failed", "dask", "failed", 3)]
    assert folder.states("killed") == {"first": ("success", 1), "second": ("running", 1), "third": ("waiting", 0)}
    folder.write("go", "")
    done = folder("resume", "killed", "--on", "local", "-q")
    assert done.code == 0
    assert done.plain == (
        "WARNING | the run was on `dask` when its runner was killed: waiting 2 s for what may still end there\n"
        "WARNING | second: attempt 1 ended with `interrupted`: the runner ended while it ran; again\n"
    )
    assert folder.ran() == ["second", "third"]
    assert folder.states("killed") == WENT_ON
    assert folder("logs", "killed", "third").out == "none 7\n"


def test_a_program_goes_on_with_its_own_run(kept):
    folder = kept("python")
    assert folder.listed() == [("killed", "python", "interrupted", 4)]
    assert folder.states("killed") == {
        "first": ("success", 1),
        "second": ("running", 1),
        "third": ("waiting", 0),
        "fourth": ("waiting", 0),
    }
    assert folder("logs", "killed", "second").out == "second prints\n"
    assert folder.why("killed", "third") == ["third: waiting", "  waits for 1 of 1 needs: second"]
    assert folder("resume", "killed") == (
        4,
        "",
        (
            "error: run `killed` was made by a Python program, which alone has its functions\n"
            "hint: there: `batch.run(resume=...)`\n"
        ),
    )
    folder.write("go", "")
    done = subprocess.run(
        [sys.executable, "program.py", "last"],
        cwd=folder.path,
        env=folder.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "first success 1 {'n': 7}",
        "second success 2 done",
        "third success 1 None",
        "fourth success 1 None",
    ]
    assert folder.ran() == ["fourth", "second", "third"]
    assert folder("logs", "killed", "fourth").out == "7\n"
