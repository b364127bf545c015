"""What `matrix`, `zip` and `foreach` make of a declaration, and what is said of those that cannot be."""

import json
import os

import pytest

from joblot.config.load import load_text
from joblot.core.plan import expand
from joblot.core.provenance import shown_command
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES


def load(text, folder="/batches", kind="yaml"):
    return load_text(
        text, file=f"batch.{kind}", folder=folder, format=kind, lookup=SIGNATURES.get, names=lambda: SIGNATURES
    )


def jobs(text, folder="/batches", kind="yaml"):
    """The jobs of a batch about whose file there is nothing to say."""
    config, warnings = load(text, folder, kind)
    assert warnings == []
    plan = expand(config)
    return [plan.spec(job) for job in range(len(plan))]


def echoed(fields, folder="/batches"):
    """By job, what its command says."""
    made = jobs(f"jobs:\n  - {{name: j, {fields}}}\n", folder)
    return {one.name: shown_command(one).removeprefix("echo ") for one in made}


def refused(text, folder="/batches", kind="yaml"):
    with pytest.raises(ConfigError) as caught:
        expand(load(text, folder, kind)[0])
    return [(one.message, one.hint) for one in caught.value.diagnostics]


def one_refused(fields, folder="/batches"):
    return refused(f"jobs:\n  - {{name: j, {fields}}}\n", folder)


# --- matrix -------------------------------------------------------------------------------------------


def test_a_matrix_is_the_product_of_its_lists():
    assert echoed('run: "echo ${{ matrix.a }} ${{ matrix.b }}", matrix: {a: [1, 2], b: [x, y]}') == {
        "j-1-x": "1 x", "j-1-y": "1 y", "j-2-x": "2 x", "j-2-y": "2 y",
    }  # fmt: skip


def test_include_adds_values_to_combinations_or_combinations_as_in_github_actions():
    """The order of the included mappings matters: a later one may change what an earlier one added, never a value of the matrix."""
    made = jobs("""
jobs:
  - name: j-${{ matrix.fruit }}-${{ matrix.animal }}
    run: echo ${{ matrix.colour }} ${{ matrix.shape }}
    matrix:
      fruit: [apple, pear]
      animal: [cat, dog]
      include:
        - {colour: green}
        - {colour: pink, animal: cat}
        - {fruit: apple, shape: circle}
        - {fruit: banana, animal: none}
        - {fruit: banana, animal: cat}
""")
    assert [(one.name, shown_command(one)) for one in made] == [
        ("j-apple-cat", "echo pink circle"), ("j-apple-dog", "echo green circle"), ("j-pear-cat", "echo pink ''"),
        ("j-pear-dog", "echo green ''"), ("j-banana-none", "echo '' ''"), ("j-banana-cat", "echo '' ''"),
    ]  # fmt: skip


def test_exclude_leaves_out_what_it_matches_with_all_or_some_of_the_values():
    made = jobs("""
jobs:
  - name: j-${{ matrix.os }}-${{ matrix.version }}-${{ matrix.stage }}
    run: x
    matrix:
      os: [mac, windows]
      version: [12, 14, 16]
      stage: [test, live]
      exclude: [{os: mac, version: 12, stage: live}, {os: windows, version: 16}]
""")
    assert [one.name for one in made] == [
        "j-mac-12-test", "j-mac-14-test", "j-mac-14-live", "j-mac-16-test", "j-mac-16-live",
        "j-windows-12-test", "j-windows-12-live", "j-windows-14-test", "j-windows-14-live",
    ]  # fmt: skip


def test_what_is_excluded_may_be_included_again():
    given = 'run: "echo ${{ matrix.x }}", matrix: {a: [1, 2], exclude: [{a: 1}], include: [{a: 1, x: again}]}'
    assert echoed(given) == {"j-2": "''", "j-1-again": "again"}


def test_a_matrix_of_included_mappings_alone():
    assert echoed('run: "echo ${{ matrix.a }}", matrix: {include: [{a: 1}, {a: 2}]}') == {"j-1": "1", "j-2": "2"}


def test_excluding_everything_leaves_no_job():
    assert jobs("jobs: [{name: j, run: x, matrix: {a: [1], exclude: [{a: 1}]}}]") == []


