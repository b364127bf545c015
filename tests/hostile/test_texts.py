"""Texts that are not UTF-8, or hold a NUL, wherever people and programs can give one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from joblot import Batch
from joblot.errors import ConfigError, StateError

if TYPE_CHECKING:
    from pathlib import Path

HALF = "\ud800"
ODD = b"\xff"


def said_by(call: Any) -> str:
    with pytest.raises((ConfigError, StateError)) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"outputs": [HALF]}, "outputs[0]"),
        ({"cwd": HALF}, "cwd"),
        ({"description": HALF}, "description"),
        ({"tags": [HALF]}, "tags[0]"),
        ({"env": {"X": HALF}}, "env.X"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_with_a_text_that_cannot_be_stored_is_refused(options: dict[str, Any], field: str) -> None:
    batch = Batch("texts")
    said = said_by(lambda: batch.command("j", "true", **options))
    assert said == f"job `j`: `{field}`: a text holds half of a surrogate pair (U+D800)"
    assert len(batch) == 0


def test_a_working_folder_with_a_nul_is_refused() -> None:
    said = said_by(lambda: Batch("texts").command("j", "true", cwd="a\0b"))
    assert said == "job `j`: `cwd`: a text holds a NUL (U+0000)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": {HALF: 1}}, "`limits`: key `\\ud800` holds a control character"),
        ({"secrets": [HALF]}, "`secrets[0]`: a text holds half of a surrogate pair (U+D800)"),
        ({"env": {"X": HALF}}, "`env.X`: a text holds half of a surrogate pair (U+D800)"),
        ({"env": {HALF: "x"}}, "`env`: key `\\ud800` holds a control character"),
        ({"name": HALF}, "`name`: a text holds half of a surrogate pair (U+D800)"),
        ({"folder": HALF}, "`folder` must be a path, and holds half of a surrogate pair"),
    ],
    ids=["limits", "secrets", "env", "name of env", "name", "folder"],
)
def test_a_batch_with_a_text_that_cannot_be_stored_is_refused(options: dict[str, Any], message: str) -> None:
    said = said_by(lambda: Batch(**{"name": "texts", **options}))
    assert said == message


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"": "x"}, "`env.`: `` cannot be an environment variable"),
        ({"X": 1}, "`env.X`: `X` must be a text, not the number 1"),
        ({"X": "a\0b"}, "`env.X`: a text holds a NUL (U+0000)"),
    ],
)
def test_an_environment_of_a_batch_that_cannot_be_one_is_refused(env: Any, said: str) -> None:
    assert said_by(lambda: Batch("texts", env=env)) == said


@pytest.mark.parametrize("name", [HALF, "a\0b"])
def test_a_state_folder_whose_name_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    batch = Batch("texts")
    batch.command("j", "true")
    said = said_by(lambda: batch.run(state=f"{tmp_path}/{name}"))
    assert said == f"the state folder `{tmp_path}/{name}` cannot be used: its path is not UTF-8 text"
    assert os.listdir(tmp_path) == []


# --- the command line, which gets bytes -------------------------------------------------------------


def run(folder: Path, *words: bytes, **options: Any) -> tuple[int, str]:
    (folder / "b.json").write_text('{"jobs": [{"name": "j", "run": "true"}]}')
    environment = {b"PATH": os.environb[b"PATH"], b"HOME": os.fsencode(folder)} | options.pop("env", {})
    command = [os.fsencode(sys.executable), b"-m", b"joblot", *words]
    options = {"cwd": folder} | options
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60, **options)
    return done.returncode, done.stderr.decode().replace(str(folder), "DIR")


def test_a_folder_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    """Also as the working folder, where the state would be."""
    folder = os.fsencode(tmp_path) + b"/" + ODD
    os.mkdir(folder)
    with open(folder + b"/b.json", "w") as file:
        file.write('{"jobs": [{"name": "j", "run": "true"}]}')
    wanted = "error: the path of `\\udcff/b.json` is not UTF-8 text\nhint: paths are kept as UTF-8: give the folder or the file another name\n"
    assert run(tmp_path, b"run", b"-q", ODD + b"/b.json") == (2, wanted)
    assert run(tmp_path, b"validate", ODD + b"/b.json") == (2, wanted)
    assert run(tmp_path, b"ls", cwd=folder)[0] == 4
    code, said = run(tmp_path, b"run", b"-q", os.fsencode(tmp_path) + b"/b.json", cwd=folder)
    assert (code, said) == (
        4,
        "error: the state folder `DIR/\\udcff/.joblot` cannot be used: its path is not UTF-8 text\nhint: choose another with `--state`\n",
    )


def test_a_state_folder_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    code, said = run(tmp_path, b"run", b"-q", b"b.json", b"--state", ODD)
    assert (code, said) == (
        4,
        "error: the state folder `DIR/\\udcff` cannot be used: its path is not UTF-8 text\nhint: choose another with `--state`\n",
    )


@pytest.mark.parametrize("command", [b"show", b"logs", b"cancel", b"retry", b"resume"])
def test_a_run_that_is_not_utf8_is_unknown(tmp_path: Path, command: bytes) -> None:
    assert run(tmp_path, b"run", b"-q", b"--run-id", b"r1", b"b.json")[0] == 0
    nor = ", nor a job of its last run `r1`" if command in (b"show", b"logs", b"retry") else ""
    assert run(tmp_path, command, ODD) == (
        4,
        f"error: no run `\\udcff` in `DIR/.joblot`{nor}\nhint: `joblot ls` lists the runs\n",
    )


def test_a_user_whose_name_is_not_utf8_can_run_a_batch(tmp_path: Path) -> None:
    assert run(tmp_path, b"run", b"-q", b"b.json", env={b"USER": b"a" + ODD}) == (0, "")
