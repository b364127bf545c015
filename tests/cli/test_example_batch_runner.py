"""The example `configurable-batch-runner`, run as its README says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import joblot
from command_server import server

EXAMPLE = Path(__file__).parents[2] / "examples" / "configurable-batch-runner"
DOCUMENTED = ["--config", "data/batch_config.json", "--output", "data/batch_report.json"]
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \| (INFO|WARNING|ERROR) \| (.+)")


@pytest.fixture
def folder(tmp_path):
    """A copy of the example as it is in the repository, without what earlier runs made."""
    ignored = shutil.ignore_patterns("batch_report.json", ".joblot", "__pycache__")
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored)
    return tmp_path / "example"


def project(folder, *args, cwd=None):
    return server().run([str(folder / "project.py"), *map(str, args)], cwd or folder)


def write_batch(folder, *jobs, **batch):
    (folder / "batch.json").write_text(json.dumps({"jobs": list(jobs), **batch}))
    return folder / "batch.json"


def job(name, action="count_lines", source="data/app.log", **fields):
    return {"name": name, "action": action, "input": source, **fields}


def run_jobs(folder, *jobs, **batch):
    """What the command printed, and the report that it wrote."""
    done = project(folder, "--config", write_batch(folder, *jobs, **batch), "--output", "out/report.json")
    return done, json.loads((folder / "out" / "report.json").read_text())


def only_results(folder, *jobs):
    _, report = run_jobs(folder, *jobs)
    return [result["result"] for result in report["results"]]


def outcomes(report):
    return {
        result["job"]: (result["status"], result.get("reason", result.get("result"))) for result in report["results"]
    }


def logged(done):
    """Level and message of each line of stderr; every line has to be one of the log."""
    return [LOG_LINE.fullmatch(line).groups() for line in done.stderr.splitlines()]


def test_the_documented_command_r1_r2_r27(folder):
    """R1 R2 R27: exactly the three numbers on stdout, in this order and form."""
    done = project(folder, *DOCUMENTED)
    assert (done.returncode, done.stdout) == (0, '{\n  "total_jobs": 4,\n  "succeeded": 4,\n  "failed": 0\n}\n')
    assert json.loads((folder / "data" / "batch_report.json").read_text())["succeeded"] == 4


def test_without_options_the_defaults_hold_r1(folder):
    """R1."""
    done = project(folder)
    assert json.loads(done.stdout) == {"total_jobs": 4, "succeeded": 4, "failed": 0}
    assert (folder / "data" / "batch_report.json").is_file()


def test_the_readme_shows_what_is_printed(folder):
    readme = (EXAMPLE / "README.md").read_text()
    assert project(folder, *DOCUMENTED).stdout in readme
    assert f"python project.py {' '.join(DOCUMENTED)}" in readme


def test_the_report_has_its_keys_r3_r4_r5_r17(folder):
    """R3 R4 R5 R17: folders are made, the numbers add up, a duration stands on every result."""
    _, report = run_jobs(folder, job("good"), job("bad", source="no.txt"), job("odd", action="count_lynes"))
    assert list(report) == ["total_jobs", "succeeded", "failed", "skipped", "results"]
    assert [report[key] for key in list(report)[:4]] == [3, 1, 1, 1]
    head = ["job", "action", "status", "duration_ms"]
    assert [list(result) for result in report["results"]] == [[*head, "result"], [*head, "reason"], [*head, "reason"]]
    assert [result["status"] for result in report["results"]] == ["ok", "error", "skipped"]
    assert all(type(result["duration_ms"]) is int and result["duration_ms"] >= 0 for result in report["results"])


def test_params_may_be_left_out_r6_r7(folder):
    """R6 R7: `count_lines` without and with a pattern."""
    assert only_results(folder, job("all"), job("errors", params={"pattern": "ERROR"})) == [
        {"total_lines": 10},
        {"total_lines": 10, "matching_lines": 2, "pattern": "ERROR"},
    ]


def test_word_frequency_r8(folder):
    """R8."""
    five, ten = only_results(folder, job("five", "word_frequency", params={"top_n": 5}), job("ten", "word_frequency"))
    assert (five["total_words"], len(five["top_words"]), len(ten["top_words"])) == (83, 5, 10)
    assert five["top_words"][0] == ["2025-01-15", 10]


def test_file_stats_r9(folder):
    """R9."""
    assert only_results(folder, job("stats", "file_stats")) == [
        {"size_bytes": 638, "line_count": 10, "char_count": 638, "word_count": 83}
    ]


def test_search_pattern_counts_matches_r10_r13(folder):
    """R10 R13."""
    [found] = only_results(folder, job("search", "search_pattern", params={"pattern": "ERROR|WARNING"}))
    assert found == {"matches": 4, "matching_lines": 4, "pattern": "ERROR|WARNING"}


def test_a_bad_expression_is_its_jobs_error_r11(folder):
    """R11."""
    done, report = run_jobs(folder, job("bad", "search_pattern", params={"pattern": "("}), job("good"))
    assert outcomes(report) == {
        "bad": ("error", "not a regular expression: missing ): ("),
        "good": ("ok", {"total_lines": 10}),
    }
    assert done.returncode == 1


def test_an_expression_that_would_take_for_ever_elsewhere_does_not_r11(folder):
    """R11: thirty characters are enough to keep a backtracking engine busy for minutes."""
    (folder / "a.txt").write_text("a" * 5000 + "!\n")
    [found] = only_results(folder, job("slow", "search_pattern", "a.txt", params={"pattern": "(a+)+$"}, timeout="10s"))
    assert found["matches"] == 0


def test_a_dry_run_runs_nothing_r12(folder):
    """R12."""
    done = project(folder, *DOCUMENTED, "--dry-run")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"total_jobs": 4, "dry_run": True})
    assert logged(done)[1] == ("INFO", "would run count-errors (count_lines)")
    assert not (folder / "data" / "batch_report.json").exists()
    assert not (folder / ".joblot").exists()


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([job("a", "count_lynes")], "batch.json:1:35: error: unknown action `count_lynes`"),
        ([job("a", needs=["b"])], "batch.json:1:11: error: job `a` needs unknown job `b`"),
        (
            [job("a", needs=["b"]), job("b", needs=["a"])],
            "batch.json:1:11: error: jobs need each other: a -> b -> a",
        ),
    ],
)
def test_a_dry_run_refuses_what_cannot_be_right_r12(folder, jobs, message):
    """R12."""
    write_batch(folder, *jobs)
    done = project(folder, "--config", "batch.json", "--dry-run")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{message}\n")


def test_a_missing_input_is_its_jobs_error_r14(folder):
    """R14."""
    done, report = run_jobs(folder, job("gone", source="data/no.log"), job("here"))
    assert outcomes(report)["gone"] == ("error", "file not found: data/no.log")
    assert (report["succeeded"], report["failed"]) == (1, 1)
    assert logged(done)[0] == ("ERROR", "job gone (count_lines) error: file not found: data/no.log")


def test_an_unknown_action_is_skipped_whatever_its_input_r15(folder):
    """R15."""
    done, report = run_jobs(folder, job("odd", "count_lynes", "no.log"), job("here"))
    assert outcomes(report) == {"odd": ("skipped", "unknown action"), "here": ("ok", {"total_lines": 10})}
    assert logged(done)[0] == ("WARNING", "job odd (count_lynes) skipped: unknown action")


def test_zero_jobs_are_a_success_that_says_so_r3_r16(folder):
    """R3 R16 D16."""
    done, report = run_jobs(folder)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"total_jobs": 0, "succeeded": 0, "failed": 0})
    assert report == {"total_jobs": 0, "succeeded": 0, "failed": 0, "skipped": 0, "results": []}
    assert ("WARNING", "no jobs: nothing to do") in logged(done)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a", "action": "count_lines"}, "jobs[0] is missing `input` (action `count_lines` needs one)"),
        ({"name": "a", "input": "data/app.log"}, "jobs[0] is missing `action`"),
        ({"action": "count_lines", "input": "data/app.log"}, "jobs[0] is missing `name`"),
    ],
)
def test_what_a_job_lacks_is_named_r18(folder, fields, message):
    """R18: the job's number and the missing key; nothing runs."""
    write_batch(folder, fields)
    done = project(folder, "--config", "batch.json")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"batch.json:1:11: error: {message}\n")
    assert not (folder / "data" / "batch_report.json").exists()


