"""Every mistake in `config/` is a batch file beside the exact text that it leads to.

To change a wording on purpose, run with JOBLOT_BLESS=1 and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from joblot.config.load import load_text
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES

CASES = sorted(path for path in Path(__file__).with_name("config").iterdir() if path.suffix != ".txt")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_mistake_leads_to_exactly_this_text(case: Path):
    """R18, R24, R104, R105: each error says where, what, and what to do."""
    with pytest.raises(ConfigError) as caught:
        load_text(
            case.read_text(encoding="utf-8"),
            file=case.name,
            folder="/batches",
            format=case.suffix[1:],
            lookup=SIGNATURES.get,
            names=lambda: SIGNATURES,
        )
    rendered = "\n\n".join(item.render() for item in caught.value.diagnostics) + "\n"
    expected = case.with_name(case.name + ".txt")
    if os.environ.get("JOBLOT_BLESS"):
        expected.write_text(rendered, encoding="utf-8")
    assert rendered == expected.read_text(encoding="utf-8")


def test_no_expected_text_is_left_without_its_batch():
    """A text whose batch was renamed would never be compared."""
    texts = {path.name.removesuffix(".txt") for path in Path(__file__).with_name("config").glob("*.txt")}
    assert texts == {path.name for path in CASES}
