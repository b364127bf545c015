"""A small stock of the register, and `joblot sirene` as a process of its own in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from joblot_sirene.synthetic.sample import write_sample


class Stock(NamedTuple):
    establishments: Path
    units: Path


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    found = Stock(folder / "stock.parquet", folder / "units.parquet")
    write_sample(found.establishments, 6000, 3, units=found.units)
    return found


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Sirene:
    """`joblot sirene` in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def popen(self, *words, **options):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        command = [sys.executable, "-m", "joblot", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self.folder, env=env, **(streams | options))

    def joblot(self, *words):
        with self.popen(*words) as process:
            out, err = process.communicate(timeout=100)
        return Done(process.returncode, *(text.decode().replace(str(self.folder), "DIR") for text in (out, err)))

    def __call__(self, *words):
        return self.joblot("sirene", *words)


@pytest.fixture
def sirene(tmp_path):
    return Sirene(tmp_path)
