"""The fields of a batch file: how each is read, what an editor may know of it, and what people call it by mistake.

A reader takes a value as written and gives the value as the model wants it. Knows nothing of how fields hang together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from joblot.config.tree import Keys, Problem, describe
from joblot.core.model import RETRIABLE, Concurrency, Limit, Schedule, slot_variable
from joblot.core.names import NAME_RULE, is_reserved, keeps_rule
from joblot.core.patterns import STATE_HINT, has_wildcard, is_in_state_folder
from joblot.core.written import RawScalar, plain, shorten
from joblot.errors import did_you_mean
from joblot.units import parse_duration, parse_failures, parse_size

WAYS: Final = ("matrix", "zip", "foreach")
"""The fields that make many jobs of one declaration."""
_TRUTH_WORDS: Final = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})

_LAST_EXIT_CODE: Final = 255
EXCEPTION: Final = r"(\w+\.)*[A-Z]\w*"
"""The name of an exception, perhaps with its module."""
MISSING: Final = object()
"""Stands for a field that was not read, because something is wrong with it."""
MOST_OF_LIMIT: Final = 10**9
"""The largest limit."""
UNREAD_LIMIT: Final = Limit(MOST_OF_LIMIT, ("",))
"""Stands for a limit that was not read: who asks for it, or refers to one of its slots, need not be wrong."""


_BY_ENTRY: Final = frozenset({"env", "limits", "resources", "retry", "vars"})
"""Fields that are read entry by entry."""


def without_odd(given: dict[str, Any], odd: Iterable[Keys]) -> dict[str, Any]:
    """The fields of a mapping, `MISSING` in the place of what stands at these keys or holds it: the others can be read all the same."""
    sound = dict(given)
    for name, *inner in odd:
        value = sound.get(name)  # type: ignore[arg-type]  # the keys of a mapping are texts
        if inner and isinstance(value, dict) and name in _BY_ENTRY:
            sound[name] = {**value, inner[0]: MISSING}
        elif inner and isinstance(value, dict) and name == "defaults":
            sound[name] = without_odd(value, [tuple(inner)])
        else:
            sound[name] = MISSING  # type: ignore[index]
    return sound


class Mismatch(Exception):  # noqa: N818 - always caught by `Sink.read`, which makes a problem of it
    """A value that a reader refuses; `message` goes on from the field's name."""

    def __init__(self, message: str, *, hint: str = "", code: str = "type") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Sink:
    """Collects problems, so that one bad value does not hide the next."""

    typed = False
    """Whether values are a program's own: a number is no text then, however it might be written."""

    commands = True
    """Whether the commands that list items are run."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.since = 0  # where in `problems` those of the mapping at hand begin

    def read(self, reader: Reader, value: Any, keys: Keys) -> Any:
        """What the reader makes of the value, or `MISSING`; of what is missing nothing is said."""
        if value is MISSING:
            return MISSING
        try:
            return reader(self, value, keys)
        except Mismatch as error:
            self.add(error.code, f"`{label(keys)}` {error.message}", keys, hint=error.hint)
            return MISSING

    def add(self, code: str, message: str, keys: Keys, *, hint: str = "", at_key: bool = False) -> None:
        """Note one problem."""
        self.problems.append(Problem(code, message, keys, hint, at_key))

    def miss(self, fields: tuple[str, ...], message: str, keys: Keys, *, hint: str = "") -> None:
        """Note that a field is missing, unless an unknown one beside it was probably meant for one of `fields`."""
        meant = {
            name
            for problem in self.problems[self.since :]
            if problem.code == "unknown_field"
            and problem.keys[:-1] == keys
            and problem.hint.startswith(("did you", "write"))
            for name in fields
            if f"`{name}" in problem.hint
        }
        if not meant:
            self.add("missing", message, keys, hint=hint)


Reader = Callable[[Sink, Any, Keys], Any]


class Field(Struct, frozen=True):
    """One field: its reader, its JSON Schema, and a line for people."""

    read: Reader
    schema: dict[str, Any]
    about: str


def label(keys: Keys) -> str:
    """The name of the field at the end of the keys, with the numbers behind it: `needs[2]`."""
    end = next((number for number in range(len(keys) - 1, -1, -1) if isinstance(keys[number], str)), 0)
    return "".join(f"[{key}]" if isinstance(key, int) else key for key in keys[end:])


# --- single values --------------------------------------------------------------------------------


def text(_: Sink, value: Any, __: Keys) -> str:
    """A text; what was typed without quotes stays as it was typed."""
    if isinstance(value, RawScalar):
        return value.text
    if not isinstance(value, str):
        raise Mismatch(
            f"must be a text, not {describe(value)}", hint="put it in quotes" if isinstance(value, (int, float)) else ""
        )
    return value


_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*://"
_FORM: Final = r"(temp|temporary|protected|directory|ancient|touch|pipe|expand|remote|glob|glob_wildcards)\((.*)\)"


def odd_path(path: str) -> bool:
    """Whether a path needs a second look: it may be a pattern, an address, or another program's form."""
    return "*" in path or "?" in path or "(" in path or "://" in path


def filled_text(sink: Sink, value: Any, keys: Keys) -> str:
    """A text that is not empty."""
    found = text(sink, value, keys)
    if not found.strip():
        raise Mismatch("must not be empty", code="value")
    return found


def scalar_text(sink: Sink, value: Any, keys: Keys) -> str:
    """A text, a number or a truth value, as a text."""
    if sink.typed or not isinstance(value, (int, float)):
        return text(sink, value, keys)
    return str(value).lower() if isinstance(value, bool) else str(value)


