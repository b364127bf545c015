"""Actions of the batch: measure a package of Python source, and write the report. `imports` of the batch file brings them in."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblot import ActionError, Context, action

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


@action("package_stats")
def package_stats(input: Path, *, pattern: str, ctx: Context) -> dict[str, Any]:
    """Measure a package of Python source, tests aside: its size, its functions, and the matches of a pattern.

    A function is public unless its name begins with `_`, and documented when it has a docstring.

    Raises:
        ActionError: there is no source, or the pattern is not a regular expression.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ActionError(f"not a regular expression: {error}", reason="bad_params") from None
    files = list(source_files(input))
    if not files:
        raise ActionError(f"no Python files in `{ctx.shown(input)}`", reason="missing_input")
    lines, matches, functions = 0, 0, []
    for done, path in enumerate(files, 1):
        with tokenize.open(path) as file:
            text = file.read()
        lines += len(text.splitlines())
        matches += len(wanted.findall(text))
        functions += functions_of(text, path)
        ctx.progress(done, len(files), "files")
    public = [function for function in functions if not function.name.startswith("_")]
    longest = max(functions, key=length, default=None)
    return {
        "package": input.name,
        "files": len(files),
        "lines": lines,
        "functions": len(functions),
        "public": len(public),
        "documented": sum(ast.get_docstring(function) is not None for function in public),
        "longest": f"{longest.name} ({length(longest)} lines)" if longest else "",
        "matches": matches,
    }


def source_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        if not any(part.startswith("test") for part in path.relative_to(folder).parts[:-1]):
            yield path


def functions_of(text: str, path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text, str(path))) if isinstance(node, Function)]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@action("write_report")
def write_report(
    *,
    output: Path,
    total: dict[str, int],
    words: list[list[Any]],
    pattern: dict[str, Any],
    packages: list[dict[str, Any]],
    ctx: Context,
) -> dict[str, Any]:
    """Write what all other jobs found as one Markdown page."""
    rows = sorted(packages, key=lambda package: -package["lines"])
    text = [
        "# The Python standard library",
        "",
        f"{total['line_count']:,} lines and {total['size_bytes'] / 1e6:.1f} MB of Python, tests aside.",
        f"`{pattern['pattern']}` stands in {pattern['matching_lines']:,} of the lines.",
        "",
        f"Its most frequent words: {', '.join(f'`{word}` ({count:,})' for word, count in words)}.",
        "",
        "| package | files | lines | functions | public ones documented | longest function | matches |",
        "|---|--:|--:|--:|--:|---|--:|",
        *map(row, rows),
        "",
    ]
    with ctx.output(output) as part:
        part.write_text("\n".join(text), encoding="utf-8")
    return {"packages": len(rows), "output": ctx.shown(output)}


def row(package: dict[str, Any]) -> str:
    documented = f"{100 * package['documented'] // package['public']} %" if package["public"] else ""
    numbers = f"{package['files']} | {package['lines']:,} | {package['functions']:,} | {documented}"
    return f"| {package['package']} | {numbers} | `{package['longest']}` | {package['matches']} |"