def test_values_of_a_matrix_may_be_mappings_and_lists():
    given = 'run: "echo ${{ matrix.a.x }} ${{ matrix.l }}", matrix: {a: [{x: 01}, {x: 2}], l: [[p, q r]]}'
    assert list(echoed(given).values()) == ["01 p 'q r'", "2 p 'q r'"]


def test_zip_takes_its_lists_side_by_side():
    assert echoed('run: "echo ${{ matrix.a }} ${{ matrix.b }}", zip: {a: [1, 2], b: [x, y]}') == {
        "j-1-x": "1 x", "j-2-y": "2 y",
    }  # fmt: skip


# --- foreach ------------------------------------------------------------------------------------------


def test_items_stay_as_they_were_typed():
    """Nobody wants `no` to become false, or `01.10` 1.1."""
    given = 'run: "echo ${{ item }}", foreach: [01.10, 6920, no, 1e3, 0x1F, 1_000, 1:30, 2026-11-20, true, "", é]'
    assert list(echoed(given).values()) == [
        "01.10", "6920", "no", "1e3", "0x1F", "1_000", "1:30", "2026-11-20", "true", "''", "'é'",
    ]  # fmt: skip


def test_null_is_an_empty_text():
    assert list(echoed('run: "echo ${{ item }}", foreach: [null, a]').values()) == ["''", "a"]


def test_items_of_a_variable():
    text = 'vars: {codes: {type: list, default: [01, no]}}\njobs: [{name: j, run: "echo ${{ item }}", foreach: "${{ vars.codes }}"}]'
    assert [shown_command(one) for one in jobs(text)] == ["echo 01", "echo no"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("t.csv", ["j-1-x", "j-2-y"]), ("{csv: t.csv}", ["j-1-x", "j-2-y"]), ("{csv: lines.txt}", []),
        ("lines.txt", ["j-a"]), ("{lines: t.csv}", ["j-n-s", "j-1-x", "j-2-y"]), ("'*.csv'", ["j-t.csv"]),
        ("{command: echo a; echo b}", ["j-a", "j-b"]), ("t.jsonl", ["j-1-x"]),
    ],
)  # fmt: skip
def test_the_sources_of_foreach_and_the_names_that_they_give(source, names, tmp_path):
    (tmp_path / "t.csv").write_text("n,s\n1,x\n2,y\n")
    (tmp_path / "lines.txt").write_text("a\n")
    (tmp_path / "t.jsonl").write_text('{"n": 1, "s": "x"}\n')
    config, warnings = load(f"jobs: [{{name: j, run: x, foreach: {source}}}]", tmp_path)
    plan = expand(config)
    assert [plan.name(job) for job in range(len(plan))] == names
    assert [one.message for one in warnings] == ["`foreach` has no items, so no job is made of it"] * (not names)


