"""What a generation would do to a folder, and doing it.

First everything is rendered and checked and compared with what is there; nothing is written while anything is wrong with any item. A file
that was edited, or that joblot did not generate, is left alone unless that is forced. It does not know where items come from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal
from unicodedata import normalize

from msgspec import Struct, structs

from joblot.config.source import Format
from joblot.core.names import is_reserved
from joblot.core.written import shorten
from joblot.errors import ConfigError, Diagnostic, JoblotError, UsageError
from joblot.files import reason_of, write_atomically
from joblot.generate.header import read_header, seal
from joblot.generate.safety import Shape, kind_of
from joblot.generate.text import Template, unfit

if TYPE_CHECKING:
    from pathlib import Path

State = Literal["generated", "unchanged", "edited", "not_ours", "pruned", "failed"]
STATES: Final[Sequence[State]] = ("generated", "unchanged", "edited", "pruned", "not_ours", "failed")
Check = Callable[[str, str, Format], list[Diagnostic]]
"""Looks at a finished text, given with its file and format; says what is wrong with it, or doubtful."""

_MOST_BYTES_OF_A_NAME: Final = 255
_HEAD: Final = 1 << 16
"""So many bytes of a file are read to see whose it is: the header is its first line, or its first key."""
_SHOWN: Final = 5
"""How often one mistake is shown."""
_REFUSED_BY_WINDOWS: Final = re.compile(r'[<>:"|?*]')


class Write(Struct, frozen=True):
    """One file and what becomes, or has become, of it.

    `path` is the folder as it was given and the file's name. `text` is what it should hold, empty for one that goes; `before` is what it
    holds now, None when it is not there. `reason` says why a write failed.
    """

    path: str
    state: State
    text: str = ""
    before: bytes | None = None
    values: Mapping[str, str] = {}
    reason: str = ""


def check_batch(text: str, file: str, kind: Format) -> list[Diagnostic]:
    """What is wrong with, or doubtful in, a batch; nothing for a text without `jobs`. What only a run knows may be missing."""
    from joblot.actions.registry import ACTIONS, import_modules
    from joblot.config.load import load_text
    from joblot.config.source import parse
    from joblot.core.plan import expand

    data = parse(text, file, kind).data
    if not isinstance(data, dict) or "jobs" not in data:
        return []
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - links stay as they are
    try:
        config, warnings = load_text(
            text, file=file, folder=folder, format=kind,
            lookup=ACTIONS.signature, names=ACTIONS.names, importer=import_modules, unknown="warning",
        )  # fmt: skip
        expand(config)
    except ConfigError as error:
        return [problem for problem in error.diagnostics if not _known_by_a_run(problem)]
    return warnings


def _known_by_a_run(problem: Diagnostic) -> bool:
    return problem.message.endswith((" needs a value", " is not set")) and problem.code in ("variable", "reference")


def plan_writes(
    template: Template,
    items: Iterable[Mapping[str, str]],
    *,
    folder: str | Path,
    name: str,
    force: bool = False,
    prune: bool = False,
    check: Check = check_batch,
) -> tuple[list[Write], list[Diagnostic]]:
    """What is to be done for the items, in their order, then what would be pruned; and warnings. Nothing is written.

    `name` is the template of the files' names, in the same variables. With `force` files that were edited, or that joblot did not generate,
    are overwritten, and edited ones pruned. `prune` is for files in the folder that the same template made and that no item asks for.

    Raises:
        ConfigError: with everything that is wrong, of all items.
        UsageError: the folder cannot be read, or what a file would overwrite.
    """
    items = list(items)
    root = os.fspath(folder)
    if os.path.lexists(root) and not os.path.isdir(root):  # noqa: PTH112
        raise UsageError(f"not a folder: `{root}`", hint="give `--out` a folder; it is made if it is missing")
    paths = _paths(template, items, root, Template(name, file="--name"))
    texts, warnings = _render_all(template, items, paths, check)
    writes = [_write(path, text, values, force=force) for path, text, values in zip(paths, texts, items, strict=True)]
    if prune:
        writes += _prunable(root, os.path.basename(template.file), paths, force=force)  # noqa: PTH119
    return writes, warnings


def apply_writes(writes: Iterable[Write]) -> Iterator[Write]:
    """Do what was planned, file by file, each whole or not at all; a file that changed in the meantime counts as edited."""
    for write in writes:
        yield _apply(write) if write.state in ("generated", "pruned") else write


def count(writes: Iterable[Write]) -> dict[State, int]:
    """How many files there are in each state."""
    counts: dict[State, int] = dict.fromkeys(STATES, 0)
    for write in writes:
        counts[write.state] += 1
    return counts


def diff(write: Write) -> str:
    """What a write changes, as a unified diff; empty for a file that stays."""
    from difflib import unified_diff

    if write.state not in ("generated", "pruned"):
        return ""
    before = (write.before or b"").decode(errors="replace")
    old = "/dev/null" if write.before is None else write.path
    new = "/dev/null" if write.state == "pruned" else write.path
    lines = unified_diff(_lines(before), _lines(write.text), old, new)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+$", text)


# --- names ------------------------------------------------------------------------------------------


def _paths(template: Template, items: Sequence[Mapping[str, str]], root: str, name: Template) -> list[str]:
    """The items' files: of one name each, that is nothing but a name, and in the folder.

    Raises:
        ConfigError: with every name that is not right.
    """
    problems: list[Diagnostic] = []
    first: dict[str, str] = {}
    paths: list[str] = []
    for item in items:
        unknown = name.problems(item.keys())
        if unknown:
            raise ConfigError(unknown)
        file_name = name.fill([item[piece.name] for piece in name.variables])
        path = os.path.join(root, file_name)  # noqa: PTH118
        reason = _wrong_name(file_name) or _wrong_path(path, root, template.file)
        if reason:
            message = f"file name `{shorten(file_name)}` {reason}"
            problems.append(Diagnostic("name", message, hint=_values_of(name, item)))
        elif (folded := _folded(file_name)) in first:
            problems.append(_same_name(file_name, first[folded]))
        else:
            first[folded] = file_name
        paths.append(path)
    if problems:
        raise ConfigError(problems)
    return paths


def _folded(name: str) -> str:
    """What is one name to a file system that ignores case and how accents are written."""
    return normalize("NFC", normalize("NFC", name).casefold())


def _same_name(name: str, twin: str) -> Diagnostic:
    same = f"two items have the file name `{shorten(name)}`"
    alike = f"file names `{shorten(twin)}` and `{shorten(name)}` are the same to some file systems"
    return Diagnostic(
        "name", same if name == twin else alike, hint="let `--name` hold every variable that tells items apart"
    )


def _wrong_name(name: str) -> str:
    """Why no file should be called so, on this or another system; empty when it may."""
    # Stricter than Linux: generated files are shared, and a name that one system cannot have breaks a whole checkout there.
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "means a folder"
    mark = next((mark for mark in ("/", "\\") if mark in name), "") or (_REFUSED_BY_WINDOWS.search(name) or [""])[0]
    if mark:
        return f"holds `{mark}`"
    if reason := unfit(name):
        return reason
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a blank, or ends with a dot"
    if is_reserved(name):
        return "is one that Windows keeps for itself"
    if len(name.encode()) > _MOST_BYTES_OF_A_NAME:
        return f"is longer than {_MOST_BYTES_OF_A_NAME} bytes"
    return ""


def _wrong_path(path: str, root: str, template: str) -> str:
    real = os.path.realpath(path)
    if os.path.dirname(real) != os.path.realpath(root):  # noqa: PTH120
        return "is a link that leads out of the folder"
    if os.path.lexists(path):
        if not os.path.isfile(path):  # noqa: PTH113
            return "belongs to something that is no file"
        if os.path.exists(template) and os.path.samefile(path, template):  # noqa: PTH110, PTH121
            return "is the template's own"
    return ""


def _values_of(name: Template, item: Mapping[str, str]) -> str:
    return ", ".join(f"`{variable}` is `{shorten(item[variable])}`" for variable in sorted(name.names))


# --- texts ------------------------------------------------------------------------------------------


def _render_all(
    template: Template, items: Sequence[Mapping[str, str]], paths: Sequence[str], check: Check
) -> tuple[list[str], list[Diagnostic]]:
    """The items' files, and warnings.

    Raises:
        ConfigError: with what is wrong in any of them.
    """
    shapes: dict[Format | None, Shape] = {}
    label = os.path.basename(template.file)  # noqa: PTH119
    texts: list[str] = []
    problems: dict[Diagnostic, None] = {}  # each once: what is wrong with the template itself is wrong for every item
    for item, path in zip(items, paths, strict=True):
        kind = kind_of(path, template.file)
        if kind not in shapes:
            shapes[kind] = Shape(template, kind)
        try:
            text = seal(shapes[kind].render(item), label, in_json=kind == "json")
            problems.update(dict.fromkeys(check(text, path, kind) if kind else ()))
            texts.append(text)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.diagnostics))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ConfigError(_summed_up(errors))
    return texts, _summed_up(problems)


def _summed_up(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Of what is wrong at one position of the template for many items, the first few: it will be one mistake."""
    by_position: dict[tuple[str, str, int], list[Diagnostic]] = {}
    for problem in problems:
        by_position.setdefault((problem.code, problem.path, problem.line), []).append(problem)
    shown: list[Diagnostic] = []
    for same in by_position.values():
        shown += same[:_SHOWN]
        if len(same) > _SHOWN:
            others = f"{len(same) - _SHOWN:,} more {'file' if len(same) == _SHOWN + 1 else 'files'}"
            shown[-1] = shown[-1]._replace(message=f"{shown[-1].message} (and in {others})")
    return shown


