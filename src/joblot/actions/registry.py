"""The registry of actions: names to functions, found in joblot, in installed packages and in the modules of a batch.

Nothing is imported before it is asked for: built-in actions stand in a table of texts, and installed packages are only looked at when
a name is not known otherwise. Who runs an action, and where, is not known here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from joblot.actions import signature as signatures
from joblot.digest import blake2b
from joblot.errors import ActionError, JoblotError, UnknownActionError, UsageError, did_you_mean

if TYPE_CHECKING:
    from joblot.core.model import Signature

F = TypeVar("F", bound=Callable[..., Any])

ENTRY_POINTS: Final = "joblot.actions"
"""The entry point group in which a package names its actions: `my.load = my_package.actions:load`."""

BUILT_IN: Final[Mapping[str, str]] = {
    "copy": "joblot.actions.builtin.files:copy",
    "count_lines": "joblot.actions.builtin.text:count_lines",
    "file_stats": "joblot.actions.builtin.text:file_stats",
    "process_items": "joblot.actions.builtin.text:process_items",
    "python": "joblot.actions.builtin.command:python",
    "search_pattern": "joblot.actions.builtin.search:search_pattern",
    "shell": "joblot.actions.builtin.command:shell",
    "word_frequency": "joblot.actions.builtin.words:word_frequency",
}


class Action:
    """A named function that jobs can run.

    `function` takes `input` (a path, when the job has one), its parameters by keyword, and `ctx` when it wants a `Context`. With
    `command` it does no work itself but returns what to start: a text for the shell, or a list of words. `by_name` is for a program's own
    functions, which are not written as actions: their parameters may stand in a position too.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        version: str = "1",
        command: bool = False,
        tuning: Sequence[str] = (),
        by_name: bool = False,
    ) -> None:
        signatures.check(function, by_name=by_name)
        self.name = name
        self.function = function
        self.version = version
        self.command = command
        self.tuning = frozenset(tuning)
        """Parameters that change how the work is done and not its result."""
        self.fused: Callable[..., Any] | None = None
        """Does many jobs in one call, each with the result that `function` would give it alone; None for an action that cannot be fused."""
        self.fuse_on: tuple[str, ...] = ()
        """What the jobs of one call have in common: `input`, and names of parameters."""
        module = getattr(function, "__module__", "")
        self.origin = f"{module}:{getattr(function, '__qualname__', repr(function))}"

    def __repr__(self) -> str:
        return f"Action({self.name!r}, {self.origin!r})"

    @cached_property
    def signature(self) -> Signature:
        """What it takes: the schema of a job's `input` and `params`."""
        return signatures.read(self.name, self.function)

    @cached_property
    def wants_context(self) -> bool:
        """Whether the function has a parameter `ctx`."""
        return signatures.takes(self.function, signatures.CONTEXT)

    @cached_property
    def _takes_one_path(self) -> bool:
        return signatures.takes_one_path(self.function)

    @cached_property
    def _takes_paths(self) -> bool:
        return signatures.takes_paths(self.function)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the optional parameters, by name."""
        parameters = self.signature.parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if not parameter.required}

    @property
    def fuse_rule(self) -> dict[str, Any]:
        """What jobs must have in common to be done in one call: names, each with the default of the parameter."""
        return {name: self.defaults.get(name) for name in self.fuse_on}

    def fitting(self, input: Any) -> Any:
        """The input as the function takes it: a single one for a function that takes several is a list of one.

        Raises:
            ActionError: `input` is a list, and the function takes one path.
        """
        if isinstance(input, list) and self._takes_one_path:
            raise ActionError(f"`{self.name}` takes one input, not a list of {len(input)}", reason="bad_input")
        if input is not None and not isinstance(input, list) and self._takes_paths:
            return [input]
        return input

    def call(self, input: Any, params: Mapping[str, Any], ctx: Any = None) -> Any:
        """Run it with a job's input and parameters, already checked and converted. The result is what the function returns.

        Raises:
            ActionError: as `fitting`.
        """
        input = self.fitting(input)  # noqa: A001 - the word of the batch file
        keywords = dict(params)
        if self.wants_context:
            keywords[signatures.CONTEXT] = ctx
        if self.signature.input == "none" or (input is None and self.signature.input == "optional"):
            return self.function(**keywords)
        return self.function(input, **keywords)


class Registry(MutableMapping[str, Action]):
    """Actions by name. Looking a name up imports what defines it, and only that."""

    def __init__(self, built_in: Mapping[str, str] = BUILT_IN, *, entry_points: str | None = ENTRY_POINTS) -> None:
        self._actions: dict[str, Action] = {}
        self._built_in = built_in
        self._group = entry_points

    def __getitem__(self, name: str) -> Action:
        """The action of that name.

        Raises:
            UnknownActionError: there is none; the hint names the nearest.
            UsageError: the package that offers it cannot be imported.
        """
        action = self._find(name)
        if action is None:
            raise UnknownActionError(f"unknown action `{name}`", hint=did_you_mean(name, self.names()))
        return action

    def __setitem__(self, name: str, action: Action) -> None:
        """Register an action. Doing so again with the same function (a module imported twice) is fine.

        Raises:
            UsageError: another function has that name; the message names both.
        """
        known = self._actions.get(name)
        if known is not None and known.origin != action.origin:
            raise _taken(name, signatures.describe(known.function), action)
        if known is None and self._built_in.get(name, action.origin) != action.origin:
            raise _taken(name, "joblot itself", action)
        self._actions[name] = action

    def __delitem__(self, name: str) -> None:
        if name not in self._actions:
            raise UnknownActionError(f"no action `{name}` was registered")
        del self._actions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def names(self) -> list[str]:
        """The names of all actions, sorted: registered, built in, and offered by installed packages (none of them is imported)."""
        return sorted({*self._actions, *self._built_in, *(point.name for point in self._points)})

    def signature(self, name: str) -> Signature | None:
        """What an action takes, or None when there is no such action."""
        action = self._find(name)
        return action.signature if action is not None else None

    @overload
    def action(self, name: F, /) -> F: ...

    @overload
    def action(
        self, name: str | None = None, /, *, version: str = "1", command: bool = False, tuning: Sequence[str] = ()
    ) -> Callable[[F], F]: ...

    def action(
        self, name: Any = None, /, *, version: str = "1", command: bool = False, tuning: Sequence[str] = ()
    ) -> Any:
        """Register a function as an action: `@action`, `@action()` or `@action("name")`. The function itself stays as it is.

        Args:
            name: the name in batch files; the function's own when left out.
            version: part of the fingerprint of a job: raise it when the same input now gives another result.
            command: the function returns a command line instead of doing the work.
            tuning: names of parameters that change how the work is done and not what comes of it, such as a number of threads: what is
                up to date stays so whatever they are.

        Raises:
            UsageError: joblot cannot call such a function, it has no parameter that `tuning` names, or the name is taken.
        """
        if callable(name):
            return self._register(name, None, version, command=command, tuning=tuning)

        def decorate(function: F) -> F:
            return self._register(function, name, version, command=command, tuning=tuning)

        return decorate

    def _register(self, function: F, name: str | None, version: str, *, command: bool, tuning: Sequence[str]) -> F:
        name = name or getattr(function, "__name__", "")
        if not name:
            raise UsageError(f'{signatures.describe(function)} has no name: write `@action("name")`')
        action = Action(name, function, version=version, command=command, tuning=tuning)
        # Without `tuning` no annotation is evaluated yet: a module may register many actions that no job names.
        unknown = [key for key in tuning if key not in action.signature.parameters]
        if unknown:
            hint = did_you_mean(unknown[0], action.signature.parameters)
            raise UsageError(f"{signatures.describe(function)}: `{name}` has no parameter `{unknown[0]}`", hint=hint)
        self[name] = action
        return function

    def fused(self, name: str, /, *, on: Sequence[str]) -> Callable[[F], F]:
        """Register a function that does many jobs of an action in one call: `@fused("build", on=("input",))`.

        It takes the jobs (a list of `FusedJob`) and a `BundleContext`, and must come to the same results as the action itself, which goes
        on saying what a job takes and runs the jobs that stay alone. The function itself stays as it is.

        Args:
            name: the action; it is registered first.
            on: `input` and names of parameters: only jobs that agree in all of these are done in one call.

        Raises:
            UsageError: there is no such action, or it cannot be fused like this.
        """

        def decorate(function: F) -> F:
            signatures.check_fused(function)
            described, action = signatures.describe(function), self._actions.get(name)
            if action is None:
                raise UsageError(f"{described} is to fuse `{name}`, which is no action yet: register that first")
            if action.command:
                raise UsageError(f"{described} is to fuse `{name}`, which returns commands: those cannot be fused")
            known = ["input"] * (action.signature.input != "none") + list(action.signature.parameters)
            unknown = next((key for key in on if key not in known), None)
            if unknown is not None:
                raise UsageError(
                    f"{described}: `{name}` has no parameter `{unknown}`", hint=did_you_mean(unknown, known)
                )
            if not on:
                raise UsageError(f"{described}: `on` names nothing that jobs could agree in")
            action.fused, action.fuse_on = function, tuple(on)
            return function

        return decorate

    def fuse_rules(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The `fuse_rule` of each of these actions that can be fused; a name without an action is passed over."""
        actions = {name: self[name] for name in names if self.signature(name) is not None}
        return {name: action.fuse_rule for name, action in actions.items() if action.fused is not None}

    def _find(self, name: str) -> Action | None:
        return self._actions.get(name) or self._load_built_in(name) or self._load_entry_point(name)

    def _load_built_in(self, name: str) -> Action | None:
        """Import the module of a built-in action. Its decorator registers in `ACTIONS`, so another registry takes it from there."""
        if name not in self._built_in:
            return None
        from importlib import import_module

        module, _, function = self._built_in[name].partition(":")
        built_in = ACTIONS._actions.get(name) or _action_of(name, getattr(import_module(module), function))  # noqa: SLF001
        self._actions[name] = built_in
        return built_in

    def _load_entry_point(self, name: str) -> Action | None:
        point = next((point for point in self._points if point.name == name), None)
        if point is None:
            return None
        loaded = _imported(f"action `{name}` of package `{point.dist.name if point.dist else '?'}`", point.load)
        self._actions[name] = _action_of(name, loaded)
        return self._actions[name]

    @cached_property
    def _points(self) -> Sequence[Any]:
        """Looked up once: reading what is installed takes tens of milliseconds."""
        if self._group is None:
            return ()
        from importlib.metadata import entry_points

        return tuple(entry_points(group=self._group))


