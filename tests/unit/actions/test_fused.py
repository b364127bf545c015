"""Actions that do many jobs in one call come to what they would come to for each job alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from joblot.actions.builtin import search
from joblot.actions.builtin.literals import plain
from joblot.actions.bundle import BundleContext
from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS
from joblot.errors import ActionError

pieces = st.sampled_from(
    [
        *"aAbB\u00e9 .*+?|^$()[]",
        "ab",
        "abc",
        r"\d",
        r"\.",
        r"\b",
        r"\A",
        r"\z",
        r"\Q",
        r"\E",
        "(?i)",
        "(?:",
        "[^a]",
        "x{2}",
        "\\",
    ]
)
patterns = st.lists(pieces, min_size=0, max_size=5).map("".join)
texts = st.lists(
    st.sampled_from(["a", "A", "b", "ab", "abc", "xx", " ", "\n", "\n\n", "\r\n", "\u00e9", "1"]), max_size=40
).map("".join)


def alone(name, input, params, folder):
    """What the action comes to for one job: its result, or its error."""
    try:
        return ACTIONS[name].call(input, params, Context.for_test(folder))
    except ActionError as error:
        return error.message, error.reason


def fused(name, input, jobs, folder):
    """What the fused action comes to for each job."""
    action = ACTIONS[name]
    given = {f"j{number}": {**action.defaults, **params} for number, params in enumerate(jobs)}
    ctx = BundleContext.for_test(folder, given, input)
    action.fused(ctx.jobs, ctx)
    assert ctx.open == []
    errors = {job: (error.message, error.reason) for job, error in ctx.errors.items()}
    return [(ctx.results | errors)[job] for job in given]


def same(name, input, jobs, folder):
    """Both forms come to the same."""
    found = fused(name, input, jobs, folder)
    assert found == [alone(name, input, params, folder) for params in jobs]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fused")


# --- search_pattern -------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    jobs=st.lists(st.fixed_dictionaries({"pattern": patterns}, optional={"ignore_case": st.booleans()}), max_size=8),
    text=texts,
)
@example(jobs=[{"pattern": r"\Qa"}, {"pattern": r"b\E"}, {"pattern": "b"}], text="a\nb")
@example(jobs=[{"pattern": "a*"}, {"pattern": ""}, {"pattern": "$"}], text="\n\nab\n")
@example(jobs=[{"pattern": "(?s)a.b"}, {"pattern": r"a\sb"}, {"pattern": "[^c]+"}], text="a\nb\nab")
@example(jobs=[{"pattern": "a"}, {"pattern": "(?i)a"}, {"pattern": "A", "ignore_case": True}], text="aA\nA\na")
def test_many_searches_find_what_each_would_find_alone(folder, jobs, text):
    """R10 R11 R129: wrong expressions, empty matches, ends of lines, upper and lower case."""
    file = folder / "searched.txt"
    file.write_bytes(text.encode())
    same("search_pattern", file, jobs, folder)


@pytest.fixture(params=[1, 3])
def processes(request, monkeypatch):
    monkeypatch.setattr(search, "cores", lambda: request.param)
    monkeypatch.setattr(search, "_FORK_BYTES", 0)
    return request.param


@pytest.mark.alone
def test_many_searches_in_a_file_of_many_blocks(folder, processes):
    """Rare and frequent, so that lines are looked at together and one by one; with one process and with several."""
    file = folder / "large.txt"
    file.write_text("".join(f"line {n} code={n % 97} {'ERROR' if n % 1009 == 0 else 'ok'}\n" for n in range(30_000)))
    jobs = [{"pattern": f"code={code} "} for code in range(97)] + [{"pattern": "ERROR|line 77"}, {"pattern": "o+k$"}]
    found = same("search_pattern", file, jobs, folder)
    assert found[1]["matching_lines"] == 310


@pytest.mark.alone
def test_an_error_in_the_last_block_is_that_of_a_single_search(folder, processes):
    file = folder / "bad end.txt"
    file.write_bytes(b"some text\n" * 30_000 + b"\xff\n")
    found = same("search_pattern", file, [{"pattern": "some"}, {"pattern": "text"}], folder)
    assert found[0] == ("not valid UTF-8 text: bad end.txt (byte 300000)", "bad_input")


@pytest.mark.alone
def test_a_process_that_dies_is_the_failure_of_the_call_and_not_of_the_jobs(folder, monkeypatch):
    monkeypatch.setattr(search, "cores", lambda: 2)
    monkeypatch.setattr(search, "_FORK_BYTES", 0)
    here = os.getpid()
    monkeypatch.setattr(search.LineSearches, "counts", lambda self: os.getpid() == here or os._exit(3))
    file = folder / "few.txt"
    file.write_text("aa\n")
    with pytest.raises(ActionError, match=r"^a process of the action ended early: status 3$"):
        fused("search_pattern", file, [{"pattern": "a"}, {"pattern": "b"}], folder)


def test_so_many_expressions_that_re2_does_not_take_them_together(folder):
    file = folder / "few.txt"
    file.write_text("abcd\nxyz\n")
    same("search_pattern", file, [{"pattern": f"[a-{chr(98 + n % 20)}]{{1000}}|x{n}|ab"} for n in range(30)], folder)


def test_a_set_that_runs_out_of_memory_loses_nothing(folder, monkeypatch):
    monkeypatch.setattr(re2.Set, "Match", lambda self, text: None)
    file = folder / "few.txt"
    file.write_text("abcd\nxyz\n")
    found = same("search_pattern", file, [{"pattern": "b"}, {"pattern": "z|d"}], folder)
    assert [one["matches"] for one in found] == [1, 2]


def test_equal_expressions_are_counted_once_and_told_to_each(folder):
    file = folder / "few.txt"
    file.write_text("aa\n")
    found = same("search_pattern", file, [{"pattern": "a"}, {"pattern": "a"}, {"pattern": "(?:a)"}], folder)
    assert [one["matches"] for one in found] == [2, 2, 2]


@pytest.mark.parametrize("name", ["search_pattern", "count_lines", "word_frequency"])
@pytest.mark.parametrize("content", [None, b"ok\n\xff\n", b""])
def test_an_input_that_cannot_be_used_is_the_failure_of_each_job(folder, name, content):
    """R14 R28"""
    file = folder / "input.txt"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    jobs = {
        "search_pattern": [{"pattern": "a"}, {"pattern": "("}, {"pattern": "b"}],
        "count_lines": [{}, {"pattern": "a"}, {"pattern": "a\nb"}],
        "word_frequency": [{}, {"top_n": 1}, {"top_n": -1}],
    }
    same(name, file, jobs[name], folder)


def test_a_bundle_of_nothing_but_wrong_expressions_reads_nothing(folder):
    found = fused("search_pattern", folder / "not there", [{"pattern": "("}, {"pattern": "["}], folder)
    assert [reason for _, reason in found] == ["bad_pattern", "bad_pattern"]


# --- count_lines and word_frequency -----------------------------------------------------------------


@settings(deadline=None)
@given(
    jobs=st.lists(st.fixed_dictionaries({}, optional={"pattern": texts.map(lambda text: text[:3])}), max_size=6),
    text=texts,
)
def test_many_counts_of_lines_are_what_each_would_be_alone(folder, jobs, text):
    file = folder / "counted.txt"
    file.write_bytes(text.encode())
    same("count_lines", file, jobs, folder)


@settings(deadline=None, max_examples=30)
@given(jobs=st.lists(st.fixed_dictionaries({}, optional={"top_n": st.integers(-1, 5)}), max_size=5), text=texts)
def test_many_counts_of_words_are_what_each_would_be_alone(folder, jobs, text):
    file = folder / "words.txt"
    file.write_bytes(text.encode())
    same("word_frequency", file, jobs, folder)


# --- plain texts ----------------------------------------------------------------------------------


@given(pattern=patterns)
@example(pattern=r"a\.b")
@example(pattern="^a")
@example(pattern=r"\b")
def test_a_plain_text_is_what_its_expression_matches_and_nothing_else(pattern):
    text = plain(pattern)
    if text is None:
        return
    assert re.fullmatch(pattern.encode(), text) is not None
    assert text.decode() in (pattern, re.sub(r"\\(.)", r"\1", pattern))


@pytest.mark.parametrize(
    ("pattern", "text"), [("abc", b"abc"), (r"a\.b", b"a.b"), ("a.b", None), ("", None), ("a\nb", None), (r"a\d", None)]
)
def test_what_is_a_plain_text(pattern, text):
    assert plain(pattern) == text


# --- the context ----------------------------------------------------------------------------------


def test_a_context_for_tests_keeps_what_was_said():
    ctx = BundleContext.for_test(Path("/x"), {"a": {"n": 1}, "b": {"n": 2}}, Path("/x/in"))
    first, second = ctx.jobs
    assert (first.name, first.input, first.params, first.attempt) == ("a", Path("/x/in"), {"n": 1}, 1)
    ctx.done(first, 1)
    assert ctx.open == [second]
    ctx.failed(second, "no")
    assert (ctx.results, str(ctx.errors["b"])) == ({"a": 1}, "no")
    with pytest.raises(ActionError, match="it was said twice how job `a` ended"):
        ctx.failed(first, "no")
