"""Pictures of numbers as HTML and SVG: tables with bars, columns, one divided strip, a map of dots.

It knows numbers and texts only: no dataset, no register, no language. Texts come as they are and are escaped here; numbers come with the
text that says them. Colours belong to the style sheet of the page, which knows the classes that are used here. Every function yields whole
lines; nothing moves, and nothing is loaded.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Point = tuple[float, float]

# in pixels of the drawing, which the page scales
_WIDTH: Final = 560
_HEIGHT: Final = 230
_LEFT: Final = 48
_TOP: Final = 14
_BOTTOM: Final = 26
_MAP_WIDTH: Final = 520
_STEPS: Final = (1, 2, 5, 10)
"""Between lines of a column chart, times a power of ten."""
_MOST_LINES: Final = 6
_SIZES: Final = 10
"""Of dots."""
_LONG: Final = 20
_SHORT: Final = 9
"""Letters of the longest text of a table above which, and below which, its column has another width."""
_MANY: Final = 100
"""What the largest dot stands for at least: on a map of a few rows all dots are small."""


class Bar(NamedTuple):
    """A row of a table with bars: its name, a small text beside it, its value (None: no bar) and that as text, and a mark, such as a target."""

    name: str
    value: float | None
    text: str
    aside: str = ""
    tone: str = ""
    mark: float | None = None


class Column(NamedTuple):
    """A column: its name, its values above the line and below it, both as text, and its label on the axis if any."""

    name: str
    above: float
    text: str
    below: float = 0
    tick: str = ""
    tone: str = ""


class Part(NamedTuple):
    """A part of a whole."""

    name: str
    value: float
    text: str
    tone: str


class Dot(NamedTuple):
    """A point on a plane (y upwards) and its value."""

    x: float
    y: float
    value: float


def bar_table(
    caption: str, heads: tuple[str, str], bars: Sequence[Bar], *, whole: float | None = None
) -> Iterator[str]:
    """A table with a bar in each row, as long as its share of `whole`, else of the longest. Long texts are put below their bar."""
    longest = whole or max((bar.value or 0 for bar in bars), default=0) or 1
    most = max((len(bar.text) for bar in bars), default=0)
    width = " long" if most > _LONG else " short" if most < _SHORT else ""
    yield f'<table class="bars{width}"><caption>{escape(caption)}</caption>'
    yield f'<thead><tr><th scope="col">{escape(heads[0])}</th><th scope="col">{escape(heads[1])}</th></tr></thead><tbody>'
    for bar in bars:
        aside = f" <small>{escape(bar.aside)}</small>" if bar.aside else ""
        yield f'<tr><th scope="row">{escape(bar.name)}{aside}</th>'
        yield f'<td>{_track(bar, longest)}<span class="value">{escape(bar.text)}</span></td></tr>'
    yield "</tbody></table>"


def _track(bar: Bar, longest: float) -> str:
    if bar.value is None:
        return '<span class="track none" aria-hidden="true"></span>'
    mark = "" if bar.mark is None else f'<i style="left:{_percent(bar.mark / longest)}"></i>'
    fill = (
        f'<b class="{escape(bar.tone or "plain")}" style="width:{_percent(bar.value / longest)}"></b>'
        if bar.value
        else ""
    )
    return f'<span class="track" aria-hidden="true">{fill}{mark}</span>'


def strip(label: str, parts: Sequence[Part]) -> Iterator[str]:
    """One whole divided into parts, with a list that says what each colour is."""
    sentence = ", ".join(f"{part.name} : {part.text}" for part in parts)
    yield f'<div class="strip" role="img" aria-label="{escape(f"{label}. {sentence}")}">'
    for part in parts:
        if part.value:
            yield f'<span class="{escape(part.tone)}" style="flex:{_plain(part.value)}"></span>'
    yield '</div><ul class="legend">'
    for part in parts:
        yield f'<li><span class="swatch {escape(part.tone)}"></span>{escape(part.name)} <strong>{escape(part.text)}</strong></li>'
    yield "</ul>"


def column_chart(label: str, columns: Sequence[Column], number: Callable[[float], str]) -> Iterator[str]:
    """Columns above a line and, where there are such, below it. Each shows its text when it is pointed at."""
    scale = _Scale.of(columns)
    width = (_WIDTH - _LEFT) / max(len(columns), 1)
    gap = min(width * 0.22, 4)
    yield f'<div class="scroll"><svg class="columns" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
    for value in scale.lines:
        y = _plain(scale.y(value))
        yield f'<line class="{"axis" if value == 0 else "grid"}" x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
        yield f'<text class="scale" x="{_LEFT - 8}" y="{_plain(scale.y(value) + 4)}">{escape(number(abs(value)))}</text>'
    for index, column in enumerate(columns):
        left = _LEFT + index * width
        yield "<g>" + f"<title>{escape(f'{column.name} : {column.text}')}</title>"
        yield _rectangle(column.tone or "plain", left + gap / 2, width - gap, scale.y(column.above), scale.y(0))
        if column.below:
            yield _rectangle("below", left + gap / 2, width - gap, scale.y(0), scale.y(-column.below))
        yield "</g>"
        if column.tick:
            yield f'<text class="tick" x="{_plain(left + width / 2)}" y="{_HEIGHT - 8}">{escape(column.tick)}</text>'
    yield "</svg></div>"


def dot_map(
    label: str,
    shapes: Sequence[Sequence[Point]],
    dots: Sequence[Dot],
    names: Sequence[tuple[float, float, str]],
    cell: float,
    number: Callable[[float], str],
) -> Iterator[str]:
    """Dots on a grid of `cell` over the outlines of some shapes, larger where more is, with a few names beside them.

    A size is one path of all its dots, each a line of no length with a round end: ten bytes a dot.
    """
    plane = _Plane([point for shape in shapes for point in shape], cell)
    most = max((dot.value for dot in dots), default=0)
    yield f'<svg class="map" viewBox="0 0 {_MAP_WIDTH} {_plain(plane.height)}" role="img" aria-label="{escape(label)}">'
    outline = "".join(f"M{'L'.join(plane.at(x, y) for x, y in shape)}Z" for shape in shapes)
    yield f'<path class="land" d="{outline}"/>'
    for size in range(1, _SIZES + 1):
        points = "".join(f"M{plane.at(dot.x, dot.y)}h.01" for dot in dots if _size(dot.value, most) == size)
        if points:
            yield _dots(size, plane, cell, points)
    for x, y, name in names:
        left, top = plane.point(x, y)
        # on the left of its dot where the name would leave the map on the right
        side, offset = ("start", 1.4) if left < _MAP_WIDTH * 0.7 else ("end", -1.4)
        left += cell * plane.scale * offset
        yield f'<text class="place {side}" x="{_plain(left)}" y="{_plain(top + 4)}">{escape(name)}</text>'
    for row, size in enumerate((1, (_SIZES + 1) // 2, _SIZES)):
        top = plane.height - 30 * (3 - row) + 10
        yield _dots(size, plane, cell, f"M24 {_plain(top)}h.01")
        yield f'<text class="key" x="46" y="{_plain(top + 4)}">\u2265 {escape(number(_least(size, most)))}</text>'
    yield "</svg>"


class _Scale(NamedTuple):
    """The values at the top and at the bottom of a column chart, and those that have a line."""

    top: float
    bottom: float
    lines: tuple[float, ...]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> _Scale:
        most = max((column.above for column in columns), default=0)
        least = max((column.below for column in columns), default=0)
        step = _step((most + least) / _MOST_LINES)
        top, bottom = max(math.ceil(most / step), 1) * step, math.ceil(least / step) * step
        count = round((top + bottom) / step) + 1
        return cls(top, -bottom, tuple(index * step - bottom for index in range(count)))

    def y(self, value: float) -> float:
        return _TOP + (self.top - value) / (self.top - self.bottom) * (_HEIGHT - _TOP - _BOTTOM)


class _Plane:
    """From a plane with y upwards to the map's own pixels."""

    def __init__(self, points: Sequence[Point], margin: float) -> None:
        xs, ys = [x for x, _ in points] or [0.0, 1.0], [y for _, y in points] or [0.0, 1.0]
        self._left, self._top = min(xs) - margin, max(ys) + margin
        self.scale = _MAP_WIDTH / (max(xs) + margin - self._left)
        self.height = (self._top - min(ys) + margin) * self.scale

    def point(self, x: float, y: float) -> Point:
        return (x - self._left) * self.scale, (self._top - y) * self.scale

    def at(self, x: float, y: float) -> str:
        left, top = self.point(x, y)
        return f"{_plain(left)} {_plain(top)}"


