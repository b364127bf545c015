"""The example of two batches that load one database."""

import os
import shutil
from pathlib import Path

from cli.conftest import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "one-database"


def test_of_two_batches_one_loads_at_a_time(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot", "*.txt"))
    joblot = Project(tmp_path / "example")
    joblot.env |= {"XDG_STATE_HOME": str(tmp_path / "home")}
    joblot.env |= {name: text for name, text in os.environ.items() if name == "PYTHONPATH"}
    runs = [joblot.popen("run", file, "-j", "4") for file in ("orders.yaml", "customers.yaml")]
    for run in runs:
        _, err = run.communicate(timeout=60)
        assert run.returncode == 0, err.decode()
    loaded = (joblot.path / "warehouse.txt").read_text().splitlines()
    assert sorted(loaded) == ["customers all", "orders monday", "orders tuesday", "orders wednesday"]
    assert (joblot.path / "orders.txt").read_text() == "3\n"
