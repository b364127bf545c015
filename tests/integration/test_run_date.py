"""`${{ run.date }}`: the day on which a run begins, in the time zone of its batch, whenever it goes on."""

from __future__ import annotations

import json
import os
import time

import pytest

import joblot
from joblot import Batch
from joblot.actions.registry import ACTIONS
from joblot.clock import day_of
from joblot.config.load import load
from joblot.config.several import load_several
from joblot.core.plan import expand
from joblot.errors import ConfigError, StateError

NEW_YEAR = 1_767_225_000.0
"""2025-12-31 23:50 UTC."""
DAY = "${{ run.date }}"
FOUND = {"lookup": ACTIONS.signature, "names": ACTIONS.names}


def read(folder, batch, moment=NEW_YEAR):
    (folder / "b.json").write_text(json.dumps(batch))
    return load(folder / "b.json", moment=moment, **FOUND)[0]


def problem(folder, batch):
    with pytest.raises(ConfigError) as caught:
        read(folder, batch)
    (found,) = caught.value.diagnostics
    return found.message, found.hint


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("UTC", "2025-12-31"), ("Europe/Paris", "2026-01-01"), ("America/New_York", "2025-12-31"), ("Asia/Kathmandu", "2026-01-01"),
        ("Pacific/Kiritimati", "2026-01-01"), ("Pacific/Pago_Pago", "2025-12-31"),
    ],
)  # fmt: skip
def test_the_day_is_that_of_the_batch_s_zone(tmp_path, zone, day):
    config = read(tmp_path, {"timezone": zone, "vars": {"day": DAY}, "jobs": []})
    assert (config.vars, config.timezone) == ({"day": day}, zone)


@pytest.mark.parametrize(
    ("moment", "day"),
    [(1_774_745_999.0, "2026-03-29"), (1_774_821_599.0, "2026-03-29"), (1_774_821_600.0, "2026-03-30")],
)
def test_a_day_of_23_hours(moment, day):
    """From 01:59:59 to the last second of the day on which clocks go forward."""
    assert day_of(moment, "Europe/Paris") == day


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Paris", "2026-01-01"), ("UTC", "2025-12-31"), ("<-05>5", "2025-12-31")]
)
def test_without_a_zone_the_day_is_the_system_s(tmp_path, monkeypatch, zone, day):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        config = read(tmp_path, {"jobs": [{"name": "a", "run": "true", "outputs": [f"{DAY}.csv"]}]})
        assert (config.jobs[0].outputs, config.timezone) == ((f"{day}.csv",), "")
    time.tzset()


def test_the_day_can_stand_wherever_a_variable_can(tmp_path):
    job = {
        "name": f"a-{DAY}", "run": f"echo {DAY} > out/{DAY}.txt; : '{DAY}'", "input": f"in/{DAY}", "outputs": [f"out/{DAY}.txt"], "env": {"D": DAY},
        "cwd": f"c{DAY}", "description": DAY, "tags": [DAY],
    }  # fmt: skip
    config = read(tmp_path, {"timezone": "UTC", "name": f"b-{DAY}", "env": {"E": DAY}, "jobs": [job]})
    (spec,), day = config.jobs, "2025-12-31"
    assert (config.name, config.env, config.date) == (f"b-{day}", {"E": day}, "")
    assert (spec.name, spec.outputs, spec.env, spec.cwd) == (f"a-{day}", (f"out/{day}.txt",), {"D": day}, f"c{day}")
    assert (spec.input, spec.given, spec.deferred) == (f"in/{day}", {"run.date": day}, False)
    action = {"name": "a", "action": "count_lines", "input": "x", "params": {"pattern": DAY}}
    assert read(tmp_path, {"timezone": "UTC", "jobs": [action]}).jobs[0].params == {"pattern": day}


def test_the_day_stands_beside_items_and_what_is_known_later(tmp_path):
    job = {
        "name": "a-${{ item }}",
        "run": f"echo ${{{{ item }}}} {DAY} ${{{{ run.id }}}} > {DAY}-${{{{ item }}}}",
        "outputs": [f"{DAY}-${{{{ item }}}}"],
    }
    read(tmp_path, {"timezone": "UTC", "jobs": [job | {"foreach": ["x", "y"]}]})
    report = joblot.run(tmp_path / "b.json", on="inline", state=False, run_id="r1")
    today = day_of(time.time(), "UTC")
    assert report.ok
    assert (tmp_path / f"{today}-y").read_text() == f"y {today} r1\n"


def test_items_can_come_from_a_path_with_the_day(tmp_path):
    (tmp_path / "2025-12-31.txt").write_text("x\ny\n")
    job = {"name": "a-${{ item }}", "run": "true", "foreach": f"{DAY}.txt"}
    config = read(tmp_path, {"timezone": "UTC", "jobs": [job]})
    assert config.jobs[0].fan_out.columns == {"": ["x", "y"]}


def test_a_run_that_goes_on_has_the_day_on_which_it_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = f"echo {DAY} >> days; test -e go"
    plan = expand(read(tmp_path, {"timezone": "UTC", "jobs": [{"name": "a", "run": run}]}))
    report = joblot.run(plan.config, on="inline", state=tmp_path / "state", run_id="r1")
    assert not report.ok
    (tmp_path / "go").touch()
    # Another day has come; the stored plan says what was meant.
    from joblot.runner.launch import resume_run
    from joblot.runner.options import Options

    assert resume_run("r1", Options(on="inline", state=tmp_path / "state")).ok
    assert (tmp_path / "days").read_text() == "2025-12-31\n2025-12-31\n"


