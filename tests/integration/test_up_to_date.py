"""Jobs that are up to date do not run, all others do, and `plan` says why. Whole runs of the real command."""

import json
import os
import sqlite3
from contextlib import closing

import pytest

from cli.conftest import Project

COPY = 'jobs:\n  - {name: copy, run: "cat in.txt > out.txt; echo ran >> ran.txt", input: in.txt, outputs: [out.txt]}\n'
CHAIN = """\
name: chain
jobs:
  - {name: one, run: "sort in.txt > one.txt; echo one >> ran.txt", input: in.txt, outputs: [one.txt]}
  - {name: two, run: "wc -l < one.txt > two.txt; echo two >> ran.txt", needs: [one], outputs: [two.txt]}
"""


class Files(Project):
    """A project whose jobs say in `ran.txt` that they ran."""

    def ran(self) -> list[str]:
        path = self.path / "ran.txt"
        words = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    def run(self, *arguments: str) -> list[str]:
        """Run the batch; the jobs that ran."""
        done = self("run", *arguments)
        assert done.code == 0, done.err
        return self.ran()

    def why(self) -> dict[str, str]:
        plan = json.loads(self("plan", "--json").out)
        assert all(job["will_run"] == (job["why"] != "up to date") for job in plan["jobs"])
        return {job["job"]: job["why"] for job in plan["jobs"]}


@pytest.fixture
def joblot(tmp_path):
    project = Files(tmp_path)
    project.write("in.txt", "b\na\n")
    return project


def older(path) -> None:
    """Give a file another time without touching its contents."""
    os.utime(path, (1, 1))


# --- one job ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["local", "inline"])
def test_a_second_run_finds_everything_up_to_date(joblot, on):
    joblot.write("joblot.yaml", COPY)
    assert joblot.run("--on", on) == ["ran"]
    done = joblot("run", "--on", on, "--json")
    report = json.loads(done.out)
    assert (done.code, report["status"], report["cached"], joblot.ran()) == (0, "success", 1, [])
    assert report["results"][0] == {
        "job": "copy", "action": "run", "status": "cached", "attempts": 0, "duration_ms": 0, "reason": "up_to_date",
        "message": "up to date", "started_at": None, "cpu_s": 0.0,
    }  # fmt: skip
    assert joblot.why() == {"copy": "up to date"}


def test_nothing_is_forked_for_a_run_of_nothing(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    joblot("run", "--run-id", "idle")
    assert joblot("explain", "idle", "copy").out == "copy: cached\n  up_to_date: up to date\n"
    assert not (joblot.path / ".joblot" / "runs" / "idle" / "logs").exists()


TUNED = """\
imports: [./acts.py]
jobs:
  - {name: copy, action: copies, input: in.txt, outputs: [out.txt], params: {threads: %s, text: %s}}
"""


def test_parameters_that_only_tune_an_action_are_no_change(joblot):
    joblot.write(
        "acts.py",
        "import shutil\nfrom joblot import action\n"
        "@action('copies', tuning=('threads',))\n"
        "def copies(input, *, threads: int = 1, text: str = ''):\n"
        "    shutil.copy(input, 'out.txt')\n    open('ran.txt', 'a').write('ran\\n')\n",
    )
    joblot.write("joblot.yaml", TUNED % (1, "a"))
    assert joblot.run() == ["ran"]
    joblot.write("joblot.yaml", TUNED % (8, "a"))
    assert joblot.why() == {"copy": "up to date"}
    assert joblot.run() == []
    joblot.write("joblot.yaml", TUNED % (8, "b"))
    assert joblot.why() == {"copy": "changed: params.text 'a' -> 'b'"}


def test_a_changed_input_runs_the_job_again(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    joblot.write("in.txt", "other\n")
    assert joblot.why() == {"copy": "input changed: in.txt"}
    assert joblot.run() == ["ran"]
    assert (joblot.path / "out.txt").read_text() == "other\n"
    assert joblot.run() == []


def test_a_touched_input_with_the_same_contents_is_no_change_and_is_read_once(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    older(joblot.path / "in.txt")
    assert joblot.why() == {"copy": "up to date"}
    assert joblot.run() == []
    with closing(sqlite3.connect(joblot.path / ".joblot" / "journal.db", isolation_level=None)) as database:
        ((files,),) = database.execute("SELECT CAST(files AS TEXT) FROM made").fetchall()
    assert json.loads(files)[0][0][:3] == ["in.txt", 4, 10**9]


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda path: path.unlink(), "output missing: out.txt"),
        (lambda path: path.write_text("B\na\n"), "output changed: out.txt"),
        (lambda path: path.write_text("more\nthan\nbefore\n"), "output changed: out.txt"),
    ],
)
def test_outputs_must_be_as_they_were_made(joblot, act, why):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    act(joblot.path / "out.txt")
    assert joblot.why() == {"copy": why}
    assert joblot.run() == ["ran"]
    assert (joblot.path / "out.txt").read_text() == "b\na\n"


