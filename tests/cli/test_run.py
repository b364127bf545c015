"""`joblot run`: what it prints, what it writes, how it ends."""

import json
import re
import shlex

import pytest

MIXED = """\
name: mixed
jobs:
  - {name: missing, action: count_lines, input: data/nope.txt}
  - {name: after, run: "true", needs: [missing]}
  - {name: fine, run: "echo fine > made.txt"}
"""
ODD = """\
name: odd
jobs:
  - {name: odd, action: cuont_lines, input: nope.txt}
  - {name: after, run: "true", needs: [odd]}
  - {name: fine, run: "true"}
"""


def test_success_is_one_line_on_standard_output_and_exit_code_0(joblot):
    """R26, D1: 0 when all is well. R125: results and logs do not mix."""
    joblot.write(
        "joblot.yaml", "name: two\njobs:\n  - {name: a, run: 'true'}\n  - {name: b, run: 'true', needs: [a]}\n"
    )
    done = joblot("run", "--run-id", "r1", "-j", "1")
    assert (done.code, done.result) == (0, "run r1: 2 jobs: 2 succeeded, in T\n")
    assert done.plain == (
        "INFO | run `r1`: 2 jobs, 1 at once\n"
        "INFO | [1/2] a: success (T)\n"
        "INFO | [2/2] b: success (T)\n"
        "Batch two: success\n"
        "INFO | Batch complete: 2 ok, 0 failed, 0 skipped\n"
    )


def test_log_lines_are_time_level_message(joblot):
    """R25"""
    joblot.write("joblot.yaml", MIXED)
    lines = joblot("run").err.splitlines()
    logged = [line for line in lines if " | " in line and line[:2] == "20"]
    assert {line.split(" | ")[1] for line in logged} == {"INFO", "ERROR"}
    assert any(line.endswith(" | INFO | Batch complete: 1 ok, 1 failed, 1 skipped") for line in logged)


def test_a_missing_input_is_that_jobs_failure(joblot):
    """R14, R22, R26, R120: an ERROR line names the job, what needs it is skipped, the rest runs, and the exit code is 1."""
    joblot.write("joblot.yaml", MIXED)
    done = joblot("run", "--run-id", "r1", "-j", "1")
    assert (done.code, done.result) == (1, "run r1: 3 jobs: 1 succeeded, 1 failed, 1 skipped, in T\n")
    assert "ERROR | [1/3] missing: failed: file not found: data/nope.txt (1 attempt, T)\n" in done.plain
    assert "INFO | [2/3] after: skipped: `missing` failed\n" in done.plain
    assert (
        "Batch mixed: failed\n"
        "  [failed ] missing (1 attempt, T): file not found: data/nope.txt\n"
        "  [skipped] after: `missing` failed\n"
        "INFO | Batch complete: 1 ok, 1 failed, 1 skipped\n"
        "INFO | the report: DIR/.joblot/runs/r1/report.json\n"
        "INFO | to see what happened: joblot show r1\n"
        "INFO | to run again what failed: joblot retry r1 --failed\n"
    ) in done.plain.replace(str(joblot.path), "DIR")


@pytest.mark.parametrize(
    "command",
    [
        ("run",), ("run", "--strict"), ("run", "--dry-run"), ("run", "--only", "fine"), ("run", "--on", "inline"), ("run", "--force"),
        ("plan",), ("plan", "--strict"), ("validate",), ("validate", "--strict"), ("graph",),
        ("run", "--strict", "--skip-unknown-actions"), ("plan", "--strict", "--skip-unknown-actions"),
    ],
)  # fmt: skip
def test_an_unknown_action_is_an_error_of_the_file(joblot, command):
    """D7: nothing runs, nothing is written."""
    joblot.write("joblot.yaml", ODD)
    done = joblot(*command)
    assert (done.code, done.out) == (2, "")
    skipped = ": the job will be skipped" if "--skip-unknown-actions" in command else ""
    assert done.err == (
        f"joblot.yaml:3:25: error: unknown action `cuont_lines`{skipped}\n"
        "    3 |   - {name: odd, action: cuont_lines, input: nope.txt}\n"
        "      |                         ^\n"
        "hint: did you mean `count_lines`?\n"
    )
    assert not (joblot.path / ".joblot").exists()


