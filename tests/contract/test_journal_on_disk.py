"""What the journal on disk says when the disk is not as it should be."""

import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from contract.journals import FEW, STARTED, change, create, exit_code, fill, in_child, rows_in
from joblot import journal
from joblot.core import events as ev
from joblot.errors import JournalDamagedError, JournalWriteError, StateError
from joblot.journal.folder import StateFolder
from joblot.journal.sqlite import SqliteJournal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def opened(path):
    journal = SqliteJournal(path)
    yield journal
    journal.close()


def test_placeholders_have_names_or_no_names():
    """Numbers as names (`?1`) with values in a sequence are an error from Python 3.14 on."""
    texts = [path.read_text() for path in Path(journal.__file__).parent.glob("*.sql")]
    assert len(texts) > 1
    assert [found for text in texts for found in re.findall(r"\?\d.*", text)] == []


# --- files that are no journal ----------------------------------------------------------------------


def refused(path, **options):
    with pytest.raises(StateError) as caught:
        SqliteJournal(path, **options)
    return str(caught.value).replace(str(path), "PATH")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_pipe_is_refused_and_not_waited_for(path, read_only):
    os.mkfifo(path)
    assert refused(path, read_only=read_only) == "cannot use journal `PATH`: it is not a file"


def test_a_file_that_is_no_database_is_refused(path):
    path.write_bytes(b"this is a text of some length, and it is not a database at all\n" * 20)
    assert refused(path) == "journal `PATH` is damaged: file is not a database"
    assert refused(path, read_only=True) == "journal `PATH` is damaged: file is not a database"


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE letters (body TEXT)")
    other.commit()
    other.close()
    assert refused(path) == "`PATH` is not a joblot journal"
    other = sqlite3.connect(path)
    assert [name for (name,) in other.execute("SELECT name FROM sqlite_master")] == ["letters"]
    other.close()


def test_an_empty_file_is_a_journal_to_be_made_but_not_one_to_be_read(path):
    path.touch()
    assert refused(path, read_only=True) == "no runs here: journal `PATH` is empty"
    SqliteJournal(path).close()
    SqliteJournal(path, read_only=True).close()


def test_a_folder_is_refused(path):
    path.mkdir()
    assert refused(path) == "cannot use journal `PATH`: unable to open database file"


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "nowhere" / "journal.db"
    assert refused(path) == "cannot use journal `PATH`: unable to open database file"
    assert refused(tmp_path / "journal.db", read_only=True) == "cannot use journal `PATH`: unable to open database file"


@pytest.mark.parametrize("key", ["tables", "events"])
def test_a_journal_of_a_newer_joblot_is_refused(path, key):
    SqliteJournal(path).close()
    database = sqlite3.connect(path)
    database.execute("UPDATE meta SET value = value + 1 WHERE key = ?", (key,))
    database.commit()
    database.close()
    assert refused(path) == "journal `PATH` was written by a newer joblot"
    with pytest.raises(StateError) as caught:
        SqliteJournal(path)
    assert caught.value.hint == "upgrade joblot, or use another `--state`"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_that_may_not_be_written_to_gives_one_line(tmp_path, read_only):
    """G6: as another user than root, who may everything."""
    folder = tmp_path / "state"
    state = StateFolder(folder)
    fill(state.journal)
    state.close()
    for parent in [folder, *folder.parents][:4]:
        parent.chmod(0o555 if parent == folder else 0o755)

    def look():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            opened = StateFolder(folder, read_only=read_only)
            if read_only:
                assert len(list(opened.journal.records("r1"))) == 3
                os._exit(0)
            create(opened.journal, "r2")
        except StateError as error:
            os._exit(7 if "\n" not in str(error) else 8)

    (folder / "journal.db").chmod(0o444)
    try:
        assert exit_code(in_child(look)) == (0 if read_only else 7)
    finally:
        folder.chmod(0o755)


def left_half_written(folder, *, made):
    """A state folder whose writer was killed in a transaction without WAL: when it made the tables, or later."""
    state = StateFolder(folder, network_ok=True)
    state.close()
    path = folder / "journal.db"
    if made:
        journal = SqliteJournal(path, wal=False)
        fill(journal)
        journal.close()
    else:
        path.write_bytes(b"")
    there, rows = (
        path.read_bytes(),
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) SELECT x FROM n",
    )
    with sqlite3.connect(path, isolation_level=None) as writer:
        # a cache of one page, so that the transaction comes to the disk before its end
        writer.executescript(f"PRAGMA cache_size=1; BEGIN; CREATE TABLE later AS {rows};")
        left = {name: (folder / name).read_bytes() for name in ("journal.db", "journal.db-journal")}
        writer.rollback()
    writer.close()
    for name, content in left.items():
        (folder / name).write_bytes(content)
    assert left["journal.db"] != there
    return path


