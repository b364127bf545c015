"""Attempts that print without end: never held up, their logs bounded, the disk too."""

from __future__ import annotations

import os
import sys
import time

import pytest

from contract.test_executors import Bench, call, run
from joblot.executors.mask import Mask
from joblot.executors.spool import Spool, omission_line, path_of, trim

MIB = 2**20


@pytest.fixture(params=["inline", "local"])
def bench(request, tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench(request.param, tmp_path, *jobs, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def fill(spool: Spool, data: bytes) -> None:
    os.write(spool.fd, data)


def test_a_log_up_to_the_cap_is_kept_whole(tmp_path):
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=10)
    fill(spool, b"0123456789")
    assert spool.collect("job", 1)
    assert (tmp_path / "logs" / "job" / "1.log").read_bytes() == b"0123456789"


def test_a_longer_log_keeps_both_ends_and_says_how_much_is_left_out(tmp_path):
    """S15"""
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=10)
    fill(spool, b"abcde" + b"x" * 90 + b"vwxyz")
    spool.collect("job", 1)
    kept = (tmp_path / "logs" / "job" / "1.log").read_bytes()
    assert kept == b"abcde\n[joblot: 90 bytes left out]\nvwxyz"
    assert omission_line(90) == b"[joblot: 90 bytes left out]\n"
    assert (tmp_path / "logs" / "job" / "1.log").stat().st_mode & 0o777 == 0o600


def test_no_empty_line_is_made_where_the_kept_beginning_ends_with_one(tmp_path):
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=10)
    fill(spool, b"abcd\n" + b"x" * 90 + b"vwxyz")
    spool.collect("job", 1)
    kept = (tmp_path / "logs" / "job" / "1.log").read_bytes()
    assert kept == b"abcd\n[joblot: 90 bytes left out]\nvwxyz"


def test_a_log_that_was_shown_while_it_ran_is_cut_at_its_end(tmp_path):
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=10)
    fill(spool, b"abcde")
    spool.show("job", 1)
    fill(spool, b"x" * 90 + b"vwxyz")
    spool.collect("job", 1)
    assert (tmp_path / "logs" / "job" / "1.log").stat().st_size == 10 + 1 + len(omission_line(90))
    assert sorted(path.name for path in (tmp_path / "logs" / "job").iterdir()) == ["1.log"]


@pytest.mark.parametrize("cap", [0, 1, 2, 3])
def test_the_smallest_caps_leave_little_more_than_the_line(tmp_path, cap):
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=cap)
    fill(spool, b"abcdefgh")
    spool.collect("job", 1)
    text = (tmp_path / "logs" / "job" / "1.log").read_bytes()
    assert omission_line(8 - cap) in text
    assert len(text) <= cap + 1 + len(omission_line(8))


def test_a_secret_is_masked_wherever_the_pieces_of_a_log_are_cut(tmp_path, monkeypatch):
    """I14: across the blocks that are read, and at the cut no part of it stays."""
    monkeypatch.setenv("TOKEN", "s3cr3tvalue")
    mask = Mask(["TOKEN"])
    for offset in range(-12, 3):
        spool = Spool(tmp_path / "logs", "s", mask, cap=3 * MIB)
        fill(spool, b"x" * (MIB + offset) + b"s3cr3tvalue" + b"y" * 100)
        spool.collect("job", 1)
        assert (tmp_path / "logs" / "job" / "1.log").read_bytes() == b"x" * (MIB + offset) + b"***" + b"y" * 100
        spool = Spool(tmp_path / "logs", "s", mask, cap=200)
        fill(spool, b"x" * (100 + offset) + b"s3cr3tvalue" + b"y" * 500 + b"s3cr3tvalue" + b"z" * (100 + offset))
        spool.collect("job", 2)
        text = (tmp_path / "logs" / "job" / "2.log").read_bytes()
        for part in (b"s3cr", b"alue", b"3tva"):
            assert part not in text, (offset, text)
        spool.close()


def test_the_space_of_what_is_left_out_is_given_back_while_it_is_printed(tmp_path):
    """T17: the disk holds the two ends and what was printed since the last look."""
    spool = Spool(tmp_path / "logs", "s", Mask(), cap=4 * MIB)
    most = 0
    for number in range(64):
        fill(spool, bytes([number]) * MIB)
        spool.trim()
        most = max(most, os.fstat(spool.fd).st_blocks * 512)
    if most > 60 * MIB:
        pytest.skip("this file system cannot punch holes")
    assert most <= 7 * MIB
    spool.collect("job", 1)
    kept = (tmp_path / "logs" / "job" / "1.log").read_bytes()
    first, last = b"\x00" * MIB + b"\x01" * MIB, bytes([62]) * MIB + bytes([63]) * MIB
    assert kept == first + b"\n" + omission_line(60 * MIB) + last


def test_a_small_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 5000)
    fd = os.open(path, os.O_RDWR)
    trim(fd, 4000)
    os.close(fd)
    assert path.read_bytes() == b"x" * 5000


def test_the_log_of_a_flood_is_bounded_whoever_prints_it(bench):
    """T17, S15"""

    def flood():
        for _ in range(80):
            os.write(1, b"x" * MIB)

    world = bench(call("fun", flood), run("cmd", "head -c 80M /dev/zero | tr '\\0' x; echo; echo last"))
    world.start("fun", "cmd")
    came = world.wait(2)
    assert {outcome.kind for outcome in came.values()} == {"ok"}
    for name in ("fun", "cmd"):
        assert (world.run_dir / "logs" / name / "1.log").stat().st_size < 64 * MIB + 50
    assert world.log("cmd").endswith("\nlast\n")


def test_a_running_flood_does_not_fill_the_disk(tmp_path):
    """T17: of a command and of an action, while they print."""

    def flood():
        while True:
            os.write(1, b"x" * MIB)
            time.sleep(0.002)

    world = Bench("local", tmp_path, call("fun", flood), run("cmd", [sys.executable, "-c", FLOOD]))
    try:
        world.start("fun", "cmd")
        until = time.monotonic() + 60
        sizes = {"worker": 0, "command": 0}
        while min(sizes.values()) < 400 * MIB:
            assert time.monotonic() < until, sizes
            world.look(0.05)
            for path in path_of(world.run_dir / "logs", "x").parent.glob("*.log"):
                found = path.stat()
                kind = path.name.partition("-")[0]
                sizes[kind] = max(sizes[kind], found.st_size)
                assert found.st_blocks * 512 < 350 * MIB, path
        world.kill("fun")
        world.kill("cmd")
        world.wait(2)
        for name in ("fun", "cmd"):
            log = world.run_dir / "logs" / name / "1.log"
            assert log.stat().st_size < 64 * MIB + 60
            assert b" bytes left out]\n" in log.read_bytes()
    finally:
        world.close()


FLOOD = "import os, time\nwhile True: os.write(1, b'x' * 1048576); time.sleep(0.002)"
