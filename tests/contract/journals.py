"""What the tests of journals share: a small run, and forked children."""

import os
import sqlite3

from joblot.core import events as ev

STARTED = ev.RunStarted("f" * 32, 2)
FEW = [
    [STARTED, ev.AttemptsStarted([0])],
    [ev.AttemptEnded(0, 1), ev.AttemptsStarted([1])],
    [ev.AttemptEnded(1, 1, "error", "failed")],
]


def create(journal, run_id="r1", at=100.0):
    journal.create(run_id, batch="b", source="/b.yaml", jobs=2, plan=b'{"name":"b"}', at=at)


def fill(journal, run_id="r1"):
    create(journal, run_id)
    return [journal.append(run_id, events, 100.0 + number) for number, events in enumerate(FEW)]


def in_child(act):
    """Run something in a forked child; its exit code is 0 when it returned."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def rows_in(folder):
    database = sqlite3.connect(folder / "journal.db")
    found = database.execute("SELECT id, at, events, chain FROM record ORDER BY id").fetchall()
    database.close()
    return found


def change(path, statement, *arguments):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement, arguments)
    database.close()
