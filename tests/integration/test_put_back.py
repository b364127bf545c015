"""What a job has made stays good: after any bad end of an attempt its outputs are as they were before it. Whole runs of the real command."""

import json
import os
import time
from pathlib import Path

import pytest

from cli.conftest import Project
from joblot.copies import MAX_COPIED

ACTIONS = """
import os, signal, time
from joblot import Context, action, fused

@action("change")
def change(input=None, *, how: str, ctx: Context):
    (ctx.batch_dir / f"{ctx.job}.txt").write_text("half")
    if how == "fails":
        raise RuntimeError("no")
    if how == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    (ctx.batch_dir / f"{ctx.job}.txt").write_text("new")

@fused("change", on=("input",))
def changes(jobs, ctx):
    for job in jobs:
        try:
            change(how=job.params["how"], ctx=job.ctx)
        except RuntimeError as error:
            ctx.failed(job, error)
        else:
            ctx.done(job, None)
"""


class Files(Project):
    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def killed(self, *arguments: str, **options: Path) -> None:
        """Run a command and kill it as soon as a job has made the file `began`."""
        with self.popen(*arguments, **options) as process:
            self.wait_for("began")
            process.kill()
        (self.path / "began").unlink()

    def why(self) -> dict[str, str]:
        return {job["job"]: job["why"] for job in json.loads(self("plan", "--json").out)["jobs"]}


@pytest.fixture
def joblot(tmp_path):
    return Files(tmp_path)


ENDS = {
    "exit": "exit 3",
    "signal": "kill -9 $$",
    "timeout": "sleep 60",
    "missing output": "rm two.txt",
}


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whatever_ends_an_attempt_both_outputs_are_as_they_were(joblot, end, on):
    """One of them half made is enough. G4"""
    joblot.write("out/one.txt", "whole one")
    joblot.write("two.txt", "whole two")
    joblot.write(
        "joblot.yaml",
        f'jobs:\n  - {{name: a, run: "echo half > out/one.txt; rm two.txt; {end}", outputs: [out/one.txt, two.txt], timeout: 1s, grace: 0s}}\n'
        if end == ENDS["timeout"]
        else f'jobs:\n  - {{name: a, run: "echo half > out/one.txt; echo new > two.txt; {end}", outputs: [out/one.txt, two.txt]}}\n',
    )
    assert joblot("run", "--on", on, "--run-id", "r").code == 1
    assert (joblot.read("out/one.txt"), joblot.read("two.txt")) == ("whole one", "whole two")
    assert joblot.read(".joblot/runs/r/partial/a/1/one.txt") == "half\n"
    assert not (joblot.path / ".joblot/runs/r/kept").exists()


def test_every_attempt_begins_alike(joblot):
    """As does the next run: a file that is changed in place is not changed twice."""
    joblot.write("db", "0\n")
    joblot.write(
        "joblot.yaml",
        'jobs:\n  - {name: a, run: "echo $JOBLOT_ATTEMPT >> db; test $JOBLOT_ATTEMPT = 3", outputs: [db], retry: {max_attempts: 3}}\n',
    )
    assert joblot("run").code == 0
    assert joblot.read("db") == "0\n3\n"
    assert joblot("run", "--force").code == 0
    assert joblot.read("db") == "0\n3\n3\n"


@pytest.mark.alone
@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_cancelled_job_leaves_what_was_there(joblot, how):
    joblot.write("f", "whole")
    joblot.write("joblot.yaml", 'jobs:\n  - {name: a, run: "echo half > f; touch began; sleep 60", outputs: [f]}\n')
    with joblot.popen("run", "--run-id", "r") as process:
        joblot.wait_for("began")
        assert joblot("cancel", "r", *(["--kill"] if how == "killed" else [])).code == 0
        if how == "cancelled":
            joblot.interrupt(process)
        process.wait(timeout=60)
    assert joblot.read("f") == "whole"


@pytest.mark.parametrize("on", ["local", "inline"])
def test_of_jobs_that_run_as_one_each_has_its_own_file_back(joblot, on):
    joblot.write("acts.py", ACTIONS)
    fates = {"a": "works", "b": "fails", "c": "works", "d": "fails"}
    jobs = [
        {"name": name, "action": "change", "input": "in", "params": {"how": how}, "outputs": [f"{name}.txt"]}
        for name, how in fates.items()
    ]
    joblot.write("in", "")
    joblot.write("joblot.json", json.dumps({"imports": ["./acts.py"], "jobs": jobs}))
    for name in fates:
        joblot.write(f"{name}.txt", "whole")
    assert joblot("run", "joblot.json", "--on", on).code == 1
    assert {name: joblot.read(f"{name}.txt") for name in fates} == {"a": "new", "b": "whole", "c": "new", "d": "whole"}


