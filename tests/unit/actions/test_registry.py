# ruff: noqa: A006 - `input` is the word of the batch file
"""R19: actions live in a registry, and a new one needs no change in the runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from joblot.actions import registry
from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS, Action, Registry, import_modules
from joblot.errors import ActionError, UnknownActionError, UsageError

if TYPE_CHECKING:
    from decimal import Decimal


def other_registry() -> Registry:
    return Registry(entry_points=None)


def test_r19_r13_an_action_registered_at_run_time_is_found_described_and_run(tmp_path):
    """R19 R13: a decorator is all it takes."""
    actions = other_registry()

    @actions.action("shout", version="2")
    def shout(input: Path, *, times: int = 1, ctx: Context) -> dict:
        """Say it
        loudly.

        Not part of the summary.
        """
        return {"said": f"{input.name.upper()}{'!' * times}", "by": ctx.job}

    found = actions["shout"]
    assert found.call(tmp_path / "hello", {"times": 2}, Context.for_test(tmp_path)) == {"said": "HELLO!!", "by": "job"}
    assert (found.version, found.origin) == ("2", f"{__name__}:{shout.__qualname__}")
    signature = actions.signature("shout")
    assert (signature.input, signature.summary, signature.open) == ("required", "Say it loudly.", False)
    assert [(p.name, p.type, p.required, p.default) for p in signature.parameters.values()] == [
        ("times", int, False, 1)
    ]


def test_the_decorator_works_bare_called_and_named():
    actions = other_registry()

    @actions.action
    def one() -> int:
        return 1

    @actions.action()
    def two() -> int:
        return 2

    @actions.action("three")
    def drei() -> int:
        return 3

    assert [actions[name].call(None, {}) for name in ("one", "two", "three")] == [1, 2, 3]
    assert drei() == 3


def test_input_may_be_needed_optional_or_absent(tmp_path):
    actions = other_registry()
    actions["needed"] = Action("needed", lambda input: input)
    actions["optional"] = Action("optional", lambda input=None: input)
    actions["absent"] = Action("absent", lambda *, n: n)
    assert [actions.signature(name).input for name in ("needed", "optional", "absent")] == [
        "required",
        "optional",
        "none",
    ]
    assert actions["optional"].call(None, {}) is None
    assert actions["optional"].call("x", {}) == "x"
    assert actions["absent"].call(None, {"n": 3}) == 3


def test_annotations_that_cannot_be_evaluated_are_any_and_spoil_no_other():
    def load(*, amount: Decimal, count: Annotated[int, "how many"], rest: str | None = None, **more: str) -> None: ...

    signature = Action("load", load).signature
    assert {p.name: p.type for p in signature.parameters.values()} == {
        "amount": Any,
        "count": Annotated[int, "how many"],
        "rest": str | None,
    }
    assert signature.parameters["count"].doc == "how many"
    assert signature.open


LAZY = "def load(*, amount: Decimal, count: int, rest: list[Decimal] | None = None): ..."


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated where a function is defined")
def test_annotations_that_python_evaluates_when_asked_for_are_any_and_spoil_no_other():
    named: dict[str, Any] = {}
    exec(compile(LAZY, "lazy.py", "exec", dont_inherit=True), named)
    found = other_registry().action("load")(named["load"])
    signature = Action("load", found).signature
    assert [(p.name, p.type, p.required) for p in signature.parameters.values()] == [
        ("amount", Any, True),
        ("count", int, True),
        ("rest", Any, False),
    ]


def positional(input, count): ...


def starred(*paths): ...


def late(ctx, input): ...


async def asynchronous(): ...


def generating():
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (positional, "`positional` has the positional parameter `count`"),
        (starred, "`starred` has `*paths`: an action's parameters have names"),
        (late, "`late` has `input` as parameter 2: it is the first one"),
        (asynchronous, "`asynchronous` is `async`: an action is a plain function"),
        (generating, "`generating` is a generator: an action returns its result"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_where_it_is_registered(function, message):
    with pytest.raises(UsageError) as caught:
        other_registry().action(function)
    assert caught.value.message == f"{__file__}:{function.__code__.co_firstlineno}: {message}"


def test_a_builtin_without_a_signature_is_refused():
    with pytest.raises(UsageError, match=r"^`dict.update` does not tell its parameters: wrap it in a function$"):
        Action("update", dict.update)


def test_closures_with_defaults_are_fine():
    assert Action("late", lambda n=3: n).call(None, {}) == 3


def test_two_functions_of_one_name_are_an_error_that_names_both():
    actions = other_registry()

    @actions.action("load")
    def first() -> None: ...

    with pytest.raises(UsageError) as caught:

        @actions.action("load")
        def second() -> None: ...

    here = "test_two_functions_of_one_name_are_an_error_that_names_both.<locals>"
    line = first.__code__.co_firstlineno
    assert caught.value.message == (
        f"{__file__}:{line + 5}: `{here}.second` cannot be action `load`: {__file__}:{line}: `{here}.first` has that name"
    )
    assert caught.value.hint == 'give one of them another name: `@action("name")`'


def test_the_same_function_again_is_fine():
    actions = other_registry()
    actions.action("again")(positional_free)
    actions.action("again")(positional_free)
    assert actions["again"].call(None, {}) == 7


def positional_free() -> int:
    return 7


def test_the_name_of_a_built_in_is_taken_before_it_is_imported():
    with pytest.raises(
        UsageError,
        match=r"cannot be action `copy`: joblot itself has that name\nhint: give one of them another name: `@action\(.name.\)`$",
    ):
        Registry(entry_points=None).action("copy")(positional_free)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UnknownActionError) as caught:
        ACTIONS["count_line"]
    assert (caught.value.message, caught.value.hint) == ("unknown action `count_line`", "did you mean `count_lines`?")
    assert ACTIONS.signature("count_line") is None
    assert "count_line" not in ACTIONS


def test_it_is_a_mapping():
    actions = other_registry()
    assert sorted(actions) == sorted(registry.BUILT_IN)
    assert len(actions) == len(registry.BUILT_IN)
    actions["mine"] = Action("mine", positional_free)
    assert "mine" in actions
    del actions["mine"]
    assert "mine" not in actions
    with pytest.raises(UnknownActionError, match=r"^no action `mine` was registered$"):
        del actions["mine"]


def test_built_in_actions_all_have_a_signature_and_a_summary():
    for name in registry.BUILT_IN:
        signature = ACTIONS.signature(name)
        assert (signature.name, bool(signature.summary)) == (name, True)
    assert ACTIONS["shell"].command
    assert not ACTIONS["copy"].command


def test_built_in_actions_are_only_imported_when_asked_for():
    code = (
        "import sys; from joblot.actions.registry import ACTIONS; ACTIONS.get('copy'); loaded = set(sys.modules);"
        "print('joblot.actions.builtin.files' in loaded, loaded & {'joblot.actions.builtin.text', 'joblot.actions.builtin.words', 're2', 'importlib.metadata'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


def test_a_list_of_inputs_for_an_action_of_one_is_its_jobs_error():
    with pytest.raises(ActionError, match=r"^`count_lines` takes one input, not a list of 2$"):
        ACTIONS["count_lines"].call([Path("a"), Path("b")], {})


def test_r19_a_package_offers_actions_by_entry_points(tmp_path, monkeypatch):
    """R19: an installed package needs no `imports:`; it is imported only when its name is asked for."""
    (tmp_path / "offered_actions.py").write_text("def grow(*, n: int) -> int:\n    return n + 1\n")
    (tmp_path / "bad_actions.py").write_text("raise RuntimeError('no licence')\n")
    info = tmp_path / "offered-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[joblot.actions]\noffered.grow = offered_actions:grow\noffered.bad = bad_actions:x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    actions = Registry()
    assert {"offered.grow", "offered.bad"} <= set(actions.names())
    assert "offered_actions" not in sys.modules
    assert actions["offered.grow"].call(None, {"n": 1}) == 2
    with pytest.raises(UsageError) as caught:
        actions["offered.bad"]
    assert caught.value.message == (
        f"action `offered.bad` of package `offered`: {tmp_path / 'bad_actions.py'}:1: cannot be imported: RuntimeError: no licence"
    )


def test_a_file_of_actions_is_imported_once_under_a_name_of_its_own(tmp_path):
    file = tmp_path / "json.py"
    file.write_text(
        "from joblot.actions.registry import action\n@action('test.from_file')\ndef go() -> int:\n    return 5\n"
    )
    import_modules([str(file), str(file)])
    try:
        assert ACTIONS["test.from_file"].call(None, {}) == 5
        assert sys.modules["json"].__file__ != str(file)
    finally:
        del ACTIONS["test.from_file"]


@pytest.mark.parametrize(
    ("source", "line", "error"),
    [
        ("import os\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("x = (\n", 1, "SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
        (
            "import json\njson.loads('{')\n",
            2,
            "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("class Odd(BaseException): pass\nraise Odd\n", 2, "Odd"),
        ("import no_such_module_at_all\n", 1, "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    ],
)
def test_an_import_that_fails_is_one_line_with_file_line_and_error(tmp_path, source, line, error):
    file = tmp_path / "actions.py"
    file.write_text(source)
    with pytest.raises(UsageError) as caught:
        import_modules([str(file)])
    assert caught.value.message == f"{file}:{line}: cannot be imported: {error}"


def test_imports_that_do_not_exist(tmp_path):
    with pytest.raises(UsageError) as caught:
        import_modules([str(tmp_path / "none.py")])
    assert caught.value.message == f"{tmp_path / 'none.py'}: cannot be imported: no such file"
    with pytest.raises(UsageError) as caught:
        import_modules(["no_such.module"])
    assert caught.value.message == "no_such.module: cannot be imported: ModuleNotFoundError: No module named 'no_such'"


def test_ctrl_c_during_an_import_is_ctrl_c(tmp_path):
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        import_modules([str(tmp_path / "slow.py")])


# --- fused ----------------------------------------------------------------------------------------


def one(input: Path, *, profile: str = "quick", code: str): ...


def many(jobs, ctx): ...


def three(jobs, ctx, more): ...


def by_name(*, jobs, ctx): ...


async def at_once(jobs, ctx): ...


def test_r129_a_function_for_many_jobs_is_attached_to_the_action_for_one():
    registry = other_registry()
    registry.action("one")(one)
    assert registry.fused("one", on=("input", "profile"))(many) is many
    action = registry["one"]
    assert (action.function, action.fused, action.fuse_on) == (one, many, ("input", "profile"))
    assert registry.fuse_rules(["one", "copy", "nowhere"]) == {"one": {"input": None, "profile": "quick"}}


@pytest.mark.parametrize(
    ("function", "name", "on", "message"),
    [
        (many, "other", ("input",), "`many` is to fuse `other`, which is no action yet: register that first"),
        (many, "commands", ("code",), "`many` is to fuse `commands`, which returns commands: those cannot be fused"),
        (many, "one", ("input", "profil"), "`many`: `one` has no parameter `profil`"),
        (many, "inputless", ("input",), "`many`: `inputless` has no parameter `input`"),
        (many, "one", (), "`many`: `on` names nothing that jobs could agree in"),
        (three, "one", ("input",), "`three` must take two parameters: `def many(jobs, ctx)`"),
        (by_name, "one", ("input",), "`by_name` must take two parameters: `def many(jobs, ctx)`"),
        (at_once, "one", ("input",), "`at_once` is `async` or a generator: an action is a plain function"),
    ],
)
def test_what_cannot_be_fused_is_refused_where_it_is_registered(function, name, on, message):
    registry = other_registry()
    registry.action("one")(one)
    registry.action("commands", command=True)(lambda *, code: code)
    registry.action("inputless")(lambda *, code: code)
    with pytest.raises(UsageError) as caught:
        registry.fused(name, on=on)(function)
    assert caught.value.message == f"{__file__}:{function.__code__.co_firstlineno}: {message}"


def test_the_fused_actions_that_joblot_brings_along():
    rules = ACTIONS.fuse_rules(ACTIONS.names())
    ours = {name: rules[name] for name in ("count_lines", "search_pattern", "word_frequency")}
    assert ours == {
        "count_lines": {"input": None},
        "search_pattern": {"input": None},
        "word_frequency": {"input": None, "engine": "auto"},
    }


def test_tuning_names_parameters_of_the_action():
    registry = Registry({}, entry_points=None)
    with pytest.raises(
        UsageError, match=r"`load` has no parameter `thread`\nhint: did you mean `threads`\?$"
    ) as caught:

        @registry.action("load", tuning=("thread",))
        def load(*, threads: int = 1): ...

    assert caught.value.hint == "did you mean `threads`?"
    assert "load" not in registry
