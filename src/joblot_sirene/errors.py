"""The errors for what is wrong with a user's file, code or job."""

from __future__ import annotations

from joblot import JoblotError


class SireneError(JoblotError):
    """Something is wrong with the register's files or codes that the user can mend; nothing was written."""

    exit_code = 2


class LayoutError(SireneError):
    """A file whose columns are not those of a stock file that can be read."""


class NafError(SireneError):
    """An activity code that no nomenclature can hold."""


def need_engine() -> None:
    """Check that the data engine is installed, which is an extra.

    Raises:
        SireneError: it is not.
    """
    from importlib.util import find_spec

    if find_spec("polars") is None:
        raise SireneError(
            "the data engine is not installed",
            hint="install the packages of the extra `sirene`: `pip install 'joblot[sirene]'`",
        )
