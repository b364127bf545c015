"""Validates one job: its fields, its references, its action's signature. `calls` adds what jobs made in Python need.

Most jobs of a large batch look alike and are right, so those that have nothing but plain fields take a short way. Whether the jobs
hang together (unknown needs, cycles) is the plan's affair.
"""

from __future__ import annotations

import re
import time
import types
import typing
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from joblot.clock import day_of, iso_in
from joblot.config.fields import (
    EXCEPTION,
    JOB,
    MISSING,
    SHARED,
    UNREAD_LIMIT,
    WAYS,
    Field,
    Mismatch,
    Sink,
    label,
    mapping,
    number,
    odd_path,
    read_fields,
    shell,
    size,
    without_odd,
)
from joblot.config.params import fit_params
from joblot.config.tree import MAX_INT, MAX_TEXT, PLAIN, Keys, Problem, describe, inspect, path_text
from joblot.core import references as template
from joblot.core.model import (
    DEFERRABLE,
    FINALLY_TIMEOUT_S,
    ONCE_ONLY,
    VARYING,
    FanOut,
    FilePosition,
    JobSpec,
    Limit,
    Retry,
    Signature,
    count_of,
)
from joblot.core.names import is_job_name
from joblot.core.patterns import as_literal, as_word, has_wildcard
from joblot.core.references import LATER, OF_FILES, OF_ITEM, OPENING, Deferred, Reference, TemplateError
from joblot.core.written import RawScalar, plain, shorten
from joblot.errors import did_you_mean
from joblot.units import format_size

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from joblot.config.secrets import Secrets
    from joblot.config.source import ParsedText

    Resolver = Callable[[Reference], Any]

_CODE: Final = {
    "shell": ("command", "write `run` in place of `action`: there a value is never code"),
    "python": ("code", "pass it in `args`, which the code finds in `sys.argv`"),
}
"""Actions that run one of their parameters as a program, and what to do with a value instead."""
_QUICK: Final = frozenset({"name", "action", "run", "input", "params", "needs", "outputs"})
_DEPTH_OF_ENV: Final = 4
"""`jobs`, a number, `env`, a name: what is deeper is a parameter that is called so."""
_DAY: Final = "run.date"
_DUE: Final = "run.scheduled_for"
_HOLDERS_OF_ENV: Final = ("env", "defaults", "jobs", "finally")
_NEVER: Final[tuple[str, ...]] = ("never",)
_MOST_REMEMBERED: Final = 1000
_NO_PARAMS: Final[dict[str, Any]] = {}
_NO_TEXTS: Final[list[str]] = []
_NO_LIMITS: Final[dict[str, int | Limit]] = {}
SPEC_NAMES: Final = {"timeout": "timeout_s", "grace": "grace_s", "if": "if_"}
_IF: Final = ("if", "if_")
"""The field, and what it is called in Python."""


CONSEQUENCE: Final = "consequence"
"""The code of problems that are not shown, because they only follow from others."""


class ConsequenceError(TemplateError):
    """A reference to something that could not be read."""

    def __init__(self) -> None:
        super().__init__("what it refers to is wrong")


Unknown = typing.Literal["error", "warning", "skipped"]


class LoadOptions(Struct):
    """What the caller of `load` passed on. `lookup` and `names` find actions; `typed` and `commands` are what `Sink` says of them.

    `moment` is when the run begins, in seconds since the epoch; None: now. It is `scheduled`: a schedule has started it for that instant. `unknown` says what an action is that is not found: an error, or a warning, of a job that will be skipped or not.
    """

    variables: Mapping[str, Any]
    lookup: Callable[[str], Signature | None]
    names: Callable[[], Iterable[str]]
    strict: bool = False
    unknown: Unknown = "error"
    importer: Callable[[list[str], str], None] | None = None
    spare_variables: bool = False
    typed: bool = False
    commands: bool = True
    moment: float | None = None
    scheduled: bool = False


class OwnFiles:
    """What `input` and `outputs` stand for in a job's other texts: the paths as the job finds them where it runs."""

    def __init__(self, job: Mapping[str, Any], cwd: Any, folder: str, filled: Mapping[str, Any]) -> None:
        self._job = job
        self._folder = folder if cwd is not None else ""
        self._filled = filled

    def value(self, reference: Reference) -> template.Template:
        """One path, or several.

        Raises:
            TemplateError: the job has no such file.
            ConsequenceError: what it has is wrong.
        """
        root, *rest = reference.parts
        if self._job.get(root) is None:
            hint = f"give the job an `{root}`" if root == "input" else "give the job `outputs`"
            raise TemplateError(f"`{reference.text}` stands for nothing: the job has no `{root}`", hint=hint)
        given = self._filled.get(root, MISSING)
        if given is MISSING:
            raise ConsequenceError
        paths = list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else [given]
        whole = [self._path(path.get("path") if isinstance(path, dict) else path) for path in paths]
        if not rest:
            return template.Template(
                whole if len(whole) != 1 or (root == "input" and isinstance(given, list)) else whole[0]
            )
        if len(rest) > 1:
            raise TemplateError(f"`{reference.text}` stands for nothing: a path has no parts")
        if rest[0].isdecimal():
            if int(rest[0]) >= len(whole):
                raise TemplateError(
                    f"`{root}` has {len(whole)} path{'s' * (len(whole) != 1)}, so there is no `{reference.text}`"
                )
            return template.Template(whole[int(rest[0])])
        if root == "input":
            raise TemplateError(f"`{reference.text}` stands for nothing: paths of `input` have no names")
        return template.Template(self._named(rest[0], given, whole))

    def _named(self, name: str, given: Any, whole: list[str]) -> str:
        if isinstance(given, dict) and name in given:
            return whole[list(given).index(name)]
        shown = self._job.get("name")
        owner = f"job `{shorten(shown)}`" if isinstance(shown, str) else "the job"
        if isinstance(given, dict):
            hint = did_you_mean(name, given) or f"it has {', '.join(f'`{known}`' for known in given)}"
            raise TemplateError(f"{owner} has no output `{name}`", hint=hint)
        hint = f"`outputs: {{{name}: PATH}}`, or `${{{{ outputs[0] }}}}`"
        raise TemplateError(f"{owner} has no output `{name}`; `outputs` is a list", hint=hint)

    def _path(self, path: Any) -> Any:
        """A path as a word of a command: no option, and absolute where the command runs in another folder."""
        if isinstance(path, RawScalar):
            path = path.text
        if not isinstance(path, str):
            raise ConsequenceError
        return as_word(path, template.protect(self._folder))