def flag(_: Sink, value: Any, __: Keys) -> bool:
    """`true` or `false`."""
    core = value.value if isinstance(value, RawScalar) else value
    if not isinstance(core, bool):
        hint = "write `true` or `false`" if isinstance(value, str) and value.lower() in _TRUTH_WORDS else ""
        raise Mismatch(f"must be `true` or `false`, not {describe(value)}", hint=hint)
    return core


def condition(sink: Sink, value: Any, keys: Keys) -> Any:
    """A truth value, or a text whose reference is known only later."""
    if isinstance(value, str) and "${{" in value:
        return value
    if isinstance(value, str):
        raise Mismatch(
            f"must be `true`, `false`, or one reference to a truth value, not {describe(value)}",
            hint="such as `${{ vars.full }}`, or `not ${{ vars.full }}`",
        )
    return flag(sink, value, keys)


def _number(value: Any, kind: tuple[type, ...], wording: str) -> Any:
    core = value.value if isinstance(value, RawScalar) else value
    if not isinstance(core, kind) or isinstance(core, bool):
        hint = "write it without quotes" if isinstance(value, str) and value.strip().isdecimal() else ""
        raise Mismatch(f"must be {wording}, not {describe(value)}", hint=hint)
    return core


def _within(number: float, low: float | None, high: float | None) -> None:
    if low is not None and number < low:
        raise Mismatch(f"must be at least {low:g}, got {number}", code="value")
    if high is not None and number > high:
        raise Mismatch(f"must be at most {high:g}, got {number}", code="value")


def whole(low: int | None = None, high: int | None = None) -> Reader:
    """A whole number within bounds."""

    def read(_: Sink, value: Any, __: Keys) -> int:
        number: int = _number(value, (int,), "a whole number")
        _within(number, low, high)
        return number

    return read


def number(low: float | None = None, high: float | None = None) -> Reader:
    """A number within bounds."""

    def read(_: Sink, value: Any, __: Keys) -> float:
        found = _number(value, (int, float), "a number")
        _within(found, low, high)
        return float(found)

    return read


def duration(sink: Sink, value: Any, keys: Keys) -> float:
    """Seconds."""
    return _measured(parse_duration, sink, value, keys, "a duration such as `90s`, `5m` or `1h30m`")


def limit_duration(sink: Sink, value: Any, keys: Keys) -> float | None:
    """Seconds, more than none; null for no limit."""
    if value is None:
        return None
    found = duration(sink, value, keys)
    if found <= 0:
        raise Mismatch(f"must be more than 0, got {_shown(value)}", hint="leave it out for no limit", code="value")
    return found


def failures(_: Sink, value: Any, __: Keys) -> int | float:
    """At how many failures to stop, or, a float, at more than which share of all."""
    core = value.value if isinstance(value, RawScalar) else value
    if isinstance(core, int) and not isinstance(core, bool):
        _within(core, 1, None)
        return core
    if not isinstance(core, str) or "%" not in core:
        hint = "write it without quotes" if isinstance(core, str) and core.strip().isdecimal() else ""
        raise Mismatch(f"must be a whole number, or a share such as `10%`, not {describe(value)}", hint=hint)
    try:
        return parse_failures(core)
    except ValueError as error:
        raise Mismatch(f"cannot be read: {error}", code="value") from None


def size(sink: Sink, value: Any, keys: Keys) -> float:
    """Bytes."""
    found = _measured(parse_size, sink, value, keys, "a size such as `512MB` or `2GiB`")
    if found <= 0:
        raise Mismatch(f"must be more than 0, got {_shown(value)}", code="value")
    return found


def whole_size(sink: Sink, value: Any, keys: Keys) -> int:
    """Whole bytes."""
    return int(size(sink, value, keys))


def _measured(parse: Callable[[Any], float], sink: Sink, value: Any, keys: Keys, wording: str) -> float:
    core = value.value if isinstance(value, RawScalar) else value
    if isinstance(core, bool) or not isinstance(core, (int, float, str)):
        raise Mismatch(f"must be {wording}, not {describe(value)}")
    try:
        return float(parse(core if not isinstance(core, str) else text(sink, core, keys)))
    except ValueError as error:
        raise Mismatch(f"cannot be read: {error}", code="value") from None


def _shown(value: Any) -> str:
    return value.text if isinstance(value, RawScalar) else str(value)


def choice(*options: str) -> Reader:
    """One of a few words."""
    listed = ", ".join(f"`{option}`" for option in options)

    def read(sink: Sink, value: Any, keys: Keys) -> str:
        found = text(sink, value, keys)
        if found not in options:
            hint = did_you_mean(found, options)
            raise Mismatch(f"must be one of {listed}, not `{shorten(found)}`", hint=hint, code="value")
        return options[
            options.index(found)
        ]  # of the model: what equals a default is left out when it is stored, by identity

    return read


def job_name(sink: Sink, value: Any, keys: Keys) -> str:
    """A job's name: part of file names on every system, and of references."""
    found = text(sink, value, keys)
    odd = next((char for char in found if not char.isascii()), "")
    if odd:
        message = f"cannot be `{shorten(found)}`: `{shorten(odd)}` (U+{ord(odd):04X}) is not an ASCII character"
        raise Mismatch(message, hint=NAME_RULE, code="name")
    if not keeps_rule(found):
        raise Mismatch(f"cannot be `{shorten(found)}`", hint=NAME_RULE, code="name")
    if is_reserved(found):
        raise Mismatch(f"cannot be `{found}`", hint="Windows keeps this name for itself", code="name")
    return found


