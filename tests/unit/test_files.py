from __future__ import annotations

import ast
import errno
import os
import stat
from pathlib import Path

import pytest

from joblot.errors import JoblotError, UsageError
from joblot.files import (
    atomic_write,
    check_writable,
    force_to_disk,
    reason_of,
    remove_parts,
    rename_together,
    replace_file,
    system_error,
    write_atomically,
)

SRC = Path(__file__).parents[2] / "src"
ALONE = {
    ("joblot/journal/runfile.py", "fdatasync"): "the journal's own descriptor, which is appended to and never replaced",
    ("joblot/journal/recover.py", "rename"): "moves the old journal's log aside, which is no finished file",
    ("joblot/journal/prune.py", "rename"): "takes the folder of a run that is not wanted any more from readers",
    ("joblot/copies.py", "fsync"): "the copy's own descriptor, which its bytes went through",
    ("joblot/copies.py", "rename"): "puts back what was there, whole folders too",
    ("joblot/outputs.py", "rename"): "moves leftovers of a failed attempt aside, whole folders too",
    ("joblot/outputs.py", "move"): "the same, to another disk",
    ("joblot_sirene/steps/normalise.py", "replace"): "the values of a column",
}
"""What modules other than `files` do by themselves, and why."""


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else_r127(tmp_path):
    """R127 G4: no half file under the final name, no rubbish beside it."""
    target = tmp_path / "report.json"
    target.write_text("old")

    def chunks():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, chunks())
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["report.json"])


def test_a_full_device_is_one_clear_error():
    with pytest.raises(JoblotError, match=r"^cannot write `/dev/full`: no space left on device$"):
        write_atomically("/dev/full", [b"x"])


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_writable(pipe)
    write_atomically(pipe, [b"a", b"b"])
    assert os.read(reader, 10) == b"ab"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", [b"new"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_the_longest_name_is_possible(tmp_path):
    target = tmp_path / ("n" * 255)
    write_atomically(target, [b"x"])
    assert target.read_bytes() == b"x"


def test_the_mode_is_what_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", [b"x"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_place_is_tried_beforehand(tmp_path):
    check_writable(tmp_path / "new" / "log.json")
    assert os.listdir(tmp_path / "new") == []
    (tmp_path / "file").touch()
    for path, why in (
        (tmp_path, "is a directory"),
        (tmp_path / "file" / "x", "not a directory"),
        ("/proc/x", "no such file or directory"),
    ):
        with pytest.raises(UsageError) as caught:
            check_writable(path)
        assert str(caught.value) == f"cannot write `{path}`: {why}"
        assert caught.value.hint == "give a path to a file in a folder that you may write to"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError(errno.ENOTDIR, "", "a"), "not a directory"),
        (OSError("No space left on device (os error 28)"), "no space left on device"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_why_the_system_refused_is_told_in_lower_case(error, text):
    assert reason_of(error) == text


def test_an_error_of_a_number_is_as_the_system_raises_it():
    error = system_error(errno.ENOENT)
    assert (type(error), error.errno, reason_of(error)) == (FileNotFoundError, 2, "no such file or directory")


def in_one_step(path):
    """The ways of writing one file in one step that follow no link."""
    yield lambda: replace_file(path, [b"new"])
    yield lambda: replace_file(path, [b"new"], forced=False)

    def by_path():
        with atomic_write(path) as part:
            part.write_bytes(b"new")

    yield by_path


def test_a_file_takes_the_place_of_what_was_there_and_a_link_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("other")
    path = tmp_path / "file"
    for write in in_one_step(path):
        path.unlink(missing_ok=True)
        path.symlink_to("other")
        write()
        assert (path.is_symlink(), path.read_text(), sorted(os.listdir(tmp_path))) == (False, "new", ["file", "other"])
    assert (tmp_path / "other").read_text() == "other"


def test_an_error_names_the_file_that_was_asked_for_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, kind in ((tmp_path / "folder", IsADirectoryError), (tmp_path / "no" / "file", FileNotFoundError)):
        for write in in_one_step(path):
            with pytest.raises(kind) as caught:
                write()
            assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == ["folder"]


def test_a_mode_is_the_files_from_its_beginning(tmp_path):
    def chunks():
        (part,) = tmp_path.iterdir()
        yield b"%o" % stat.S_IMODE(part.stat().st_mode)

    replace_file(tmp_path / "file", chunks())
    assert (tmp_path / "file").read_text() == "600"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_block_that_raises_leaves_what_was_there_r127(tmp_path):
    """R127: whole or not at all."""
    path = tmp_path / "d.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as part:
        part.write_text(f"half {1 / 0}")
    assert (path.read_text(), os.listdir(tmp_path)) == ("before", ["d.csv"])


def test_of_several_files_none_takes_its_name_before_all_are_there(tmp_path):
    (tmp_path / "one").write_text("1")
    parts = {tmp_path / "one": tmp_path / "first", tmp_path / "two": tmp_path / "second"}
    with pytest.raises(FileNotFoundError):
        rename_together(parts)
    assert os.listdir(tmp_path) == ["one"]
    (tmp_path / "two").write_text("2")
    rename_together(parts)
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"first": "1", "second": "2"}


