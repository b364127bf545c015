"""Mutilated batch files by the million: read or refused with joblot's own error, and how long the slowest one took.

The files are those of `tests/unit/config/test_fuzz.py`. Counted are other errors, errors without a place, batches that are not read back
from the journal as they were, and files that took longer than LIMIT_S of processor time. Prints one line; exits 1 when one of these is
not 0.

    python tests/torture/fuzz.py --cases 1000000 [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

LIMIT_S = 0.25
PARTS = 8
BAD = ("other errors", "errors without a place", "not read back", "too slow")


def part(asked: tuple[int, int]) -> tuple[Counter[str], float, str]:
    """One share of the files: what was counted, and the slowest one."""
    from joblot.config.load import decode, encode, load_text
    from joblot.errors import ConfigError
    from messages.signatures import SIGNATURES
    from unit.config.test_fuzz import corpus, mutilated

    seed, cases = asked
    rng, sources = random.Random(seed), corpus()  # noqa: S311 - repeats exactly, which is what it is for
    tally: Counter[str] = Counter()
    slowest, worst = 0.0, ""
    for _ in range(cases):
        kind, base = rng.choice(sources)
        text = mutilated(base, rng)
        began = time.process_time()
        try:
            config, _ = load_text(
                text, file=f"batch.{kind}", format=kind, folder="/x", lookup=SIGNATURES.get, names=lambda: SIGNATURES
            )
            tally["read"] += 1
            tally["not read back"] += decode(encode(config)) != config
        except ConfigError as error:
            tally["refused"] += 1
            for found in error.diagnostics:
                found.render().encode()
                tally["errors without a place"] += not found.line and found.code != "file"
        except Exception as error:  # noqa: BLE001 - what this looks for
            tally["other errors"] += 1
            print(f"{type(error).__name__}: {error}: {text!r}")
        took = time.process_time() - began
        tally["too slow"] += took > LIMIT_S
        if took > slowest:
            slowest, worst = took, text
    return tally, slowest, worst


def main() -> int:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with Pool() as pool:
        found = pool.map(part, [(asked.seed * PARTS + number, asked.cases // PARTS) for number in range(PARTS)], 1)
    tally = sum((one for one, _, _ in found), Counter[str]())
    slowest, worst = max((seconds, text) for _, seconds, text in found)
    if tally["too slow"]:
        print(f"slowest: {worst!r}")
    counts = ", ".join(f"{what} {tally[what]}" for what in ("read", "refused", *BAD))
    print(
        f"files {tally['read'] + tally['refused'] + tally['other errors']}, {counts}, slowest {slowest * 1000:.0f} ms"
    )
    return any(tally[what] for what in BAD)


if __name__ == "__main__":
    sys.exit(main())
