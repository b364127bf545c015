"""The values of a job whose texts refer to its run or to results of its needs, filled in when they are known.

It reads a run's state and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from joblot.core.model import STATES
from joblot.core.references import as_text, lookup, references, substitute
from joblot.errors import ActionError

if TYPE_CHECKING:
    from joblot.core.plan import Plan
    from joblot.core.runstate import RunState


class Values:
    """What references of one run stand for. `run_id` is what `run.id` gives."""

    def __init__(self, plan: Plan, state: RunState, run_id: str) -> None:
        self._plan = plan
        self._state = state
        self._run_id = run_id
        self._results: dict[int, Any] = {}

    def of(self, job: int) -> dict[str, Any]:
        """`params` and `env`, `input` where the job has one, and of its command the words, or what its references stand for (`given`).

        Raises:
            JoblotError: something that is referred to is not there.
            ValueError: a value cannot stand where it is wanted.
        """
        spec = self._plan.spec(job)
        scope = {"run": {"id": self._run_id}, "jobs": _Results(self)}
        values: dict[str, Any] = {
            "params": substitute(spec.params, scope),
            "env": {key: as_text(substitute(value, scope)) for key, value in spec.env.items()},
        }
        if spec.input is not None:
            values["input"] = substitute(spec.input, scope)
            if values["input"] != spec.input:
                self._refuse_unneeded(job, values["input"])
        if spec.run is not None:
            if isinstance(spec.run, str):
                given = substitute(spec.given or {}, scope)
                later = {one.text: one for one in references(spec.run) if one.text not in given}
                values["given"] = given | {name: lookup(reference, scope) for name, reference in later.items()}
            else:
                values["run"] = [as_text(substitute(word, scope)) for word in spec.run]
        return values

    def _refuse_unneeded(self, job: int, job_input: Any) -> None:
        maker = self._plan.unneeded_maker(job, job_input)
        if maker is not None:
            name, need = self._plan.name(job), self._plan.name(maker.job)
            message = f"input `{maker.path}` is made by job `{need}`, which `{name}` does not need (`needs: [{need}]`)"
            raise ActionError(message, reason="unneeded_input")

    def source_of(self, job: int) -> Any:
        """The result that a growing job finds its items in.

        Raises:
            JoblotError: it is not there.
            ValueError: it has no such part.
        """
        fan = self._plan.spec(job).fan_out
        assert fan is not None, "BUG: not a fan-out"
        return substitute(fan.source, {"run": {"id": self._run_id}, "jobs": _Results(self)})

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


class _Results:
    """The `jobs` of a reference: `jobs.NAME.result...`, looked up when asked for."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.knows(name)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return {"result": self._values.result_of(name)}
