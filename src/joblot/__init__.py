"""joblot runs a lot of jobs from one file, in parallel, and never loses one.

What stands in `__all__` is the public API. Names are imported when they are first used, so that `import joblot` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblot.version import __version__ as __version__

if TYPE_CHECKING:
    from joblot.actions.bundle import BundleContext, FusedJob
    from joblot.actions.context import Context
    from joblot.actions.registry import ACTIONS, action, fused
    from joblot.api import Batch, generate_files, load, open_run, run, runs
    from joblot.config.document import Document
    from joblot.errors import (
        ActionError,
        BatchFailedError,
        ConfigError,
        CyclicDependencyError,
        Diagnostic,
        JoblotError,
        RunHeldError,
        RunSkippedError,
        StateError,
    )
    from joblot.files import atomic_write, reason_of
    from joblot.reports.progress import Progress
    from joblot.reports.report import JobReport, Report
    from joblot.runner.options import Options
    from joblot.runner.runlogger import RunLogger

_HOMES = {
    "ACTIONS": "actions.registry",
    "ActionError": "errors",
    "Batch": "api",
    "BatchFailedError": "errors",
    "BundleContext": "actions.bundle",
    "ConfigError": "errors",
    "Context": "actions.context",
    "CyclicDependencyError": "errors",
    "Diagnostic": "errors",
    "Document": "config.document",
    "FusedJob": "actions.bundle",
    "JobReport": "reports.report",
    "JoblotError": "errors",
    "Options": "runner.options",
    "Progress": "reports.progress",
    "Report": "reports.report",
    "RunHeldError": "errors",
    "RunSkippedError": "errors",
    "RunLogger": "runner.runlogger",
    "StateError": "errors",
    "action": "actions.registry",
    "atomic_write": "files",
    "fused": "actions.registry",
    "generate_files": "api",
    "load": "api",
    "open_run": "api",
    "reason_of": "files",
    "run": "api",
    "runs": "api",
}

__all__ = [
    "ACTIONS",
    "ActionError",
    "Batch",
    "BatchFailedError",
    "BundleContext",
    "ConfigError",
    "Context",
    "CyclicDependencyError",
    "Diagnostic",
    "Document",
    "FusedJob",
    "JobReport",
    "JoblotError",
    "Options",
    "Progress",
    "Report",
    "RunHeldError",
    "RunLogger",
    "RunSkippedError",
    "StateError",
    "action",
    "atomic_write",
    "fused",
    "generate_files",
    "load",
    "open_run",
    "reason_of",
    "run",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'joblot' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"joblot.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
