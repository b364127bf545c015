"""Cutting what is printed into pieces without cutting a secret in two."""

import random

import pytest

from joblot.executors.mask import Mask


@pytest.fixture
def mask(monkeypatch):
    monkeypatch.setenv("KEY", "ababc-xyz")
    monkeypatch.setenv("OTHER", "z-ababd")
    return Mask(["KEY", "OTHER"])


@pytest.mark.parametrize(
    ("data", "ready"),
    [
        (b"", b""),
        (b"nothing here\n", b"nothing here\n"),
        (b"prompt> ", b"prompt> "),
        (b"so far aba", b"so far "),
        (b"so far abab", b"so far "),
        (b"all of ababc-xyz", b"all of "),
        (b"all of ababc-xyz.", b"all of ababc-xyz."),
        (b"both ababc-xyz-ab", b"both "),
    ],
)
def test_what_may_be_the_beginning_of_a_secret_is_held_back(mask, data, ready):
    assert data[: mask.cut(data)] == ready


def test_however_the_pieces_fall_no_secret_comes_through(mask):
    dice = random.Random(7)
    text = b" ".join(dice.choice((b"ababc-xyz", b"z-ababd", b"abab", b"plain", b"xyz-ababc-xyz")) for _ in range(300))
    for _ in range(200):
        came, held, at = b"", b"", 0
        while at < len(text):
            size = dice.randint(1, 12)
            held, at = held + text[at : at + size], at + size
            cut = mask.cut(held)
            came, held = came + mask.data(held[:cut]), held[cut:]
        came += mask.data(held)
        assert b"ababc-xyz" not in came
        assert b"z-ababd" not in came
        assert came.count(b"plain") == text.count(b"plain")