def test_a_misspelt_action_does_not_hide_from_who_waits_for_a_failure(joblot):
    """D7: a nightly run that does nothing is not green."""
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - {name: a, action: cuont_lines, input: joblot.yaml}\n"
        "  - {name: mail, run: 'echo mail >> mail.txt', needs: ['*'], when: failure}\n",
    )
    assert joblot("run").code == 2
    assert not (joblot.path / "mail.txt").exists()


def test_unknown_actions_in_several_files_and_places_are_told_together(joblot):
    """D7"""
    joblot.write(
        "a.yaml", "jobs:\n  - {name: x, action: cuont_lines, input: f}\n  - {name: y, action: nope, foreach: [1, 2]}\n"
    )
    joblot.write("b.yaml", "jobs:\n  - {name: z, action: file_stat, input: f}\n")
    done = joblot("run", "a.yaml", "b.yaml")
    assert (done.code, done.out) == (2, "")
    assert re.findall("unknown action `.*?`", done.err) == [
        "unknown action `cuont_lines`", "unknown action `nope`", "unknown action `file_stat`",
    ]  # fmt: skip


def test_an_unknown_action_is_skipped_with_a_loud_warning_if_asked_for(joblot):
    """R15, D7: before its file is looked for; its dependents are skipped too; the rest runs."""
    joblot.write("joblot.yaml", ODD)
    done = joblot("run", "--run-id", "r1", "-j", "1", "--skip-unknown-actions")
    assert (done.code, done.result) == (0, "run r1: 3 jobs: 1 succeeded, 2 skipped, in T\n")
    assert done.plain.startswith(
        "joblot.yaml:3:25: warning: unknown action `cuont_lines`: the job will be skipped\n"
        "    3 |   - {name: odd, action: cuont_lines, input: nope.txt}\n"
        "      |                         ^\n"
        "hint: did you mean `count_lines`?\n"
    )
    assert "WARNING | [1/3] odd: skipped: unknown action `cuont_lines`\n" in done.plain


MISSING = [
    ("input: nope.csv", "nope.csv"),
    ("input: [here.csv, nope.csv]", "nope.csv"),
    ("input: no/such/folder", "no/such/folder"),
    ("input: here.csv/below", "here.csv/below"),
    ("input: dangling", "dangling"),
    ("input: /no/such/file", "/no/such/file"),
    ("input: '${{ vars.file }}'", "nope.csv"),
    ("input: '${{ item }}.csv', foreach: [nope]", "nope.csv"),
    ("input: nope.csv, cwd: sub", "nope.csv"),
    ("input: nope.csv, needs: [ok]", "nope.csv"),
]


@pytest.mark.parametrize(("fields", "missing"), MISSING)
@pytest.mark.parametrize(
    "work", ["run: 'echo x > ran'", "run: [touch, ran]", "action: shell, params: {command: touch ran}"]
)
def test_a_command_does_not_run_without_its_declared_input(joblot, work, fields, missing):
    """R14, D7: it fails before it starts."""
    joblot.write("here.csv", "")
    joblot.write("sub/nope.csv", "")
    (joblot.path / "dangling").symlink_to("nowhere")
    joblot.write(
        "joblot.yaml", f"vars: {{file: nope.csv}}\njobs: [{{name: ok, run: 'true'}}, {{name: a, {work}, {fields}}}]\n"
    )
    done = joblot("run", "--on", "inline", "--json")
    [job] = [one for one in json.loads(done.out)["results"] if one["job"] != "ok"]
    assert (done.code, job["status"], job["reason"]) == (1, "failed", "missing_input")
    assert job["message"] == f"file not found: {missing}"
    assert not list(joblot.path.rglob("ran"))


