"""Validation and plan of a large batch file, beside what `json.loads` of the same text costs."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measure import PYTHON, in_turn, table

PLAN = """
from joblot.api import load
from joblot.core.plan import expand
assert len(expand(load({path!r}))) == {n}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n = options.jobs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = [
            {"name": f"j{i}", "action": "count_lines", "input": f"{i}.txt", "params": {"pattern": "x"}}
            for i in range(n)
        ]
        layered = [{**job, "needs": [f"j{i - n // 100}"]} if i >= n // 100 else job for i, job in enumerate(plain)]
        (folder / "plain.json").write_text(json.dumps({"jobs": plain}))
        (folder / "layered.json").write_text(json.dumps({"jobs": layered}))
        few = "jobs:\n" + "".join(f"  - {{name: j{i}, run: 'echo {i}'}}\n" for i in range(n // 10))
        (folder / "few.yaml").write_text(few)
        paths = {key: str(folder / key) for key in ("plain.json", "layered.json", "few.yaml")}
        bare = f"json.loads of {n} jobs"
        commands = {
            bare: [PYTHON, "-c", f"import json; json.loads(open({paths['plain.json']!r}).read())"],
            f"check and plan, {n} jobs, JSON": [PYTHON, "-c", PLAN.format(path=paths["plain.json"], n=n)],
            f"check and plan, {n} jobs in 100 layers, JSON": [
                PYTHON,
                "-c",
                PLAN.format(path=paths["layered.json"], n=n),
            ],
            f"check and plan, {n // 10} jobs, YAML": [PYTHON, "-c", PLAN.format(path=paths["few.yaml"], n=n // 10)],
        }
        table(f"Checking and planning {n} jobs", in_turn(commands, options.rounds), bare)


if __name__ == "__main__":
    main()
