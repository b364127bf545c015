from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS
from joblot.core.model import Artifact
from joblot.errors import ActionError


def test_copy_is_complete_and_recorded(tmp_path):
    (tmp_path / "in.bin").write_bytes(os.urandom(2**20 + 17))
    ctx = Context.for_test(tmp_path)
    result = ACTIONS["copy"].call(tmp_path / "in.bin", {"output": tmp_path / "deep/out.bin"}, ctx)
    assert result == {"size_bytes": 2**20 + 17, "output": "deep/out.bin"}
    assert (tmp_path / "deep/out.bin").read_bytes() == (tmp_path / "in.bin").read_bytes()
    assert ctx.artifacts == [Artifact("deep/out.bin", 2**20 + 17)]


def test_r14_copy_of_a_missing_file_makes_nothing(tmp_path):
    """R14"""
    with pytest.raises(ActionError, match=r"^file not found: none$"):
        ACTIONS["copy"].call(tmp_path / "none", {"output": tmp_path / "deep/out"}, Context.for_test(tmp_path))
    assert os.listdir(tmp_path) == []


def test_copy_to_a_name_that_is_a_folder_is_one_line(tmp_path):
    (tmp_path / "in").touch()
    with pytest.raises(ActionError, match=r"^cannot write `.`: "):
        ACTIONS["copy"].call(tmp_path / "in", {"output": Path(".")}, Context.for_test(tmp_path))


def test_shell_and_python_say_what_to_start():
    shell, python = ACTIONS["shell"], ACTIONS["python"]
    assert (shell.command, python.command) == (True, True)
    assert shell.call(None, {"command": "ls | wc -l"}) == "ls | wc -l"
    assert python.call(Path("in"), {"code": "print(1)", "args": ["a"]}) == [sys.executable, "-c", "print(1)", "a"]
    assert python.call(None, {"script": Path("/x/y.py")}) == [sys.executable, "/x/y.py"]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("shell", {"command": " "}, "`command` is empty"),
        ("python", {}, "give `code` or `script`"),
        ("python", {"code": "", "script": Path("x")}, "`code` and `script` exclude each other: give one"),
    ],
)
def test_commands_that_cannot_be_started(name, params, message):
    with pytest.raises(ActionError) as caught:
        ACTIONS[name].call(None, params)
    assert (caught.value.message, caught.value.reason) == (message, "bad_params")
