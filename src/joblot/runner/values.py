"""The values of a job whose texts refer to its run or to results of its needs, filled in when they are known.

It reads a run's state and changes nothing.
"""

from __future__ import annotations

from os.path import exists, join, normpath
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from joblot.config.tree import describe
from joblot.core.model import STATES, slot_variable
from joblot.core.patterns import as_literal, as_paths, as_word
from joblot.core.references import OPENING, Joined, Reference, as_text, descend, fill, lookup, references, substitute
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from joblot.core.model import Held, JobSpec
    from joblot.core.plan import Plan


class Known(Protocol):
    """The states of jobs by number, the results of those that ended well, as JSON, and who was not selected."""

    states: bytearray
    results: dict[int, bytes]
    left_out: set[int]


class Values:
    """What references of one run stand for. `run_id` is what `run.id` gives."""

    def __init__(self, plan: Plan, state: Known, run_id: str) -> None:
        self._plan = plan
        self._state = state
        self._run = {"id": run_id, "date": plan.config.date}
        self._results: dict[int, Any] = {}
        self._told: set[str] = set()
        """Patterns of which it was told what they leave out."""
        self._as_it_was: set[int] = set()

    def of(
        self, job: int, warn: Callable[[str], None] = lambda _message: None, *, held: Held | None = None
    ) -> dict[str, Any]:
        """`params` and `env`, `input` where the job has one, and of its command the words, or what its references stand for (`given`).

        `warn` is told of files that a pattern leaves out. `held` are the slots that the attempt holds of limits whose slots have names; without
        an attempt references to these stay as they are.

        Raises:
            JoblotError: something that is referred to is not there.
            ValueError: a value cannot stand where it is wanted.
        """
        spec = self._plan.spec(job)
        scope = {"run": self._run, "jobs": _Results(self)}
        values: dict[str, Any] = {}
        entries: list[Any] = []
        if spec.patterns:
            entries = self._matched(job, spec, scope, warn)
            values["input"] = list(dict.fromkeys(path for entry in entries for path in as_paths(entry)))
        elif spec.input is not None:
            values["input"] = self._input(job, spec, scope)

        def resolve(reference: Reference) -> Any:
            if reference.root == "slots":
                return _slots(reference, held)
            return self._file_of(spec, entries, reference) if reference.root == "input" else lookup(reference, scope)

        def in_text(reference: Reference) -> Any:  # several slots are one word of a command, as programs want it: `0,1`
            found = resolve(reference)
            return as_text(found) if isinstance(found, Joined) else found

        values["params"] = fill(spec.params, resolve)
        values["env"] = {key: as_text(fill(value, in_text)) for key, value in spec.env.items()}
        if spec.run is not None:
            if isinstance(spec.run, str):
                given = fill(spec.given or {}, in_text)
                later = {one.text: one for one in references(spec.run) if one.text not in given}
                values["given"] = given | {name: in_text(reference) for name, reference in later.items()}
            else:
                filled = [fill(word, in_text) for word in spec.run]
                values["run"] = [
                    as_text(part) for word in filled for part in (word if isinstance(word, list) else [word])
                ]
        return values

    def _input(self, job: int, spec: JobSpec, scope: Mapping[str, Any]) -> Any:
        paths = substitute(spec.input, scope)
        if paths != spec.input:
            self._refuse_unneeded(job, paths)
        return paths

    def _matched(self, job: int, spec: JobSpec, scope: Mapping[str, Any], warn: Callable[[str], None]) -> list[Any]:
        """What each entry of an `input` with patterns stands for: a pattern the outputs of other jobs that match, else the files that there are."""
        from joblot.config.items import files_matching  # seldom needed, and it needs a lot

        found: list[Any] = []
        folder = self._plan.config.folder
        for at, entry in enumerate(spec.input if isinstance(spec.input, list) else [spec.input]):
            if at not in spec.patterns:
                paths = substitute(entry, scope)
                self._refuse_unneeded(job, paths)
                found.append(paths)
                continue
            pattern = fill(entry, lambda reference: as_literal(as_text(lookup(reference, scope))))
            made = self._plan.outputs_matching(job, pattern)
            others = [] if pattern in self._told else self._not_made(pattern, files_matching(pattern, folder))
            if made and others:
                self._told.add(pattern)
                warn(f"{spec.name}: {_left_out(others, pattern)}")
            if not made:
                self._refuse_unneeded(job, others)
            matches = made or others
            if not matches:
                raise ActionError(f"no file matches `{pattern}`", reason="missing_input")
            found.append(list(dict.fromkeys(matches)))
        return found

    def _not_made(self, pattern: str, found: list[str]) -> list[str]:
        folder = self._plan.config.folder
        made = {normpath(f"{folder}/{maker.path}") for maker in self._plan.makers.matching(pattern)}
        return [path for path in found if normpath(f"{folder}/{path}") not in made]

    def _file_of(self, spec: JobSpec, entries: list[Any], reference: Reference) -> Any:
        """What `input` stands for where its files are known only now."""
        # `[1]` is the second entry of a list, of a pattern all its files. Were it the second file, it would become another one whenever a pattern before it
        # matches more.
        folder, parts = self._plan.config.folder if spec.cwd else "", reference.parts[1:]
        words = [
            [as_word(path, folder) for path in entry] if isinstance(entry, list) else as_word(entry, folder)
            for entry in entries
        ]
        if not parts or not isinstance(spec.input, list):
            words = list(dict.fromkeys(word for entry in words for word in as_paths(entry)))
        return descend(reference, "input", parts, words)

    def _refuse_unneeded(self, job: int, job_input: Any) -> None:
        plan, left_out = self._plan, self._state.left_out
        maker = plan.unneeded_maker(job, job_input, left_out)
        if maker is None and plan.config.rules and plan.makers:  # a link may lead to what is made
            from joblot.runner.links import real_paths  # only where input is known while the run goes on

            maker = plan.unneeded_maker(job, real_paths(job_input, plan), left_out)
        if maker is not None:
            name, need = self._plan.name(job), self._plan.name(maker.job)
            message = f"input `{maker.path}` is made by job `{need}`, which `{name}` does not need (`needs: [{need}]`)"
            raise ActionError(message, reason="unneeded_input")

    def as_it_was(self, job: int) -> Iterator[str]:
        """What is to be told of input whose maker did not end well: what was there before is read. Of each maker once."""
        plan, state = self._plan, self._state
        spec = plan.spec(job)
        for need, path in plan.files_read(job).items():
            ended = STATES[state.states[need]]
            if (
                (need not in plan.needs[job] and job not in plan.finals)
                or need in state.left_out
                or need in self._as_it_was
                or ended in ("success", "cached")
            ):
                continue
            self._as_it_was.add(need)
            if exists(join(plan.config.folder, path)):  # noqa: PTH110, PTH118 - `Path.exists` raises where a name is too long
                yield f"{spec.name} reads `{path}` as it was: `{plan.name(need)}`, which makes it, ended as `{ended}`"

    def refuse_condition(self, job: int) -> None:
        """Make sure that the job's `if` is a truth value.

        Raises:
            JoblotError: it is not, or what it refers to is not there.
        """
        if self._plan.condition(job, self._state.results) is None:
            spec = self._plan.spec(job)
            value = substitute(spec.if_, {"jobs": _Results(self)}) if spec.deferred else spec.if_
            raise ActionError(f"`if` must be `true` or `false`, not {describe(value)}", reason="bad_reference")

    def source_of(self, job: int) -> Any:
        """The result that a growing job finds its items in.

        Raises:
            JoblotError: it is not there.
            ValueError: it has no such part.
        """
        fan = self._plan.spec(job).fan_out
        assert fan is not None, "BUG: not a fan-out"
        return substitute(fan.source, {"run": self._run, "jobs": _Results(self)})

    def knows(self, name: str) -> bool:
        """Whether the plan has a job of that name."""
        return self._plan.find(name) is not None

    def result_of(self, name: str) -> Any:
        """The result of an ended job.

        Raises:
            ActionError: it has none.
        """
        job = self._plan.find(name)
        if job is None or job not in self._state.results:
            state = "unknown" if job is None else STATES[self._state.states[job]]
            raise ActionError(f"job `{name}` has no result to refer to (it is {state})", reason="bad_reference")
        if job not in self._results:
            encoded = self._state.results[job]
            self._results[job] = msgspec.json.decode(encoded) if encoded else None
        return self._results[job]


def _slots(reference: Reference, held: Held | None) -> Any:
    """What a reference to slots stands for: the name of one, several with commas, or the reference itself where no attempt holds any."""
    if held is None:
        return f"{OPENING} {reference.text} }}}}"
    _, limit, *number = reference.parts
    slots = held[limit]
    if number:
        return slots[int(number[0])]
    return Joined(slots) if len(slots) > 1 else slots[0]


def with_slots(values: dict[str, Any] | None, env: Mapping[str, str], held: Held) -> dict[str, Any]:
    """The values of an attempt, with what it holds: by itself for Python, and as variables in its environment, which is `env` without values."""
    values = values or {}
    variables = {slot_variable(limit): as_text(Joined(slots)) for limit, slots in held.items()}
    return {**values, "env": {**values.get("env", env), **variables}, "slots": held}


def _left_out(paths: list[str], pattern: str) -> str:
    if len(paths) == 1:
        return f"`{paths[0]}` matches `{pattern}` and is left out: no job makes it"
    return f"`{paths[0]}` and {len(paths) - 1} more match `{pattern}` and are left out: no job makes them"


class _Results:
    """The `jobs` of a reference: `jobs.NAME.result...`, looked up when asked for."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.knows(name)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return {"result": self._values.result_of(name)}
