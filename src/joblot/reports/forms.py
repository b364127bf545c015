"""The files that a run is written to: which form each has, and who writes it. Nothing of a form is loaded before it is asked for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from joblot.errors import JoblotError, UsageError
from joblot.files import append_to, reason_of, write_all, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from joblot.core.model import Config
    from joblot.reports.report import Report

    Writer = Callable[[Report], Iterator[bytes]]


class Form(NamedTuple):
    """What a name ends with that has the form, and the module and function that make the file."""

    ending: str
    module: str
    function: str


FORMS: Final = {
    "trace": Form(".trace.json", "joblot.reports.trace", "trace"),
    "json": Form(".json", "joblot.reports.report", "json_report"),
    "html": Form(".html", "joblot.reports.page", "html_page"),
    "xml": Form(".xml", "joblot.reports.junit", "junit"),
    "csv": Form(".csv", "joblot.reports.table", "csv_table"),
    "tsv": Form(".tsv", "joblot.reports.table", "tsv_table"),
    "md": Form(".md", "joblot.reports.markdown", "markdown"),
}
"""By the word that may stand before a path. The first that fits the end of a name counts, and JSON when none does."""
_APPENDED: Final = "md"
"""The one whose word before a path means that the file goes on: CI systems have one file for all steps."""


class ReportFile(NamedTuple):
    """A file to write: its form, its absolute path, and whether what is there stays."""

    form: str
    path: str
    appends: bool = False


def report_file(text: str | os.PathLike[str], folder: str = "") -> ReportFile:
    """The file that a text names: a path, or a path with the word for a form before it. `folder` is what it is relative to; empty: this one.

    Raises:
        UsageError: there is no path.
    """
    path = os.fspath(text)
    word, colon, rest = path.partition(":")
    is_said = bool(colon) and word in FORMS
    if is_said:
        path = rest
    if not path.strip():
        hint = f"`{word}:` stands before a path: is the variable set that names it?" if is_said else ""
        raise UsageError(f"no file is named in `{text}`", hint=hint)
    fitting = (name for name, form in FORMS.items() if path.lower().endswith(form.ending))
    form = word if is_said else next(fitting, "json")
    whole = os.path.abspath(os.path.join(folder, path))  # noqa: PTH100, PTH118 - links stay as they are
    return ReportFile(form, whole, is_said and word == _APPENDED)


def declared_files(config: Config) -> list[ReportFile]:
    """The files that a batch asks for."""
    return [report_file(path, config.folder) for path in config.report]


def write(report: Report, file: str | Path | ReportFile) -> None:
    """Write a run to a file in one step; missing folders are made.

    Raises:
        JoblotError: it cannot be written.
    """
    found = file if isinstance(file, ReportFile) else report_file(file)
    form = FORMS[found.form]
    make: Writer = getattr(import_module(form.module), form.function)
    if not found.appends:
        write_atomically(found.path, make(report))
        return
    made = b"".join(make(report))
    try:
        handle = append_to(found.path)
        try:
            write_all(handle, made)
        finally:
            os.close(handle)
    except OSError as error:
        raise JoblotError(f"cannot write `{found.path}`: {reason_of(error)}") from error