@pytest.mark.parametrize(
    "jobs",
    [
        "{name: a, run: 'true', input: here.csv}",
        "{name: a, run: 'true', input: [here.csv, sub, link]}",
        "{name: make, run: 'touch made'}, {name: a, run: cat made, input: made, needs: [make]}",
        "{name: make, run: 'false', outputs: [made]}, {name: a, run: 'true', input: made, needs: [make], when: always}",
        "{name: make, run: 'false', outputs: [out]}, {name: b, run: 'true', needs: [make], when: failure}, {name: a, run: 'true', input: ./out/made, needs: [b], when: always}",
    ],
)
def test_an_input_that_is_there_or_that_a_need_makes_does_not_stop_a_command(joblot, jobs):
    joblot.write("here.csv", "")
    joblot.write("sub/x", "")
    (joblot.path / "link").symlink_to("here.csv")
    joblot.write("joblot.yaml", f"jobs: [{jobs}]\n")
    report = json.loads(joblot("run", "--json").out)
    assert {one["job"]: one["status"] for one in report["results"]}["a"] == "success"


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_strict_lets_warnings_count_as_errors(joblot, command):
    joblot.write("joblot.yaml", "vars: {x: 1}\njobs: [{name: a, run: \"sh -c 'echo ${{ vars.x }}'\"}]\n")
    assert ": warning: `vars.x` stands in the program text of `sh -c`" in joblot(command).err
    done = joblot(command, "--strict")
    assert (done.code, done.out) == (2, "")
    assert ": error: `vars.x` stands in the program text of `sh -c`" in done.err


def test_zero_jobs_are_a_success_that_says_so(joblot):
    """R16: the report is written all the same."""
    joblot.write("b.json", '{"jobs": []}')
    done = joblot("run", "b.json", "--run-id", "r1", "--report", "out/report.json")
    assert (done.code, done.out) == (0, "run r1: no jobs: nothing to do\n")
    report = json.loads((joblot.path / "out/report.json").read_text())
    assert (report["total_jobs"], report["succeeded"], report["failed"], report["results"]) == (0, 0, 0, [])


def test_json_is_the_report_and_nothing_else(joblot):
    """R2, R17: standard output parses; every result has a duration in whole milliseconds."""
    joblot.write("joblot.yaml", MIXED)
    done = joblot("run", "--json", "--report", "report.json")
    report = json.loads(done.out)
    assert done.code == report["exit_code"] == 1
    assert [(one["job"], one["status"]) for one in report["results"]] == [
        ("missing", "failed"), ("after", "skipped"), ("fine", "success"),
    ]  # fmt: skip
    assert all(type(one["duration_ms"]) is int and one["duration_ms"] >= 0 for one in report["results"])
    assert (joblot.path / "report.json").read_text().replace(str(joblot.path), "DIR") == done.out


def test_verbose_prints_events_on_standard_output(joblot):
    """D6, R44"""
    joblot.write("joblot.yaml", "name: one\njobs:\n  - {name: a, run: 'true'}\n")
    done = joblot("run", "-v", "--run-id", "r1")
    kinds = [line.split()[1] for line in done.out.splitlines()[:-1]]
    assert kinds == ["run_started", "attempts_started", "attempt_ended", "run_ended"]
    assert done.result.splitlines()[-1] == "run r1: 1 job: 1 succeeded, in T"
    assert "attempt_ended job=a attempt=1 outcome=ok state=success" in done.out


def test_verbose_goes_to_standard_error_when_standard_output_carries_json(joblot):
    """D6"""
    joblot.write("joblot.yaml", "name: one\njobs:\n  - {name: a, run: 'true'}\n")
    done = joblot("run", "-v", "--json")
    assert json.loads(done.out)["status"] == "success"
    assert " attempt_ended job=a " in done.err


