"""Where a command's words go: results to standard output, everything else to standard error.

Both are UTF-8 whatever the locale says, and nothing that goes through here drives a terminal, whoever wrote it: `sys.stdout` and
`sys.stderr` of the process are made harmless in the same way, for what libraries and commands of other packages print. What cannot be told to a person (standard error is closed or full) is dropped; a result that
cannot be written is an error. It does not know what the words mean.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Final

from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, JoblotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from joblot.errors import Diagnostic

_COLOURS: Final = {
    "success": "32", "cached": "32", "failed": "31", "skipped": "33", "cancelled": "35", "aborted": "35", "interrupted": "35",
    "running": "36", "backing_off": "36", "stopping": "36", "ERROR": "31", "WARNING": "33", "HINT": "36",
    "short": "1",
}  # fmt: skip


_DRIVING: Final = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""Control characters, line breaks that only some programs take for such, and marks that turn text round."""


class StdoutError(JoblotError):
    """The result could not be written to standard output."""

    exit_code = EXIT_JOBS_FAILED


class Output:
    """The two streams of one command. `json`, `quiet` and `colourless` are set by the options of those names."""

    def __init__(self) -> None:
        _open_closed_streams()
        self._stdout = _utf8(sys.stdout, 1)
        self._stderr = _utf8(sys.stderr, 2)
        sys.stdout, sys.stderr = _Harmless(self._stdout), _Harmless(self._stderr)
        self._mark = f"\x1b{os.urandom(4).hex()}"
        """Stands for the escape character where a colour is meant, until the text is written: nobody else's text can hold it."""
        self.json = False
        self.quiet = False
        self.silent = False
        """Whether nothing more is told to anybody, on standard error neither."""
        self.colourless = bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) or os.environ.get("TERM") == "dumb"

    # --- results --------------------------------------------------------------------------------

    def result(self, text: str, *, tabs: bool = False, exact: bool = False) -> None:
        """Write a line or a document to standard output.

        In the contents of files `tabs` stay; what another program has to read is `exact`, unless standard output is a terminal.

        Raises:
            BrokenPipeError: its reader has gone.
            StdoutError: it cannot be written.
        """
        try:
            text = text if text.endswith("\n") else f"{text}\n"
            self._stdout.write(text if exact and not self._stdout.isatty() else self.shown(text, tabs=tabs))
            self._stdout.flush()
        except BrokenPipeError:
            _to_nowhere(self._stdout)
            raise
        except OSError as error:
            from joblot.files import reason_of

            _to_nowhere(self._stdout)
            raise StdoutError(f"cannot write to standard output: {reason_of(error)}") from None

    def document(self, value: object) -> None:
        """Write a value to standard output as indented JSON."""
        import msgspec

        self.result(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())

    def failure(self, diagnostics: Sequence[Diagnostic]) -> None:
        """With `--json`: say on standard output that nothing was done, and why."""
        if self.json:
            errors = [problem.as_dict() for problem in diagnostics if problem.severity == "error"]
            warnings = [problem.as_dict() for problem in diagnostics if problem.severity != "error"]
            try:
                self.document({"ok": False, "errors": errors, "warnings": warnings})
            except (OSError, JoblotError):
                return  # the exit code and standard error say it too

    # --- everything else ------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Write a line to standard error."""
        if self.silent:
            return
        try:
            self._stderr.write(self.shown(f"{text}\n"))
            self._stderr.flush()
        except OSError:
            _to_nowhere(self._stderr)

    def error(self, message: str, hint: str = "") -> None:
        """Say what is wrong, and what to do."""
        self.note(f"{self.paint('ERROR', 'error')}: {message}")
        self._hint(hint)

    def warn(self, error: JoblotError) -> None:
        """Say what is wrong with something that was not asked for: the command goes on without it."""
        self.note(f"{self.paint('WARNING', 'warning')}: {error.message}")
        self._hint(error.hint)

    def diagnose(self, found: Diagnostic) -> None:
        """Say what is wrong in a file, and where: in lines that a terminal does not break, or the caret would stand elsewhere."""
        self.note(found.render(self.paint, _columns(self._stderr)))

    def _hint(self, hint: str) -> None:
        if hint:
            self.note(f"{self.paint('HINT', 'hint')}: {hint}")

    def log(self, level: str, message: str) -> None:
        """Write a log line, `time | LEVEL | message`. With `--quiet` only warnings and errors."""
        if not (self.quiet and level == "INFO"):
            self.note(self.log_line(level, message))

    def log_line(self, level: str, message: str) -> str:
        """A log line, in local time."""
        return f"{time.strftime('%Y-%m-%d %H:%M:%S')} | {self.paint(level, level)} | {message}"

    def paint(self, state: str, text: str) -> str:
        """The text in the colour of a state or a level, where standard error shows colours."""
        return self._coloured(state, text) if self.coloured else text

    def tint(self, state: str, text: str) -> str:
        """The same for a text that goes to standard output."""
        return self._coloured(state, text) if not self.colourless and self._stdout.isatty() else text

    def _coloured(self, state: str, text: str) -> str:
        colour = _COLOURS.get(state)
        return f"{self._mark}[{colour}m{text}{self._mark}[0m" if colour else text

    def shown(self, text: str, *, tabs: bool = False) -> str:
        """The text as it is written: harmless, with the colours that `paint` and `tint` have put in."""
        return "\x1b".join(harmless(part, tabs=tabs) for part in text.split(self._mark))

    def bare(self) -> None:
        """Give the process's own streams back, for what speaks to the terminal by itself."""
        sys.stdout, sys.stderr = self._stdout, self._stderr

    @property
    def terminal(self) -> IO[str]:
        """Standard error as it is, for what draws on it."""
        return self._stderr

    @property
    def coloured(self) -> bool:
        """Whether standard error is a terminal that shows colours."""
        return not self.colourless and self._stderr.isatty()

    @property
    def stdout(self) -> IO[str]:
        """Standard output as it is, for what is neither text nor made harmless."""
        return self._stdout

    @property
    def columns(self) -> int | None:
        """How wide the terminal is that standard output is; None where it is none."""
        return _columns(self._stdout)

    @property
    def live(self) -> bool:
        """Whether standard error is a terminal on which lines can be redrawn."""
        return self._stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")

    def finish(self, code: int) -> int:
        """Flush both streams at the end of the process and return its exit code."""
        for stream in (self._stdout, self._stderr):
            try:
                stream.flush()
            except OSError:
                _to_nowhere(stream)
                code = code or EXIT_JOBS_FAILED if stream is self._stdout else code
        return code if code is not None else EXIT_OK