def test_a_batch_made_in_python_goes_on_with_its_day_too(tmp_path, monkeypatch):
    def batch():
        made = Batch("b", folder=tmp_path, timezone="UTC")
        made.command("a", f"echo {DAY} $D >> days; test -e go", env={"D": DAY})
        return made

    monkeypatch.setattr("joblot.api.time.time", lambda: NEW_YEAR)
    assert not batch().run(on="inline", state=tmp_path / "state", run_id="r1").ok
    (tmp_path / "go").touch()
    monkeypatch.setattr("joblot.api.time.time", lambda: NEW_YEAR + 86400)
    assert batch().run(on="inline", state=tmp_path / "state", resume="r1").ok
    assert batch().run(on="inline", state=tmp_path / "state").ok
    assert (tmp_path / "days").read_text() == "2025-12-31 2025-12-31\n2025-12-31 2025-12-31\n2026-01-01 2026-01-01\n"
    other = batch()
    other.command("b", "true")
    with pytest.raises(StateError) as caught:
        other.run(on="inline", state=tmp_path / "state", resume="r1")
    assert caught.value.message == "run `r1` is of another plan than this batch"


def test_a_batch_made_in_python_has_its_day_in_what_starts_only(tmp_path):
    batch = Batch("b", folder=tmp_path)
    with pytest.raises(ConfigError) as caught:
        batch.command("a", "true", outputs=[f"{DAY}.csv"])
    assert caught.value.message == "job `a`: `outputs[0]`: `run.date` is known only when a job starts"
    batch.command("a", "true")
    assert batch.config().date == ""


def test_a_new_day_is_a_reason_to_run(tmp_path):
    def run(moment):
        config = read(
            tmp_path,
            {"timezone": "UTC", "jobs": [{"name": "a", "run": f"echo {DAY} > out", "outputs": ["out"]}]},
            moment,
        )
        return joblot.run(config, on="inline", state=tmp_path / "state").jobs["a"].state

    assert [run(NEW_YEAR), run(NEW_YEAR + 60), run(NEW_YEAR + 3600)] == ["success", "cached", "success"]


def test_files_that_run_together_have_one_day(tmp_path):
    for name in ("x", "y"):
        (tmp_path / f"{name}.yaml").write_text(f'timezone: UTC\njobs: [{{name: a, run: "echo {DAY}"}}]')
    config, _ = load_several([tmp_path / "x.yaml", tmp_path / "y.yaml"], vars={}, **FOUND)
    assert len({json.dumps(spec.given) for spec in config.jobs}) == 1
    assert config.timezone == "UTC"
    (tmp_path / "y.yaml").write_text("jobs: []")
    with pytest.raises(ConfigError) as caught:
        load_several([tmp_path / "x.yaml", tmp_path / "y.yaml"], vars={}, **FOUND)
    assert caught.value.diagnostics[0].message == (
        f"`timezone` is not set here and UTC in `{tmp_path}/x.yaml`, which is to be run together with it"
    )


@pytest.mark.parametrize(
    ("zone", "message", "hint"),
    [
        ("Europe/Pariss", "`timezone` is no time zone: `Europe/Pariss`", "did you mean `Europe/Paris`?"),
        ("europe/paris", "`timezone` is no time zone: `europe/paris`", "did you mean `Europe/Paris`?"),
        ("America/New York", "`timezone` is no time zone: `America/New York`", "did you mean `America/New_York`?"),
        ("Europe", "`timezone` is no time zone: `Europe`", "a name such as `Europe/Paris` or `UTC`"),
        ("+01:00", "`timezone` is no time zone: `+01:00`", "a name such as `Europe/Paris` or `UTC`"),
        ("../UTC", "`timezone` is no time zone: `../UTC`", None), ("/etc/passwd", "`timezone` is no time zone: `/etc/passwd`", None),
        ("", "`timezone` must not be empty", ""), (1, "`timezone` must be a text, not a number", None), (["UTC"], "`timezone` must be a text, not a list", ""),
    ],
)  # fmt: skip
def test_what_is_no_time_zone(tmp_path, zone, message, hint):
    # What refers to the day is not told of as well.
    found = problem(tmp_path, {"timezone": zone, "vars": {"day": DAY}, "jobs": [{"name": "a", "run": f"echo {DAY}"}]})
    assert found[0] == message if not isinstance(zone, int) else found[0].startswith("`timezone` must be a text, not ")
    assert hint is None or found[1] == hint


@pytest.mark.parametrize("where", ["run", "env", "outputs", "vars"])
def test_a_batch_without_a_schedule_has_no_due_time(tmp_path, where):
    slot = "${{ run.scheduled_for }}"
    job = {"name": "a", "run": "true"}
    values = {"run": f"echo {slot}", "env": {"X": slot}, "outputs": [slot]}
    batch = {"jobs": [job | ({where: values[where]} if where in values else {})]} | (
        {"vars": {"x": slot}} if where == "vars" else {}
    )
    message = "`run.scheduled_for` stands for nothing: the batch has no `schedule`"
    assert problem(tmp_path, batch) == (
        message,
        "give the batch one, or take `run.date`, the day on which the run begins",
    )


def test_other_parts_of_a_run(tmp_path):
    found = problem(tmp_path, {"jobs": [{"name": "a", "run": "echo ${{ run.day }}"}]})
    assert found == ("`run.day` stands for nothing", "of a run there are `run.id`, `run.date` and `run.scheduled_for`")


def test_no_zone_is_looked_up_where_none_is_named(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"vars": {"d": DAY}, "jobs": []}))
    code = "import sys, joblot; joblot.load('b.json'); print('zoneinfo' in sys.modules)"
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "False\n"