def test_after_a_crash_of_a_worker_too(joblot):
    joblot.write("acts.py", ACTIONS)
    joblot.write("a.txt", "whole")
    job = {"name": "a", "action": "change", "params": {"how": "crashes"}, "outputs": ["a.txt"]}
    joblot.write("joblot.json", json.dumps({"imports": ["./acts.py"], "jobs": [job]}))
    assert joblot("run", "joblot.json").code == 1
    assert joblot.read("a.txt") == "whole"


# --- kill -9 ------------------------------------------------------------------------------------------

HALF = """\
name: b
jobs:
  - {name: a, run: "cat f d/g >> seen; echo half > f; rm d/g; touch began; test -e go || sleep 60; exit 1", outputs: [f, d]}
"""


@pytest.mark.alone
@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("then", ["resume", "run", "retry another", "accept"])
def test_after_kill_9_it_is_put_back_before_anything_is_looked_at(joblot, then, durability):
    joblot.write("joblot.yaml", f"durability: {durability}\n{HALF}")
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.write("go", "")
    assert joblot("run", "--run-id", "first").code == 1
    for name in ("go", "seen", "began"):
        (joblot.path / name).unlink()
    joblot.killed("run", "--run-id", "r")
    assert joblot.read("f") == "half\n"
    joblot.write("go", "")
    said = "run `r` was killed and not resumed: what it was making is as it was before"
    match then:
        case "resume":
            assert joblot("resume", "r").code == 1
        case "run":
            assert said in joblot("run").err
        case "retry another":
            assert said in joblot("retry", "first").err
        case "accept":
            assert said in joblot("accept", "joblot.yaml", "a").err
    assert (joblot.read("f"), joblot.read("d/g")) == ("whole f\n", "whole g\n")
    assert joblot.read("seen") == "whole f\nwhole g\n" * (1 if then == "accept" else 2)
    assert not (joblot.path / ".joblot/runs/r/kept").exists()
    assert joblot.read(".joblot/runs/r/partial/a/1/f") == "half\n"


@pytest.mark.alone
def test_who_resumes_a_run_that_another_one_has_cleared_up_after_takes_nothing_away(joblot):
    joblot.write("joblot.yaml", HALF.replace("exit 1", "test -e good && mkdir -p d && echo new > f"))
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r")
    joblot.write("go", "")
    joblot.write("good", "")
    assert joblot("run", "--run-id", "s").code == 0
    assert joblot.read("f") == "new\n"
    done = joblot("run", "--json")
    assert "killed" not in done.err, "that is told once"
    assert json.loads(done.out)["results"][0]["status"] == "cached"
    assert joblot("resume", "r").code == 0
    assert json.loads(joblot("show", "r", "--json").out)["results"][0]["status"] == "cached"
    assert joblot.read("f") == "new\n"


@pytest.mark.alone
def test_a_job_that_was_found_while_the_run_went_on_has_its_file_back_when_it_is_resumed(joblot):
    joblot.write(
        "joblot.yaml",
        "name: b\njobs:\n  - {name: list, run: 'echo ''{\"names\": [\"f\"]}'' > $JOBLOT_OUTPUT'}\n"
        "  - name: a-${{ item }}\n    needs: [list]\n    foreach: ${{ jobs.list.result.names }}\n    outputs: ['${{ item }}']\n"
        "    run: 'cat f >> seen; echo half > f; touch began; test -e go || sleep 60; exit 1'\n",
    )
    joblot.write("f", "whole f\n")
    joblot.killed("run", "--run-id", "r")
    joblot.write("go", "")
    assert joblot("resume", "r").code == 1
    assert (joblot.read("seen"), joblot.read("f")) == ("whole f\n" * 2, "whole f\n")