@pytest.mark.parametrize("made", [True, False])
def test_who_only_reads_undoes_what_a_killed_writer_had_half_written(tmp_path, made):
    """Without it neither `ls` nor a run that looks at earlier ones could go on after a kill."""
    path = left_half_written(tmp_path / "state", made=made)
    if not made:
        assert refused(path, read_only=True) == "no runs here: journal `PATH` is empty"
        SqliteJournal(path).close()
        return
    journal = SqliteJournal(path, read_only=True)
    assert len(list(journal.records("r1"))) == 3
    journal.close()
    assert not path.with_name("journal.db-journal").exists()


def test_who_may_not_write_says_that_it_is_half_written(tmp_path):
    path = left_half_written(tmp_path / "state", made=True)
    for parent in [path.parent, *path.parent.parents][:4]:
        parent.chmod(0o755)
    for file in path.parent.iterdir():
        file.chmod(0o644)

    def look():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        else:
            path.parent.chmod(0o555)
        said = refused(path, read_only=True)
        os._exit(0 if said == "cannot use journal `PATH`: attempt to write a readonly database" else 9)

    assert exit_code(in_child(look)) == 0


def test_another_writer_who_does_not_let_go_is_one_line(path, opened):
    create(opened)
    opened._db.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalWriteError) as caught:
        opened.append("r1", [STARTED], 1.0)
    assert str(caught.value) == f"cannot write to journal `{path}`: database is locked"
    other.execute("ROLLBACK")
    other.close()
    assert opened.append("r1", [STARTED], 1.0).seq == 1


def test_another_writer_does_not_hold_up_a_run_with_its_own_file(tmp_path):
    """The file takes the records; the database gets them when it can."""
    state = StateFolder(tmp_path)
    create(state.journal)
    hold = state.hold("r1")
    hold.attach(state.journal, "normal")
    state.journal._db.execute("PRAGMA busy_timeout=0")
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1500):
        state.journal.append("r1", [ev.BackoffEnded(number)], 1.0)
    assert len(list(state.journal.records("r1"))) == 1500
    other.execute("ROLLBACK")
    other.close()
    state.journal.force()
    assert len(rows_in(tmp_path)) == 1500
    state.close()
    hold.release()


# --- a full disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_full_disk_writes_nothing_by_halves_and_goes_on_when_there_is_room(path, durability):
    """G6: at every number of pages the journal stays a prefix, and the same journal works after the limit is lifted."""
    body = [ev.Logged("log", message="x" * 900)] * 3
    for pages in range(9, 16):
        file = path.with_name(f"{pages}.db")
        journal = SqliteJournal(file, durability=durability)
        create(journal)
        journal._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(JournalWriteError) as caught:
            append_for_ever(journal, body)
        written = len(list(journal.records("r1")))
        assert str(caught.value) == f"cannot write to journal `{file}`: database or disk is full"
        assert caught.value.hint == "make room on that disk, then `joblot resume`"
        with pytest.raises(JournalWriteError):
            journal.append("r1", body, 1.0)
        assert len(list(journal.records("r1"))) == written == caught.value.__notes__[0]
        journal._db.execute("PRAGMA max_page_count=100000")
        assert journal.append("r1", body, 2.0).seq == 3 * written + 1
        journal.close()
        again = SqliteJournal(file, read_only=True)
        assert len(list(again.records("r1"))) == written + 1
        again.close()


def append_for_ever(journal, body):
    written = 0
    try:
        while True:
            journal.append("r1", body, 1.0)
            written += 1
    except JournalWriteError as error:
        error.__notes__ = [written]
        raise


def test_a_database_that_is_full_does_not_stop_a_run_whose_file_is_not(tmp_path):
    state = StateFolder(tmp_path)
    create(state.journal)
    hold = state.hold("r1")
    hold.attach(state.journal, "normal")
    state.journal._db.execute("PRAGMA max_page_count=9")
    for number in range(600):
        state.journal.append("r1", [ev.Logged("log", message="x" * 200)], float(number))
    assert len(list(state.journal.records("r1"))) == 600
    state.close()
    hold.release()
    again = StateFolder(tmp_path)
    hold = again.hold("r1")
    hold.attach(again.journal, "normal")
    assert len(rows_in(tmp_path)) == 600
    assert again.journal.append("r1", [STARTED], 1.0).seq == 601
    again.close()
    hold.release()


