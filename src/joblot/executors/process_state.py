"""The state of a process that attempts may change: environment, folder, signals, import path, locale, time zone and the like.

It is restored between attempts, so that no job depends on which ones ran before it in the same process. The comparison is cheap, since it
happens for every attempt, however short; what costs more is compared after attempts that took a while. A worker ends when something cannot
be restored. Imported modules stay imported, and the state of native code is not known but for the time zone.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # the public module makes enumerations, which takes forty times as long
import gc
import os
import resource
import signal
import sys
import time
import warnings
from contextlib import suppress
from contextvars import copy_context
from decimal import getcontext, setcontext
from typing import TYPE_CHECKING, Any, Final, cast

from joblot.executors import processes

if TYPE_CHECKING:
    from contextvars import Context
    from types import ModuleType

_FAULTS: Final = ("SIGILL", "SIGTRAP", "SIGBUS", "SIGFPE", "SIGKILL", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS")
_SIGNALS: Final = tuple(
    sorted(number for number in signal.Signals if number.name not in _FAULTS and number <= signal.SIGSYS)
)
"""Signals that a program may handle: no faults, and no real-time signals."""
_LIMITS: Final = tuple({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_TRACKER_S: Final = 1.0
"""How long the tracker of `multiprocessing` may take to delete shared memory that an attempt has left."""
_SHORTEST_S: Final = 0.001
_ORDINARY_LEVEL: Final = 30
"""The level of the root logger of a process that has not set one."""


class ProcessState:
    """The state at the time of creation. For the main thread."""

    def __init__(self) -> None:
        self._environ = os.environ
        # The mapping behind the mapping: comparing it does not decode every name and value, and nothing public is as fast.
        self._variables: dict[bytes, bytes] = dict(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001
        self._zone = time.tzname
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        try:
            self._folder_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # the working folder was deleted
            self._folder_fd = -1
        self._handlers = list(map(_signal.getsignal, _SIGNALS))
        self._streams: tuple[Any, Any, Any] = (sys.stdin, sys.stdout, sys.stderr)
        self._codings = _codings(self._streams)
        self._path = sys.path
        self._path_entries = list(sys.path)
        self._words, self._each_word = sys.argv, list(sys.argv)
        self._filters = list(warnings.filters)
        self._modules = len(sys.modules)
        self._locale = _locale.setlocale(_locale.LC_ALL)
        self._logging = _logging_of(sys.modules.get("logging"))
        # The context of decimals, where the process has one, is an object that a copied context has too.
        self.has_decimals = any(variable.name == "decimal_context" for variable in copy_context())
        self._temporary = _temporary()
        self._interpreter = _interpreter()
        self._timers = [any(signal.getitimer(timer)) for timer in _TIMERS]
        self._costly = _costly_state()

    def context(self) -> Context:
        """A context for one attempt: variables that it sets, and what it does to the context of decimals, are seen by itself only."""
        context = copy_context()
        if self.has_decimals:
            context.run(_copy_decimals)
        return context

    def restore(self) -> None:
        """Restore everything but what `restore_costly` does. Takes two or three microseconds when nothing has changed."""
        # Compared first where setting costs more than asking; what costs the same is set anyway.
        self.restore_usual()
        if list(map(_signal.getsignal, _SIGNALS)) != self._handlers:
            self._restore_handlers()
        if warnings.filters != self._filters:
            self._restore_filters()
        self._modules = len(sys.modules)
        # Whoever sets a locale does it by this module, and asking the C library for it takes as long as all the rest.
        if "locale" in sys.modules and _locale.setlocale(_locale.LC_ALL) != self._locale:
            _locale.setlocale(_locale.LC_ALL, self._locale)
        logging = sys.modules.get("logging")
        if logging is not None and _logging_of(logging) != self._logging:
            self._restore_logging(logging)
        if _temporary() != self._temporary:
            sys.modules["tempfile"].tempdir = self._temporary  # type: ignore[attr-defined]

    def restore_usual(self) -> None:
        """Restore what is changed most: environment, time zone, folder, mask of new files, import path and words. Takes a microsecond."""
        if os.environ is not self._environ or self._environ._data != self._variables:  # type: ignore[attr-defined]  # noqa: SLF001
            self._restore_environment()
        if time.tzname is not self._zone:  # `tzset` makes a new one each time
            self._restore_zone()
        if self._folder_fd >= 0:
            os.fchdir(self._folder_fd)
        os.umask(self._umask)
        if sys.path is not self._path or sys.path != self._path_entries:
            sys.path = self._path
            sys.path[:] = self._path_entries
        if sys.argv is not self._words or sys.argv != self._each_word:
            sys.argv = self._words
            sys.argv[:] = self._each_word

    def restore_costly(self) -> bool:
        """Restore what few attempts change: encodings of streams, settings of the interpreter, limits, blocked signals, priority, processors.

        Takes a dozen microseconds when nothing has changed. False when something could not be restored, or the user has changed, who may have left anything.
        """
        self._restore_codings()
        if _interpreter() != self._interpreter:
            self._restore_interpreter()
        state = _costly_state()
        if state == self._costly:
            return True
        limits, blocked, priority, processors, user = self._costly
        limits_now, _, priority_now, processors_now, user_now = state
        if user_now != user:
            return False
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        try:
            for limit, changed, before in zip(_LIMITS, limits_now, limits, strict=True):
                if changed != before:
                    resource.setrlimit(limit, before)
            if priority_now != priority:
                os.setpriority(os.PRIO_PROCESS, 0, priority)
            if processors_now != processors:
                os.sched_setaffinity(0, processors)
        except (OSError, ValueError):
            return False
        return True

    def restore_streams(self) -> None:
        """Restore the standard streams."""
        set_streams(self._streams)

    def _restore_codings(self) -> None:
        codings = self._codings
        if codings is not None and _codings(self._streams) not in (codings, None):
            for stream, coding, errors in zip(self._streams[1:], codings[::2], codings[1::2], strict=True):
                stream.reconfigure(encoding=coding, errors=errors)

    def has_streams(self) -> bool:
        """Whether the standard streams are still open."""
        try:
            return not (sys.stdin.closed or sys.stdout.closed or sys.stderr.closed)
        except (AttributeError, ValueError):  # none, or taken from below
            return False

    def restore_timers(self) -> None:
        """Stop the timers that were not set."""
        for timer, was_set in zip(_TIMERS, self._timers, strict=True):
            if not was_set:
                signal.setitimer(timer, 0)

    def close(self) -> None:
        """Close the descriptor of the folder."""
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - it is the process's own mapping
        for name in [name for name in os.environb if name not in self._variables]:
            del os.environb[name]
        for name, value in self._variables.items():
            if os.environb.get(name) != value:
                os.environb[name] = value

    def _restore_zone(self) -> None:
        if "TZ" in os.environ:
            os.environ["TZ"] = os.environ["TZ"]  # the C library may have been given another one past the mapping
        else:
            os.unsetenv("TZ")
        time.tzset()
        self._zone = time.tzname

    def _restore_handlers(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if handler is not None and _signal.getsignal(number) != handler:
                signal.signal(number, handler)

    def _restore_filters(self) -> None:
        # Filters that a module added when it was imported stay: it is not imported again, and would never add them again.
        if len(sys.modules) != self._modules:
            self._filters = list(warnings.filters)
            return
        warnings.resetwarnings()  # this also invalidates the modules' registries of warnings
        cast("list[Any]", warnings.filters)[:] = self._filters

    def _restore_interpreter(self) -> None:
        depth, switch_s, digits, collecting, thresholds, profile, trace, timeout_s, *hooks = self._interpreter
        with suppress(RecursionError):  # called deeper than that
            sys.setrecursionlimit(depth)
        sys.setswitchinterval(switch_s)
        sys.set_int_max_str_digits(digits)
        (gc.enable if collecting else gc.disable)()
        gc.set_threshold(*thresholds)
        sys.setprofile(profile)
        sys.settrace(trace)
        if "_socket" in sys.modules:
            sys.modules["_socket"].setdefaulttimeout(timeout_s)
        sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook = hooks

    def _restore_logging(self, logging: ModuleType) -> None:
        level, disabled, handlers = self._logging
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        logging.disable(disabled)


def set_streams(streams: tuple[Any, Any, Any]) -> None:
    """Set the standard streams. What is in others that an attempt has put there is written first: it is the attempt's."""
    found = sys.stdin, sys.stdout, sys.stderr
    if found != streams:
        sys.stdin, sys.stdout, sys.stderr = streams
        for stream in found[1:]:
            with suppress(Exception):  # whatever it is
                stream.flush()


