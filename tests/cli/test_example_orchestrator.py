"""The example `run-orchestrator`: its words over joblot, and the demo run as its README says."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from command_server import server

pytestmark = pytest.mark.alone

EXAMPLE = Path(__file__).parents[2] / "examples" / "run-orchestrator"
sys.path.insert(0, str(EXAMPLE))
try:
    from orchestrator import CyclicDependencyError, StepStatus, Workflow, WorkflowStep
    from workflow_files import load_workflow
finally:
    sys.path.remove(str(EXAMPLE))

DEMO = ["extract", "validate", "transform", "load", "notify"]
FORM = re.compile(r"  \[(SUCCESS|FAILED |SKIPPED)\] (\S+) \((\d+) attempt\(s\), \d+ms\)")


def fine():
    return "fine"


def fail():
    raise ValueError("no luck")


def step(name, *depends_on, action=fine, **options):
    return WorkflowStep(name, action, depends_on, **options)


def chain(action=fine):
    """`a`, then `b` after it; `c` depends on nothing; `d` after `b`."""
    return Workflow([step("a", action=action), step("b", "a"), step("c"), step("d", "b")])


def diamond(**actions):
    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    return Workflow([step(name, *needs[name], action=actions.get(name, fine)) for name in needs])


def statuses(report):
    return {result.step_name: str(result.status) for result in report.results}


def errors(report):
    return {result.step_name: result.error for result in report.results}


def only(report):
    [result] = report.results
    return result


@pytest.fixture
def folder(tmp_path):
    """A copy of the example as it is in the repository."""
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot", "__pycache__"))
    return tmp_path / "example"


def project(folder, *args):
    return server().run(["project.py", *args], folder)


def without_times(text):
    return re.sub(r"\d+ms", "0ms", text)


# --- the command ------------------------------------------------------------------------------------


def test_the_demo_prints_what_the_readme_says_r96_r97(folder):
    """R96 R97: header, a line for each step, total; times aside."""
    done = project(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert without_times(done.stdout) == "\n".join([
        "Pipeline PASSED", *[f"  [SUCCESS] {name} (1 attempt(s), 0ms)" for name in DEMO], "Total: 0ms", ""
    ])  # fmt: skip


def test_the_readme_shows_what_is_printed(folder):
    readme = without_times((EXAMPLE / "README.md").read_text())
    assert without_times(project(folder).stdout) in readme
    assert without_times(project(folder, "data/sample_input.txt").stdout) in readme


def test_a_failed_pipeline_r97_r108_r120(folder):
    """R97 R108 R120: the form of the lines, the reasons on stderr, exit code 1."""
    (folder / "project.py").write_text(
        (folder / "project.py").read_text().replace('lambda: "118 records are complete"', "lambda: str(1 / 0)")
    )
    done = project(folder)
    head, *lines, total = done.stdout.splitlines()
    assert (done.returncode, head) == (1, "Pipeline FAILED")
    assert [FORM.fullmatch(line).groups() for line in lines] == [
        ("SUCCESS", "extract", "1"),
        ("FAILED ", "validate", "1"),
        *[("SKIPPED", name, "0") for name in ("transform", "load", "notify")],
    ]
    assert re.fullmatch(r"Total: \d+ms", total)
    reasons = done.stderr.splitlines()
    log = re.fullmatch(r"validate: ZeroDivisionError: division by zero \(see (.+)\)", reasons[0])[1]
    assert "Traceback (most recent call last)" in Path(log).read_text()
    assert reasons[1:] == [f"{name}: `validate` failed" for name in ("transform", "load", "notify")]


# --- order ------------------------------------------------------------------------------------------


def test_the_order_is_the_same_every_time_r98_r117():
    """R98 R117: tier after tier, in the order of declaration."""
    steps = [step("z", "m"), step("m"), step("b", "m", "a"), step("a"), step("y")]
    orders = {tuple(Workflow(steps).execution_order()) for _ in range(100)}
    assert orders == {("m", "a", "y", "z", "b")}


def test_steps_run_in_that_order_r98(tmp_path):
    """R98: with one worker."""
    log = tmp_path / "log"

    def note(name):
        with log.open("a") as file:
            file.write(name)

    needs = {"z": ["m"], "m": [], "b": ["m", "a"], "a": [], "y": []}
    workflow = Workflow(WorkflowStep(name, partial(note, name), needs[name]) for name in needs)
    report = workflow.run()
    assert log.read_text() == "mayzb"
    assert [result.step_name for result in report.results] == workflow.execution_order() == list("mayzb")


@pytest.mark.parametrize("ask", [Workflow.execution_order, Workflow.parallel_groups, Workflow.run])
def test_an_unknown_dependency_r99(tmp_path, ask):
    """R99: before anything runs."""
    workflow = Workflow([step("a", action=(tmp_path / "ran").touch), step("b", "nope")])
    with pytest.raises(ValueError, match=r"^step `b` depends on unknown step `nope`$"):
        ask(workflow)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([step("a", "b"), step("b", "a")], ("a", "b", "a")),
        ([step("a", "a")], ("a", "a")),
        ([step("s"), step("a", "c", "s"), step("b", "a"), step("c", "b")], ("a", "c", "b", "a")),
    ],
)
def test_a_cycle_is_shown_r100(steps, cycle):
    """R100."""
    with pytest.raises(CyclicDependencyError) as caught:
        Workflow(steps).run()
    assert caught.value.cycle == cycle
    assert " -> ".join(cycle) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_duplicate_name_r101():
    """R101."""
    workflow = Workflow([step("a")])
    with pytest.raises(ValueError, match=r"^duplicate step name `a`$"):
        workflow.add_step(step("a"))


def test_tiers_r111():
    """R111."""
    assert diamond().parallel_groups() == [["a"], ["b", "c"], ["d"]]
    assert Workflow().parallel_groups() == []


# --- retries ----------------------------------------------------------------------------------------


def failing_first(folder, times):
    """An action that fails so many times; files count, since each try may have a process of its own."""

    def action():
        tries = len(list(folder.iterdir()))
        (folder / str(tries)).touch()
        if tries < times:
            raise OSError(f"try {tries + 1}")
        return "at last"

    return action


def test_a_retry_that_succeeds_r102(tmp_path):
    """R102 D4: `max_retries` counts every try."""
    result = only(Workflow([step("a", action=failing_first(tmp_path, 1), max_retries=3)]).run())
    assert (result.status, result.attempts, result.output, result.error) == (StepStatus.SUCCESS, 2, "at last", "")


def test_by_default_there_is_one_try_r102(tmp_path):
    """R102."""
    result = only(Workflow([step("a", action=failing_first(tmp_path, 1))]).run())
    assert (result.status, result.attempts) == (StepStatus.FAILED, 1)


def test_when_every_try_fails_the_last_error_stays_r103(tmp_path):
    """R103."""
    result = only(Workflow([step("a", action=failing_first(tmp_path, 9), max_retries=3)]).run())
    assert (result.status, result.attempts, result.error) == (StepStatus.FAILED, 3, "OSError: try 3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_retries": 0}, "step `a`: `max_retries` must be at least 1, got 0"),
        ({"max_retries": -1}, "step `a`: `max_retries` must be at least 1, got -1"),
        ({"timeout_ms": 0}, "step `a`: `timeout_ms` must be at least 1, got 0"),
        ({"retry_delay_ms": -1}, "step `a`: `retry_delay_ms` must be at least 0, got -1"),
        ({"backoff": 0.5}, "step `a`: `backoff` must be at least 1, got 0.5"),
    ],
)
def test_numbers_that_cannot_be_right_are_refused_at_construction_r104_r114(options, message):
    """R104 R114."""
    with pytest.raises(ValueError) as caught:
        step("a", **options)
    assert str(caught.value) == message


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match=r"^`workers` must be at least 1, got 0$"):
        chain().run(workers=0)


def test_the_duration_is_that_of_all_tries_r119():
    """R119."""

    def slow():
        time.sleep(0.1)
        raise OSError

    report = Workflow([step("a", action=slow, max_retries=2)]).run()
    assert 200 <= only(report).duration_ms <= report.total_duration_ms


def test_a_pause_between_tries_r122(tmp_path):
    """R122: none by default; it does not count as the step's time."""
    make = partial(failing_first, times=2)
    folders = [tmp_path / "none", tmp_path / "some"]
    for folder in folders:
        folder.mkdir()
    none = Workflow([step("a", action=make(folders[0]), max_retries=3)]).run()
    some = Workflow([step("a", action=make(folders[1]), max_retries=3, retry_delay_ms=400, backoff=2)]).run()
    assert none.total_duration_ms < 1200 <= some.total_duration_ms - only(some).duration_ms