@pytest.mark.alone
def test_an_action_is_added_without_touching_the_runner_r19(folder):
    """R19: registered at run time, in a program and from a file that the batch imports."""
    (folder / "mine.py").write_text(
        "from joblot import action\n@action\ndef shout(input):\n    return input.read_text().upper()[:4]\n"
    )
    (folder / "in.txt").write_text("hello")
    _, report = run_jobs(folder, job("loud", "shout", "in.txt"), imports=["./mine.py"])
    assert outcomes(report) == {"loud": ("ok", "HELL")}

    @joblot.action("whisper")
    def whisper(input):
        return input.read_text().lower()

    try:
        (folder / "in.txt").write_text("HELLO")
        batch = joblot.Batch(folder=folder)
        batch.add("soft", "whisper", input="in.txt")
        assert batch.run(state=False).jobs["soft"].result == "hello"
    finally:
        del joblot.ACTIONS["whisper"]


def test_a_raising_action_is_its_jobs_error_r20(folder):
    """R20: the message is the reason, the traceback is in the log, the batch goes on."""
    (folder / "mine.py").write_text(
        "from joblot import action\n@action\ndef burst(input):\n    raise ValueError('too much')\n"
    )
    done, report = run_jobs(folder, job("one"), job("two", "burst"), job("three"), imports=["./mine.py"])
    assert [result["status"] for result in report["results"]] == ["ok", "error", "ok"]
    assert outcomes(report)["two"] == ("error", "ValueError: too much")
    assert "ERROR | job two (burst) error: ValueError: too much\nTraceback (most recent call last):\n" in done.stderr
    assert f'File "{folder / "mine.py"}", line 4, in burst' in done.stderr


