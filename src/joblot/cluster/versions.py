"""The versions that must be the same on both sides of a cluster."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """The versions of Python (major and minor), joblot and Dask in this process."""
    installed = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ("joblot", "distributed"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "none"
    return installed
