"""The end of a file, and what is added to it."""

import os

from joblot.cli.tail import Follower, blocks, last_lines


def log_in(folder):
    """The log of an attempt where a state folder has it."""
    log = folder / "runs" / "r1" / "logs" / "job" / "1.log"
    log.parent.mkdir(parents=True)
    return log


def test_the_last_lines_of_a_file(tmp_path):
    path = log_in(tmp_path)
    path.write_bytes(b"one\ntwo\nthree")
    assert last_lines(path, 2) == ["two", "three"]
    assert last_lines(path, 9) == ["one", "two", "three"]
    assert last_lines(path, 0) == []
    assert last_lines(path.with_name("2.log"), 2) == []


def test_only_the_end_of_a_large_file_is_read_and_a_cut_line_is_left_out(tmp_path):
    path = log_in(tmp_path)
    path.write_bytes(b"x" * 100_000 + b"\nlast\n")
    assert last_lines(path, 5) == ["last"]


def test_what_is_shown_cannot_drive_a_terminal(tmp_path):
    """I15: titles, colours, the clipboard, invalid UTF-8."""
    path = log_in(tmp_path)
    path.write_bytes(b"\x1b]0;t\x07a\x1b[31mb\x1b[0m\x1b]52;c;aGk=\x1b\\c\xff\x00\n")
    assert last_lines(path, 1) == ["abc\ufffd"]
    assert list(blocks(path)) == ["abc\ufffd\n"]


def test_blocks_are_whole_lines_and_lose_nothing(tmp_path):
    path = log_in(tmp_path)
    text = "".join(f"line {n} é\n" for n in range(20_000)) + "the end"
    path.write_text(text, encoding="utf-8")
    pieces = list(blocks(path))
    assert len(pieces) > 2
    assert all(piece.endswith("\n") for piece in pieces[:-1])
    assert "".join(pieces) == text


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path):
    path = log_in(tmp_path)
    path.write_bytes(b"x" * 5_000_000)
    pieces = list(blocks(path))
    assert sum(map(len, pieces)) == 5_000_000
    assert max(map(len, pieces)) < 1_200_000


def test_a_follower_gives_whole_new_lines_and_at_last_the_rest(tmp_path):
    path = log_in(tmp_path)
    follower = Follower(path)
    assert follower.news() == ""
    path.write_bytes(b"one\ntw")
    assert follower.news() == "one\n"
    with path.open("ab") as file:
        file.write(b"o\nthr")
    assert follower.news() == "two\n"
    assert follower.rest() == "thr"
    assert follower.rest() == ""


def test_a_follower_can_leave_out_what_is_there(tmp_path):
    path = log_in(tmp_path)
    path.write_bytes(b"old\n")
    follower = Follower(path)
    follower.skip()
    with path.open("ab") as file:
        file.write(b"new\n")
    assert follower.news() == "new\n"


def test_a_hole_in_a_log_that_floods_is_one_line(tmp_path):
    """Its middle was given back to the disk while it was written: it reads as zeros, gigabytes of them."""
    path = log_in(tmp_path)
    follower = Follower(path)
    path.write_bytes(b"first\n")
    assert follower.news() == "first\n"
    with path.open("r+b") as file:
        file.seek(8 << 30)
        file.write(b"last\n")
    kept = os.stat(path).st_blksize  # the block that the first line stands in
    assert follower.news() == f"[joblot: {(8 << 30) - kept} bytes left out]\nlast\n"
