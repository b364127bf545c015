"""What a module of a batch does to the working folder while it is imported changes nothing for joblot."""

import json
import subprocess
import sys

import pytest

JOB = "@action\ndef here() -> str:\n    return os.getcwd()\n"
HEAD = "import os\nfrom joblot import action\n"

CHANGES = {
    "goes to its own folder": "os.chdir(os.path.dirname(os.path.abspath(__file__)))\n",
    "goes to the root": "os.chdir('/')\n",
    "goes to a folder that it removes": "os.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n",
    "goes by a descriptor": "os.fchdir(os.open('/', os.O_RDONLY))\n",
    "goes in a module that it imports": "import sys\nsys.path.append(os.path.dirname(__file__))\nimport inner\n",
    "goes and raises nothing of it": "try:\n    os.chdir('/')\n    raise OSError\nexcept OSError:\n    pass\n",
}


@pytest.fixture
def batch(joblot):
    joblot.write("home/x", "")
    joblot.write("batch/inner.py", "import os\nos.chdir('/')\n")
    joblot.write("batch/joblot.yaml", "imports: [./acts.py, ./last.py]\njobs: [{name: a, action: here}]\n")
    joblot.write("batch/last.py", "import os\nassert os.path.exists('x'), os.getcwd()\n")
    return joblot


@pytest.mark.parametrize("change", CHANGES)
def test_relative_paths_mean_what_they_meant(batch, change):
    batch.write("batch/acts.py", HEAD + CHANGES[change] + JOB)
    words = ("../batch/joblot.yaml", "--state", "s", "--report", "rep.json", "--log", "log.json")
    done = batch("run", "-q", *words, cwd=batch.path / "home")
    assert (done.code, done.err) == (0, "")
    made = sorted(path.name for path in (batch.path / "home").iterdir())
    assert made == ["log.json", "rep.json", "s", "x"]
    assert sorted(path.name for path in (batch.path / "batch").iterdir() if path.name != "__pycache__") == [
        "acts.py",
        "inner.py",
        "joblot.yaml",
        "last.py",
    ]


def test_a_folder_that_is_changed_later_changes_nothing_either(batch):
    """By a thread that goes on after the import, and by an action in joblot's own process."""
    thread = "import threading\nthreading.Timer(0.05, os.chdir, ('/',)).start()\n"
    batch.write("batch/acts.py", HEAD + thread + JOB.replace("return", "os.chdir('/')\n    return"))
    words = ("../batch/joblot.yaml", "--on", "inline", "--state", "s", "--report", "rep.json", "--log", "log.json")
    assert batch("run", "-q", *words, cwd=batch.path / "home").code == 0
    made = sorted(path.name for path in (batch.path / "home").iterdir())
    assert made == ["log.json", "rep.json", "s", "x"]


@pytest.mark.parametrize("words", [("resume", "r1"), ("retry", "r1", "--failed"), ("replay", "r1", "a")])
def test_a_stored_run_goes_on_where_it_was(batch, words):
    batch.write("batch/acts.py", HEAD + "os.chdir('/')\n" + JOB)
    assert (
        batch("run", "-q", "../batch/joblot.yaml", "--state", "s", "--run-id", "r1", cwd=batch.path / "home").code == 0
    )
    done = batch(*words, "--state", "s", cwd=batch.path / "home")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (batch.path / "home").iterdir()) == ["s", "x"]


def test_from_python(batch):
    """`state` and `report` of `joblot.run`."""
    batch.write("batch/acts.py", HEAD + "os.chdir('/')\n" + JOB)
    batch.write(
        "home/p.py", "import joblot\njoblot.run('../batch/joblot.yaml', state='s', report='rep.json').check()\n"
    )
    subprocess.run([sys.executable, "p.py"], cwd=batch.path / "home", env=batch.env, check=True, timeout=60)
    assert json.loads((batch.path / "home/rep.json").read_text())["status"] == "success"
    assert (batch.path / "home/s/journal.db").exists()
