"""joblot's own cost for a job: no-op Python jobs, journal on, whole process, beside peers.

    python benchmarks/overhead.py [--jobs 10000] [--large 100000] [--rounds 3]

`doit` is measured when it is installed; it keeps its state in memory until the end, the pools keep none.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path

from measure import PYTHON, in_turn, table

BATCH = """
from joblot import Batch
def noop(): return None
n, shape, on = {n}, "{shape}", "{on}"
batch = Batch("noop")
add = batch.add
if shape == "independent":
    for i in range(n): add(f"j{{i}}", noop)
elif shape == "chain":
    for i in range(n): add(f"j{{i}}", noop, needs=(f"j{{i-1}}",) if i else ())
else:
    w = n // 100
    for i in range(n): add(f"j{{i}}", noop, needs=(f"j{{i-w}}", f"j{{(i//w-1)*w+(i+1)%w}}") if i >= w else ())
report = batch.run(on=on, workers=2)
assert report.counts["success"] == n, report.counts
"""

POOL = """
from concurrent.futures import ProcessPoolExecutor
def noop(): return None
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        for future in [pool.submit(noop) for _ in range({n})]: future.result()
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor
def noop(): return None
with ThreadPoolExecutor(2) as pool:
    for future in [pool.submit(noop) for _ in range({n})]: future.result()
"""

DOIT = """
def noop(): return True
def task_all():
    for i in range({n}):
        yield {{"name": str(i), "actions": [noop]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n = options.jobs

    def joblot(shape: str, on: str, count: int = n) -> list[str]:
        return [PYTHON, "-c", BATCH.format(n=count, shape=shape, on=on)]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pool.py").write_text(POOL.format(n=n))
        (folder / "dodo.py").write_text(DOIT.format(n=n))
        commands = {
            "joblot inline, independent": joblot("independent", "inline"),
            "joblot inline, chain": joblot("chain", "inline"),
            "joblot inline, 100 layers": joblot("layers", "inline"),
            "joblot local -j2, independent": joblot("independent", "local"),
            "joblot local -j2, chain": joblot("chain", "local"),
            "joblot local -j2, 100 layers": joblot("layers", "local"),
            "ThreadPoolExecutor(2), keeps no record": [PYTHON, "-c", THREADS.format(n=n)],
            "ProcessPoolExecutor(2), keeps no record": [PYTHON, str(folder / "pool.py")],
        }
        if importlib.util.find_spec("doit"):
            commands["doit, state written at the end"] = [PYTHON, "-m", "doit", "-f", str(folder / "dodo.py"), "-v0"]
        table(f"{n} no-op jobs", in_turn(commands, options.rounds, folder=folder), "joblot inline, independent", jobs=n)
        many = options.large
        commands = {
            f"joblot inline, {n}": joblot("independent", "inline"),
            f"joblot inline, {many}": joblot("independent", "inline", many),
            f"joblot inline, {many}, 100 layers": joblot("layers", "inline", many),
        }
        table(f"{many} no-op jobs", in_turn(commands, 1, folder=folder), f"joblot inline, {many}", jobs=many)


if __name__ == "__main__":
    main()