class JobReader(Sink):
    """Reads jobs one after the other; `scope` holds what references may name when the batch is loaded.

    The index of a job counts from 0; a job of the list `finally` has the inverse of its own, which is less than 0.
    """

    _table: typing.ClassVar[Mapping[str, Field]] = JOB
    _spec_names: typing.ClassVar[Mapping[str, str]] = SPEC_NAMES

    def __init__(
        self,
        document: ParsedText,
        options: LoadOptions,
        scope: Mapping[str, Any],
        *,
        secrets: Secrets | None = None,
        limits: Mapping[str, int | Limit] = _NO_LIMITS,
        zone: Any = "",
        is_scheduled: Any = False,
    ) -> None:
        super().__init__()
        self._zone = zone
        self._is_scheduled = is_scheduled
        """Whether the batch has a schedule; `MISSING`: it is wrong."""
        self._moment = options.moment
        self.dated = False
        """Whether a text refers to the day of a run that is not known yet."""
        self.typed = options.typed
        self.commands = options.commands
        self._file = document.file
        self._positions = document.positions
        self._locate = document.locate
        self._final_positions: list[tuple[int, int]] = []
        self._is_final = False
        """Whether the job at hand runs when all others have ended."""
        self._clean = document.clean
        self._scope = scope
        self._secrets: Secrets = secrets or {}
        self._limits = limits
        self._lookup = options.lookup
        self._names = options.names
        self._unknown = options.unknown
        self._signatures: dict[str, Signature | None] = {}
        self._unknown_hints: dict[str, str] = {}
        self._layouts: dict[tuple[str, ...], tuple[str, ...]] = {}  # by the fields of a job, those looked up as a whole
        self._read_before: dict[str, dict[str, Any]] = {}  # by their text, what such fields came to
        self._right_shapes: set[tuple[Any, ...]] = set()
        self._first: dict[str, int] = {}  # the number of the first job of a name, case apart
        self._spelled: dict[str, str] = {}  # how it was spelled, where that is not in lower case
        self.unsure: list[str] = []
        """Beginnings of the names of jobs of which no more can be known."""
        self._way = ""
        self._fan: FanOut | None = None
        """How the job at hand stands for many, if it does."""
        self._sources: list[tuple[str, Keys, Any]] = []  # of items: the file, the place and the job's name
        self._partly: dict[str, Any] = {}
        """The fields of the job that was read last, as far as their references are known."""
        self._patterns: set[str] = set()
        """What stands for the names of jobs whose items are wrong."""
        self._fan_is_wrong = False
        """Whether it stands for many of which nothing is known, because that is wrong."""
        self._given: dict[str, Any] = {}
        """What the references of its command stand for."""
        self._job_input: Any = None
        self._files = OwnFiles({}, None, "", {})
        """Its own files."""
        self._job: Mapping[str, Any] = {}
        self._fields: Mapping[str, Any] = {}
        """Its fields as they are written, and without references as far as they were read."""
        self._foreign = ""
        """The program that runs its text, where it is none whose texts can have references."""
        self._base: dict[str, Any] = {}
        self._base_retry: dict[str, Any] = {}

    # --- references ---------------------------------------------------------------------------

    def fill(self, value: Any, keys: Keys, resolve: Resolver, *, keep: bool = False) -> Any:
        """The value with its references filled in, or `MISSING` when one is wrong."""
        before = len(self.problems)
        filled = self._fill(value, keys, resolve, keep)
        return filled if len(self.problems) == before else MISSING

    def _fill(self, value: Any, keys: Keys, resolve: Resolver, keep: bool) -> Any:
        if isinstance(value, str):
            return self._fill_text(value, keys, resolve, keep) if OPENING in value else value
        if isinstance(value, dict):
            return {key: self._fill(item, (*keys, key), resolve, keep) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, (*keys, index), resolve, keep) for index, item in enumerate(value)]
        return value

    def _fill_text(self, text: str, keys: Keys, resolve: Resolver, keep: bool) -> Any:
        try:
            pieces = template.split(text)
        except TemplateError as error:
            self._refuse(error, error.inside, keys)
            return text
        before = len(self.problems)
        for piece in pieces:
            if isinstance(piece, Reference):
                try:
                    self._keep_secret(piece, keys)
                    resolve(piece)
                except TemplateError as error:
                    self._refuse(error, piece.text, keys)
        if len(self.problems) != before:
            return text
        return template.fill(text, resolve, keep=keep)

    def fill_environment(self, value: Any, keys: Keys, resolve: Resolver, *, keep: bool = False) -> Any:
        """As `fill`, for an `env`: an entry may refer to those above it. What it says of itself, it says of the environment around."""
        if not isinstance(value, dict) or not _holds_opening(value):
            return self.fill(value, keys, resolve, keep=keep)
        filled: dict[str, Any] = {}

        def here(reference: Reference) -> Any:
            other = reference.text.removeprefix("env.")
            if reference.root != "env" or other == name or other not in value or other in self._secrets:
                return resolve(reference)
            if other not in filled:
                raise entry_below(reference, other, name, value)
            found = self._usable(reference, filled[other])
            return template.Template(found) if keep else found

        before = len(self.problems)
        for name, item in value.items():
            filled[name] = self.fill(item, (*keys, name), here, keep=keep)
        return filled if len(self.problems) == before else MISSING

    def _keep_secret(self, reference: Reference, keys: Keys) -> None:
        """Whatever a reference stands for is stored with the run, so no secret can be made of one."""
        is_env = keys[-2:-1] == ("env",) and len(keys) <= _DEPTH_OF_ENV and keys[0] in _HOLDERS_OF_ENV
        if self._secrets and is_env and keys[-1] in self._secrets:
            raise TemplateError(
                f"the secret `{keys[-1]}` cannot be made of `{reference.text}`, which is stored with each run",
                hint=f"set `{keys[-1]}` in the environment that joblot is called with",
            )

    def _refuse(self, error: TemplateError, inside: str, keys: Keys) -> None:
        code = CONSEQUENCE if isinstance(error, ConsequenceError) else "reference"
        self.problems.append(Problem(code, error.message, keys, error.hint, inside=inside))

    def known(self, reference: Reference) -> Any:
        """What a reference stands for when the batch is loaded."""
        if reference.root in OF_FILES:
            raise TemplateError(
                f"`{reference.text}` stands for the files of one job",
                hint="it can stand in a job's own `run`, `params` and `env`",
            )
        if reference.root in OF_ITEM:
            raise self._no_item_here(reference)
        if reference.text == _DUE:
            if self._is_scheduled is MISSING or self._zone is MISSING:
                raise ConsequenceError
            if not self._is_scheduled:
                hint = f"give the batch one, or take `{_DAY}`, the day on which the run begins"
                raise TemplateError(f"`{_DUE}` stands for nothing: the batch has no `schedule`", hint=hint)
            return iso_in(self._begins(), self._zone)
        if reference.text == _DAY and not self.typed:
            return self._day()
        if reference.root in LATER:
            fields = "`run`, `params` and `env`" if reference.root == "slots" else "`run`, `input`, `params` and `env`"
            hint = f"it can stand in a job's own {fields}"
            raise TemplateError(f"`{reference.text}` is known only when a job starts", hint=hint)
        if reference.root == "env" and reference.text[4:] in self._secrets:
            name = reference.text[4:]
            hint = f"a command finds it in its environment: write `${name}`"
            raise TemplateError(f"`{name}` is a secret and cannot be put into a text", hint=hint)
        return self._usable(reference, template.lookup(reference, self._scope))

    def _usable(self, reference: Reference, value: Any) -> Any:
        """The value that a reference stands for, if it is none of a secret, and nothing that no batch may hold."""
        if value is MISSING:
            raise ConsequenceError
        if self._secrets:
            from joblot.config.secrets import secret_in

            if name := secret_in(value, self._secrets):
                hint = f"a command finds it in its environment: write `${name}`"
                raise TemplateError(f"`{reference.text}` holds the value of the secret `{name}`", hint=hint)
        odd: list[Problem] = []
        inspect(value, (), odd)
        if odd:
            raise TemplateError(f"`{reference.text}` cannot be used: {odd[0].message}")
        return value

    def _day(self) -> str:
        if self._zone is MISSING:
            raise ConsequenceError
        return day_of(self._begins(), self._zone)

    def _begins(self) -> float:
        if self._moment is None:
            self._moment = time.time()
        return self._moment

    def _is_later(self, reference: Reference) -> bool:
        """Whether what it stands for is known only when a job starts: in a program the run may begin on another day."""
        if reference.root == "input":
            return bool(self._patterns_in(self._job_input))
        return reference.root in LATER and (self.typed or reference.text not in (_DAY, _DUE))

    def _is_deferred(self, value: Any) -> bool:
        return any(
            map(self._is_later, template.sound_references(value))
        )  # others are reported when the field is filled in

    def _known_or_item(self, reference: Reference) -> Any:
        """What a reference stands for; one to the item stays, to be filled in for each job."""
        fan = self._fan
        if fan is None or reference.root != ("item" if self._way == "foreach" else "matrix"):
            return self.known(reference)
        from joblot.config.fan_out import find_column

        find_column(reference, fan)
        return Deferred(reference)

    def _no_item_here(self, reference: Reference) -> TemplateError:
        if self._fan_is_wrong:
            return ConsequenceError()
        if self._fan is None:
            hint = (
                f"it has its meaning in a job with {'`foreach`' if reference.root == 'item' else '`matrix` or `zip`'}"
            )
            return TemplateError(f"`{reference.text}` stands for nothing here", hint=hint)
        root = "item" if self._way == "foreach" else "matrix"
        if reference.root != root:
            return TemplateError(
                f"`{reference.text}` stands for nothing here", hint=f"with `{self._way}` write `{root}`"
            )
        fields = ", ".join(f"`{field}`" for field in (*VARYING, "if"))
        hint = f"it can stand in {fields}; all else is the same for each item: give those that differ a declaration of their own"
        return TemplateError(f"`{reference.text}` cannot stand here", hint=hint)

    # --- defaults -----------------------------------------------------------------------------

    def read_defaults(self, value: Any) -> None:
        """Take what `defaults` sets for all jobs that follow."""
        keys: Keys = ("defaults",)
        if value is MISSING:
            return
        try:
            given = mapping(value)
        except Mismatch as error:
            self.add("type", f"`defaults` {error.message}", keys)
            return
        good = {}
        for name, item in given.items():
            if name not in SHARED and name in JOB:
                hint = f"each job has its own; shared are {', '.join(f'`{field}`' for field in SHARED)}"
                self.add("unknown_field", f"`{name}` cannot have a default", (*keys, name), hint=hint, at_key=True)
                continue
            fill = self.fill_environment if name == "env" else self.fill
            filled = fill(item, (*keys, name), self.known)
            if filled is not MISSING:
                good[name] = filled
        fields = read_fields(self, SHARED, good, keys, "`defaults`")
        if "resources" in fields:
            fields["resources"] = self._resources(fields["resources"], (*keys, "resources"))
        self._base_retry = fields.pop("retry", {})
        self._base = {SPEC_NAMES.get(name, name): item for name, item in fields.items()}
        if self._base_retry:
            self._base["retry"] = Retry(**self._base_retry)

    # --- jobs ---------------------------------------------------------------------------------

    def read_all(self, jobs: list[Any]) -> list[JobSpec]:
        """The jobs; what is wrong with them stands in `problems`. Empties the list as it goes, to save memory.

        In the place of a job that is wrong stands what is known of how it hangs together with others.
        """
        specs = []
        for index, job in enumerate(jobs):
            spec = self._quick(index, job) or self._careful(index, job) or self._stand_in(index, job)
            if spec is not None:
                specs.append(spec)
            jobs[index] = None
        return specs

    def read_finals(self, jobs: list[Any]) -> list[JobSpec]:
        """The jobs of `finally`, as `read_all`."""
        located = self._locate({"finally": {number: {} for number in range(len(jobs))}})
        self._final_positions = [located.get(("finally", number), ((0, 0), (0, 0)))[1] for number in range(len(jobs))]
        specs = (self._careful(~number, job) or self._stand_in(~number, job) for number, job in enumerate(jobs))
        return [spec for spec in specs if spec is not None]

    def _keys_of(self, index: int) -> Keys:
        return ("jobs", index) if index >= 0 else ("finally", ~index)

    def _stand_in(self, index: int, job: Any) -> JobSpec | None:
        """Name, needs, input and outputs of a job that is wrong elsewhere; None when its name is not known either.

        Of a job whose items are wrong, or whose name has references, nobody knows which names its jobs have: a pattern stands for them.
        """
        name = job.get("name") if isinstance(job, dict) else None
        wanted = name if isinstance(name, str) else ""
        many = bool(wanted) and any(way in job for way in WAYS)
        if many or not is_job_name(wanted):
            start = wanted.partition(OPENING)[0]
            self.unsure.append(start)
            if not many or not is_job_name(start or "x"):
                return None
            wanted = f"{start}*"
        if many and wanted in self._patterns:
            return None  # the first of that pattern stands for both
        self._patterns |= {wanted} if many else set()

        def texts(field: str) -> tuple[str, ...]:
            given = self._partly.get(field, job.get(field))
            given = list(given.values()) if field == "outputs" and isinstance(given, dict) else given
            listed = [
                item.text if isinstance(item, RawScalar) else item
                for item in (given if isinstance(given, list) else [given])
            ]
            return tuple(item for item in listed if isinstance(item, str) and item and OPENING not in item)

        inputs = texts("input")
        return JobSpec(
            name=wanted,
            run="",
            needs=texts("needs"),
            input=list(inputs) or None,
            patterns=tuple(at for at, path in enumerate(inputs) if has_wildcard(path)),
            outputs=() if many else texts("outputs"),
            place=self._place(index),
            finally_=self._is_final,
        )

    def _place(self, index: int) -> FilePosition | None:
        if index < 0:
            return FilePosition(self._file, *self._final_positions[~index])
        return FilePosition(self._file, *self._positions[index]) if index < len(self._positions) else None

    def _quick(self, index: int, job: Any) -> JobSpec | None:
        """The job, when it is of a kind already found right and holds nothing that needs a second look."""
        if not self._clean or type(job) is not dict:
            return None
        layout = tuple(job)
        alike = self._layouts.get(layout)
        if alike is None:
            alike = self._layouts[layout] = self._alike_fields(layout)
        name, action, job_input = job.get("name"), job.get("action"), job.get("input")
        params, needs, outputs = (
            job.get("params", _NO_PARAMS),
            job.get("needs", _NO_TEXTS),
            job.get("outputs", _NO_TEXTS),
        )
        if alike is _NEVER or type(name) is not str or not is_job_name(name):
            return None
        if "run" in job:
            right = params == _NO_PARAMS and self._is_plain_run(job["run"])
            right = right and ("shell" not in job or type(job["run"]) is str)
        else:
            right = self._right_before(action, job_input, params)
        # The fields of most jobs, one by one: this is done for each of a million jobs, and asks nothing of those that are left out.
        if not right or not (
            (job_input is None or (self._is_plain_text(job_input) and not odd_path(job_input)))
            and (needs is _NO_TEXTS or self._are_plain_texts(needs))
            and (outputs is _NO_TEXTS or (self._are_plain_texts(outputs) and not any(map(odd_path, outputs))))
        ):
            return None
        rest = self._read_before.get(self._shown(job, alike)) if alike else self._base
        if rest is None:
            return None
        self._note_name(name, index)
        if callable(action):
            action, rest = None, {**rest, "function": action}
        return JobSpec(
            name=name,
            action=action,
            run=job.get("run"),
            input=job_input,
            params=params or {},
            needs=tuple(needs),
            needs_none=needs is not _NO_TEXTS and not needs,
            outputs=tuple(outputs),
            place=self._place(index),
            **rest,
        )

    def _is_plain_text(self, value: Any) -> bool:
        """A text with something in it, and no reference."""
        return (
            type(value) is str
            and bool(value)
            and not value.isspace()
            and OPENING not in value
            and len(value) <= MAX_TEXT
            and (not self.typed or value.isprintable())
        )

    def _are_plain_texts(self, value: Any) -> bool:
        return type(value) is list and all(map(self._is_plain_text, value))

    def _is_plain_run(self, value: Any) -> bool:
        return self._is_plain_text(value) or (self._are_plain_texts(value) and bool(value))

    def _alike_fields(self, layout: tuple[str, ...]) -> tuple[str, ...]:
        """Of a job with these fields, those to look up as a whole; `_NEVER` when such a job cannot take the short way."""
        fields = set(layout)
        if (
            not fields <= self._table.keys()
            or fields & {*WAYS, "max_parallel", "finally_"}
            or "name" not in fields
            or ("run" in fields) == ("action" in fields)
        ):
            return _NEVER
        return tuple(field for field in layout if field not in _QUICK)

    def _note_alike(self, job: dict[str, Any], spec: JobSpec) -> None:
        """Remember what the fields came to in which many jobs are alike."""
        alike = self._layouts.get(tuple(job), _NEVER)
        if alike and alike is not _NEVER and len(self._read_before) < _MOST_REMEMBERED:
            names = {*self._base, *(self._spec_names.get(field, field) for field in alike)}
            if key := self._shown(job, alike):
                self._read_before[key] = {name: getattr(spec, name) for name in names}

    def _shown(self, job: dict[str, Any], fields: Iterable[str]) -> str:
        """Some fields of a job as a text that is the same for the same values, and never else; empty when that cannot be told."""
        values = [job[field] for field in fields]
        for value in values if self.typed else ():
            items = [*value, *value.values()] if type(value) is dict else value if type(value) is list else [value]
            if not self._are_plain(items):
                return ""
        return repr(list(zip(fields, values, strict=True)))

    def _right_before(self, action: Any, job_input: Any, params: Any) -> bool:
        """Whether an action with parameters of these names and types was found right, and no value is odd."""
        if type(params) is not dict or type(action) is not str:
            return False
        if (action, job_input is None, *params, *map(type, params.values())) not in self._right_shapes:
            return False
        return self._are_plain(params.values())

    def _are_plain(self, values: Iterable[Any]) -> bool:
        """Whether they are texts, numbers and truth values, and none is odd."""
        for value in values:
            kind = type(value)
            if kind is str:
                if OPENING in value or len(value) > MAX_TEXT or (self.typed and not value.isprintable()):
                    return False
            elif kind is int or kind is float:
                if not -MAX_INT <= value < MAX_INT:  # also refuses what is no number, which compares with nothing
                    return False
            elif kind is not bool and value is not None:
                return False
        return True

    def _careful(self, index: int, job: Any) -> JobSpec | None:
        """The job, or None when something is wrong with it."""
        keys = self._keys_of(index)
        self._partly = {}
        before = self.since = len(self.problems)
        self._is_final = index < 0
        if not isinstance(job, dict):
            self.add("type", f"`{path_text(keys)}` must be a mapping, not {describe(job)}", keys)
            return None
        job = self._sound(job, keys)
        self._is_final = self._is_final or job.get("finally_") is True
        self._way, self._fan = self._fan_out(job, keys)
        self._fan_is_wrong = self._fan is None and any(way in job for way in WAYS)
        filled, deferred = self._filled(job, keys)
        self._partly = filled
        shown = filled.get("name", job.get("name"))
        owner = (
            f"job `{shorten(shown)}`" if isinstance(shown, str) else "the job" if self.typed else f"`{path_text(keys)}`"
        )
        if self._fan is not None and isinstance(filled.get("name"), str):
            filled = {**filled, "name": _probe_name(filled["name"])}
        fields = read_fields(self, self._table, filled, keys, owner)
        if self._fan is not None:
            fields["name"] = job.get("name") if filled is job else shown
        elif not self._fan_is_wrong or "name" not in job:
            self._check_name(fields.get("name"), job, index, keys)
        fields["params"] = self._params(fields, job, index, owner)
        if isinstance(fields.get("outputs"), dict):
            fields |= {"outputs": tuple(fields["outputs"].values()), "output_names": tuple(fields["outputs"])}
        if "run" in job:
            self._warn_of_exceptions(fields, owner, keys)
        if "shell" in job and isinstance(fields.get("run"), list):
            hint = "write `run` as a text, or take `shell` away"
            message = f"{owner} has a `shell` and no text for it: `run` is a list"
            self.add("value", message, (*keys, "shell"), hint=hint, at_key=True)
        if self._is_final:
            self._check_final(fields, keys)
        if self._fan is not None:
            self._check_items(self._fan, fields, keys)
        if "resources" in fields:
            fields["resources"] = self._resources(fields["resources"], (*keys, "resources"))
        if self._has_errors(before):
            return None
        if self._fan is not None:
            limit = fields.pop("max_parallel", None)
            fields = {name: value for name, value in fields.items() if name not in WAYS}
            fields["fan_out"] = replace(self._fan, max_parallel=limit)
            deferred = deferred or self._fan.kind == "result"
        own_retry = {**fields, **fields.get("retry", {})}
        spec = self._spec(fields, deferred, self._place(index))
        self._check_memory(spec, own_retry, (*keys, "retry") if "retry" in job else keys, owner)
        if self._has_errors(before):
            return None
        if self._clean and filled is job:
            self._note_alike(job, spec)
        return spec

    def _warn_of_exceptions(self, fields: dict[str, Any], owner: str, keys: Keys) -> None:
        """A command raises nothing: with only names of exceptions in `only` it is never tried again."""
        only = fields.get("retry_only") or fields.get("retry", {}).get("only")
        if only and all(re.fullmatch(EXCEPTION, entry) for entry in only):
            hint = "a command has an `exit 75`, `timeout`, `crash` or the like"
            message = f"{owner} is never tried again: `only` has exceptions, and a command raises none"
            at = (*keys, "retry_only") if "retry_only" in fields else (*keys, "retry", "only")
            self.problems.append(Problem("value", message, at, hint, severity="warning"))

    def _check_memory(self, spec: JobSpec, own: Mapping[str, Any], keys: Keys, owner: str) -> None:
        """What a job says of more memory from attempt to attempt; what it has from `defaults` only may do nothing for it."""
        policy, memory = spec.retry, spec.resources.get("memory")
        if "max_memory" in own and policy.memory_factor == 1:
            hint = "`memory_factor: 2` doubles `memory` after each `oom`, up to `max_memory`"
            message = f"{owner} has a `max_memory` and no `memory_factor` that leads to it"
            self.add("value", message, (*keys, "max_memory"), hint=hint, at_key=True)
        if "memory_factor" in own and policy.memory_factor > 1:
            at = (*keys, "memory_factor")
            if memory is None:
                hint = "`resources: {memory: 1GiB}` is what the first attempt may use"
                self.add(
                    "missing", f"{owner} has a `memory_factor` and no `memory` to raise", at, hint=hint, at_key=True
                )
            elif policy.max_attempts == 1 or (policy.only and "oom" not in policy.only):
                hint = (
                    "add `oom` to `only`"
                    if policy.max_attempts > 1
                    else "`max_attempts: 3` lets it be tried twice more"
                )
                message = f"{owner} is never tried again after `oom`: `memory_factor` raises nothing"
                self.problems.append(Problem("value", message, at, hint, severity="warning", at_key=True))
        if (
            memory is not None
            and policy.memory_factor > 1
            and policy.max_memory is not None
            and policy.max_memory < memory
        ):
            message = f"`max_memory` of {owner} is less than its `memory`: {format_size(policy.max_memory)} and {format_size(memory)}"
            at = (*keys, "max_memory") if "max_memory" in own else keys
            self.add("value", message, at, hint="`memory` is what the first attempt may use")

    def _has_errors(self, before: int) -> bool:
        """Whether an error came after so many problems; warnings do not keep a job from being read."""
        return any(problem.severity == "error" for problem in self.problems[before:])

    def _check_name(self, name: Any, job: dict[str, Any], index: int, keys: Keys) -> None:
        if isinstance(name, str):
            self._note_name(name, index)
        elif "name" not in job:
            self.miss(("name",), f"{path_text(keys)} is missing `name`", keys, hint="every job has a name of its own")

    def _check_final(self, fields: dict[str, Any], keys: Keys) -> None:
        fields["finally_"] = True
        if fields.pop("outputs", ()):
            hint = "it runs each time: let it write its files without declaring them"
            self.add("value", "a job of `finally` has no `outputs`", (*keys, "outputs"), hint=hint, at_key=True)
        if fields.pop("cache", False):
            hint = "it runs each time: leave `cache` out"
            self.add("value", "a job of `finally` has no `cache`", (*keys, "cache"), hint=hint, at_key=True)
        if self._fan is not None and self._fan.kind == "result":
            hint = "a list, a table or a file of lines can give its items"
            self.add("value", "items of a job of `finally` cannot come from a result", (*keys, "foreach"), hint=hint)

    def _sound(self, job: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """The job, without what no batch may hold, which is noted."""
        before = len(self.problems)
        self._inspect(job, keys)
        if len(self.problems) == before:
            return job
        odd = [problem.keys[len(keys) :] for problem in self.problems[before:]]
        fit = {name: value for name, value in job.items() if name.isprintable()}
        return without_odd(fit, filter(None, odd))

    def _inspect(self, job: dict[str, Any], keys: Keys) -> None:
        inspect(job, keys, self.problems)

    def _fan_out(self, job: dict[str, Any], keys: Keys) -> tuple[str, FanOut | None]:
        """How the job stands for many: the field that says so and what it comes to; None when it is one job."""
        self._way, self._fan, self._given = "", None, {}
        given = [way for way in WAYS if way in job]
        if not given:
            if "max_parallel" in job:
                hint = f"it bounds how many jobs of a fan-out run at a time: {', '.join(f'`{way}`' for way in WAYS)}"
                self.add(
                    "value", "`max_parallel` has no fan-out to bound", (*keys, "max_parallel"), hint=hint, at_key=True
                )
            return "", None
        if len(given) > 1:
            message = f"`{given[0]}` and `{given[1]}` cannot stand together"
            self.add("value", message, (*keys, given[1]), hint="one of them makes the items", at_key=True)
            return "", None
        from joblot.config.fan_out import file_of_items, read_fan_out

        way, at = given[0], (*keys, given[0])
        value = job[way]
        if way == "foreach" and isinstance(value, str) and self._is_deferred(value):
            return way, self._from_result(value, job, at)
        if not self.typed:  # items that a program gives are data, whatever is written in them
            value = self._filled_source(value, at)
        folder = self._scope["batch"]["folder"]
        if way == "foreach" and (source := file_of_items(value)):
            self._sources.append((source, at, job.get("name")))
        return way, None if value is MISSING else read_fan_out(self, way, value, at, folder, secrets=self._secrets)

    def refuse_made_items(self, jobs: list[JobSpec]) -> None:
        """Note where items are read from what a job makes: they are read before anything runs, so they would be those of the last run."""
        folder = self._scope["batch"]["folder"]
        for source, at, name in self._sources:
            from joblot.config.fan_out import maker_by_links  # only where items come from a file
            from joblot.core.dataflow import maker_of_items

            maker = maker_of_items(jobs, source, folder) or maker_by_links(jobs, source, folder)
            if maker is not None:
                hint = "let the items be a result of one job"
                if maker.name == name:
                    hint = "write to another file"
                elif maker.fan_out is None:
                    hint = f"let the items be its result: `foreach: ${{{{ jobs.{maker.name}.result }}}}`"
                message = f"`{label(at)}` is read before anything runs, and job `{maker.name}` makes `{source}`"
                self.add("dataflow", message, at, hint=hint)

    def _filled_source(self, value: Any, keys: Keys) -> Any:
        """Where items come from, with references filled in. A command with values becomes its text for messages and its words."""
        if keys[-1] != "foreach" or not isinstance(value, dict) or not isinstance(value.get("command"), str):
            return self.fill(value, keys, self.known)
        rest = self.fill({name: item for name, item in value.items() if name != "command"}, keys, self.known)
        command = self._filled_command(value["command"], (*keys, "command"), self.known)
        if rest is MISSING or command is MISSING:
            return MISSING
        text, given = command
        if not given:
            return {**rest, "command": text}
        from joblot.core.shelltext import read

        script = read(text)
        try:
            return {**rest, "command": (script.shown(given), script.call(given))}
        except TemplateError as error:
            self._refuse(error, "", (*keys, "command"))
            return MISSING

    def _from_result(self, value: str, job: dict[str, Any], keys: Keys) -> FanOut | None:
        """Items that a job of the run finds."""
        needs = self.fill(job.get("needs"), (*keys[:-1], "needs"), self.known)
        text = self.fill(value, keys, lambda reference: self._now_or_later(reference, needs), keep=True)
        if text is MISSING:
            return None
        if len(template.split(value.strip())) != 1 or not text.strip().startswith("${{ jobs."):
            self.add("value", "`foreach` must be one reference to a result and nothing else", keys)
            return None
        return FanOut("result", source=text.strip())

    def _check_items(self, fan: FanOut, fields: dict[str, Any], keys: Keys) -> None:
        from joblot.config.fan_out import check_items

        signature = self._signature(fields["action"]) if isinstance(fields.get("action"), str) else None
        if len(fan.columns) and not self.problems[self.since :]:
            check_items(self, fan, fields, signature, keys)

    def _note_name(self, name: str, index: int) -> None:
        folded = name.lower()  # names are ASCII, so this is all that normalising would do
        first = self._first.setdefault(folded, index)
        if first == index:
            if folded != name:
                self._spelled[folded] = name
            return
        other = self._spelled.get(folded, folded)
        message = (
            f"duplicate job name `{name}`" if other == name else f"job names `{other}` and `{name}` differ only in case"
        )
        keys, twin = (*self._keys_of(index), "name"), (*self._keys_of(first), "name")
        self.problems.append(Problem("duplicate_name", message, keys, twin=twin))

    def _filled(self, job: dict[str, Any], keys: Keys) -> tuple[dict[str, Any], bool]:
        """The job's fields without references that are known now, and whether others are left."""
        self._job_input = job.get("input")
        if self._fan is None and not _holds_opening(job):
            odd = any(value is MISSING for value in job.values())
            return {name: value for name, value in job.items() if value is not MISSING} if odd else job, False
        # Needs come first: whether a reference to a result may stay depends on whether the job waits for that one.
        needs = self.fill(job.get("needs"), (*keys, "needs"), self._known_or_item, keep=self._fan is not None)
        deferred = any(self._is_deferred(job.get(name)) for name in (*DEFERRABLE, *_IF)) or bool(
            self._patterns_in(self._job_input)
        )
        self._foreign = self._foreign_program(job.get("shell"))
        filled: dict[str, Any] = {}
        self._files = OwnFiles(job, job.get("cwd", self._base.get("cwd")), self._scope["batch"]["folder"], filled)
        self._job, self._fields = job, filled
        # what a job's files are, and what it asks for, comes first, as its other texts may refer to it
        for name, value in sorted(job.items(), key=lambda field: field[0] not in (*OF_FILES, "resources")):
            if name.startswith("x-") or name not in self._table or name in WAYS:
                filled[name] = value
                continue
            if name == "params" and job.get("action") in _CODE:
                self._refuse_code(*_CODE[job["action"]], value, (*keys, name))
            item = needs if name == "needs" else self._filled_field(name, value, keys, needs, deferred)
            if item is not MISSING:
                filled[name] = item
        return filled, deferred

    def _foreign_program(self, value: Any) -> str:
        """The program of a `shell`, or of the default one, where what a reference becomes in its texts is not known."""
        from joblot.core.shells import takes_values

        try:
            words = (
                self._base.get("shell", ()) if value is None else shell(Sink(), template.fill(value, self.known), ())
            )
        except (Mismatch, TemplateError):
            return ""  # reported when the field is read
        return "" if takes_values(words) else str(words[0])

    def _filled_field(self, name: str, value: Any, keys: Keys, needs: Any, deferred: bool) -> Any:
        at = (*keys, name)
        if name == "input" and self._patterns_in(value):
            return self._filled_patterns(value, at, needs, keep=True)
        if name in DEFERRABLE:
            # What is kept for later is read as a template then, so texts without references must be kept as templates as well.
            keep = deferred or self._fan is not None
            resolve = lambda reference: self._now_or_later(reference, needs, name)  # noqa: E731
            if name == "run" and isinstance(value, str):
                filled = self._filled_command(value, at, resolve, keep=keep)
                if filled is MISSING:
                    return MISSING
                text, self._given = filled
                return text
            if name == "run" and isinstance(value, list) and _holds_opening(value):
                self._warn_of_programs(value, at)
                return self._filled_words(value, at, resolve, keep=keep)
            fill = self.fill_environment if name == "env" else self.fill
            return fill(value, at, resolve, keep=keep)
        if name in _IF:
            return self._filled_condition(value, at, needs, keep=deferred or self._fan is not None)
        if name in ("outputs", "cwd"):
            return self.fill(value, at, self._inside_a_path, keep=self._fan is not None)
        if name in VARYING:
            return self.fill(value, at, self._known_or_item, keep=self._fan is not None)
        return self.fill(value, at, self.known)

    def _patterns_in(self, job_input: Any) -> tuple[int, ...]:
        """Which paths of an `input` are patterns as they are written: a value makes none."""
        entries = job_input if isinstance(job_input, list) else [job_input]
        return tuple(at for at, entry in enumerate(entries) if isinstance(entry, str) and _is_pattern(entry))

    def _filled_patterns(self, value: Any, keys: Keys, needs: Any, *, keep: bool) -> Any:
        """An `input` with patterns, in which what references stand for stands for itself."""
        patterns = self._patterns_in(value)

        def as_itself(reference: Reference) -> Any:
            found = self._now_or_later(reference, needs, "input")
            return found if isinstance(found, Deferred) else as_literal(template.as_text(found))

        def resolve(reference: Reference) -> Any:
            return self._now_or_later(reference, needs, "input")

        if not isinstance(value, list):
            return self.fill(value, keys, as_itself, keep=keep)
        filled = [
            self.fill(entry, (*keys, at), as_itself if at in patterns else resolve, keep=keep)
            for at, entry in enumerate(value)
        ]
        return MISSING if any(entry is MISSING for entry in filled) else filled

    def _filled_words(self, words: list[Any], keys: Keys, resolve: Resolver, *, keep: bool) -> Any:
        """The words of a command; one that is a reference to a list and nothing else becomes several."""
        filled = self.fill(words, keys, resolve, keep=keep)
        if filled is MISSING:
            return MISSING
        pairs = zip(words, filled, strict=True)
        return [part for word, new in pairs for part in (new if isinstance(new, list) and new is not word else [new])]

    def _filled_condition(self, value: Any, keys: Keys, needs: Any, *, keep: bool) -> Any:
        """A truth value, or the text as it is where its reference is known only later; `MISSING` when something is wrong with it."""
        if not isinstance(value, str) or OPENING not in value:
            return value
        denied, text = negated(value)
        try:
            pieces = template.split(text)
        except TemplateError as error:
            self._refuse(error, error.inside, keys)
            return MISSING
        if len(pieces) != 1 or not isinstance(pieces[0], Reference):
            hint = "no expressions: let a job find it out, and refer to its result"
            self.add("value", "`if` must be one reference, or `not` and one, and nothing else", keys, hint=hint)
            return MISSING
        found = plain(self.fill(text, keys, lambda reference: self._now_or_later(reference, needs), keep=keep))
        if found is MISSING:
            return MISSING
        if pieces[0].root in ("jobs", *OF_ITEM):
            return value
        if not isinstance(found, bool):
            return self._no_truth(pieces[0], "a text" if pieces[0].root == "run" else describe(found), keys)
        return found != denied

    def _no_truth(self, reference: Reference, what: str, keys: Keys) -> Any:
        name = reference.text.removeprefix("vars.")
        hint = (
            f"declare the variable: `{name}: {{type: bool}}`"
            if reference.root == "vars"
            else "texts are not taken for one"
        )
        message = f"`if` must be `true` or `false`, and `{reference.text}` is {what}"
        self.problems.append(Problem("type", message, keys, hint, inside=reference.text))
        return MISSING

    def _filled_command(self, value: str, keys: Keys, resolve: Resolver, *, keep: bool = False) -> Any:
        """A text for the shell, and what its references stand for, as far as it is known; `MISSING` when one is wrong.

        The text stays as it is: no value becomes a part of it.
        """
        try:
            references = template.references(value)
        except TemplateError as error:
            self._refuse(error, error.inside, keys)
            return MISSING
        if not references:
            filled = self.fill(value, keys, resolve, keep=keep)
            return filled if filled is MISSING else (filled, {})
        if self._foreign and keys[-1] == "run":
            for one in references:
                name = re.sub(r"\W", "_", one.parts[-1]).upper()
                message = (
                    f"`{one.text}` stands in a text that `{shorten(self._foreign)}` runs, where its value would be code"
                )
                hint = f'pass it through `env`: `env: {{{name}: "{OPENING} {one.text} }}}}"}}`'
                self._refuse(TemplateError(message, hint=hint), one.text, keys)
            return MISSING
        from joblot.core.shelltext import read

        script = read(value)
        place = script.misplaced
        if place is not None:
            name = place.reference.text
            message = f"`{name}` stands in {place.refused}, where its value is not safe"
            self._refuse(TemplateError(message, hint=place.hint), name, keys)
            return MISSING
        values = [self.fill(f"{OPENING} {one.text} }}}}", keys, resolve, keep=keep) for one in references]
        if any(item is MISSING for item in values):
            return MISSING
        pairs = zip(references, values, strict=True)
        given = {reference.text: _as_written(item) for reference, item in pairs if not self._is_later(reference)}
        self._note_programs(script.programs, keys)
        return value, given

    def _refuse_code(self, parameter: str, hint: str, params: Any, keys: Keys) -> None:
        """Refuse references in a parameter that is a program."""
        text = params.get(parameter) if isinstance(params, dict) else None
        for reference in template.sound_references(text):  # others are reported when the parameters are filled in
            error = TemplateError(f"`{reference.text}` would become code in `{parameter}`", hint=hint)
            self._refuse(error, reference.text, (*keys, parameter))

    def _warn_of_programs(self, words: list[Any], keys: Keys) -> None:
        from joblot.core.shelltext import programs_in

        try:
            self._note_programs(programs_in(words), keys)
        except TemplateError:
            pass  # reported when the words are filled in

    def _note_programs(self, programs: list[tuple[Reference, str]], keys: Keys) -> None:
        for reference, program in programs:
            message = f"`{reference.text}` stands in the program text of `{program}`, which runs its value as code"
            hint = "pass it as an argument, or through `env`"
            # Never an error, for it may be meant, and there is no other way to say so.
            self.problems.append(Problem("program", message, keys, hint, severity="warning", inside=reference.text))

    def _of_slots(self, reference: Reference) -> Deferred:
        """A reference to the slots that the job is to hold, which are known when it starts.

        Raises:
            TemplateError: it will hold none, or not as many.
            ConsequenceError: what it asks for is wrong.
        """
        _, *parts = reference.parts
        if not parts:
            raise TemplateError("`slots` alone is not a value", hint="write `slots.` and a name")
        name, *rest = parts
        limit, known = (
            self._limits.get(name),
            [one for one, its in self._limits.items() if isinstance(its, Limit) and its.slots],
        )
        nothing = f"`{reference.text}` stands for nothing"
        if limit is None:
            hint = did_you_mean(name, known) or f"add `{name}: {{slots: [0, 1]}}` to `limits`"
            raise TemplateError(f"{nothing}: the batch has no limit `{name}`", hint=hint)
        if name not in known:
            hint = f"name them: `{name}: {{slots: [0, 1]}}`"
            raise TemplateError(f"{nothing}: the slots of `{name}` have no names", hint=hint)
        asked = self._asked(name)
        if not asked:
            raise TemplateError(f"{nothing}: the job does not ask for `{name}`", hint=f"add `{name}: 1` to `resources`")
        if len(rest) > 1 or (rest and not rest[0].isdecimal()):
            raise TemplateError(f"{nothing}: a slot has no parts")
        if rest and int(rest[0]) >= asked:
            raise TemplateError(f"{nothing}: the job holds {asked:g} slot{'s' * (asked > 1)} of `{name}`")
        return Deferred(reference)

    def _asked(self, name: str) -> float:
        """How much the job at hand asks for of a limit."""
        if self._limits[name] is UNREAD_LIMIT or ("resources" in self._job and "resources" not in self._fields):
            raise ConsequenceError
        own = self._fields.get("resources")
        asked = {**self._base.get("resources", {}), **(own if isinstance(own, dict) else {})}.get(name, 0)
        amount = plain(asked)
        if not isinstance(amount, (int, float)):
            raise ConsequenceError
        return amount

    def _now_or_later(self, reference: Reference, needs: Any, field: str = "") -> Any:
        if reference.root in OF_FILES or reference.root == "slots":
            if field in OF_FILES or not field:
                raise TemplateError(
                    f"`{reference.text}` cannot stand here",
                    hint="it can stand in a job's own `run`, `params` and `env`",
                )
            if reference.root == "slots":
                return self._of_slots(reference)
            if reference.root == "input" and self._patterns_in(self._job_input):
                if isinstance(self._job_input, list):
                    self._files.value(reference)  # whether there is such an entry is known now
                return Deferred(reference)  # which files match is known when the job starts
            return self._files.value(reference)
        if reference.text == "run.id" or (reference.text == _DAY and self.typed):
            self.dated = self.dated or reference.text == _DAY
            return Deferred(reference)
        if reference.root == "run" and reference.text not in (_DAY, _DUE):
            raise TemplateError(
                f"`{reference.text}` stands for nothing", hint=f"of a run there are `run.id`, `{_DAY}` and `{_DUE}`"
            )
        if reference.root != "jobs":
            return self._known_or_item(reference)
        given = [needs] if isinstance(needs, str) else needs if isinstance(needs, list) else []
        patterns = [plain(need) for need in given if isinstance(plain(need), str)]
        known = self._first if self._is_final else ()
        found = template.split_result(
            reference.parts[1:], lambda name: any(_meets(name, need) for need in patterns) or name.lower() in known
        )
        if found is None:
            hint = "write `jobs.NAME.result` or `jobs.NAME.result.FIELD`"
            raise TemplateError(f"`{reference.text}` does not name a result", hint=hint)
        # Where `needs` is wrong itself, that was said: to ask for one more would mislead.
        # A job of `finally` may refer to all that ran before it; those that it may not are known when the plan is made.
        if needs is not MISSING and not self._is_final and not any(_meets(found[0], need) for need in patterns):
            message = f"`{reference.text}` is the result of a job that this one does not need"
            raise TemplateError(message, hint=f"add `{found[0]}` to `needs`")
        return Deferred(reference)

    def _inside_a_path(self, reference: Reference) -> Any:
        value = self._known_or_item(reference)
        if isinstance(value, Deferred):
            return value
        if ".." in template.as_text(value).replace("\\", "/").split("/"):
            raise TemplateError(
                f"`{reference.text}` cannot be part of a path: it holds `..`",
                hint="a value must not lead out of a folder",
            )
        return value

    def _params(self, fields: dict[str, Any], job: dict[str, Any], index: int, owner: str) -> dict[str, Any]:
        """The parameters as the action's signature has them; reports whatever action, input and parameters lack."""
        keys = self._keys_of(index)
        try:
            params = mapping(fields.get("params"))
        except Mismatch as error:
            self.add("type", f"`params` {error.message}", (*keys, "params"))
            return {}
        if "action" in job and "run" in job:
            self.add(
                "value", f"{owner} has both `action` and `run`", (*keys, "run"), hint="keep one of them", at_key=True
            )
        elif "action" not in job and "run" not in job:
            self._miss_work(keys, owner)
        elif "run" in job and params:
            self.add(
                "value",
                f"{owner} has `params` but no action to take them",
                (*keys, "params"),
                hint="a command gets values through `env`",
                at_key=True,
            )
        elif "action" in fields:
            return self._against_signature(fields, job, params, keys, owner)
        return plain(params) if params else {}

    def _miss_work(self, keys: Keys, _owner: str) -> None:
        hint = "a job has an `action`, or a command to `run`"
        if "shell" in self._partly:
            hint = "`shell` says what runs the text; the text stands in `run`"
        self.miss(("action", "run"), f"{path_text(keys)} is missing `action`", keys, hint=hint)

    def _against_signature(
        self, fields: dict[str, Any], job: dict[str, Any], params: dict[str, Any], keys: Keys, owner: str
    ) -> dict[str, Any]:
        action: str = fields["action"]
        signature = self._signature(action)
        if signature is None:
            self._report_unknown_action(action, (*keys, "action"))
            return plain(params) if params else {}
        before = len(self.problems)
        if signature.input == "required" and job.get("input") is None:
            where = owner if self.typed else path_text(keys)
            self.miss(("input",), f"{where} is missing `input` (action `{action}` needs one)", keys)
        elif signature.input == "none" and job.get("input") is not None:
            self.add("value", f"action `{action}` takes no input", (*keys, "input"), hint="remove `input`", at_key=True)
        if "params" in job and "params" not in fields:
            return {}  # a reference in it is wrong, which was said already
        fitted, misfits = fit_params(signature, params)
        for misfit in misfits:
            at = (*keys, "params", *misfit.keys)
            self.add("params", misfit.message, at, hint=misfit.hint, at_key=misfit.at_key)
        if len(self.problems) == before:
            self._note_shape(signature, job)
        return fitted

    def _signature(self, action: str) -> Signature | None:
        if action not in self._signatures:
            self._signatures[action] = self._lookup(action)
        return self._signatures[action]

    def _report_unknown_action(self, action: str, keys: Keys) -> None:
        if action not in self._unknown_hints:
            known = list(self._names())
            self._unknown_hints[action] = did_you_mean(action, known) or "`joblot actions` lists the known ones"
        message = f"unknown action `{shorten(action)}`"
        if self._unknown == "skipped":
            message += ": the job will be skipped"
        severity = "error" if self._unknown == "error" else "warning"
        self.problems.append(Problem("unknown_action", message, keys, self._unknown_hints[action], severity=severity))

    def _note_shape(self, signature: Signature, job: dict[str, Any]) -> None:
        """Remember what was found right, if names and types alone decide it."""
        params = job.get("params") or {}
        decided = all(
            name in signature.parameters and type(value) in PLAIN and _types_decide(signature.parameters[name].type)
            for name, value in params.items()
        )
        if decided:
            shape = (signature.name, job.get("input") is None, *params, *map(type, params.values()))
            self._right_shapes.add(shape)

    def _resources(self, value: Any, keys: Keys) -> dict[str, float]:
        try:
            given = mapping(value)
        except Mismatch as error:
            self.add("type", f"`resources` {error.message}", keys)
            return {}
        found = {}
        for name, item in given.items():
            at = (*keys, name)
            if name not in ("cpu", "memory", *self._limits):
                if not name.startswith("x-"):
                    known = ["cpu", "memory", *self._limits]
                    hint = did_you_mean(name, known) or "name it under the batch's `limits`"
                    self.add("unknown_resource", f"unknown resource `{shorten(name)}`", at, hint=hint, at_key=True)
                continue
            read = self.read(size if name == "memory" else number(0, 1_000_000), item, at)
            if read is not MISSING and self._fits_limit(name, read, at):
                found[name] = read
        return found

    def _fits_limit(self, name: str, amount: float, keys: Keys) -> bool:
        if amount <= 0:
            self.add(
                "value", f"`{name}` must be more than 0, got {amount:g}", keys, hint="leave it out if none is needed"
            )
            return False
        most = count_of(self._limits[name]) if name in self._limits else amount
        if amount > most:
            message = f"`{name}` must be at most {most}, which is the batch's limit, got {amount:g}"
            self.add("value", message, keys, hint=f"raise `{name}` under `limits`")
            return False
        limit = self._limits.get(name, 0)
        if isinstance(limit, Limit) and limit.slots and limit is not UNREAD_LIMIT and amount % 1:
            message = f"`{name}` must be a whole number, got {amount:g}"
            self.add("value", message, keys, hint="its slots have names, and are held whole")
            return False
        return True

    def _spec(self, fields: dict[str, Any], deferred: bool, place: FilePosition | None) -> JobSpec:
        """The job with the batch's defaults merged in."""
        own = {SPEC_NAMES.get(name, name): value for name, value in fields.items()}
        if "retry" in own:
            merged = {**self._base_retry, **own["retry"]}
            own["retry"] = Retry(**merged) if merged else ONCE_ONLY
        for name in ("env", "resources"):
            if name in own and name in self._base:
                own[name] = {**self._base[name], **own[name]}
        if "env_file" in own and "env_file" in self._base:
            own["env_file"] = (*self._base["env_file"], *own["env_file"])
        # The batch's variables are filled in already and must not be read as templates again when the job's own are.
        if (deferred or "fan_out" in own) and "env" in self._base:
            own["env"] = {**template.protect(self._base["env"]), **fields.get("env", {})}
        if self._given:
            own["given"] = self._given
        if own.get("input") is not None and (patterns := self._patterns_in(self._job_input)):
            own |= {"patterns": patterns, "deferred": True}
            deferred = True
        if "needs" in fields and not fields["needs"]:
            own["needs_none"] = True
        if isinstance(own.get("if_"), str):
            own["if_not"], own["if_"] = negated(own["if_"])
        if self._is_final:  # how the run ended is what it asks, so the `when` of all others is not its own
            own = {"when": "always", "timeout_s": self._base.get("timeout_s", FINALLY_TIMEOUT_S), **own}
        return JobSpec(**{**self._base, **own, "deferred": deferred, "place": place})


def _is_pattern(text: str) -> bool:
    try:
        pieces = template.split(text)
    except TemplateError:
        return False  # reported when it is filled in
    return any(isinstance(piece, str) and has_wildcard(piece) for piece in pieces)


def entry_below(reference: Reference, other: str, name: str, entries: Mapping[str, Any]) -> TemplateError:
    """What is wrong with an entry `name` that refers to one that does not stand above it."""
    root, met, left = reference.root, {other}, [other]
    while left:  # what that one refers to, and so on
        for one in template.sound_references(entries[left.pop()]):
            further = one.parts[1] if one.root == root and len(one.parts) > 1 else ""
            if further in entries and further not in met:
                met.add(further)
                left.append(further)
    if other == name:
        return TemplateError(f"`{root}.{name}` refers to itself", hint="give it a value")
    if name in met:
        message = f"`{root}.{name}` and `{root}.{other}` refer to each other"
        return TemplateError(message, hint="give one of them a value")
    return TemplateError(f"`{root}.{other}` stands below `{name}`", hint=f"write `{other}` above it")


def negated(text: str) -> tuple[bool, str]:
    """Whether an `if` begins with `not`, and what follows."""
    text = text.strip()
    rest = text.removeprefix("not ")
    return rest != text, rest.strip()


def _probe_name(name: str) -> str:
    """The name with a letter for what an item gives: what remains must be fit for a name."""
    return "".join("x" if isinstance(piece, Reference) else piece for piece in template.split(name))


def _types_decide(kind: Any) -> bool:
    """Whether a plain value's type alone says if it fits an annotation."""
    if kind in PLAIN or kind is Any or kind is object or (isinstance(kind, type) and issubclass(kind, PurePath)):
        return True
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return all(_types_decide(member) for member in typing.get_args(kind))
    return False


def _as_written(value: Any) -> Any:
    """A value for a command as the plan stores it: what is written otherwise than Python writes it, such as `01.10`, is a text."""
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if isinstance(value, RawScalar):
        return value.value if template.as_text(value.value) == value.text else value.text
    return plain(value)


def _holds_opening(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if OPENING in item:
                return True
        elif isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return False


def _meets(name: str, need: str) -> bool:
    return name == need or (any(char in need for char in "*?[") and fnmatchcase(name, need))