def test_plan_gives_old_and_new_values(joblot):
    job = 'jobs:\n  - {name: a, action: copy, input: in.txt, outputs: [o], params: {output: o}, env: {X: "1"}}\n'
    joblot.write("joblot.yaml", job)
    assert joblot("plan").out.splitlines()[2] == "  a  copy in.txt  new"
    joblot("run")
    joblot.write("joblot.yaml", job.replace('X: "1"', 'X: "2"'))
    assert joblot("plan").out.splitlines()[2] == "  a  copy in.txt  changed: env.X '1' -> '2'"
    planned = json.loads(joblot("plan", "--json").out)["jobs"][0]
    assert planned["why"] == "changed: env.X '1' -> '2'"
    assert planned["changes"] == [{"what": "env.X", "old": "1", "new": "2"}]
    joblot.write("joblot.yaml", job.replace("outputs: [o]", "outputs: [o], retry: {max_attempts: 3}, timeout: 5m"))
    assert joblot.why() == {"a": "up to date"}


def test_a_job_that_never_ran_is_new(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    joblot.write("joblot.yaml", COPY + '  - {name: more, run: "echo > more.txt", outputs: [more.txt]}\n')
    assert joblot.why() == {"copy": "up to date", "more": "new"}


def test_a_job_without_outputs_always_runs(joblot):
    joblot.write("joblot.yaml", 'jobs:\n  - {name: a, run: "echo a >> ran.txt", input: in.txt}\n')
    assert joblot.why() == {"a": "new"}
    assert [joblot.run(), joblot.run()] == [["a"], ["a"]]
    assert joblot.why() == {"a": "no outputs declared"}


def test_another_input_or_one_less_is_a_change(joblot):
    joblot.write("more.txt", "m")
    joblot.write("joblot.yaml", COPY.replace("input: in.txt", "input: [in.txt, more.txt]"))
    joblot.run()
    joblot.write("joblot.yaml", COPY.replace("input: in.txt", "input: [in.txt]"))
    assert joblot.why() == {"copy": "changed: input ['in.txt', 'more.txt'] -> ['in.txt']"}


def test_a_folder_can_be_input_and_output(joblot):
    joblot.write("data/a", "1")
    joblot.write(
        "joblot.yaml", 'jobs:\n  - {name: d, run: "cp -r data made; echo d >> ran.txt", input: data, outputs: [made]}\n'
    )
    assert [joblot.run(), joblot.run()] == [["d"], []]
    joblot.write("made/a", "2")
    assert joblot.why() == {"d": "output changed: made"}
    joblot.write("made/a", "1")
    assert joblot.why() == {"d": "up to date"}, "the contents are what was made"
    joblot.write("data/b", "2")
    assert joblot.why() == {"d": "input changed: data"}


# --- jobs that need each other ----------------------------------------------------------------------------


def test_a_job_is_decided_again_when_its_needs_have_ended(joblot):
    joblot.write("joblot.yaml", CHAIN)
    assert joblot.run() == ["one", "two"]
    assert joblot.run() == []
    joblot.write("in.txt", "c\nb\na\n")
    assert joblot.why() == {"one": "input changed: in.txt", "two": "need will run: one"}
    assert joblot.run() == ["one", "two"]
    joblot.write("in.txt", "a\nc\nb\n")
    assert joblot.run() == ["one"], "what `one` makes is sorted, so it is the same as before"
    assert joblot.why() == {"one": "up to date", "two": "up to date"}


def test_what_a_need_makes_is_an_input(joblot):
    joblot.write("joblot.yaml", CHAIN)
    joblot.run()
    (joblot.path / "one.txt").write_text("x\n")
    assert joblot.why() == {"one": "output changed: one.txt", "two": "need will run: one"}


def test_a_result_that_is_referred_to_is_a_part_of_the_job(joblot):
    batch = """\
jobs:
  - {name: count, run: 'echo lines=$(wc -l < in.txt) > $JOBLOT_OUTPUT; touch done; echo count >> ran.txt', input: in.txt, outputs: [done]}
  - {name: say, run: 'echo ${{ jobs.count.result.lines }} ${{ run.id }} > said; echo say >> ran.txt', needs: [count], outputs: [said]}
  - {name: last, run: 'echo last ${{ jobs.count.result.lines }} >> ran.txt', needs: [count]}
"""
    joblot.write("joblot.yaml", batch)
    assert joblot.run("-j", "1") == ["count", "say", "last", "2"]
    assert joblot.run() == ["last", "2"], "the cached job's result is that of its last success"
    assert joblot.why() == {"count": "up to date", "say": "up to date", "last": "no outputs declared"}
    report = json.loads(joblot("show", "last", "--json").out)
    assert [one.get("result") for one in report["results"][:2]] == [{"lines": "2"}, None]
    joblot.write("in.txt", "a\nb\nc\n")
    assert joblot.why()["say"] == "need will run: count"
    assert joblot.run("-j", "1") == ["count", "say", "last", "3"]


def test_failure_handlers_see_cached_needs_as_well_ended(joblot):
    joblot.write(
        "joblot.yaml",
        COPY + '  - {name: alert, run: "echo alert >> ran.txt", needs: [copy], when: failure}\n'
        '  - {name: after, run: "echo after >> ran.txt", needs: [copy]}\n',
    )
    assert [joblot.run(), joblot.run()] == [["ran", "after"], ["after"]]


# --- actions ----------------------------------------------------------------------------------------------

OWN = """\
from pathlib import Path
from joblot import action, Context

@action("own"{version})
def own(*, text: str = "x", ctx: Context):
    with ctx.output("made.txt") as file:
        file.write_text(text)
    with open(ctx.path("ran.txt"), "a") as ran:
        ran.write("own\\n")
"""


def test_the_code_of_an_action_is_a_part_of_its_jobs(joblot):
    joblot.write("own.py", OWN.format(version=""))
    joblot.write("joblot.yaml", "imports: [own.py]\njobs:\n  - {name: a, action: own, outputs: [made.txt]}\n")
    assert [joblot.run(), joblot.run()] == [["own"], []]
    joblot.write("own.py", "# a remark\n\n" + OWN.format(version="") + "def other(): pass\n")
    assert joblot.why() == {"a": "up to date"}
    joblot.write("own.py", OWN.format(version="").replace("write_text(text)", "write_text(str(text))"))
    assert joblot.why() == {"a": "changed: code of the action"}
    assert joblot("accept", "joblot.yaml", "a") == (0, "accepted `a`: up to date as it is\n", "")
    assert joblot.why() == {"a": "up to date"}
    assert joblot.run() == []
    joblot.write("own.py", OWN.format(version=', version="2"') + "# a remark\n")
    assert joblot.why() == {"a": "changed: code of the action"}


def test_an_action_that_cannot_be_compared_counts_with_its_file(joblot):
    text = OWN.format(version="").replace("write_text(text)", "write_text(text + str(LOCK)[:0])")
    joblot.write("own.py", f"import threading\nLOCK = threading.Lock()\n{text}")
    joblot.write("joblot.yaml", "imports: [own.py]\njobs:\n  - {name: a, action: own, outputs: [made.txt]}\n")
    assert [joblot.run(), joblot.run()] == [["own"], []]
    joblot.write("own.py", f"import threading\nLOCK = threading.Lock()\n{text}# a remark\n")
    assert joblot.why() == {"a": "changed: code of the action"}


@pytest.mark.parametrize("on", ["local", "inline"])
def test_an_action_that_does_not_make_what_it_declares_fails(joblot, on):
    joblot.write("own.py", OWN.format(version=""))
    joblot.write("joblot.yaml", "imports: [own.py]\njobs:\n  - {name: a, action: own, outputs: [made.txt, x]}\n")
    report = json.loads(joblot("run", "--on", on, "--json").out)["results"][0]
    assert (report["status"], report["reason"]) == ("failed", "missing_output")
    assert report["message"] == "declared output `x` was not made"
    assert not (joblot.path / "made.txt").exists()


# --- force and accept -------------------------------------------------------------------------------------


def test_force_runs_all_or_some(joblot):
    joblot.write("joblot.yaml", CHAIN)
    joblot.run()
    assert joblot.run("--force") == ["one", "two"]
    assert joblot.run("--force-job", "two") == ["two"]
    assert joblot.run("--force-job", "t*") == ["two"]
    assert joblot.run("-f", "joblot.yaml") == ["one", "two"]
    assert joblot.run() == []
    planned = json.loads(joblot("plan", "--force-job", "two", "--json").out)["jobs"]
    assert [job["why"] for job in planned] == ["up to date", "forced"]
    assert "two: forced" not in joblot("run", "--dry-run").out
    assert "forced; needs one" in joblot("run", "--dry-run", "--force").out
    assert joblot("run", "--force-job", "tow") == (
        2,
        "",
        "error: no job is called `tow`\nhint: did you mean `two`?\n",
    )


def test_accept_takes_what_is_there(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.write("out.txt", "made by hand\n")
    assert joblot("accept", "joblot.yaml", "copy", "--json").out == '{\n  "accepted": [\n    "copy"\n  ]\n}\n'
    assert joblot.run() == []
    joblot.write("joblot.yaml", COPY.replace("cat in.txt", "cat  in.txt"))
    assert joblot.run() == ["ran"]
    assert joblot("accept", "joblot.yaml", "c*").code == 0, "what is up to date may be accepted too"


@pytest.mark.parametrize(
    ("job", "code", "error"),
    [
        ("plain", 2, "error: there is nothing to accept of job `plain`: no outputs declared\n"),
        ("made", 2, "error: cannot accept job `made`: output `no.txt` does not exist\nhint: `joblot run` makes it\n"),
        ("reads", 2, "error: cannot accept job `reads`: input `no.csv` does not exist\nhint: `joblot run` makes it\n"),
        ("refers", 1, "error: job `plain` has no result to refer to (it is ready)\n"),
        ("palin", 2, "error: no job is called `palin`\nhint: did you mean `plain`?\n"),
    ],
)
def test_what_cannot_be_accepted(joblot, job, code, error):
    joblot.write("there.txt", "")
    joblot.write(
        "joblot.yaml",
        """\
jobs:
  - {name: plain, run: "true"}
  - {name: made, run: "true", outputs: [no.txt]}
  - {name: reads, run: "true", outputs: [there.txt], input: no.csv}
  - {name: refers, run: "echo ${{ jobs.plain.result }}", needs: [plain], outputs: [x]}
""",
    )
    done = joblot("accept", "joblot.yaml", job)
    assert (done.code, done.out, done.err) == (code, "", error), "3 is a bug of joblot"


# --- failures, crashes, retries -----------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["local", "inline"])
def test_a_failed_command_leaves_nothing_under_the_final_name(joblot, on):
    """G4"""
    joblot.write("joblot.yaml", 'jobs:\n  - {name: a, run: "echo half > out.txt; exit 3", outputs: [out.txt]}\n')
    assert joblot("run", "--on", on, "--run-id", "r").code == 1
    assert not (joblot.path / "out.txt").exists()
    assert (joblot.path / ".joblot/runs/r/partial/a/1/out.txt").read_text() == "half\n"


def test_a_failed_try_does_not_make_a_job_up_to_date(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    joblot.write("joblot.yaml", COPY.replace("cat in.txt > out.txt", "echo half > out.txt; exit 1"))
    assert joblot("run").code == 1
    joblot.write("joblot.yaml", COPY)
    assert joblot.why() == {"copy": "failed last time"}
    assert (joblot.path / "out.txt").read_text() == "b\na\n"


MAKES = "name: made\njobs:\n  - {name: 'a-${{ item }}', run: 'test -e go-${{ item }} && echo > o-${{ item }}', outputs: ['o-${{ item }}'], foreach: [x, y]}\n"
AFTER = MAKES + "  - {name: b, run: 'echo > b', outputs: [b], needs: ['a-*']}\n"
SAYS = ("failed last time", "new", "up to date")
NEVER_SUCCEEDED = {
    "all failed": (MAKES, [("run",)], "ff"),
    "one failed": (MAKES, ["go-y", ("run",)], "fu"),
    "one did not take part": (MAKES, [("run", "--only", "a-x")], "fn"),
    "a run without it after that": (MAKES, [("run", "--only", "a-x"), ("run", "--only", "a-y")], "ff"),
    "one with only what was up to date": (MAKES, ["go-y", ("run",), ("run", "--exclude", "a-x")], "fu"),
    "killed for its time": (MAKES.replace("test -e", "sleep 9; test -e") + "defaults: {timeout: 50ms}\n", [("run",)], "ff"),
    "what needs it never began": (AFTER, [("run",)], "ffn"),
    "its failure is allowed": (MAKES.replace("outputs", "allow_failure: true, outputs"), [("run",)], "ff"),
    "the failure of another batch": (MAKES, ["go-x", ("run", "other.yaml"), ("run", "--only", "a-x")], "un"),
    "mended": (MAKES, [("run",), "go-x", "go-y", ("retry",)], "uu"),
}  # fmt: skip


@pytest.mark.parametrize(("batch", "steps", "why"), NEVER_SUCCEEDED.values(), ids=NEVER_SUCCEEDED)
def test_what_never_succeeded_is_new_or_failed_last_time(joblot, batch, steps, why):
    """`plan` said `new` of both, and `explain` that it would say `failed last time`."""
    joblot.write("joblot.yaml", batch)
    joblot.write("other.yaml", MAKES.replace("o-", "p-"))
    for step in steps:
        if isinstance(step, str):
            joblot.write(step, "")
        else:
            assert joblot(*step).code in (0, 1)
    assert "".join(reason[0] for reason in joblot.why().values()) == why
    assert set(joblot.why().values()) <= set(SAYS)


def test_a_retried_job_can_succeed_and_is_up_to_date_then(joblot):
    joblot.write(
        "joblot.yaml",
        'jobs:\n  - {name: a, run: "test $JOBLOT_ATTEMPT = 2 && echo x > o && echo a >> ran.txt", outputs: [o], retry: {max_attempts: 2}}\n',
    )
    assert [joblot.run(), joblot.run()] == [["a"], []]


def test_retry_of_a_cached_job_runs_it(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    joblot("run", "--run-id", "r2")
    assert joblot("retry", "r2", "--job", "copy").code == 0
    assert joblot.ran() == ["ran"]


def test_a_runner_that_is_killed_leaves_no_half_made_output_after_resume(joblot):
    """G4"""
    joblot.write(
        "joblot.yaml",
        'jobs:\n  - {name: a, run: "echo $JOBLOT_ATTEMPT > out.txt; touch began; test -e go || sleep 60", outputs: [out.txt]}\n',
    )
    with joblot.popen("run", "--run-id", "r") as process:
        joblot.wait_for("began")
        process.kill()
    joblot.write("go", "")
    assert joblot("resume", "r").code == 0
    assert (joblot.path / "out.txt").read_text() == "2\n"
    assert (joblot.path / ".joblot/runs/r/partial/a/1/out.txt").read_text() == "1\n"
    assert joblot.why() == {"a": "up to date"}


def test_a_forced_run_that_is_resumed_stays_forced(joblot):
    joblot.write(
        "joblot.yaml",
        'jobs:\n  - {name: a, run: "touch a.txt began; test -e go || sleep 60", outputs: [a.txt]}\n'
        '  - {name: b, run: "echo b >> ran.txt; touch b.txt", needs: [a], outputs: [b.txt]}\n',
    )
    joblot.write("go", "")
    assert joblot.run() == ["b"]
    for name in ("go", "began"):
        (joblot.path / name).unlink()
    with joblot.popen("run", "--force", "--run-id", "r") as process:
        joblot.wait_for("began")
        process.kill()
    joblot.write("go", "")
    assert joblot("resume", "r").code == 0
    assert joblot.ran() == ["b"]


def test_without_a_state_folder_outputs_are_checked_and_nothing_is_cached(tmp_path):
    from joblot import Batch

    batch = Batch("b", folder=tmp_path)
    batch.add("a", None, run="echo x > out.txt", outputs=["out.txt"])
    batch.add("b", None, run="true", outputs=["none.txt"])
    for _ in range(2):
        report = batch.run(on="inline", state=False)
        assert [(job.name, job.state, job.reason) for job in report.jobs.values()] == [
            ("a", "success", ""),
            ("b", "failed", "missing_output"),
        ]
    assert report.jobs["a"].artifacts[0].size == 2


# --- plans that cannot be ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("out/x.csv", "out/x.csv", "job `b` writes `out/x.csv`, which job `a` (line 2) writes too"),
        ("out/x.csv", "./out//y/../x.csv", "job `b` writes `./out//y/../x.csv`, which job `a` (line 2) writes too"),
        ("out/X.csv", "out/x.CSV", "job `b` writes `out/x.CSV`, which job `a` (line 2) writes too"),
        ("caf\u00e9", "cafe\u0301", "job `b` writes `cafe\u0301`, which job `a` (line 2) writes too"),
        ("out", "out/x.csv", "job `b` writes `out/x.csv`, which job `a` (line 2) makes the folder of"),
        ("out/deep/x", "out", "job `a` writes `out/deep/x`, which job `b` (line 3) makes the folder of"),
    ],
)
def test_two_jobs_cannot_write_one_path(joblot, first, second, said):
    """S12"""
    joblot.write(
        "joblot.yaml",
        f'jobs:\n  - {{name: a, run: "true", outputs: ["{first}"]}}\n  - {{name: b, run: "true", outputs: ["{second}"]}}\n',
    )
    done = joblot("validate")
    assert done.code == 2
    assert f"error: {said}\n" in done.err
    assert "hint: give each job files of its own\n" in done.err


@pytest.mark.parametrize(
    ("job", "said", "hint"),
    [
        (
            "outputs: [.]",
            "output `.` of job `a` is the batch's own folder, or one above it",
            "name files, or a folder of its own",
        ),
        (
            "outputs: [/]",
            "output `/` of job `a` is the batch's own folder, or one above it",
            "name files, or a folder of its own",
        ),
        ("input: x, outputs: [x]", "job `a` reads and writes `x`", "write to another file"),
    ],
)
def test_outputs_that_cannot_be_told_from_what_is_there(joblot, job, said, hint):
    joblot.write("joblot.yaml", f'jobs:\n  - {{name: a, run: "true", {job}}}\n')
    done = joblot("validate")
    assert done.code == 2
    assert f"error: {said}\n" in done.err
    assert f"hint: {hint}\n" in done.err


def test_a_journal_without_the_table_gets_it(joblot):
    joblot.write("joblot.yaml", COPY)
    joblot.run()
    with closing(sqlite3.connect(joblot.path / ".joblot" / "journal.db", isolation_level=None)) as database:
        database.execute("DROP TABLE made")
        database.execute("UPDATE meta SET value = 1 WHERE key = 'tables'")
    assert joblot.why() == {"copy": "new"}
    assert [joblot.run(), joblot.run()] == [["ran"], []]


def test_what_was_kept_and_is_damaged_counts_as_never_made(joblot):
    joblot.write("joblot.yaml", COPY)
    for column, value in (("files", b"{"), ("result", b"no json"), ("parts", "a text"), ("parts", b"{")):
        joblot.run("--force")
        with closing(sqlite3.connect(joblot.path / ".joblot" / "journal.db", isolation_level=None)) as database:
            database.execute(f"UPDATE made SET {column} = ?", (value,))
        assert joblot.run() == ["ran"], column


@pytest.mark.parametrize("options", [[], ["--max-memory", "256MiB"]], ids=["outputs", "memory"])
def test_a_journal_whose_maker_was_killed_at_once_stands_in_nobodys_way(joblot, options):
    """G1: the same command goes on by itself after a kill at any moment, also before there was a run."""
    joblot.write("joblot.yaml", COPY)
    (joblot.path / ".joblot").mkdir()
    (joblot.path / ".joblot" / "journal.db").touch()
    assert joblot.run(*options) == ["ran"]
