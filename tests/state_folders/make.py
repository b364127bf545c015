"""Writes the state folders that `tests/contract/test_old_state_folders.py` reads: one of each kind, by the joblot that runs this.

```bash
python tests/state_folders/make.py     # of an environment with joblot[dask], in the checkout of the version that is released
git add -f tests/state_folders         # a state folder keeps itself out of version control
```

They go to `tests/state_folders/VERSION/KIND`, the state itself to `state` in there, and all are listed in `VERSION/SHA256SUMS`. What exists is never
written again: a later program has to read what an earlier one left, not what it would leave itself.

Stored plans hold the absolute path of the batch. So each is written in a place that is the same on every machine (`PLACES`), where the test puts it again.
The host is called `build` and the user `builder`, for runs record both; what else tells of a machine is refused at the end.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblot

HERE = Path(__file__).resolve().parent
PLACES = Path("/tmp/joblot-state-folders")
HOST, USER = "build", "builder"
LIMIT_S = 60.0
NOBODY = b"4194305 1"
"""In place of a session's number and start: more than any process can have. A resume kills what is left of the sessions that a run has noted, and
on another machine, or after a restart, that could be somebody else's."""

ENDED = """\
name: ended
jobs:
  - {name: good, run: "echo good >> ran; echo n=7 > $JOBLOT_OUTPUT", tags: [quick]}
  - {name: make, run: "echo make >> ran; echo made > made.txt", outputs: [made.txt]}
  - {name: use, run: "echo use >> ran; echo got ${{ jobs.good.result.n }}", needs: [good, make]}
  - name: bad
    run: "echo bad >> ran; echo attempt $JOBLOT_ATTEMPT; echo 'mended is missing' >&2; test -e mended"
    retry: {max_attempts: 2, delay: 50ms}
  - {name: after, run: "echo after >> ran", needs: [bad]}
  - {name: alert, run: "echo alert >> ran", needs: [bad], when: failure}
"""

INTERRUPTED = """\
name: interrupted
vars: {word: {type: string, default: none}}
jobs:
  - {name: first, run: "echo first >> ran; echo n=7 > $JOBLOT_OUTPUT"}
  - {name: second, run: "echo second >> ran; echo attempt $JOBLOT_ATTEMPT; echo > began; test -e go || sleep 60", needs: [first]}
  - {name: third, run: "echo third >> ran; echo ${{ vars.word }} ${{ jobs.first.result.n }}", needs: [first, second]}
"""

FUSED = """\
name: fused
jobs:
  - name: here-${{ matrix.code }}
    action: search_pattern
    input: log.txt
    matrix: {code: [E1, E2, E3]}
    params: {pattern: "${{ matrix.code }}"}
  - name: late-${{ matrix.code }}
    action: search_pattern
    input: late.txt
    matrix: {code: [E1, E2]}
    params: {pattern: "${{ matrix.code }}"}
"""

TOGETHER = """\
name: together
imports: [./acts.py]
jobs:
  - name: do-${{ matrix.what }}
    action: note
    input: log.txt
    matrix: {what: [one, two, three]}
    params: {what: "${{ matrix.what }}"}
"""

ACTS = '''\
"""Jobs that say in `ran` that they ran; the second waits for the file `go`."""

import time

from joblot import action, fused


def do(job, ctx):
    with open(ctx.path("ran"), "a") as file:
        file.write(f"{ctx.job}\\n")
    ctx.log("seen", what=job)
    if job == "two":
        open(ctx.path("began"), "w").close()
        until = time.monotonic() + 60
        while not ctx.path("go").exists() and time.monotonic() < until:
            time.sleep(0.01)
    return {"what": job}


@action("note")
def note(input: str, *, what: str, ctx):
    """One alone."""
    return do(what, ctx)


@fused("note", on=("input",))
def notes(jobs, ctx):
    """Many, one after the other."""
    for job in jobs:
        ctx.done(job, do(job.params["what"], job.ctx))
'''

GROWING = """\
name: growing
jobs:
  - {name: list, run: "echo list >> ran; cat items.json > $JOBLOT_OUTPUT"}
  - name: do-${{ item.what }}
    run: "echo ${{ item.what }} >> ran; echo $JOBLOT_ATTEMPT: ${{ item.what }} of ${{ item.size }}; test ${{ item.what }} != b || { echo > began; test -e go || sleep 60; }"
    foreach: ${{ jobs.list.result.found }}
    needs: [list]
  - {name: all, run: "echo all >> ran", needs: ["do-*"]}
"""

