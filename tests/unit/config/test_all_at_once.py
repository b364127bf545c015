"""Every error of a batch is told in one run: no stage of the check hides what another would find.

One error of each stage stands alone, then beside every other, in one file, in one job, in two files and in a batch made in Python.
"""

import re

import pytest

import joblot
from joblot.actions.registry import ACTIONS
from joblot.config.load import load_text
from joblot.core.plan import expand
from joblot.errors import ConfigError

_NUMBERS = re.compile(r"(?<=line )\d+|(?<=jobs\[)\d+")
HUGE = "9" * 30

# Lines of the batch; jobs are written with `J` for a name of their own.
PIECES = {
    "a number too large": f"seed: {HUGE}",
    "a control character": 'env: {A: "\\u0001"}',
    "a control character in a key": 'x-note: {"\\u0001": 1}',
    "an infinite number": "x-far: .inf",
    "an unknown field of the batch": "nmae: x",
    "a wrong type": "fail_fast: 3",
    "a wrong value": "durability: most",
    "a key twice": "timeout: 1h\ntimeout: 2h",
    "a wrong default": "defaults: {tiemout: 3}",
    "a wrong limit": "limits: {cpu: 2}",
    "a module that is not there": "imports: [no_such_module_here]",
    "a wrong variable": "vars: {day: {type: dat}}",
    "an unknown field of a job": "- {name: J, run: x, retrys: 3}",
    "a wrong field of a job": "- {name: J, run: x, priority: high}",
    "no name": "- {run: x}",
    "neither action nor command": "- {name: J}",
    "no mapping": "- 3",
    "a wrong name": '- {name: "J?", run: x}',
    "a name twice": "- {name: J, run: x}\n- {name: J, run: x}",
    "a control character in a job": '- {name: J, run: "\\u0001"}',
    "a large number in a job": f"- {{name: J, action: copy, input: a, params: {{to: {HUGE}}}}}",
    "an unknown action": "- {name: J, action: cuont_lines, input: a}",
    "an unknown parameter": "- {name: J, action: count_lines, input: a, params: {patern: x}}",
    "a wrong parameter": "- {name: J, action: word_frequency, input: a, params: {top_n: many}}",
    "a missing input": "- {name: J, action: count_lines}",
    "no items": "- {name: 'J-${{ matrix.a }}', run: x, matrix: 3}",
    "a file of items that is not there": "- {name: 'J-${{ item }}', run: x, foreach: no.csv}",
    "an unknown column": "- {name: 'J-${{ matrix.a }}', run: 'x ${{ matrix.b }}', matrix: {a: [1]}}",
    "names of items that are the same": "- {name: 'J-${{ matrix.a }}', run: x, matrix: {a: [1, 1]}}",
    "an unknown reference": "- {name: J, run: 'x ${{ vars.nope }}'}",
    "a result of no job": "- {name: J, run: 'x ${{ jobs.nope.result.x }}'}",
    "a value where it is not safe": "- {name: J, run: 'x `${{ batch.folder }}'}",
    "an unknown need": "- {name: J, run: x, needs: [nope]}",
    "a need of itself": "- {name: J, run: x, needs: [J]}",
    "a cycle": "- {name: J1, run: x, needs: [J2]}\n- {name: J2, run: x, needs: [J1]}",
    "an output twice": "- {name: J1, run: x, outputs: [J.txt]}\n- {name: J2, run: x, outputs: [J.txt]}",
    "an output that cannot be": "- {name: J, run: x, outputs: ['*.csv']}",
}  # fmt: skip


def batch_of(*pieces):
    top = [piece for piece in pieces if not piece.startswith("-")]
    jobs = [piece for piece in pieces if piece.startswith("-")]
    lines = "\n".join(piece.replace("J", f"j{number}") for number, piece in enumerate(jobs)).replace("\n", "\n  ")
    return "\n".join([*top, f"jobs:\n  {lines}" if jobs else "jobs: []", ""])


