"""Datasets whose time is over: found by their manifests, and removed file by file, only what a manifest names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joblot import reason_of
from joblot_sirene.errors import SireneError
from joblot_sirene.package.package import LOGS, MANIFEST, SUMS, leftovers
from joblot_sirene.register import privacy

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator


class Expired(NamedTuple):
    """A dataset whose time is over: its name, its folder, the day on which it had to be gone."""

    dataset: str
    folder: Path
    expired: str


def purge(folder: Path, today: dt.date, *, remove: bool = True) -> list[Expired]:
    """Remove the datasets in a folder and below it whose manifests say that they must be gone by today.

    Links are not followed. What a manifest does not name stays, and its folder with it.

    Raises:
        SireneError: there is no such folder, or a file cannot be removed.
    """
    if not folder.is_dir():
        raise SireneError(f"no such folder: `{folder}`")
    found = []
    for place, manifest in _manifests(folder):
        if privacy.is_expired(manifest, today):
            if remove:
                _remove(place, manifest)
            found.append(Expired(str(manifest.get("dataset", place.name)), place, str(manifest["expires"])))
    return found


def _manifests(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        if MANIFEST not in names or not (Path(place) / MANIFEST).is_file():
            continue
        try:
            manifest = json.loads((Path(place) / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # not one of ours, or not whole: what cannot be read names nothing
        if isinstance(manifest, dict) and "dataset_id" in manifest and isinstance(manifest.get("files"), list):
            yield Path(place), manifest


def _remove(place: Path, manifest: dict[str, Any]) -> None:
    """The manifest goes last: a dataset that is removed half is removed wholly the next time."""
    named = [str(one["path"]) for one in manifest["files"] if isinstance(one, dict) and "path" in one]
    inside = os.path.realpath(place)
    logs = place / LOGS
    kept = [*logs.glob("*.jsonl"), *logs.glob(".*.part")] if logs.is_dir() else []
    kept += leftovers(place, [*(name for name in named if name == Path(name).name), SUMS, MANIFEST])
    try:
        for path in [*(place / name for name in [*named, SUMS] if "\0" not in name), *kept]:
            if Path(os.path.realpath(path.parent)).is_relative_to(inside) and not _is_folder(path):
                path.unlink(missing_ok=True)
        (place / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise SireneError(f"cannot remove `{error.filename}`: {reason_of(error)}") from None
    for empty in (logs, place):
        if empty.is_dir() and not empty.is_symlink() and not any(empty.iterdir()):
            empty.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
