"""Every file and folder of a state folder replaced by a pipe, a socket, a device, a folder or a link, in front of every command.

Each command is a process of its own (forked from this one, which has it loaded). It may do its work as if nothing were there, when it does
not need the file, or end with exit code 4 (a run of a batch also with what the run ends with) and one error. It never waits, never shows a traceback, and never touches what a link leads to.

    python tests/torture/instead.py [--step 1] [--kind NAME]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = '{"name": "b", "jobs": [{"name": "a", "run": "echo said; false", "outputs": ["out"]}, {"name": "c", "run": "echo c"}]}'
SLOW = '{"name": "s", "jobs": [{"name": "a", "run": "echo said; test -e begun || { touch begun; sleep 60; }"}, {"name": "c", "run": "true"}]}'
ABSENT = (
    ".gitignore",
    "journal.db-wal",
    "journal.db-shm",
    "journal.db-journal",
    "runs/r1/cluster.json",
    "runs/r1/selection.json",
    "runs/r1/live",
    "runs/r1/partial",
    "runs/r2/report.json",
    "runs/r2/selection.json",
    "runs/r2/live/worker-1.pid",
    "runs/new",
    "runs/new/lock",
)
COMMANDS = (
    "ls",
    "ls --json",
    "show r1",
    "show r1 --json",
    "show r1 --events",
    "show r2",
    "logs r1",
    "logs r1 a --tail 1",
    "logs r2",
    "explain r1 a",
    "plan b.json",
    "run -q b.json --on inline",
    "run -q b.json --run-id r1 --on inline",
    "run -q b.json --run-id new --max-memory 1G",
    "run -q b.json --run-id new --only c --on inline",
    "resume -q r1 --on inline",
    "resume -q r1",
    "retry -q r1 --failed --on inline",
    "retry -q r2 --job c --on inline",
    "replay r1 a",
    "cancel r1",
    "accept b.json a",
    "recover",
    "recover r1",
    "complete",
)
BAD = ("hung", "touched", "traceback", "wrong exit code", "more than one error")
HANG_S = 20.0


def forked(
    arguments: list[str], folder: Path, user: int | None = None, call: Callable[[], int] | None = None
) -> tuple[int | None, str]:
    """The exit code of a command (None: it did not end) and what it said, run in a folder, by another user if one is given."""
    said = folder.parent / "said"
    said.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.setsid()
            os.chdir(folder)
            for number in (1, 2):
                os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
            tempfile.tempdir = str(folder)
            os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = str(folder.parent)
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            from joblot.__main__ import main

            if arguments == ["complete"]:
                os.environ |= {"_JOBLOT_COMPLETE": "bash_complete", "COMP_WORDS": "joblot show ", "COMP_CWORD": "2"}
            code = call() if call is not None else main(arguments)
        except BaseException as error:
            os.write(2, f"Traceback: {error!r}\n".encode())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until = time.monotonic() + HANG_S
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None, said.read_text(errors="replace")


def make_state(folder: Path) -> None:
    """A state folder with a run that failed, and one whose runner was killed."""
    (folder / "b.json").write_text(BATCH)
    (folder / "s.json").write_text(SLOW)
    joblot = [sys.executable, "-m", "joblot"]
    subprocess.run(
        [*joblot, "run", "-q", "b.json", "--run-id", "r1"], cwd=folder, stderr=subprocess.DEVNULL, check=False
    )
    slow = subprocess.Popen([*joblot, "run", "-q", "s.json", "--run-id", "r2"], cwd=folder)
    until = time.monotonic() + HANG_S
    while not (folder / "begun").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    slow.kill()
    slow.wait()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        place = Path(tempfile.mkdtemp()) / "s"
        sock.bind(str(place))
    shutil.move(place, path)
    place.parent.rmdir()


def kinds(victims: Path) -> dict[str, Callable[[Path], object]]:
    """What can stand in the place of a file."""
    made: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "socket": a_socket,
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to(victims / "file"),
        "link to a folder": lambda path: path.symlink_to(victims / "folder"),
        "link to nothing": lambda path: path.symlink_to(victims / "new"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "second name": lambda path: os.link(victims / "file", path),
    }
    if os.geteuid() == 0:
        made["device"] = lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    return made


def make_victims(folder: Path) -> Path:
    victims = folder / "victims"
    (victims / "folder").mkdir(parents=True)
    (victims / "file").write_text("precious")
    (victims / "file").chmod(0o600)
    (victims / "folder" / "data").write_text("precious")
    return victims


def contents(victims: Path) -> dict[str, object]:
    """All that could change of what is not to be touched."""
    return {
        str(path.relative_to(victims)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
            path.stat().st_uid,
        )
        for path in victims.rglob("*")
    }


def replace(path: Path, put: Callable[[Path], object]) -> bool:
    """Put something else in the place of a file or folder; whether that could be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if not path.parent.is_dir():
        if path.parent.exists():
            return False
        path.parent.mkdir(parents=True, mode=0o700)
    put(path)
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1, help="every so many cases")
    parser.add_argument("--kind", help="one kind only")
    options = parser.parse_args()
    from joblot import api  # noqa: F401 - before the forks

    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="joblot-instead-") as name:
        home = Path(name)
        made = home / "made"
        made.mkdir()
        make_state(made)
        victims = make_victims(home)
        before = contents(victims)
        state = made / ".joblot"
        names = sorted({*(str(path.relative_to(state)) for path in state.rglob("*")), *ABSENT})
        wanted = [kind for kind in kinds(victims) if options.kind in (None, kind)]
        cases = [(name, kind, command) for name in names for kind in wanted for command in COMMANDS][:: options.step]
        plain = {}
        for number, (name, kind, command) in enumerate(cases):
            work = home / "work"
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(made, work, symlinks=True)
            if command not in plain:
                plain[command] = forked(command.split(), work)[0]
                shutil.rmtree(work)
                shutil.copytree(made, work, symlinks=True)
            if not replace(work / ".joblot" / name, kinds(victims)[kind]):
                continue
            tally["cases"] += 1
            code, said = forked(command.split(), work)
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            wrong = {
                "hung": code is None,
                "touched": contents(victims) != before,
                "traceback": "Traceback" in said or "internal error" in said or "BUG" in said,
                "wrong exit code": code
                not in (None, 4, plain[command], 1 if command.startswith(("run", "resume", "retry")) else 4),
                "more than one error": len(errors)
                > (2 if command == "recover" else 1),  # it names each run that it cannot recover
            }
            tally["refused" if code == 4 else "not needed"] += not any(wrong.values())
            for what in (what for what, is_so in wrong.items() if is_so):
                tally[what] += 1
                print(
                    f"{what}: {name} as {kind}, `joblot {command}` ended with {code}: {said.strip()[:400]}", flush=True
                )
            if wrong["touched"]:
                shutil.rmtree(victims)
                make_victims(home)
            if number % 500 == 499:
                print(f"{number + 1} of {len(cases)}", flush=True)
    print(", ".join(f"{tally[word]} {word}" for word in ("cases", "refused", "not needed", *BAD)))
    return int(any(tally[word] for word in BAD))


if __name__ == "__main__":
    sys.exit(main())
