"""What shells are offered: jobs and runs, read as data. Nothing runs, nothing is imported, nothing is written."""

import json
import sys

import pytest
from click.shell_completion import ShellComplete, get_completion_class

from joblot import load
from joblot.__main__ import main
from joblot.cli import cli

BATCH = """\
name: one
jobs:
  - {name: prep, run: "true"}
  - {name: fit-1, run: "true", needs: [prep]}
  - {name: fit-2, run: "true"}
finally:
  - {name: mail, run: "true"}
"""
FAN = """\
name: fan
vars: {day: {type: date, required: true}}
jobs:
  - {name: first, run: "true"}
  - {name: 'load-${{ item.code }}', run: 'true ${{ vars.day }}', foreach: codes.csv}
"""


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """What is offered for the last of the words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    (tmp_path / "joblot.yaml").write_text(BATCH)
    (tmp_path / "fan.yaml").write_text(FAN)
    (tmp_path / "codes.csv").write_text("code\n6920Z\n4329A\n")

    def complete(words):
        *before, incomplete = words.split(" ")[1:]
        found = ShellComplete(cli, {}, "joblot", "_JOBLOT_COMPLETE").get_completions(before, incomplete)
        return [item.value for item in found]

    complete.path = tmp_path
    return complete


@pytest.fixture
def ran(offered):
    for run_id in ("night-1", "night-2"):
        assert main(["run", "-q", "--on", "inline", "--run-id", run_id]) == 0
    return offered


OF_BATCHES = [
    ("joblot run --only ", ["prep", "fit-1", "fit-2", "mail"]),
    ("joblot run --only fit", ["fit-1", "fit-2"]),
    ("joblot run --only=fit", ["fit-1", "fit-2"]),
    ("joblot run --only fit-1,", ["fit-1,prep", "fit-1,fit-1", "fit-1,fit-2", "fit-1,mail"]),
    ("joblot run --only fit-1 --exclude pr", ["prep"]),
    ("joblot run joblot.yaml -j 4 --upto pr", ["prep"]),
    ("joblot plan --from m", ["mail"]),
    ("joblot plan --force-job x", []),
    ("joblot run fan.yaml --var day=2026-11-20 --only load-4", ["load-4329A"]),
    ("joblot run --var day=2026-11-20 fan.yaml --only load", ["load-6920Z", "load-4329A"]),
    ("joblot run fan.yaml --only ", ["first"]),  # without the value nobody knows the others
    ("joblot run fan.yaml joblot.yaml --var day=2026-11-20 --only fan.l", ["fan.load-6920Z", "fan.load-4329A"]),
    ("joblot run none.yaml --only ", []),
    ("joblot accept joblot.yaml f", ["fit-1", "fit-2"]),
    ("joblot accept joblot.yaml fit-1 p", ["prep"]),
]


@pytest.mark.parametrize(("words", "names"), OF_BATCHES)
def test_the_jobs_of_a_batch(offered, words, names):
    assert offered(words) == names
    assert not (offered.path / ".joblot").exists()


OF_RUNS = [
    ("joblot show ", ["last", "night-2", "night-1", "prep", "fit-1", "fit-2", "mail"]),
    ("joblot logs fit", ["fit-1", "fit-2"]),
    ("joblot logs -f --tail 3 fit", ["fit-1", "fit-2"]),
    ("joblot explain n", ["night-2", "night-1"]),
    ("joblot explain night-1 fit", ["fit-1", "fit-2"]),
    ("joblot logs last m", ["mail"]),
    ("joblot replay pr", ["prep"]),
    ("joblot retry night", ["night-2", "night-1"]),
    ("joblot retry --job fit", ["fit-1", "fit-2"]),
    ("joblot retry night-1 --job fit-1 --job p", ["prep"]),
    ("joblot resume ", ["last", "night-2", "night-1"]),
    ("joblot cancel night-1", ["night-1"]),
    ("joblot explain nothing f", []),
]


@pytest.mark.parametrize(("words", "names"), OF_RUNS)
def test_runs_and_their_jobs(ran, words, names):
    assert ran(words) == names


@pytest.mark.parametrize("words", ["joblot logs ", "joblot explain last ", "joblot resume ", "joblot retry --job "])
def test_where_nothing_has_run(offered, words):
    assert offered(words) == (["last"] if words in ("joblot logs ", "joblot resume ") else [])
    assert not (offered.path / ".joblot").exists()


def test_a_state_folder_that_is_named(ran, monkeypatch):
    below = ran.path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert ran("joblot logs fit") == []
    assert ran("joblot logs --state ../.joblot fit") == ["fit-1", "fit-2"]
    monkeypatch.setenv("JOBLOT_STATE", str(ran.path / ".joblot"))
    assert ran("joblot logs fit") == ["fit-1", "fit-2"]


@pytest.mark.parametrize("damage", ["journal.db", "plan"])
def test_a_damaged_journal_offers_nothing_and_says_nothing(ran, damage, capsys):
    import sqlite3
    from contextlib import closing

    journal = ran.path / ".joblot/journal.db"
    if damage == "plan":
        with closing(sqlite3.connect(journal)) as database, database:
            database.execute("UPDATE run SET plan = x'7b7d'")
    else:
        journal.write_bytes(b"no database" * 1000)
    assert ran("joblot explain last ") == []
    assert capsys.readouterr() == ("", "")


BROKEN = [
    ("jobs: [{name: a, run: x}, {name: b, retrys: 3}]", ["a", "b"]),
    ("jobs: [{name: a, run: x, needs: [z]}, {name: a, run: y}]", ["a", "a"]),
    (
        "jobs: [{name: a, action: my.own}, {name: 'f-${{ matrix.n }}', run: x, matrix: {n: [1, 2]}}]",
        ["a", "f-1", "f-2"],
    ),
    ("jobs: [{name: a, run: x}, {name: 'f-${{ item.n }}', run: x, foreach: gone.csv}]", ["a"]),
    ("jobs: [{name: f, run: x, matrix: {n: [1, 2]}}]", ["f-1", "f-2"]),
    ("jobs: [3, {name: 7}, {name: a}]", ["a"]),
    ("jobs: {a: 1}", []),
    ("- a", []),
    ("jobs: [{name: a", []),
    ("\xff", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "names"), BROKEN)
def test_a_file_that_is_being_written(offered, text, names, capsys):
    (offered.path / "joblot.yaml").write_bytes(text.encode("latin-1"))
    assert offered("joblot run --only ") == names
    assert capsys.readouterr() == ("", "")


def test_nothing_runs_and_nothing_is_imported(offered):
    (offered.path / "noticed.py").write_text("open('imported', 'w')\n")
    (offered.path / "joblot.yaml").write_text(
        "imports: [./noticed.py]\njobs:\n"
        "  - {name: a, action: noticed.act}\n"
        "  - {name: 'b-${{ item }}', run: 'true', foreach: {command: 'touch run; echo 1'}}\n"
        "  - {name: 'c-${{ item.n }}', run: 'true', foreach: [{n: 1}]}\n"
    )
    assert [name for name in offered("joblot run --only ") if name[0] in "ac"] == ["a", "c-1"]
    assert sorted(path.name for path in offered.path.iterdir()) == [
        "codes.csv",
        "fan.yaml",
        "joblot.yaml",
        "noticed.py",
    ]
    assert "noticed" not in sys.modules


SHELLS = {
    "bash": ({"COMP_WORDS": "joblot run --only fit", "COMP_CWORD": "3"}, "plain,fit-1\nplain,fit-2"),
    "zsh": ({"COMP_WORDS": "joblot run --only fit", "COMP_CWORD": "3"}, "plain\nfit-1\n_\nplain\nfit-2\n_"),
    "fish": ({"COMP_WORDS": "joblot run --only fit", "COMP_CWORD": "fit"}, "plain\nfit-1\n_\nplain\nfit-2\n_"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_answered_in_its_form(offered, shell, monkeypatch):
    environment, answer = SHELLS[shell]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = get_completion_class(shell)(cli, {}, "joblot", "_JOBLOT_COMPLETE").complete()
    if shell == "fish":  # whose form differs between releases of click
        assert [word for word in done.replace(",", "\n").split("\n") if word.startswith("fit")] == ["fit-1", "fit-2"]
    else:
        assert done == answer


@pytest.mark.parametrize(
    "words", ["joblot run b", "joblot validate ", "joblot accept x", "joblot run --report r", "joblot ls --state .j"]
)
def test_files_are_left_to_the_shell(offered, words):
    *before, incomplete = words.split(" ")[1:]
    (item,) = ShellComplete(cli, {}, "joblot", "_JOBLOT_COMPLETE").get_completions(before, incomplete)
    assert (item.type, item.value) == ("file", incomplete)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_completing_the_jobs_of_a_large_file_costs_less_than_loading_it(offered, calls, suffix):
    jobs = [{"name": f"fit-{number}", "run": f"true {number}"} for number in range(3000)]
    text = json.dumps({"jobs": jobs})
    if suffix == "yaml":
        text = "jobs:\n" + "".join(f"  - {{name: {job['name']}, run: {job['run']}}}\n" for job in jobs)
    (offered.path / f"big.{suffix}").write_text(text)
    assert len(offered(f"joblot run big.{suffix} --only fit-")) == 3000  # and what is imported once has been
    loading = calls(lambda: load(f"big.{suffix}"))
    assert 0 < calls(lambda: offered(f"joblot run big.{suffix} --only fit-")) < loading
