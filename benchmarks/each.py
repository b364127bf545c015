"""`joblot each` over a list of `true`, beside `joblot run` of the same as a batch file, GNU parallel, HyperQueue and xargs.

    python benchmarks/each.py [--items 2000] [--jobs 2] [--rounds 5] [--hyperqueue PYTHON]

CPU of the whole trees of processes, by turns, the best of each. `--hyperqueue` names a Python that has the package `hyperqueue`. Peers that are
not there are left out. xargs keeps no record and knows no retry: it is what starting the processes costs anyway, and `own` what a program costs
above that. Exits 1 when `joblot each` costs more than 1.1 times `joblot run`, or its own part more than a quarter of that of a peer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from measure import JOBLOT, in_turn, table

HYPERQUEUE = """
import os
os.environ["TQDM_DISABLE"] = "1"
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores={jobs}))
    client, job = cluster.client(), Job()
    for item in open("items.txt").read().split():
        job.program(["true", item])
    client.wait_for_jobs([client.submit(job)])
"""
EACH, RUN, XARGS = "joblot each", "joblot run of the same file", "xargs, keeps no record"
MOST_OF_RUN, MOST_OF_PEERS = 1.1, 0.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hyperqueue", metavar="PYTHON")
    options = parser.parse_args()
    jobs = str(options.jobs)
    with tempfile.TemporaryDirectory(prefix="joblot-bench-") as name:
        folder = Path(name)
        (folder / "items.txt").write_text("".join(f"{number}\n" for number in range(options.items)))
        (folder / "joblot.yaml").write_text(
            'jobs: [{name: "true-${{ item }}", run: ["true", "${{ item }}"], foreach: items.txt}]\n'
        )
        (folder / "hq.py").write_text(HYPERQUEUE.format(jobs=options.jobs))
        commands = {
            EACH: [*JOBLOT, "each", "-q", "-j", jobs, "--from", "items.txt", "true", "{}"],
            RUN: [*JOBLOT, "run", "-q", "-j", jobs],
        }
        if options.hyperqueue:
            commands["HyperQueue, server and worker in one process"] = [options.hyperqueue, "hq.py"]
        if parallel := shutil.which("parallel"):
            commands["GNU parallel"] = [parallel, "-j", jobs, "true", "{}", "::::", "items.txt"]
            commands["GNU parallel --joblog"] = [
                parallel, "-j", jobs, "--joblog", "/dev/null", "true", "{}", "::::", "items.txt",
            ]  # fmt: skip
        commands[XARGS] = [shutil.which("xargs") or "xargs", "-P", jobs, "-n", "1", "-a", "items.txt", "true"]
        figures = in_turn(commands, options.rounds, folder=folder)
    table(f"{options.items} times `true`, -j{jobs}", figures, EACH, jobs=options.items)
    own = {name: one.cpu - figures[XARGS].cpu for name, one in figures.items() if name != XARGS}
    print("\n  own, CPU s: " + ", ".join(f"{name} {cpu:.2f}" for name, cpu in own.items()))
    peers = [cpu for name, cpu in own.items() if name not in (EACH, RUN)]
    return int(
        figures[EACH].cpu > MOST_OF_RUN * figures[RUN].cpu or any(own[EACH] > MOST_OF_PEERS * cpu for cpu in peers)
    )


if __name__ == "__main__":
    sys.exit(main())
