"""The state folder: which run is meant, who holds it, and the two copies of its events."""

import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from contract.journals import STARTED, change, create, in_child, rows_in
from joblot.core import events as ev
from joblot.errors import RunHeldError, StateError
from joblot.journal.folder import StateFolder
from joblot.journal.recover import recover
from joblot.journal.runfile import read_rows


@pytest.fixture
def folder(tmp_path):
    state = StateFolder(tmp_path / "state")
    yield state
    state.close()


def test_a_new_folder_keeps_itself_out_of_version_control(folder):
    assert (folder.path / ".gitignore").read_text() == "*\n"
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_without_runs_says_so(tmp_path):
    with pytest.raises(StateError) as caught:
        StateFolder(tmp_path / "none", read_only=True)
    assert str(caught.value) == f"no runs here: `{tmp_path}/none` does not exist or holds no journal"
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError) as caught:
        StateFolder(tmp_path / "file" / "state")
    assert str(caught.value) == f"cannot make the state folder `{tmp_path}/file/state`: not a directory"


def test_a_run_is_meant_by_its_id_its_beginning_its_end_or_as_the_last(folder):
    for number, name in enumerate(("20261119-a1", "20261120-b2", "20261120-c3")):
        create(folder.journal, name, at=float(number))
    meant = {word: folder.resolve(word).run_id for word in ("20261119-a1", "20261119", "b2", "20261120-c", "last")}
    assert meant == {
        "20261119-a1": "20261119-a1", "20261119": "20261119-a1", "b2": "20261120-b2", "20261120-c": "20261120-c3", "last": "20261120-c3",
    }  # fmt: skip
    assert folder.resolve(None).run_id == "20261120-c3"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("20261120", "`20261120` could be any of 2 runs: `20261120-c3`, `20261120-b2`", "give more of the run id"),
        ("zz", "no run `zz` in `STATE`", "`joblot ls` lists the runs"),
    ],
)
def test_a_word_that_means_no_run_or_several(folder, word, message, hint):
    for name in ("20261119-a1", "20261120-b2", "20261120-c3"):
        create(folder.journal, name)
    with pytest.raises(StateError) as caught:
        folder.resolve(word)
    assert str(caught.value).replace(str(folder.path), "STATE") == message
    assert caught.value.hint == hint


def test_there_may_be_no_run_at_all(folder):
    with pytest.raises(StateError) as caught:
        folder.resolve(None)
    assert str(caught.value) == f"no runs in `{folder.path}`"


HELD = (
    r"^run `r1` is held by process \d+ of (uid \d+|\S+) on \S+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n"
    "hint: `joblot cancel` stops it; it needs no unlock when it is gone$"
)


def test_a_run_is_held_once(folder):
    """G5: the second is told who has it."""
    hold = folder.hold("r1")
    assert folder.is_held("r1")
    with pytest.raises(RunHeldError, match=HELD) as caught:
        folder.hold("r1")
    assert f"process {os.getpid()} " in str(caught.value)
    assert caught.value.hint == "`joblot cancel` stops it; it needs no unlock when it is gone"
    hold.release()
    assert not folder.is_held("r1")
    folder.hold("r1").release()


def test_a_run_is_free_as_soon_as_its_holder_is_killed(folder):
    """G5: kill -9, no unlock; until then the message names the other process."""
    create(folder.journal)
    read_fd, write_fd = os.pipe()

    def hold_and_wait():
        folder.hold("r1")
        os.write(write_fd, b"x")
        signal.pause()

    child = in_child(hold_and_wait)
    os.read(read_fd, 1)
    info = folder.journal.info("r1")
    assert folder.status(info) == "running"
    with pytest.raises(RunHeldError, match=f"process {child} of"):
        folder.hold("r1")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert folder.status(info) == "interrupted"
    folder.hold("r1").release()
    os.close(read_fd)
    os.close(write_fd)


def test_asking_whether_a_run_is_held_is_never_in_the_way_of_holding_it(folder):
    """Who asks has the lock for a moment; a resume at that moment was refused."""
    folder.hold("r1").release()
    asking = True

    def ask():
        while asking:
            folder.is_held("r1")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 0.5
        taken = 0
        while time.monotonic() < until:
            folder.hold("r1").release()
            taken += 1
    finally:
        asking = False
        for thread in threads:
            thread.join()
    assert taken > 5


