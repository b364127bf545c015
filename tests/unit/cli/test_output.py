"""What is written to the terminal."""

import json

import pytest

from joblot.cli.output import harmless


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain, été, 日本\nnext", "plain, été, 日本\nnext"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b31m\x7f\x85\r\n", "\\u009b31m\\u007f\\u0085\\u000d\n"),
        ("a\u202egpj.exe\u2066\u2069\u200f\u061c\u2028", "a\\u202egpj.exe\\u2066\\u2069\\u200f\\u061c\\u2028"),
        ("tab\there", "tab    here"),
        ("no\u00a0break \u200d", "no\u00a0break \u200d"),
    ],
)
def test_i15_what_would_drive_a_terminal_is_shown(raw, shown):
    """I15: nothing goes, and nothing acts; JSON stays JSON and means the same."""
    assert harmless(raw) == shown
    assert harmless(shown) == shown
    assert harmless(raw, tabs=True).replace("\t", "    ") == shown
    text = json.dumps(raw, ensure_ascii=False).replace("\t", "")
    assert json.loads(harmless(text)) == json.loads(text)