def test_what_killed_writers_left_can_be_removed_and_nothing_else_is(tmp_path):
    with atomic_write(tmp_path / "journal.db") as part:
        left = [part.name, f"{part.name}-wal", f"{part.name}-shm"]
    for name in (*left, ".a.csv.1.part", "joblot.part"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.csv.1.part", "joblot.part", "journal.db"]


def test_files_and_folders_are_forced_to_disk_and_what_is_missing_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "file"):
        force_to_disk(path)
    with pytest.raises(FileNotFoundError):
        force_to_disk(tmp_path / "no")
    assert os.listdir("/proc/self/fd") == before


def of_files_alone(tree):
    """Where a module forces to disk, asks for the text of an error's number, or renames a file: the words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.Attribute) and node.attr in ("fsync", "fdatasync", "strerror", "renames"):
            yield node.attr
        elif isinstance(node, ast.Constant) and node.value == "strerror":
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            word, owner = node.func.attr, getattr(node.func.value, "id", "")
            # A path's method takes one argument that is no dictionary, a text's two, that of a time or a struct keywords.
            one = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Dict | ast.DictComp)
            if (word in ("replace", "rename") and (one or owner == "os")) or (word == "move" and owner == "shutil"):
                yield word


def test_files_are_forced_renamed_and_their_errors_told_in_one_module():
    found = {
        (str(path.relative_to(SRC)), word)
        for path in SRC.rglob("*.py")
        if path != SRC / "joblot" / "files.py"
        for word in of_files_alone(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(ALONE)


NOT_IN_A_STATE_FOLDER = {
    ("joblot/journal/mounts.py", "read_text"): "the kernel's table of mounts",
    ("joblot/journal/sqlite.py", "read_text"): "the package's own queries",
    (
        "joblot/journal/claims.py",
        "open",
    ): "by descriptors of its own folders, as carefully; some are not below a state folder",
}


def test_files_of_a_state_folder_are_opened_in_one_module():
    """Elsewhere a link would be followed, and a pipe waited for."""
    words = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "touch"}
    modules = [*(SRC / "joblot/journal").glob("*.py"), *(SRC / "joblot" / name for name in (
        "runner/launch.py", "reports/peaks.py", "cluster/session.py", "reports/tail.py", "cli/logs.py", "cli/history.py",
    ))]  # fmt: skip
    found = {
        (str(path.relative_to(SRC)), word)
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and (word := getattr(node.func, "attr", getattr(node.func, "id", ""))) in words
    }
    assert found == set(NOT_IN_A_STATE_FOLDER)
