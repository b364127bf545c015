"""Where jobs can run: the values of `--on`, and which addresses are safe. Imports next to nothing, since every command imports it."""

from __future__ import annotations

import re
from typing import Final

from joblot.errors import UsageError, did_you_mean

DEPLOYERS: Final = {
    "dask": ("distributed", "LocalCluster", "joblot[dask]"),
    "ssh": ("distributed", "SSHCluster", "joblot[dask]' 'asyncssh"),
    "slurm": ("dask_jobqueue", "SLURMCluster", "dask-jobqueue"),
}
"""Kinds of cluster that are started with the run and end with it: module, class, and what to install."""
_ADDRESS: Final = r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):(\d{1,5})"


def is_cluster(on: str) -> bool:
    """Whether `--on` names a cluster."""
    return on in DEPLOYERS or "://" in on


def check_on(on: str) -> str:
    """`on`, if it is a valid value of `--on`.

    Raises:
        UsageError: it is not.
    """
    if on in ("local", "inline") or on in DEPLOYERS or re.fullmatch(_ADDRESS, on):
        return on
    if on == "kubernetes":
        raise UsageError(
            "cannot run on `kubernetes` by itself: Dask's operator lets its pods speak plain text only",
            hint="begin a scheduler and workers with certificates in pods, and use their `tls://` address (how-to: Kubernetes)",
        )
    if "://" in on:
        raise UsageError(
            f"`{on}` is no address of a Dask scheduler",
            hint="it reads `tls://HOST:PORT`, or on this machine `tcp://127.0.0.1:PORT`",
        )
    known = ["local", "inline", *DEPLOYERS]
    raise UsageError(
        f"cannot run on `{on}`",
        hint=did_you_mean(on, known) or f"one of: {', '.join(known)}, or the address of a Dask scheduler",
    )


def refuse_plain(address: str, what: str) -> None:
    """Refuse an address without encryption that is not of this machine.

    Raises:
        UsageError: the address is refused; `what` names it in the message.
    """
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if scheme in ("tls", "inproc") or is_loopback(host):
        return
    raise UsageError(
        f"{what} `{address}` is plain text and not of this machine: whoever is on the way reads jobs and secrets, and whoever reaches it runs code",
        hint="begin the scheduler and the workers with certificates (`--tls-ca-file`, `--tls-cert`, `--tls-key`) and use `tls://`",
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, and nobody else's."""
    if host == "localhost":
        return True
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
