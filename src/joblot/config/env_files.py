"""Files of environment variables (`env_file`): lines of `NAME=value`, read when a run starts or goes on, and kept nowhere.

All that is wrong with one has the code `env_file`. What programs that read such files take for different things is refused rather than guessed. No message holds a value.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final, NoReturn

from msgspec import Struct

from joblot.core.written import shorten
from joblot.errors import ConfigError, Diagnostic
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from joblot.core.model import Config, FilePosition, JobSpec

_MOST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)(?=[ \t]*=)")
_IGNORED: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
"""The rest of a line that says nothing."""
_BLANKS: Final = re.compile(r"[ \t]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BESIDE: Final = re.compile(r"[ \t]+=|=[ \t]+(?=[^ \t\n])")
"""Blanks around the `=`."""
_STOP: Final = re.compile(r"[$`\\\"']|[ \t]#")
"""What ends a value without quotes before the line does, or is refused there."""
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}
_QUOTE_HINT: Final = "write the value in single quotes: there it is taken as it stands"


class _OddError(Exception):
    """What cannot be read, and where in the text."""

    def __init__(self, at: int, message: str, hint: str = "", *, is_last: bool = False) -> None:
        super().__init__(message)
        self.is_last = is_last  # nobody knows what the rest is then
        self.at = at
        self.message = message
        self.hint = hint


def parse(text: str, file: str) -> tuple[dict[str, str], list[Diagnostic]]:
    """The variables of a text, and everything that is wrong with it; `file` is what messages call it."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    odd: list[_OddError] = []
    at = counted = 0
    line = 1
    while at < len(text):
        ignored = _IGNORED.match(text, at)
        if ignored is not None:
            at = ignored.end()
            continue
        begin = _BLANKS.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
        line, counted = line + text.count("\n", counted, begin), begin
        try:
            name, value, at = _entry(text, begin)
        except _OddError as error:
            odd.append(error)
            at = len(text) if error.is_last else text.find("\n", error.at) + 1 or len(text)
            continue
        if name in values:
            odd.append(_OddError(begin, f"`{name}` is set twice (first on line {lines[name]})", "keep one of them"))
        else:
            values[name], lines[name] = value, line
    return values, [_diagnostic(text, file, error) for error in odd]


def _diagnostic(text: str, file: str, error: _OddError) -> Diagnostic:
    # Without the line itself, which may hold a secret.
    line, begin = text.count("\n", 0, error.at) + 1, text.rfind("\n", 0, error.at) + 1
    return Diagnostic("env_file", error.message, "", file, line, error.at - begin + 1, hint=error.hint)


def _entry(text: str, at: int) -> tuple[str, str, int]:
    """A name, its value, and where the next line begins."""
    named = _NAME.match(text, at)
    if named is None:
        _refuse_name(text, at)
    name, at = named[1], named.end()
    if name.startswith("JOBLOT_"):
        hint = "names that begin with `JOBLOT_` are set by joblot itself"
        raise _OddError(named.start(1), f"`{name}` cannot be set", hint)
    if _BESIDE.match(text, at):
        message, hint = (
            f"there are blanks beside the `=` of `{name}`",
            "write `NAME=value`, and a value that begins with a blank in quotes",
        )
        raise _OddError(at if text[at] != "=" else at + 1, message, hint)
    at += 1
    quote = text[at : at + 1]
    value, at = _quoted(text, at, name) if quote in ("'", '"') and quote else _bare(text, at, name)
    rest = _IGNORED.match(text, at)
    if rest is None or text[at : at + 1] == "#":
        message = f"something follows the closing quote of `{name}`"
        raise _OddError(at, message, "a value stands in one pair of quotes, or in none")
    return name, value, rest.end()


def _refuse_name(text: str, at: int) -> NoReturn:
    line = text[at : len(text) if (end := text.find("\n", at)) < 0 else end]
    if control := _CONTROL.search(line):
        _refuse_control(at + control.start(), control[0])
    if "=" not in line:
        raise _OddError(at, "there is no `=` in this line", "write `NAME=value`, and `#` in front of a comment")
    hint = "environment variables are named with letters, digits and `_`"
    raise _OddError(at, "what stands before the `=` is no name of an environment variable", hint)


