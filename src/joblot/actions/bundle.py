"""What a fused action gets: the jobs that it does in one call, and methods to report how each ended.

Where reports go is not known here: whoever runs the action passes a callable.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any

from joblot.actions.context import Context
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


class FusedJob:
    """One job of a bundle.

    Attributes:
        name: the job's name.
        attempt: which try of the job this is, from 1.
        input: its path or paths, absolute; None without one.
        params: its parameters, checked and converted as the action's signature says; what the job does not give is the default.
        ctx: what the action would have for this job alone: `log`, `output`, `path`.
    """

    def __init__(self, name: str, attempt: int, input: Any, params: Mapping[str, Any], ctx: Context) -> None:
        self.name = name
        self.attempt = attempt
        self.input = input
        self.params = dict(params)
        self.ctx = ctx

    def __repr__(self) -> str:
        return f"FusedJob({self.name!r})"


class BundleContext:
    """A fused action's view of its bundle. What is printed meanwhile is in the log of all its jobs.

    Attributes:
        jobs: all jobs of the bundle.
        run_id: the run.
        batch_dir: the batch file's folder; relative paths are relative to it.
        run_dir: the run's own folder in the state folder, None when the run keeps none.
    """

    def __init__(
        self,
        jobs: Iterable[FusedJob],
        *,
        run_id: str,
        batch_dir: Path,
        run_dir: Path | None = None,
        ended: Callable[[FusedJob, Any, BaseException | None], None],
    ) -> None:
        self.jobs = list(jobs)
        self.run_id = run_id
        self.batch_dir = batch_dir
        self.run_dir = run_dir
        self._open = {job.name: job for job in self.jobs}
        self._ended = ended
        self._lock = RLock()

    @classmethod
    def for_test(cls, batch_dir: Path, jobs: Mapping[str, Mapping[str, Any]], input: Any = None) -> Recorded:
        """A context for calling a fused action directly, as in a test: jobs by name, each with its parameters, and their input."""
        contexts = ((name, params, Context.for_test(batch_dir, job=name)) for name, params in jobs.items())
        return Recorded([FusedJob(name, 1, input, params, ctx) for name, params, ctx in contexts], batch_dir)

    @property
    def open(self) -> list[FusedJob]:
        """The jobs that are neither done nor failed so far."""
        with self._lock:
            return list(self._open.values())

    def done(self, job: FusedJob, result: Any = None) -> None:
        """The job has ended well; this counts at once, whatever becomes of the others. Any thread may call it.

        Raises:
            ActionError: the job is done or failed already.
        """
        self._end(job, result, None)

    def failed(self, job: FusedJob, error: BaseException | str) -> None:
        """The job has failed, by itself: the others go on. It is tried again as its `retry` says.

        Raises:
            ActionError: the job is done or failed already.
        """
        self._end(job, None, ActionError(error) if isinstance(error, str) else error)

    def _end(self, job: FusedJob, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._open.pop(job.name, None) is None:
                raise ActionError(f"it was said twice how job `{job.name}` ended")
            self._ended(job, result, error)


class Recorded(BundleContext):
    """A context that keeps results and errors by job name: for tests of fused actions."""

    def __init__(self, jobs: Iterable[FusedJob], batch_dir: Path) -> None:
        super().__init__(jobs, run_id="test", batch_dir=batch_dir, ended=self._keep)
        self.results: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}

    def _keep(self, job: FusedJob, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.results[job.name] = result
        else:
            self.errors[job.name] = error
