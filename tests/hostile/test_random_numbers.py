"""Each attempt of a Python action draws numbers of its own, or with `seed` in the batch those of its job."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

STAND_IN = """
import random
_generator = random.Random(5)
seed = lambda words: _generator.seed(repr(words))
rand, get_state, set_state = _generator.random, _generator.getstate, _generator.setstate
"""
DRAW = {
    "random": ("import random", "random.random()"),
    "numpy": ("import numpy.random", "float(numpy.random.rand())"),
    "random, in the action": ("", "__import__('random').random()"),
    "numpy, in the action": ("", "float(__import__('numpy.random').random.rand())"),
}


@pytest.fixture(params=["stand-in", "numpy"])
def numpy(request: Any, hostile: Any) -> None:
    """The library, or a stand-in for its global generator where only that is needed."""
    if request.param == "numpy":
        pytest.importorskip("numpy", reason="joblot does without numpy; where it is installed it is tried too")
        return
    (hostile.folder / "lib" / "numpy" / "random").mkdir(parents=True)
    (hostile.folder / "lib" / "numpy" / "__init__.py").touch()
    (hostile.folder / "lib" / "numpy" / "random" / "__init__.py").write_text(STAND_IN)
    hostile.env["PYTHONPATH"] = f"{hostile.folder / 'lib'}:{hostile.env.get('PYTHONPATH', '')}"


def _drawn(hostile: Any, draw: str, *words: str, seed: str = "", jobs: str = "[1, 2, 3, 4]") -> dict[str, list[float]]:
    """By job, the numbers of its last attempt. The first attempt of each job fails."""
    module, number = DRAW[draw]
    (hostile.folder / "acts.py").write_text(f"""
{module}
import os
from joblot import action

@action("sample")
def sample(*, ctx):
    drawn = {number}
    with open("drawn", "a") as file:
        file.write(f"{{ctx.job}} {{drawn}}\\n")
    if ctx.attempt == 1:
        raise ValueError
""")
    hostile.yaml(f"""
        imports: [./acts.py]
        {seed}
        jobs: [{{name: "a${{{{ item }}}}", action: sample, retry: {{max_attempts: 2}}, foreach: {jobs}}}]
    """)
    # Not from the command server: what is loaded is what this is about.
    ended = hostile.end(hostile.start(sys.executable, "-m", "joblot", "run", "-q", "batch.yaml", *words))
    assert ended.code == 0, ended.err
    drawn: dict[str, list[float]] = {}
    for line in (hostile.folder / "drawn").read_text().splitlines():
        drawn.setdefault(line.split()[0], []).append(float(line.split()[1]))
    (hostile.folder / "drawn").unlink()
    return drawn


@pytest.mark.usefixtures("numpy")
@pytest.mark.parametrize(
    ("draw", "on"),
    [("numpy", ["--workers", "4"]), ("random, in the action", ["--workers", "4"]), ("numpy", ["--on", "inline"])],
)
def test_attempts_draw_numbers_of_their_own(hostile: Any, draw: str, on: list[str]) -> None:
    """The case: four workers, four times the same number."""
    numbers = [number for drawn in _drawn(hostile, draw, *on).values() for number in drawn]
    assert len(set(numbers)) == 8


@pytest.mark.usefixtures("numpy")
@pytest.mark.parametrize("draw", ["random", "numpy, in the action"])
def test_with_a_seed_a_run_can_be_repeated_exactly(hostile: Any, draw: str) -> None:
    """Whatever the workers, the attempts, the other jobs and how it is run: a job draws what it drew."""
    first = _drawn(hostile, draw, "--workers", "4", seed="seed: 7")
    assert {len(set(numbers)) for numbers in first.values()} == {1}
    assert len({numbers[0] for numbers in first.values()}) == 4
    assert _drawn(hostile, draw, "--on", "inline", seed="seed: 7") == first
    fewer = _drawn(hostile, draw, "--workers", "1", seed="seed: 7", jobs="[3, 1]")
    assert fewer == {job: first[job] for job in ("a1", "a3")}
    assert _drawn(hostile, draw, "--workers", "2", seed="seed: 8")["a1"] != first["a1"]


@pytest.mark.usefixtures("numpy")
def test_inline_leaves_the_callers_numbers_alone(hostile: Any) -> None:
    """A program that runs a batch in itself goes on drawing where it was."""
    report = hostile.batch("""
        import random, numpy.random
        options["on"] = "inline"
        def draw():
            return [random.random(), float(numpy.random.rand())]
        batch.add("a", draw)
        random.seed(1); numpy.random.seed([1])
        expected = draw() + draw()
        random.seed(1); numpy.random.seed([1])
        got = draw()
        batch.run(**options)
        assert got + draw() == expected
    """)
    assert report["status"] == "success"


def test_inline_leaves_no_generator_seeded_that_it_has_loaded(hostile: Any) -> None:
    """A program's own numbers do not begin where a job's ended, whether a job, or the program after it, is the first to load them."""
    program = """
        import sys
        from joblot import Batch
        before = list(sys.meta_path)
        for seed in (7, None):
            batch = Batch("b", seed=seed)
            for name in "ab":
                batch.add(name, lambda: __import__("random").random())
            assert batch.run(on="inline", state=False, run_id="r").ok
        assert sys.meta_path == before, sys.meta_path
        print(__import__("random").random())
    """
    drawn = [hostile.script(program) for _ in range(2)]
    assert [ended.code for ended in drawn] == [0, 0], drawn
    assert len({ended.out for ended in drawn}) == 2
    unseeded = program.replace("(7, None)", "(None,)")
    assert len({hostile.script(unseeded).out for _ in range(2)}) == 2


def test_another_seed_makes_outputs_anew(hostile: Any) -> None:
    """What was drawn with another seed is not up to date; a command does not ask."""
    (hostile.folder / "acts.py").write_text("""
import random
from joblot import action

@action("sample")
def sample(*, ctx):
    with ctx.output("a.txt") as part:
        part.write_text(str(random.random()))
""")
    for seed, states in ((7, ["success", "success"]), (7, ["cached", "cached"]), (8, ["success", "cached"])):
        hostile.yaml(f"""
            imports: [./acts.py]
            seed: {seed}
            jobs: [{{name: a, action: sample, outputs: [a.txt]}}, {{name: b, run: "echo > b.txt", outputs: [b.txt]}}]
        """)
        ended = hostile.joblot("run", "-q", "--json", "batch.yaml")
        assert [job["status"] for job in json.loads(ended.out)["results"]] == states
