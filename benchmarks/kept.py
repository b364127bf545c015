"""What it costs to keep copies of outputs that exist while attempts may change them.

    python benchmarks/kept.py [--jobs 1000] [--size 1000] [--rounds 5]

Jobs that copy a file of the given size to an output of their own, all by force: without the output declared, where none is there, and where
each is there from the run before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measure import JOBLOT, Figure, compile_all, once, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=1000, help="bytes of each output")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    compile_all()
    best: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="joblot-bench-", dir=".") as name:
        folder = Path(name).absolute()
        (folder / "out").mkdir()
        (folder / "in").write_bytes(b"x" * options.size)
        jobs = [
            {"name": f"j{n}", "run": ["cp", "in", f"out/{n}"], "outputs": [f"out/{n}"]} for n in range(options.jobs)
        ]
        (folder / "joblot.json").write_text(json.dumps({"name": "b", "jobs": jobs}))
        (folder / "none.json").write_text(json.dumps({"name": "n", "jobs": [job | {"outputs": []} for job in jobs]}))
        cases = {
            "no outputs declared": "none.json",
            "outputs, not there": "joblot.json",
            "outputs, there": "joblot.json",
        }
        for _ in range(options.rounds):
            for what, batch in cases.items():
                if what == "outputs, not there":
                    for path in (folder / "out").iterdir():
                        path.unlink()
                figure = once([*JOBLOT, "run", batch, "-q", "--force"], folder=folder)
                if what not in best or figure.cpu < best[what].cpu:
                    best[what] = figure
    table(f"{options.jobs} jobs that write {options.size} bytes each", best, "no outputs declared", jobs=options.jobs)


if __name__ == "__main__":
    main()
