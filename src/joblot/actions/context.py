"""What an action may ask of joblot while it runs: to log, to show progress, to write a file that is whole or absent.

Where messages go is not known here: whoever runs the action passes callables.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from joblot.core.model import Artifact, LogLine
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What a write may fail with; such an error does not name the file."""


def _no_line(_: LogLine) -> None:
    """Messages go nowhere."""


def _no_progress(_done: float, _total: float | None, _unit: str) -> None:
    """Progress goes nowhere."""


def _never() -> bool:
    return False


class Context:
    """An action's view of its attempt.

    Attributes:
        run_id: the run.
        job: the job's name.
        attempt: which try of the job this is, from 1.
        batch_dir: the batch file's folder; relative paths are relative to it.
        run_dir: the run's own folder in the state folder, None when the run keeps none.
        artifacts: the files that `output` completed.
    """

    def __init__(
        self,
        *,
        run_id: str,
        job: str,
        attempt: int,
        batch_dir: Path,
        run_dir: Path | None = None,
        log: Callable[[LogLine], None] = _no_line,
        progress: Callable[[float, float | None, str], None] = _no_progress,
        cancelled: Callable[[], bool] = _never,
    ) -> None:
        self.run_id = run_id
        self.job = job
        self.attempt = attempt
        self.batch_dir = batch_dir
        self.run_dir = run_dir
        self.artifacts: list[Artifact] = []
        self._log = log
        self._progress = progress
        self._cancelled = cancelled

    @classmethod
    def for_test(cls, batch_dir: Path, **options: Any) -> Context:
        """A context for calling an action directly, as in a test: run `test`, job `job`, attempt 1."""
        known: dict[str, Any] = {"run_id": "test", "job": "job", "attempt": 1, "batch_dir": batch_dir}
        return cls(**known | options)

    @property
    def cancelled(self) -> bool:
        """Whether the attempt was asked to end. An action that looks here can end cleanly before it is killed."""
        return self._cancelled()

    def log(self, message: str, level: str = "info", **data: Any) -> None:
        """Write a message, with any JSON-able data, to the run's log. `level`: `debug`, `info`, `warning` or `error`."""
        self._log(LogLine(level, message, data or None))

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far the work is: `done` of `total` (None: unknown), in `unit`."""
        self._progress(done, total, unit)

    def path(self, path: str | Path) -> Path:
        """A path of the batch, made absolute."""
        return self.batch_dir / path

    def shown(self, path: str | Path) -> str:
        """A path as the batch file would write it: without the batch's folder in front."""
        return str(path).removeprefix(f"{self.batch_dir}{os.sep}")

    @contextmanager
    def output(self, path: str | Path) -> Iterator[Path]:
        """Write a file that is complete or absent: `with ctx.output("out.csv") as file: file.write_text(...)`.

        Yields the path of a temporary file in the same folder (made with its parents when it does not exist). When the block ends
        well, the file is forced to disk and takes its name; when it raises, the file is removed and what had the name stays.

        Raises:
            ActionError: the folder or the file cannot be written, or the block wrote nothing.
        """
        with self.outputs(path) as parts:
            yield parts[0]

    @contextmanager
    def outputs(self, *paths: str | Path) -> Iterator[list[Path]]:
        """Write files that belong together: `with ctx.outputs("a.csv", "a.json") as (table, about): ...`.

        As `output`, for several: none takes its name before all are written and forced to disk, and they take their names in this order.

        Raises:
            ActionError: a folder or a file cannot be written, or the block did not write one of them.
        """
        parts: list[Path] = []
        try:
            for path in paths:
                with self._naming(path):
                    parts.append(self._part(self.path(path)))
            yield parts
            self._complete(paths, parts)
        except BaseException as error:
            for path, part in zip(paths, parts, strict=False):
                part.unlink(missing_ok=True)
                if isinstance(error, OSError) and error.filename in (part, str(part)):
                    raise self._cannot_write(path, error) from error
            if isinstance(error, OSError) and error.errno in _DISK and paths:
                raise self._cannot_write(paths[0], error) from error
            raise

    def _part(self, target: Path) -> Path:
        """The temporary file of a target. What earlier attempts left when they were killed goes: none of them lives any more."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, self.attempt + 1):
            part = target.with_name(f".{target.name}.{attempt}.part")
            part.unlink(missing_ok=True)
        return part

    def _complete(self, paths: Sequence[str | Path], parts: Sequence[Path]) -> None:
        made = []
        for path, part in zip(paths, parts, strict=True):
            if not part.exists():
                raise ActionError(f"nothing was written to `{self.shown(path)}`", reason="output")
            _force(part)
            made.append(Artifact(self.shown(path), part.stat().st_size))
        folders: dict[Path, None] = {}
        for path, part in zip(paths, parts, strict=True):
            target = self.path(path)
            with self._naming(path):
                part.replace(target)
            folders[target.parent] = None
        for folder in folders:
            _force(folder)
        self.artifacts += made

    @contextmanager
    def _naming(self, path: str | Path) -> Iterator[None]:
        """Errors of the system name the path that was asked for."""
        try:
            yield
        except OSError as error:
            raise self._cannot_write(path, error) from error

    def _cannot_write(self, path: str | Path, error: OSError) -> ActionError:
        return ActionError(
            f"cannot write `{self.shown(path)}`: {(error.strerror or str(error)).lower()}", reason="output"
        )


def _force(path: Path) -> None:
    """Make a file's contents, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
