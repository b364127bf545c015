"""JUnit XML: read back by junitparser, and held to the rules that readers of CI systems have."""

from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from joblot.core import events as ev
from joblot.core.model import FanOut, JobSpec
from joblot.reports import junit as module
from joblot.reports.junit import junit
from unit.reports.test_forms import made


def parsed(report):
    text = b"".join(junit(report))
    check_rules(ET.fromstring(text))
    return JUnitXml.fromstring(text)


def check_rules(root):
    """What Jenkins, GitLab and the schema of Ant want: counts that are right, seconds, names, at most four elements a case."""
    assert root.tag == "testsuites"
    sums = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    names = set()
    for suite in root:
        assert suite.tag == "testsuite"
        assert suite.get("name") not in names
        names.add(suite.get("name"))
        found = {
            "tests": len(suite.findall("testcase")),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        assert {name: int(suite.get(name)) for name in found} == found
        for name, count in found.items():
            sums[name] += count
        for case in suite:
            assert case.tag == "testcase"
            assert case.get("name")
            assert "." in case.get("classname")
            assert float(case.get("time", "0")) >= 0
            assert len(list(case.iter())) <= 4
            assert len([one for one in case if one.tag in ("failure", "error", "skipped")]) <= 1
            assert case.find("system-out") is None
    assert {name: int(root.get(name)) for name in sums} == sums


JOBS = [
    "ok",
    "cached",
    "exit",
    "raised",
    "late",
    "crashed",
    "short",
    "behind",
    "stopped",
    "aborted",
    "off",
    "flaky",
    "may",
]


def everything(log=None):
    """A run in which everything happens."""
    jobs = [JobSpec(name=name, run="x", allow_failure=name == "may") for name in JOBS]
    job = JOBS.index

    def failed(name, kind, reason, message):
        return ev.AttemptEnded(job(name), 1, kind, "failed", 0.0, 2.5, message=message, reason=reason)

    return made(
        jobs,
        [ev.RunStarted("f", len(jobs)), ev.JobsEnded([job("cached")], "cached", "up_to_date"),
         ev.AttemptsStarted([job(name) for name in ("ok", "exit", "raised", "late", "crashed", "short", "flaky", "may")])],
        [ev.AttemptEnded(job("ok"), 1, began_s=0.0, wall_s=1.25), failed("exit", "exit", "exit_code", "exit status 3"),
         failed("raised", "error", "exception", "KeyError: 'x'"), failed("late", "timeout", "timeout", "timed out after 2 s"),
         failed("crashed", "crash", "crash", "killed by SIGSEGV"), failed("short", "oom", "oom", "out of memory"), failed("may", "exit", "exit_code", "exit status 1"),
         ev.AttemptEnded(job("flaky"), 1, "exit", "ready", 0.0, 1.0, message="exit status 75", reason="exit_code"), ev.AttemptsStarted([job("flaky")])],
        [ev.AttemptEnded(job("flaky"), 2, began_s=1.0, wall_s=0.5), ev.JobsEnded([job("behind")], "skipped", "need_failed", job("exit")),
         ev.JobsEnded([job("off")], "skipped", "condition", message="its `if` is false")],
        [ev.RunStopping("max_failures"), ev.JobsEnded([job("aborted")], "aborted", "max_failures"), ev.JobsEnded([job("stopped")], "cancelled", "cancelled"),
         ev.RunEnded("failed", 3.0)],
        log=log,
    )  # fmt: skip


def test_each_end_has_its_element():
    (suite,) = parsed(everything())
    told = {case.name: [(type(one), one.type or None, one.message) for one in case.result] for case in suite}
    assert {name: ends for name, ends in told.items() if not ends} == {key: [] for key in ("ok", "cached", "flaky")}
    assert told["exit"] == [(Failure, "exit_code", "exit status 3")]
    assert told["raised"] == [(Failure, "exception", "KeyError: 'x'")]
    assert told["late"] == [(Failure, "timeout", "timed out after 2 s")]
    assert told["crashed"] == [(Error, "crash", "killed by SIGSEGV")]
    assert told["short"] == [(Error, "oom", "out of memory")]
    assert told["behind"] == [(Skipped, None, "`exit` failed")]
    assert told["stopped"] == [(Skipped, None, "the run was cancelled")]
    assert told["aborted"] == [(Error, "max_failures", "stopped after too many failures")]
    assert told["off"] == [(Skipped, None, "its `if` is false")]
    assert told["may"] == [(Skipped, None, "failed, which is allowed: exit status 1")]
    times = {case.name: case.time for case in suite}
    assert (times["ok"], times["exit"], times["flaky"], times["cached"]) == (1.25, 2.5, 1.5, 0.0)
    assert {case.classname for case in suite} == {f"b.{name}" for name in JOBS}


def test_what_passed_on_a_retry_is_flaky_and_no_failure():
    root = ET.fromstring(b"".join(junit(everything())))
    (case,) = [case for case in root.iter("testcase") if case.get("name") == "flaky"]
    (flaky,) = case
    assert (flaky.tag, flaky.get("type"), flaky.get("message")) == ("flakyFailure", "exit_code", "exit status 75")
    assert flaky.findtext("stackTrace") == "attempt 1: exit: exit status 75"


def test_what_was_up_to_date_has_a_property():
    root = ET.fromstring(b"".join(junit(everything())))
    assert [one.attrib for one in root.iter("property")] == [{"name": "cached", "value": "true"}]


def test_a_failure_has_the_end_of_its_log(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    (folder / "log").write_text("".join(f"line {n} <&> {'x' * 900}\n" for n in range(100)))
    root = ET.fromstring(b"".join(junit(everything(lambda *_: str(folder / "log")))))
    text = root.find(".//failure").text
    assert text.endswith("x" * 900)
    assert "line 99 <&>" in text
    assert "line 79 " not in text
    assert len(text) <= 8000
    assert all(case.text is None for case in root.iter("testcase") if case.get("name") == "ok")


def test_a_fan_out_is_a_suite_of_its_own():
    fan = FanOut("rows", {"": ["a", "b"]})
    jobs = [
        JobSpec(name="first", run="x"),
        JobSpec(name="build-${{ item }}", run="x", fan_out=fan),
        JobSpec(name="last", run="x"),
    ]
    suites = parsed(made(jobs, [ev.RunStarted("f", 4), ev.JobsEnded([1], "skipped", "not_selected")]))
    found = {suite.name: [(case.classname, case.name) for case in suite] for suite in suites}
    assert found == {
        "b": [("b.first", "first"), ("b.last", "last")],
        "build-*": [("b.build-*", "build-b")],
    }


def test_of_a_run_without_an_end_it_is_said():
    jobs = [JobSpec(name=name, run="x") for name in "ab"]
    (suite,) = parsed(made(jobs, [ev.RunStarted("f", 2), ev.AttemptsStarted([0])]))
    told = [(type(one), one.message) for case in suite for one in case.result]
    assert told == [(Error, "its end is not known"), (Skipped, "it has not run")]


def test_of_a_large_run_what_ended_well_is_one_case_a_suite(monkeypatch):
    monkeypatch.setattr(module, "LISTED", 5)
    fan = FanOut("rows", {"": [str(n) for n in range(6)]})
    jobs = [JobSpec(name="a", run="x"), JobSpec(name="f-${{ item }}", run="x", fan_out=fan)]
    ends = [ev.AttemptEnded(n, 1, began_s=0.0, wall_s=1.0) for n in range(6)]
    bad = ev.AttemptEnded(6, 1, "exit", "failed", 0.0, 1.0, message="m", reason="exit_code")
    steps = [[ev.RunStarted("f", 7), ev.AttemptsStarted(list(range(7)))], [*ends, bad, ev.RunEnded("failed", 2.0)]]
    suites = parsed(made(jobs, *steps))
    found = {suite.name: [case.name for case in suite] for suite in suites}
    assert found == {
        "b": ["1 job that ended well"],
        "f-*": ["f-5", "5 jobs that ended well, which are not listed"],
    }


def test_a_batch_without_jobs_is_a_file_too():
    assert list(parsed(made([], [ev.RunStarted("f", 0), ev.RunEnded("success", 0.0)]))) == []


@pytest.mark.parametrize("text", ["a\tb\nc\r\nd", "x" * 20_000, "\ud7ff\ue000\U0001f600"])
def test_messages_are_read_back(text):
    bad = ev.AttemptEnded(0, 1, "exit", "failed", 0.0, 1.0, message=text, reason="exit_code")
    (suite,) = parsed(made([JobSpec(name="a", run="x")], [ev.RunStarted("f", 1), ev.AttemptsStarted([0])], [bad]))
    (case,) = suite
    assert case.result[0].message == text[:8000]
