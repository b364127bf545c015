"""The targets that a newcomer calls first."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What a `make` that runs the tests hands on to those below it: its own variables would win over those of the checkout.
HANDED_ON = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VENV", "PYTHON")

# Stands for a Python of some version, which is its name: it can say the version, make an environment and install into it.
PYTHON = """\
#!/bin/sh
version=$(basename "$(readlink -f "$0")")
case "$1 $2" in
  "-c "*) echo "$version" ;;
  "-m venv") mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && ln -s "$(readlink -f "$0")" "$3/bin/python" && ln -s python "$3/bin/python$version" ;;
  "-m pip") printf '#!/bin/sh\\necho "%s: $(basename "$PWD"): $*"\\n' "$version" > "$(dirname "$0")/joblot" && chmod +x "$(dirname "$0")/joblot" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@pytest.fixture
def checkout(tmp_path):
    path = tmp_path / "my jobs é"
    (path / "examples" / "standard-library").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, path)
    os.utime(path / "pyproject.toml", (0, 0))
    for version in ("3.11", "3.12"):
        python = tmp_path / version
        python.write_text(PYTHON)
        python.chmod(0o755)
    (tmp_path / "python3").symlink_to("3.11")
    return path


def make(checkout, *arguments):
    """What `make` comes to; `python3` is 3.11."""
    clean = {name: value for name, value in os.environ.items() if name not in HANDED_ON}
    clean["PATH"] = f"{checkout.parent}:{clean['PATH']}"
    return subprocess.run(
        ["make", "-s", *arguments], cwd=checkout, env=clean, capture_output=True, text=True, check=False, timeout=60
    )


def demo(checkout, *arguments):
    done = make(checkout, "demo", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_demo_runs_in_a_checkout_whose_path_has_spaces_and_accents(checkout):
    """The path of the command was cut at the first space."""
    assert demo(checkout) == "3.11: standard-library: run joblot.yaml\n"


def test_an_environment_of_another_python_is_made_anew_and_stays_when_none_is_named(checkout):
    ours = checkout / ".venv" / "installed by hand"
    first, other = ("3.11: standard-library: run joblot.yaml\n", "3.12: standard-library: run joblot.yaml\n")
    assert demo(checkout) == first
    ours.touch()
    assert demo(checkout) == first
    assert demo(checkout, "PYTHON=python3") == first
    assert ours.exists()
    assert demo(checkout, "PYTHON=3.12") == other
    assert not ours.exists()
    assert demo(checkout) == other
    assert demo(checkout, "PYTHON=3.11", "VENV=build/both") == first
    assert demo(checkout) == other


def test_a_python_that_is_not_there_is_an_error_and_leaves_the_environment(checkout):
    made = demo(checkout)
    done = make(checkout, "demo", "PYTHON=3.99")
    assert done.returncode == 2
    assert "3.99" in done.stderr
    assert demo(checkout) == made


def test_a_folder_that_is_no_environment_is_never_removed(checkout):
    (checkout / "mine").mkdir()
    (checkout / "mine" / "letter.txt").touch()
    demo(checkout, "VENV=mine")
    assert (checkout / "mine" / "letter.txt").exists()
