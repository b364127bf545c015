"""Patterns of paths, as Python's `glob` reads them. Part of the core: pure."""

from __future__ import annotations

import re


def has_wildcard(path: str) -> bool:
    """Whether a path as it is written is a pattern."""
    return "*" in path or "?" in path


def as_literal(value: str) -> str:
    """A value written so that it stands for itself in a pattern."""
    return re.sub(r"[*?[]", r"[\g<0>]", value)


def literal_length(pattern: str) -> int:
    """How much of a pattern stands for itself, up to its first wildcard."""
    match = re.search(r"[*?[]", pattern)
    return match.start() if match else len(pattern)


def as_regex(pattern: str) -> str:
    """A pattern as Python's `glob` reads it: `*` and `?` within a name, `[...]`, `**` for folders, none of them for a dot at the beginning."""
    *folders, last = pattern.split("/")
    parts = [r"(?:[^/.][^/]*/)*" if folder == "**" else f"{_name_as_regex(folder)}/" for folder in folders]
    parts.append(r"(?:[^/.][^/]*/)*[^/.][^/]*" if last == "**" else _name_as_regex(last))
    return "".join(parts)


def _name_as_regex(name: str) -> str:
    regex, at = r"(?!\.)" if name[:1] in ("*", "?", "[") else "", 0
    while at < len(name):
        end = name.find("]", at + 2) if name[at] == "[" else -1
        if end > 0:
            inside = re.sub(r"([\\[&~|^])", r"\\\1", name[at + 1 : end])
            regex += f"[{'^' + inside[1:] if inside.startswith('!') else inside}]"
            at = end
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(name[at]) or re.escape(name[at])
        at += 1
    return regex