def is_variable_name(name: str) -> bool:
    """Whether a variable, a column of items or a named resource may be called so."""
    return len(name) <= 100 and name.isascii() and name[:1] != "-" and name.replace("-", "_").isidentifier()


def _is_environment_name(name: str) -> bool:
    return len(name) <= 255 and name.isascii() and name.isidentifier()


def environment_name(sink: Sink, value: Any, keys: Keys) -> str:
    """The name of an environment variable."""
    found = text(sink, value, keys)
    if not _is_environment_name(found):
        raise Mismatch(
            f"cannot be `{shorten(found)}`",
            hint="environment variables are named with letters, digits and `_`",
            code="name",
        )
    return found


# --- lists and mappings ---------------------------------------------------------------------------


def each(reader: Reader, *, one_is_a_list: bool = False) -> Reader:
    """A list, each item read alike; null is an empty one."""

    def read(sink: Sink, value: Any, keys: Keys) -> tuple[Any, ...]:
        if value is None:
            return ()
        if one_is_a_list and isinstance(value, (str, RawScalar)):
            return (reader(sink, value, keys),)
        if not isinstance(value, list):
            raise Mismatch(f"must be a list, not {describe(value)}")
        items = [sink.read(reader, item, (*keys, number)) for number, item in enumerate(value)]
        return tuple(item for item in items if item is not MISSING)

    return read