# --- failures ---------------------------------------------------------------------------------------


def test_fail_fast_skips_every_later_step_r106_r108():
    """R106 R108: also those that do not depend on the failed one, with the reason."""
    report = chain(fail).run()
    assert statuses(report) == {"a": "FAILED", "c": "SKIPPED", "b": "SKIPPED", "d": "SKIPPED"}
    assert errors(report) == {
        "a": "ValueError: no luck",
        "b": "`a` failed",
        "c": "stopped after `a` failed",
        "d": "`a` failed",
    }
    assert all(result.attempts == 0 for result in report.results[1:])


def test_continue_mode_skips_only_what_depends_on_a_failure_r107_r108():
    """R107 R108: transitively."""
    report = diamond(b=fail).run(fail_fast=False)
    assert statuses(report) == {"a": "SUCCESS", "b": "FAILED", "c": "SUCCESS", "d": "SKIPPED"}
    assert errors(report)["d"] == "`b` failed"
    report = chain(fail).run(fail_fast=False)
    assert statuses(report) == {"a": "FAILED", "c": "SUCCESS", "b": "SKIPPED", "d": "SKIPPED"}
    assert (errors(report)["b"], errors(report)["d"]) == ("`a` failed", "`a` failed")


# --- timeouts ---------------------------------------------------------------------------------------


