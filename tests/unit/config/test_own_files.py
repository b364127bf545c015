"""`${{ input }}`, `${{ outputs }}` and `${{ outputs.NAME }}`: a job's own files in its other texts."""

import pytest

from joblot import Batch, errors
from joblot.config.load import load_text
from joblot.core.plan import expand
from joblot.core.provenance import shown_command

NOTHING = {"lookup": lambda name: None, "names": lambda: ()}


def plan_of(*jobs, folder="/b"):
    text = "jobs:\n" + "".join(f"  - {job}\n" for job in jobs)
    return expand(load_text(text, folder=folder, **NOTHING)[0])


def command(*jobs, job=0, folder="/b"):
    plan = plan_of(*jobs, folder=folder)
    return shown_command(plan.spec(job))


def mistakes(*jobs):
    with pytest.raises(errors.ConfigError) as caught:
        plan_of(*jobs)
    return [(found.message, found.hint) for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("fields", "run", "shown"),
    [
        ("input: a.txt", "cat ${{ input }}", "cat a.txt"),
        ("input: [a.txt]", "cat ${{ input }}", "cat a.txt"),
        ("input: [a.txt, b c.txt]", "cat ${{ input }}", "cat a.txt 'b c.txt'"),
        ("input: [a.txt, b.txt]", "cat ${{ input[1] }} ${{ input.0 }}", "cat b.txt a.txt"),
        ("input: a.txt", "cat ${{ input[0] }}", "cat a.txt"),
        ("outputs: out.txt", "ls > ${{ outputs }}", "ls > out.txt"),
        ("outputs: [out.txt]", "ls > ${{ outputs }}", "ls > out.txt"),
        ("outputs: [a, b]", "touch ${{ outputs }}", "touch a b"),
        ("outputs: {raw: a, log: {path: b}}", "x ${{ outputs.log }} -o ${{ outputs.raw }}", "x b -o a"),
        ("outputs: {raw: a}", "x ${{ outputs }} ${{ outputs[0] }}", "x a a"),
        ("input: -rf", "cat ${{ input }}", "cat ./-rf"),
        ("outputs: [-o]", "touch ${{ outputs }}", "touch ./-o"),
        ("input: a.txt, cwd: sub", "cat ${{ input }}", "cat /b/a.txt"),
        ("input: /else/a.txt, cwd: sub", "cat ${{ input }}", "cat /else/a.txt"),
        ("input: a$x.txt", 'cat "${{ input }}"', 'cat "a\\$x.txt"'),
        ("input: a.txt, outputs: [b]", "cat ${{ input }} > ${{ outputs }}", "cat a.txt > b"),
    ],
)
def test_a_command_finds_its_files(fields, run, shown):
    assert command(f"{{name: j, run: '{run}', {fields}}}") == shown


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        ("['cat', '${{ input }}']", ["cat", "a", "b c"]),
        ("['cat', '${{ input[1] }}']", ["cat", "b c"]),
        ("['cat', '-f${{ input[0] }}', '${{ outputs }}']", ["cat", "-fa", "o"]),
    ],
)
def test_a_word_that_is_a_list_and_nothing_else_becomes_several(run, shown):
    assert command(f"{{name: j, run: {run}, input: [a, b c], outputs: [o]}}") == shown


def test_in_env_and_in_the_jobs_of_a_fan_out():
    job = "{name: 'j-${{ item }}', run: 'x ${{ input }} ${{ outputs }}', env: {OUT: '${{ outputs }}'}, input: ['in/${{ item }}', c], outputs: ['${{ item }}.o'], foreach: [a, b c, -d]}"
    plan = plan_of(job)
    assert [shown_command(plan.spec(job)) for job in range(3)] == [
        "x in/a c ./a.o", "x 'in/b c' c './b c.o'", "x in/-d c ./-d.o",
    ]  # fmt: skip
    assert [plan.spec(job).env for job in range(3)] == [{"OUT": "./a.o"}, {"OUT": "./b c.o"}, {"OUT": "./-d.o"}]