class UnseenError(Exception):
    """The code of a function uses something that cannot be compared; the text says what."""


_imported_sources: dict[str, str] = {}
"""By path, what files of batches said when they were imported: they may say something else by now."""


def source_digest(source: bytes) -> str:
    """What stands for the code in a file."""
    return blake2b(source, digest_size=16).hexdigest()


def digest_of_code(path: str) -> str:
    """What stands for the code that was imported from a file; empty when there is none."""
    known = _imported_sources.get(path)
    if known is not None:
        return known
    file = Path(path)
    return source_digest(file.read_bytes()) if file.is_file() else ""


def import_modules(entries: Iterable[str], folder: str = "") -> None:
    """Import the modules that register a batch's own actions: absolute paths of Python files, or dotted names.

    A file is imported under a name of its own, once, and is not found by `import`. What lies in the batch's folder, or beside such a
    file, is, where nothing that is installed has the name.

    Raises:
        UsageError: one of them cannot be imported; the message names the file, the line and the error.
    """
    from importlib import import_module

    for entry in entries:
        for beside in (os.path.dirname(entry) if entry.endswith(".py") else "", folder):  # noqa: PTH120 - pathlib costs start-up time
            # Last: a file that is called as a module of joblot's own, or of the standard library, must not take its place.
            if beside and beside not in sys.path:
                sys.path.append(beside)
        if entry.endswith(".py"):
            _imported(entry, partial(_import_file, entry))
        else:
            _imported(entry, partial(import_module, entry))


