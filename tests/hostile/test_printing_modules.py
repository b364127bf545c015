"""What modules do to the streams while they are imported hurts neither the JSON on standard output nor what joblot says."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

PRINTING = {
    "print": "print('loaded')",
    "write": "import sys; sys.stdout.write('loaded')",
    "original stream": "import sys; sys.__stdout__.write('loaded'); sys.__stdout__.flush()",
    "descriptor": "import os; os.write(1, b'loaded')",
    "child": "import os; os.system('echo loaded')",
    "logging": "import logging, sys; logging.basicConfig(stream=sys.stdout); logging.error('loaded')",
    "bytes": "import sys; sys.stdout.buffer.write(b'loaded'); sys.stdout.buffer.flush()",
}
AT_THE_END = {
    "print": "import atexit; atexit.register(print, 'loaded')",
    "descriptor": "import atexit, os; atexit.register(os.write, 1, b'loaded')",
    "child": "import atexit, os; atexit.register(os.system, 'echo loaded')",
    "stream that was kept": "import atexit, sys; atexit.register(sys.__stdout__.write, 'loaded')",
    "object": "class Ends:\n    def __del__(self): print('loaded', flush=True)\nkept = Ends()",
}
DAMAGING = {
    "detached": "import sys; sys.stdout.detach()",
    "error detached": "import sys; sys.stderr.detach()",
    "closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "none": "import sys; sys.stdout = sys.stderr = None",
    "replaced": "import io, sys; sys.stdout = sys.stderr = io.StringIO()",
    "descriptors closed": "import os; os.close(1); os.close(2)",
    "descriptors elsewhere": "import os; fd = os.open('/dev/null', 1); os.dup2(fd, 1); os.dup2(fd, 2)",
    "printed and detached": "import sys; print('x', end=''); sys.stdout.detach()",
}
COMMANDS = {
    "run": ("run", "-q", "--json", "batch.yaml"),
    "validate": ("validate", "--json", "batch.yaml"),
    "plan": ("plan", "--json", "batch.yaml"),
    "actions": ("actions", "--json", "--import", "acts.py"),
}


def _batch(hostile: Any, code: str) -> None:
    (hostile.folder / "acts.py").write_text(f"{code}\n")
    hostile.yaml('imports: [./acts.py]\njobs: [{name: a, run: "true"}]\n')


@pytest.mark.parametrize(
    ("way", "command"),
    [*((way, "validate") for way in PRINTING), *(("print", command) for command in COMMANDS), ("descriptor", "run")],
)
def test_standard_output_holds_the_json_and_nothing_else(hostile: Any, way: str, command: str) -> None:
    """What is printed is on standard error."""
    _batch(hostile, PRINTING[way])
    ended = hostile.joblot(*COMMANDS[command])
    assert ended.code == 0, ended
    assert isinstance(json.loads(ended.out), dict | list)
    assert "loaded" in ended.err


@pytest.mark.parametrize("way", AT_THE_END)
def test_what_a_module_prints_when_the_program_ends_does_not_stand_behind_the_json(hostile: Any, way: str) -> None:
    """Its handlers run after the result was written."""
    _batch(hostile, AT_THE_END[way])
    ended = hostile.end(hostile.start(sys.executable, "-m", "joblot", "validate", "--json", "batch.yaml"))
    assert ended.code == 0, ended
    assert json.loads(ended.out)["ok"] is True
    assert "loaded" in ended.err


@pytest.mark.parametrize("damage", DAMAGING)
def test_streams_are_put_back(hostile: Any, damage: str) -> None:
    """The result is on standard output, what is told on standard error, and the exit code is right."""
    _batch(hostile, DAMAGING[damage])
    ended = hostile.end(hostile.start(sys.executable, "-m", "joblot", "run", "--json", "batch.yaml"))
    assert ended.code == 0, ended
    assert json.loads(ended.out)["status"] == "success"
    assert "Traceback" not in ended.err
    assert "INFO" in ended.err