def _refuse_control(at: int, char: str) -> NoReturn:
    raise _OddError(at, f"the character U+{ord(char):04X} cannot stand here", "a value is text")


def _bare(text: str, at: int, name: str) -> tuple[str, int]:
    """A value without quotes: up to the end of the line, or a `#` behind a blank."""
    end = len(text) if (found := text.find("\n", at)) < 0 else found
    stop = _STOP.search(text, at, end)
    value = text[at : stop.start() if stop is not None else end].rstrip(" \t")
    if control := _CONTROL.search(value):
        _refuse_control(at + control.start(), control[0])
    char = stop[0] if stop is not None else ""
    if stop is not None and char[-1] != "#":
        if char == "\\":
            message = f"`\\` in the value of `{name}`: some programs take it as it is, others with the next character"
            raise _OddError(stop.start(), message, _QUOTE_HINT)
        if char in "'\"":
            hint = f"write the whole value in {'single' if char == chr(34) else 'double'} quotes"
            raise _OddError(stop.start(), f"a quote inside the value of `{name}`, which does not begin with it", hint)
        _refuse_expansion(stop.start(), char, name)
    return value, at + len(value)


def _refuse_expansion(at: int, char: str, name: str) -> NoReturn:
    message = f"`{char}` in the value of `{name}`" if char == "$" else f"a backquote in the value of `{name}`"
    raise _OddError(at, f"{message}, where other programs put something else in its place", _QUOTE_HINT)


def _quoted(text: str, at: int, name: str) -> tuple[str, int]:
    """A value in quotes, which may have several lines. In single quotes all is as it stands."""
    quote, begin = text[at], at
    parts: list[str] = []
    at += 1
    while at < len(text):
        char = text[at]
        if char == quote:
            return "".join(parts), at + 1
        if _CONTROL.match(char):
            _refuse_control(at, char)
        if char == "\\" and quote == "'" and text[at + 1 : at + 2] == "'":
            hint = "write the value in double quotes, or `'` nowhere in it"
            raise _OddError(at, f"`\\'` in the single quotes of `{name}`, which some programs end at the quote", hint)
        if quote == '"' and char in "$`":
            _refuse_expansion(at, char, name)
        if quote == '"' and char == "\\":
            if text[at + 1 : at + 2] not in _ESCAPED:
                hint = 'in double quotes there are `\\n`, `\\r`, `\\t`, `\\\\`, `\\"`, `\\$` and `` \\` ``'
                raise _OddError(at, f"`\\` before a character of `{name}` that it says nothing of", hint)
            char = _ESCAPED[text[at + 1]]
            at += 1
        parts.append(char)
        at += 1
    raise _OddError(begin, f"the quote of `{name}` is not closed", "close it, or write none", is_last=True)


# --- those of a batch -------------------------------------------------------------------------------


class _File(Struct):
    """What a file says, and what is wrong with it."""

    values: dict[str, str]
    missing: str = ""
    """Why it cannot be read, in words."""
    problems: list[Diagnostic] = []
    is_open: bool = False
    """Whether everybody on the machine can read it."""


