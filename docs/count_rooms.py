"""Counts the house: what stands at the top of `src/joblot`, which room imports which, and how many floors that makes.

A room is a package or a module at the top of the package. A relation is a pair of rooms of which one imports the other, wherever the import
stands (also in a function, also for types only). The floors are the longest chain of relations; a relation upward is one that the layers in
`pyproject.toml` do not allow, or one that closes a circle. `python docs/count_rooms.py` prints the sentence that `docs/design.md` quotes.
"""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src" / "joblot"


def relations() -> set[tuple[str, str]]:
    """The pairs of rooms of which the first imports the second."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).with_suffix("").parts[0]
        if not room.startswith("__"):  # the package and its entry point are doors: they lead into every room
            found |= {(room, other) for other in _imported(path) if other != room}
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "joblot":
            yield from (alias.name if (SOURCE / alias.name).exists() else "__init__" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("joblot."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("joblot."))


def floor_of_each_layer() -> dict[str, int]:
    """Of each room the number of its layer, counted from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers" and one["containers"] == ["joblot"])
    return {name.strip(): number for number, layer in enumerate(layers) for name in layer.replace(":", "|").split("|")}


def sentence() -> str:
    """The figures in one sentence."""
    pairs, layer = relations(), floor_of_each_layer()
    things = [path for path in SOURCE.iterdir() if path.name != "__pycache__"]

    @cache
    def height(room: str, above: frozenset[str] = frozenset()) -> int:
        """How many floors end at a room; a circle would never end and counts as upward below."""
        below = [other for one, other in pairs if one == room and other not in above]
        return 1 + max((height(other, above | {room}) for other in below), default=0)

    upward = sorted(
        f"{one} -> {other}"
        for one, other in pairs
        if layer.get(one, 0) > layer.get(other, -1) or ((other, one) in pairs and one < other)
    )
    floors = max(height(room) for room in {one for one, _ in pairs})
    told = f" ({', '.join(upward)})" if upward else ""
    return f"{len(things)} things at the top, {floors} floors, {len(pairs)} relations between rooms, {len(upward)} upward{told}"


if __name__ == "__main__":
    print(sentence())
