"""Fills the column of tests in `docs/requirements.md` from the tests that name the number of a requirement.

`python docs/make_requirements.py` writes it; with `--check` it exits 1 if it is out of date. A test names a number in its name
(`test_r53_...`), in a docstring (`R69 to R76` are eight), or in a comment.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET: Final = Path(__file__).resolve().parent / "requirements.md"
TESTS: Final = TARGET.parent.parent / "tests"
NOT_YET: Final = "**Not yet:**"
_ROW: Final = re.compile(r"^\| ([DIPRST]\d+) \| (.*?) \| (?:.* )?\|$", re.MULTILINE)
_GAPS: Final = re.compile(r"(<!-- begin: not yet -->\n).*?(<!-- end: not yet -->)", re.DOTALL)
_NUMBERS: Final = re.compile(r"(?<![+\w])([DGIPRST])(\d{1,3})(?: to \1(\d{1,3}))?(?![\w-])")
_IN_NAMES: Final = re.compile(r"(?<=_)[dgiprst]\d{1,3}(?=_|$)")


def rows(page: str) -> dict[str, str]:
    """The numbers of a page with what they say."""
    return {match[1]: match[2] for match in _ROW.finditer(page)}


def named(text: str) -> set[str]:
    """The numbers that a text names."""
    return {
        f"{letter}{number}"
        for letter, first, last in _NUMBERS.findall(text)
        for number in range(int(first), int(last or first) + 1)
    }


def tests_by_number() -> dict[str, list[str]]:
    """For each number the files below `tests/` that name it, in order."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        for number in named_by(path):
            found.setdefault(number, []).append(path.relative_to(TESTS).as_posix())
    return found


def named_by(path: Path) -> set[str]:
    """The numbers that a file of tests names."""
    found: set[str] = set()
    for node in _definitions(ast.parse(path.read_text(encoding="utf-8"))):
        found |= named(ast.get_docstring(node) or "")
        if isinstance(node, ast.FunctionDef):
            found |= {number.upper() for number in _IN_NAMES.findall(node.name)}
    return found.union(*map(named, _comments(path)))


def _definitions(
    node: ast.Module | ast.ClassDef | ast.FunctionDef,
) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    yield node
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef):
            yield from _definitions(inner)


def _comments(path: Path) -> Iterator[str]:
    if not any(named(line.partition("#")[2]) for line in path.read_text(encoding="utf-8").splitlines()):
        return  # to take it apart costs much more
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.string.partition("noqa")[0]  # whose codes look like our numbers


def made(page: str, tests: dict[str, list[str]]) -> str:
    """The page with its column of tests, and the list of what is missing, as they are now."""

    def row(match: re.Match[str]) -> str:
        files = ", ".join(f"`{file}`" for file in tests.get(match[1], ()))
        return f"| {match[1]} | {match[2]} | {files}{' ' if files else ''}|"

    gaps = ", ".join(number for number, text in rows(page).items() if NOT_YET in text)
    listed = f"Not yet met, wholly or in part: {gaps}." if gaps else "All of them are met."
    return _GAPS.sub(lambda match: f"{match[1]}\n{listed}\n\n{match[2]}", _ROW.sub(row, page))


def main() -> int:
    """Write or check."""
    old = TARGET.read_text(encoding="utf-8")
    new = made(old, tests_by_number())
    if old != new:
        sys.stdout.write(f"{TARGET.name}\n")
        if "--check" not in sys.argv:
            TARGET.write_text(new, encoding="utf-8")
    return 1 if old != new and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