DASK = """\
name: dask
jobs:
  - {name: good, run: "echo good >> ran; echo n=7 > $JOBLOT_OUTPUT"}
  - {name: bad, run: "echo bad >> ran; echo 'mended is missing'; test -e mended", needs: [good]}
  - {name: after, run: "echo after >> ran; echo ${{ jobs.good.result.n }}", needs: [good, bad]}
"""

PROGRAM = '''\
"""A batch of Python functions; `program.py RUN` goes on with a run. The second waits for the file `go`."""

import sys
import time
from pathlib import Path

from joblot import Batch

batch = Batch("python", max_workers=1)


def note(name):
    with Path("ran").open("a") as file:
        file.write(f"{name}\\n")


@batch.job
def first():
    note("first")
    return {"n": 7}


@batch.job(needs=[first], max_attempts=2, timeout="5m")
def second():
    note("second")
    print("second prints", flush=True)
    Path("began").touch()
    until = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return "done"


@batch.job("third", needs=[second])
def last():
    note("third")


batch.command("fourth", "echo fourth >> ran; echo ${{ jobs.first.result.n }}", needs=["first", "third"])

if __name__ == "__main__":
    report = batch.run(resume=sys.argv[1]) if len(sys.argv) > 1 else batch.run(run_id="killed")
    for job in report.jobs.values():
        print(job.name, job.state, job.attempts, job.result)
    sys.exit(report.exit_code)
'''

LOGGER = """\
from joblot import RunLogger
from joblot.journal.folder import StateFolder

folder = StateFolder()
with RunLogger("logged", journal=folder.journal, name="program") as log:
    log.log_event("rows_loaded", rows=12)
    log.log_warning("no header")
    log.log_error("row 7 is empty", row=7)
folder.close()
"""

SEVERAL = """\
env: {CODE: NAME}
jobs:
  - {name: fetch, run: "echo $CODE.fetch >> ran; echo code=$CODE > $JOBLOT_OUTPUT"}
  - {name: check, run: "echo $CODE.check >> ran; test $CODE = b || test -e mended", needs: [fetch]}
  - {name: build, run: "echo $CODE.build >> ran; echo ${{ jobs.fetch.result.code }}", needs: [fetch, check]}
  - {name: extra, run: "echo $CODE.extra >> ran", needs: [fetch]}
"""


class Folder:
    """A kind of state folder, in its place."""

    def __init__(self, kind):
        self.path = PLACES / kind
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self.env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(PLACES),
            "USER": USER,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(Path(joblot.__file__).parents[1]),
        }

    def write(self, name, text):
        (self.path / name).write_text(text, encoding="utf-8")

    def begin(self, *words):
        return subprocess.Popen([sys.executable, *words], cwd=self.path, env=self.env, start_new_session=True)

    def python(self, *words, code=0):
        with self.begin(*words) as process:
            process.wait(LIMIT_S)
        if process.returncode != code:
            sys.exit(f"{self.path.name}: {' '.join(words)}: {process.returncode}, and not {code}")

    def joblot(self, *words, code=0):
        self.python("-m", "joblot", *words, code=code)

    def kill(self, *words):
        """Begin a run, and kill its runner when a job has made the file `began`."""
        process = self.begin(*words)
        until = time.monotonic() + LIMIT_S
        while not (self.path / "began").exists():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{self.path.name}: {' '.join(words)}: no job has begun")
            time.sleep(0.02)
        time.sleep(0.2)  # what runs has printed what it prints
        process.send_signal(signal.SIGKILL)
        process.wait()
        while self.in_use():
            if time.monotonic() > until:
                sys.exit(f"{self.path.name}: something of the killed run still lives")
            time.sleep(0.05)
        (self.path / "began").unlink()

    def in_use(self):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == self.path:
                    return True
            except OSError:
                pass  # it has ended, or is somebody else's
        return False


def ended():
    """Two runs that failed: in the second one a job is up to date; and a retry of the first one that failed as well."""
    folder = Folder("ended")
    folder.write("joblot.yaml", ENDED)
    folder.joblot("run", "-q", "-j", "1", "--run-id", "first", code=1)
    folder.joblot("retry", "-q", "-j", "1", "first", code=1)
    folder.joblot("run", "-q", "-j", "1", "--run-id", "second", code=1)


def interrupted():
    """A runner that was killed: one job has succeeded, one runs, one waits."""
    folder = Folder("interrupted")
    folder.write("joblot.yaml", INTERRUPTED)
    folder.kill("-m", "joblot", "run", "-q", "--run-id", "killed", "--var", "word=kept")


