"""Draws `docs/concepts/states.svg` from the table of legal moves in `joblot.core.runstate`.

`python docs/make_states.py` writes it; with `--check` it exits 1 if it is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joblot.core.model import FINAL, STATE_OF, STATES
from joblot.core.runstate import NEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET: Final = Path(__file__).resolve().parent / "concepts" / "states.svg"
_WIDTH: Final = 120
_HEIGHT: Final = 40
_PLACES: Final = {
    "waiting": (30, 110),
    "ready": (270, 110),
    "running": (510, 110),
    "backing_off": (390, 20),
    "skipped": (30, 300),
    "cached": (170, 300),
    "aborted": (310, 300),
    "cancelled": (450, 300),
    "failed": (590, 300),
    "success": (730, 300),
}
_COLOURS: Final = {"waiting": "#7a7a7a", "ready": "#1f6feb", "running": "#2da44e", "backing_off": "#bf8700"}
"""Of the arrows that leave an open state."""


def picture() -> str:
    """The SVG."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 360" font-family="sans-serif" font-size="15">',
        '<rect width="880" height="360" fill="#ffffff"/>',
        *_markers(),
        *(_arrow(state, after) for state, following in sorted(NEXT.items()) for after in sorted(following)),
        *(_box(name) for name in STATES),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _markers() -> Iterator[str]:
    for name, colour in _COLOURS.items():
        yield (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
        )


def _arrow(state: int, after: int) -> str:
    start, end = STATES[state], STATES[after]
    path = _downwards(start, end) if after in FINAL else _between(start, end)
    return f'<path d="{path}" fill="none" stroke="{_COLOURS[start]}" stroke-width="1.5" marker-end="url(#{start})"/>'


def _downwards(start: str, end: str) -> str:
    x, y = _PLACES[start]
    to_x, to_y = _PLACES[end]
    # Each open state leaves and arrives at a place of its own, so that no two arrows lie on each other.
    shift = (list(_COLOURS).index(start) - 1.5) * 16
    from_x, from_y = x + _WIDTH / 2 + shift, y + _HEIGHT
    return f"M{from_x:g} {from_y:g} C{from_x:g} {from_y + 70:g} {to_x + _WIDTH / 2 + shift:g} {to_y - 70:g} {to_x + _WIDTH / 2 + shift:g} {to_y - 2:g}"


def _between(start: str, end: str) -> str:
    x, y = _PLACES[start]
    to_x, to_y = _PLACES[end]
    if y == to_y:
        right = to_x > x
        from_x, end_x = (x + _WIDTH, to_x - 2) if right else (x, to_x + _WIDTH + 2)
        level = y + (_HEIGHT * (0.3 if right else 0.7))
        return f"M{from_x:g} {level:g} L{end_x:g} {level:g}"
    if to_y < y:
        return f"M{x + _WIDTH / 2:g} {y:g} L{x + _WIDTH / 2:g} {to_y + _HEIGHT / 2:g} L{to_x + _WIDTH + 2:g} {to_y + _HEIGHT / 2:g}"
    return f"M{x:g} {y + _HEIGHT / 2:g} L{to_x + _WIDTH / 2:g} {y + _HEIGHT / 2:g} L{to_x + _WIDTH / 2:g} {to_y - 2:g}"


def _box(name: str) -> str:
    x, y = _PLACES[name]
    final = STATE_OF[name] in FINAL
    fill, stroke = ("#f6f8fa", "#57606a") if final else ("#ffffff", _COLOURS[name])
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + 25}" text-anchor="middle" fill="#24292f">{name}</text>'
    )


def main() -> int:
    """Write or check."""
    new = picture()
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == new:
        return 0
    sys.stdout.write(f"{TARGET.name}\n")
    if "--check" in sys.argv:
        return 1
    TARGET.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
