"""A shell command as an attempt: what to execute, with which environment; and the outcome for an exit status, of a worker's process too.

It starts nothing: the warden and the inline executor do.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.actions.registry import ACTIONS
from joblot.config.params import convert_params
from joblot.core.model import Outcome
from joblot.core.references import OPENING, TemplateError
from joblot.core.shells import AS_BEFORE, LONGEST, Call, call
from joblot.errors import ActionError, JoblotError
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from joblot.core.model import Attempt, JobSpec
    from joblot.executors.mask import Mask
    from joblot.executors.protocol import RunContext

_NO_SHELL_NEEDED: Final = r"[A-Za-z0-9_@%+:,./ -][A-Za-z0-9_@%+=:,./ -]*"
"""Commands of these characters mean the same to a shell and to `execve`, unless they begin with one of the words below."""
_SHELL_WORDS: Final = frozenset({
    ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "elif", "else", "esac", "eval", "exec", "exit",
    "export", "fc", "fg", "fi", "for", "getopts", "hash", "if", "in", "jobs", "local", "read", "readonly", "return", "set", "shift",
    "source", "then", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
})  # fmt: skip
_SPARED: Final = ((), AS_BEFORE)
"""Shells that nobody has asked for, so that none is needed where it would only split words."""
MAX_RESULT_FILE: Final = 2**20
"""Bytes that a command may write to `JOBLOT_OUTPUT`."""


class CommandLine(msgspec.Struct):
    """What to execute: arguments (`argv[0]` is looked up on the PATH later), environment, and folder. `dispose` belongs to its end."""

    argv: list[str]
    env: dict[bytes, bytes]
    """The variables that the attempt adds to `CommandBuilder.base`."""
    cwd: str
    result_path: str
    """The file that the command may write its result to."""
    text_path: str = ""
    """A file that was made for it and holds its text."""

    def dispose(self) -> None:
        """Delete what was made for it."""
        if self.text_path:
            with suppress(OSError):
                os.unlink(self.text_path)


def is_command(spec: JobSpec) -> bool:
    """Whether the job runs as a process of its own."""
    if spec.run is not None:
        return True
    return spec.action is not None and ACTIONS[spec.action].command


class CommandBuilder:
    """Makes the command lines of one run."""

    def __init__(self, context: RunContext) -> None:
        config = context.plan.config
        self._plan = context.plan
        self._shell = () if config.rules else AS_BEFORE
        self._folder = config.folder
        self._live = f"{context.run_dir}/live/" if context.run_dir is not None else ""
        own = {"JOBLOT_RUN_ID": context.run_id, "JOBLOT_BATCH_DIR": config.folder, "JOBLOT_RUN": context.cookie}
        self.base = {**os.environb, **encode_environment(context.env), **encode_environment(own)}
        """The environment that all commands of the run share."""
        self.base.pop(b"JOBLOT_SCHEDULED_FOR", None)  # that of a run of which this one is a job
        if config.scheduled_for:
            self.base[b"JOBLOT_SCHEDULED_FOR"] = config.scheduled_for.encode()
        self._like_ours = [name for name in self.base if name.startswith(b"joblot_")]

    def build(self, attempt: Attempt) -> CommandLine:
        """The command line of an attempt.

        Raises:
            JoblotError: the parameters of a command action do not match its signature, or a declared input is missing.
            ValueError: a value cannot stand where the command wants it.
        """
        spec = self._plan.spec(attempt.job)
        values = attempt.values or {}
        result_path = f"{self._live}{spec.name}.{attempt.number}.out" if self._live else ""
        env = encode_environment(values.get("env", spec.env))
        env[b"JOBLOT_JOB"] = spec.name.encode()
        env[b"JOBLOT_ATTEMPT"] = b"%d" % attempt.number
        env[b"JOBLOT_OUTPUT"] = os.fsencode(result_path or os.devnull)
        if memory := attempt.memory or spec.resources.get("memory"):
            env[b"JOBLOT_MEMORY"] = b"%d" % memory
        input_path = values.get("input", spec.input)
        if input_path is not None:
            self._refuse_missing(attempt.job, input_path)
        if isinstance(input_path, str):
            env[b"JOBLOT_INPUT"] = os.fsencode(Path(self._folder) / input_path)
        cwd = str(Path(self._folder) / spec.cwd) if spec.cwd else self._folder
        env[b"PWD"] = os.fsencode(cwd)  # as of a shell that has gone there
        run, shell = spec.run, spec.shell or self._shell
        if isinstance(run, str) and OPENING in run and (spec.given or spec.deferred):
            call = filled_call(run, values.get("given", spec.given) or {}, [*self._like_ours, *env], shell)
        else:
            call = call_of(self._command(spec, values), shell)
        path = self._text_file(f"{spec.name}.{attempt.number}.run", call.text) if call.by_file and call.text else ""
        return CommandLine(call.argv(path), env, cwd, result_path, path)

    def _text_file(self, name: str, text: str) -> str:
        """The path of a new file with the text of a command, which only its owner can read.

        Raises:
            ActionError: it cannot be written.
        """
        try:
            if not self._live:
                import tempfile

                fd, path = tempfile.mkstemp(prefix="joblot-", suffix=".run")
            else:
                os.makedirs(self._live, 0o700, exist_ok=True)
                path = os.path.abspath(self._live + name)
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(os.fsencode(text))
        except OSError as error:
            raise ActionError(
                f"the text of the command cannot be written: {reason_of(error)}", reason="output"
            ) from None
        return path

    def _refuse_missing(self, job: int, inputs: str | list[str]) -> None:
        """Refuse a declared input that is not there: the shell may well go on without it, and the job would end well.

        What a need makes is left to the command: a job that also runs after its need has failed must be able to.
        """
        for path in (inputs,) if isinstance(inputs, str) else inputs:
            whole = os.path.join(self._folder, path)
            try:
                os.stat(whole)
            except (FileNotFoundError, NotADirectoryError):
                if not self._is_made_by_need(job, whole):
                    raise ActionError(f"file not found: {path}", reason="missing_input") from None
            except OSError as error:
                if not isinstance(error, PermissionError):  # the command may become somebody else
                    raise ActionError(f"cannot read {path}: {reason_of(error)}", reason="bad_input") from None

    def _is_made_by_need(self, job: int, path: str) -> bool:
        """Whether a job that this one needs, if only through others, declares the path, or a folder around it, among its outputs."""
        if job >= len(self._plan) or not any(spec.outputs for spec in self._plan.config.jobs):
            return False
        wanted = os.path.normpath(path)
        left = list(self._plan.needs[job])
        seen = set(left)
        while left:
            need = left.pop()
            for output in self._plan.spec(need).outputs:
                made = os.path.normpath(os.path.join(self._folder, output))
                if wanted == made or wanted.startswith(made + "/"):
                    return True
            more = [other for other in self._plan.needs[need] if other not in seen]
            seen.update(more)
            left += more
        return False

    def _command(self, spec: JobSpec, values: dict[str, Any]) -> str | list[str]:
        if spec.action is None:
            assert spec.run is not None
            run: str | list[str] = values.get("run", spec.run)
            return run
        action = ACTIONS[spec.action]
        folder, input_path = Path(self._folder), values.get("input", spec.input)
        arguments = convert_params(action.signature, values.get("params", spec.params), folder)
        if isinstance(input_path, str):
            input_path = folder / input_path
        command: str | list[str] = action.call(input_path, arguments, None)
        return command


def encode_environment(environment: dict[str, str]) -> dict[bytes, bytes]:
    """An environment as the bytes that `execve` takes."""
    return {os.fsencode(key): os.fsencode(value) for key, value in environment.items()}


def call_of(command: str | list[str], shell: Sequence[str] = ()) -> Call:
    """How a command is run: its words when a shell would only split it, else a shell with the command.

    Without the shell a process less is started for each command. A shell that was asked for may know commands of its own, and is started.
    """
    if isinstance(command, list):
        return Call(command)
    if shell in _SPARED and re.fullmatch(_NO_SHELL_NEEDED, command):
        split = command.split()
        if split and "=" not in split[0] and split[0] not in _SHELL_WORDS:
            return Call(split)
    return call(shell, command)


def filled_call(text: str, given: Mapping[str, Any], taken: Iterable[bytes] = (), shell: Sequence[str] = ()) -> Call:
    """How a text with references is run: no value becomes a part of a shell's text. `taken` names variables of its environment.

    Raises:
        ValueError: a value cannot stand where it is wanted.
    """
    from joblot.core.shelltext import read

    script = read(text)
    if not script.places:
        return call_of("".join(script.pieces), shell)
    plain = "x".join(script.pieces)
    if shell in _SPARED and re.fullmatch(_NO_SHELL_NEEDED, plain) and "=" not in plain.split(maxsplit=1)[0]:
        words = script.split(given)
        if words and words[0] and words[0] not in _SHELL_WORDS:
            return Call(words)
    return script.call(given, taken, shell)


def build_failure(attempt: Attempt, error: JoblotError | ValueError, mask: Mask, *, began: float) -> Outcome:
    """The outcome of a command that cannot be built: its parameters, or values that it wants, are none for it."""
    reason = "bad_reference" if isinstance(error, TemplateError) else getattr(error, "reason", "") or "exception"
    return Outcome(attempt.job, attempt.number, "error", began, reason=reason, message=mask.text(str(error)))


def finished_outcome(attempt: Attempt, status: int, cpu_s: float, *, began: float, ended: float) -> Outcome:
    """The outcome of a command that ended, from its wait status. Times are monotonic seconds."""
    outcome = Outcome(attempt.job, attempt.number, "ok", began, ended - began, cpu_s)
    apply_exit_code(outcome, os.waitstatus_to_exitcode(status))
    return outcome


def apply_exit_code(outcome: Outcome, code: int) -> None:
    """Set kind, reason and message from an exit code; below zero it is the negative number of a signal."""
    if code < 0:
        outcome.kind, outcome.reason, outcome.signal = "crash", "crash", -code
        outcome.message = f"killed by {signal_name(-code)}"
    elif code:
        outcome.kind, outcome.reason, outcome.exit_code = "exit", "exit_code", code
        outcome.message = f"exit status {code}"


def apply_memory_verdict(outcome: Outcome, verdict: tuple[str, str] | None) -> None:
    """Set kind, reason and message of an attempt that ended for lack of memory; without a verdict it did not."""
    if verdict and outcome.kind != "ok":
        outcome.kind = "oom"
        outcome.reason, outcome.message = verdict


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def start_failure(
    attempt: Attempt, error: OSError, line: CommandLine, base: Mapping[bytes, bytes], *, began: float
) -> Outcome:
    """The outcome of a command that could not be executed, with a shell's exit statuses: 127 not found, 126 not executable.

    `base` is the environment that it shares with others.
    """
    outcome = Outcome(attempt.job, attempt.number, "exit", began, reason="exit_code", exit_code=126)
    if not os.path.isdir(line.cwd):
        outcome.message = f"no such folder to run in: `{line.cwd}`"
    elif error.errno == errno.E2BIG:
        outcome.reason = "too_long"
        outcome.message = f"cannot execute `{line.argv[0]}`: {_excess(line, {**base, **line.env})}: pass a file"
    elif error.errno == errno.ENOENT and "/" in line.argv[0] and os.path.exists(os.path.join(line.cwd, line.argv[0])):
        outcome.exit_code, outcome.message = 127, f"cannot execute `{line.argv[0]}`: its interpreter does not exist"
    elif error.errno == errno.ENOENT:
        outcome.exit_code, outcome.message = 127, f"command not found: `{line.argv[0]}`"
    else:
        outcome.message = f"cannot execute `{line.argv[0]}`: {reason_of(error)}"
    return outcome


def _excess(line: CommandLine, environment: Mapping[bytes, bytes]) -> str:
    """What of a command is more than the system takes."""
    words = [len(os.fsencode(word)) for word in line.argv]
    variables = {name: len(name) + len(value) + 1 for name, value in environment.items()}
    for number, size in enumerate(words, 1):
        if size > LONGEST:
            return f"its word {number} has {size} bytes, and the system takes {LONGEST} in one"
    for name, size in variables.items():
        if size > LONGEST:
            return f"its variable `{os.fsdecode(name)}` has {size} bytes, and the system takes {LONGEST} in one"
    pointer = struct.calcsize("P")  # which counts as well, with the NUL behind each
    own, shared = (sum(sizes) + len(sizes) * (pointer + 1) for sizes in (words, list(variables.values())))
    most = os.sysconf("SC_ARG_MAX")
    return f"its words ({own} bytes) and its environment ({shared} bytes) are more than the {most} bytes that the system takes"


_OWNER_ONLY: Final = struct.pack("<I" + "HHI" * 3, 2, 1, 6, _NOBODY := 0xFFFFFFFF, 4, 0, _NOBODY, 32, 0, _NOBODY)
"""Default access of a folder's new files: the owner's alone, whatever the umask says."""


def make_private(path: str) -> None:
    """See that only its owner can read the file that a command will write its result to, for its secrets are masked later."""
    try:
        folder = os.path.dirname(path)
        try:
            os.setxattr(folder, "system.posix_acl_default", _OWNER_ONLY)
        except FileNotFoundError:
            os.makedirs(folder, 0o700, exist_ok=True)
            os.setxattr(folder, "system.posix_acl_default", _OWNER_ONLY)
    except OSError:  # a file system without access lists
        _make_empty(path)


def _make_empty(path: str) -> None:
    # Not where there is another way: a shell with `noclobber` refuses to write to a file that is there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        pass  # the disk is full: the command makes it itself, or not; the folder is its owner's alone as well


def read_result(path: str) -> bytes:
    """The result that a command wrote, as JSON text, or nothing. The file, one JSON value or lines of `key=value`, is removed.

    Raises:
        JoblotError: it is no file, larger than MAX_RESULT_FILE, not UTF-8, neither of the two, or has a key twice in a JSON mapping.
    """
    if not os.access(path, os.F_OK):
        return b""
    # The command chose what stands at this path: opening a pipe must not block, and a link must not lead to another file.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise JoblotError("what the command left at `JOBLOT_OUTPUT` is not a file")
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        data = file.read(MAX_RESULT_FILE + 1)
    os.unlink(path)
    if len(data) > MAX_RESULT_FILE:
        raise JoblotError(f"what the command wrote to `JOBLOT_OUTPUT` is larger than {MAX_RESULT_FILE} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:  # to replace the bytes would change the result without a word
        raise JoblotError(f"what the command wrote to `JOBLOT_OUTPUT` is not UTF-8: byte {error.start + 1}") from None
    return _result_of(text.removeprefix("\ufeff").strip(" \t\r\n"))


_ONE_VALUE: Final = r'(?s:[\[{"].*)|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null'
"""Text that is meant as JSON, whether it is right or not."""


def _result_of(text: str) -> bytes:
    if not text:
        return b""
    if re.fullmatch(_ONE_VALUE, text):
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError as error:
            raise JoblotError(f"what the command wrote to `JOBLOT_OUTPUT` is not JSON: {error}") from None
        _refuse_repeated(text)
        return b"" if value is None else msgspec.json.encode(value)
    # Not `splitlines`: a form feed or a line separator of Unicode belongs to the value.
    pairs = dict(_key_value(line.removesuffix("\r")) for line in text.split("\n") if line.strip())
    return msgspec.json.encode(pairs)


def _refuse_repeated(text: str) -> None:
    """Refuse a key that stands twice in a mapping: the last value would replace the others without a word."""
    if text.count(":") < 2:
        return
    from joblot.config.jsontext import repeated_keys
    from joblot.config.tree import path_text

    for keys in repeated_keys(text):
        raise JoblotError(f"what the command wrote to `JOBLOT_OUTPUT` has a key twice: `{path_text(keys)}`")


def _key_value(line: str) -> tuple[str, str]:
    key, separator, value = line.partition("=")
    if not separator:
        raise JoblotError(f"a line in `JOBLOT_OUTPUT` is neither JSON nor `key=value`: `{line[:80]}`")
    return key.strip(), value


def add_result(outcome: Outcome, path: str) -> None:
    """Set the result that the command wrote. One that cannot be read fails an attempt that ended well."""
    try:
        result = read_result(path)
    except RecursionError:
        problem = "what the command wrote to `JOBLOT_OUTPUT` is nested too deeply"
    except (JoblotError, OSError) as error:
        problem = str(error)
    else:
        if outcome.kind == "ok":
            outcome.result = result
        return
    if outcome.kind == "ok":
        outcome.kind, outcome.reason, outcome.message = "error", "bad_result", problem
