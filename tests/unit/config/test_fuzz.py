"""Mutilated batch files: nothing but `ConfigError` comes out, quickly, and it can be shown.

`JOBLOT_FUZZ_CASES` and `JOBLOT_FUZZ_SEED` choose how many and which.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from joblot.config.load import decode, encode, load_text
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES
from messages.test_config_mistakes import CASES as MISTAKES

CASES = int(os.environ.get("JOBLOT_FUZZ_CASES", "3000"))
SEED = int(os.environ.get("JOBLOT_FUZZ_SEED", "1"))

PARTS = [
    "${{", "}}", "[", "]", "{", "}", ":", "- ", "\n", "  ", "\t", '"', "'", "\\u0000", "\\ud800", "&a ", "*a", "!!int ", "!x ", "<<: ", "NaN",
    "1e999", "9" * 30, "9" * 5000, "null", "true", "#", "---\n", "|\n", ">", "%YAML 1.2\n", "\ufeff", "\x85", "\u2028", "\0", "%", "@", "`",
    "jobs", "vars", "env", "run.id", "jobs.a.result", "2026-13-45", "=", "[[jobs]]", "\r", "? ", ", ", "-0", "0x1F", "${{ vars.a }}", '"""', "'''",
    "name", "action", "count_lines", "\u202e", "é", "\U0001f600", "../", "[" * 200,
]  # fmt: skip


def mutilated(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randint(0, 12))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:start] + rng.choice(PARTS) + text[start:]
        elif kind == 1:
            text = text[:start] + text[end:]
        elif kind == 2:
            text = text[:start] + rng.choice(PARTS) + text[end:]
        elif kind == 3:
            text = text[:start] + chr(rng.choice([rng.randrange(128), rng.randrange(0x3000)])) + text[start:]
        else:
            text = text[:start] + text[start:end] * rng.randint(1, 5) + text[end:]
    return text


def corpus() -> list[tuple[str, str]]:
    from unit.config.test_load import TOML, YAML

    good = [
        ("yaml", YAML),
        ("toml", TOML),
        ("json", '{"jobs": [{"name": "a", "action": "count_lines", "input": "x"}]}'),
    ]
    return good * 10 + [(path.suffix[1:], path.read_text(encoding="utf-8")) for path in MISTAKES]


@pytest.mark.parametrize("part", range(4))
def test_i6_t10_mutilated_batches_are_read_or_refused(part):
    """I1 to I7: whatever the bytes."""
    rng = random.Random(SEED * 4 + part)
    sources = corpus()
    for number in range(CASES // 4):
        kind, base = rng.choice(sources)
        text = mutilated(base, rng)
        started = time.process_time()
        try:
            config, _ = load_text(
                text,
                file=f"batch.{kind}",
                format=kind,
                folder="/x",
                lookup=SIGNATURES.get,
                names=lambda: SIGNATURES,
            )
        except ConfigError as error:
            for found in error.diagnostics:
                found.render().encode()
                assert "\n" not in found.message, text
                assert found.line or found.code == "file", (found, text)
        else:
            assert decode(encode(config)) == config, text
        assert time.process_time() - started < 2, (SEED, part, number, text)
