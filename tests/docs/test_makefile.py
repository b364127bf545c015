"""The targets that a newcomer calls first."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What a `make` that runs the tests hands on to those below it: its own variables would win over those of the checkout.
HANDED_ON = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VENV")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
def test_demo_runs_in_a_checkout_whose_path_has_spaces_and_accents(tmp_path):
    """The path of the command was cut at the first space."""
    checkout = tmp_path / "my jobs é"
    (checkout / "examples" / "standard-library").mkdir(parents=True)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    joblot = checkout / ".venv" / "bin" / "joblot"
    joblot.write_text('#!/bin/sh\necho "$(basename "$PWD"): $*"\n')
    joblot.chmod(0o755)
    (checkout / ".venv" / ".run").touch()
    os.utime(checkout / "pyproject.toml", (0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in HANDED_ON}
    done = subprocess.run(
        ["make", "-s", "demo"], cwd=checkout, env=clean, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "standard-library: run joblot.yaml\n", "")
