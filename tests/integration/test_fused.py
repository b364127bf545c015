"""Fused jobs in whole runs of the real command: what fails, hangs, crashes or is killed in a bundle leaves its neighbours alone."""

import json
import signal
import time

import pytest

from cli.conftest import Project

ACTIONS = '''\
"""Jobs whose fate is a word of theirs; `ran.txt` tells what ran, and how."""
import os
import signal
import time
from pathlib import Path

from joblot import action, fused


def note(ctx, line):
    with open(ctx.batch_dir / "ran.txt", "a") as file:
        file.write(line + "\\n")


def meet(name, fate, tries, batch_dir):
    if fate == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fate == "hang":
        time.sleep(300)
    elif fate == "raise":
        raise RuntimeError(f"{name} raises")
    elif fate == "wait":
        until = time.monotonic() + 60
        while not (batch_dir / "go").exists() and time.monotonic() < until:
            time.sleep(0.01)
    elif fate == "second":
        count = batch_dir / f"{name}.tries"
        count.write_text((count.read_text() if count.exists() else "") + "x")
        if count.read_text() == "x":
            raise RuntimeError("not at first")
    return {"name": name}


@action("fate")
def fate(input: Path, *, fate: str = "ok", ctx):
    """Meet a fate."""
    note(ctx, f"{ctx.job} alone")
    print(f"{ctx.job} prints")
    Path(ctx.path(f"{ctx.job}.out")).write_text(fate)
    return meet(ctx.job, fate, 1, ctx.batch_dir)


@fused("fate", on=("input",))
def fates(jobs, ctx):
    note(ctx, f"{' '.join(job.name for job in jobs)} together")
    for job in jobs:
        print(f"{job.name} prints")
        job.ctx.log("met", fate=job.params["fate"])
        Path(job.ctx.path(f"{job.name}.out")).write_text(job.params["fate"])
        if job.params["fate"] in ("raise", "second"):
            try:
                ctx.done(job, meet(job.name, job.params["fate"], 1, ctx.batch_dir))
            except RuntimeError as error:
                ctx.failed(job, error)
        elif job.params["fate"] == "raise-all" and len(jobs) > 1:
            raise RuntimeError("all of us")
        else:
            ctx.done(job, meet(job.name, job.params["fate"], 1, ctx.batch_dir))
'''


def batch(*fates, options="", job=""):
    """A batch of jobs named by letters, one for each fate."""
    lines = [f"name: fused\nimports: [./acts.py]\n{options}jobs:"]
    for letter, fate in zip("abcdefghijklmnopqrst", fates, strict=False):
        lines.append(f"  - {{name: {letter}, action: fate, input: in.txt, params: {{fate: {fate}}}{job}}}")
    return "\n".join(lines) + "\n"


class Fused(Project):
    """A project with the action `fate`."""

    def ran(self):
        path = self.path / "ran.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def report(self, *arguments):
        done = self("run", "--json", *arguments)
        return {job["job"]: job for job in json.loads(done.out)["results"]}

    def clear(self):
        for path in self.path.glob("*.tries"):
            path.unlink()


@pytest.fixture
def joblot(tmp_path):
    project = Fused(tmp_path)
    project.write("acts.py", ACTIONS)
    project.write("in.txt", "x\n")
    return project


def ends(report):
    return {name: (job["status"], job.get("result"), job.get("reason")) for name, job in report.items()}


@pytest.mark.parametrize("on", ["local", "inline"])
def test_jobs_on_one_input_are_one_bundle_with_a_result_each(joblot, on):
    """R129"""
    joblot.write("joblot.yaml", batch("ok", "ok", "ok"))
    report = joblot.report("--on", on)
    assert joblot.ran() == ["a b c together"]
    assert ends(report) == {name: ("success", {"name": name}, None) for name in "abc"}
    assert [job["bundle"] for job in report.values()] == [3, 3, 3]
    assert [job["attempts"] for job in report.values()] == [1, 1, 1]


@pytest.mark.parametrize("on", ["local", "inline"])
def test_no_fuse_runs_each_job_for_itself(joblot, on):
    joblot.write("joblot.yaml", batch("ok", "ok"))
    report = joblot.report("--on", on, "--no-fuse")
    assert sorted(joblot.ran()) == ["a alone", "b alone"]
    assert all("bundle" not in job for job in report.values())


