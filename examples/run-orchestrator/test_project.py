"""Workflows in this process, where a step needs no process of its own; and the demo as its users run it."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from orchestrator import CyclicDependencyError, Workflow, WorkflowStep  # noqa: E402 - it lies beside this file
from workflow_files import load_workflow  # noqa: E402


def fine():
    return "fine"


def fail():
    raise ValueError("no luck")


def diamond(b=fine):
    """`a`, then `b` and `c`, then `d`."""
    steps = [("a", fine, []), ("b", b, ["a"]), ("c", fine, ["a"]), ("d", fine, ["b", "c"])]
    return Workflow([WorkflowStep(*step) for step in steps])


def statuses(report):
    return {result.step_name: str(result.status) for result in report.results}


def test_the_demo_passes(tmp_path):
    command = [sys.executable, str(HERE / "project.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    first, *steps, last = done.stdout.splitlines()
    assert (done.returncode, first) == (0, "Pipeline PASSED")
    named = [re.fullmatch(r"  \[SUCCESS\] (\w+) \(1 attempt\(s\), \d+ms\)", line)[1] for line in steps]
    assert named == ["extract", "validate", "transform", "load", "notify"]
    assert re.fullmatch(r"Total: \d+ms", last)


def test_the_order_is_that_of_the_needs_and_the_same_each_time():
    assert {tuple(diamond().execution_order()) for _ in range(20)} == {("a", "b", "c", "d")}


def test_steps_that_do_not_need_each_other_are_a_tier():
    assert diamond().parallel_groups() == [["a"], ["b", "c"], ["d"]]


def test_a_cycle_is_refused_before_anything_runs():
    steps = [WorkflowStep("a", fail, ["b"]), WorkflowStep("b", fail, ["a"])]
    with pytest.raises(CyclicDependencyError, match=r"a -> b -> a"):
        Workflow(steps).run(on="inline")


def test_an_unknown_dependency_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"unknown step.*nope"):
        Workflow([WorkflowStep("a", fail, ["nope"])]).run(on="inline")


def test_a_step_is_tried_at_least_once():
    for tries in (0, -1):
        with pytest.raises(ValueError, match=r"`max_retries` must be at least 1"):
            WorkflowStep("a", fine, max_retries=tries)


def test_a_step_is_tried_again(tmp_path):
    mark = tmp_path / "tried"

    def second_time():
        if mark.exists():
            return "at last"
        mark.touch()
        raise ValueError("not yet")

    (result,) = Workflow([WorkflowStep("a", second_time, max_retries=3)]).run(on="inline").results
    assert (str(result.status), result.attempts, result.output) == ("SUCCESS", 2, "at last")


def test_the_first_failure_stops_the_rest():
    report = diamond(b=fail).run(on="inline")
    assert statuses(report) == {"a": "SUCCESS", "b": "FAILED", "c": "SKIPPED", "d": "SKIPPED"}
    assert not report.all_passed


def test_or_only_what_needs_it_is_skipped():
    report = diamond(b=fail).run(fail_fast=False, on="inline")
    assert statuses(report) == {"a": "SUCCESS", "b": "FAILED", "c": "SUCCESS", "d": "SKIPPED"}


def test_a_step_that_takes_too_long_has_failed():
    began = time.monotonic()
    report = Workflow([WorkflowStep("a", lambda: time.sleep(60), timeout_ms=100)]).run()
    assert statuses(report) == {"a": "FAILED"}
    assert time.monotonic() - began < 30


def test_a_workflow_comes_from_a_file():
    steps = load_workflow(HERE / "data" / "sample_input.txt", {})
    assert steps.execution_order()[0] == "collect_orders"
    assert len(steps.execution_order()) == 7