def test_the_order_of_fields_does_not_matter():
    assert (
        command("{run: 'cat ${{ input }}', name: j, input: '${{ vars.x }}'}".replace("${{ vars.x }}", "z")) == "cat z"
    )


def test_what_looks_like_a_reference_in_a_folder_stays_a_text():
    job = "{name: 'j-${{ item }}', run: 'cat ${{ input }}', input: a, cwd: sub, foreach: [1]}"
    assert command(job, folder="/b/${{ x }}") == "cat '/b/${{ x }}/a'"


@pytest.mark.parametrize(
    ("job", "message", "hint"),
    [
        ("{name: a, run: 'cat ${{ input }}'}", "`input` stands for nothing: the job has no `input`", "give the job an `input`"),
        ("{name: a, run: 'cat ${{ outputs }}'}", "`outputs` stands for nothing: the job has no `outputs`", "give the job `outputs`"),
        (
            "{name: use, run: 'cat ${{ outputs.table }}', outputs: [x]}",
            "job `use` has no output `table`; `outputs` is a list",
            "`outputs: {table: PATH}`, or `${{ outputs[0] }}`",
        ),
        ("{name: a, run: 'cat ${{ outputs.tabel }}', outputs: {table: y}}", "job `a` has no output `tabel`", "did you mean `table`?"),
        ("{name: a, run: 'cat ${{ outputs.z }}', outputs: {table: y}}", "job `a` has no output `z`", "it has `table`"),
        ("{name: a, run: 'cat ${{ outputs[2] }}', outputs: [y]}", "`outputs` has 1 path, so there is no `outputs[2]`", ""),
        ("{name: a, run: 'cat ${{ input.x }}', input: y}", "`input.x` stands for nothing: paths of `input` have no names", ""),
        ("{name: a, run: 'cat ${{ input[2] }}', input: [y, '*.csv']}", "`input` has 2 paths, so there is no `input[2]`", ""),
        ("{name: a, run: 'cat ${{ input.x }}', input: ['*.csv']}", "`input.x` stands for nothing: paths of `input` have no names", ""),
        ("{name: a, run: 'cat ${{ outputs.t.x }}', outputs: {t: y}}", "`outputs.t.x` stands for nothing: a path has no parts", ""),
        (
            "{name: a, run: x, input: '${{ outputs }}', outputs: [y]}",
            "`outputs` cannot stand here",
            "it can stand in a job's own `run`, `params` and `env`",
        ),
        (
            "{name: a, run: x, cwd: '${{ input }}', input: y}",
            "`input` stands for the files of one job",
            "it can stand in a job's own `run`, `params` and `env`",
        ),
        ("{name: a, run: x, outputs: {'a b': y}}", "an output cannot be called `a b`", "names begin with a letter and hold letters, digits, `_` and `-`"),
        ("{name: a, run: x, outputs: {t: {pth: y}}}", "`t` is missing `path`", ""),
        ("{name: a, run: x, outputs: {t: {path: y, temporary: true}}}", "unknown field `temporary` in an output", "an output has a `path`"),
        ("{name: a, run: x, outputs: {t: 'a*'}}", "`t` must be a path, and `a*` is a pattern", "name each file, or the folder that they lie in"),
        ("{name: a, run: x, outputs: {t: [a]}}", "`t` must be a text, not a list", ""),
    ],
)  # fmt: skip
def test_what_is_refused(job, message, hint):
    assert (message, hint) in mistakes(job)


def test_a_wrong_field_is_told_once():
    found = mistakes("{name: a, run: 'cat ${{ input }}', input: '${{ vars.x }}'}")
    assert [message for message, _ in found] == ["nothing is called `x` (in `vars.x`)"] or len(found) == 1


def test_in_python():
    batch = Batch("b", folder="/b")
    batch.command("j", "cat ${{ input }} > ${{ outputs.all }}", input=["a", "b"], outputs={"all": "c"})
    assert shown_command(batch.plan().spec(0)) == "cat a b > c"
    assert batch.jobs[0].output_names == ("all",)