def harmless(text: str, *, tabs: bool = False) -> str:
    r"""Text for a terminal, whoever wrote it: what would drive it, or turn text round, stands there as `\u001b`. Line breaks stay.

    In JSON that means the same character. A tab is four blanks; with `tabs` it stays.
    """
    bare = text.replace("\n", "")
    if tabs:
        bare = bare.replace("\t", "")
    if bare.isprintable():
        return text
    escaped = re.sub(_DRIVING, lambda found: f"\\u{ord(found[0]):04x}", text)
    return escaped if tabs else escaped.replace("\t", "    ")


class _Harmless:
    """A stream whose texts cannot drive a terminal; in everything else the stream itself."""

    def __init__(self, stream: IO[str]) -> None:
        self.bare_stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare_stream, name)

    def write(self, text: str) -> int:
        """Write the text, made harmless."""
        self.bare_stream.write(harmless(text) if isinstance(text, str) else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)


def _columns(stream: IO[str]) -> int | None:
    if not stream.isatty():
        return None
    from joblot.cli.screen import Screen

    return Screen(stream).size()[0] - 1


def _open_closed_streams() -> None:
    """Give 0, 1 and 2 to /dev/null where they are closed, or the journal would get one of them and be printed to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _utf8(stream: IO[str] | None, number: int) -> IO[str]:
    stream = getattr(stream, "bare_stream", stream)  # of an earlier command of this process
    if stream is None:
        return open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def _to_nowhere(stream: IO[str]) -> None:
    """Let what is still buffered vanish, so that the interpreter finds nothing to complain about at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