def _codings(streams: tuple[Any, Any, Any]) -> tuple[Any, ...] | None:
    """How what is printed is encoded. None when it cannot be told, or told another way."""
    _, out, error = streams
    try:
        return out.encoding, out.errors, error.encoding, error.errors
    except (AttributeError, ValueError):  # none, taken from below, or of another kind
        return None


def _copy_decimals() -> None:
    setcontext(getcontext().copy())


def long_attempt_s() -> float:
    """How long an attempt takes, at least, after which the costly state is compared: forty times as long as that takes, or a millisecond."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        _costly_state()
        took.append(time.perf_counter() - began)
    return max(_SHORTEST_S, 40 * min(took))


def end_resource_tracker() -> None:
    """Kill the children of this process, and let the tracker of `multiprocessing` among them delete shared memory that nobody has deleted."""
    tracker = _tracker()
    if tracker is None or tracker._fd is None:  # noqa: SLF001 - nothing public ends it
        return
    for child in processes.children(os.getpid()):
        if child != tracker._pid:  # noqa: SLF001
            processes.kill_tree(child)
    os.close(tracker._fd)  # noqa: SLF001 - it ends when nobody holds the other side
    tracker._fd = None  # noqa: SLF001
    processes.await_end(tracker._pid, _TRACKER_S)  # noqa: SLF001


def forget_children() -> None:
    """Let `multiprocessing` forget the processes that it has started: they were killed, and it would go on talking to them."""
    tracker = _tracker()
    if tracker is not None:
        tracker.__init__()
    module = sys.modules.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    if server is not None and server._forkserver_alive_fd is not None:  # noqa: SLF001
        os.close(server._forkserver_alive_fd)  # noqa: SLF001
        preloaded = server._preload_modules  # noqa: SLF001
        server.__init__()
        server._preload_modules = preloaded  # noqa: SLF001
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()  # noqa: SLF001


def _tracker() -> Any:
    return getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)


def _temporary() -> str | None:
    """The folder that `tempfile` has chosen, None if it is still to be chosen."""
    return getattr(sys.modules.get("tempfile"), "tempdir", None)


def _interpreter() -> tuple[Any, ...]:
    numbers = sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()
    collector = gc.isenabled(), gc.get_threshold()
    # Of all that modules keep, the one number by which a job fails because another has run before it.
    socket: Any = sys.modules.get("_socket")
    watchers = sys.getprofile(), sys.gettrace(), None if socket is None else socket.getdefaulttimeout()
    return *numbers, *collector, *watchers, sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook


def _logging_of(logging: ModuleType | None) -> tuple[int, int, list[Any]]:
    if logging is None:
        return _ORDINARY_LEVEL, 0, []
    root = logging.root
    return root.level, root.manager.disable, list(root.handlers)


def _costly_state() -> tuple[list[tuple[int, int]], set[int], int, set[int], tuple[int, ...]]:
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    blocked = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
    limits = list(map(resource.getrlimit, _LIMITS))
    user = os.getuid(), os.geteuid(), os.getgid(), os.getegid()
    return limits, blocked, os.getpriority(os.PRIO_PROCESS, 0), processors, user
