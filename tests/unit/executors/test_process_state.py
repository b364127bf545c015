"""The state of a process that attempts may change is as it was before the next one."""

import os

import pytest

from joblot.executors.process_state import ProcessState


def moved():
    value = os.environ.pop("FIRST")
    os.environ["FIRST"] = value


def renamed():
    os.environ["RENAMED"] = os.environ.pop("LAST")


def swapped():
    os.environ["FIRST"], os.environ["LAST"] = os.environ["LAST"], os.environ["FIRST"]


def added():
    os.environ["ADDED"] = ""


def deleted():
    del os.environ["LAST"]


def emptied():
    os.environ["LAST"] = ""


def replaced():
    os.environ = {"LAST": "other"}  # noqa: B003 - what an attempt might do


@pytest.mark.parametrize("attempt", [moved, renamed, swapped, added, deleted, emptied, replaced])
def test_variables_are_restored_after_each_attempt(attempt, monkeypatch):
    monkeypatch.setenv("FIRST", "one")
    monkeypatch.setenv("LAST", "two")
    state = ProcessState()
    mapping, before = os.environ, dict(os.environ)
    for _ in range(2):  # the second time after a restoration
        attempt()
        state.restore_usual()
        assert os.environ is mapping
        assert dict(os.environ) == before
    state.close()