def test_fused_and_unfused_runs_come_to_the_same_whatever_fails(joblot):
    """R11 R20 R129: crashes, errors, hangs and second tries, with and without bundles."""
    fates = [
        "ok",
        "crash",
        "ok",
        "raise",
        "second",
        "ok",
        "hang",
        "ok",
        "crash",
        "ok",
        "ok",
        "second",
        "ok",
        "raise-all",
        "ok",
    ]
    joblot.write("joblot.yaml", batch(*fates, job=", timeout: 1s, grace: 100ms, retry: {max_attempts: 2}"))
    fused = joblot.report("-j", "2")
    assert any(line.endswith("together") for line in joblot.ran())
    joblot.clear()
    unfused = joblot.report("-j", "2", "--no-fuse")
    assert all(line.endswith("alone") for line in joblot.ran())
    assert ends(fused) == ends(unfused)
    bad = {name: job["message"] for name, job in fused.items() if job["status"] != "success"}
    assert bad == {
        "b": "killed by SIGSEGV",
        "d": "RuntimeError: d raises",
        "g": "timed out after 1 s",
        "i": "killed by SIGSEGV",
    }
    assert {name: job["message"] for name, job in unfused.items() if job["status"] != "success"} == bad


def test_the_built_in_searches_come_to_the_same_byte_for_byte(joblot):
    """R10 R129"""
    joblot.write("big.log", "".join(f"line {n} code={n % 50}\n" for n in range(20_000)))
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - name: s-${{ matrix.n }}\n    action: search_pattern\n    input: big.log\n"
        f"    matrix: {{n: {[*range(50)]}}}\n    params: {{pattern: 'code=${{{{ matrix.n }}}}$'}}\n"
        "  - {name: bad, action: search_pattern, input: big.log, params: {pattern: '('}}\n",
    )
    fused, unfused = joblot.report(), joblot.report("--no-fuse")
    keep = ("job", "status", "result", "reason", "message", "attempts")
    shorn = [[{key: job.get(key) for key in keep} for job in report.values()] for report in (fused, unfused)]
    assert json.dumps(shorn[0]) == json.dumps(shorn[1])
    assert (fused["s-7"]["result"]["matches"], fused["s-7"]["bundle"], fused["bad"]["bundle"]) == (400, 51, 51)


def begun(process, path, name):
    until = time.monotonic() + 20
    while not (path / f"{name}.out").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("on", ["local", "inline"])