def mapping(value: Any) -> dict[str, Any]:
    """A mapping; null is an empty one.

    Raises:
        Mismatch: something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Mismatch(f"must be a mapping, not {describe(value)}")
    return value


def command(sink: Sink, value: Any, keys: Keys) -> str | list[str]:
    """A text for the shell, or a list of words."""
    if not isinstance(value, list):
        return filled_text(sink, value, keys)
    if not value:
        raise Mismatch("must not be empty", code="value")
    return list(each(scalar_text)(sink, value, keys))


def shell(sink: Sink, value: Any, keys: Keys) -> tuple[str, ...]:
    """A program that runs texts, and its options: a list of words, or a text with blanks between them."""
    from joblot.core.shells import fault_of

    if isinstance(value, list):
        words: tuple[str, ...] = each(filled_text)(sink, value, keys)
    else:
        words = tuple(filled_text(sink, value, keys).split())
        if re.search(r"[\"'\\|&;<>()$`*?]", " ".join(words)):
            hint = "what is to be run stands in `run`; a list may hold any words"
            raise Mismatch(f"must be a program and its options, not {describe(value)}", hint=hint, code="value")
    if not words:
        raise Mismatch("must not be empty", code="value")
    if " " in words[0] and "/" not in words[0]:
        hint = f"write `[{', '.join(words[0].split())}]`"
        raise Mismatch(f"has a program with a blank in its name: `{shorten(words[0])}`", hint=hint, code="value")
    wrong, hint = fault_of(words)
    if wrong:
        raise Mismatch(shorten(wrong, 200), hint=hint, code="value")
    return words


def timezone(sink: Sink, value: Any, keys: Keys) -> str:
    """The name of a time zone that this system knows."""
    from difflib import get_close_matches
    from zoneinfo import ZoneInfo, available_timezones

    found = filled_text(sink, value, keys)
    try:
        ZoneInfo(found)
    except (KeyError, ValueError, OSError):
        known = available_timezones()
        if not known:
            hint = "`pip install tzdata`, or the system's package of that name"
            raise Mismatch("cannot be looked up: this system has no time zones", hint=hint, code="value") from None
        folded = {name.casefold(): name for name in sorted(known)}
        nearest = get_close_matches(found.replace(" ", "_").casefold(), folded, 1, 0.8)
        hint = f"did you mean `{folded[nearest[0]]}`?" if nearest else "a name such as `Europe/Paris` or `UTC`"
        raise Mismatch(f"is no time zone: `{shorten(found)}`", hint=hint, code="value") from None
    return found


def _plain_path(sink: Sink, value: Any, keys: Keys) -> str:
    found = filled_text(sink, value, keys)
    if odd_path(found):
        if scheme := re.match(_SCHEME, found):
            hint = "have a job fetch or send it, and name the file on this machine"
            raise Mismatch(f"must be a path, and `{scheme[0]}` is an address", hint=hint, code="value")
        if form := re.fullmatch(_FORM, found):
            raise Mismatch(
                f"must be a path: `{form[1]}(...)` is a form of another program",
                hint=f"write `{form[2]}`",
                code="value",
            )
        if has_wildcard(found) and is_in_state_folder(found):
            raise Mismatch(f"must not be in a state folder, and `{shorten(found)}` is", hint=STATE_HINT, code="value")
    return found


def output(sink: Sink, value: Any, keys: Keys) -> str:
    """The path of a file that is made."""
    found = _plain_path(sink, value, keys)
    if any(char in found for char in "*?"):
        hint = "name each file, or the folder that they lie in"
        raise Mismatch(f"must be a path, and `{shorten(found)}` is a pattern", hint=hint, code="value")
    return found


def outputs(sink: Sink, value: Any, keys: Keys) -> tuple[str, ...] | dict[str, str]:
    """Paths that are made: one, a list, or by name. An entry is a path, or a mapping with a `path`."""
    if not isinstance(value, dict):
        return tuple(each(_output_entry, one_is_a_list=True)(sink, value, keys))
    found = {}
    for name, entry in value.items():
        if name.startswith("x-"):
            continue
        if not is_variable_name(name):
            hint = "names begin with a letter and hold letters, digits, `_` and `-`"
            sink.add("name", f"an output cannot be called `{shorten(name)}`", (*keys, name), hint=hint, at_key=True)
            continue
        path = sink.read(_output_entry, entry, (*keys, name))
        if path is not MISSING:
            found[name] = path
    return found


def _output_entry(sink: Sink, value: Any, keys: Keys) -> str:
    if not isinstance(value, dict):
        return output(sink, value, keys)
    for name in value:
        if name != "path" and not name.startswith("x-"):
            hint = did_you_mean(name, ["path"]) or "an output has a `path`"
            sink.add(
                "unknown_field", f"unknown field `{shorten(name)}` in an output", (*keys, name), hint=hint, at_key=True
            )
    if "path" not in value:
        raise Mismatch("is missing `path`")
    return output(sink, value["path"], (*keys, "path"))


def report_path(sink: Sink, value: Any, keys: Keys) -> str:
    """The path of a file that a run is written to, perhaps behind the word for its form."""
    found = filled_text(sink, value, keys)
    word, colon, path = found.partition(":")
    if colon and word in REPORT_FORMS and not path.strip():
        raise Mismatch(f"names no file: `{shorten(found)}`", hint=f"`{word}:` stands before a path", code="value")
    if any(char in found for char in "*?"):
        raise Mismatch(f"must be a path, and `{shorten(found)}` is a pattern", hint="name each file", code="value")
    return found


def _env_file(sink: Sink, value: Any, keys: Keys) -> str:
    """The path of a file of environment variables."""
    found = _plain_path(sink, value, keys)
    if has_wildcard(found):
        raise Mismatch(f"must be a path, and `{shorten(found)}` is a pattern", hint="name each file", code="value")
    return found


def _input(sink: Sink, value: Any, keys: Keys) -> str:
    return _plain_path(sink, value, keys)


def paths(sink: Sink, value: Any, keys: Keys) -> str | list[str] | None:
    """A path, or a list of paths."""
    if value is None:
        return None
    return list(each(_input)(sink, value, keys)) if isinstance(value, list) else _input(sink, value, keys)


def environment(sink: Sink, value: Any, keys: Keys) -> dict[str, str]:
    """Environment variables."""
    found = {}
    for name, item in mapping(value).items():
        if name.startswith("x-"):
            continue
        if not _is_environment_name(name):
            hint = "environment variables are named with letters, digits and `_`"
            sink.add(
                "name", f"`{shorten(name)}` cannot be an environment variable", (*keys, name), hint=hint, at_key=True
            )
        elif name.startswith("JOBLOT_"):
            hint = "names that begin with `JOBLOT_` are set by joblot itself"
            sink.add("name", f"`{name}` cannot be set", (*keys, name), hint=hint, at_key=True)
        else:
            read = sink.read(scalar_text, item, (*keys, name))
            if read is not MISSING:
                found[name] = read
    return found


def _retried(sink: Sink, value: Any, keys: Keys) -> str:
    """What a try can end with, as `core.retry` reads it."""
    from joblot.core.retry import EXIT, REASONS

    found = " ".join(text(sink, value, keys).split())
    codes = re.fullmatch(EXIT, found)
    if codes is not None:
        first, last = int(codes[1]), int(codes[2] or codes[1])
        if not 1 <= first <= last <= _LAST_EXIT_CODE:
            hint = "a failed command ends with 1 to 255; the first stands before the last"
            raise Mismatch(f"cannot be `{shorten(found)}`", hint=hint, code="value")
        return found
    if found in (*RETRIABLE, *REASONS) or re.fullmatch(r"reason \S+", found):
        return found
    if re.fullmatch(r"SIG[A-Z0-9]+", found):
        hint = "a command that a signal ends is a `crash`"
        raise Mismatch(f"cannot be the signal `{shorten(found)}`", hint=hint, code="value")
    if re.fullmatch(EXCEPTION, found):
        return found
    hint = did_you_mean(found, (*RETRIABLE, *REASONS))
    if found.lower().startswith("exit") or found.isdecimal():
        hint = "write `exit 75` or `exit 64..78`"
    elif not hint:
        hint = "outcomes (`timeout`), `exit 75`, exceptions (`ConnectionError`), reasons (`missing_input`), `reason CODE` of an action's own"
    raise Mismatch(f"is nothing that a try ends with: `{shorten(found)}`", hint=hint, code="value")


def retry(sink: Sink, value: Any, keys: Keys) -> dict[str, Any]:
    """The given fields of a `Retry`; a bare number is the number of attempts."""
    if isinstance(plain(value), int) and not isinstance(plain(value), bool):
        return {"max_attempts": RETRY["max_attempts"].read(sink, value, keys)}
    read = read_fields(sink, RETRY, mapping(value), keys, "`retry`")
    return {RETRY_NAMES.get(name, name): item for name, item in read.items()}


def concurrency(sink: Sink, value: Any, keys: Keys) -> Concurrency:
    """The given fields of a `Concurrency`; an empty mapping asks for one run of the batch at a time."""
    known = plain(value)
    if not isinstance(known, dict):
        hint = f"write `concurrency: {{group: {shorten(known)}}}`" if isinstance(known, str) and known.strip() else ""
        if isinstance(known, int) and not isinstance(known, bool):
            hint = f"how many jobs run at a time is `max_workers: {known}`"
        raise Mismatch(f"must be a mapping, not {describe(value)}", hint=hint)
    return Concurrency(**read_fields(sink, CONCURRENCY, value, keys, "`concurrency`"))


_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CRON_HINT: Final = "minute, hour, day of the month, month, day of the week, such as `30 2 * * *`"


def _cron(sink: Sink, value: Any, keys: Keys) -> str:
    """When something is due, as a crontab says it."""
    from joblot.core.schedule import fault_of

    written = filled_text(sink, value, keys)
    found = _NICKNAMES.get(written.strip().lower(), written)
    if wrong := fault_of(found):
        hint = "`@reboot` is no time: a crontab line does that" if "@reboot" in found.lower() else _CRON_HINT
        raise Mismatch(f"is no time of a crontab: `{shorten(written)}`: {wrong}", hint=hint, code="value")
    return " ".join(found.split())


def _some_time(sink: Sink, value: Any, keys: Keys) -> float:
    found = duration(sink, value, keys)
    if found <= 0:
        raise Mismatch(
            f"must be more than 0, got {_shown(value)}", hint="`missed: skip` makes up for none", code="value"
        )
    return found


def schedule(sink: Sink, value: Any, keys: Keys) -> Schedule:
    """A `Schedule`; a bare text is its `cron`."""
    if isinstance(plain(value), str):
        return Schedule((_cron(sink, value, keys),))
    if not isinstance(value, dict):
        raise Mismatch(f"must be a mapping or a text, not {describe(value)}", hint=f"`cron` is {_CRON_HINT}")
    before = len(sink.problems)
    read = read_fields(sink, SCHEDULE, value, keys, "`schedule`")
    if len(sink.problems) == before and not read.get("cron"):
        sink.miss(("cron",), "`schedule` is missing `cron`", keys, hint=_CRON_HINT)
    return Schedule(**{"cron": (), **{SCHEDULE_NAMES.get(name, name): item for name, item in read.items()}})


def _slot(_: Sink, value: Any, __: Keys) -> int | str:
    """The name of a slot: a whole number, or a word that can stand in a list with commas."""
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, (int, str)):
        hint = "put it in quotes" if isinstance(found, float) else ""
        raise Mismatch(f"must be a whole number or a word, not {describe(value)}", hint=hint)
    if isinstance(found, int):
        _within(found, 0, None)
        return value.text if isinstance(value, RawScalar) and value.text != str(found) else found
    if not re.fullmatch(r"[!-+\--~]{1,100}", found):
        hint = "a slot is named with up to 100 printable ASCII characters, without blanks and commas"
        raise Mismatch(f"cannot be {describe(found)}", hint=hint, code="value")
    return found


def _slots(sink: Sink, value: Any, keys: Keys) -> tuple[int | str, ...]:
    found: tuple[int | str, ...] = each(_slot)(sink, value, keys)
    if not value:
        raise Mismatch("must not be empty", code="value")
    seen = set[str]()
    for number, slot in enumerate(found):
        if str(slot) in seen:
            sink.add("value", f"`{label(keys)}` names `{shorten(str(slot))}` twice", (*keys, number))
        seen.add(str(slot))
    return found


def limit(sink: Sink, value: Any, keys: Keys) -> int | Limit:
    """How much there is of a named resource, as a number or in a mapping; or the names of its slots."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            hint = f"write `{keys[-1]}: {{slots: [...]}}` to give each a name"
            raise Mismatch("must be a whole number or a mapping, not a list", hint=hint)
        found: int = whole(1, MOST_OF_LIMIT)(sink, value, keys)
        return found
    before = len(sink.problems)
    read = read_fields(sink, LIMIT, value, keys, f"limit `{keys[-1]}`")
    if "count" in value and "slots" in value:
        raise Mismatch(
            "has both `count` and `slots`", hint="leave `count` out: it is the number of `slots`", code="value"
        )
    if "count" not in value and "slots" not in value:
        sink.miss(("count", "slots"), f"`{keys[-1]}` is missing `count` or `slots`", keys)
    if len(sink.problems) > before:
        return UNREAD_LIMIT
    made = Limit(**{"count": len(read.get("slots", ())), **read})
    return made if made.slots or made.across != "run" else made.count


