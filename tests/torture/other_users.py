"""Two users in one folder: one has been there first and has put links to the other's files wherever joblot opens, makes or removes something.

As root, and as a third user. Links of four kinds: to a file, to a folder, to nothing (a file would be made), a second name (hard link). They
stand in state folders and run folders that are the attacker's, or that he could write to once, in front of every command; and in a folder
that both may write to, in front of everything that joblot writes elsewhere. Nothing of the victim's may change, no command of the attacker's
may run, and a folder that is the attacker's or open to him is refused with exit code 4 and one error.

    python tests/torture/other_users.py [--step 1]          # as root
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instead import ABSENT, COMMANDS, contents, forked, make_state, make_victims

if TYPE_CHECKING:
    from collections.abc import Callable

ATTACKER, THIRD = 65534, 65533
NAMES_RUNS = frozenset({"show", "logs", "explain", "resume", "retry", "replay", "cancel"})
BAD = ("hung", "touched", "ran", "traceback", "not refused", "more than one error")


def links(victims: Path) -> dict[str, Callable[[Path], object]]:
    return {
        "file": lambda path: path.symlink_to(victims / "file"),
        "folder": lambda path: path.symlink_to(victims / "folder"),
        "nothing": lambda path: path.symlink_to(victims / "new"),
        "second name": lambda path: os.link(victims / "file", path),
    }


def give(path: Path, user: int) -> None:
    """Have a tree belong to a user; a second name of a victim's file stays the victim's, being the same file."""
    for inner in (path, *path.rglob("*")):
        if inner.is_symlink() or inner.lstat().st_nlink == 1 or inner.is_dir():
            os.lchown(inner, user, user)


def opened(state: Path) -> None:
    for path in (state, *state.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o777)


def run_only(state: Path, user: int) -> None:
    give(state, user)
    give(state / "runs" / "r1", ATTACKER)
    give(state / "runs" / "r2", ATTACKER)


FOLDERS: dict[str, Callable[[Path, int], object]] = {
    "the attacker's": lambda state, user: (give(state, ATTACKER), opened(state)),
    "the victim's, open to all": lambda state, user: (give(state, user), opened(state)),
    "a run of the attacker's": run_only,
    "closed by now": give,
}


def put(path: Path, make: Callable[[Path], object]) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if not path.parent.is_dir():
        if path.parent.exists():
            return False
        path.parent.mkdir(parents=True, mode=0o700)
    make(path)
    if path.is_symlink():
        os.lchown(path, ATTACKER, ATTACKER)
    return True


def refused(folder: str, command: str) -> bool:
    """Whether the command must be refused, as far as the folder alone says."""
    if command == "complete":
        return False
    if folder in ("the attacker's", "the victim's, open to all"):
        return True
    return folder == "a run of the attacker's" and command.split()[0] in NAMES_RUNS - {"cancel"}


class Campaign:
    """The folders of one campaign, and what was counted."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tally: Counter[str] = Counter()
        home.chmod(0o755)
        self.made = home / "made"
        self.made.mkdir()
        make_state(self.made)
        self.victims: Path = home
        self.before: dict[str, Any] = {}

    def renew_victims(self, user: int) -> None:
        shutil.rmtree(self.home / "victims", ignore_errors=True)
        self.victims = make_victims(self.home)
        self.victims.chmod(0o700)
        give(self.victims, user)
        self.before = contents(self.victims)

    def check(
        self, what: str, code: int | None, said: str, *, must_refuse: bool, ran: bool = False, limit: int = 4
    ) -> None:
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        wrong = {
            "hung": code is None,
            "touched": contents(self.victims) != self.before,
            "ran": ran,
            "traceback": "Traceback" in said or "internal error" in said or "BUG" in said,
            "not refused": must_refuse and code != limit,
            "more than one error": len(errors)
            > (3 if "recover" in what else 1),  # it names each of the three runs that it cannot recover
        }
        self.tally["cases"] += 1
        self.tally["refused" if code in (2, 4) else "done"] += 1
        for word in (word for word, is_so in wrong.items() if is_so):
            self.tally[word] += 1
            print(f"{word}: {what} ended with {code}: {said.strip()[:400]}", flush=True)
        if wrong["touched"]:
            self.renew_victims(self.victims.stat().st_uid)

    def state_folders(self, user: int, step: int) -> None:
        self.renew_victims(user)
        state = self.made / ".joblot"
        names = ["", *sorted({*(str(path.relative_to(state)) for path in state.rglob("*")), *ABSENT})]
        cases = [
            (name, kind, folder, command)
            for name in names
            for kind in links(self.victims)
            for folder in FOLDERS
            for command in COMMANDS
        ]
        for name, kind, folder, command in cases[::step]:
            work = self.home / "work"
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(self.made, work, symlinks=True)
            give(work, user)
            work.chmod(0o1777)
            (work / "begun").unlink()  # what the attacker's stored command would make again
            target = work / ".joblot"
            if name:
                FOLDERS[folder](target, user)
                if not put(target / name, links(self.victims)[kind]):
                    continue
            elif kind == "second name" or not put(target, links(self.victims)[kind]):
                continue
            must = refused(folder, command) if name else False
            code, said = forked(command.split(), work, user)
            ran = must and ((work / "out").exists() or (work / "begun").exists())
            self.check(
                f"{user}: {name or 'all'} as {kind} in {folder}, `joblot {command}`",
                code,
                said,
                must_refuse=must,
                ran=ran,
            )

    def elsewhere(self, user: int) -> None:
        self.renew_victims(user)
        for writer in ("report", "log", "logger log", "logger stream", "generate", "output", "block"):
            for kind in links(self.victims):
                for place in ("last", "on the way"):
                    for bits in (0o1777, 0o777):
                        self.one_elsewhere(user, writer, kind, place, bits)

    def one_elsewhere(self, user: int, writer: str, kind: str, place: str, bits: int) -> None:
        if place == "on the way" and kind == "second name":
            return
        work, shared = self.home / "work", self.home / "shared"
        for folder in (work, shared):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        (work / "b.json").write_text('{"jobs": [{"name": "a", "run": "true"}]}')
        (work / "t.yaml").write_text("name: {item}\n")
        give(work, user)
        shared.chmod(bits)
        path = shared / "file"
        put(path, links(self.victims)[kind])
        for attempt in range(5):
            put(shared / f".file.{attempt}.part", links(self.victims)["file"])
        if place == "on the way":
            path /= "data"
        arguments, call = {
            "report": (["run", "-q", "b.json", "--on", "inline", "--report", str(path)], None),
            "log": (["run", "-q", "b.json", "--on", "inline", "--log", str(path)], None),
            "logger log": ([], lambda: logged(log=path)),
            "logger stream": ([], lambda: logged(stream=path)),
            "generate": (
                ["generate", "t.yaml", "--each", "item=x", "--out", str(path.parent), "--name", path.name, "--force"],
                None,
            ),
            "output": ([], lambda: output(path)),
            "block": ([], lambda: block(path)),
        }[writer]
        code, said = forked(arguments, work, user, call)
        if writer in ("output", "block", "generate") and place == "on the way" and kind == "folder":
            # They follow a link to a folder as every program does, or refuse it; what they write there is theirs.
            self.renew_victims(user)
        # A second name is a file like any other: it is replaced, and the other one stays.
        must = writer in ("report", "log", "logger log", "logger stream") and kind != "second name"
        self.check(f"{user}: {writer} to {kind}, {place}, {bits:o}", code, said, must_refuse=must, limit=2)


