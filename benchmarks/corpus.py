"""A made-up text corpus: French and English-looking words in UTF-8, with log lines in between. The same bytes for the same seed."""

from __future__ import annotations

import random
import sys
from itertools import accumulate, islice
from pathlib import Path

_SYLLABLES = (
    *("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo", "chan", "der", "fel", "gran", "hor"),
    *("jour", "mont", "nel", "par", "quel", "ren", "ser", "tion", "ver", "ment", "eau", "ing", "ness", "ough", "able", "é", "è", "à"),
)  # fmt: skip
_ASCII = _SYLLABLES[:-3]
_LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "WARN", "ERROR")
_BASE_BYTES = 16 * 2**20


def vocabulary(size: int, rng: random.Random, syllables: tuple[str, ...]) -> list[str]:
    """Distinct words, the shortest first, one in ten capitalised."""
    words: dict[str, None] = {}
    while len(words) < size:
        short = len(words) < len(_ASCII)
        word = _ASCII[len(words)] if short else "".join(rng.choices(syllables, k=rng.choice((2, 3, 3, 4, 4))))
        words[word.capitalize() if rng.random() < 0.1 else word] = None
    return list(words)


def _lines(rng: random.Random, *, accents: bool) -> list[bytes]:
    """About `_BASE_BYTES` of lines; one in twenty looks like a log."""
    words = vocabulary(50_000, rng, _SYLLABLES if accents else _ASCII)
    weights = list(accumulate(1 / rank for rank in range(2, len(words) + 2)))
    lines: list[bytes] = []
    size = 0
    while size < _BASE_BYTES:
        text = iter(rng.choices(words, cum_weights=weights, k=4096))
        while chosen := list(islice(text, rng.randint(6, 18))):
            head = f"2026-11-20 {rng.choice(_LEVELS)} job-{rng.randrange(1000)} " if rng.random() < 0.05 else ""
            lines.append(f"{head}{' '.join(chosen)}\n".encode())
            size += len(lines[-1])
    return lines


def write(path: Path, size: int, seed: int = 1, *, accents: bool = True) -> None:
    """Write at least `size` bytes: the same lines again and again, each time in another order."""
    rng = random.Random(seed)
    lines = _lines(rng, accents=accents)
    with path.open("wb") as file:
        while file.tell() < size:
            rng.shuffle(lines)
            file.writelines(lines)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) * 10**6, accents="ascii" not in sys.argv[3:])