def test_a_step_over_its_time_fails_r109():
    """R109 D8."""
    began = time.monotonic()
    result = only(Workflow([step("a", action=partial(time.sleep, 5), timeout_ms=100)]).run())
    assert time.monotonic() - began < 1
    assert (result.status, result.error) == (StepStatus.FAILED, "timed out after 0.1 s")
    assert WorkflowStep("a", fine).timeout_ms == 30_000


def test_the_time_counts_for_each_try_and_nothing_goes_on_r110(tmp_path):
    """R110: a step that ran out of time is tried again, and what was stopped never gets to its end."""

    def action():
        first = not (tmp_path / "begun").exists()
        (tmp_path / "begun").touch()
        if first:
            try:
                time.sleep(0.7)
            except BaseException:
                time.sleep(0.7)  # it does not want to be stopped
            (tmp_path / "late").touch()
        return "in time"

    result = only(Workflow([step("a", action=action, timeout_ms=500, max_retries=2)]).run())
    assert (result.status, result.attempts, result.output) == (StepStatus.SUCCESS, 2, "in time")
    time.sleep(1)
    assert not (tmp_path / "late").exists()


def test_steps_of_a_tier_run_together_r112(tmp_path):
    """R112: with two workers both are there at the same time, and the report is the same."""

    def meet(own, other):
        (tmp_path / own).touch()
        until = time.monotonic() + 30
        while not (tmp_path / other).exists():
            assert time.monotonic() < until, f"{own} is alone"
            time.sleep(0.01)

    together = diamond(b=partial(meet, "b", "c"), c=partial(meet, "c", "b")).run(workers=2)
    assert statuses(together) == statuses(diamond().run(workers=1)) == dict.fromkeys("abcd", "SUCCESS")


# --- results ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("returned", "output"), [("", ""), (None, ""), ("text", "text"), (12, "12")])
def test_outputs_are_texts_r113(returned, output):
    """R113: nothing is a success with an empty output."""
    result = only(Workflow([step("a", action=lambda: returned)]).run())
    assert (result.status, result.output) == (StepStatus.SUCCESS, output)