def slots_of_one_variable(limits: Mapping[str, int | Limit]) -> dict[str, str]:
    """By name, what is wrong with limits whose slots would stand in the same environment variable as those of another."""
    found, first = {}, dict[str, str]()
    for name, one in limits.items():
        if isinstance(one, Limit) and one.slots:
            other = first.setdefault(variable := slot_variable(name), name)
            if other != name:
                found[name] = f"limits `{other}` and `{name}` would both give jobs their slots in `{variable}`"
    return found


def read_fields(
    sink: Sink, fields: Mapping[str, Field], value: dict[str, Any], keys: Keys, owner: str
) -> dict[str, Any]:
    """Every known field of a mapping, read; unknown ones are reported, those that begin with `x-` passed over."""
    found = {}
    for name, item in value.items():
        field = fields.get(name)
        if field is not None:
            read = sink.read(field.read, item, (*keys, name))
            if read is not MISSING:
                found[name] = read
        elif not name.startswith("x-"):
            report_unknown(sink, name, fields, (*keys, name), owner)
    return found


def report_unknown(sink: Sink, name: str, known: Iterable[str], keys: Keys, owner: str) -> None:
    """Say that a field is unknown, and which was probably meant."""
    habit = NAMES_IN_OTHER_TOOLS.get(name.casefold().replace("-", "_"))
    known = list(known)
    hint = did_you_mean(name, known)
    if habit is not None and (habit[0] in known or not habit[0]):
        hint = habit[1]
    if not hint:
        hint = f"known are {', '.join(f'`{field}`' for field in known)}; begin your own with `x-`"
    sink.add("unknown_field", f"unknown field `{shorten(name)}` in {owner}", keys, hint=hint, at_key=True)


