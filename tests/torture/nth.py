"""The n-th call to the operating system or to SQLite fails, for every n until a run of 30 jobs gets by without.

Counted are the calls of the runner on the state folder: open, write, pwrite, fdatasync, fsync, ftruncate, rename, replace, mkdir, link,
unlink, and every statement of the database. Each fails once with ENOSPC, EIO, EMFILE or EACCES (for SQLite: as it says these). After each,
without faults: `resume` (or the run itself, when it was never recorded). Checked: a known exit code, no traceback, no `internal error`, one
line with a hint at most when it is not 0; in the end all jobs have succeeded, each once on record.

    python tests/torture/nth.py [--errors all|ENOSPC,EIO] [--step 1] [--durability normal|full]
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import joblot.actions.registry
import joblot.cli.drive
import joblot.cli.resume
import joblot.cli.run
import joblot.executors.inline
import joblot.executors.processes
import joblot.journal.memory
import joblot.runner.launch
import joblot.reports.report  # noqa: F401 - imported before the forks, so that each costs little
from joblot.__main__ import main as joblot_main
from joblot.journal.runfile import read_rows

JOBS = 30
CALLS = ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "rename", "replace", "mkdir", "link", "unlink")
SAYS = {
    "ENOSPC": sqlite3.OperationalError("database or disk is full"),
    "EIO": sqlite3.OperationalError("disk I/O error"),
    "EMFILE": sqlite3.OperationalError("unable to open database file"),
    "EACCES": sqlite3.OperationalError("attempt to write a readonly database"),
}


class Faults:
    """Counts the calls, and lets one of them fail."""

    def __init__(self, state: Path, name: str, fail_at: int) -> None:
        self.state, self.name, self.left = str(state), name, fail_at
        self.pid = os.getpid()
        self.hit = ""

    def due(self, call: str) -> bool:
        if os.getpid() != self.pid:  # what was forked is another matter
            return False
        self.left -= 1
        if self.left == 0:
            self.hit = call
        return self.left == 0

    def concerns(self, target: Any) -> bool:
        try:
            if isinstance(target, int):
                target = os.readlink(f"/proc/self/fd/{target}")
            return os.path.abspath(os.fsdecode(target)).startswith(self.state)
        except (OSError, TypeError, ValueError):
            return False

    def install(self) -> None:
        code = getattr(errno, self.name)
        for call in CALLS:
            setattr(os, call, self.wrapped(call, getattr(os, call), code))
        io.open = self.wrapped("open", io.open, code)  # what pathlib calls
        faults = self

        class Connection(sqlite3.Connection):
            def execute(self, *arguments: Any) -> Any:
                if faults.due(f"sqlite {arguments[0][:40]}"):
                    raise SAYS[faults.name]
                return super().execute(*arguments)

            def executemany(self, *arguments: Any) -> Any:
                if faults.due("sqlite executemany"):
                    raise SAYS[faults.name]
                return super().executemany(*arguments)

        connect = sqlite3.connect

        def connecting(*arguments: Any, **options: Any) -> Any:
            if faults.due("sqlite connect"):
                raise SAYS[faults.name]
            return connect(*arguments, **options, factory=Connection)

        sqlite3.connect = connecting

    def wrapped(self, call: str, real: Any, code: int) -> Any:
        def calling(*arguments: Any, **options: Any) -> Any:
            if self.concerns(arguments[0]) and self.due(call):
                raise OSError(code, os.strerror(code), arguments[0] if not isinstance(arguments[0], int) else None)
            return real(*arguments, **options)

        return calling


def command(words: list[str], error_path: Path, faults: Faults | None) -> tuple[int, str, str]:
    """joblot in a forked child: exit code, standard error, and the call that failed."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            null = os.open(os.devnull, os.O_RDWR)
            said = os.open(error_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(null, 1)
            os.dup2(said, 2)
            sys.stdout, sys.stderr = io.open(1, "w", closefd=False), io.open(2, "w", closefd=False)
            if faults is not None:
                faults.pid = os.getpid()
                faults.install()
            code = joblot_main(words)
            sys.stderr.flush()
        finally:
            os.write(write_fd, (faults.hit if faults is not None else "").encode())
            os._exit(code)
    os.close(write_fd)
    _, status = os.waitpid(pid, 0)
    hit = os.read(read_fd, 1000).decode()
    os.close(read_fd)
    return os.waitstatus_to_exitcode(status), error_path.read_text(), hit


def one(folder: Path, name: str, fail_at: int, tally: Counter) -> bool:
    """Whether a call was there to fail."""
    state, err = folder / "state", folder / "stderr"
    shutil.rmtree(state, ignore_errors=True)
    more = ["--on", "inline", "-q", "--state", str(state), "--disk-wait", "50ms"]
    first = ["run", str(folder / "batch.json"), "--run-id", "r1", *more]
    code, said, hit = command(first, err, Faults(state, name, fail_at))
    if not hit:
        return False
    tally["faults"] += 1
    tally[f"exit {code}"] += 1
    lines = [line for line in said.splitlines() if "| WARNING |" not in line]
    wrong = "Traceback" in said or "internal error" in said or code not in (0, 1, 4)
    wrong = wrong or (code == 4 and not (1 <= len(lines) <= 2 and lines[0].startswith("error: ")))
    if wrong:
        tally["not one clear line"] += 1
        print(f"{name} at call {fail_at} ({hit}): exit {code}: {said!r}")
    again, said_again = code, ""
    if code != 0:
        again, said_again, _ = command(["resume", "r1", *more], err, None)
        if again == 4 and "no run `r1`" in said_again or "holds no journal" in said_again or "no runs" in said_again:
            again, said_again, _ = command(first, err, None)
    rows = [row for row, _ in read_rows(state / "runs" / "r1" / "events.jsonl")]
    ended = [event for row in rows for event in json.loads(row[2]) if event["type"] == "attempt_ended"]
    well = Counter(event["job"] for event in ended if event.get("outcome", "ok") == "ok")
    if again != 0 or sorted(well) != list(range(JOBS)):
        tally["not resumable"] += 1
        print(
            f"{name} at call {fail_at} ({hit}): exit {code} {said!r}, then {again} {said_again!r}, {len(well)} of {JOBS} done"
        )
    tally["recorded twice"] += sum(count > 1 for count in well.values())
    return True


BAD = ("not one clear line", "not resumable", "recorded twice")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", default="all")
    parser.add_argument("--step", type=int, default=1, help="only every so many-th call")
    parser.add_argument("--most", type=int, default=10**6)
    parser.add_argument("--durability", choices=["normal", "full"], default="normal")
    options = parser.parse_args()
    tally: Counter = Counter(dict.fromkeys(BAD, 0))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="joblot-nth-"))
    jobs = [
        {"name": f"j{n}", "action": "file_stats", "input": "batch.json"}
        if n % 3
        else {"name": f"j{n}", "run": "echo said"}
        for n in range(JOBS)
    ]
    for n in range(2, JOBS):
        jobs[n]["needs"] = [f"j{n // 2}"]
    (folder / "batch.json").write_text(json.dumps({"durability": options.durability, "jobs": jobs}))
    for name in SAYS if options.errors == "all" else options.errors.split(","):
        fail_at = 1
        while fail_at <= options.most and one(folder, name, fail_at, tally):
            fail_at += options.step
    shutil.rmtree(folder)
    print(", ".join(f"{key} {count}" for key, count in sorted(tally.items()) if key not in BAD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
