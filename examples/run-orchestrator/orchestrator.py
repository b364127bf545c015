"""Workflows of steps in the words of a small orchestrator, run by joblot.

It says how the words of one stand for those of the other, and nothing about how steps are run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from joblot import Batch, CyclicDependencyError, JobReport, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Literal

__all__ = ["CyclicDependencyError", "RunReport", "StepResult", "StepStatus", "Workflow", "WorkflowStep"]

GRACE_S: Final = 0.2
"""How long a step that ran out of time may tidy up before it is killed."""


class StepStatus(StrEnum):
    """What a step is or came to."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


STATUS: Final = {
    "waiting": StepStatus.PENDING,
    "ready": StepStatus.PENDING,
    "running": StepStatus.RUNNING,
    "backing_off": StepStatus.RUNNING,
    "success": StepStatus.SUCCESS,
    "failed": StepStatus.FAILED,
    "skipped": StepStatus.SKIPPED,
    "aborted": StepStatus.SKIPPED,
    "cancelled": StepStatus.SKIPPED,
}


@dataclass(frozen=True)
class WorkflowStep:
    """A step: what to call, after which others, how often to try and how long a try may take.

    `max_retries` counts every try, the first one too. Between two tries there is a pause of `retry_delay_ms`, each `backoff` times as
    long as the one before. `action` runs in a process of its own, so that it can be stopped; the text that it returns is the output.

    Raises:
        ValueError: a number that cannot be right.
    """

    name: str
    action: Callable[[], str | None]
    depends_on: Iterable[str] = ()
    max_retries: int = 1
    timeout_ms: int = 30_000
    retry_delay_ms: int = 0
    backoff: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "depends_on", tuple(self.depends_on))
        for name, least in (("max_retries", 1), ("timeout_ms", 1), ("retry_delay_ms", 0), ("backoff", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"step `{self.name}`: `{name}` must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class StepResult:
    """What a step came to. `error` says why it failed or was skipped; `log` is the file with what its last try printed."""

    step_name: str
    status: StepStatus
    attempts: int = 0
    duration_ms: int = 0
    output: str = ""
    error: str = ""
    log: str = ""


@dataclass(frozen=True)
class RunReport:
    """What a run of a workflow came to; `results` are in the order in which the steps were due."""

    results: list[StepResult] = field(default_factory=list)
    total_duration_ms: int = 0
    exit_code: int = 0

    def _count(self, status: StepStatus) -> int:
        return sum(result.status is status for result in self.results)

    @property
    def succeeded(self) -> int:
        """How many steps succeeded."""
        return self._count(StepStatus.SUCCESS)

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return self._count(StepStatus.FAILED)

    @property
    def skipped(self) -> int:
        """How many steps were never tried."""
        return self._count(StepStatus.SKIPPED)

    @property
    def all_passed(self) -> bool:
        """Whether every step succeeded; true of a workflow without steps."""
        return self.succeeded == len(self.results)

    @property
    def summary(self) -> dict[str, int]:
        """The numbers."""
        return {
            "total_steps": len(self.results),
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "total_duration_ms": self.total_duration_ms,
        }


class Workflow:
    """Steps that depend on each other."""

    def __init__(self, steps: Iterable[WorkflowStep] = (), *, name: str = "workflow") -> None:
        self.name = name
        self._steps: dict[str, WorkflowStep] = {}
        for step in steps:
            self.add_step(step)

    def add_step(self, step: WorkflowStep) -> None:
        """Add a step; what it depends on may be added later.

        Raises:
            ValueError: another step has that name, or it is not one that a job can have.
        """
        if step.name in self._steps:
            raise ValueError(f"duplicate step name `{step.name}`")
        _add(Batch(), step)
        self._steps[step.name] = step

    def parallel_groups(self) -> list[list[str]]:
        """The steps in tiers: each step stands one tier after the last of those it depends on, so those of one tier may run together.

        Raises:
            ValueError: a step depends on one that there is not.
            CyclicDependencyError: (a ValueError) steps depend on each other.
        """
        for step in self._steps.values():
            for other in step.depends_on:
                if other not in self._steps:
                    raise ValueError(f"step `{step.name}` depends on unknown step `{other}`")
        plan = self._batch(self._steps).plan()
        return [[plan.name(job) for job in tier] for tier in plan.tiers]

    def execution_order(self) -> list[str]:
        """The order in which one worker runs the steps: tier after tier, each in the order in which the steps were added.

        Raises:
            ValueError: as `parallel_groups`.
        """
        return [name for tier in self.parallel_groups() for name in tier]

    def run(
        self,
        *,
        fail_fast: bool = True,
        workers: int = 1,
        on: Literal["local", "inline"] = "local",
        state: Path | Literal[False] | None = False,
    ) -> RunReport:
        """Run every step whose dependencies succeeded; with `fail_fast` start none after the first failure.

        `workers` steps run at once. `state` is the folder that keeps the run and its logs: None stands for `.joblot`, False for none.
        On `inline` steps run in this process, where nothing can stop them: no timeouts.

        Raises:
            ValueError: as `parallel_groups`, or no workers; nothing ran.
        """
        if workers < 1:
            raise ValueError(f"`workers` must be at least 1, got {workers}")
        batch = self._batch(self.execution_order())
        return _report(batch.run(on=on, workers=workers, fail_fast=fail_fast, state=state))

    def _batch(self, order: Iterable[str]) -> Batch:
        batch = Batch(self.name)
        for name in order:
            _add(batch, self._steps[name])
        return batch


def _add(batch: Batch, step: WorkflowStep) -> None:
    def output() -> str:
        returned = step.action()
        return "" if returned is None else str(returned)

    # A step asks for a processor of its own: without that, short ones are queued ahead and one could begin just after a failure.
    batch.add(
        step.name,
        output,
        needs=step.depends_on,
        max_attempts=step.max_retries,
        timeout=step.timeout_ms / 1000,
        delay=step.retry_delay_ms / 1000,
        backoff=step.backoff,
        grace=GRACE_S,
        resources={"cpu": 1},
    )


def _report(report: Report) -> RunReport:
    return RunReport([_result(job) for job in report.jobs.values()], report.duration_ms, report.exit_code)


def _result(job: JobReport) -> StepResult:
    status = STATUS[job.state]
    if status is StepStatus.SKIPPED and job.attempts:
        status = StepStatus.FAILED
    output = job.result if isinstance(job.result, str) else ""
    return StepResult(job.name, status, job.attempts, job.duration_ms, output, job.message, job.log)
