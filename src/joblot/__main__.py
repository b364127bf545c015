"""The command `joblot`: runs the command line, and turns whatever it raises into a message and an exit code."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the public module makes enumerations, which takes longer than all else here
import errno
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from joblot.cli import cli
from joblot.cli.output import Output
from joblot.errors import (
    EXIT_CONFIG,
    EXIT_INTERNAL,
    EXIT_JOBS_FAILED,
    EXIT_SIGINT,
    EXIT_STATE,
    ConfigError,
    Diagnostic,
    JoblotError,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BROKEN_PIPE: Final = 141
"""What a shell shows for a program that SIGPIPE ended: nobody reads what a command prints."""
_QUOTED: Final = re.compile(r"(?<!\w)'([^']*)'")
_COMPLETION: Final = "_JOBLOT_COMPLETE"
_NO_MEMORY: Final = "failed to map segment"
"""What the dynamic loader says when a library does not fit into the memory that there is."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return the exit code."""
    if arguments is None:
        _speak_utf8()
        _take_signals()
    output = Output()
    code = output.finish(_run(list(sys.argv[1:] if arguments is None else arguments), output))
    if arguments is None:
        with suppress(OSError, ValueError):  # standard error is closed, or what was printed cannot be written
            sys.stdout.flush()
            os.dup2(2, 1)  # what modules of the batch print when the process ends must not stand behind the result
    return code


def _speak_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale wants another encoding: names of files and words of commands are UTF-8 here."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _take_signals() -> None:
    """Undo what whoever started this process has set: the ends of children must be told, and no signal that is waited for may be blocked."""
    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _run(arguments: list[str], output: Output) -> int:
    try:
        if _COMPLETION in os.environ:
            return _complete(output)
        with cli.make_context("joblot", arguments, obj=output) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _usage(error, output)
    except ConfigError as error:
        _all_diagnostics(error, output)
        return error.exit_code
    except JoblotError as error:
        output.error(error.message, error.hint)
        output.failure([Diagnostic(_code(error), error.message, hint=error.hint)])
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last line of defence: nobody gets a traceback that did not ask for one
        return _unforeseen(error, output)


def _complete(output: Output) -> int:
    from click.shell_completion import shell_complete

    output.bare()  # a shell reads it
    return shell_complete(cli, {}, "joblot", _COMPLETION, os.environ[_COMPLETION])


def _usage(error: click.UsageError, output: Output) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.note(error.format_message())
        return EXIT_CONFIG
    path = error.ctx.command_path if error.ctx else "joblot"
    hint = f"`{path} --help` says what it takes"
    if isinstance(error, click.NoSuchOption):
        output.error(
            f"no such option: `{error.option_name}`", did_you_mean(error.option_name, error.possibilities or ()) or hint
        )
        return EXIT_CONFIG
    message = _QUOTED.sub(r"`\1`", " ".join(error.format_message().split()).rstrip("."))
    output.error(message[:1].lower() + message[1:], hint)
    return EXIT_CONFIG


def _all_diagnostics(error: ConfigError, output: Output) -> None:
    found = sorted(error.diagnostics, key=lambda one: (one.file, one.line, one.column))
    for one in found:
        output.diagnose(one)
    if len(found) > 1:
        output.note(f"{len(found)} errors")
    output.failure(found)


def _code(error: JoblotError) -> str:
    """`StateError` as `state`, `RunHeldError` as `run_held`."""
    words = type(error).__name__.removesuffix("Error")
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in words).lstrip("_")


def _unforeseen(error: Exception, output: Output) -> int:
    if os.environ.get("JOBLOT_TRACEBACK"):
        from traceback import format_exception

        output.note("".join(format_exception(error)).rstrip())
    if isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
        from joblot.files import reason_of

        output.error(f"cannot write to standard output: {reason_of(error)}")
        return EXIT_JOBS_FAILED
    if isinstance(error, FileNotFoundError) and _is_homeless():
        output.error("the working folder does not exist any more", "change to another, or give absolute paths")
        return EXIT_CONFIG
    refused = _refused(error)
    if refused:
        output.error(refused)
        output.failure([Diagnostic("state", refused)])
        return EXIT_STATE
    said = " ".join(str(error).split())
    output.note(f"internal error: {type(error).__name__}: {said}; set JOBLOT_TRACEBACK=1 to see where")
    return EXIT_INTERNAL


def _refused(error: Exception) -> str:
    """What the system refused, in words; empty when the error is none of those. It is not joblot's fault, and nobody should look for one."""
    from joblot.files import reason_of

    if isinstance(error, OSError):
        return (
            f"cannot use `{error.filename}`: {reason_of(error)}"
            if error.filename
            else f"the system refused what joblot needs: {reason_of(error)}"
        )
    text = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _NO_MEMORY in text):
        return "the system refused what joblot needs: cannot allocate memory"
    if isinstance(error, RuntimeError) and text == "can't start new thread":
        return "the system refused what joblot needs: no more threads"
    return ""


def _is_homeless() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib costs start-up time
    except FileNotFoundError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
