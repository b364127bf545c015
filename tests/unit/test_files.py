from __future__ import annotations

import os
import stat

import pytest

from joblot.errors import JoblotError, UsageError
from joblot.files import check_writable, write_atomically


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
