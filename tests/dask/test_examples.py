"""Every example of the repository, run where it was written for and on two clusters: the same states, results and files.

A program that runs its batch from Python is run as it is; only where its jobs run is changed, from outside.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from cli.test_example_demo import with_small_library
from command_server import DASK, server
from dask_cluster import DaskProcesses, certificates

EXAMPLES = Path(__file__).parents[2] / "examples"
ELSEWHERE = """
import runpy, sys
from msgspec.structs import replace
import joblot.api

on, cluster, program, *arguments = sys.argv[1:]
here = joblot.api.start_run
joblot.api.start_run = lambda plan, options, **more: here(
    plan, replace(options, on=on, cluster=cluster or None, run_id="example"), **more
)
sys.argv = [program, *arguments]
sys.path.insert(0, "")
runpy.run_path(program, run_name="__main__")
"""
JOBLOT = ["joblot", "run", "--run-id", "example"]
COMMANDS = {
    "configurable-batch-runner": [["project.py", "--config", "data/batch_config.json", "--output", "out.json"]],
    "daily": [[*JOBLOT, "joblot.yaml"]],
    "fan-out": [[*JOBLOT, "joblot.yaml"]],
    "generated-files": [
        [
            "joblot",
            "generate",
            "job.yaml",
            "--each",
            "@codes.csv",
            "--set",
            "least=1",
            "--out",
            "jobs",
            "--name",
            "naf_{code}.yaml",
        ],
        [*JOBLOT, "jobs"],
    ],
    "gpus": [[*JOBLOT, "joblot.yaml"]],
    "mended": [[*JOBLOT, "joblot.yaml"]],
    "naf-batch": [[*JOBLOT, "joblot.yaml"]],
    "night": [[*JOBLOT, "joblot.yaml"]],
    "one-database": [[*JOBLOT, "orders.yaml"]],
    "operational-run-logger": [
        ["project.py", "--input", "data/sample_input.txt", "--output", "out.json", "--log", "log.json", "--run-id", "a"]
    ],
    "ports/cron": [[*JOBLOT, "joblot.yaml"]],
    "ports/dagu": [[*JOBLOT, "joblot.yaml"]],
    "ports/github-actions": [[*JOBLOT, "joblot.yaml"]],
    "ports/make": [[*JOBLOT, "joblot.yaml"]],
    "ports/snakemake": [[*JOBLOT, "joblot.yaml"]],
    "run-orchestrator": [["project.py"], ["project.py", "data/workflow.json", "--continue-on-error"]],
    "standard-library": [[*JOBLOT, "joblot.yaml"]],
}
OVER_TLS = ("fan-out", "run-orchestrator")
MOVES = re.compile(
    rb'"path": "logs/[^}]*|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*Z?|"\w+_ms": ?[\d.]+|\d+ms|[\d.]+ m?s\b|\d{8}-\d{6}-\w{8}'
)
"""What differs from run to run wherever it runs: times, ids made of them, and hashes of logs with times."""


@pytest.fixture(scope="module")
def places(address, tmp_path_factory):
    folder = tmp_path_factory.mktemp("secure")
    ours = certificates(folder, "ours")
    processes = DaskProcesses(folder, tls=ours)
    settings = ours.settings(folder / "cluster.json", min_workers=2)
    yield {"local": ("local", ""), "LocalCluster": (address, ""), "TLS": (processes.address, str(settings))}
    processes.close()


def run(name, folder, on, settings):
    """The example's commands in a copy of it. What can be seen of them: exit codes, the reports of runs, and hashes of all files."""
    ignored = shutil.ignore_patterns(".joblot", "__pycache__", "library", "out")
    shutil.copytree(EXAMPLES / name, folder, ignore=ignored)
    if name == "standard-library":
        with_small_library(folder)
    seen = []
    elsewhere = folder.parent / "elsewhere.py"
    elsewhere.write_text(ELSEWHERE)
    for number, words in enumerate(COMMANDS[name]):
        shutil.rmtree(folder / ".joblot", ignore_errors=True)
        if words[0] != "joblot":
            command = [str(elsewhere), on, settings, *words]
        elif words[1] == "run":
            there = ["--on", on, *(["--cluster", settings] if settings else [])]
            command = ["-m", "joblot", *words[1:-1], *there, *batches(folder / words[-1])]
        else:
            command = ["-m", *words]
        done = server(DASK).run(command, folder, timeout_s=100)
        seen.append((number, done.returncode, done.stderr if done.returncode > 1 else ""))
        for report in sorted(folder.glob("**/.joblot/runs/*/report.json")):
            seen += [
                (job["job"], job["status"], job["attempts"], MOVES.sub(b"*", json.dumps(job.get("result")).encode()))
                for job in json.loads(report.read_text())["results"]
            ]
    return seen, hashes(folder)


def batches(path):
    return [str(file) for file in sorted(path.glob("*.yaml"))] if path.is_dir() else [str(path)]


def hashes(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        # An archive holds the times of its files.
        if path.is_file() and path.suffix != ".gz" and not {".joblot", "__pycache__", "library"} & set(name.parts):
            content = MOVES.sub(b"*", path.read_bytes().replace(str(folder).encode(), b"FOLDER"))
            found[str(name)] = hashlib.sha256(content).hexdigest()
    return found


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_example_comes_to_the_same_wherever_it_runs(name, places, tmp_path):
    wanted = [place for place in places if place != "TLS" or name in OVER_TLS]
    came = {place: run(name, tmp_path / place / "example", *places[place]) for place in wanted}
    assert came["LocalCluster"] == came["local"]
    assert name not in OVER_TLS or came["TLS"] == came["local"]
    assert len(came["local"][0]) > 1 or name == "operational-run-logger"


def test_all_examples_are_among_them():
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"ports"}
    folders.remove("notebook")  # its functions live in its kernel only: tests/notebooks runs it
    assert folders | {f"ports/{path.name}" for path in (EXAMPLES / "ports").iterdir() if path.is_dir()} == set(COMMANDS)


def test_a_cluster_can_begin_with_the_run_and_ends_with_it(tmp_path):
    seen, _ = run("fan-out", tmp_path / "example", "dask", "")
    assert seen[0] == (0, 0, "")
    assert {status for _, status, *_ in seen[1:]} == {"success"}