# --- the two copies ---------------------------------------------------------------------------------


def driven(state, run_id="r1"):
    hold = state.hold(run_id)
    hold.attach(state.journal, "normal")
    return hold


@pytest.fixture
def two_copies(tmp_path):
    """A folder with a run of 20 records in the database and in its file; and where that file is."""
    state = StateFolder(tmp_path / "two")
    create(state.journal)
    hold = driven(state)
    for number in range(20):
        state.journal.append("r1", [ev.BackoffEnded(number)], float(number))
    state.close()
    hold.release()
    return state.path, hold.folder.events


def mended(path):
    """Take hold of the run, which mends what is behind; gives what database and file then hold."""
    state = StateFolder(path)
    hold = driven(state)
    records = list(state.journal.records("r1"))
    state.close()
    hold.release()
    in_file = [row for row, _ in read_rows(hold.folder.events)]
    in_database = [(row[0] & (1 << 36) - 1, *row[1:]) for row in rows_in(path)]
    assert in_file == in_database
    return [event.job for record in records for event in record.events]


def test_both_copies_hold_the_same(two_copies):
    path, _ = two_copies
    assert mended(path) == list(range(20))


@pytest.mark.parametrize("cut", [1, 30, 200, 10**6], ids=["newline", "last line", "some lines", "all"])
def test_a_file_that_lost_its_end_is_made_again_from_the_database(two_copies, cut):
    path, file = two_copies
    file.write_bytes(file.read_bytes()[: -min(cut, file.stat().st_size)])
    assert mended(path) == list(range(20))


def test_a_file_that_is_gone_is_made_again(two_copies):
    path, file = two_copies
    file.unlink()
    assert mended(path) == list(range(20))


@pytest.mark.parametrize("tail", [b"{", b'{"seq":21,"at":1.0', b"\x00" * 4096, b"\xff\n", b'{"seq":9}\n'])
def test_what_a_torn_write_left_at_the_end_is_dropped(two_copies, tail):
    path, file = two_copies
    with file.open("ab") as opened:
        opened.write(tail)
    assert mended(path) == list(range(20))


@pytest.mark.parametrize("lost", [1, 7, 20])
def test_a_database_that_is_behind_gets_what_only_the_file_has(two_copies, lost):
    """G1: a kill between the file and the group, or a power cut that took the database's last pages."""
    path, _ = two_copies
    change(path / "journal.db", "DELETE FROM record WHERE id IN (SELECT id FROM record ORDER BY id DESC LIMIT ?)", lost)
    reader = StateFolder(path, read_only=True)
    assert len(list(reader.journal.records("r1"))) == 20
    reader.close()
    assert mended(path) == list(range(20))


def test_a_changed_line_in_the_middle_of_the_file_is_made_again_from_the_database(two_copies):
    path, file = two_copies
    text = file.read_bytes()
    file.write_bytes(text.replace(b'"job":7', b'"job":8'))
    assert mended(path) == list(range(20))


def damaged_copies(file):
    return [path.read_bytes() for path in file.parent.glob("events.jsonl.damaged-*")]


def test_a_damaged_line_while_the_database_is_behind_is_kept_aside(two_copies):
    """G6: what cannot be brought back is not thrown away in silence; what can be is."""
    path, file = two_copies
    bad = file.read_bytes().replace(b'"job":16', b'"job":61')
    file.write_bytes(bad)
    change(path / "journal.db", "DELETE FROM record WHERE id IN (SELECT id FROM record ORDER BY id DESC LIMIT 10)")
    assert mended(path) == list(range(16))
    assert damaged_copies(file) == [bad]


def test_damage_before_what_the_database_lacks_loses_nothing(two_copies):
    """The database has the damaged line, the file has what comes after the database's end."""
    path, file = two_copies
    bad = file.read_bytes().replace(b'"job":3', b'"job":9')
    file.write_bytes(bad)
    change(path / "journal.db", "DELETE FROM record WHERE id IN (SELECT id FROM record ORDER BY id DESC LIMIT 10)")
    assert mended(path) == list(range(20))
    assert damaged_copies(file) == [bad]