def test_a_file_name_its_parts_and_its_stem(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.csv").touch()
    given = "run: \"echo ${{ item }} ${{ item.name }} ${{ item.stem }}\", foreach: 'in/*.csv'"
    assert echoed(given, tmp_path) == {"j-in-a-b.csv": "'in/a b.csv' 'a b.csv' 'a b'"}


@pytest.mark.parametrize("source", ["[]", "t.csv", "empty.jsonl", "empty.txt", "'*.none'", "{command: 'true'}"])
def test_no_items_are_a_warning_and_no_job_and_whoever_needs_them_waits_for_nothing(source, tmp_path):
    (tmp_path / "t.csv").write_text("n,s\n")
    for name in ("empty.jsonl", "empty.txt"):
        (tmp_path / name).touch()
    config, warnings = load(
        f"jobs: [{{name: 'j-${{{{ item.n }}}}', run: x, foreach: {source}}}, {{name: all, run: x, needs: ['j-*']}}]",
        tmp_path,
    )
    plan = expand(config)
    assert [(one.severity, one.message) for one in warnings] == [
        ("warning", "`foreach` has no items, so no job is made of it")
    ]
    assert [(plan.name(job), list(plan.needs[job])) for job in range(len(plan))] == [("all", [])]


def test_types_make_numbers_and_truth_values_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("n,x,ok,s\n7,1e3,true,007\n")
    text = """
jobs:
  - {name: j, action: notify, params: {n: "${{ item.n }}", x: "${{ item.x }}", ok: "${{ item.ok }}", s: "${{ item.s }}", t: "n=${{ item.n }}"},
     foreach: {csv: t.csv, types: {n: int, x: number, ok: bool, s: string}}}
"""
    (one,) = jobs(text, tmp_path)
    assert one.params == {"n": 7, "x": 1000.0, "ok": True, "s": "007", "t": "n=7"}


# --- what items are put into --------------------------------------------------------------------------

NASTY = [
    "$(touch x)",
    "`id`",
    "'; rm -rf /; '",
    '"',
    "a\\b",
    "$HOME",
    "a\tb",
    "two\nlines",
    "-rf",
    "*",
    "é 日本",
    "${{ run.id }}",
]


def test_items_are_one_word_of_a_command_each_whatever_they_hold(tmp_path):
    """Nothing that an item holds is looked at again, neither by joblot nor by a shell."""
    import shlex

    text = json.dumps({"jobs": [{"name": "j-${{ item.n }}", "run": "echo ${{ item.v }}", "foreach": "t.jsonl"}]})
    rows = [json.dumps({"n": number, "v": value}) for number, value in enumerate(NASTY)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    assert [shlex.split(shown_command(one))[1:] for one in jobs(text, tmp_path, "json")] == [[value] for value in NASTY]


def test_items_that_look_like_references_stay_what_they_are_beside_references_that_are_filled_in_later(tmp_path):
    from joblot.core.references import substitute

    (tmp_path / "t.csv").write_text("v\n${{ run.id }}\n${{ jobs.k.result }}\n${{ oops\n")
    text = """
jobs:
  - {name: k, run: x}
  - name: j
    needs: [k]
    run: echo ${{ item.v }} ${{ run.id }}
    env: {V: "${{ item.v }} ${{ jobs.k.result }}"}
    outputs: ["out/${{ item.v }}"]
    description: "${{ item.v }}"
    foreach: t.csv
"""
    values = ["${{ run.id }}", "${{ jobs.k.result }}", "${{ oops"]
    made = jobs(text, tmp_path)[1:]
    scope = {"run": {"id": "R"}, "jobs": {"k": {"result": "K"}}}
    assert [shown_command(one, substitute(one.given, scope) | {"run.id": "R"}) for one in made] == [
        f"echo '{value}' R" for value in values
    ]
    assert [substitute(one.env, scope) for one in made] == [{"V": f"{value} K"} for value in values]
    assert [(one.outputs, one.description) for one in made] == [((f"out/{value}",), value) for value in values]


def test_items_reach_every_field_that_may_differ():
    text = """
defaults: {env: {A: "1", B: "2"}, timeout: 9}
jobs:
  - name: ${{ item.n }}
    run: [echo, "${{ item.n }}", "<${{ item.v }}>"]
    input: ["in/${{ item.v }}", "${{ item.n }}"]
    outputs: ["out/${{ item.v }}"]
    env: {B: "${{ item.v }}", C: "${{ item.l.0 }}"}
    cwd: ${{ item.v }}
    description: of ${{ item.v }}
    foreach: [{n: one-1, v: a b, l: [x]}]
"""
    (one,) = jobs(text)
    assert (one.name, shown_command(one), one.input, one.outputs) == (
        "one-1", ["echo", "one-1", "<a b>"], ["in/a b", "one-1"], ("out/a b",),
    )  # fmt: skip
    assert (one.env, one.cwd, one.description, one.timeout_s) == (
        {"A": "1", "B": "a b", "C": "x"}, "a b", "of a b", 9.0,
    )  # fmt: skip


def test_a_need_with_an_item_means_the_job_of_that_name():
    """A value in `needs` becomes fit for a name as it does in `name`."""
    made = jobs("""
jobs:
  - {name: "get-${{ item }}", run: x, foreach: [a/b, "Île"]}
  - {name: "use-${{ item }}", run: x, foreach: [a/b, "Île"], needs: ["get-${{ item }}"]}
  - {name: "pair-${{ matrix.a }}-${{ matrix.b }}", run: x, matrix: {a: [a/b], b: ["*"]}, needs: ["*-${{ matrix.a }}"]}
""")
    assert [one.needs for one in made] == [(), (), ("get-a-b",), ("get-Ile",), ("*-a-b",)]


def test_long_needs_are_shortened_as_names_are():
    given = {"run": "x", "foreach": ["x" * 200]}
    get, use = {"name": "get-${{ item }}", **given}, {"name": "use", "needs": ["get-${{ item }}"], **given}
    made = jobs(json.dumps({"jobs": [get, use]}), kind="json")
    assert made[1].needs == (made[0].name,)


def test_references_to_results_stand_beside_items_in_parameters():
    text = """
jobs:
  - {name: k, run: x}
  - {name: j, action: build, needs: [k], params: {codes: ["${{ item }}", "${{ jobs.k.result }}"]}, foreach: [01]}
"""
    assert jobs(text)[1].params == {"codes": ["01", "${{ jobs.k.result }}"]}


def test_values_that_lack_are_no_part_of_a_name():
    given = "run: x, matrix: {a: [1], include: [{a: 1}, {a: 2, b: 3}]}"
    assert list(echoed(given)) == ["j-1", "j-2-3"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", '{"jobs": [{"name": "j-${{ matrix.n }}", "run": "echo ${{ matrix.n }}", "matrix": {"n": [1, "01", true]}}]}'),
        ("toml", '[[jobs]]\nname = "j-${{ matrix.n }}"\nrun = "echo ${{ matrix.n }}"\nmatrix = {n = [1, "01", true]}\n'),
    ],
)  # fmt: skip
def test_batches_in_json_and_toml(kind, text):
    assert [(one.name, shown_command(one)) for one in jobs(text, kind=kind)] == [
        ("j-1", "echo 1"), ("j-01", "echo 01"), ("j-true", "echo true"),
    ]  # fmt: skip


# --- what cannot be -----------------------------------------------------------------------------------

MUST = "a list, a file, or one of `csv`, `tsv`, `jsonl`, `parquet`, `lines`, `glob`, `command`"


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ('run: x, outputs: ["${{ item }}"], foreach: [ok, ../x]', "item 2 cannot be part of a path: `../x` holds `..`", "a value must not lead out of a folder"),
        ('run: x, outputs: ["o/${{ item }}"], foreach: [ok, "a\\\\..\\\\b"]', "item 2 cannot be part of a path: `a\\..\\b` holds `..`", "a value must not lead out of a folder"),
        ('run: x, cwd: "${{ item.d }}", foreach: [{d: ..}]', "`d` of item 1 cannot be part of a path: `..` holds `..`", "a value must not lead out of a folder"),
        ('run: x, cwd: "${{ matrix.d }}", matrix: {a: [1], d: [x, ..]}', "value 2 of `d` cannot be part of a path: `..` holds `..`", "a value must not lead out of a folder"),
        ('run: x, outputs: ["${{ item }}"], foreach: [ok, ""]', "item 2 cannot be part of a path: it is empty", ""),
        ('run: "echo ${{ item.x.y }}", foreach: [{x: {y: 1}}, {x: {z: 2}}]', "`x` of item 2: `item.x` has no `y` (in `item.x.y`)", ""),
        ('run: "echo ${{ item.x.y }}", foreach: [{x: 1}]', "`x` of item 1: `item.x` has no parts, so there is no `y` (in `item.x.y`)", ""),
        ('run: "echo ${{ matrix.x.1 }}", matrix: {x: [[a, b], [c]]}', "value 2 of `x`: `matrix.x` has 1 item, so there is no `1` (in `matrix.x.1`)", ""),
        ('run: x, needs: ["${{ item.name }}"], foreach: [{nam: a}]', "`item` has no `name`", "did you mean `nam`?"),
        ('action: build, params: {codes: [x], top: "${{ item }}"}, foreach: [1, x]', "parameter `top` must be a whole number, not the text `x` (item 2: x)", ""),
        ('action: build, params: {codes: [x], mode: "${{ matrix.m }}"}, matrix: {m: [quick, slow], n: [1]}', "parameter `mode` must be `quick` or `deep`, not the text `slow` (with m=slow)", ""),
        ('action: build, params: {codes: "${{ item.c }}"}, foreach: [{c: [1]}, {c: 2}]', "parameter `codes` must be a list, not the text `2` (item 2: c=2)", ""),
        ("run: x, foreach: [{a: 1}, {b: 1}]", "`foreach`: item 1 has no `b`", ""),
        ("run: x, foreach: {csv: a.csv, lines: b}", "`foreach` must have one of `csv`, `tsv`, `jsonl`, `parquet`, `lines`, `glob`, `command`, and perhaps `types`", ""),
        ("run: x, foreach: {cvs: a.csv}", "`foreach` cannot be read from `cvs`", "did you mean `csv`?"),
        ("run: x, foreach: {database: x}", "`foreach` cannot be read from `database`", MUST),
        ("run: x, foreach: {lines: [1]}", "`foreach` must be a text behind `lines`, not a list", ""),
        ("run: x, foreach: data.json", f"`foreach` must be {MUST}, not the text `data.json`", ""),
        ("run: x, foreach: 17", f"`foreach` must be {MUST}, not the text `17`", ""),
        ("run: x, foreach: null", f"`foreach` must be {MUST}, not null", ""),
        ("run: x, foreach: no.csv", "`foreach`: cannot read `no.csv`: no such file or directory", ""),
        ("run: x, foreach: {lines: no, types: [n]}", "`foreach` has `types` that must be a mapping, not a list", "write `types: {NAME: int}`"),
        ("run: x, matrix: [1]", "`matrix` must be a mapping, not a list", ""),
        ("run: x, matrix: {}", "`matrix` must not be empty", ""),
        ('run: x, matrix: {"a b": [1]}', "`a b` cannot be a name here", "letters, digits, `_` and `-`"),
        ("run: x, matrix: {a: 1}", "`a` must be a list, not `1`", ""),
        ("run: x, matrix: {a: []}", "`a` must not be empty", ""),
        ("run: x, matrix: {a: [1], include: {a: 1}}", "`include` must be a list, not a mapping", ""),
        ("run: x, matrix: {a: [1], exclude: [1]}", "`exclude[0]` must be a mapping, not `1`", ""),
        ("run: x, matrix: {colour: [1], exclude: [{color: 1}]}", "`exclude` names `color`, which the matrix does not have", "did you mean `colour`?"),
        ("run: x, zip: {}", "`zip` must not be empty", ""),
        ("run: x, zip: {a: [1], b: [1, 2]}", "`zip` must have lists of one length: `a` has 1, `b` has 2", "`matrix` makes all combinations"),
        ("run: x, max_parallel: 2", "`max_parallel` has no fan-out to bound", "it bounds how many jobs of a fan-out run at a time: `matrix`, `zip`, `foreach`"),
        ("run: x, foreach: [1], max_parallel: 0", "`max_parallel` must be at least 1, got 0", ""),
        ('run: "echo ${{ item }}"', "`item` stands for nothing here", "it has its meaning in a job with `foreach`"),
        ('run: "echo ${{ matrix.a }}"', "`matrix.a` stands for nothing here", "it has its meaning in a job with `matrix` or `zip`"),
        ('run: "echo ${{ matrix.a }}", foreach: [1]', "`matrix.a` stands for nothing here", "with `foreach` write `item`"),
        ('run: "echo ${{ item }}", zip: {a: [1]}', "`item` stands for nothing here", "with `zip` write `matrix`"),
        ('run: "echo ${{ item.x }}", foreach: [1]', "`item.x` stands for nothing: the items are single values", "write `item`"),
        ('run: "echo ${{ matrix }}", matrix: {a: [1], b: [2]}', "`matrix` alone is not a value", "it has `matrix.a`, `matrix.b`"),
        ('run: "echo ${{ item.d }}", foreach: [{a: 1, b: 2}]', "`item` has no `d`", "it has `a`, `b`"),
        ('run: x, timeout: "${{ item }}", foreach: [1]', "`item` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, allow_failure: "${{ matrix.a }}", matrix: {a: [true, false]}', "`matrix.a` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, retry: "${{ item }}", foreach: [1, 2]', "`item` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, priority: "${{ item.p }}", foreach: [{p: 1}, {p: 2}]', "`item.p` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, once: "${{ matrix.a }}", zip: {a: [true]}', "`matrix.a` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, when: "${{ item }}", foreach: [always]', "`item` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ('run: x, max_parallel: "${{ item }}", foreach: [1]', "`item` cannot stand here", "it can stand in `name`, `run`, `input`, `params`, `needs`, `outputs`, `env`, `cwd`, `description`, `if`; all else is the same for each item: give those that differ a declaration of their own"),
        ("run: 'echo `id ${{ item }}`', foreach: [1]", "`item` stands in backquotes, where its value is not safe", "write `$( )`"),
        ('run: x, foreach: ["${{ item }}"]', "`item` stands for nothing here", "it has its meaning in a job with `foreach`"),
        ('run: x, foreach: ["a\\0b"]', "a text holds a NUL (U+0000)", ""),
    ],
)  # fmt: skip
def test_a_fan_out_that_cannot_be(fields, message, hint):
    """What is wrong with items is known before anything runs."""
    assert one_refused(fields) == [(message, hint)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"ok\na\0b\n", "item 2: a text holds a NUL (U+0000)"),
        ("x.csv", b"a,b\nok,\x1b[31m\n", "item 1: `b` a text holds a control character (U+001B)"),
        ("x.csv", b"a\x07,b\n1,2\n", "key `a\\x07` holds a control character"),
        ("x.jsonl", b'{"n": 99999999999999999999}\n', "item 1: `n` a number is too large: whole numbers have 64 bits"),
    ],
)
def test_items_may_not_hold_what_no_batch_may_hold(name, content, message, tmp_path):
    """A file of items is as little trusted as the batch itself."""
    (tmp_path / name).write_bytes(content)
    assert [found for found, _ in one_refused(f"run: x, foreach: {name}", tmp_path)] == [message]


