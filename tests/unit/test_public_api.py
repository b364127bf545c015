"""The typed program of tests/api works as well as it type-checks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import joblot


@pytest.fixture(scope="module")
def api():
    path = Path(__file__).parents[1] / "api" / "public_api.py"
    spec = importlib.util.spec_from_file_location("public_api", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    joblot.ACTIONS.pop("public.shout")


def test_every_public_name_can_be_imported():
    assert all(getattr(joblot, name) is not None for name in joblot.__all__)
    assert set(joblot.__all__) <= set(dir(joblot))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'joblot' has no attribute 'Bach'"):
        joblot.Bach


def test_a_batch_made_in_python_runs(api, tmp_path):
    (tmp_path / "in.txt").write_text("hello")
    report = api.run_it(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["run_id"] == report.run_id
    assert (tmp_path / "shouted.txt").read_text() == "HELLOHELLO"


def test_unknown_needs_and_cycles_are_refused_before_anything_runs(api):
    unknown, cycle = api.refuse()
    assert unknown == "job `a` needs unknown job `b`"
    assert cycle == "a -> b -> a"


def test_the_logger_writes_its_log(api, tmp_path):
    assert api.log_something(tmp_path / "log.json")["status"] == "completed"
    assert json.loads((tmp_path / "log.json").read_text())["warning_count"] == 1


def test_a_package_reads_a_file_of_its_own(api):
    assert api.read_codes("codes: [01.10, 1.10, 6920Z]") == ["01.10", "1.10", "6920Z"]
    with pytest.raises(joblot.ConfigError, match=r"codes.yaml:1:9: error: a code is a text \(and 1 more\)"):
        api.read_codes("codes: [[], {}]")


def test_a_file_is_written_or_the_reason_is_told(api, tmp_path):
    assert api.write_down(tmp_path / "a.txt", "hello") == ""
    assert (tmp_path / "a.txt").read_text() == "hello"
    assert api.write_down(tmp_path / "a.txt" / "b", "hello") == "not a directory"


def test_no_module_hides_a_public_name():
    """A submodule of the same name would take the name's place as soon as anything imports it."""
    import pkgutil

    modules = {module.name for module in pkgutil.iter_modules(joblot.__path__)}
    assert modules & set(joblot.__all__) == set()
