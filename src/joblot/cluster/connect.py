"""Starts or joins a Dask cluster, and leaves it again, with errors that a person can act on. Runs nothing there.

`distributed` is imported here and in what runs on its workers, and nowhere else.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from joblot.cluster.settings import Settings, Tls, check_safe
from joblot.cluster.targets import DEPLOYERS, refuse_plain
from joblot.errors import ClusterError, UsageError

_CONNECT_S: Final = 10.0
_LENGTH_BYTES: Final = 8
_LONGEST_GREETING: Final = 1 << 20
"""Bytes; a scheduler's is a few hundred."""
_LOGGERS: Final = ("distributed", "distributed.client", "tornado.application")


class Cluster:
    """A client of a Dask cluster, and the cluster itself when it was started with the run."""

    def __init__(self, on: str, settings: Settings, client: Any, deployed: Any) -> None:
        self.on = on
        self.settings = settings
        self.client = client
        self._deployed = deployed

    @property
    def is_connected(self) -> bool:
        """Whether the scheduler is connected. With a lost connection all tasks are lost, even if it comes back."""
        status: str = self.client.status
        return status == "running"

    @property
    def threads(self) -> list[int]:
        """How many threads each of the present workers has."""
        return [worker["nthreads"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values()]

    def close(self) -> None:
        """Disconnect, and end the cluster that was started."""
        for part in (self.client, self._deployed):
            if part is not None:
                with suppress(Exception):  # half of it may be gone
                    part.close(timeout=_CONNECT_S)
        _silence_logs(on=False)


def open_cluster(on: str, settings: Settings, slots: int) -> Cluster:
    """Join the scheduler at an address, or start a cluster; a LocalCluster gets threads for `slots` attempts at once.

    Raises:
        UsageError: the settings are not safe, or a package is missing.
        ClusterError: the cluster cannot be reached or started.
    """
    check_safe(on, settings)
    try:
        import distributed  # noqa: F401 - the one place that says what to install
    except ImportError:
        raise UsageError(f"`--on {on}` needs the package distributed", hint="pip install 'joblot[dask]'") from None
    _silence_logs(on=True)
    deployed = None
    try:
        security = _security(settings)
        deployed = _deploy(on, settings, security, slots) if on in DEPLOYERS else None
        address = deployed.scheduler_address if deployed is not None else on
        refuse_plain(address, "the scheduler's address")
        client = _connect(address, security if deployed is None else deployed.security)
        cluster = Cluster(on, settings, client, deployed)
    except BaseException:
        if deployed is not None:
            deployed.close(timeout=_CONNECT_S)
        _silence_logs(on=False)
        raise
    try:
        _await_workers(cluster)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _security(settings: Settings) -> Any:
    from distributed.security import Security

    tls = settings.tls
    if tls is None:
        return None
    if not isinstance(tls, Tls):
        try:
            return Security.temporary()
        except ImportError:
            raise UsageError(
                "`tls: temporary` needs the package cryptography", hint="pip install 'joblot[dask]'"
            ) from None
    pairs = {
        f"tls_{role}_{part}": getattr(tls, part)
        for role in ("client", "scheduler", "worker")
        for part in ("cert", "key")
    }
    return Security(tls_ca_file=tls.ca, require_encryption=True, **pairs)


def _deploy(on: str, settings: Settings, security: Any, slots: int) -> Any:
    import dask

    module, name, package = DEPLOYERS[on]
    try:
        deployer = getattr(import_module(module), name)
    except ImportError:
        raise UsageError(
            f"`--on {on}` needs the package {module.partition('.')[0]}", hint=f"pip install '{package}'"
        ) from None
    options = {**_defaults(on, settings, slots), **settings.options}
    # A task whose worker has died must not run again: joblot decides about retries.
    inherited: dict[str, Any] = {"distributed.scheduler.allowed-failures": 0}
    if security is not None:
        options["security"] = security
        if on == "ssh":
            options["scheduler_options"] = {"protocol": "tls://", **(options.get("scheduler_options") or {})}
            inherited |= _inherited_tls(settings)
        else:
            options.setdefault("protocol", "tls://")
    try:
        with dask.config.set(inherited):
            cluster = deployer(**options)
            if on == "slurm" and settings.workers is not None:
                cluster.scale(settings.workers)
    except Exception as error:
        raise ClusterError(
            f"cannot begin a cluster with {name}: {error_text(error)}", hint="its options stand in the settings file"
        ) from error
    return cluster


def _defaults(on: str, settings: Settings, slots: int) -> dict[str, Any]:
    """Options of a deployer's class that the settings may override."""
    if on != "dask":
        return {}
    workers = settings.workers or (2 if slots % 2 == 0 else 1)
    return {
        "n_workers": workers,
        "threads_per_worker": -(-slots // workers),
        "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        "worker_dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.CRITICAL,
        "preload": ["joblot.cluster.agent"],
    }


def _inherited_tls(settings: Settings) -> dict[str, Any]:
    """The part of Dask's configuration that processes started by SSH get: paths of certificates, the same on all hosts."""
    assert isinstance(settings.tls, Tls), "BUG: checked before"
    tls: dict[str, Any] = {"ca-file": settings.tls.ca}
    for role in ("client", "scheduler", "worker"):
        tls[role] = {"cert": settings.tls.cert, "key": settings.tls.key}
    return {"distributed.comm.tls": tls, "distributed.comm.require-encryption": True}


def _connect(address: str, security: Any) -> Any:
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    try:
        if address.startswith("tcp"):  # where nobody listens, Dask would retry until the timeout
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as probe:
                _refuse_stranger(probe)
        with warnings.catch_warnings():  # about versions: those that matter are errors of `greet`
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return Client(address, security=security, timeout=_CONNECT_S, set_as_default=False)
    except Exception as error:  # noqa: BLE001 - what answers may say anything, and what Dask makes of it shares no class
        hint = (
            "is it running, and are its certificates of the same authority?"
            if address.startswith("tls")
            else "is it running, and does it speak plain text?"
        )
        raise ClusterError(f"cannot reach the Dask scheduler at `{address}`: {error_text(error)}", hint=hint) from None


def _refuse_stranger(probe: socket.socket) -> None:
    """Make sure that what answers greets as Dask does: it takes the first bytes for a length, and makes room for as much.

    Raises:
        OSError: it does not.
    """
    head, until = b"", time.monotonic() + _CONNECT_S
    while len(head) < _LENGTH_BYTES:
        probe.settimeout(max(0.001, until - time.monotonic()))
        more = probe.recv(_LENGTH_BYTES - len(head))
        if not more:
            raise ConnectionError("it closes the connection")
        head += more
    if int.from_bytes(head, sys.byteorder) > _LONGEST_GREETING:
        raise ConnectionError("what answers there is no Dask scheduler")


def _await_workers(cluster: Cluster) -> None:
    required, settings = cluster.settings.min_workers, cluster.settings
    try:
        cluster.client.wait_for_workers(required, timeout=settings.wait_s)
    except TimeoutError:
        count = len(cluster.client.scheduler_info(n_workers=-1)["workers"])
        raise ClusterError(
            f"{count} of {required} workers came to `{cluster.on}` within {settings.wait_s:g} s",
            hint="begin workers, or set `min_workers` and `wait` in the settings file",
        ) from None
    for address in cluster.client.scheduler_info(n_workers=-1)["workers"]:
        refuse_plain(address, "the address of worker")


def error_text(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _silence_logs(*, on: bool) -> None:
    """Switch Dask's log lines off, which would stand between ours; those that matter are errors here."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if on:
            _LEVELS.setdefault(name, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        elif name in _LEVELS:
            logger.setLevel(_LEVELS.pop(name))


_LEVELS: Final[dict[str, int]] = {}
