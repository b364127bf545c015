"""Asking before sleeping is left off where it is in vain, and taken up again where it is not."""

import os
import select

import pytest

from joblot.executors.worker import _MAX_SKIPS, Spin


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


class Counted:
    """A poll that says how often it was asked."""

    def __init__(self, poll):
        self.asked = 0
        self._poll = poll

    def poll(self, timeout):
        self.asked += 1
        return self._poll.poll(timeout)


def test_it_is_left_out_ever_more_often_while_it_is_in_vain(pipe):
    poll = select.poll()
    poll.register(pipe[0], select.POLLIN)
    counted = Counted(poll)
    spin = Spin(counted)
    asked = []
    for _ in range(1024):
        before = counted.asked
        assert spin.ready() == []
        asked.append(counted.asked > before)
    gaps = [len(gap) for gap in "".join("x" if one else "." for one in asked).split("x")]
    assert gaps[:9] == [0, 1, 3, 7, 15, 31, 63, 127, 255]
    assert max(gaps) == _MAX_SKIPS


def test_news_bring_it_back(pipe):
    poll = select.poll()
    poll.register(pipe[0], select.POLLIN)
    spin = Spin(poll)
    assert [spin.ready(), spin.ready()] == [[], []]
    os.write(pipe[1], b"!")
    assert spin.ready() == [(pipe[0], select.POLLIN)]
    assert spin.ready() == [(pipe[0], select.POLLIN)]
