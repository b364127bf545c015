"""What can be wrong with a user's file, code or job, in words for that user."""

from __future__ import annotations

from joblot import JoblotError


class SireneError(JoblotError):
    """Something about the register's files or codes that the user can mend; nothing was written."""

    exit_code = 2


class LayoutError(SireneError):
    """A file whose columns are not those of a stock file that can be read."""


class NafError(SireneError):
    """An activity code that no nomenclature can hold."""
