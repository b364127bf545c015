"""Which running jobs share a process, and with how many others a job may share one next. Part of the core: pure bookkeeping.

Jobs that are run together in one attempt of a fused action form a bundle. When its process fails as a whole, it is not known which job
is to blame: the jobs that were not done may next be in bundles of half as many, so that a bad one is alone after log2(n) failures. It
decides nothing about states, and does not know which jobs belong together: that is `fusing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Bundles:
    """The bundles of a run. `largest` is how many jobs one may have."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.running: dict[int, Bundle] = {}
        """The running jobs that began with others in one process. To be read only, as a quick way to see that there are none."""
        self._max_sizes: dict[int, int] = {}
        """Jobs that were in a bundle that failed, and how many the next one may have."""
        self._begun = 0

    # --- changing -------------------------------------------------------------------------------

    def begin(self, jobs: Sequence[int], sizes: Sequence[int]) -> None:
        """These jobs start, in bundles of these sizes, one after another; a bundle of one is none."""
        first = 0
        for size in sizes:
            if size > 1:
                self._begun += 1
                bundle = Bundle(self._begun, size, jobs[first], size)
                self.running.update(dict.fromkeys(jobs[first : first + size], bundle))
            first += size

    def failed(self, job: int) -> None:
        """The bundle of a running job has failed as a whole, and this job was not done."""
        bundle = self.running[job]
        if not bundle.half:
            bundle.half = max(1, bundle.open // 2)
        self._max_sizes[job] = bundle.half

    def leave(self, job: int) -> bool:
        """A running job has ended. Returns whether nothing else runs in its process."""
        bundle = self.running.pop(job, None)
        if bundle is None:
            return True
        bundle.open -= 1
        return not bundle.open

    def part(self, job: int) -> None:
        """The job's next process is its own."""
        self._max_sizes[job] = 1

    def forget(self, job: int) -> None:
        """The job begins anew, whatever happened to its bundles."""
        self._max_sizes.pop(job, None)

    # --- questions ------------------------------------------------------------------------------

    def number(self, job: int) -> int:
        """The number of a running job's bundle, from 1; 0 when it runs alone."""
        bundle = self.running.get(job)
        return bundle.number if bundle is not None else 0

    def size(self, job: int) -> int:
        """With how many jobs a running job began, itself included."""
        bundle = self.running.get(job)
        return bundle.size if bundle is not None else 1

    def leads(self, job: int) -> bool:
        """Whether the job is the one that takes what the process needs: the first of its bundle, or alone."""
        bundle = self.running.get(job)
        return bundle is None or bundle.first == job

    def max_size(self, job: int) -> int:
        """How many jobs the job's next bundle may have."""
        return self._max_sizes.get(job, self._largest)

    @property
    def processes_saved(self) -> int:
        """How many processes fewer than jobs are running."""
        return len(self.running) - len({bundle.number for bundle in self.running.values()})

    def snapshot(self) -> dict[str, Any]:
        """Everything, in a form that can be compared."""
        running = {job: (bundle.number, bundle.size, bundle.open, bundle.half) for job, bundle in self.running.items()}
        return {"running": running, "max_sizes": dict(self._max_sizes), "begun": self._begun}


class Bundle(Struct):
    """Jobs that began together in one process."""

    number: int
    size: int
    first: int
    open: int
    """How many of its jobs have not ended."""
    half: int = 0
    """Once it has failed, how many jobs the next bundle of those that were left may have."""