NAMES_IN_OTHER_TOOLS: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("depends_on", "dependson", "depends", "dependencies", "after", "requires"), ("needs", "write `needs`")),
    **dict.fromkeys(("command", "cmd", "script", "bash"), ("run", "write `run`")),
    "shell": ("defaults", "write `defaults: {shell: ...}`, or `shell` in a job"),
    **dict.fromkeys(("retries", "max_retries", "attempts", "maxretries"), ("retry", "write `retry: {max_attempts: 3}`: the first try counts")),
    "max_attempts": ("retry", "it belongs inside `retry`"),
    "memory_factor": ("retry", "it belongs inside `retry`"),
    **dict.fromkeys(("timeout_ms", "timeout_s", "timeout_seconds", "timeout_minutes"), ("timeout", "write `timeout: 500ms` or `timeout: 90s`")),
    **dict.fromkeys(("steps", "tasks", "stages", "nodes"), ("jobs", "write `jobs`")),
    **dict.fromkeys(("uses", "function", "callable"), ("action", "write `action`")),
    **dict.fromkeys(("with", "args", "arguments", "parameters", "kwargs"), ("params", "write `params`")),
    **dict.fromkeys(("working_directory", "workdir", "working_dir", "dir"), ("cwd", "write `cwd`")),
    **dict.fromkeys(("environment", "envs"), ("env", "write `env`")),
    **dict.fromkeys(("dotenv", "envfile", "env_files", "environment_file", "environmentfile"), ("env_file", "write `env_file`: a path or a list")),
    **dict.fromkeys(("variables",), ("vars", "write `vars`")),
    **dict.fromkeys(("condition", "precondition", "preconditions", "only_if"), ("if", "write `if`: one reference to a truth value")),
    **dict.fromkeys(("concurrency", "parallelism", "jobs_limit", "workers"), ("max_workers", "write `max_workers`")),
    **dict.fromkeys(("output", "artifacts", "produces"), ("outputs", "write `outputs`")),
    **dict.fromkeys(("inputs",), ("input", "write `input`: it may be a list")),
    **dict.fromkeys(("for_each", "with_items", "loop", "items"), ("foreach", "write `foreach`")),
    "strategy": ("matrix", "write `matrix` beside `name`, without `strategy`"),
    **dict.fromkeys(("maxparallel",), ("max_parallel", "write `max_parallel`")),
    **dict.fromkeys(("on_exit", "onexit", "handlers", "handler_on", "handleron", "teardown", "hooks"), ("finally", "write `finally`: a list of jobs")),
    **dict.fromkeys(("on_failure", "onfailure", "on_error", "onerror"), ("finally", "write `finally`: a list of jobs, with `when: failure`")),
    **dict.fromkeys(("continue_on_error", "continueon", "ignore_errors", "ignore_failure", "failure_allowed"), ("allow_failure", "write `allow_failure: true`")),
    **dict.fromkeys(("cron", "schedules", "at", "every"), ("schedule", 'write `schedule: {cron: "30 2 * * *"}`, beside `jobs`')),
    **dict.fromkeys(("catchup", "catch_up", "persistent", "backfill"), ("missed", "write `missed: once`, `all` or `skip`")),
    **dict.fromkeys(("catchup_window", "starting_deadline", "starting_deadline_seconds"), ("within", "write `within: 24h`")),
    **dict.fromkeys(("overlap", "overlap_policy", "concurrency_policy"), ("", "write `concurrency: {on_conflict: skip}` beside `schedule`")),
    **dict.fromkeys(("timezone", "time_zone", "tz", "zone"), ("", "write `timezone: Europe/Paris` beside `jobs`: it holds for `schedule` and `run.date`")),
    "finally": ("", "`finally` stands beside `jobs`, and is a list of jobs as well"),
}  # fmt: skip
"""What other tools call our fields: our name (empty: we have none), and what to write."""

REPORT_FORMS: Final = ("trace", "json", "html", "xml", "csv", "tsv", "md")
"""The words for the forms of reports, which `reports.forms` writes."""

# --- the tables -----------------------------------------------------------------------------------

_TEXT: Final = {"type": "string"}
_NAME: Final = {"type": "string", "pattern": r"^[A-Za-z0-9]([A-Za-z0-9_-]|\.(?!\.|$)){0,99}$|\$\{\{"}
_FLAG: Final = {"type": "boolean"}
_DURATION: Final = {"type": ["number", "string"], "examples": ["90s", "5m", "1h30m"]}
_SIZE: Final = {"type": ["integer", "string"], "examples": ["512MiB", "2GiB"]}
_TEXTS: Final = {"type": ["array", "string", "null"], "items": _TEXT}
_OUTPUT: Final = {
    "type": ["string", "object"],
    "properties": {"path": _TEXT},
    "required": ["path"],
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
}
_MAP: Final = {"type": ["object", "null"]}
_ENV: Final = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean"]}}

