"""A small stock of the register, and `joblot sirene` as a process of its own in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from command_server import SIRENE, server
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

    def real(self, *words):
        """The real command: an interpreter that loads what it needs by itself."""
        with self.popen(*words) as process:
            out, err = process.communicate(timeout=100)
        return self._done(process.returncode, out.decode(), err.decode())

    def joblot(self, *words):
        """The command from the command server, which has polars loaded already."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        done = server(SIRENE).run(["-m", "joblot", *map(str, words)], self.folder, environment, timeout_s=100)
        return self._done(done.returncode, done.stdout, done.stderr)

    def _done(self, code, *streams):
        return Done(code, *(text.replace(str(self.folder), "DIR") for text in streams))

    def __call__(self, *words):
        return self.joblot("sirene", *words)


@pytest.fixture
def sirene(tmp_path):
    return Sirene(tmp_path)