def fused():
    """Two bundles, of which one failed; and a bundle whose runner was killed when one of its three jobs was done."""
    folder = Folder("fused")
    folder.write("log.txt", "E1 and E2\nE2\n")
    folder.write("joblot.yaml", FUSED)
    folder.write("together.yaml", TOGETHER)
    folder.write("acts.py", ACTS)
    folder.joblot("run", "-q", "-j", "1", "--run-id", "failed", code=1)
    folder.kill("-m", "joblot", "run", "together.yaml", "-q", "-j", "1", "--run-id", "killed")


def growing():
    """A runner that was killed when the plan had grown: one of the jobs that were found has succeeded, one runs, two wait."""
    folder = Folder("growing")
    folder.write(
        "items.json", '{"found": [{"what": "a", "size": 1}, {"what": "b", "size": 2}, {"what": "c", "size": 3}]}'
    )
    folder.write("joblot.yaml", GROWING)
    folder.kill("-m", "joblot", "run", "-q", "-j", "1", "--run-id", "killed")


def dask():
    """On a cluster: a run that failed, and one whose runner was killed while a job ran."""
    folder = Folder("dask")
    folder.write("joblot.yaml", DASK)
    folder.write("killed.yaml", INTERRUPTED.replace("name: interrupted", "name: killed"))
    folder.joblot("run", "-q", "--on", "dask", "-j", "1", "--run-id", "failed", code=1)
    folder.kill("-m", "joblot", "run", "killed.yaml", "-q", "--on", "dask", "-j", "1", "--run-id", "killed")


def python():
    """A program's batch: one function has succeeded, one runs, the rest waits."""
    folder = Folder("python")
    folder.write("program.py", PROGRAM)
    folder.kill("program.py")


def logger():
    """What a `RunLogger` with a journal leaves: a run without jobs and without files of its own."""
    folder = Folder("logger")
    folder.write("program.py", LOGGER)
    folder.python("program.py")


def several():
    """Two files as one run, with some of their jobs, stopped at the first failure."""
    folder = Folder("several")
    for name in "ab":
        folder.write(f"{name}.yaml", SEVERAL.replace("NAME", name))
    words = ("--exclude", "*.extra", "--fail-fast", "-j", "1", "--run-id", "failed")
    folder.joblot("run", "a.yaml", "b.yaml", "-q", *words, code=1)


KINDS = (ended, interrupted, fused, growing, dask, python, logger, several)


def keep(kind, target):
    """Move what stands in its place to where it is kept."""
    place = PLACES / kind
    for path in [*place.rglob("*-shm"), *place.rglob("__pycache__")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in place.glob(".joblot/runs/*/live/*.pid"):
        path.write_bytes(NOBODY)
    shutil.copytree(place, target, ignore=shutil.ignore_patterns(".joblot"))
    shutil.copytree(place / ".joblot", target / "state")
    shutil.rmtree(place)


def refuse_traces(folder):
    """End with a message if anything tells of this machine."""
    paths = {str(HERE.parents[1]), sys.prefix, sys.base_prefix, str(Path(joblot.__file__).parents[1])} - {"/usr"}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found = [name for name in paths if name.encode() in content]
        found += re.findall(rb"/(?:home|root|work|Users)/\S*", content)
        found += [name for name in re.findall(rb'"host":"([^"]*)"', content) if name != HOST.encode()]
        found += [name for name in re.findall(rb'"user":"([^"]*)"', content) if name != USER.encode()]
        if found:
            sys.exit(f"{path}: tells of this machine: {found[:3]}")


def sums(folder):
    """The lines of `SHA256SUMS`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "SHA256SUMS")
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n" for file in files)


def main():
    target = HERE / joblot.__version__
    if target.exists():
        sys.exit(f"`{target}` exists: what is kept is never written again")
    if os.uname().nodename != HOST:
        script = f'echo {HOST} > /proc/sys/kernel/hostname && exec "$0" "$@"'
        os.execvp("unshare", ["unshare", "--map-root-user", "--uts", "sh", "-c", script, sys.executable, __file__])
    made = target.with_name(f".{target.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    for kind in KINDS:
        kind()
        keep(kind.__name__, made / kind.__name__)
    PLACES.rmdir()
    refuse_traces(made)
    (made / "SHA256SUMS").write_text(sums(made), encoding="utf-8")
    made.rename(target)


if __name__ == "__main__":
    main()
