"""Shortages that last: runs with few descriptors, and as a user who may have few processes.

Every `ulimit -n` from 8 to 64, and, for root, every number of processes from 1 to 10 for a user who has no others: batches of commands, of actions,
and of both. Each run must end within 30 s, with exit code 0 or 4, and with 4 in one error line that says what was short. What a limit does to
Python itself, before joblot begins, does not count.

    python tests/torture/short.py [--step 1] [--kind commands]
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

LIMIT_S = 30.0
USER = 54322
COMMAND = '{name: c%d, run: "echo hi; true"}'
ACTION = "{name: a%d, action: count_lines, input: joblot.yaml}"
KINDS = {
    "commands": [COMMAND],
    "actions": [ACTION],
    "both": [COMMAND, ACTION],
}
_NO_PYTHON = re.compile(
    "error while loading shared libraries|Fatal Python error|Error processing line|ImportError|ModuleNotFound"
)
SHORT = re.compile(
    r"^error: .*(too many open files|resource temporarily unavailable|cannot allocate memory|no more threads)$", re.M
)


PROGRAM = """
import os, resource, sys
from joblot.__main__ import main
main(["run", "warm.yaml", "--state", "warm", "--quiet"])
os.setgroups([])
os.setgid({user})
os.setuid({user})
resource.setrlimit(resource.RLIMIT_NPROC, ({processes}, {processes}))
sys.exit(main(["run", "-j", "3"]))
"""
"""A user without other processes, who may not be able to read Python's own files: everything is imported before."""


def look(folder: Path, kind: str, *, descriptors: int = 0, processes: int = 0, jobs: int = 6) -> str:
    """What is wrong with one run; empty when nothing is."""
    jobs_text = "".join(f"  - {form % number}\n" for number in range(jobs) for form in KINDS[kind])
    for name in ("joblot.yaml", "warm.yaml"):
        (folder / name).write_text(f"jobs:\n{jobs_text}")
    for name in (".joblot", "warm"):
        shutil.rmtree(folder / name, ignore_errors=True)
    began = time.monotonic()
    words = ["-c", PROGRAM.format(user=USER, processes=processes)] if processes else ["-m", "joblot", "run", "-j", "3"]
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (descriptors, descriptors)) if descriptors else None
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=few,
    )
    try:
        _, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"no end within {LIMIT_S:g} s"
    took = time.monotonic() - began
    if process.returncode == 0 or _NO_PYTHON.search(errors):
        return ""
    if process.returncode != 4 or "BUG" in errors or "Traceback" in errors or len(SHORT.findall(errors)) != 1:
        return f"exit code {process.returncode} after {took:.1f} s: {errors[-600:]}"
    return ""


def main() -> int:
    """Try all limits; print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--step", type=int, default=1, help="try every so manieth limit")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only such batches")
    options = parser.parse_args()
    tries = [{"descriptors": count} for count in range(8, 65, options.step)]
    if os.getuid() == 0:
        tries += [{"processes": count} for count in range(1, 11, options.step)]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="joblot-short-") as made:
        folder = Path(made)
        folder.chmod(0o777)
        for kind in options.kind or KINDS:
            for limits in tries:
                found = look(folder, kind, **limits)
                if found:
                    wrong += 1
                    print(f"{kind}, {limits}: {found}", flush=True)
    print(f"{len(tries) * len(options.kind or KINDS)} runs, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