def test_events_are_printed_as_they_happen(joblot):
    """R44: before the end of a slow run."""
    joblot.write("joblot.yaml", "name: one\njobs:\n  - {name: a, run: 'while [ ! -e go ]; do sleep 0.02; done'}\n")
    with joblot.popen("run", "-v") as process:
        first = [process.stdout.readline().split()[1] for _ in range(2)]
        joblot.write("go", "")
        process.communicate(timeout=60)
    assert first == [b"run_started", b"attempts_started"]
    assert process.returncode == 0


def test_quiet_prints_only_what_went_wrong_and_how_to_go_on(joblot):
    joblot.write("joblot.yaml", MIXED)
    done = joblot("run", "-q", "-j", "1", "--run-id", "r1")
    assert (done.code, done.out) == (1, "")
    assert done.plain.replace(str(joblot.path), "DIR").splitlines() == [
        "ERROR | [1/3] missing: failed: file not found: data/nope.txt (1 attempt, T)",
        "run r1: 3 jobs: 1 succeeded, 1 failed, 1 skipped, in T",
        "the report: DIR/.joblot/runs/r1/report.json",
        "to see what happened: joblot show r1",
        "to run again what failed: joblot retry r1 --failed",
        "that goes on with this run; once the batch is changed, it begins a new run that continues this one",
    ]


def test_a_failed_job_shows_the_end_of_its_log_without_terminal_escapes(joblot):
    """I15: what a job prints cannot drive the terminal; R20: its traceback is there."""
    joblot.write(
        "acts.py", "from joblot import action\n\n@action('boom')\ndef boom():\n    raise ValueError('broken')\n"
    )
    script = r"for i in $(seq 30); do echo line $i; done; printf '\033]0;title\007\033[31mred\033[0m\033]52;c;aGk=\033\\\n'; exit 3"
    joblot.write(
        "joblot.yaml",
        f"imports: [./acts.py]\njobs:\n  - name: sh\n    run: |\n      {script}\n  - {{name: py, action: boom}}\n",
    )
    done = joblot("run", "--run-id", "r1", "-j", "1")
    shown = [line for line in done.err.splitlines() if line.startswith("  | ")]
    assert shown[:20] == [f"  | line {n}" for n in range(12, 31)] + ["  | red"]
    assert "\x1b" not in done.err
    assert "  the end of `DIR/.joblot/runs/r1/logs/sh/1.log`:\n  | line 12\n" in done.err
    assert "  | ValueError: broken" in done.err
    assert "ERROR | [2/2] py: failed: ValueError: broken" in done.plain


def test_a_job_that_raises_does_not_end_the_batch(joblot):
    """R20"""
    joblot.write(
        "acts.py", "from joblot import action\n\n@action('boom')\ndef boom():\n    raise ValueError('broken')\n"
    )
    joblot.write(
        "joblot.yaml",
        "imports: [./acts.py]\njobs:\n  - {name: a, run: 'true'}\n  - {name: b, action: boom}\n  - {name: c, run: 'true'}\n",
    )
    report = json.loads(joblot("run", "--json").out)
    assert [one["status"] for one in report["results"]] == ["success", "failed", "success"]


def test_a_retried_attempt_is_a_warning(joblot):
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - {name: a, run: '[ -e x ] || { touch x; exit 7; }', retry: {max_attempts: 2, delay: 10ms}}\n",
    )
    done = joblot("run")
    assert done.code == 0
    assert "WARNING | a: attempt 1 ended with `exit`: exit status 7; again in T\n" in done.plain
    assert "INFO | [1/1] a: success (attempt 2, T)\n" in done.plain


def test_inputs_and_the_state_are_relative_to_the_batch_file(joblot):
    """R21"""
    joblot.write("deep/in.txt", "a\nb\n")
    joblot.write("deep/b.yaml", "jobs:\n  - {name: a, action: count_lines, input: in.txt}\n")
    (joblot.path / "elsewhere").mkdir()
    done = joblot("run", "../deep/b.yaml", "--json", cwd=joblot.path / "elsewhere")
    assert json.loads(done.out)["results"][0]["result"] == {"total_lines": 2}
    assert (joblot.path / "deep/.joblot/journal.db").exists()