def load_all(made: Path) -> None:
    """Do everything once: the third user may not be allowed to read the modules that a command imports."""
    import ctypes  # noqa: F401
    import shlex  # noqa: F401

    import click.shell_completion  # noqa: F401

    from joblot.__main__ import main as joblot

    work = made.with_name("work")
    shutil.copytree(made, work)
    before = os.getcwd()
    os.chdir(work)
    (work / "t.yaml").write_text("name: {item}\n")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        for command in (
            *COMMANDS,
            "generate t.yaml --each item=x",
            "run -q b.json --report r --log l",
            "shwo",
            "show nothing",
        ):
            if command != "complete":
                joblot(command.split())
        (work / ".joblot").chmod(0o777)
        joblot(["ls"])
        output(work / "made")
        logged(log=work / "log", stream=work / "stream")
    os.chdir(before)


def logged(**options: Path) -> int:
    from joblot import RunLogger
    from joblot.errors import JoblotError

    try:
        with RunLogger(**options) as log:
            log.log_event("it")
    except JoblotError as error:
        print(f"error: {error}")
        return error.exit_code
    return 0


def output(path: Path) -> int:
    from joblot import Context
    from joblot.errors import JoblotError

    try:
        with Context.for_test(path.parent).output(path) as part:
            part.write_text("new")
    except JoblotError as error:
        print(f"error: {error}")
        return error.exit_code
    return 0


def block(path: Path) -> int:
    from joblot import atomic_write

    try:
        with atomic_write(path) as part:
            part.write_text("new")
    except OSError as error:
        print(f"error: {error}")
        return 2
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1, help="every so many cases of state folders")
    options = parser.parse_args()
    if os.geteuid():
        print("only root can be two users")
        return 2
    with tempfile.TemporaryDirectory(prefix="joblot-users-") as name:
        campaign = Campaign(Path(name))
        load_all(campaign.made)
        for user in (0, THIRD):
            campaign.state_folders(user, options.step)
            campaign.elsewhere(user)
            print(f"user {user}: {campaign.tally['cases']} cases so far", flush=True)
        subprocess.run(["chmod", "-R", "u+rwX", name], check=False)
    print(", ".join(f"{campaign.tally[word]} {word}" for word in ("cases", "refused", "done", *BAD)))
    return int(any(campaign.tally[word] for word in BAD))


if __name__ == "__main__":
    sys.exit(main())
