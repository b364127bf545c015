"""The settings file of clusters, and which settings are safe. Connects to nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from joblot.cluster.targets import DEPLOYERS, is_loopback, refuse_plain
from joblot.config.document import Document
from joblot.config.source import decode_text, format_of, read_bytes
from joblot.errors import ConfigError, UsageError
from joblot.units import parse_duration

MAX_JOBS_PER_TASK: Final = 256


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates, as paths of PEM files."""

    ca: str
    cert: str
    key: str


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings file of a cluster.

    `tls` are certificates, or `temporary`: made for this run, for clusters that are started with it; `workers` is how many workers such a
    cluster gets; `min_workers` how many to wait for before the start, and `wait` how long; `jobs_per_task` how many short jobs travel as
    one task at the most; `options` go to the deployer's class as they are.
    """

    tls: Tls | Literal["temporary"] | None = None
    workers: int | None = None
    min_workers: int = 1
    wait: float | str = 60.0
    jobs_per_task: int = MAX_JOBS_PER_TASK
    options: dict[str, Any] = {}

    @property
    def wait_s(self) -> float:
        """Seconds to wait for workers, and how long a run may be without any."""
        return parse_duration(self.wait)


def read_settings(path: str | Path | None) -> Settings:
    """The settings in a file (YAML, JSON or TOML by its ending); paths in it are relative to its folder.

    Raises:
        UsageError: it cannot be read, or something in it is not a setting.
    """
    if path is None:
        return Settings()
    shown = os.fspath(path)
    try:
        document = Document.parse(decode_text(read_bytes(path), shown), file=shown, format=format_of(path))
        document.raise_problems()
    except ConfigError as error:
        raise UsageError(error.message, hint=error.hint) from None
    try:
        settings = msgspec.convert(document.data, Settings)
        _ = settings.wait_s
    except (msgspec.ValidationError, ValueError) as error:
        text = str(error)
        raise UsageError(
            f"`{shown}`: {text[:1].lower()}{text[1:]}", hint=f"settings are: {', '.join(Settings.__struct_fields__)}"
        ) from None
    if isinstance(settings.tls, Tls):
        settings = msgspec.structs.replace(settings, tls=_absolute(settings.tls, Path(path).absolute().parent, shown))
    return settings


def _absolute(tls: Tls, folder: Path, shown: str) -> Tls:
    paths = {name: str(folder / getattr(tls, name)) for name in tls.__struct_fields__}
    for name, path in paths.items():
        if not os.access(path, os.R_OK):
            raise UsageError(f"`{shown}`: cannot read `tls.{name}`: `{path}`")
    return Tls(**paths)


def check_safe(on: str, settings: Settings) -> None:
    """Refuse what would send jobs, secrets and code in plain text over a network.

    Raises:
        UsageError: with the reason and the way out.
    """
    if on == "dask":
        return
    if on in DEPLOYERS:
        _check_deployer(on, settings)
        return
    refuse_plain(on, "the scheduler's address")
    if on.startswith("tls:") and not isinstance(settings.tls, Tls):
        raise UsageError(
            f"`{on}` needs certificates",
            hint="write `tls: {ca: ca.pem, cert: client.pem, key: client-key.pem}` into a settings file (`--cluster FILE`)",
        )


def _check_deployer(on: str, settings: Settings) -> None:
    hosts = settings.options.get("hosts") if on == "ssh" else None
    if settings.tls is None and not (isinstance(hosts, list) and all(map(is_loopback, hosts))):
        raise UsageError(
            f"`--on {on}` needs certificates: jobs and their secrets go over the network, and whoever reaches a scheduler runs code",
            hint="write `tls:` into the settings file (`--cluster FILE`)",
        )
    if on == "ssh" and settings.tls == "temporary":
        raise UsageError(
            "`--on ssh` needs certificates in files: temporary ones would stand in the command lines of other machines",
            hint="write `tls: {ca: ca.pem, cert: cluster.pem, key: cluster-key.pem}`, with files that all hosts have under these paths",
        )