def test_a_file_that_is_full_takes_nothing_by_halves(tmp_path):
    """With a limit on the size of files, as a full disk or a quota would do it: a part is written, then an error comes."""

    def fill_up():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        state = StateFolder(tmp_path)
        create(state.journal)
        hold = state.hold("r1")
        hold.attach(state.journal, "normal")
        file = hold.folder.events
        state.journal.append("r1", [STARTED], 1.0)
        size = file.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))
        for _ in range(3):
            with pytest.raises(JournalWriteError) as caught:
                state.journal.append("r1", [ev.BackoffEnded(1)], 2.0)
            assert str(caught.value) == f"cannot write to `{file}`: file too large"
            assert caught.value.hint == "make room on that disk, then `joblot resume`"
            assert file.stat().st_size == size
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert state.journal.append("r1", [ev.BackoffEnded(2)], 3.0).seq == 2
        assert [record.seq for record in state.journal.records("r1")] == [1, 2]
        state.close()

    assert exit_code(in_child(fill_up)) == 0


# --- damage -----------------------------------------------------------------------------------------


def damaged(path, event):
    journal = SqliteJournal(path, read_only=True)
    with pytest.raises(JournalDamagedError) as caught:
        list(journal.records("r1"))
    journal.close()
    assert str(caught.value) == f"journal `{path}` is damaged at event {event}: what is read is not what was written"
    assert (
        caught.value.hint
        == "`joblot recover` makes it again from the run's own `events.jsonl`; everything before that event is sound"
    )


@pytest.fixture
def filled(path):
    journal = SqliteJournal(path)
    fill(journal)
    journal.close()
    return path


@pytest.mark.parametrize("column", ["events", "chain"])
@pytest.mark.parametrize(("row", "event"), [(0, 1), (1, 3), (2, 5)])
def test_any_changed_byte_of_a_record_is_found(filled, column, row, event):
    (ident, value) = change_target(filled, column, row)
    for place in range(len(value)):
        for bit in (1, 128):
            changed = bytearray(value)
            changed[place] ^= bit
            change(filled, f"UPDATE record SET {column} = ? WHERE id = ?", bytes(changed), ident)
            damaged(filled, event)
    change(filled, f"UPDATE record SET {column} = ? WHERE id = ?", value, ident)
    journal = SqliteJournal(filled, read_only=True)
    assert len(list(journal.records("r1"))) == 3
    journal.close()


def change_target(path, column, row):
    database = sqlite3.connect(path)
    found = database.execute(f"SELECT id, {column} FROM record ORDER BY id").fetchall()[row]
    database.close()
    return found


SWAP = """UPDATE record SET (at, events, chain) = (
    SELECT at, events, chain FROM record AS other
    WHERE other.id = CASE record.id & 7 WHEN 1 THEN record.id + 2 WHEN 3 THEN record.id - 2 ELSE record.id END)"""


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("UPDATE record SET at = at + 1e-6 WHERE id = (SELECT max(id) FROM record)", 5),
        ("UPDATE record SET at = 'noon' WHERE id = (SELECT max(id) FROM record)", 5),
        ("UPDATE record SET events = CAST(events AS TEXT)", 1),
        ("UPDATE record SET chain = 7", 1),
        ("DELETE FROM record WHERE id = (SELECT min(id) FROM record)", 1),
        ("DELETE FROM record WHERE id = (SELECT min(id) + 2 FROM record)", 3),
        ("UPDATE record SET id = id + 1 WHERE id = (SELECT max(id) FROM record)", 5),
        (SWAP, 1),
    ],
    ids=[
        "time",
        "time is text",
        "events are text",
        "chain is a number",
        "first missing",
        "one missing",
        "renumbered",
        "swapped",
    ],
)
def test_rows_that_were_changed_moved_or_lost_are_found(filled, statement, event):
    change(filled, statement)
    damaged(filled, event)


def test_a_damaged_run_is_not_written_on(filled):
    change(filled, "UPDATE record SET at = at + 1 WHERE id = (SELECT min(id) FROM record)")
    journal = SqliteJournal(filled)
    with pytest.raises(JournalDamagedError):
        journal.append("r1", [STARTED], 1.0)
    journal.close()


def test_any_changed_byte_of_the_whole_file_is_found_or_harmless(filled, tmp_path):
    """What is read is what was written, or an error of ours: never another exception, never another history."""
    sound = filled.read_bytes()
    used = [place for place, byte in enumerate(sound) if byte]
    copy = tmp_path / "copy.db"
    for place in used[::1]:
        changed = bytearray(sound)
        changed[place] ^= 1 << (place % 8)
        copy.write_bytes(changed)
        try:
            journal = SqliteJournal(copy, read_only=True)
        except StateError:
            continue
        try:
            journal.info("r1")
            journal.runs()
            journal.plan("r1")
            found = [record.events for record in journal.records("r1")]
        except StateError:
            continue
        finally:
            journal.close()
        assert found in (FEW, FEW[:2], FEW[:1], []), place
