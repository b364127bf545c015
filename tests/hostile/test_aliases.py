"""A few hundred bytes of YAML that stand for millions of values, wherever joblot reads YAML.

Work is counted in executed lines of Python, not in seconds: a walk over the values would take millions of them.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest

import joblot
from joblot import generate_files
from joblot.cluster.settings import read_settings
from joblot.errors import ConfigError, JoblotError
from joblot_sirene.jobs import jobfile, profiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = [f"a{number}" for number in range(40)]
TOO_MANY = "aliases expand to more than 2000000 values"
TOO_DEEP = "nested deeper than 64 levels"


def levels(first: str, level: str, count: int = 40) -> str:
    """A value that is named, and more of them, each of which names the one before it."""
    pairs = itertools.pairwise(NAMES[:count])
    return "\n".join(
        [f"a0: &a0 {first}", *(f"{name}: &{name} {level.format(*[before] * 10)}" for before, name in pairs)]
    )


LISTS = "[*{}, *{}, *{}, *{}, *{}, *{}, *{}, *{}, *{}, *{}]"
BOMBS = {
    "lists": (levels("[x, x, x, x, x, x, x, x, x, x]", LISTS), f"7:15: error: {TOO_MANY}"),
    "mappings": (levels("{k: v}", "{{k: *{}, l: *{}, m: *{}}}"), f"13:33: error: {TOO_MANY}"),
    "both": (levels("[x, x]", "{{k: [*{}, *{}], l: {{m: *{}, n: *{}}}}}"), f"11:21: error: {TOO_MANY}"),
    "long texts": (f"a: &a {'x' * (1 << 20)}\nb: [{', '.join(['*a'] * 200)}]", f"2:493: error: {TOO_MANY}"),
    "levels behind aliases": (levels("[[[[[[]]]]]]", "[[[[[[[[*{}]]]]]]]]"), f"9:17: error: {TOO_DEEP}"),
    "levels": ("a: " + "[" * 500, f"1:67: error: {TOO_DEEP}"),
}


def read_job_file(path: Path) -> None:
    jobfile.parse(path.read_text(), file=str(path))


def read_profiles(path: Path) -> None:
    profiles.load("quick", text=path.read_text(), file=str(path))


def read_template(path: Path) -> None:
    generate_files(path, [{}], folder=path.parent / "made", name="made.yaml", check=lambda _text, _file: [])


READERS: list[Callable[[Path], Any]] = [joblot.load, read_job_file, read_profiles, read_template, read_settings]


@pytest.fixture(autouse=True)
def _loaded(tmp_path):
    """What is imported at first use is no work of the reader's."""
    path = tmp_path / "plain.yaml"
    path.write_text("a: [1]\nb: 1\n")
    for reader in READERS:
        work_of(lambda reader=reader: reader(path))


def work_of(call: Callable[[], Any]) -> tuple[int, str]:
    """How many lines of Python a call executes, and what it refuses."""
    count, said = 0, ""

    def trace(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except JoblotError as error:
        said = "\n".join(found.head() for found in error.diagnostics) if isinstance(error, ConfigError) else str(error)
    finally:
        sys.settrace(before)
    return count, said


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("bomb", BOMBS)
def test_too_much_is_refused_before_anything_is_expanded(bomb, reader, tmp_path):
    text, said = BOMBS[bomb]
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    work, refused = work_of(lambda: reader(path))
    assert refused == f"{path}:{said}"
    assert work < 50_000


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_what_aliases_repeat_is_looked_at_once(reader, tmp_path):
    """1.2 million values are still taken; 60 of them are written."""
    path = tmp_path / "large.yaml"
    path.write_text(levels("[x, x, x, x, x, x, x, x, x, x]", LISTS, 6))
    work, refused = work_of(lambda: reader(path))
    assert bool(refused) is (reader is not read_template)
    assert TOO_MANY not in refused
    assert work < 50_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("filters: {naf_include: [69], created: {from: MANY}}", "`filters.created.from` must be a date such as `2020-01-31` or a year, not a list"),
        ("kpi_targets: {with_name: MANY}", "`checks`: expected `float`, got `array` (at `kpi_targets[...]`)"),
        ("dedupe: {keys: MANY}", "`dedupe.keys`: a list is not a column"),
        ("dedupe: {fuzzy: MANY}", "`dedupe.fuzzy` must be `true`, `false` or a likeness from 50 to 100, not a list"),
        ("scoring: {weights: {freshness: MANY}}", "`score`: expected `float`, got `array` (at `freshness`)"),
        ("output: {dir: MANY}", "`output.dir` must be a text, not a list"),
    ],
)  # fmt: skip
def test_a_job_file_says_of_such_a_value_no_more_than_that_it_is_a_list(body, message):
    """Where it hands values on as they are, they stay as small as they were written."""
    text = levels("[x, x, x, x, x, x, x, x, x, x]", LISTS, 5)
    body = body.replace("MANY", f"[{', '.join(['*a4'] * 9)}]")
    work, refused = work_of(lambda: jobfile.parse(f"niche: x\n{text}\n{body}\n", file="job.yaml"))
    assert message in refused
    assert work < 50_000


def test_merge_keys_are_refused_where_they_stand():
    with pytest.raises(JoblotError) as caught:
        jobfile.parse("niche: x\nfilters: &f {naf_include: [69.20Z]}\nprivacy:\n  <<: *f\n", file="job.yaml")
    assert str(caught.value) == "job.yaml:4:3: error: merge key `<<` is not part of YAML 1.2"