def importer(modules, folder):
    from joblot.actions.registry import import_modules

    import_modules(modules, folder)


def told(text, tmp_path):
    """What is said of a batch, without the numbers of lines and jobs that depend on what stands before it."""
    try:
        config, _ = load_text(text, folder=tmp_path, lookup=ACTIONS.signature, names=ACTIONS.names, importer=importer)
        expand(config)
    except ConfigError as error:
        return sorted(f"{one.code}: {_NUMBERS.sub('N', one.message)}" for one in error.diagnostics)
    return []


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What is said of each piece where it stands alone: as the first job and as the second."""
    folder = tmp_path_factory.mktemp("alone")
    fine = "- {name: fine, run: x}"
    return {
        (name, place): told(batch_of(*([fine] * place), piece), folder)
        for name, piece in PIECES.items()
        for place in (0, 1)
    }


@pytest.mark.parametrize("name", PIECES)
def test_each_of_them_is_an_error(alone, name):
    assert alone[name, 0]


@pytest.mark.parametrize("first", PIECES)
def test_an_error_of_one_stage_hides_none_of_another(alone, tmp_path, first):
    for second in list(PIECES)[list(PIECES).index(first) + 1 :]:
        pieces = PIECES[first], PIECES[second]
        place = int(all(piece.startswith("-") for piece in pieces))
        nameless = first in ("no name", "no mapping") and second == "an unknown need"  # the one that is needed, perhaps
        expected = [*alone[first, 0], *([] if nameless else alone[second, place])]
        assert (second, told(batch_of(*pieces), tmp_path)) == (second, sorted(expected))


# Fields of one job; those that cannot stand together are not tried together.
FIELDS = {
    "an unknown field": "retrys: 3",
    "a wrong type": "priority: high",
    "a wrong value": "when: never",
    "a wrong duration": "timeout: soon",
    "a control character": 'description: "\\u0001"',
    "a control character in a key": '"\\u0001": 1',
    "a control character in a command": 'run: "\\u0001"',
    "a control character in parameters": 'action: shell\nparams: {command: "\\u0001"}',
    "a control character in the name": 'name: "\\u0001"',
    "a number too large": f"x-note: {HUGE}",
    "no items": "matrix: 3",
    "no file of items": "foreach: no.csv",
    "two ways to make items": "matrix: {a: [1]}\nzip: {a: [1]}",
    "an unknown need": "needs: [nope]",
    "a need of itself": "needs: [j]",
    "wrong needs": "needs: [3]",
    "an output that cannot be": "outputs: ['*.csv']",
    "wrong environment": "env: {A: [1]}",
    "a wrong number of attempts": "retry: {max_attempts: 0}",
    "an unknown resource": "resources: {gpu: 1}",
    "an unknown reference": "cwd: ${{ vars.nope }}",
    "a result of no need": "run: x ${{ jobs.other.result.x }}",
    "an unknown action": "action: cuont_lines",
    "a wrong parameter": "action: word_frequency\ninput: a\nparams: {top_n: many}",
    "a missing input": "action: count_lines",
    "neither action nor command": "",
}


def job_of(*pieces):
    lines = [line for piece in pieces for line in piece.splitlines()]
    if not any(line.startswith(("run:", "action:")) for line in lines) and "" not in pieces:
        lines.append("run: x")
    if not any(line.startswith("name:") for line in lines):
        lines.append("name: j")
    return "jobs:\n  - " + "\n    ".join(lines) + "\n"


def keys(piece):
    found = {line.partition(":")[0] for line in piece.splitlines()} or {"run"}
    return (
        found
        | ({"work"} if found & {"run", "action"} else set())
        | ({"ways"} if found & {"matrix", "foreach"} else set())
    )


NAMELESS = ("a control character in the name",)
ITEMLESS = ("no items", "no file of items", "two ways to make items")
UNKNOWABLE = {
    # Whoever has no name may be the one that is needed, and whose items are not known may not be the one that needs itself.
    *((one, need) for one in NAMELESS for need in ("an unknown need", "a need of itself", "wrong needs")),
    *((one, "a need of itself") for one in ITEMLESS),
}


def same_owner(problems):
    """Without how the job is called: by its number or a pattern where its name is wrong."""
    return [one.replace("`jobs[N]`", "job `j`").replace("job `j*`", "job `j`") for one in problems]


@pytest.mark.parametrize("first", FIELDS)
def test_a_wrong_field_hides_no_other_of_its_job(tmp_path, first):
    one = told(job_of(FIELDS[first]), tmp_path)
    assert one
    for second in list(FIELDS)[list(FIELDS).index(first) + 1 :]:
        if keys(FIELDS[first]) & keys(FIELDS[second]):
            continue
        other = [] if (first, second) in UNKNOWABLE else told(job_of(FIELDS[second]), tmp_path)
        found = told(job_of(FIELDS[first], FIELDS[second]), tmp_path)
        assert (second, sorted(same_owner(found))) == (second, sorted(same_owner([*one, *other])))


# --- several files, and batches made in Python ----------------------------------------------------------


@pytest.mark.parametrize("first", PIECES)
def test_an_error_of_one_file_hides_none_of_another(alone, tmp_path, first):
    """Each beside an unknown need, a cycle and a limit that the third file has otherwise."""
    (tmp_path / "a.yaml").write_text(batch_of(PIECES[first]))
    (tmp_path / "b.yaml").write_text(
        "limits: {db: 2}\njobs:\n  - {name: x, run: x, needs: [nope, y]}\n  - {name: y, run: x, needs: [x]}\n"
    )
    (tmp_path / "c.yaml").write_text("limits: {db: 3}\njobs:\n  - {name: z, run: x, needs: [no]}\n")
    with pytest.raises(ConfigError) as caught:
        joblot.load([tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml")])
    found = [_NUMBERS.sub("N", f"{one.code}: {one.message}") for one in caught.value.diagnostics]
    expected = [
        "unknown_need: job `x` needs unknown job `nope`",
        "cycle: jobs need each other: x -> y -> x",
        "unknown_need: job `z` needs unknown job `no`",
    ]
    assert {*expected, *alone[first, 0]} <= set(found)
    assert sum(one.startswith("conflict: limit `db` is 3 here and 2 in ") for one in found) == 1


def test_what_files_disagree_in_hides_no_cycle_of_one_of_them(tmp_path):
    (tmp_path / "a.yaml").write_text("fail_fast: true\njobs: [{name: x, run: x, needs: [x]}]")
    (tmp_path / "b.yaml").write_text("jobs: [{name: y, run: x, needs: [nope]}]")
    with pytest.raises(ConfigError) as caught:
        joblot.load([tmp_path / "a.yaml", tmp_path / "b.yaml"], vars={"day": "1"})
    assert sorted(one.code for one in caught.value.diagnostics) == ["conflict", "cycle", "unknown_need", "variable"]


def needs_path(path, *, depth):
    return path, depth


MADE = {
    "a function that cannot be called": lambda batch: batch.add("f", needs_path, params={"path": "x"}),
    "a parameter that it has not": lambda batch: batch.add("g", needs_path, params={"path": "x", "depth": 1, "no": 2}),
    "an unknown action": lambda batch: batch.add("u", "cuont_lines", input="x"),
    "an unknown need": lambda batch: batch.add("n", needs_path, params={"path": "x", "depth": 1}, needs=["nope"]),
    "a cycle": lambda batch: batch.command("c", "x", needs=["c"]),
    "an output twice": lambda batch: [batch.command(name, "x", outputs=["o"]) for name in ("o1", "o2")],
    "an action that came later": lambda batch: batch.add("l", "later_action", params={"rows": 3}),
    "another that came later": lambda batch: batch.add("m", "later_action", params={"rows": "many"}),
    "a name that it cannot have": lambda batch: setattr(batch, "name", 3),
}


@pytest.mark.parametrize("first", MADE)
def test_everything_that_is_wrong_with_a_batch_made_in_python_is_told_when_it_runs(tmp_path, monkeypatch, first):
    monkeypatch.chdir(tmp_path)

    def run(*names):
        batch = joblot.Batch("b")
        for name in names:
            MADE[name](batch)

        @joblot.action("later_action")
        def later(*, columns: int) -> None:
            """Registered after the jobs that name it."""

        try:
            batch.run(on="inline", state=False)
        except ConfigError as error:
            return sorted(_NUMBERS.sub("N", one.message) for one in error.diagnostics)
        finally:
            del ACTIONS["later_action"]
        return []

    alone = run(first)
    assert alone
    for second in list(MADE)[list(MADE).index(first) + 1 :]:
        assert (second, run(first, second)) == (second, sorted([*alone, *run(second)]))
    assert len(run(*MADE)) >= len(MADE)
    assert not (tmp_path / ".joblot").exists()


def test_an_argument_that_no_batch_can_hold_hides_no_other_of_its_call():
    batch = joblot.Batch("b")
    with pytest.raises(ConfigError) as caught:
        batch.add("a", "count_lines", input="x", params={"pattern": object()}, when="never", outputs=["*.csv"])
    assert sorted(one.code for one in caught.value.diagnostics) == ["type", "value", "value"]
    assert len(batch) == 0


JOB = "- {name: j, run: x}"
NESTED = [
    ("", f"- {{name: j, run: x, retry: {{max_attempts: {HUGE}, jitter: 2}}}}"),
    ("", '- {name: j, run: x, env: {A: "\\u0001", B: [1]}}'),
    ("", f"- {{name: j, run: x, resources: {{memory: {HUGE}, gpu: 1}}}}"),
    (f"env: {{A: {HUGE}, B: [1]}}", "- {name: j, run: 'x ${{ env.A }}'}"),
    (f"limits: {{db: {HUGE}, cpu: 1}}", "- {name: j, run: x, resources: {db: 1}}"),
    ("limits: {db: 0, cpu: 1}", "- {name: j, run: x, resources: {db: 1}}"),
    ("limits: {db: [0, 1], cpu: 1}", "- {name: j, run: x, resources: {db: 0.5}}"),
    ("limits: {db: {slots: [0, 0]}, gpu: {slots: 1}}", "- {name: j, run: x, resources: {db: 2, gpu: 0.5}}"),
    ('vars: {a: "\\u0001", b: {type: dat}}', "- {name: j, run: 'x ${{ vars.a }} ${{ vars.b }}'}"),
    (f"defaults: {{retry: {{max_attempts: {HUGE}, jitter: 2}}}}", JOB),
    ('defaults: {timeout: "\\u0001", tiemout: 3}', JOB),
]


@pytest.mark.parametrize(("line", "job"), NESTED)
def test_an_odd_value_hides_none_of_those_beside_it_and_makes_none(tmp_path, line, job):
    """Two errors each, and none that only follows from them."""
    assert len(told(f"{line}\njobs:\n  {job}\n", tmp_path)) == 2


def test_a_secret_is_not_shown_where_other_values_are_odd(tmp_path):
    text = 'secrets: [TOKEN, "\\u0001"]\nenv: {TOKEN: geheim123, B: "\\u0001"}\njobs: [{name: a, run: x, nope: geheim123}]\n'
    with pytest.raises(ConfigError) as caught:
        load_text(text, folder=tmp_path, lookup=ACTIONS.signature, names=ACTIONS.names)
    shown = "\n".join(one.render() for one in caught.value.diagnostics)
    assert shown.count("error:") == 3
    assert "geheim123" not in shown
