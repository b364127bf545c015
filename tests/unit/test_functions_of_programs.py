"""Functions that a program makes jobs: their parameters come by name, and what cannot be called is refused before anything runs."""

import functools
import gc
import weakref

import pytest

from joblot import Batch
from joblot.errors import ConfigError


def clean(path):
    return f"cleaned {path}"


def two(path, *, size):
    return [path, size]


def with_input(input):
    return str(input)


def positional(path, /):
    return path


def starred(*paths):
    return paths


async def asynchronous(path):
    return path


class Cleaner:
    def clean(self, path, deep=False):
        return [path, deep]

    def __call__(self, path):
        return path


def needs(function, name):
    return f"{where(function)} needs the parameter `{name}`", f'give it: `params={{"{name}": ...}}`'


def where(function):
    return f"{__file__}:{function.__code__.co_firstlineno}: `{function.__qualname__}`"


nameless = lambda path: path  # noqa: E731
CANNOT = [
    (clean, {}, [needs(clean, "path")]),
    (nameless, {}, [needs(nameless, "path")]),
    (Cleaner().clean, {}, [needs(Cleaner.clean, "path")]),
    (two, {}, [needs(two, "path"), needs(two, "size")]),
    (two, {"path": 1, "sise": 2}, [needs(two, "size"), (f"{where(two)} has no parameter `sise`", "did you mean `size`?")]),
    (clean, {"path": 1, "deep": True}, [(f"{where(clean)} has no parameter `deep`", "it takes `path`")]),
    (lambda: 1, {"a": 1}, [(None, "it takes none")]),
    (with_input, {}, [(f"{where(with_input)} needs an `input`", "give it: `input=...`")]),
    (positional, {"path": 1}, [(f"{where(positional)} has the positional parameter `path`", "put `*` before the parameters: `def action(input, *, name, ctx)`")]),
    (starred, {}, [(f"{where(starred)} has `*paths`: an action's parameters have names", "")]),
    (asynchronous, {"path": 1}, [(f"{where(asynchronous)} is `async`: an action is a plain function", "call `asyncio.run` in a plain function")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "params", "expected"), CANNOT, ids=lambda value: getattr(value, "__qualname__", "")
)
@pytest.mark.parametrize("way", ["run", "plan"])
def test_a_function_that_cannot_be_called_is_refused_before_anything_runs(tmp_path, function, params, expected, way):
    """It failed at run time, after other work."""
    ran = tmp_path / "ran"
    batch = Batch("b", folder=tmp_path)
    batch.add("first", ran.touch)
    batch.add("j", function, params=params, needs=["first"])
    with pytest.raises(ConfigError) as caught:
        batch.run(on="inline", state=tmp_path / "state") if way == "run" else batch.plan()
    found = [(one.message.removeprefix("job `j`: "), one.hint) for one in caught.value.diagnostics]
    assert found == [(message or found[number][0], hint) for number, (message, hint) in enumerate(expected)]
    assert not ran.exists()


def test_all_functions_that_cannot_be_called_are_told_at_once(tmp_path):
    batch = Batch("b", folder=tmp_path)
    for number in range(3):
        batch.add(f"j{number}", clean)
    with pytest.raises(ConfigError) as caught:
        batch.config()
    assert [one.message.partition(":")[0] for one in caught.value.diagnostics] == ["job `j0`", "job `j1`", "job `j2`"]


@pytest.mark.parametrize(
    ("function", "params", "result"),
    [
        (clean, {"path": "x"}, "cleaned x"),
        (lambda path: path, {"path": 1}, 1),
        (Cleaner().clean, {"path": "x"}, ["x", False]),
        (Cleaner(), {"path": "x"}, "x"),
        (functools.partial(two, "x"), {"size": 2}, ["x", 2]),
        (functools.partial(clean, "x"), {}, "cleaned x"),
        (lambda **given: given, {"a": 1}, {"a": 1}),
        (lambda path="y", ctx=None: [path, ctx.job], {}, ["y", "j"]),
    ],
)
@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
def test_parameters_in_a_position_are_given_by_name(tmp_path, function, params, result, on):
    batch = Batch("b", folder=tmp_path)
    batch.add("j", function, params=params)
    report = batch.run(on=on, state=tmp_path / "state")
    assert (report.status, report.jobs["j"].result) == ("success", result)


@pytest.mark.parametrize("settings", [{}, {"seed": 1}], ids=["unseeded", "seeded"])
def test_what_a_run_was_made_of_is_gone_with_it(settings, tmp_path):
    """Without a search for garbage: a program that runs many batches does not keep them."""

    def job():
        return 1

    batch = Batch("b", folder=tmp_path, **settings)
    batch.add("job", job)
    gone = weakref.ref(job)
    del job
    gc.collect()
    gc.disable()
    try:
        batch.run(on="inline", state=tmp_path / "state")
        del batch
        assert gone() is None
    finally:
        gc.enable()
