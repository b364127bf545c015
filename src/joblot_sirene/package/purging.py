"""Datasets whose time is over: found by their manifests, and removed file by file, only what a manifest names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joblot import reason_of
from joblot_sirene.errors import SireneError
from joblot_sirene.package.package import LOGS, MANIFEST, SUMS, leftovers, remove_leftover
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
    expired = []
    for dataset, manifest in _manifests(folder):
        if privacy.is_expired(manifest, today):
            if remove:
                _remove(dataset, manifest)
            expired.append(Expired(str(manifest.get("dataset", dataset.name)), dataset, str(manifest["expires"])))
    return expired


def _manifests(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, folders, names in os.walk(folder):
        folders.sort()
        file = Path(path) / MANIFEST
        if MANIFEST not in names or not file.is_file():
            continue
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # not one of ours, or not whole: what cannot be read names nothing
        if isinstance(manifest, dict) and "dataset_id" in manifest and isinstance(manifest.get("files"), list):
            yield file.parent, manifest


def _remove(folder: Path, manifest: dict[str, Any]) -> None:
    """Remove the files of a dataset, the manifest last: a dataset that was removed in part is removed wholly the next time."""
    try:
        for path in _removable(folder, manifest):
            remove_leftover(path)
        (folder / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise SireneError(f"cannot remove `{error.filename}`: {reason_of(error)}") from None
    for path in (folder / LOGS, folder):
        if _is_folder(path) and not any(path.iterdir()):
            path.rmdir()


def _removable(folder: Path, manifest: dict[str, Any]) -> list[Path]:
    """The files that the manifest names, logs of other runs, and unfinished files of both."""
    names = [str(file["path"]) for file in manifest["files"] if isinstance(file, dict) and "path" in file]
    logs = folder / LOGS
    paths = [folder / name for name in [*names, SUMS] if "\0" not in name]
    paths += logs.glob("*.jsonl") if logs.is_dir() else []
    paths = [path for path in paths if not _is_folder(path)]
    paths += logs.glob(".*.part") if logs.is_dir() else []
    paths += leftovers(folder, [*(name for name in names if name == Path(name).name), SUMS, MANIFEST])
    # a manifest may come from anywhere: nothing outside its folder is removed, neither by `..` nor through a link
    root = os.path.realpath(folder)
    return [path for path in paths if Path(os.path.realpath(path.parent)).is_relative_to(root)]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
