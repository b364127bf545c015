"""2 000 commands (`true`), two in flight: joblot with journal, logs and limits, beside `os.posix_spawn` in a loop, make, ninja and xargs."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from measure import PYTHON, SCRIPT, in_turn, table

LOOP = """
import os
environment, live, begun = dict(os.environ), 0, 0
while begun < {n} or live:
    while begun < {n} and live < 2:
        os.posix_spawn("{true}", ["true"], environment)
        begun += 1
        live += 1
    os.wait4(-1, 0)
    live -= 1
"""

BATCH = """
from joblot import Batch
batch = Batch("true")
for i in range({n}): batch.command(f"c{{i}}", "true")
assert batch.run(workers=2).ok
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    n, true = options.commands, shutil.which("true") or "/bin/true"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "batch.json").write_text(json.dumps({"jobs": [{"name": f"c{i}", "run": "true"} for i in range(n)]}))
        (folder / "shell.json").write_text(json.dumps({"jobs": [{"name": f"c{i}", "run": "true;"} for i in range(n)]}))
        (folder / "Makefile").write_text(
            f"all: {' '.join(f'c{i}' for i in range(n))}\n" + "".join(f"c{i}:\n\t@true\n" for i in range(n))
        )
        rules = "rule r\n  command = true\n" + "".join(f"build c{i}: r\n" for i in range(n))
        (folder / "build.ninja").write_text(rules)
        loop = "os.posix_spawn in a loop"
        commands = {
            loop: [PYTHON, "-c", LOOP.format(n=n, true=true)],
            "joblot run, from JSON, no shell needed": [*SCRIPT, "run", "-q", "-j2", str(folder / "batch.json")],
            "joblot, from Python": [PYTHON, "-c", BATCH.format(n=n)],
            "joblot run, through sh": [*SCRIPT, "run", "-q", "-j2", str(folder / "shell.json")],
        }
        if make := shutil.which("make"):
            commands["make -j2"] = [make, "-s", "-j2", "-C", str(folder)]
        if ninja := shutil.which("ninja"):
            commands["ninja -j2"] = [ninja, "-j2", "-C", str(folder), "--quiet"]
        if xargs := shutil.which("sh"):
            commands["seq | xargs -P2 -n1 true"] = [xargs, "-c", f"seq {n} | xargs -P2 -n1 true"]
        table(f"{n} x `true`, two in flight", in_turn(commands, options.rounds, folder=folder), loop, jobs=n)


if __name__ == "__main__":
    main()