class EnvFiles:
    """The files of environment variables that a batch names, each read once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        declared = (config.env_file, *(spec.env_file for spec in config.jobs if spec.env_file))
        paths = dict.fromkeys(path for paths in declared for path in paths)
        self._files = {path: _read(path, config.folder) for path in paths}

        self.of_batch = self._values(config.env_file)
        """The variables of all jobs: the batch's `env` wins over them."""

    def with_own(self, spec: JobSpec, env: Mapping[str, str]) -> dict[str, str]:
        """A job's `env`, with what its own files set: they win over all that the batch sets, and its `env` over them."""
        return {**self._values(spec.env_file), **env}

    def set_for(self, spec: JobSpec) -> dict[str, str]:
        """What a job finds in its environment because a file says so."""
        batch = {name: value for name, value in self.of_batch.items() if name not in self._config.env}
        set_by_files = {**batch, **self._values(spec.env_file)}
        return {name: value for name, value in set_by_files.items() if name not in spec.env}

    @property
    def environments(self) -> list[dict[str, str]]:
        """What each file says."""
        return [file.values for file in self._files.values()]

    def _values(self, paths: Iterable[str]) -> dict[str, str]:
        return {name: value for path in paths for name, value in self._files[path].values.items()}

    def refuse(self, jobs: Collection[JobSpec]) -> None:
        """Make sure that the batch's own files and those of these jobs can be read.

        Raises:
            ConfigError: everything that is wrong with them.
        """
        wrong = [*self._wrong(jobs), *self._missing(jobs, "error")]
        if wrong:
            raise ConfigError(wrong)

    def warnings(self) -> list[Diagnostic]:
        """Files that are not there: they may be where the batch will run.

        Raises:
            ConfigError: everything that is wrong with those that are.
        """
        if wrong := list(self._wrong(self._config.jobs)):
            raise ConfigError(wrong)
        return list(self._missing(self._config.jobs, "warning"))

    def _named_by(self, jobs: Iterable[JobSpec]) -> Iterator[tuple[str, str, FilePosition | None]]:
        """Each path once, with who names it first."""
        yield from ((path, "the batch", None) for path in self._config.env_file)
        yield from ((path, f"job `{shorten(spec.name)}`", spec.place) for spec in jobs for path in spec.env_file)

    def _wrong(self, jobs: Iterable[JobSpec]) -> Iterator[Diagnostic]:
        for path in dict.fromkeys(path for path, _, _ in self._named_by(jobs)):
            yield from self._files[path].problems

    def _missing(self, jobs: Iterable[JobSpec], severity: str) -> Iterator[Diagnostic]:
        told = set()
        for path, owner, place in self._named_by(jobs):
            why = self._files[path].missing
            if why and path not in told:
                told.add(path)
                at = (place.file, place.line, place.column) if place is not None else (self._config.source, 0, 0)
                hint = "no run begins without it" if severity == "warning" else ""
                message = f"`env_file` of {owner}: {why}"
                yield Diagnostic("env_file", message, "", *at, hint=hint, severity=severity)

    def too_open(self) -> Iterator[str]:
        """What is to be told of files that everybody can read and that hold a secret."""
        for path, file in self._files.items():
            held = next((name for name in self._config.secrets if name in file.values), "")
            if held and file.is_open:
                yield f"everybody on this machine can read `{path}`, which holds the secret `{held}` (`chmod 600 {path}`)"


def _read(path: str, folder: str) -> _File:
    whole = os.path.join(folder, path)  # noqa: PTH118 - as it stands in the batch
    near = os.path.relpath(whole)
    shown = near if len(near) < len(whole) and not near.startswith("..") else whole
    try:
        with open(whole, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return _File({}, f"not a file: `{path}`")
            content = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return _File({}, f"no such file: `{path}`")
    except IsADirectoryError:
        return _File({}, f"not a file: `{path}`")
    except (OSError, ValueError) as error:
        return _File({}, f"cannot read `{path}`: {reason_of(error)}")
    if len(content) > _MOST_BYTES:
        return _File({}, problems=[Diagnostic("env_file", "larger than 1 MiB", file=shown)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text (byte {error.start})"
        return _File({}, problems=[Diagnostic("env_file", message, file=shown, hint="save the file as UTF-8")])
    values, problems = parse(text, shown)
    return _File(values, problems=problems, is_open=bool(status.st_mode & stat.S_IROTH))


def values_in(paths: Iterable[object], folder: str) -> Iterator[Mapping[str, str]]:
    """What files say that are named so, as far as they can be read: for those who look for secrets only."""
    for path in paths:
        if isinstance(path, str) and path:
            yield _read(path, folder).values
