"""The errors that joblot raises, and the diagnostics that they carry.

Few classes, each standing for what the caller can do about it. Nothing here knows how an error is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

EXIT_OK: Final = 0
EXIT_JOBS_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_INTERNAL: Final = 3
EXIT_STATE: Final = 4
EXIT_HELD: Final = 5
EXIT_TIME_LIMIT: Final = 124
EXIT_SIGINT: Final = 130
EXIT_SIGTERM: Final = 143


SHOWN: Final = 120
"""So many columns of a line of source are shown, and so many characters of a value that a message quotes."""
_CUT: Final = "..."
_LEAST: Final = 20
"""In a terminal that has no room for so many columns of the line, it breaks."""
_LONGEST: Final = 1000
"""A message of more characters, such as one that names thousands of jobs, is shown without its middle."""


class Diagnostic(NamedTuple):
    """One thing that is wrong (or doubtful) in a batch file: where, what, what to do.

    `path` is the field in the document (`jobs[3].retry.max_attempts`), `line` and `column` count from 1 and are 0 when unknown,
    `source` is the text of that line, `hint` an instruction without the word "hint". What is shown of them has an end, whatever the file holds.
    """

    code: str
    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    hint: str = ""
    severity: str = "error"

    def as_dict(self) -> dict[str, str | int]:
        """The diagnostic as `--json` prints it."""
        source = excerpt(self.source, self.column)[0] if self.line else self.source
        return self._replace(message=_brief(self.message), hint=_brief(self.hint), source=source)._asdict()

    def head(self, paint: Callable[[str, str], str] = lambda _level, text: text) -> str:
        """`file:line:column: error: message`, with what is known of the position. `paint(level, text)` may colour the word for how bad it is."""
        position = ":".join(filter(None, [self.file, f"{self.line}:{self.column}" if self.line else ""]))
        said = f"{paint(self.severity.upper(), self.severity)}: {_brief(self.message)}"
        return f"{position}: {said}" if position else said

    def render(self, paint: Callable[[str, str], str] = lambda _level, text: text, columns: int | None = None) -> str:
        """The head, the line with a caret under the column, in so many `columns` where these are fewer than it may take, and the hint."""
        lines = [self.head(paint)]
        if self.source and self.line:
            gutter = f"{self.line:>5} | "
            room = SHOWN if columns is None else max(min(SHOWN, columns - len(gutter)), _LEAST)
            shown, before = excerpt(self.source, self.column, room)
            lines += [
                f"{gutter}{shown}",
                f"{' ' * (len(gutter) - 2)}| {' ' * before}{paint(self.severity.upper(), '^')}",
            ]
        if self.hint:
            lines.append(f"{paint('HINT', 'hint')}: {_brief(self.hint)}")
        return "\n".join(lines)


def excerpt(source: str, column: int, room: int = SHOWN) -> tuple[str, int]:
    """At most `room` columns of a line of source around its `column`, counted from 1; and how many of them stand before that one.

    Tabs, and characters that would not be seen, are written out, so that the columns are those of a terminal.
    """
    at = min(max(column - 1, 0), len(source))
    before, after = (
        [_cell(char) for char in source[max(at - room, 0) : at]],
        [_cell(char) for char in source[at : at + room]],
    )
    widths = [_width(before) + max(at - room, 0), _width(after) + max(len(source) - at - room, 0)]
    if sum(widths) > room:
        most = room - min(widths[1], room // 2)
        if widths[0] > most:
            before = [(_CUT, len(_CUT)), *reversed(_fitting(reversed(before), most - len(_CUT)))]
        most = room - _width(before)
        if widths[1] > most:
            after = [*_fitting(after, most - len(_CUT)), (_CUT, len(_CUT))]
    return "".join(text for text, _ in before + after), _width(before)


def _cell(char: str) -> tuple[str, int]:
    """How a character is shown, and in how many columns."""
    if not char.isprintable():
        text = "    " if char == "\t" else char.encode("unicode_escape").decode()
        return text, len(text)
    if char.isascii():
        return char, 1
    from unicodedata import category, east_asian_width

    wide = 2 if east_asian_width(char) in ("W", "F") else 1
    return char, 0 if category(char) in ("Mn", "Me") else wide


def _width(cells: Iterable[tuple[str, int]]) -> int:
    return sum(width for _, width in cells)


def _fitting(cells: Iterable[tuple[str, int]], room: int) -> list[tuple[str, int]]:
    """The first cells that together take no more than so many columns."""
    fitting = []
    for cell in cells:
        room -= cell[1]
        if room < 0:
            break
        fitting.append(cell)
    return fitting


def _brief(text: str) -> str:
    """A message without the ends of quoted values beyond `SHOWN`, and without the middle of what is still long: a file may hold anything."""
    if len(text) <= SHOWN:
        return text
    from re import sub

    text = sub(rf"`([^`]{{{SHOWN - len(_CUT)}}})[^`]{{{len(_CUT) + 1},}}`", rf"`\1{_CUT}`", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} {_CUT} {text[-_LONGEST // 4 :]}"


class JoblotError(Exception):
    """Something that the user can mend. `exit_code` is the exit status of a command line.

    What a program does not catch shows the hint as a note of its traceback.
    """

    exit_code: int = EXIT_INTERNAL
    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = str(message)  # people raise `ActionError(error)`
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")


class UsageError(JoblotError):
    """An option or an argument that cannot be right."""

    exit_code = EXIT_CONFIG


class ConfigError(JoblotError, ValueError):
    """A batch that is wrong as written. `diagnostics` lists everything that was found, in the order of the file.

    `summary` is the error's own message, where that is not the first of them with its place. The others are notes, `NOTED` at most.
    """

    exit_code = EXIT_CONFIG
    NOTED: Final = 20

    def __init__(self, diagnostics: Iterable[Diagnostic] | str, *, hint: str = "", summary: str = "") -> None:
        self.diagnostics: Sequence[Diagnostic] = (
            [Diagnostic("config", diagnostics, hint=hint)] if isinstance(diagnostics, str) else list(diagnostics)
        )
        first = self.diagnostics[0]
        others = len(self.diagnostics) - 1
        if not summary:
            summary = first.head() if first.file else f"{first.path}: {first.message}" if first.path else first.message
        super().__init__(summary + (f" (and {others} more)" if others else ""), hint=first.hint)
        for other in self.diagnostics[1 : self.NOTED]:
            place = f"{other.path}: " if other.path and not other.file else ""
            self.add_note(f"{place}{other.head()}" + (f"\nhint: {other.hint}" if other.hint else ""))


class CyclicDependencyError(ConfigError):
    """Jobs that need each other. `cycle` names them, the first one again at the end."""

    def __init__(self, diagnostics: Iterable[Diagnostic], cycle: Sequence[str]) -> None:
        super().__init__(diagnostics)
        self.cycle = tuple(cycle)


class UnknownActionError(JoblotError, KeyError):
    """No action of that name is registered."""

    exit_code = EXIT_CONFIG

    def __str__(self) -> str:
        return self.message


class ActionError(JoblotError):
    """An action's own way of saying that its job failed, in one line without a traceback.

    `reason` is the reason code in reports, such as `missing_input`.
    """

    exit_code = EXIT_JOBS_FAILED

    def __init__(self, message: str, *, reason: str = "exception", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class StateError(JoblotError):
    """The state folder, its journal or a run in it cannot be used."""

    exit_code = EXIT_STATE


class UntrustedError(StateError):
    """The state folder, or something in it, is not the user's own alone, or a link, a pipe or a device where joblot makes a file."""