def _step(least: float) -> float:
    """The round number at or above `least`: 1, 2 or 5 with zeros, and whole."""
    if least <= 1:
        return 1
    zeros = 10.0 ** math.floor(math.log10(least))
    return next(factor * zeros for factor in _STEPS if factor * zeros >= least)


def _size(value: float, most: float) -> int:
    """From one to `_SIZES`, by area; few are never drawn as if they were many."""
    enough = (size for size in range(1, _SIZES) if max(most, _MANY) * size**2 >= value * _SIZES**2)
    return next(enough, _SIZES)


def _least(size: int, most: float) -> int:
    """The least value of a size."""
    return math.floor(max(most, _MANY) * (size - 1) ** 2 / _SIZES**2) + 1


def _dots(size: int, plane: _Plane, cell: float, points: str) -> str:
    diameter = cell * plane.scale * (0.4 + 1.7 * (size - 1) / (_SIZES - 1))
    return f'<path class="dots" stroke-width="{_plain(diameter)}" d="{points}"/>'


def _rectangle(tone: str, left: float, width: float, top: float, bottom: float) -> str:
    return f'<rect class="{escape(tone)}" x="{_plain(left)}" width="{_plain(width)}" y="{_plain(top)}" height="{_plain(bottom - top)}"/>'


def _percent(share: float) -> str:
    return f"{_plain(min(max(share, 0), 1) * 100)}%"


def _plain(value: float) -> str:
    """One decimal, and no more zeros than needed: the same text on every machine."""
    return f"{value:.1f}".removesuffix(".0")
