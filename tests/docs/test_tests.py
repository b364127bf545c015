"""What CONTRIBUTING promises of the tests themselves."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
PROGRAMS = {"torture", "state_folders"}
"""Folders without tests: programs that tests start."""


def called(function):
    """The names of the functions that it calls by their plain names."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {name.id for name in calls if isinstance(name, ast.Name)}


def can_fail(function):
    """Whether it holds anything itself: `assert`, `raise AssertionError`, `pytest.raises`, `warns`, `fail`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.dump(node)):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.raises", "pytest.warns", "pytest.fail"):
            return True
    return False


def without_assertions(source):
    """The tests of a module that hold nothing, neither by themselves nor through functions of the module."""
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    holding: set[str] = set()
    while (
        more := {name for name, function in functions.items() if can_fail(function) or called(function) & holding}
        - holding
    ):
        holding |= more
    return sorted(name for name in functions if name.startswith("test_") and name not in holding)


def test_every_test_asserts():
    modules = [path for path in TESTS.rglob("test_*.py") if not PROGRAMS & set(path.parts)]
    assert len(modules) > 100
    found = {str(path.relative_to(TESTS)): without_assertions(path.read_text(encoding="utf-8")) for path in modules}
    assert {name: tests for name, tests in found.items() if tests} == {}


def test_a_test_that_only_calls_is_found():
    source = "def holds(x):\n    assert x\ndef through():\n    holds(1)\ndef test_a():\n    through()\ndef test_b():\n    print(1)\n"
    assert without_assertions(source) == ["test_b"]