def test_the_report_adds_up_r115_r116():
    """R115 R116."""
    report = diamond(b=fail).run(fail_fast=False)
    assert (report.succeeded, report.failed, report.skipped, report.all_passed) == (2, 1, 1, False)
    assert list(report.summary) == ["total_steps", "succeeded", "failed", "skipped", "total_duration_ms"]
    assert list(report.summary.values())[:4] == [4, 2, 1, 1]
    assert report.total_duration_ms == report.summary["total_duration_ms"] >= 0
    assert [status.name for status in StepStatus] == ["PENDING", "RUNNING", "SUCCESS", "FAILED", "SKIPPED"]
    result = report.results[0]
    assert (result.step_name, result.status, result.attempts, result.output, result.error) == (
        "a", StepStatus.SUCCESS, 1, "fine", ""
    )  # fmt: skip


class Callable:
    def __call__(self):
        return "object"


@pytest.mark.parametrize("on", ["local", "inline"])
def test_any_callable_is_a_step_r117(on):
    """R117: closures, lambdas, partials, methods, objects."""
    word = "closure"

    def closure():
        return word

    actions = [closure, lambda: "lambda", partial("{}".format, "partial"), "METHOD".lower, Callable()]
    workflow = Workflow(WorkflowStep(f"s{number}", action) for number, action in enumerate(actions))
    report = workflow.run(on=on)
    assert [result.output for result in report.results] == ["closure", "lambda", "partial", "method", "object"]


def test_an_empty_workflow_passes_r121():
    """R121."""
    report = Workflow().run()
    assert (report.results, report.all_passed, report.exit_code) == ([], True, 0)
    assert report.summary["total_steps"] == 0


# --- files ------------------------------------------------------------------------------------------


def test_seven_steps_from_lines_run_in_order_r118(folder):
    """R118: `name|depends_on|description`."""
    workflow = load_workflow(folder / "data" / "sample_input.txt", {})
    report = workflow.run()
    assert [result.step_name for result in report.results] == [
        "collect_orders", "collect_stock", "check_orders", "merge", "build_invoices", "plan_deliveries", "report"
    ]  # fmt: skip
    assert report.all_passed
    assert report.results[3].output == "Match orders with stock"


def test_a_json_file_r118(folder):
    """R118: with dependencies, retries and timeouts."""
    workflow = load_workflow(folder / "data" / "workflow.json", dict.fromkeys(DEMO, fine))
    assert workflow.parallel_groups() == [
        ["extract"], ["validate", "archive"], ["transform"], ["load"], ["notify"]
    ]  # fmt: skip
    assert workflow.run(workers=2).all_passed


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.txt", "a||A\nb|a\n", "w.txt:2:1: error: expected `name|depends_on|description`, got `b|a`"),
        ("w.txt", "a|b|A\n", "w.txt: error: step `a` depends on unknown step `b`"),
        ("w.txt", "a|b|A\nb|a|B\n", "w.txt: error: jobs need each other: a -> b -> a"),
        ("w.txt", "a||A\na||B\n", "w.txt: error: duplicate step name `a`"),
        ("w.json", "{", "w.json: error: Input data was truncated"),
        ("w.json", '{"steps": [{"name": "a"}]}', "w.json: error: Object missing required field `action` - at `$.steps[0]`"),
        (
            "w.json",
            '{"steps": [{"name": "a", "action": "load", "max_retries": 0}]}',
            "w.json: error: Expected `int` >= 1 - at `$.steps[0].max_retries`",
        ),
        (
            "w.json",
            '{"steps": [{"name": "a", "action": "lode"}]}',
            "w.json: error: step `a`: unknown action `lode`, known are extract, validate, transform, load, notify",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_and_nothing_runs_r105_r118(folder, name, text, message):
    """R105 R118: exit code 2, also for `max_retries: 0`."""
    (folder / name).write_text(text)
    done = project(folder, name)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{message}\n")


def test_a_missing_file_r118(folder):
    """R118."""
    done = project(folder, "no.json")
    assert (done.returncode, done.stderr) == (2, "error: cannot read `no.json`: no such file or directory\n")


def test_each_command_leaves_a_run_record_r124(folder):
    """R124."""
    project(folder)
    [run] = (folder / ".joblot" / "runs").iterdir()
    assert json.loads((run / "report.json").read_text())["batch"] == "demo"