def test_a_file_name_that_is_not_utf8(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.csv")).touch()
    message = "item 1: a text holds half of a surrogate pair (U+DCFF)"
    assert [found for found, _ in one_refused("run: x, foreach: '*.csv'", tmp_path)] == [message]


def test_types_that_do_not_fit(tmp_path):
    (tmp_path / "t.csv").write_text("n,k\n1,a\nx,b\n")
    assert one_refused("run: x, foreach: {csv: t.csv, types: {n: int, m: int, k: real}}", tmp_path) == [
        ("item 2: `n` is the text `x`, not of the type `int`", ""),
        ("`types` names `m`, which the items do not have", ""),
        ("`k` must be one of `string`, `int`, `number`, `bool`, not the text `real`", ""),
    ]


@pytest.mark.parametrize("source", ['["${{ env.TOKEN }}"]', '{command: "echo $TOKEN"}', "t.csv"])
def test_no_item_is_a_secret(source, tmp_path, monkeypatch):
    """Items stand in names and in the journal."""
    monkeypatch.setenv("TOKEN", "s3cret")
    (tmp_path / "t.csv").write_text("a,b\n1,is s3cret too\n")
    ((message, hint),) = refused(f"secrets: [TOKEN]\njobs: [{{name: j, run: x, foreach: {source}}}]", tmp_path)
    assert message in (
        "`TOKEN` is a secret and cannot be put into a text",
        "item 1 holds the value of the secret `TOKEN`",
        "`b` of item 1 holds the value of the secret `TOKEN`",
    )
    assert hint == "a command finds it in its environment: write `$TOKEN`"


def test_two_ways_to_make_jobs_are_one_too_many():
    assert one_refused("run: x, matrix: {a: [1]}, foreach: [1]") == [
        ("`matrix` and `foreach` cannot stand together", "one of them makes the items")
    ]


def test_the_schema_knows_the_fields():
    from joblot.config.schema import json_schema

    fields = json_schema([])["$defs"]["job"]["properties"]
    assert {"matrix", "zip", "foreach", "max_parallel"} <= fields.keys()
    assert set(fields["foreach"]["type"]) == {"array", "object", "string"}
