"""Items are read before anything runs: they cannot come from what a job of the batch makes."""

import pytest

from joblot import Batch
from joblot.config.load import load_text
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES


def told(folder, *jobs):
    text = "jobs:\n" + "".join(f"  - {job}\n" for job in jobs)
    try:
        load_text(text, folder=folder, lookup=SIGNATURES.get, names=lambda: SIGNATURES)
    except ConfigError as error:
        return [(one.code, one.message, one.hint) for one in error.diagnostics]
    return []


def use(source):
    return f"{{name: 'use-${{{{ item }}}}', run: 'true', foreach: {source}}}"


def make(path):
    return f"{{name: make, run: 'true', outputs: ['{path}']}}"


HINT = "let the items be its result: `foreach: ${{ jobs.make.result }}`"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lists").mkdir()
    for name in ("list.txt", "lists/a b.txt", "lists/\u00e9.txt"):
        (tmp_path / name).write_text("x\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "makes", "shown"),
    [
        ("list.txt", "list.txt", "list.txt"),
        ("{lines: list.txt}", "./list.txt", "list.txt"),
        ("{lines: './list.txt', types: {}}", "lists/../list.txt", "./list.txt"),
        ("'lists/a b.txt'", "lists", "lists/a b.txt"),
        ("'lists/a b.txt'", "lists/", "lists/a b.txt"),
        ("'lists/\u00e9.txt'", "lists/e\u0301.txt", "lists/\u00e9.txt"),
        ("'lists/*.txt'", "lists/a b.txt", "lists/*.txt"),
        ("{glob: 'lists/*.txt'}", "lists/not yet.txt", "lists/*.txt"),
        ("'lists/*.txt'", "lists", "lists/*.txt"),
        ("'**/*.txt'", "lists/deep/x.txt", "**/*.txt"),
        ("list.txt", "LIST.txt", "list.txt"),
    ],
)
def test_items_from_what_a_job_makes(folder, source, makes, shown):
    message = f"`foreach` is read before anything runs, and job `make` makes `{shown}`"
    assert told(folder, make(makes), use(source)) == [("dataflow", message, HINT)]
    assert told(folder, use(source), make(makes)) == [("dataflow", message, HINT)]


def test_an_absolute_path_is_the_same(folder):
    assert [code for code, _, _ in told(folder, make(folder / "list.txt"), use("list.txt"))] == ["dataflow"]
    assert [code for code, _, _ in told(folder, make("list.txt"), use(folder / "list.txt"))] == ["dataflow"]


@pytest.mark.parametrize(
    ("source", "makes"),
    [
        ("list.txt", "list.txt.old"),
        ("list.txt", "lists/list.txt"),
        ("'lists/*.txt'", "lists/x.csv"),
        ("'lists/*.txt'", "lists/deep/x.txt"),
        ("'lists/*.txt'", "list.txt"),
        ("[list.txt]", "list.txt"),
        ("{command: cat list.txt}", "list.txt"),
    ],
)
def test_items_from_what_no_job_makes(folder, source, makes):
    assert told(folder, make(makes), use(source)) == []


def test_what_a_fan_out_makes(folder):
    def clean(path):
        return f"{{name: 'c-${{{{ item }}}}', run: 'true', outputs: ['{path}'], foreach: [a, list]}}"

    message = "`foreach` is read before anything runs, and job `c-${{ item }}` makes `list.txt`"
    hint = "let the items be a result of one job"
    assert told(folder, clean("${{ item }}.txt"), use("list.txt")) == [("dataflow", message, hint)]
    assert told(folder, clean("lists/${{ item }}.txt"), use("list.txt")) == []
    assert told(folder, clean("x${{ item }}.txt"), use("list.txt")) == []


def test_a_job_that_writes_where_its_items_are_found(folder):
    job = "{name: 'c-${{ item.stem }}', run: 'true', outputs: ['lists/${{ item.stem }}2.txt'], foreach: 'lists/*.txt'}"
    message = "`foreach` is read before anything runs, and job `c-${{ item.stem }}` makes `lists/*.txt`"
    assert told(folder, job) == [("dataflow", message, "write to another file")]
    assert told(folder, job.replace("outputs: ['lists/", "outputs: ['out/")) == []


def test_a_file_that_is_not_there_yet_is_told_beside_it(folder):
    missing = ("items", "`foreach`: cannot read `new.txt`: no such file or directory", "")
    made = ("dataflow", "`foreach` is read before anything runs, and job `make` makes `new.txt`", HINT)
    assert told(folder, make("new.txt"), use("new.txt")) == [missing, made]


def test_a_batch_made_in_python(folder):
    batch = Batch("b", folder=folder)
    batch.command("use-${{ item }}", "true", foreach="list.txt")
    batch.command("make", "true", outputs=["list.txt"])
    with pytest.raises(ConfigError, match=r"`foreach` is read before anything runs, and job `make` makes `list\.txt`"):
        batch.plan()


@pytest.mark.parametrize(
    ("links", "source", "makes"),
    [
        ({"link.txt": "list.txt"}, "link.txt", "list.txt"),
        ({"link.txt": "next.txt", "next.txt": "list.txt"}, "{lines: link.txt}", "list.txt"),
        ({"latest": "lists"}, "'latest/a b.txt'", "lists/a b.txt"),
        ({"latest": "lists"}, "'latest/a b.txt'", "lists"),
        ({"latest": "lists"}, "'lists/a b.txt'", "latest/a b.txt"),
        ({"latest": "lists", "other": "latest"}, "'other/a b.txt'", "latest/a b.txt"),
        ({"latest": "lists"}, "'latest/*.txt'", "lists/new.txt"),
        ({"latest": "lists"}, "'lists/*.txt'", "latest/new.txt"),
        ({"deep/latest": "../lists"}, "'deep/*/a b.txt'", "lists"),
        ({"deep/latest": "../lists"}, "'deep/*/*.txt'", "lists/new.txt"),
    ],
)
def test_items_from_what_a_job_makes_by_links(folder, links, source, makes):
    for name, target in links.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    assert [code for code, _, _ in told(folder, make(makes), use(source))] == ["dataflow"]


def test_links_to_what_no_job_makes(folder):
    (folder / "link.txt").symlink_to("list.txt")
    (folder / "lists/link.txt").symlink_to("../list.txt")
    assert told(folder, make("other.txt"), use("link.txt")) == []
    assert told(folder, make("list.txt"), use("'lists/*.txt'")) == []


def test_what_a_fan_out_makes_by_a_link(folder):
    (folder / "latest").symlink_to("lists")
    clean = "{name: 'c-${{ item }}', run: 'true', outputs: ['latest/${{ item }}.txt'], foreach: ['a b']}"
    assert [code for code, _, _ in told(folder, clean, use("'lists/a b.txt'"))] == ["dataflow"]