def test_the_copies_of_an_attempt_that_could_not_begin_go_as_well(joblot):
    joblot.write("f", "whole")
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - {name: m, run: 'echo {} > $JOBLOT_OUTPUT'}\n"
        "  - {name: a, run: 'echo half > f', params: {}, env: {X: '${{ jobs.m.result.none }}'}, needs: [m], outputs: [f]}\n"
        "  - {name: l, run: 'ls .joblot/runs/r/kept', needs: [a], when: always}\n",
    )
    assert joblot("run", "--run-id", "r").code == 1
    assert (joblot("logs", "r", "l").out, joblot.read("f")) == ("", "whole")


PHASES = {
    "allowed to fail": "  - {name: a, run: 'echo half > f; exit 3', outputs: [f], allow_failure: true}\n",
    "skipped": "  - {name: a, run: 'echo half > f', outputs: [f], if: false}\n",
    "beside one that stops the run": "  - {name: a, run: 'echo half > f; touch g; sleep 60', outputs: [f]}\n"
    "  - {name: b, run: 'until test -e g; do sleep 0.05; done; exit 3'}\n",
}


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_of_whatever_kind_a_job_is_its_output_is_as_it_was(joblot, phase):
    joblot.write("f", "whole")
    joblot.write("joblot.yaml", "fail_fast: true\njobs:\n" + phase)
    assert joblot("run", "--run-id", "r").code in (0, 1)
    assert joblot.read("f") == "whole"
    assert (joblot.path / ".joblot/runs/r/partial/a/1/f").exists() == ("if: false" not in phase)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["another batch", "no outputs", "damaged", "found on the way"])
def test_which_killed_runs_a_new_one_clears_up_after(joblot, kind):
    joblot.write("joblot.yaml", HALF)
    joblot.write("other.yaml", "jobs:\n  - {name: x, run: 'true', outputs: [f]}\n")
    if kind == "no outputs":
        joblot.write("joblot.yaml", HALF.replace(", outputs: [f, d]", ""))
    if kind == "found on the way":
        joblot.write(
            "joblot.yaml",
            "name: b\njobs:\n  - {name: list, run: 'echo ''{\"names\": [\"f\"]}'' > $JOBLOT_OUTPUT'}\n"
            "  - name: a-${{ item }}\n    needs: [list]\n    foreach: ${{ jobs.list.result.names }}\n    outputs: ['${{ item }}']\n"
            "    run: 'cat f >> seen; echo half > f; touch began; test -e go || sleep 60; exit 1'\n",
        )
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r")
    joblot.write("go", "")
    if kind == "damaged":
        events = joblot.path / ".joblot/runs/r/events.jsonl"
        events.write_bytes(events.read_bytes().replace(b"attempts_started", b"attempts_stopped"))
    done = joblot("run", "other.yaml" if kind == "another batch" else "joblot.yaml")
    assert "Traceback" not in done.err
    put_back = joblot.read("f") == "whole f\n" or joblot.read("seen").count("whole f") == 2
    assert put_back == (kind in ("found on the way", "another batch"))
    if kind == "another batch":
        assert joblot("resume", "r").code == 1
        assert joblot.read("f") == "whole f\n"


SAW = "cat f d/g > saw"
LATER = {
    "no outputs any more": ("joblot.yaml", f"name: b\njobs:\n  - {{name: a, run: {SAW}}}\n"),
    "fewer outputs": ("joblot.yaml", f"name: b\njobs:\n  - {{name: a, run: {SAW}, outputs: [f]}}\n"),
    "another name": ("joblot.yaml", f"name: c\njobs:\n  - {{name: a, run: {SAW}, outputs: [f, d]}}\n"),
    "another name, no outputs": ("joblot.yaml", f"jobs:\n  - {{name: z, run: {SAW}, input: [f, d]}}\n"),
    "another file": ("new.yaml", f"jobs:\n  - {{name: a, run: {SAW}, outputs: [saw]}}\n"),
    "another job of a group": ("joblot.yaml", f"concurrency: {{group: g}}\njobs:\n  - {{name: z, run: {SAW}}}\n"),
    "inside of what it made": ("joblot.yaml", f"jobs:\n  - {{name: z, run: {SAW}, outputs: [d/g]}}\n"),
}


@pytest.mark.alone
@pytest.mark.parametrize("kind", LATER)
def test_after_kill_9_it_is_put_back_however_the_batch_was_changed(joblot, kind):
    file, text = LATER[kind]
    joblot.write("joblot.yaml", HALF)
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r")
    (joblot.path / "joblot.yaml").unlink()
    joblot.write(file, text)
    assert joblot("run", file).code == 0
    assert joblot.read("saw") == "whole f\nwhole g\n"
    assert joblot.read(".joblot/runs/r/partial/a/1/f") == "half\n"
    assert "killed" not in joblot("run", file, "--force").err, "that is told once"