@pytest.mark.parametrize("name", ["joblot.yaml", "joblot.yml", "joblot.json", "joblot.toml"])
def test_the_batch_file_may_be_left_out(joblot, name):
    text = (
        '[[jobs]]\nname = "a"\nrun = "true"\n' if name.endswith("toml") else '{"jobs": [{"name": "a", "run": "true"}]}'
    )
    joblot.write(name, text)
    assert joblot("run").code == 0


def test_without_any_batch_file_the_command_says_how_to_begin(joblot):
    hint = "hint: `joblot init` writes one\n"
    assert joblot("run") == (2, "", f"error: no batch file was named, and there is no `joblot.yaml` here\n{hint}")


def test_a_missing_batch_file_is_one_line(joblot):
    """R23"""
    assert joblot("run", "nope.yaml") == (2, "", "error: no such file: `nope.yaml`\n")


def test_a_malformed_batch_file_is_one_error_with_its_place(joblot):
    """R24"""
    joblot.write("b.json", '{"jobs": [}')
    done = joblot("run", "b.json")
    assert done.code == 2
    assert done.err.startswith("b.json:1:11: error: ")


def test_dry_run_runs_nothing_and_writes_nothing(joblot):
    """R12, D5"""
    joblot.write("joblot.yaml", MIXED)
    done = joblot("run", "--dry-run", "--report", "report.json")
    assert (done.code, done.err) == (0, "")
    assert done.out == joblot("plan").out
    assert sorted(path.name for path in joblot.path.iterdir()) == ["joblot.yaml"]
    joblot.write("joblot.yaml", "jobs:\n  - {name: a}\n")
    assert joblot("run", "-n").code == 2


def test_variables_come_from_the_command_line(joblot):
    joblot.write("joblot.yaml", "vars: {who: nobody}\njobs:\n  - {name: a, run: 'echo ${{ vars.who }} > who.txt'}\n")
    assert joblot("run", "--var", "who=a b; c").code == 0
    assert (joblot.path / "who.txt").read_text() == "a b; c\n"


def test_fail_fast_stops_after_the_first_failure(joblot):
    """D2"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'false'}\n  - {name: b, run: 'true'}\n")
    done = joblot("run", "-x", "-j", "1")
    assert (done.code, json.loads(joblot("show", "last", "--json").out)["aborted"]) == (1, 1)
    assert "WARNING | stopping: `a` failed\n" in done.plain
    assert joblot("run", "-j", "1", "-x", "-k", "--json").code == 1
    assert json.loads(joblot("show", "last", "--json").out)["succeeded"] == 1


def test_the_runs_time_limit_has_an_exit_code_of_its_own(joblot):
    """D1: 124"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'sleep 60', grace: 100ms}\n")
    done = joblot("run", "--timeout", "300ms")
    assert done.code == 124
    assert "WARNING | stopping: the run's time limit is reached\n" in done.plain


def test_files_that_cannot_be_written_are_found_before_anything_runs(joblot):
    joblot.write("joblot.yaml", MIXED)
    joblot.write("file", "")
    done = joblot("run", "--report", "file/report.json")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: cannot write `DIR/file/report.json`: not a directory")
    assert not (joblot.path / "made.txt").exists()


def test_a_file_that_cannot_be_written_at_the_end_fails_the_command_but_not_the_run(joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'true'}\n")
    done = joblot("run", "--report", "/dev/full", "--log", "log.json")
    assert (done.code, done.out.startswith("run 2")) == (1, True)
    assert "error: cannot write `/dev/full`: no space left on device\n" in done.err
    assert json.loads((joblot.path / "log.json").read_text())["status"] == "completed"


def test_the_run_log_has_every_event(joblot):
    """R124"""
    joblot.write("joblot.yaml", MIXED)
    joblot("run", "--run-id", "r1", "--log", "out/log.json")
    log = json.loads((joblot.path / "out/log.json").read_text())
    assert (log["run_id"], log["status"], log["error_count"]) == ("r1", "failed", 1)
    assert log["event_count"] == len(log["events"])
    assert log["events"][0]["event_type"] == "run_started"
    assert log["events"][-1]["event_type"] == "run_finished"