class NoRunsError(StateError):
    """Nothing has run here yet: there is no journal, one whose maker was killed before it wrote to it, or no run in it."""


class JournalDamagedError(StateError):
    """The journal does not hold what was written to it."""


class JournalWriteError(StateError):
    """The journal cannot take more facts now: the disk is full, or a write failed."""


class ClusterError(JoblotError):
    """The cluster that a run was to use cannot be used, or is there no more."""

    exit_code = EXIT_STATE


class RunHeldError(JoblotError):
    """Another live process drives the run."""

    exit_code = EXIT_HELD


class RunSkippedError(RunHeldError):
    """Nothing ran, as the batch asks for while another run is going on: `concurrency: {on_conflict: skip}`."""

    exit_code = EXIT_OK


class BatchFailedError(JoblotError):
    """`Report.check()`: at least one job did not succeed."""

    exit_code = EXIT_JOBS_FAILED


def why_unreadable(error: Exception) -> str:
    """Why something that was kept as JSON cannot be read. The versions of msgspec tell differently of what is no UTF-8."""
    return "it is not UTF-8 text" if "utf-8" in str(error).lower() else str(error)


def nearest(word: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """The known words nearest to a misspelt one, best first."""
    from difflib import get_close_matches

    folded = {name.casefold().replace("-", "_"): name for name in known}
    matches = get_close_matches(word.casefold().replace("-", "_"), folded, n=limit, cutoff=0.6)
    return [folded[name] for name in matches]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint sentence naming the nearest known words, or an empty string."""
    names = nearest(word, known)
    return f"did you mean {' or '.join(f'`{name}`' for name in names)}?" if names else ""
