"""Draws `docs/sirene/speed.svg` from the figures of `docs/sirene/speed.tsv`, which `benchmarks/sirene.py --tsv` writes."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER: Final = Path(__file__).resolve().parent / "sirene"
FIGURES: Final = FOLDER / "speed.tsv"
TARGET: Final = FOLDER / "speed.svg"
_WIDTH: Final = 380
_HEIGHT: Final = 240
_LEFT: Final = 60
_TOP: Final = 40
_COLOURS: Final = ("#0b6e4f", "#1f6feb", "#bf8700", "#a33b3b", "#7a4fb5")


class Point(NamedTuple):
    """What one program took for so many codes."""

    codes: int
    cpu_s: float
    peak_mib: float


def figures() -> dict[str, list[Point]]:
    """The points of each program, by codes."""
    found: dict[str, list[Point]] = {}
    for line in FIGURES.read_text(encoding="utf-8").splitlines()[1:]:
        codes, program, cpu, _wall, peak = line.split("\t")
        found.setdefault(program, []).append(Point(int(codes), float(cpu), float(peak)))
    return found


def picture() -> str:
    """The SVG: processor time and memory by the number of codes, both axes by powers of ten."""
    found = figures()
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" font-family="sans-serif" font-size="13">',
        '<rect width="960" height="400" fill="#ffffff"/>',
        *_chart(found, 0, "processor seconds", lambda point: point.cpu_s),
        *_chart(found, 480, "peak memory, MiB", lambda point: point.peak_mib),
        *_legend(found),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _chart(found: dict[str, list[Point]], left: int, title: str, of: Callable[[Point], float]) -> Iterator[str]:
    points = [point for program in found.values() for point in program]
    across = _axis([float(point.codes) for point in points])
    up = _axis([of(point) for point in points])

    def place(codes: float, value: float) -> tuple[float, float]:
        x = left + _LEFT + _share(codes, across) * _WIDTH
        return x, _TOP + _HEIGHT - _share(value, up) * _HEIGHT

    yield f'<text x="{left + _LEFT}" y="24" font-weight="bold">{escape(title)}</text>'
    for value in _ticks(up):
        _, y = place(across[0], value)
        yield f'<line x1="{left + _LEFT}" x2="{left + _LEFT + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{left + _LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for codes in sorted({point.codes for point in points}):
        x, _ = place(codes, up[0])
        yield f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 20}" text-anchor="middle">{codes}</text>'
    yield f'<text x="{left + _LEFT + _WIDTH / 2:.0f}" y="{_TOP + _HEIGHT + 40}" text-anchor="middle">codes</text>'
    for colour, program in zip(_COLOURS, found.values(), strict=False):
        way = " ".join("{:.1f},{:.1f}".format(*place(point.codes, of(point))) for point in program)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for point in program:
            x, y = place(point.codes, of(point))
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _legend(found: dict[str, list[Point]]) -> Iterator[str]:
    for number, (colour, program) in enumerate(zip(_COLOURS, found, strict=False)):
        x, y = 60 + number % 3 * 300, 350 + number // 3 * 24
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="{y}">{escape(program)}</text>'


def _axis(values: list[float]) -> tuple[float, float]:
    return min(values) * 0.8, max(values) * 1.2


def _share(value: float, axis: tuple[float, float]) -> float:
    low, high = axis
    return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def _ticks(axis: tuple[float, float]) -> Iterator[float]:
    power = math.floor(math.log10(axis[0]))
    while 10**power <= axis[1]:
        yield from (value for value in (10**power, 2 * 10**power, 5 * 10**power) if axis[0] <= value <= axis[1])
        power += 1


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
