"""Profiles: which steps a dataset goes through, as data that a user can copy and change.

A profile is a description and a list of steps with parameters (`data/profiles.yaml`). What cannot be left out is no step: the
`pipeline` applies the privacy policy and the filters on legal units itself. Nothing here runs a step.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import ConfigError, Diagnostic, Document
from joblot_sirene.fields import CODE, Fields, did_you_mean, quoted
from joblot_sirene.steps import parameters as parameters_of_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Keys = tuple[str | int, ...]

NAMES: Final = ("quick", "standard", "deep")
"""The profiles that are shipped."""
FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "quality": "quality.json and quality.md: what the steps found",
        "places": "places.geojson: the located rows",
        "page": "report.html: the same for people, with pictures",
    }
)
"""What a package may hold beside the dataset, its manifest, its data dictionary, its checksums and its log."""

STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "units": "join names, legal form and category from the file of legal units",
        "normalise": "types, zeros, one address line, one name, real dates, department and region",
        "identifiers": "check SIREN and SIRET (La Poste included), compute VAT numbers",
        "duplicates": "number repeats, drop rows that repeat a SIRET",
        "likeness": "flag establishments of a commune whose name and address look alike",
        "labels": "labels of activities, sections, legal forms, headcounts, departments; age",
        "coordinates": "longitude and latitude, places outside their territory, counts by commune",
        "comparison": "what changed since an earlier dataset",
        "history": "openings and closings per year",
        "checks": "count what is missing or doubtful, hold it against the targets",
        "score": "a score for each row by weights",
    }
)
"""What each step does, in their usual order. A step is the function `run` of the module of its name."""
BEFORE_NORMALISE: Final = ("units", "normalise")
"""Steps that look at the register's own columns. Every other one needs those that `normalise` makes, so it comes after it."""


class StepCall(msgspec.Struct, frozen=True):
    """A step of a profile and its parameters (its module's own struct)."""

    name: str
    parameters: Any

    @property
    def purpose(self) -> str:
        """What the step does, in one line."""
        return STEPS[self.name]


