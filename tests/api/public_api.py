"""The public API as a user's program sees it: checked by mypy --strict, and run by `tests/unit/test_public_api.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import joblot
from joblot import (
    ActionError,
    Batch,
    BundleContext,
    ConfigError,
    Context,
    CyclicDependencyError,
    Document,
    FusedJob,
    Report,
    RunLogger,
    action,
    atomic_write,
    fused,
    reason_of,
)


@action("public.shout")
def shout(input: Path, *, times: int = 1, ctx: Context) -> dict[str, int]:
    """Count the characters of a file, some times over."""
    text = input.read_text(encoding="utf-8")
    if not text:
        raise ActionError("nothing to shout", reason="empty")
    ctx.log("shouting", size=len(text))
    with ctx.output("shouted.txt") as part:
        part.write_text(text.upper() * times, encoding="utf-8")
    return {"size": len(text) * times}


@fused("public.shout", on=("input", "times"))
def shout_together(jobs: Sequence[FusedJob], ctx: BundleContext) -> None:
    """The same for many jobs."""
    for job in jobs:
        try:
            ctx.done(job, shout(job.input, times=job.params["times"], ctx=job.ctx))
        except ActionError as error:
            ctx.failed(job, error)


def build(folder: Path) -> Batch:
    """A batch with all kinds of jobs."""
    batch = Batch("public", folder=folder, env={"GREETING": "hello"}, limits={"db": 1}, max_workers=2)

    @batch.job(max_attempts=2, delay="10ms", timeout="30s")
    def first() -> dict[str, int]:
        return {"answer": 42}

    @batch.job("second", needs=[first], tags=["last"])
    def _second(ctx: Context) -> str:
        return f"{ctx.job} {ctx.attempt}"

    batch.add("third", "public.shout", input="in.txt", params={"times": 2}, needs=["first"], resources={"db": 1})
    batch.command("fourth", "echo $GREETING; echo said=$GREETING > $JOBLOT_OUTPUT", needs=["s*"])
    return batch


def run_it(folder: Path) -> Report:
    """Run it and look at the report."""
    report: Report = build(folder).run(on="inline", state=folder / "state")
    assert report.ok, report.to_json()
    assert report.jobs["first"].result == {"answer": 42}
    assert report.jobs["second"].result == "second 1"
    assert report.jobs["third"].result == {"size": 10}
    assert report.jobs["fourth"].result == {"said": "hello"}
    assert [job.name for job in report.failed] == []
    report.check()
    report.write(folder / "report.json")
    return report


def refuse() -> tuple[str, str]:
    """What a wrong batch raises."""
    batch = Batch("wrong")
    batch.command("a", "true", needs=["b"])
    try:
        batch.plan()
    except ConfigError as error:
        unknown = str(error)
    batch.command("b", "true", needs=["a"])
    try:
        batch.plan()
    except CyclicDependencyError as error:
        cycle = " -> ".join(error.cycle)
    return unknown, cycle


def read_codes(text: str) -> list[str]:
    """A file of a package's own: plain data, what was typed, and everything that is wrong at once."""
    document = Document.parse(text, file="codes.yaml", format="yaml")
    found: list[str] = []
    for number, _ in enumerate(document.data["codes"]):
        code: str | None = document.written(("codes", number))
        if code is None:
            document.add_problem(("codes", number), "a code is a text", hint="such as `01.10`", code="type")
        else:
            found.append(code)
    document.raise_problems()
    return found


def log_something(path: Path) -> dict[str, object]:
    """The logger as a context manager."""
    with RunLogger("demo", log=path) as logger:
        logger.log_event("thing_done", {"n": 1})
        logger.log_warning("careful", n=2)
    return dict(logger.summary or {})


def write_down(path: Path, text: str) -> str:
    """A file that is whole or absent, and what is in the way of it."""
    try:
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        return reason_of(error)
    return ""


VERSION: str = joblot.__version__
