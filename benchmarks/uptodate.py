"""A second run over files that are all up to date: one input and one output each, in two folders.

    python benchmarks/uptodate.py [--jobs 10000] [--rounds 5]

`ninja`, `make` and `doit` are measured when they are installed. The first run of each is not measured: the outputs are there, and newer
than the inputs; joblot and ninja are told so (`joblot accept`, `ninja -t restat` and a first run), the others look at times only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from measure import JOBLOT, PYTHON, Figure, once, table

DOIT = """
def task_copy():
    for i in range({n}):
        yield {{"name": str(i), "actions": [f"cp in/{{i}}.txt out/{{i}}.txt"], "file_dep": [f"in/{{i}}.txt"], "targets": [f"out/{{i}}.txt"]}}
"""
STATS = """
import os
for i in range({n}):
    os.stat(f"in/{{i}}.txt"); os.stat(f"out/{{i}}.txt")
"""


def lay_out(folder: Path, n: int) -> None:
    """The files, and the same rule for everybody."""
    for part in ("in", "out"):
        (folder / part).mkdir()
        for i in range(n):
            (folder / part / f"{i}.txt").write_text(f"{i}\n")
    jobs = [
        {"name": f"j{i}", "run": f"cp in/{i}.txt out/{i}.txt", "input": f"in/{i}.txt", "outputs": [f"out/{i}.txt"]}
        for i in range(n)
    ]
    (folder / "joblot.json").write_text(json.dumps({"name": "copies", "jobs": jobs}))
    builds = "".join(f"build out/{i}.txt: cp in/{i}.txt\n" for i in range(n))
    (folder / "build.ninja").write_text(f"rule cp\n  command = cp $in $out\n{builds}")
    targets = " ".join(f"out/{i}.txt" for i in range(n))
    rules = "".join(f"out/{i}.txt: in/{i}.txt\n\tcp $< $@\n" for i in range(n))
    (folder / "Makefile").write_text(f"all: {targets}\n{rules}")
    (folder / "dodo.py").write_text(DOIT.format(n=n))
    (folder / "stats.py").write_text(STATS.format(n=n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="joblot-bench-") as name:
        folder = Path(name)
        lay_out(folder, options.jobs)
        env = {"JOBLOT_STATE": str(folder / "state")}
        commands = {
            "joblot run": [*JOBLOT, "run", "joblot.json", "-q"],
            "joblot plan": [*JOBLOT, "plan", "joblot.json"],
        }
        prepare = [[*JOBLOT, "accept", "joblot.json", "*"]]
        ninja, make = shutil.which("ninja"), shutil.which("make")
        if ninja:
            commands["ninja"] = [ninja]
            prepare.append([ninja])
        if make:
            commands["make"] = [make, "-s"]
        if importlib.util.find_spec("doit"):
            commands["doit"] = [PYTHON, "-m", "doit", "-v0"]
            prepare.append(commands["doit"])
        commands["Python: two stats a job, nothing else"] = [PYTHON, "stats.py"]
        for words in prepare:
            subprocess.run(words, cwd=folder, env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=True)
        best: dict[str, Figure] = {}
        for _ in range(options.rounds):
            for what, words in commands.items():
                figure = once(words, folder=folder, env=env)
                if what not in best or figure.cpu < best[what].cpu:
                    best[what] = figure
        table(f"{options.jobs} jobs, all up to date", best, "joblot run", jobs=options.jobs)


if __name__ == "__main__":
    main()