def test_after_kill_9_in_the_middle_of_a_bundle_what_was_done_stays_done(joblot, on):
    """R130"""
    joblot.write("joblot.yaml", batch("ok", "ok", "wait", "ok", "ok"))
    with joblot.popen("run", "--run-id", "r", "--on", "local") as process:
        begun(process, joblot.path, "c")
        until = time.monotonic() + 20
        while joblot("show", "r", "--events").out.count("state=success") < 2:
            assert time.monotonic() < until
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert joblot.ran() == ["a b c d e together"]
    (joblot.path / "go").touch()
    done = joblot("resume", "r", "--on", on, "--json")
    assert done.code == 0, done.err
    assert joblot.ran() == ["c d e together"]
    report = {job["job"]: job for job in json.loads(done.out)["results"]}
    assert ends(report) == {name: ("success", {"name": name}, None) for name in "abcde"}
    assert {name: job["attempts"] for name, job in report.items()} == {"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}


def test_a_resumed_run_goes_on_halving(joblot):
    """R130: the sizes of bundles are facts of the journal."""
    joblot.write("joblot.yaml", batch("crash", "ok", "wait", "ok"))
    with joblot.popen("run", "--run-id", "r", "-j", "1") as process:
        begun(process, joblot.path, "c")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (joblot.path / "go").touch()
    before = joblot.ran()
    assert before[0] == "a b c d together"
    assert joblot("resume", "r", "-j", "1").code == 1
    assert all(len(line.split()) <= 3 for line in joblot.ran())


@pytest.mark.parametrize("force", [False, True])
def test_a_cancelled_bundle_keeps_what_was_done(joblot, force):
    joblot.write("joblot.yaml", batch("ok", "wait", "ok"))
    with joblot.popen("run", "--run-id", "r") as process:
        begun(process, joblot.path, "b")
        with joblot.popen("cancel", "r", *(["--kill"] if force else [])) as cancel:
            until = time.monotonic() + 20
            while "run_stopping" not in joblot("show", "r", "--events").out:
                assert time.monotonic() < until
            if not force:
                (joblot.path / "go").touch()
            cancel.communicate(timeout=30)
            assert cancel.returncode == 0
        process.communicate(timeout=30)
    report = json.loads(joblot("show", "r", "--json").out)
    states = {job["job"]: job["status"] for job in report["results"]}
    rest = "cancelled" if force else "success"
    assert states == {"a": "success", "b": rest, "c": rest}
    if force:
        (joblot.path / "go").touch()
        joblot.ran()
        assert joblot("resume", "r").code == 0
        assert joblot.ran() == ["b c together"]


def test_only_what_is_not_up_to_date_is_in_the_bundle(joblot):
    lines = batch("ok", "ok", "ok", "ok").splitlines()
    named = [
        line.replace("}}", f"}}, outputs: [{line.split('name: ')[1][0]}.out]}}") if "- {" in line else line
        for line in lines
    ]
    joblot.write("joblot.yaml", "\n".join(named) + "\n")
    assert joblot("run").code == 0
    assert joblot.ran() == ["a b c d together"]
    (joblot.path / "b.out").unlink()
    (joblot.path / "d.out").write_text("edited")
    plan = json.loads(joblot("plan", "--json").out)
    assert plan["bundles"] == [{"action": "fate", "on": {"input": "in.txt"}, "jobs": ["b", "d"], "bundles": 1}]
    assert {name: job["status"] for name, job in joblot.report().items()} == {
        "a": "cached",
        "b": "success",
        "c": "cached",
        "d": "success",
    }
    assert joblot.ran() == ["b d together"]
    assert joblot("run").code == 0
    assert joblot.ran() == []


def test_a_retried_run_bundles_what_failed(joblot):
    """R20"""
    joblot.write("joblot.yaml", batch("ok", "second", "second"))
    assert joblot("run", "--run-id", "r").code == 1
    assert joblot.ran() == ["a b c together"]
    assert joblot("retry", "r", "--failed").code == 0
    assert joblot.ran() == ["b c together"]


def test_plan_explain_show_and_logs_speak_of_bundles(joblot):
    joblot.write("joblot.yaml", batch("ok", "crash", "ok"))
    assert "Fused: 3 jobs in 1 bundle (fate, input in.txt)\n" in joblot("plan").out
    assert "Fused" not in joblot("run", "--dry-run", "--no-fuse").out
    done = joblot("run", "--run-id", "r", "-j", "1")
    assert done.code == 1
    assert "b, c: a bundle of 3 jobs ended: killed by SIGSEGV; again, with fewer others\n" in done.err
    explained = joblot("explain", "r", "c").out
    assert "    1: crash after " in explained
    assert "a bundle of 3 jobs ended: killed by SIGSEGV" in explained
    events = joblot("show", "r", "--events").out
    assert "attempts_started jobs=a,b,c bundles=[3]" in events
    assert "state=ready" in events
    assert "reason=bundle" in events
    assert "Segmentation fault" in joblot("logs", "r", "c", "--attempt", "1").out
    joblot.write("joblot.yaml", batch("ok", "ok"))
    assert joblot("run", "--run-id", "s").code == 0
    estimate = json.loads(joblot("plan", "-j", "1", "--json").out)["estimate"]
    assert estimate["total_s"] <= estimate["critical_path_s"] * 1.01 + 0.002
    assert "attempt 1 was run as one with 1 other job\n" in joblot("explain", "s", "b").out
    logs = joblot("logs", "s", "b")
    assert logs.out == "a prints\nb prints\n"
    assert logs.err == "`b` was run as one with 1 more: this is what they printed together\n"
    assert joblot("logs", "s").out.count("a prints") == 1