class Profile(msgspec.Struct, frozen=True):
    """What is done to a dataset, in order, and which files (keys of `FILES`) are made beside it."""

    name: str
    description: str
    steps: tuple[StepCall, ...]
    files: tuple[str, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether the dataset is compared with an earlier one."""
        return any(call.name == "comparison" for call in self.steps)

    def explain(self) -> list[str]:
        """One line a step: its name, what it does, its parameters that are not the default; then the files beside the dataset."""
        steps = [
            f"{number}. {call.name}: {call.purpose}{_non_defaults(call.parameters)}"
            for number, call in enumerate(self.steps, 1)
        ]
        return steps + [f"-  {FILES[name]}" for name in self.files]


def load(name: str, *, text: str | None = None, file: str = "") -> Profile:
    """A profile by its name, from the shipped file or from the text of a user's own.

    Raises:
        ConfigError: there is no such profile, or something in it is wrong.
    """
    document = Document.parse(shipped() if text is None else text, file=file)
    if not isinstance(document.data, dict):
        document.add_problem((), "a file of profiles is a mapping of names to profiles", code=CODE)
        document.raise_problems()
    elif name not in document.data:
        hint = did_you_mean(name, document.data) or f"profiles: {', '.join(map(quoted, document.data))}"
        about = document if text is not None else Document(None)  # no user can mend the shipped file
        about.add_problem((), f"there is no profile {quoted(name)}", hint=hint, code=CODE)
        about.raise_problems()
    fields = Fields(document, name)
    profile = Profile(name, fields.text("description", "") or "", _steps(fields), _files(fields))
    fields.finish()
    document.raise_problems()
    return profile


def shipped() -> str:
    """The text of the file of profiles, for a user to copy."""
    from importlib.resources import files

    return (files("joblot_sirene") / "data" / "profiles.yaml").read_text(encoding="utf-8")


def with_parameters(profile: Profile, changes: Mapping[str, Mapping[str, Any]]) -> Profile:
    """The profile with other parameters of some of its steps, such as a job's own weights, keys or targets.

    Raises:
        ConfigError: a step that the profile does not have, or a wrong parameter.
    """
    for step in changes:
        if step not in {call.name for call in profile.steps}:
            message = f"the profile `{profile.name}` has no step `{step}`"
            hint = f"steps: {', '.join(call.name for call in profile.steps)}"
            raise ConfigError([Diagnostic(CODE, message, step, hint=hint)])
    document = Document(dict(changes))
    steps = tuple(
        StepCall(
            call.name,
            _convert(document, (), call.name, {**msgspec.to_builtins(call.parameters), **changes[call.name]}),
        )
        if call.name in changes
        else call
        for call in profile.steps
    )
    document.raise_problems()
    return msgspec.structs.replace(profile, steps=steps)


def with_steps(
    profile: Profile, *, order: Sequence[str] | None = None, add: Sequence[str] = (), likeness: bool | None = None
) -> Profile:
    """The profile with other steps: only those of `order`, in that order; those of `add`, where they are usual, when it lacks them.

    `likeness` says whether establishments that look alike are looked for; None leaves it as it is.

    Raises:
        ConfigError: a step of `order` is unknown, there twice, or before the step that it needs.
    """
    calls = {call.name: call for call in profile.steps}
    # `order` is checked like a list in a file of profiles, so that the same mistakes have the same messages
    names = {*calls, *add}
    if likeness:
        names.add("likeness")
    elif likeness is False:
        names.discard("likeness")
    document = Document({"steps_order": {"steps": list(order) if order else sorted(names, key=list(STEPS).index)}})
    checked = _steps(Fields(document, "steps_order"))
    document.raise_problems()
    return msgspec.structs.replace(profile, steps=tuple(calls.get(call.name, call) for call in checked))


def _steps(fields: Fields) -> tuple[StepCall, ...]:
    items = fields.raw("steps")
    if not isinstance(items, list) or not items:
        fields.add_problem("steps", f"`{fields.path[0]}.steps` must be a list of steps")
        return ()
    calls: list[StepCall] = []
    for number, item in enumerate(items):
        call = _step(fields.document, (*fields.path, "steps", number), item, [call.name for call in calls])
        if call is not None:
            calls.append(call)
    return tuple(calls)


def _files(fields: Fields) -> tuple[str, ...]:
    return fields.texts("files", lambda name: name if name in FILES else None, f"one of {', '.join(FILES)}")


def _step(document: Document, keys: Keys, item: Any, before: list[str]) -> StepCall | None:
    name, parameters = _name_and_parameters(item)
    hint = ""
    # one problem for each step: of its name, then of its position, then of its parameters
    if not name:
        message = f"a step is a name, or a name with parameters, not {quoted(item)}"
    elif name not in STEPS:
        message, hint = f"unknown step {quoted(name)}", did_you_mean(name, STEPS) or f"steps: {', '.join(STEPS)}"
    elif name in before:
        message, hint = f"the step `{name}` is there twice", "keep one of them"
    elif name not in BEFORE_NORMALISE and "normalise" not in before:
        message = f"the step `{name}` must come after `normalise`"
    elif name == "units" and before:
        message, hint = "the step `units` must come first", "whether somebody may be shown depends on it"
    else:
        converted = _convert(document, keys, name, parameters or {})
        return None if converted is None else StepCall(name, converted)
    document.add_problem(keys, message, hint=hint, code=CODE)
    return None


def _name_and_parameters(item: Any) -> tuple[str, Any]:
    if isinstance(item, dict) and len(item) == 1:
        return next(iter(item.items()))
    return (item, {}) if isinstance(item, str) else ("", {})


def _convert(document: Document, keys: Keys, name: str, parameters: Any) -> Any:
    struct = getattr(parameters_of_steps, name.capitalize())
    known = struct.__struct_fields__
    hint = ""
    # msgspec refuses unknown parameters too, but it does not name the nearest known one
    if not isinstance(parameters, dict):
        message = f"parameters of `{name}` must be a mapping, not {quoted(parameters)}"
    elif (unknown := next((key for key in parameters if key not in known), None)) is not None:
        message = f"`{name}` has no parameter {quoted(unknown)}"
        hint = did_you_mean(unknown, known) or (f"parameters: {', '.join(known)}" if known else "")
    else:
        try:
            return msgspec.convert(parameters, struct)
        except msgspec.ValidationError as error:
            message = f"`{name}`: {_reworded(str(error))}"
    document.add_problem((*keys, name), message, hint=hint, code=CODE, at_key=True)
    return None


def _reworded(text: str) -> str:
    """A message of msgspec in the form of ours: lower case, the path in backticks."""
    message, _, path = text.partition(" - at `$")
    message = message[:1].lower() + message[1:]
    return f"{message} (at `{path.rstrip('`').lstrip('.')}`)" if path.rstrip("`") else message


def _non_defaults(parameters: Any) -> str:
    default = msgspec.to_builtins(type(parameters)())
    changed = {key: value for key, value in msgspec.to_builtins(parameters).items() if value != default[key]}
    return f" ({', '.join(f'{key}: {_in_words(value)}' for key, value in changed.items())})" if changed else ""


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
