"""What it costs to start: `--version`, `validate` of 20 jobs, a run of one job. Beside `import click` and a bare interpreter."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from measure import PYTHON, SCRIPT, in_turn, table

ONE = """
from joblot import Batch
batch = Batch("one")
batch.add("only", lambda: None)
assert batch.run(on="{on}").ok
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [
            {"name": f"j{n}", "action": "count_lines", "input": "in.txt", "needs": [f"j{n - 1}"] if n else []}
            for n in range(20)
        ]
        lines = "".join(
            f"  - name: {j['name']}\n    action: count_lines\n    input: in.txt\n    needs: {json.dumps(j['needs'])}\n"
            for j in jobs
        )
        (folder / "twenty.yaml").write_text(f"name: twenty\njobs:\n{lines}")
        (folder / "one.json").write_text(json.dumps({"jobs": [{"name": "only", "run": "true"}]}))
        commands = {
            "python -c pass": [PYTHON, "-c", "pass"],
            "python -c 'import click'": [PYTHON, "-c", "import click"],
            "joblot --version": [*SCRIPT, "--version"],
            "joblot --help": [*SCRIPT, "--help"],
            "joblot validate, 20 jobs in YAML": [*SCRIPT, "validate", str(folder / "twenty.yaml")],
            "joblot run, 1 command from JSON, local": [*SCRIPT, "run", "-q", str(folder / "one.json")],
            "joblot run, 1 command from JSON, inline": [
                *SCRIPT,
                "run",
                "-q",
                "--on",
                "inline",
                str(folder / "one.json"),
            ],
            "Batch.run, 1 function, local": [PYTHON, "-c", ONE.format(on="local")],
            "Batch.run, 1 function, inline": [PYTHON, "-c", ONE.format(on="inline")],
        }
        table("Start-up", in_turn(commands, rounds=9), "python -c 'import click'")


if __name__ == "__main__":
    main()