RETRY: Final = {
    "max_attempts": Field(whole(1, 1000), {"type": "integer", "minimum": 1}, "How often the job is tried in all; 1 means no retry."),
    "delay": Field(duration, _DURATION, "The wait before the second attempt."),
    "backoff": Field(number(1, 1000), {"type": "number", "minimum": 1}, "Each further wait is this many times longer."),
    "max_delay": Field(duration, _DURATION, "No wait is longer."),
    "jitter": Field(number(0, 1), {"type": "number", "minimum": 0, "maximum": 1}, "The share by which waits vary."),
    "only": Field(
        each(_retried, one_is_a_list=True),
        {"type": ["array", "string"], "items": {"anyOf": [{"enum": list(RETRIABLE)}, {"type": ["string", "integer"]}]}},
        "What is tried again: outcomes, `exit 75`, `exit 64..78`, names of exceptions, reasons; all failures when left out.",
    ),
    "memory_factor": Field(number(1, 1000), {"type": "number", "minimum": 1}, "After an attempt that ran out of memory (`oom`) the next may use this many times as much `memory`."),
    "max_memory": Field(size, _SIZE, "But no more than this."),
}  # fmt: skip
RETRY_NAMES: Final = {"delay": "delay_s", "max_delay": "max_delay_s"}

CONFLICTS: Final = ("fail", "wait", "skip")
CONCURRENCY: Final = {
    "group": Field(filled_text, _TEXT, "A name that several batches share: one run of all of them goes on at a time."),
    "on_conflict": Field(
        choice(*CONFLICTS),
        {"enum": list(CONFLICTS)},
        "What happens to a run that finds another going on: it ends with exit code 5, waits for its turn, or is left out.",
    ),
}

MISSED: Final = ("once", "all", "skip")
SCHEDULE: Final = {
    "cron": Field(
        each(_cron, one_is_a_list=True),
        {"type": ["string", "array"], "items": _TEXT, "examples": ["30 2 * * *", "@daily"]},
        "When it is due, as in a crontab, by the clock of the batch's `timezone`: one expression, or a list.",
    ),
    "missed": Field(
        choice(*MISSED),
        {"enum": list(MISSED)},
        "What becomes of due times that were missed: one run for all of them, a run for each, one after the other, or none.",
    ),
    "within": Field(_some_time, _DURATION, "Due times that are longer ago are never made up for."),
    "jitter": Field(duration, _DURATION, "A run begins up to so much later, always the same for a batch file."),
}
SCHEDULE_NAMES: Final = {"within": "within_s", "jitter": "jitter_s"}

LIMIT: Final = {
    "count": Field(whole(1, MOST_OF_LIMIT), {"type": "integer", "minimum": 1}, "How much there is of it."),
    "slots": Field(
        _slots,
        {"type": "array", "minItems": 1, "items": {"type": ["integer", "string"]}},
        "A name for each of as many as there are: whole numbers or words.",
    ),
    "across": Field(
        choice("run", "machine"),
        {"enum": ["run", "machine"]},
        "Who shares it: the jobs of one run (the default), or of all your runs on this machine that name it.",
    ),
}
_LIMIT_SCHEMA: Final = {
    "type": ["integer", "object"],
    "minimum": 1,
    "properties": {name: {**field.schema, "description": field.about} for name, field in LIMIT.items()},
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
}

_RETRY_SCHEMA: Final = {
    "type": ["object", "integer"],
    "minimum": 1,
    "properties": {name: {**field.schema, "description": field.about} for name, field in RETRY.items()},
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
}


def as_it_is(_: Sink, value: Any, __: Keys) -> Any:
    """The value: it is read later, together with others."""
    return value


SHARED: Final = {
    "when": Field(choice("success", "failure", "always"), {"enum": ["success", "failure", "always"]}, "Which ends of its needs let the job start."),
    "retry": Field(retry, _RETRY_SCHEMA, "How often to try, and how long to wait in between."),
    "timeout": Field(limit_duration, {**_DURATION, "type": ["number", "string", "null"]}, "The longest that one attempt may take."),
    "grace": Field(duration, _DURATION, "How long an attempt that is stopped has to end by itself."),
    "resources": Field(as_it_is, {"type": ["object", "null"], "properties": {"cpu": {"type": "number"}, "memory": _SIZE}}, "What the job takes while it runs: `cpu`, `memory`, and names of the batch's `limits`."),
    "env": Field(environment, _ENV, "Environment variables."),
    "env_file": Field(each(_env_file, one_is_a_list=True), _TEXTS, "Files of `NAME=value` lines, read when the run starts or goes on and kept nowhere; `env` beside it wins."),
    "cwd": Field(filled_text, _TEXT, "The folder that a command runs in; relative to the batch file's folder."),
    "shell": Field(shell, {"type": ["string", "array"], "items": _TEXT, "examples": ["bash", "bash -o pipefail", "python3"]}, "What runs the text of `run`, with options: sh, dash, bash, busybox, or another program, which gets a file."),
    "once": Field(flag, _FLAG, "Never start again when it is not known how an attempt ended."),
    "tags": Field(each(filled_text, one_is_a_list=True), _TEXTS, "Words to select jobs by."),
    "priority": Field(whole(-(10**6), 10**6), {"type": "integer"}, "Ready jobs with a higher number start first."),
}  # fmt: skip
"""Fields that a job may have and `defaults` may set for all jobs."""

