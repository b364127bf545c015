"""What a command left at `JOBLOT_OUTPUT`, as its result."""

import json
import os

import pytest

from joblot.errors import JoblotError
from joblot.executors.command import read_result


@pytest.fixture
def result_of(tmp_path):
    def read(written):
        path = tmp_path / "a.1.out"
        path.write_bytes(written)
        found = read_result(str(path))
        assert not path.exists()
        return json.loads(found) if found else None

    return read


@pytest.mark.parametrize(
    ("written", "result"),
    [
        (b"3\n", 3),
        (b"-2.5e3", -2500.0),
        (b"true\r\n", True),
        (b"false", False),
        (b"null\n", None),
        (b' "x" ', "x"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b"\xef\xbb\xbfrows=3\n", {"rows": "3"}),
        (b"\xef\xbb\xbf", None),
        (b"\xef\xbb\xbf7", 7),
        (b'{"a": {"x": 1}, "b": {"x": 1}}', {"a": {"x": 1}, "b": {"x": 1}}),
        (b'["a:b:c"]', ["a:b:c"]),
        (b'{"a": ' + b"9" * 20 + b', "b": 1}', {"a": 99999999999999999999, "b": 1}),
        (b"n=1\nn=2\n", {"n": "2"}),
    ],
)
def test_one_json_value_or_lines(result_of, written, result):
    assert result_of(written) == result


@pytest.mark.parametrize("char", ["\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_only_lf_and_cr_lf_end_a_line(result_of, char):
    written = f"mode=final\ntitle=one{char}mode=draft\r\nlast=x{'' if char == chr(13) else char}".encode()
    last = "x" if char == "\r" else f"x{char}"
    assert result_of(written) == {"mode": "final", "title": f"one{char}mode=draft", "last": last}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b'{"a": 1, "a": 2}', "what the command wrote to `JOBLOT_OUTPUT` has a key twice: `a`"),
        (b'{"d": [{"x": 1}, {"x": 1, "y": 2, "x": 3}]}', "what the command wrote to `JOBLOT_OUTPUT` has a key twice: `d[1].x`"),
        (b'[{"\\u0061": 1, "a": 2}]', "what the command wrote to `JOBLOT_OUTPUT` has a key twice: `[0].a`"),
        (b"1e400", "what the command wrote to `JOBLOT_OUTPUT` is not JSON: Number out of range"),
        (b"007", "what the command wrote to `JOBLOT_OUTPUT` is not JSON: JSON is malformed: invalid number (byte 1)"),
        (b"NaN", "a line in `JOBLOT_OUTPUT` is neither JSON nor `key=value`: `NaN`"),
        (b"3 rows", "a line in `JOBLOT_OUTPUT` is neither JSON nor `key=value`: `3 rows`"),
        (b"n=\xe9t\xe9\n", "what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte 3"),
        (b'{"name": "\xff"}', "what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte 11"),
        (b'["\xed\xa0\x80"]', "what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte 3"),
        ("{}".encode("utf-16"), "what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte 1"),
        ("n=é".encode()[:-1], "what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte 3"),
        (b'{"x": NaN}', "what the command wrote to `JOBLOT_OUTPUT` is not JSON: JSON is malformed: invalid character (byte 6)"),
    ],
)  # fmt: skip
def test_what_is_no_result_says_so(result_of, written, message):
    with pytest.raises(JoblotError) as caught:
        result_of(written)
    assert caught.value.message == message


def _folder(path):
    path.mkdir()


def _link(path):
    path.with_name("other").write_text("{}")
    path.symlink_to("other")


@pytest.mark.parametrize("left", [_folder, _link, os.mkfifo, lambda path: path.symlink_to(path.parent)])
def test_what_is_no_file_says_so(tmp_path, left):
    path = tmp_path / "a.1.out"
    left(path)
    with pytest.raises(JoblotError) as caught:
        read_result(str(path))
    assert caught.value.message == "what the command left at `JOBLOT_OUTPUT` is not a file"