def test_inputs_are_relative_to_the_batch_file_r21(folder, tmp_path):
    """R21: whatever the working folder; absolute paths stay."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config, output = folder / "data" / "batch_config.json", tmp_path / "report.json"
    project(folder, "--config", config, "--output", output, cwd=elsewhere)
    assert json.loads(output.read_text())["succeeded"] == 4
    (found,) = only_results(folder, job("absolute", source=str(folder / "data" / "app.log")))
    assert found == {"total_lines": 10}


def test_a_job_runs_only_after_what_it_needs_succeeded_r22(folder):
    """R22."""
    _, report = run_jobs(folder, job("a", source="no.txt"), job("b", needs=["a"]), job("c"), job("d", needs=["b"]))
    assert outcomes(report) == {
        "a": ("error", "file not found: no.txt"),
        "b": ("skipped", "`a` failed"),
        "c": ("ok", {"total_lines": 10}),
        "d": ("skipped", "`a` failed"),
    }


def test_a_missing_batch_file_r23(folder):
    """R23."""
    done = project(folder, "--config", "no.json")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no such file: `no.json`\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"jobs": [\n  {"name": "a"\n', "batch.json:3:1: error: not valid JSON: a `,` is missing here"),
        ('["jobs"]', "batch.json:1:1: error: a batch must be a mapping, not a list"),
        ('{"jobs": {}}', "batch.json:1:10: error: `jobs` must be a list, not a mapping"),
        ('{"jobs": [1]}', "batch.json:1:11: error: `jobs[0]` must be a mapping, not the number 1"),
    ],
)
def test_a_malformed_batch_file_r24(folder, text, message):
    """R24: one line with the position, and nothing else."""
    (folder / "batch.json").write_text(text)
    done = project(folder, "--config", "batch.json")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{message}\n")


def test_the_log_goes_to_stderr_and_ends_with_the_numbers_r25(folder):
    """R25."""
    done, _ = run_jobs(folder, job("a"), job("b", source="no.txt"), job("c", "count_lynes"))
    assert [level for level, _ in logged(done)] == ["INFO", "ERROR", "WARNING", "INFO"]
    assert logged(done)[-1] == ("INFO", "Batch complete: 1 ok, 1 failed, 1 skipped")


@pytest.mark.parametrize(("source", "code"), [("data/app.log", 0), ("no.txt", 1)])
def test_the_exit_code_tells_of_failures_r26(folder, source, code):
    """R26."""
    done, _ = run_jobs(folder, job("a", source=source))
    assert done.returncode == code


def test_input_that_is_not_text_is_its_jobs_error_r28(folder):
    """R28: bytes that are not UTF-8, and a folder; UTF-8 is read as such."""
    (folder / "binary").write_bytes(b"a\n\xff\xfe")
    (folder / "text").write_text("é\n", encoding="utf-8")
    _, report = run_jobs(
        folder, job("binary", source="binary"), job("folder", source="data"), job("text", "file_stats", "text")
    )
    assert outcomes(report) == {
        "binary": ("error", "not valid UTF-8 text: binary (byte 2)"),
        "folder": ("error", "is a directory: data"),
        "text": ("ok", {"size_bytes": 3, "line_count": 1, "char_count": 2, "word_count": 1}),
    }


YAML = """\
jobs:
  - {name: count-errors, action: count_lines, input: app.log, params: {pattern: ERROR}}
  - name: top-words
    action: word_frequency
    input: app.log
    params:
      top_n: 5
"""
TOML = """\
[[jobs]]
name = "count-errors"
action = "count_lines"
input = "app.log"
params = {pattern = "ERROR"}

[[jobs]]
name = "top-words"
action = "word_frequency"
input = "app.log"
params.top_n = 5
"""
JSON = """\
{"jobs": [
  {"name": "count-errors", "action": "count_lines", "input": "app.log", "params": {"pattern": "ERROR"}},
  {"name": "top-words", "action": "word_frequency", "input": "app.log", "params": {"top_n": 5}}
]}
"""


def test_yaml_and_toml_give_the_same_report_r29(folder):
    """R29."""
    reports = []
    for name, text in [("b.json", JSON), ("b.yaml", YAML), ("b.toml", TOML)]:
        (folder / "data" / name).write_text(text)
        project(folder, "--config", f"data/{name}", "--output", "out.json")
        report = json.loads((folder / "out.json").read_text())
        reports.append([{**result, "duration_ms": 0} for result in report["results"]])
    assert reports[0] == reports[1] == reports[2]
    assert reports[0][0]["result"]["matching_lines"] == 2


def test_workers_and_retries_can_be_set_r30(folder):
    """R30: the job fails on its first two attempts."""
    flaky = {"name": "flaky", "run": 'test "$JOBLOT_ATTEMPT" -eq 3', "retry": {"max_attempts": 3}}
    done, report = run_jobs(folder, flaky, max_workers=1)
    assert (done.returncode, report["results"][0]["status"]) == (0, "ok")


def test_a_report_that_cannot_be_written(folder):
    (folder / "file").touch()
    done = project(folder, "--output", "file/report.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("error: cannot write `file`: file exists\n")