@pytest.mark.alone
def test_what_another_folder_s_batch_was_making_is_left_to_that(joblot):
    joblot.write("one/joblot.yaml", HALF.replace("began", "../began"))
    joblot.write("one/f", "whole f\n")
    joblot.write("one/d/g", "whole g\n")
    joblot.write("two/joblot.yaml", "name: b\njobs:\n  - {name: a, run: 'true'}\n")
    joblot.killed("run", "one/joblot.yaml", "--run-id", "r", "--state", "all")
    assert joblot("run", "two/joblot.yaml", "--state", "all").code == 0
    assert joblot.read("one/f") == "half\n"


@pytest.mark.alone
def test_what_another_run_makes_by_now_is_left_to_that(joblot):
    """The batch of the killed run makes something else since, and one of another state folder what that was making."""
    joblot.write("joblot.yaml", HALF)
    joblot.write("c.yaml", "jobs:\n  - {name: c, run: 'echo c > f; touch began; until test -e go; do sleep 0.05; done; cat f > saw', outputs: [f]}\n")  # fmt: skip
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r")
    joblot.write("joblot.yaml", "name: b\njobs:\n  - {name: a, run: 'echo h > h', outputs: [h]}\n")
    with joblot.popen("run", "c.yaml", "--state", "other") as other:
        joblot.wait_for("began")
        assert joblot("run").code == 0
        joblot.write("go", "")
        assert other.wait(timeout=60) == 0
    assert (joblot.read("saw"), joblot.read("f")) == ("c\n", "c\n")


@pytest.mark.alone
def test_what_was_changed_by_hand_after_kill_9_is_said_to_be_aside(joblot):
    joblot.write("joblot.yaml", HALF)
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r")
    joblot.write("f", "by hand\n")
    joblot.write("go", "")
    said = "as it was before; what stood there is in `DIR/.joblot/runs/r/partial`\n"
    assert said in joblot("run").err
    assert joblot.read(".joblot/runs/r/partial/a/1/f") == "by hand\n"


MOVED = {"relative": "f, d", "absolute": "DIR/f, DIR/d"}


@pytest.mark.alone
@pytest.mark.parametrize("paths", MOVED)
def test_a_folder_that_was_moved_after_kill_9(joblot, paths):
    """What was half made is put back where it is now, and the folder that it was in does not come back."""
    old, new = joblot.path / "old", joblot.path / "new"
    joblot.write(
        "old/joblot.yaml", HALF.replace("f, d", MOVED[paths]).replace("DIR", str(old)).replace("began", "../began")
    )
    joblot.write("old/f", "whole f\n")
    joblot.write("old/d/g", "whole g\n")
    joblot.killed("run", "--run-id", "r", cwd=old)
    old.rename(new)
    for command in (["resume", "r"], ["retry", "r"], ["retry", "r", "--as-it-was"]):
        done = joblot(*command, cwd=new)
        assert done.code == 4
        assert done.err.splitlines()[-2:] == [
            "error: the folder of run `r` is not there: `DIR/old`",
            "hint: move it back, or begin a new run: that puts back what this one was making",
        ]
    joblot.write("new/joblot.yaml", f"name: b\njobs:\n  - {{name: a, run: {SAW}}}\n")
    assert joblot("run", cwd=new).code == 0
    assert joblot.read("new/saw") == "whole f\nwhole g\n"
    assert not old.exists()


@pytest.mark.alone
@pytest.mark.parametrize("more", ["", "concurrency: {on_conflict: wait}\n"])
def test_after_kill_9_links_are_looked_at_when_it_is_put_back(joblot, more):
    """A link that the killed attempt has left made two paths one, and the run was refused."""
    begin = "name: b\njobs:\n  - {name: m, run: 'mkdir -p out; echo m > out/g', outputs: [out/g]}\n"
    use = "  - {name: use, run: cat d/g > saw, input: d/g}\n"
    joblot.write(
        "joblot.yaml", f"{begin}  - {{name: a, run: rm -r d; ln -s out d; touch began; sleep 60, outputs: [d]}}\n{use}"
    )
    joblot.write("d/g", "whole g\n")
    joblot.killed("run")
    assert (joblot.path / "d").is_symlink()
    joblot.write("joblot.yaml", f"{more}{begin}  - {{name: a, run: 'true', outputs: [d]}}\n{use}")
    assert joblot("run").code == 0
    assert joblot.read("saw") == "whole g\n"