# --- files ------------------------------------------------------------------------------------------


def _content(path: str, most: int = -1) -> bytes | None:
    """What a file holds, or its first bytes; None when there is none."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read(most)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {reason_of(error)}") from None


def _write(path: str, text: str, values: Mapping[str, str], *, force: bool) -> Write:
    before = _content(path, -1 if force else _HEAD)
    if before is not None and len(before) == _HEAD and read_header(before.decode(errors="replace")):
        before = _content(path)
    return Write(path, _state(before, text, force=force), text, before, values)


def _state(before: bytes | None, text: str, *, force: bool) -> State:
    if before is None:
        return "generated"
    if before == text.encode():
        return "unchanged"
    header = read_header(before.decode(errors="replace"))
    if force or (header and header.intact):
        return "generated"
    return "edited" if header else "not_ours"


def _prunable(root: str, label: str, paths: Sequence[str], *, force: bool) -> Iterator[Write]:
    """The files of the folder that the template made and no item asks for."""
    current = {_folded(os.path.basename(path)): path for path in paths}  # noqa: PTH119
    for entry in _entries(root):
        twin = current.get(_folded(entry.name))
        # Names that differ in case or accents only may be one file, or two: the file system decides.
        if twin and os.path.exists(twin) and os.path.samefile(twin, entry.path):  # noqa: PTH110, PTH121
            continue
        head = read_header((_content(entry.path, _HEAD) or b"").decode(errors="replace"))
        if head is None or head.label != label:
            continue  # another's, and may be of any size
        before = _content(entry.path)
        header = read_header((before or b"").decode(errors="replace"))
        if header and header.label == label:
            yield Write(entry.path, "pruned" if header.intact or force else "edited", before=before)


def _entries(root: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"cannot read `{root}`: {reason_of(error)}") from None
    return sorted(files, key=lambda entry: entry.name)


def _apply(write: Write) -> Write:
    try:
        if _content(write.path) != write.before:
            return structs.replace(write, state="edited")
        if write.state == "pruned":
            os.unlink(write.path)  # noqa: PTH108
        else:
            write_atomically(write.path, [write.text.encode()])
    except JoblotError as error:
        return structs.replace(write, state="failed", reason=error.message)
    except OSError as error:
        reason = f"cannot remove `{write.path}`: {reason_of(error)}"
        return structs.replace(write, state="failed", reason=reason)
    return write


def as_dict(write: Write) -> dict[str, Any]:
    """A write as `--json` prints it."""
    shown: dict[str, Any] = {"file": write.path, "state": write.state, "variables": dict(write.values)}
    return shown | ({"reason": write.reason} if write.reason else {})
