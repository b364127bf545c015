"""A small stock of the register, and `joblot sirene` in an empty folder."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from command_server import SIRENE, server
from joblot.__main__ import main
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
    """`joblot sirene` in a folder. Here in this process, its jobs included, which costs a third: what a dataset holds is the same."""

    def __init__(self, folder: Path):
        self.folder = folder

    def joblot(self, *words):
        words = list(map(str, words))
        if words[:2] == ["sirene", "batch"]:
            words += ["--on", "inline"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        return self._done(code, out.getvalue(), err.getvalue())

    def _done(self, code, *streams):
        return Done(code, *(text.replace(str(self.folder), "DIR") for text in streams))

    def __call__(self, *words):
        return self.joblot("sirene", *words)


class Processes(Sirene):
    """`joblot sirene` as a process of its own, with a warden and workers."""

    def real(self, *words):
        """The real command: an interpreter that loads what it needs by itself."""
        command = [sys.executable, "-m", "joblot", *map(str, words)]
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 100, "check": False}
        done = subprocess.run(command, cwd=self.folder, env=self._environment, **options)
        return self._done(done.returncode, done.stdout, done.stderr)

    def joblot(self, *words):
        """The command from the command server, which has polars loaded already."""
        words = ["-m", "joblot", *map(str, words)]
        done = server(SIRENE).run(words, self.folder, self._environment, timeout_s=100)
        return self._done(done.returncode, done.stdout, done.stderr)

    @property
    def _environment(self):
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}


@pytest.fixture
def sirene(tmp_path):
    return Sirene(tmp_path)


@pytest.fixture
def processes(tmp_path):
    return Processes(tmp_path)