def _import_file(path: str) -> None:
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    class FromSource(SourceFileLoader):
        """Compiles what the file says. A compiled file beside it counts as current by its size and its second alone."""

        def get_code(self, fullname: str) -> Any:  # noqa: ARG002 - the protocol of loaders
            source = self.get_data(path)
            _imported_sources[path] = source_digest(source)
            return self.source_to_code(source, path)

    name = f"_joblot_import_{blake2b(path.encode(errors='surrogateescape'), digest_size=8).hexdigest()}"
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, path, loader=FromSource(name, path))
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _imported(name: str, load: Callable[[], Any]) -> Any:
    """The value that `load` returns. Whatever it raises becomes one line: a module that calls `sys.exit` must not end the runner.

    The working folder and the streams are what they were afterwards, whatever the module does: what a person gave relative paths to
    belongs there, and what modules print goes to standard error, since standard output may be for another program.
    """
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _IMPORTING, _Aside():
            return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"{_position(name, error)}: cannot be imported: {_one_line(error)}") from error
    finally:
        os.fchdir(folder)
        os.close(folder)


_IMPORTING: Final = RLock()
"""Of two imports at a time one would take the other's standard output for its own."""


class _Aside:
    """Sends standard output to standard error for a while, by streams of its own: a module may close them, and keep them."""

    def __enter__(self) -> None:
        self._streams = sys.stdout, sys.stderr
        for stream in self._streams:
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.flush()
        self._fds = {fd: os.dup(fd) for fd in (1, 2) if _is_open(fd)}
        if len(self._fds) == 2:
            os.dup2(2, 1)
        sys.stdout, sys.stderr = (_like(stream, fd) for fd, stream in enumerate(self._streams, 1))

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the module may have put anything there
                stream.flush()
        sys.stdout, sys.stderr = self._streams
        for fd, saved in self._fds.items():
            os.dup2(saved, fd)
            os.close(saved)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _like(stream: Any, fd: int) -> Any:
    """A stream to a descriptor; harmless on terminals where the other one is."""
    try:
        if stream.fileno() != fd:
            return stream  # of a notebook or a test runner: it is no descriptor's
    except (AttributeError, OSError, ValueError):
        return stream
    own = open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - the module may keep it
    return type(stream)(own) if hasattr(stream, "bare_stream") else own


