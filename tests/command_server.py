"""Commands without the price of what they import: a process that has it loaded forks one for each.

Most of what a short `joblot` command costs is Python's start and its imports, and a worker of `joblot_sirene` loads polars besides. Here a
command is a real process with real streams, its own folder and environment, and runs the package as `python -m joblot` does, or a program
as `python FILE` does; its warden and its workers are forked from it as ever. What differs: modules are there already, so tests of what a command imports, of the interpreter's own
options, of signals and of how an interpreter ends start the real command.

The server has one thread, runs one command at a time, and ends when its socket does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.util
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn

_LENGTH = struct.Struct("<I")
_NUMBER = struct.Struct("<i")

JOBLOT = (
    *("click", "msgspec", "yaml", "re2", "sqlite3", "logging", "decimal", "tomllib", "hashlib", "encodings.utf_8_sig"),
    *(f"joblot.cli.{name}" for name in ("batch", "drive", "ls", "plan", "resume", "run", "runs", "show", "validate")),
    *("joblot.api", "joblot.runner.launch", "joblot.executors.local", "joblot.config.load", "joblot.config.yaml12"),
    *("joblot.journal.claims", "joblot.journal.place", "joblot.reports.report"),
)
"""What commands of joblot import sooner or later. The other modules are small."""


def _modules_of(package: str) -> list[str]:
    """All modules of a package, without importing any."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    paths = (path.relative_to(folder.parent).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


SIRENE = (
    *(*JOBLOT, "joblot.config.items", "joblot.generate.text", "joblot.generate.writes"),
    *("importlib.metadata", "importlib.readers", "polars", "polars._utils.parquet", "rapidfuzz"),
    *_modules_of("joblot_sirene"),
)
"""The same for `joblot sirene`. Importing polars begins no thread that a forked process needs; using it does."""
DASK = (*JOBLOT, "distributed", "joblot.cluster.dask")
"""The same for `joblot run --on dask`, whose threads begin with a client."""


class CommandServer:
    """The side that asks. `modules` are loaded once."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._socket, theirs = socket.socketpair()
        words = [sys.executable, __file__, str(theirs.fileno()), *modules]
        quiet = {**os.environ, "_RJEM_MALLOC_CONF": "background_thread:false"}  # polars' allocator needs none
        with theirs:
            self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=quiet)

    def close(self) -> None:
        """End the server and wait for it, so that its time is counted in that of this process's children."""
        self._socket.close()
        self._process.wait()

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `python *words` (`-m MODULE ...` or `FILE ...`) to its end, and until nobody holds its streams.

        Raises `TimeoutError` for one over its time, and kills it.
        """
        lines = [str(folder), *(f"{name}={value}" for name, value in environment.items()), "", *words]
        request = os.fsencode("\0".join(lines))
        nothing = os.open(os.devnull, os.O_RDONLY)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        socket.send_fds(self._socket, [_LENGTH.pack(len(request)) + request], [nothing, out_end, err_end])
        for fd in (nothing, out_end, err_end):
            os.close(fd)
        (pid,) = _NUMBER.unpack(_exactly(self._socket, _NUMBER.size))
        try:
            texts = _read_both(out, err, time.monotonic() + timeout_s)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            (code,) = _NUMBER.unpack(_exactly(self._socket, _NUMBER.size))
        return subprocess.CompletedProcess(words, code, *(text.decode() for text in texts))


@functools.cache
def server(modules: tuple[str, ...] = JOBLOT) -> CommandServer:
    """The server of this process for these modules, until the process ends."""
    made = CommandServer(modules)
    atexit.register(made.close)
    return made


def _read_both(out: int, err: int, until: float) -> tuple[bytes, bytes]:
    """Read both streams to their ends, and close them. Raises `TimeoutError`."""
    texts = {out: b"", err: b""}
    with selectors.DefaultSelector() as selector:
        for fd in texts:
            selector.register(fd, selectors.EVENT_READ)
        try:
            while selector.get_map():
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    raise TimeoutError("the command did not end in time")
                for key, _ in ready:
                    if data := os.read(key.fd, 65536):
                        texts[key.fd] += data
                    else:
                        selector.unregister(key.fd)
        finally:
            os.close(out)
            os.close(err)
    return texts[out], texts[err]


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := sock.recv(size - len(data))):
            raise EOFError
        data += part
    return data


# --- the server ----------------------------------------------------------------------------------


def _serve(sock: socket.socket) -> None:
    """Fork a process for each request, which is the command then, until the socket ends."""
    gc.freeze()
    while True:
        head, fds, _, _ = socket.recv_fds(sock, _LENGTH.size, 3)
        if not head:
            os._exit(0)
        (length,) = _LENGTH.unpack(head)
        lines = os.fsdecode(_exactly(sock, length)).split("\0")
        pid = os.fork()
        if pid == 0:
            sock.close()
            _end(_become, lines, fds)
        for fd in fds:
            os.close(fd)
        sock.sendall(_NUMBER.pack(pid))
        sock.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def _end(call: Callable[..., None], *arguments: Any) -> NoReturn:
    """Call, and end as an interpreter does, but for taking apart all that is loaded, which costs more than most commands."""
    code: Any = 0
    try:
        call(*arguments)
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


def _become(lines: list[str], fds: list[int]) -> None:
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    folder, *lines = lines
    given, words = lines[: lines.index("")], lines[lines.index("") + 1 :]
    for name, number in (
        ("stdin", 0),
        ("stdout", 1),
        ("stderr", 2),
    ):  # those from before may have been files, at a place
        old = getattr(sys, name)
        buffering = 1 if name == "stderr" else -1  # by lines, as an interpreter has it
        new = open(number, old.mode, buffering, old.encoding, old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(line.split("=", 1) for line in given)
    time.tzset()
    if words[0] == "-m":
        sys.path[0], sys.argv = folder, words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = os.path.dirname(os.path.abspath(words[0])), words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    _serve(socket.socket(fileno=int(sys.argv[1])))
