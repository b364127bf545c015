"""Looks of a program at its own process: carried out by a plain script and by attempts, to be compared."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

_VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("probe", default="unset")
_LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_")]


def handlers() -> dict[str, str]:
    """What happens at each signal."""
    found = {number.name: signal.getsignal(number) for number in signal.Signals}
    return {name: getattr(handler, "name", None) or type(handler).__name__ for name, handler in found.items()}


def blocked() -> list[int]:
    """The signals that are held back."""
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def alarms() -> list[float]:
    """What timers are set."""
    return [*signal.getitimer(signal.ITIMER_REAL), *signal.getitimer(signal.ITIMER_PROF)]


def randomness() -> bool:
    """Whether a number is drawn that nobody has drawn before."""
    with open("drawn", "a+") as drawn:
        drawn.write(f"{random.random()}\n")
        drawn.seek(0)
        lines = drawn.readlines()
    return len(set(lines)) == len(lines)


def zone() -> list[Any]:
    """The time zone by its variable, and in what the C library has made of it."""
    return [os.environ.get("TZ"), time.tzname, time.localtime(0).tm_hour]


def beside() -> int:
    """Whether what lies beside the module can be imported."""
    import lies_beside

    return lies_beside.VALUE


def folder() -> str:
    """The working folder."""
    return os.getcwd()


def temporary() -> str:
    """The folder for temporary files."""
    return tempfile.gettempdir()


def mask() -> int:
    """The mask of new files."""
    before = os.umask(0)
    os.umask(before)
    return before


def streams() -> list[Any]:
    """What the standard streams are like."""
    described = [(stream.encoding, stream.fileno(), stream.isatty(), stream.closed) for stream in _streams()]
    return [described, sys.stdin.read(), sys.stdout.errors, sys.stderr.errors, sys.stderr.line_buffering]


def _streams() -> list[Any]:
    return [sys.stdin, sys.stdout, sys.stderr]


def descriptors() -> str:
    """What a program that is started inherits."""
    listing = "import os; print([fd for fd in range(256) if os.path.exists(f'/proc/self/fd/{fd}') and fd > 2])"
    return subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, close_fds=False).stdout


def limits() -> list[Any]:
    """The limits of the process."""
    return [resource.getrlimit(getattr(resource, name)) for name in _LIMITS]


def environment() -> list[str]:
    """The variables, `_` apart: the shell's last command."""
    return sorted(f"{name}={value}" for name, value in os.environ.items() if name != "_")


def process_fork() -> Any:
    """A process by `multiprocessing` that is forked, and what it sends back."""
    return _process("fork")


def process_spawn() -> Any:
    """The same in a new Python."""
    return _process("spawn")


def process_forkserver() -> Any:
    """The same by a server."""
    return _process("forkserver")


def _process(method: str) -> Any:
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_send, args=(queue,))
    process.start()
    sent = queue.get(timeout=60)
    process.join(60)
    return [sent, process.exitcode]


def _send(queue: Any) -> None:
    queue.put("sent")


def threads() -> list[str]:
    """The threads, and what a new one does."""
    ran: list[str] = []
    thread = threading.Thread(target=ran.append, args=("ran",))
    thread.start()
    thread.join()
    return ran + [type(each).__name__ for each in threading.enumerate()]


def log() -> list[Any]:
    """The root logger."""
    root = logging.getLogger()
    return [root.level, len(root.handlers), root.manager.disable, logging.lastResort is not None]


def warned() -> list[str]:
    """The filters of warnings."""
    return [repr(entry) for entry in warnings.filters]


def language() -> list[Any]:
    """The locale, and the encodings that follow from it."""
    return [locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(False), sys.getfilesystemencoding()]


def priority() -> list[Any]:
    """The processors and the priority."""
    return [sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)]


def program() -> list[Any]:
    """How a program that is started ends, and that no child is left."""
    ended = [subprocess.run(["sh", "-c", code]).returncode for code in ("exit 3", "kill -TERM $$")]
    try:
        left: Any = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = None
    return [*ended, left]


def pipe() -> str:
    """What writing to a closed pipe raises."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        os.write(writing, b"x")
    except OSError as error:
        return type(error).__name__
    finally:
        os.close(writing)
    return "nothing"


def loop() -> str:
    """An event loop."""

    async def said() -> str:
        await asyncio.sleep(0)
        return "said"

    return asyncio.run(said())


def interpreter() -> list[Any]:
    """Settings of the interpreter."""
    hooks = sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__
    return [sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), sys.flags.dev_mode, *hooks]


def decimals() -> list[Any]:
    """The context of decimals, and a context variable."""
    return [decimal.getcontext().prec, _VARIABLE.get()]


def words() -> list[str]:
    """The words of the command line."""
    return sys.argv[1:]


def faults() -> bool:
    """Whether a crash prints where it was."""
    return faulthandler.is_enabled()


def session() -> bool:
    """Whether the process leads a session or a group of its own."""
    return os.getpgrp() == os.getpid() or os.getsid(0) == os.getpid()


PROBES = [
    handlers, blocked, alarms, randomness, zone, beside, folder, temporary, mask, streams, descriptors, limits, environment, process_fork,
    process_spawn, process_forkserver, threads, log, warned, language, priority, program, pipe, loop, interpreter, decimals, words, faults,
    session,
]  # fmt: skip


def looked() -> dict[str, Any]:
    """What each probe finds, or the exception."""
    found: dict[str, Any] = {"process": os.getpid()}
    for probe in PROBES:
        try:
            found[probe.__name__] = probe()
        except Exception as error:  # to be compared as well
            found[probe.__name__] = repr(error)
    return found


def spoil() -> None:
    """Change as much as an action can."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.setitimer(signal.ITIMER_PROF, 1000)
    random.seed(7)
    os.environ["TZ"] = "America/Bogota"
    time.tzset()
    os.environ["SPOILT"] = "yes"
    os.environ["TMPDIR"] = "/"
    sys.path[:] = []
    os.chdir("/")
    os.umask(0o777)
    print("spoilt")
    sys.stdout = sys.stderr = None  # type: ignore[assignment]
    os.close(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    logging.basicConfig(level=1)
    logging.disable(50)
    warnings.simplefilter("error")
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    sys.setrecursionlimit(400)
    sys.setswitchinterval(1.0)
    sys.excepthook = print
    gc.disable()
    decimal.getcontext().prec = 3
    _VARIABLE.set("set")
    tempfile.tempdir = "/"
    threading.Thread(target=time.sleep, args=(0.01,)).start()
    time.sleep(0.02)