def _position(imported: str, error: BaseException) -> str:
    """`file:line` of the statement that failed, in the imported file when it had any part in it."""
    from traceback import walk_tb

    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    own = [frame for frame in frames if frame[0] == imported]
    # The import system and this module are in every trace, and the user can mend neither.
    others = [frame for frame in frames if frame[0] != __file__ and "importlib" not in frame[0]]
    file, line = (own or others or [("", 0)])[-1]
    if file == imported:
        return f"{file}:{line}"
    return f"{imported}: {file}:{line}" if file else imported


def _one_line(error: BaseException) -> str:
    if isinstance(error, JoblotError):
        return error.message
    if isinstance(error, FileNotFoundError):
        return "no such file"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(text.strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _action_of(name: str, loaded: Any) -> Action:
    """The action that a decorator registered for this function, or a plain one."""
    if isinstance(loaded, Action):
        return loaded
    registered = (action for action in list(ACTIONS._actions.values()) if action.function is loaded)  # noqa: SLF001
    return next(registered, None) or Action(name, loaded)


def _taken(name: str, holder: str, action: Action) -> UsageError:
    return UsageError(
        f"{signatures.describe(action.function)} cannot be action `{name}`: {holder} has that name",
        hint='give one of them another name: `@action("name")`',
    )


ACTIONS: Final = Registry()
"""All actions by name."""
action = ACTIONS.action
"""Register a function as an action."""
fused = ACTIONS.fused
"""Register a function that does many jobs of an action in one call."""