JOB: Final = {
    "name": Field(job_name, _NAME, "What the job is called; unique in the batch."),
    "action": Field(filled_text, _TEXT, "The registered action that the job runs."),
    "run": Field(command, {"type": ["string", "array"], "items": _TEXT}, "A shell command, which ends at the first failure in it (`sh -e`), or a list of words that needs no shell."),
    "input": Field(paths, {"type": ["string", "array", "null"], "items": _TEXT}, "The file or files that the job reads; relative to the batch file's folder. A job that makes one of them runs first."),
    "params": Field(as_it_is, _MAP, "Parameters for the action."),
    "needs": Field(each(filled_text, one_is_a_list=True), _TEXTS, "Jobs that must end first: names, or patterns such as `build-*`."),
    "outputs": Field(outputs, {"type": ["string", "array", "object", "null"], "items": _OUTPUT, "additionalProperties": _OUTPUT}, "Files that the job makes, in a list or by name; relative to the batch file's folder."),
    "description": Field(text, _TEXT, "A line for people."),
    "matrix": Field(as_it_is, _MAP, "Lists by name; a job for each combination of their values, `${{ matrix.NAME }}`. `include` adds, `exclude` leaves out."),
    "zip": Field(as_it_is, _MAP, "Lists of one length by name; a job for each place in them, `${{ matrix.NAME }}`."),
    "foreach": Field(as_it_is, {"type": ["array", "object", "string"]}, "A job for each item of a list, a table, a file of lines, a pattern of file names, or a result, `${{ item }}` or `${{ item.NAME }}`."),
    "if": Field(condition, {"type": ["boolean", "string"]}, "Whether the job is run: one reference that is `true` or `false`, or `not` and one."),
    "allow_failure": Field(flag, _FLAG, "Go on as after a success when the job has failed; what takes in its result or its outputs is skipped."),
    "max_parallel": Field(whole(1, 1_000_000), {"type": "integer", "minimum": 1}, "How many jobs of a fan-out run at a time."),
    **SHARED,
}  # fmt: skip

BATCH: Final = {
    "name": Field(filled_text, _TEXT, "What the batch is called; the file's name when left out."),
    "description": Field(text, _TEXT, "A line for people."),
    "vars": Field(as_it_is, _MAP, "Values that texts may refer to as `${{ vars.NAME }}`; `--var NAME=VALUE` overrides them."),
    "env": Field(environment, _ENV, "Environment variables of all jobs."),
    "env_file": Field(each(_env_file, one_is_a_list=True), _TEXTS, "Files of environment variables of all jobs, as in a job."),
    "defaults": Field(as_it_is, {"type": ["object", "null"]}, "Fields that all jobs share unless they have their own."),
    "limits": Field(as_it_is, {"type": ["object", "null"], "additionalProperties": _LIMIT_SCHEMA}, "Named resources and how much there is of each."),
    "imports": Field(each(filled_text, one_is_a_list=True), _TEXTS, "Python files or modules that register actions."),
    "jobs": Field(as_it_is, {"type": "array"}, "The jobs."),
    "finally": Field(as_it_is, {"type": "array"}, "Jobs that run when all others have ended, whatever ended the run. Their `when` asks how it ended."),
    "fail_fast": Field(flag, _FLAG, "Stop at the first failure."),
    "max_failures": Field(failures, {"type": ["integer", "string"], "minimum": 1, "pattern": r"^[0-9.]+ *%$", "examples": [10, "10%"]}, "Stop after this many failures, or when more than this share of the jobs that take part have failed."),
    "timeout": Field(limit_duration, {**_DURATION, "type": ["number", "string", "null"]}, "The longest that the whole run may take."),
    "max_workers": Field(whole(1, 10_000), {"type": "integer", "minimum": 1}, "How many jobs run at a time."),
    "max_memory": Field(whole_size, _SIZE, "How much memory all that runs may hold together."),
    "timezone": Field(timezone, {"type": "string", "examples": ["Europe/Paris", "UTC"]}, "The zone of `schedule`, and of the day that `${{ run.date }}` stands for; that of the system when left out."),
    "durability": Field(choice("normal", "full"), {"enum": ["normal", "full"]}, "Whether each fact is forced to disk before joblot goes on."),
    "seed": Field(whole(0, 2**63 - 1), {"type": "integer", "minimum": 0}, "What the random numbers of Python actions begin with, with the job's name."),
    "concurrency": Field(
        concurrency,
        {
            "type": "object",
            "properties": {name: {**field.schema, "description": field.about} for name, field in CONCURRENCY.items()},
            "additionalProperties": False,
            "patternProperties": {"^x-": {}},
        },
        "One run of the batch at a time, or of all batches with the same `group`, and what happens to another: `fail`, `wait` or `skip`.",
    ),
    "report": Field(
        each(report_path, one_is_a_list=True),
        {**_TEXTS, "examples": ["report.html", ["report.html", "junit.xml"]]},
        "Files that the run is written to when it has ended; the name says in which form: `.html`, `.json`, `.xml` (JUnit), `.md`, `.csv`, `.tsv`, `.trace.json`.",
    ),
    "schedule": Field(
        schedule,
        {
            "type": ["string", "object"],
            "properties": {name: {**field.schema, "description": field.about} for name, field in SCHEDULE.items()},
            "required": ["cron"],
            "additionalProperties": False,
            "patternProperties": {"^x-": {}},
        },
        "When the file is to be run, by `joblot schedule`. A text is its `cron`.",
    ),
    "secrets": Field(each(environment_name, one_is_a_list=True), _TEXTS, "Environment variables whose values are never shown."),
}  # fmt: skip
