"""Jobs of `finally` through the command line and from Python."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from joblot import Batch
from joblot.errors import BatchFailedError
from joblot.units import format_duration

NIGHT = """
name: night
jobs:
  - name: fetch
    run: exit ${CODE:-0}
  - name: load
    run: "true"
    needs: [fetch]
finally:
  - name: clean
    run: exit ${CLEAN:-0}
  - name: mail
    run: |
      printf '%s\\n' "$JOBLOT_STATUS" > told
      cat "$JOBLOT_DIGEST" >> told
      cp "$JOBLOT_REPORT" told.json
    needs: [clean]
    when: failure
"""
SLOW = """
jobs:
  - name: work
    run: "touch began; while [ ! -e go ]; do sleep 0.02; done"
    grace: 0
finally:
  - name: clean
    run: "echo x >> cleaned; touch cleaning; while [ ! -e gone ]; do sleep 0.02; done"
    grace: 0
  - name: mail
    run: echo "$JOBLOT_STATUS" >> told
    needs: [clean]
"""


def statuses(project, run="last"):
    return {one["job"]: one["status"] for one in json.loads(project("show", run, "--json").out)["results"]}


def test_what_failed_is_told_to_them(joblot):
    joblot.write("joblot.yaml", NIGHT)
    done = joblot("run", "--run-id", "r1", env={"CODE": "3"})
    assert done.code == 1
    assert "INFO | the run is settled: failed; now `finally`\n" in done.plain
    assert (joblot.path / "told").read_text().splitlines()[:3] == ["failed", "Run r1", "Batch night: failed"]
    told = (joblot.path / "told").read_text()
    assert "fetch" in told and "exit status 3" in told and "mail" not in told
    report = json.loads((joblot.path / "told.json").read_text())
    assert told.endswith(f"\n2 jobs: 1 failed, 1 skipped, in {format_duration(report['duration_ms'] / 1000)}\n")
    assert 0 < report["duration_ms"] <= json.loads(joblot("show", "r1", "--json").out)["duration_ms"] + 1
    assert {name: report[name] for name in ("run_id", "status", "exit_code", "total_jobs", "failed", "skipped")} == {
        "run_id": "r1", "status": "failed", "exit_code": 1, "total_jobs": 2, "failed": 1, "skipped": 1,
    }  # fmt: skip
    assert [one["job"] for one in report["results"]] == ["fetch", "load"]
    assert statuses(joblot) == {"fetch": "failed", "load": "skipped", "clean": "success", "mail": "success"}


def test_one_that_fails_makes_1_of_0_and_retry_runs_it_alone(joblot):
    joblot.write("joblot.yaml", NIGHT)
    done = joblot("run", "--run-id", "r1", env={"CLEAN": "9"})
    assert done.code == 1
    assert "Batch night: success\n" in done.plain
    assert "[failed] clean of `finally` (1 attempt, T): exit status 9" in done.plain
    assert done.plain.endswith(
        "INFO | to run again what failed: joblot retry r1 --failed\n"
        "INFO | that goes on with this run; once the batch is changed, it begins a new run that continues this one\n"
    )
    assert statuses(joblot)["mail"] == "success"  # a need of it failed
    done = joblot("retry", "r1")
    assert done.code == 0
    report = json.loads(joblot("show", "r1", "--json").out)
    assert (report["status"], report["exit_code"], report["all_passed"]) == ("success", 0, True)
    assert {one["job"]: one["attempts"] for one in report["results"]} == {"fetch": 1, "load": 1, "clean": 2, "mail": 1}
    assert joblot("resume", "r1").code == 0
    assert statuses(joblot)["mail"] == "skipped"


def test_a_retried_run_runs_them_again(joblot):
    joblot.write("joblot.yaml", NIGHT.replace("exit ${CODE:-0}", "test -e mended"))
    assert joblot("run", "--run-id", "r1").code == 1
    joblot.write("mended", "")
    assert joblot("retry", "r1", "--job", "fetch").code == 0
    assert statuses(joblot) == {"fetch": "success", "load": "success", "clean": "success", "mail": "skipped"}
    events = joblot("show", "r1", "--events").out
    assert [line.split()[-1] for line in events.splitlines() if "run_settled" in line] == [
        "status=failed",
        "status=success",
    ]


@pytest.mark.parametrize("words", [("--only", "load"), ("--exclude", "fetch"), ("--from", "load")])
def test_a_selection_leaves_them_in(joblot, words):
    joblot.write("joblot.yaml", NIGHT)
    assert joblot("run", *words).code == 0
    assert statuses(joblot) == {"load": "success", "clean": "success", "mail": "skipped"}
    assert joblot("run", *words, "--exclude", "clean").code == 0
    assert statuses(joblot) == {"load": "success", "mail": "skipped"}


def test_what_would_run_and_what_waits_is_told(joblot):
    joblot.write("joblot.yaml", NIGHT)
    lines = joblot("plan").out.splitlines()
    assert lines[0] == "Batch night: 4 jobs in 2 tiers and `finally`"
    assert [line for line in lines if not line.startswith(" ")][1:] == ["Tier 1", "Tier 2", "Finally", "Finally"]
    jobs = json.loads(joblot("plan", "--json").out)["jobs"]
    assert [(one["job"], one.get("finally"), one["when"], one["timeout_s"]) for one in jobs][2:] == [
        ("clean", True, "always", 600.0),
        ("mail", True, "failure", 600.0),
    ]
    assert '  subgraph finally\n    j2["clean"]\n    j3["mail"]\n  end\n' in joblot("graph").out
    assert (
        '  subgraph cluster_finally {\n    label="finally"\n    j2 [label="clean"]\n'
        in joblot("graph", "--format", "dot").out
    )
    joblot("run")
    assert joblot("explain", "last", "mail").out.splitlines()[:3] == [
        "mail: skipped",
        "  condition: `when: failure` did not come true",
        "  of `finally`: runs when all others have ended, whatever ended the run",
    ]
    assert json.loads(joblot("explain", "last", "mail", "--json").out)["job"]["finally"] is True


def test_validate_points_from_a_need_of_all_others_to_it(joblot):
    joblot.write("joblot.yaml", 'jobs: [{name: a, run: "true"}, {name: b, run: "true", needs: ["*"], when: always}]')
    done = joblot("validate", "--strict")
    assert (done.code, done.out) == (0, "ok: 2 jobs\n")
    assert done.err == "`b` needs all others; under `finally` it would run whatever ends the run\n"
    joblot.write("joblot.yaml", 'jobs: [{name: a, run: "true"}, {name: b, run: "true", needs: ["*"]}]')
    assert joblot("validate").err == ""


@pytest.mark.parametrize("on", [pytest.param("local", marks=pytest.mark.alone), "inline"])
def test_they_are_told_without_a_state_folder_and_wherever_they_run(tmp_path, monkeypatch, on):
    seen = tmp_path / "seen"

    def tell():
        import os
        from pathlib import Path

        parts = [os.environ["JOBLOT_STATUS"], Path(os.environ["JOBLOT_DIGEST"]).read_text()]
        seen.write_text("\n".join([*parts, os.environ["JOBLOT_REPORT"]]))

    batch = Batch("night", folder=tmp_path)
    batch.add("tell", tell, finally_=True, when="failure")
    batch.command("good", "exit 0", finally_=True, when="success")
    batch.command("bad", "exit 7")
    report = batch.run(on=on, state=False)
    status, *_, path = seen.read_text().splitlines()
    assert (status, report.status, report.jobs["tell"].finally_) == ("failed", "failed", True)
    assert report.jobs["good"].state == "skipped"
    assert not (tmp_path / path).exists()  # it was made for them


def test_a_program_is_told_that_one_failed(tmp_path):
    batch = Batch("night", folder=tmp_path)
    batch.command("work", "exit 0")
    batch.command("clean", "exit 7", finally_=True)
    report = batch.run(on="inline", state=False)
    assert (report.ok, report.status, report.exit_code, report.all_passed) == (True, "success", 1, False)
    with pytest.raises(BatchFailedError) as caught:
        report.check()
    assert str(caught.value) == "1 of 2 jobs failed: `clean` (exit status 7)"


def test_the_result_of_another_job_need_not_be_needed(joblot):
    text = """
    jobs:
      - {name: count, run: 'echo "{\\"rows\\": 3}" > $JOBLOT_OUTPUT; exit ${CODE:-0}'}
    finally:
      - {name: tell, run: 'echo ${{ jobs.count.result.rows }} > rows'}
    """
    joblot.write("joblot.yaml", text)
    assert joblot("run").code == 0
    assert (joblot.path / "rows").read_text() == "3\n"
    done = joblot("run", env={"CODE": "1"})
    assert "[2/2] tell: skipped: what it uses of `count` is not there\n" in done.plain


# --- stopped and killed -----------------------------------------------------------------------------


@pytest.fixture
def slow(joblot):
    joblot.write("joblot.yaml", SLOW)
    with joblot.popen("run", "--run-id", "r1", "-j", "2", process_group=0) as process:
        joblot.wait_for("began")
        yield process
        process.kill()


def told(process, words):
    while words.encode() not in (line := process.stderr.readline()):
        assert line, words


@pytest.mark.alone
def test_ctrl_c_leads_to_them_and_the_second_kills_what_runs(joblot, slow):
    slow.send_signal(signal.SIGINT)
    told(slow, "starting nothing more")
    slow.send_signal(signal.SIGINT)
    joblot.wait_for("cleaning")
    slow.send_signal(signal.SIGINT)
    told(slow, "SIGINT: only jobs of `finally` are left, which go on (once more: kill them)")
    joblot.write("gone", "")
    assert slow.wait(60) == 130
    assert statuses(joblot) == {"work": "cancelled", "clean": "success", "mail": "success"}
    assert (joblot.path / "told").read_text() == "cancelled\n"


@pytest.mark.alone
def test_among_them_the_second_ctrl_c_kills_them_and_cancels_the_rest(joblot, slow):
    joblot.write("go", "")
    joblot.wait_for("cleaning")
    slow.send_signal(signal.SIGINT)
    told(slow, "only jobs of `finally` are left")
    slow.send_signal(signal.SIGINT)
    assert slow.wait(60) == 1
    assert statuses(joblot) == {"work": "success", "clean": "cancelled", "mail": "cancelled"}
    report = json.loads(joblot("show", "r1", "--json").out)
    assert (report["status"], report["exit_code"]) == ("success", 1)


@pytest.mark.alone
def test_among_them_the_third_signal_leaves_them_to_resume(joblot, slow):
    """Where the second one cannot kill what runs, because the warden does not move. The run is open, and keeps its end."""
    joblot.write("go", "")
    joblot.wait_for("cleaning")
    warden = int(Path(f"/proc/{slow.pid}/task/{slow.pid}/children").read_text().split()[0])
    os.kill(warden, signal.SIGSTOP)
    try:
        slow.send_signal(signal.SIGINT)
        told(slow, "only jobs of `finally` are left")
        slow.send_signal(signal.SIGINT)
        slow.send_signal(signal.SIGTERM)  # two of one kind may become one
        assert slow.wait(60) == 143
    finally:
        os.kill(warden, signal.SIGCONT)
    assert json.loads(joblot("show", "r1", "--json").out)["status"] == "interrupted"
    joblot.write("gone", "")
    assert joblot("resume", "r1").code == 0
    assert statuses(joblot) == {"work": "success", "clean": "success", "mail": "success"}
    assert [(joblot.path / name).read_text() for name in ("cleaned", "told")] == ["x\nx\n", "success\n"]


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_term_and_hup_lead_to_them_with_their_exit_code(joblot, slow, number):
    slow.send_signal(number)
    told(slow, "starting nothing more")
    joblot.write("go", "")
    joblot.write("gone", "")
    assert slow.wait(60) == 143
    assert (joblot.path / "told").read_text() == "cancelled\n"


@pytest.mark.alone
def test_the_time_limit_of_the_run_leads_to_them_and_is_not_theirs(joblot):
    joblot.write("gone", "")
    joblot.write("joblot.yaml", f"timeout: 300ms\n{SLOW.replace('touch cleaning', 'sleep 0.5')}")
    assert joblot("run").code == 124
    assert statuses(joblot) == {"work": "aborted", "clean": "success", "mail": "success"}


@pytest.mark.alone
def test_cancel_stops_the_run_and_cancel_with_kill_stops_them(joblot, slow):
    with joblot.popen("cancel", "r1") as process:
        told(slow, "starting nothing more")
        joblot.write("go", "")
        joblot.wait_for("cleaning")
        assert joblot("cancel", "r1", "--kill").code == 0
        process.communicate(timeout=60)
    assert slow.wait(60) == 130
    assert statuses(joblot) == {"work": "success", "clean": "cancelled", "mail": "cancelled"}


@pytest.mark.alone
@pytest.mark.parametrize("moment", ["before", "among"])
def test_a_killed_runner_leaves_them_to_resume(joblot, slow, moment):
    if moment == "among":
        joblot.write("go", "")
        joblot.wait_for("cleaning")
    slow.kill()
    slow.wait(60)
    joblot.write("go", "")
    joblot.write("gone", "")
    assert joblot("resume", "r1").code == 0
    report = json.loads(joblot("show", "r1", "--json").out)
    attempts = {one["job"]: one["attempts"] for one in report["results"]}
    assert attempts == ({"work": 1, "clean": 2, "mail": 1} if moment == "among" else {"work": 2, "clean": 1, "mail": 1})
    assert (joblot.path / "told").read_text() == "success\n"
    assert joblot("resume", "r1").code == 0
    assert (joblot.path / "told").read_text() == "success\n"  # nothing ran again


@pytest.mark.alone
def test_a_failed_run_killed_among_them_keeps_its_end(joblot):
    joblot.write("joblot.yaml", SLOW.replace("touch began; while", "exit 3; while"))
    process = joblot.popen("run", "--run-id", "r1", stderr=subprocess.DEVNULL)
    joblot.wait_for("cleaning")
    process.kill()
    process.communicate()
    assert joblot("explain", "r1", "mail").out.splitlines()[1] == "  waits for 1 of 1 needs: clean"
    joblot.write("gone", "")
    assert joblot("resume", "r1").code == 1
    assert (joblot.path / "told").read_text() == "failed\n"
    report = json.loads(joblot("show", "r1", "--json").out)
    assert {one["job"]: one["attempts"] for one in report["results"]} == {"work": 1, "clean": 2, "mail": 1}


def test_one_is_replayed_with_what_it_was_told(joblot):
    joblot.write("joblot.yaml", NIGHT)
    joblot("run", "--run-id", "r1", env={"CODE": "3"})
    before = (joblot.path / "told").read_text()
    (joblot.path / "told").unlink()
    assert joblot("replay", "r1", "mail").code == 0
    assert (joblot.path / "told").read_text() == before


@pytest.mark.alone
def test_one_for_each_item_and_fused_ones_run_at_the_end(tmp_path):
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("ERROR x\n")
    batch = Batch("night", folder=tmp_path)
    batch.command("work", "exit 0")
    batch.command("tell", "echo ${{ item }}-$JOBLOT_STATUS >> told", foreach=["a", "b"], finally_=True, max_parallel=1)
    for name in ("a", "b", "c"):
        batch.add(f"count-{name}", "count_lines", input="a.log", finally_=True)
    report = batch.run(on="local", state=tmp_path / "state", workers=2)
    assert {job.state for job in report.jobs.values()} == {"success"}
    assert sorted((tmp_path / "told").read_text().split()) == ["a-success", "b-success"]
    assert [report.jobs[f"count-{name}"].bundle for name in ("a", "b", "c")] == [3, 3, 3]
