from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

import pytest

from joblot.actions.context import Context
from joblot.core.model import Artifact, LogLine
from joblot.errors import ActionError
from joblot.files import make_part


def test_g4_an_output_is_complete_under_its_name_and_recorded(tmp_path):
    """G4: while it is written only the temporary name exists, in the same folder."""
    ctx = Context.for_test(tmp_path, attempt=3)
    with ctx.output("deep/out.txt") as part:
        part.write_text("hello")
        (folder,) = (tmp_path / "deep").iterdir()
        assert re.fullmatch(r"\.out\.txt\.[0-9a-f]{16}\.part", folder.name)
        assert (part, stat.S_IMODE(folder.stat().st_mode)) == (folder / "out.txt", 0o700)
    assert os.listdir(tmp_path / "deep") == ["out.txt"]
    assert ctx.artifacts == [Artifact("deep/out.txt", 5)]


def test_g4_a_failing_block_leaves_the_old_file_and_no_rubbish(tmp_path):
    """G4"""
    (tmp_path / "out.txt").write_text("old")
    ctx = Context.for_test(tmp_path)

    def interrupted():
        with ctx.output("out.txt") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"out.txt": "old"}
    assert ctx.artifacts == []


def test_what_an_earlier_crash_left_is_not_appended_to(tmp_path):
    for number in range(2):
        make_part(tmp_path / "out").write_text(f"rubbish {number}")
    (tmp_path / ".other.0123456789abcdef.part").mkdir()
    with Context.for_test(tmp_path, attempt=3).output("out") as part:
        assert not part.exists()
        part.touch()
    assert sorted(os.listdir(tmp_path)) == [".other.0123456789abcdef.part", "out"]


def test_what_is_left_of_a_killed_attempt_goes_though_the_process_has_looked_there_before(tmp_path):
    with Context.for_test(tmp_path).output("first") as part:
        part.touch()
    make_part(tmp_path / "out").write_text("of another process, which was killed")
    with Context.for_test(tmp_path, attempt=2).output("out") as part:
        part.touch()
    assert sorted(os.listdir(tmp_path)) == ["first", "out"]


def test_a_retried_job_meets_parts_of_others_that_are_gone_a_moment_later(tmp_path, monkeypatch):
    """Jobs beside each other write into one folder: what is listed there is removed before it is looked at."""
    scandir = os.scandir
    parts = [make_part(tmp_path / name) for name in ("other", "out", "out.csv")]

    def listed_and_gone(folder):
        with scandir(folder) as entries:
            found = list(entries)
        for part in parts:
            part.parent.rmdir()
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", listed_and_gone)
    with Context.for_test(tmp_path, attempt=2).output("out") as part:
        part.touch()
    assert os.listdir(tmp_path) == ["out"]


def test_an_output_that_was_not_written_or_cannot_be_is_one_line(tmp_path):
    ctx = Context.for_test(tmp_path)
    with pytest.raises(ActionError, match=r"^nothing was written to `out`$"), ctx.output("out"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ActionError, match=r"^cannot write `file/out`: file exists$"), ctx.output("file/out"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(ActionError, match=r"^cannot write `folder`: is a directory$"), ctx.output("folder") as part:
        part.touch()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_is_one_line_and_other_errors_stay_what_they_are(tmp_path):
    ctx = Context.for_test(tmp_path)
    with pytest.raises(ActionError, match=r"^cannot write `out`: no space left on device$"), ctx.output("out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ConnectionResetError), ctx.output("out"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_g4_files_that_belong_together_take_their_names_together(tmp_path):
    """G4: while one of them is being written, none has its name."""
    ctx = Context.for_test(tmp_path)
    with ctx.outputs("a.csv", "deep/a.json") as (table, about):
        table.write_text("1")
        about.write_text("22")
        names = [*os.listdir(tmp_path), *os.listdir(tmp_path / "deep")]
        assert {name for name in names if not name.startswith(".")} == {"deep"}
    assert (sorted(os.listdir(tmp_path)), os.listdir(tmp_path / "deep")) == (["a.csv", "deep"], ["a.json"])
    assert ctx.artifacts == [Artifact("a.csv", 1), Artifact("deep/a.json", 2)]


def fail_after(written, unwritten):
    written.write_text("new")
    unwritten.read_text()


def test_g4_of_files_that_belong_together_all_stay_as_they_were_or_none(tmp_path):
    """G4"""
    ctx = Context.for_test(tmp_path)
    (tmp_path / "a").write_text("old")
    with pytest.raises(ActionError, match=r"^nothing was written to `b`$"), ctx.outputs("a", "b") as (first, _):
        first.write_text("new")
    with pytest.raises(ActionError, match=r"^cannot write `a/b`: file exists$"), ctx.outputs("c", "a/b"):
        pass
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"a": "old"}
    with (
        pytest.raises(ActionError, match=r"^cannot write `c`: no such file or directory$"),
        ctx.outputs("c", "a") as (first, second),
    ):
        fail_after(second, first)
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"a": "old"}
    assert ctx.artifacts == []


def test_absolute_paths_are_kept_and_paths_of_the_batch_are_shown_as_written(tmp_path):
    ctx = Context.for_test(tmp_path / "batch")
    assert ctx.path("in/x") == tmp_path / "batch/in/x"
    assert ctx.path(tmp_path / "y") == tmp_path / "y"
    assert ctx.shown(tmp_path / "batch" / "../x") == "../x"
    assert ctx.shown(tmp_path / "y") == str(tmp_path / "y")


def test_messages_progress_and_cancelling_go_through_what_was_passed(tmp_path):
    lines, steps = [], []
    ctx = Context.for_test(
        tmp_path, log=lines.append, progress=lambda *step: steps.append(step), cancelled=lambda: True
    )
    ctx.log("half way", "warning", rows=3)
    ctx.log("done")
    ctx.progress(5, 10, "rows")
    assert lines == [LogLine("warning", "half way", {"rows": 3}), LogLine("info", "done")]
    assert (steps, ctx.cancelled) == ([(5, 10, "rows")], True)


def test_without_sinks_nothing_happens(tmp_path):
    ctx = Context.for_test(tmp_path)
    ctx.log("x")
    ctx.progress(1)
    assert not ctx.cancelled