def test_a_run_id_is_used_once_and_is_a_plain_word(joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'true'}\n")
    assert joblot("run", "--run-id", "r1").code == 0
    assert joblot("run", "--run-id", "r1") == (4, "", "error: run `r1` exists already\n")
    assert joblot("run", "--run-id", "../x").err.splitlines()[0] == "error: bad run id `../x`"


def test_options_come_from_the_environment(joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'true'}\n")
    done = joblot("run", "--run-id", "r1", env={"JOBLOT_STATE": "elsewhere", "JOBLOT_WORKERS": "3"})
    assert "INFO | run `r1`: 1 job, 3 at once\n" in done.plain
    assert (joblot.path / "elsewhere/journal.db").exists()


def test_joblot_inside_a_job_is_a_run_of_its_own(joblot):
    """The variables that a command gets are not options of the joblot that it runs."""
    import sys

    joblot.write("inner.yaml", "name: inner\njobs:\n  - {name: a, run: 'true'}\n")
    inner = f"{shlex.quote(sys.executable)} -m joblot run inner.yaml --state inner"
    joblot.write("joblot.yaml", json.dumps({"name": "outer", "jobs": [{"name": "a", "run": inner}]}))
    assert joblot("run", "--run-id", "r1").code == 0
    assert " inner " in joblot("ls", "--state", "inner").out


def test_large_runs_have_no_line_a_job_but_failures_have(joblot):
    jobs = [{"name": f"j{n}", "run": "exit 9" if n == 7 else "true"} for n in range(201)]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    done = joblot("run", "--on", "inline")
    assert done.code == 1
    assert "j1:" not in done.err
    assert "ERROR | j7: failed: exit status 9 (1 attempt, T)\n" in done.plain
    assert "INFO | Batch complete: 200 ok, 1 failed, 0 skipped\n" in done.plain


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_the_frames_of_an_action_that_crashes_are_shown(joblot, name):
    joblot.write(
        "acts.py",
        "import os, signal\nfrom joblot import action\n@action('seg')\ndef seg():\n"
        f"    os.kill(os.getpid(), signal.{name})\n",
    )
    joblot.write("joblot.yaml", "imports: [./acts.py]\njobs: [{name: seg, action: seg}]\n")
    done = joblot("run")
    assert done.code == 1
    assert '  |   File "DIR/acts.py", line 5 in seg\n' in done.err
    assert "worker.py" not in done.err


def test_quiet_is_silent_unless_something_failed_and_then_says_how_to_go_on(joblot):
    jobs = "jobs:\n  - {name: 'j-${{ item }}', run: 'exit ${{ vars.code }}', foreach: {glob: '*.txt'}}\n"
    joblot.write(
        "joblot.yaml", "name: b\nvars: {code: 0}\n" + jobs.replace("'exit ${{ vars.code }}'", '"exit ${{ vars.code }}"')
    )
    for number in range(30):
        joblot.write(f"{number}.txt", "")
    assert joblot("run", "-q").err == ""
    done = joblot("run", "-q", "--run-id", "r1", "--var", "code=7")
    lines = done.plain.replace(str(joblot.path), "DIR").splitlines()
    assert [line.partition("failed: ")[2] for line in lines[:20]] == ["exit status 7 (1 attempt, T)"] * 20
    assert lines[20].startswith("ERROR | 10 more failed: 10 x exit status 7 (such as `j-")
    assert lines[21:] == [
        "run r1: 30 jobs: 30 failed, in T",
        "the report: DIR/.joblot/runs/r1/report.json",
        "to see what happened: joblot show r1",
        "to run again what failed: joblot retry r1 --failed",
        "that goes on with this run; once the batch is changed, it begins a new run that continues this one",
    ]
