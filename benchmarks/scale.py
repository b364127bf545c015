"""How cost grows with the number of jobs: a matrix of no-op jobs, planned, run in process with the journal on, and looked at afterwards.

    python benchmarks/scale.py [--largest 1000000]

Each line is a process of its own, run once. Memory and time for a job should be the same on every line; the last lines are 100 layers, in
which each job needs the one above it, and two fifths of the largest number twice over, item by item: planned with needs that are inferred
from the files and with the same needs written instead, by turns, the best of three.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

from measure import PYTHON, Figure, compile_all, once

NOOP = "from joblot import action\n@action('noop')\ndef noop() -> None: ...\n"
PLAN = "import joblot, joblot.core.plan as p, sys; print(len(p.expand(joblot.load(sys.argv[1]))))"
FLAT = """
name: flat
imports: [./noop.py]
vars: {{n: {{type: list, default: [{values}]}}}}
jobs:
  - name: n-${{{{ matrix.a }}}}-${{{{ matrix.b }}}}
    action: noop
    matrix: {{a: "${{{{ vars.n }}}}", b: "${{{{ vars.n }}}}"}}
"""
LAYER = """
  - name: l{number}-${{{{ matrix.i }}}}
    action: noop
    needs: [{needs}]
    matrix: {{i: "${{{{ vars.n }}}}"}}
"""


PAIRS = """
name: pairs
vars: {{n: {{type: list, default: [{values}]}}}}
jobs:
  - name: make-${{{{ matrix.a }}}}-${{{{ matrix.b }}}}
    run: ["true"]
    outputs: ["out/${{{{ matrix.a }}}}-${{{{ matrix.b }}}}.csv"]
    matrix: &items {{a: "${{{{ vars.n }}}}", b: "${{{{ vars.n }}}}"}}
  - name: load-${{{{ matrix.a }}}}-${{{{ matrix.b }}}}
    run: ["true"]
    {need}
    matrix: *items
"""
NEEDS = {
    "inferred": 'input: "out/${{ matrix.a }}-${{ matrix.b }}.csv"',
    "written": 'needs: ["make-${{ matrix.a }}-${{ matrix.b }}"]',
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000)
    largest = parser.parse_args().largest
    compile_all()
    print("| | jobs | CPU s | wall s | us a job | peak MiB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "noop.py").write_text(NOOP)
        sides = [side for side in (100, 316, 1000, 3162) if side * side <= largest]
        for side in sides:
            file = folder / f"flat{side}.yaml"
            file.write_text(FLAT.format(values=", ".join(map(str, range(side)))))
            show("matrix", side * side, file, folder)
        layers = folder / "layers.yaml"
        width = min(1000, largest // 100)
        head = (
            f"name: layers\nimports: [./noop.py]\nvars: {{n: {{type: list, default: {list(range(width))}}}}}\njobs:\n"
        )
        needs = ["", *(f'"l{number}-${{{{ matrix.i }}}}"' for number in range(99))]
        layers.write_text(head + "".join(LAYER.format(number=n, needs=need) for n, need in enumerate(needs)))
        show("100 layers", width * 100, layers, folder)
        show_pairs(math.isqrt(largest // 5), folder)


def show(shape: str, jobs: int, file: Path, folder: Path) -> None:
    """The lines of one batch: planned, run, and what looks back."""
    state = folder / f"state-{file.stem}"
    joblot = [PYTHON, "-m", "joblot"]
    steps = {
        "planned": [PYTHON, "-c", PLAN, str(file)],
        "run": [*joblot, "run", str(file), "--on", "inline", "-q", "--run-id", "r", "--state", str(state)],
        "`plan`": [*joblot, "plan", str(file), "--state", str(state)],
        "`show`": [*joblot, "show", "r", "--state", str(state)],
        "`ls`": [*joblot, "ls", "--state", str(state)],
    }
    for step, words in steps.items():
        figure = once(words, folder=folder)
        each = figure.cpu / jobs * 1e6
        print(
            f"| {shape}, {step} | {jobs} | {figure.cpu:.2f} | {figure.wall:.2f} | {each:.1f} | {math.ceil(figure.peak)} |",
            flush=True,
        )


def show_pairs(side: int, folder: Path) -> None:
    """One line for needs that are inferred, and one for the same in writing."""
    values = ", ".join(map(str, range(side)))
    files = {how: folder / f"pairs-{how}.yaml" for how in NEEDS}
    for how, file in files.items():
        file.write_text(PAIRS.format(values=values, need=NEEDS[how]))
    figures: dict[str, list[Figure]] = {how: [] for how in NEEDS}
    for _ in range(3):
        for how, file in files.items():
            figures[how].append(once([PYTHON, "-c", PLAN, str(file)], folder=folder))
    jobs = 2 * side * side
    for how, several in figures.items():
        best = min(several, key=lambda figure: figure.cpu)
        print(
            f"| 2 x {side * side}, needs {how}, planned | {jobs} | {best.cpu:.2f} | {best.wall:.2f} | {best.cpu / jobs * 1e6:.1f} |"
            f" {math.ceil(best.peak)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
