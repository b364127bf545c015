"""What joblot offers an action while it runs: to log, to show progress, to write a file that is whole or absent.

Where messages go is not known here: whoever runs the action passes callables.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from joblot.core.model import Artifact, LogLine
from joblot.errors import ActionError
from joblot.files import make_part, reason_of, remove_left_parts, remove_part, rename_together, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from joblot.core.model import Held

_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What a write may fail with; such an error does not name the file."""


def _ignore(*_: Any) -> None:
    """Messages and progress go nowhere."""


class Context:
    """An action's view of its attempt.

    Attributes:
        run_id: the run.
        job: the job's name.
        attempt: which try of the job this is, from 1.
        batch_dir: the batch file's folder; relative paths are relative to it.
        run_dir: the run's own folder in the state folder, None when the run keeps none.
        slots: the slots that the attempt holds of limits whose slots have names, by limit: `{"gpu": [0, 1]}`.
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
        slots: Held | None = None,
        log: Callable[[LogLine], None] = _ignore,
        progress: Callable[[float, float | None, str], None] = _ignore,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run_id = run_id
        self.job = job
        self.attempt = attempt
        self.batch_dir = batch_dir
        self.run_dir = run_dir
        self.slots: Held = slots or {}
        self.artifacts: list[Artifact] = []
        self._log = log
        self._progress = progress
        self._cancelled = cancelled

    @classmethod
    def for_test(cls, batch_dir: Path, **options: Any) -> Context:
        """A context for calling an action directly, as in a test: run `test`, job `job`, attempt 1."""
        defaults: dict[str, Any] = {"run_id": "test", "job": "job", "attempt": 1, "batch_dir": batch_dir}
        return cls(**defaults | options)

    @property
    def cancelled(self) -> bool:
        """Whether the attempt was asked to end, so that an action can end cleanly before it is killed. Nothing sets it yet: always False in a run."""
        return self._cancelled()

    def log(self, message: str, level: str = "info", **data: Any) -> None:
        """Write a message, with any JSON-able data, to the run's log. `level`: `debug`, `info`, `warning` or `error`."""
        self._log(LogLine(level, message, data or None))

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far the work is: `done` of `total` (None: unknown), in `unit`. Nothing shows it yet."""
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

        Yields the path of a temporary file of the same name, which is not there yet, in a hidden folder for the user alone beside it. When
        the block ends well, the file is forced to disk and takes its name, with the mode and owner of what it replaces; when it raises,
        the file is removed and what had the name stays. A link of that name stays: what
        it leads to is replaced.

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
        artifacts = []
        try:
            parts.extend(map(self._part, paths))  # one by one: those that were made are removed when one cannot be
            yield parts
            for path, part in zip(paths, parts, strict=True):
                if not part.exists():
                    raise ActionError(f"nothing was written to `{self.shown(path)}`", reason="output")
                artifacts.append(Artifact(self.shown(path), part.stat().st_size))
            rename_together({part: target_of(self.path(path)) for part, path in zip(parts, paths, strict=True)})
        except BaseException as error:
            if not isinstance(error, OSError):
                raise
            suspects = [path for path, part in zip(paths, parts, strict=True) if error.filename in (part, str(part))]
            # A full or broken disk fails a write that names no file: then the first output is named rather than none. Any other error
            # without an output's name is the block's own, such as an input that is missing, and must not be told as ours.
            if error.errno in _DISK:
                suspects += paths
            if not suspects:
                raise
            raise self._cannot_write(suspects[0], error) from error
        finally:
            for part in parts:
                remove_part(part)
        self.artifacts += artifacts

    def _part(self, path: str | Path) -> Path:
        """The temporary file of an output. What earlier attempts left when they were killed goes: none of them lives any more."""
        target = target_of(self.path(path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_left_parts(target, again=self.attempt > 1)
            return make_part(target)
        except OSError as error:
            raise self._cannot_write(path, error) from error

    def _cannot_write(self, path: str | Path, error: OSError) -> ActionError:
        return ActionError(f"cannot write `{self.shown(path)}`: {reason_of(error)}", reason="output")