def test_a_file_of_another_history_is_kept_aside(two_copies):
    path, file = two_copies
    other = StateFolder(path.parent / "other")
    create(other.journal)
    hold = driven(other)
    other.journal.append("r1", [ev.BackoffEnded(99)], 1.0)
    other.close()
    hold.release()
    strange = hold.folder.events.read_bytes()
    file.write_bytes(strange)
    assert mended(path) == list(range(20))
    assert damaged_copies(file) == [strange]


def test_a_torn_last_line_is_what_a_kill_leaves_and_is_not_kept(two_copies):
    path, file = two_copies
    file.write_bytes(file.read_bytes()[:-7])
    assert mended(path) == list(range(20))
    assert damaged_copies(file) == []


def test_a_run_killed_at_any_moment_keeps_a_prefix_without_gaps(tmp_path):
    """G1: what a child has said was appended is there after its kill -9, in order, and the run can be written on."""
    path = tmp_path / "killed"
    StateFolder(path).close()
    for turn in range(6):
        run_id = f"r{turn}"
        read_fd, write_fd = os.pipe()

        def write(run_id=run_id, write_fd=write_fd):
            state = StateFolder(path)
            create(state.journal, run_id)
            hold = state.hold(run_id)
            hold.attach(state.journal, "normal")
            for number in range(10**6):
                state.journal.append(run_id, [ev.BackoffEnded(number)], 1.0)
                os.write(write_fd, b"x")

        child = in_child(write)
        said = 0
        while said < 150 * (turn + 1):
            said += len(os.read(read_fd, 64))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(write_fd)
        while chunk := os.read(read_fd, 65536):
            said += len(chunk)
        os.close(read_fd)
        state = StateFolder(path)
        hold = driven(state, run_id)
        jobs = [event.job for record in state.journal.records(run_id) for event in record.events]
        assert jobs == list(range(len(jobs)))
        assert said <= len(jobs) <= said + 1
        assert state.journal.append(run_id, [STARTED], 1.0).seq == len(jobs) + 1
        state.close()
        hold.release()


def test_a_file_that_cannot_be_written_is_one_line(two_copies):
    path, file = two_copies
    file.unlink()
    file.mkdir()
    state = StateFolder(path)
    hold = state.hold("r1")
    with pytest.raises(StateError) as caught:
        hold.attach(state.journal, "normal")
    assert str(caught.value) == f"cannot read `{file}`: is a directory"
    state.close()
    hold.release()
    assert Path(file).is_dir()


def test_the_plan_is_kept_beside_the_events(folder):
    create(folder.journal)
    hold = folder.hold("r1")
    assert hold.attach(folder.journal, "normal", plan=b'{"name":"b"}') is None
    assert hold.folder.plan.read_bytes() == b'{"name":"b"}'
    hold.release()


def test_a_run_that_only_its_folder_knows_is_not_just_unknown(folder):
    run = folder.run_folder("r9")
    run.path.mkdir(parents=True)
    run.events.touch()
    with pytest.raises(StateError) as caught:
        folder.resolve("r9")
    assert str(caught.value) == f"no run `r9` in `{folder.path}`"
    assert caught.value.hint == "the journal has lost it, its files have not: `joblot recover r9`"


def open_files(folder):
    """The files below a folder that this process has open."""
    links = [Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if link.is_symlink()]
    return sorted(os.path.relpath(target, folder) for target in targets if target.startswith(f"{folder}/"))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT 1", "no run `r2` in `STATE`"),
        ("UPDATE meta SET value = value + 1", "journal `STATE/journal.db` was written by a newer joblot"),
    ],
)
def test_a_refused_recovery_leaves_nothing_open(two_copies, statement, message):
    """Also while its error is being handled, which keeps all that its frames hold."""
    path, _ = two_copies
    change(path / "journal.db", statement)
    with pytest.raises(StateError) as caught:
        recover(path, "r2")
    assert str(caught.value).replace(str(path), "STATE") == message
    assert open_files(path) == []


def test_a_recovery_that_finds_a_run_held_lets_go_of_the_others(two_copies):
    path, _ = two_copies
    with closing(StateFolder(path)) as state:
        create(state.journal, "r0")
        driven(state, "r0").release()
        held = state.hold("r1")
        with pytest.raises(RunHeldError, match=r"^run `r1` is held by process") as caught:
            recover(path)
        assert f"process {os.getpid()} " in str(caught.value)
        state.hold("r0").release()
        held.release()
    assert open_files(path) == []