@pytest.mark.alone
def test_after_kill_9_input_that_is_not_selected_is_looked_at_when_it_is_put_back(joblot):
    use = "  - {name: use, run: cat f > saw, input: f}\n"
    joblot.write("joblot.yaml", HALF.replace("echo half > f;", "rm f;") + use)
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    os.utime(joblot.path / "f", (10**9, 10**9))
    joblot.killed("run")
    done = joblot("run", "--only", "use")
    assert (done.code, joblot.read("saw")) == (0, "whole f\n")
    assert "use reads `f` as it is, of 2001-09-" in done.err


@pytest.mark.alone
def test_a_run_that_is_refused_after_it_was_put_back_has_begun_nothing(joblot):
    joblot.write("joblot.yaml", HALF)
    joblot.write("f", "whole f\n")
    joblot.write("d/g", "whole g\n")
    joblot.killed("run")
    joblot.write("joblot.yaml", HALF + "  - {name: m, outputs: [gone], run: x}\n  - {name: use, run: x, input: gone}\n")
    done = joblot("run", "--only", "use")
    message = "error: job `use` reads `gone`, which is not there; `m`, which makes it, is not selected"
    assert (done.code, message in done.err, joblot.read("f")) == (2, True, "whole f\n")
    assert len(list((joblot.path / ".joblot/runs").iterdir())) == 1


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize(
    "change",
    ["chmod 000 f", "touch -d 1999-01-01 f", "cat f > g; rm f; cp g f; chmod 600 f", "printf half > f; chmod 444 f"],
)
def test_times_and_modes_are_as_they_were(joblot, on, change):
    joblot.write("joblot.yaml", f"jobs:\n  - {{name: a, run: '{change}; exit 1', outputs: [f]}}\n")
    joblot.write("f", "whole")
    path = joblot.path / "f"
    path.chmod(0o640)
    os.utime(path, ns=(5 * 10**18 // 4, 5 * 10**18 // 4))
    before = path.stat()
    assert joblot("run", "--on", on).code == 1
    after = path.stat()
    assert (after.st_mode, after.st_mtime_ns, path.read_text()) == (before.st_mode, before.st_mtime_ns, "whole")


# --- what an attempt has not written ------------------------------------------------------------------

LEFT_ALONE = {
    "one of two": ("echo a > a", "a: `b` was there before, and was not written"),
    "both": ("true", "a: `a` and 1 more was there before, and was not written"),
    "both anew": ("echo a > a; echo b > b", ""),
    "touched": ("touch a b", ""),
    "renamed and back": ("echo a > a; mv b c; mv c b", ""),
    "the same again": ("echo a > a; echo old > b.new; mv b.new b", ""),
    "another mode": ("echo a > a; chmod 600 b", ""),
    "made again": ("rm a b; echo a > a; echo b > b", ""),
}


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("case", LEFT_ALONE)
def test_an_output_that_was_there_before_and_was_not_written_is_told(joblot, case, on):
    """It counts as made: a program that writes only what has changed leaves the rest alone."""
    command, told = LEFT_ALONE[case]
    for name in "ab":
        joblot.write(name, "old\n")
        os.utime(joblot.path / name, (10**9, 10**9))
    until_old(joblot.path / "b")
    joblot.write("joblot.yaml", f"jobs:\n  - {{name: a, run: '{command}', outputs: [a, b]}}\n")
    done = joblot("run", "--on", on)
    assert (done.code, "not written" in done.err) == (0, bool(told)), done.err
    assert told in done.err
    assert joblot.why() == {"a": "up to date"}


def until_old(path):
    """Until the time of change of a file is a proof."""
    while time.time_ns() < path.stat().st_ctime_ns + 30_000_000:
        time.sleep(0.01)


def test_a_folder_that_was_not_written_is_told_and_many_are_not(joblot):
    jobs = "".join(f"  - {{name: j{number}, run: 'true', outputs: [d{number}]}}\n" for number in range(6))
    joblot.write("joblot.yaml", "jobs:\n" + jobs)
    for number in range(6):
        joblot.write(f"d{number}/file", "")
    until_old(joblot.path / "d5/file")
    lines = [line.partition("WARNING | ")[2] for line in joblot("run", "-j", "1").err.splitlines() if "WARNING" in line]
    assert lines == [
        *(f"j{number}: `d{number}` was there before, and was not written" for number in range(3)),
        "other jobs have left outputs alone too: that is not told again",
    ]


# --- links out of a folder that is made -----------------------------------------------------------------


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("target", ["/", "../more", "..", "../more/file"])
def test_a_link_out_of_an_output_folder_is_not_followed(joblot, target, on):
    joblot.write("more/file", "1")
    joblot.write(
        "joblot.yaml",
        "jobs:\n"
        f"  - {{name: a, run: 'mkdir -p d; echo 1 > d/file; ln -sfn {target} d/link', outputs: [d]}}\n"
        "  - {name: b, run: cp d/file o, outputs: [o], input: d}\n"
        "  - {name: c, run: cp d/file p, outputs: [p], needs: [a]}\n",
    )
    done = joblot("run", "--on", on, "--json")
    assert done.code == 0
    made = json.loads(done.out)["results"][0]["artifacts"][0]
    assert (made["path"], made["size"]) == ("d", 2)
    joblot.write("more/file", "2")
    joblot.write("other", "2")
    assert joblot.why() == dict.fromkeys("abc", "up to date")
    (joblot.path / "d/link").unlink()
    (joblot.path / "d/link").symlink_to("elsewhere")
    assert joblot.why() == {"a": "output changed: d", "b": "need will run: a", "c": "need will run: a"}


# --- the state folder is no output ----------------------------------------------------------------------

STATE_HINT = "hint: `.joblot` holds what joblot keeps of runs: name something else"
OTHER_HINT = "hint: `--state` takes another folder"
STATES = {
    "itself": ("outputs: [.joblot]", [], "output `.joblot` of job `a` is in a state folder", STATE_HINT),
    "inside": ("outputs: [./.joblot/x]", [], "output `./.joblot/x` of job `a` is in a state folder", STATE_HINT),
    "another one": (
        "outputs: [sub/.joblot/x]",
        [],
        "output `sub/.joblot/x` of job `a` is in a state folder",
        STATE_HINT,
    ),
    "by an item": (
        "outputs: ['${{ item }}/x'], foreach: [.joblot]",
        [],
        "output `.joblot/x` of job `a-joblot` is in a state folder",
        STATE_HINT,
    ),
    "by a link": ("outputs: [link/x]", [], "output `.joblot/x` of job `a` is in a state folder", "hint: links are"),
    "absolute": ("outputs: [DIR/.joblot/x]", [], "output `DIR/.joblot/x` of job `a` is in a state folder", STATE_HINT),
    "a pattern of input": (
        "input: .joblot/**",
        [],
        "`input` must not be in a state folder, and `.joblot/**` is",
        STATE_HINT,
    ),
    "one of a list": (
        "input: [x, 'sub/.joblot/*/r?']",
        [],
        "`input[1]` must not be in a state folder, and `sub/.joblot/*/r?` is",
        STATE_HINT,
    ),
    "another state folder": (
        "outputs: [kept]",
        ["--state", "kept"],
        "output `kept` of job `a` is the state folder `DIR/kept`, or lies in it or around it",
        OTHER_HINT,
    ),
    "inside of another": (
        "outputs: [x, kept/x]",
        ["--state", "kept"],
        "output `kept/x` of job `a` is the state folder `DIR/kept`, or lies in it or around it",
        OTHER_HINT,
    ),
    "around another": (
        "outputs: [sub/]",
        ["--state", "sub/kept"],
        "output `sub/` of job `a` is the state folder `DIR/sub/kept`, or lies in it or around it",
        OTHER_HINT,
    ),
    "an absolute path to another": (
        "outputs: [DIR/kept/x]",
        ["--state", "kept"],
        "output `DIR/kept/x` of job `a` is the state folder `DIR/kept`, or lies in it or around it",
        OTHER_HINT,
    ),
    "an item in another": (
        "outputs: ['kept/${{ item }}'], foreach: [x]",
        ["--state", "kept"],
        "output `kept/${{ item }}` of job `a` is the state folder `DIR/kept`, or lies in it or around it",
        OTHER_HINT,
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_the_state_folder_is_no_output_and_no_pattern_reads_it(joblot, case):
    fields, words, told, hint = STATES[case]
    (joblot.path / "link").symlink_to(".joblot")
    joblot.write("joblot.yaml", f"jobs:\n  - {{name: a, run: 'true', {fields}}}\n".replace("DIR", str(joblot.path)))
    done = joblot("run", *words)
    assert (done.code, f"error: {told}\n" in done.err, hint in done.err) == (2, True, True), done.err


def test_names_that_are_like_the_state_folder_s_are_outputs(joblot):
    joblot.write("kept-too/x", "")
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: touch .joblot-x, outputs: [kept-too, .joblot-x]}\n")
    assert joblot("run", "--state", "kept").code == 0


@pytest.mark.parametrize("pattern", [".*/**", ".j*/*/*", "**/.joblot?/*", ".[j]oblot/*"])
def test_what_a_pattern_finds_in_a_state_folder_is_left_out(joblot, pattern):
    joblot.write(".joblot/a/b", "")
    joblot.write(".other/c/d", "")
    joblot.write(
        "joblot.yaml",
        f"jobs:\n  - {{name: a, run: 'echo ${{{{ input }}}} > seen', input: ['{pattern}', '.oth*/*/*']}}\n",
    )
    done = joblot("run")
    assert (done.code, "no file matches" in done.err) == ((0, False) if pattern == ".*/**" else (1, True))
    assert pattern != ".*/**" or joblot.read("seen") == ".other/c/d\n"


# --- a failed last attempt is remembered --------------------------------------------------------------

FAILS = 'jobs:\n  - {name: a, run: "test -e in && cat in > o; test ! -e bad", input: in, outputs: [o]}\n'


@pytest.mark.parametrize("on", ["local", "inline"])
def test_a_job_whose_last_attempt_has_failed_is_not_up_to_date(joblot, on):
    joblot.write("joblot.yaml", FAILS)
    joblot.write("in", "1")
    assert joblot("run", "--on", on).code == 0
    assert joblot.why() == {"a": "up to date"}
    joblot.write("bad", "")
    assert joblot("run", "--force", "--on", on).code == 1
    assert joblot.read("o") == "1"
    said = "  the next run of its batch does it again, whatever is there: `failed last time`"
    assert said in joblot("explain", "last", "a").out.splitlines()
    (joblot.path / "bad").unlink()
    assert joblot.why() == {"a": "failed last time"}
    assert joblot("run", "--on", on).code == 0
    assert joblot.why() == {"a": "up to date"}


def test_a_failed_last_attempt_can_be_accepted(joblot):
    joblot.write("joblot.yaml", FAILS)
    joblot.write("in", "1")
    joblot("run")
    joblot.write("bad", "")
    joblot("run", "--force")
    assert joblot.why() == {"a": "failed last time"}
    assert joblot("accept", "joblot.yaml", "a").code == 0
    assert joblot.why() == {"a": "up to date"}


@pytest.mark.alone
def test_a_failure_that_a_kill_came_close_behind_is_remembered(joblot):
    joblot.write("in", "1")
    joblot.write(
        "joblot.yaml", FAILS + "  - {name: b, run: 'touch began; test -e go || sleep 60', needs: [a], when: always}\n"
    )
    joblot.write("go", "")
    assert joblot("run").code == 0
    for name in ("go", "began"):
        (joblot.path / name).unlink()
    joblot.write("bad", "")
    joblot.killed("run", "--force")
    assert joblot.why()["a"] == "failed last time"


# --- what is not kept ---------------------------------------------------------------------------------


def test_plan_names_outputs_that_are_too_large_to_be_copied(joblot):
    for number in range(8):
        with joblot.write(f"{number}", "").open("wb") as file:
            file.truncate(MAX_COPIED + (number > 0))
    joblot.write(
        "joblot.yaml", "jobs:\n" + "".join(f"  - {{name: j{n}, run: x, outputs: ['{n}']}}\n" for n in range(8))
    )
    said = [line for line in joblot("plan").out.splitlines() if "512 MiB" in line]
    assert said[0] == "`1` of j1 is above 512 MiB: no copy is kept while it is made, unless it can be cloned"
    assert (len(said), said[-1]) == (6, "... and 2 more outputs above 512 MiB (`--json` lists all)")
    jobs = json.loads(joblot("plan", "--json").out)["jobs"]
    assert [job.get("not_kept") for job in jobs] == [None, *([str(n)] for n in range(1, 8))]
