"""kill -9 of a runner at its n-th system call that changes something or opens a file, for every n; then the same command again.

The kill comes from strace, which must be installed (Debian: `strace`), before the call is carried out. Of the calls that the start of Python
makes only some are counted (`--first`). The batch declares what it makes, so that a run also looks at what earlier runs have made. Checked
after each kill: `joblot ls` answers; the same command succeeds by itself, whatever was left of the journal; a run that was recorded can be
resumed; the output is whole.

    python tests/torture/moments.py [--on inline|local] [--first 150] [--step 1]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CALLS = (
    "write,pwrite64,writev,pwritev,openat,unlink,unlinkat,rename,renameat2,ftruncate,fsync,fdatasync,mkdir,flock,fcntl"
)
BATCH = """\
jobs:
  - {name: a, run: "cat in.txt > out.txt; echo a >> ran.txt", input: in.txt, outputs: [out.txt]}
  - {name: b, run: "echo b >> ran.txt", needs: [a]}
"""
BAD = ("refused", "not resumable", "unreadable", "not whole", "traceback")


def joblot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "joblot", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def killed(folder: Path, at: int, words: list[str]) -> bool:
    """Begin a run that is killed at this call. Whether it came so far."""
    inject = ["-e", f"trace={CALLS}", "-e", f"inject={CALLS}:signal=KILL:when={at}"]
    command = ["strace", "-o", "/dev/null", *inject, sys.executable, "-m", "joblot", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60).returncode != 0


def look_after(folder: Path, words: list[str], tally: Counter[str]) -> list[str]:
    """What a person does after a crash; what went wrong."""
    wrong = []

    def check(what: str, done: subprocess.CompletedProcess[str], *codes: int) -> None:
        if done.returncode not in codes:
            wrong.append(f"{what}: `{done.args[3]}` ended with {done.returncode}: {done.stderr.strip()}")
        if "Traceback" in done.stderr or "internal error" in done.stderr:
            wrong.append(f"traceback: {done.stderr.strip()}")

    check("unreadable", joblot(folder, "ls", "--json"), 0, 4)
    check("refused", joblot(folder, *words), 0)
    listed = joblot(folder, "ls", "--json")
    check("unreadable", listed, 0)
    for run in json.loads(listed.stdout) if listed.returncode == 0 else ():
        tally["runs"] += 1
        if run["status"] == "interrupted":
            tally["resumed"] += 1
            check("not resumable", joblot(folder, "resume", run["run_id"], *words[1:]), 0)
    out = folder / "out.txt"
    if not out.exists() or out.read_text() != "x\n":
        wrong.append("not whole: the output")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=["inline", "local"], default="local")
    parser.add_argument("--first", type=int, default=150)
    parser.add_argument("--step", type=int, default=1)
    asked = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace is not installed")
    words, tally, at = ["run", "--quiet", "--on", asked.on], Counter[str](), asked.first
    while True:
        with tempfile.TemporaryDirectory(prefix="joblot-moments-") as name:
            folder = Path(name)
            (folder / "joblot.yaml").write_text(BATCH)
            (folder / "in.txt").write_text("x\n")
            if not killed(folder, at, words):
                break
            tally["kills"] += 1
            for problem in look_after(folder, [*words], tally):
                tally[problem.partition(":")[0]] += 1
                print(f"call {at}: {problem}")
        at += asked.step
    bad = ", ".join(f"{what} {tally[what]}" for what in BAD)
    print(f"{asked.on}: {tally['kills']} kills, {tally['runs']} runs, {tally['resumed']} resumed, {bad}")
    return 1 if any(tally[what] for what in BAD) or not tally["kills"] else 0


if __name__ == "__main__":
    sys.exit(main())
