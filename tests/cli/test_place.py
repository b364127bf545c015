"""Where the state folder is: beside the batch file, wherever joblot is started."""

import json
import os
import shutil
import subprocess
import sys

import pytest

MAKES = "jobs: [{name: a, run: 'echo x >> made.txt', outputs: [made.txt]}]\n"
MAKES_IT = "hint: `joblot run` makes it beside the batch file: go there, or name it with `--state`\n"
OF_MAKES = {
    "joblot.yaml": MAKES,
    "other.json": json.dumps({"jobs": [{"name": "a", "run": "echo x >> made.txt", "outputs": ["made.txt"]}]}),
    "x.toml": "[[jobs]]\nname = 'a'\nrun = 'echo x >> made.txt'\noutputs = ['made.txt']\n",
}


def states(joblot):
    return sorted(str(path.relative_to(joblot.path)) for path in joblot.path.rglob("journal.db"))


@pytest.fixture
def away(joblot):
    """Two folders: `srv` with a batch file, and `home`, where one stands."""
    joblot.write("srv/joblot.yaml", MAKES)
    (joblot.path / "home").mkdir()
    return joblot.path / "home"


def test_what_cron_runs_is_known_in_the_folder_of_the_batch(joblot, away):
    """The batch file is named by its whole path, from a folder that has nothing to do with it."""
    assert joblot("run", str(joblot.path / "srv/joblot.yaml"), "--run-id", "r1", cwd=away).code == 0
    assert (states(joblot), list(away.iterdir())) == (["srv/.joblot/journal.db"], [])
    listed = joblot("ls", "--json", cwd=joblot.path / "srv")
    assert [run["run_id"] for run in json.loads(listed.out)] == ["r1"]
    assert "] a: cached: up to date" in joblot("run", cwd=joblot.path / "srv").err


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("../srv/joblot.yaml", "joblot.yaml"),
        ("../link/x.toml", "x.toml"),
        ("../home/../srv/other.json", "other.json"),
        ("{root}/srv/joblot.yaml", "joblot.yaml"),
    ],
)
def test_however_the_file_is_called(joblot, away, path, file):
    joblot.write(f"srv/{file}", OF_MAKES[file])
    (joblot.path / "link").symlink_to("srv")
    assert joblot("run", "-q", path.format(root=joblot.path), cwd=away).code == 0
    assert (states(joblot), list(away.iterdir())) == (["srv/.joblot/journal.db"], [])


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("srv/joblot.yaml", "link/joblot.yaml"),
        ("link/joblot.yaml", "srv/joblot.yaml"),
        ("link/joblot.yaml", "srv/../link/joblot.yaml"),
        ("inner/srv/joblot.yaml", "srv/joblot.yaml"),
        ("link/joblot.yaml", "{root}/srv/joblot.yaml"),
    ],
)
def test_what_is_up_to_date_is_so_by_every_name_of_the_folder(joblot, away, first, then):
    (joblot.path / "link").symlink_to("srv")
    (joblot.path / "inner").symlink_to(".")
    assert joblot("run", "-q", first, cwd=joblot.path).code == 0
    done = joblot("plan", then.format(root=joblot.path), cwd=joblot.path)
    assert (done.code, "up to date" in done.out) == (0, True), done.out
    assert "] a: cached: up to date" in joblot("run", then.format(root=joblot.path), cwd=joblot.path).err


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move])
def test_a_run_that_came_with_a_folder_says_where_it_goes_on(joblot, away, move):
    joblot.write("srv/joblot.yaml", "jobs: [{name: a, run: 'false'}]\n")
    assert joblot("run", "-q", "--run-id", "r1", cwd=joblot.path / "srv").code == 1
    move(joblot.path / "srv", joblot.path / "other")
    done = joblot("resume", "-q", "r1", cwd=joblot.path / "other")
    warning = (
        "run `r1` is of `DIR/srv/joblot.yaml`, not of the file beside `DIR/other/.joblot`: its jobs run in `DIR/srv`\n"
    )
    assert warning in done.err
    if move is shutil.copytree:
        assert done.code == 1
    else:  # its folder would be made anew
        assert (done.code, "error: the folder of run `r1` is not there: `DIR/srv`\n" in done.err) == (4, True)


def test_several_files_of_one_folder(joblot, away):
    joblot.write("srv/b.yaml", MAKES.replace("made", "b"))
    assert joblot("run", "-q", "../srv/joblot.yaml", "../srv/b.yaml", cwd=away).code == 0
    assert states(joblot) == ["srv/.joblot/journal.db"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("plan", "../srv/joblot.yaml"), "up to date"),
        (("run", "--dry-run", "../srv/joblot.yaml"), "up to date"),
        (("accept", "../srv/joblot.yaml", "a"), "accepted `a`"),
        (("run", "../srv/joblot.yaml", "--json"), '"cached"'),
        (("ls", "--state", "../srv/.joblot"), "r1"),
        (("resume", "--state", "../srv/.joblot"), "r1"),
    ],
)
def test_every_command_that_names_the_batch_finds_it(joblot, away, words, found):
    joblot("run", "--run-id", "r1", cwd=joblot.path / "srv")
    done = joblot(*words, cwd=away)
    assert (done.code, found in done.out) == (0, True), done
    assert (states(joblot), list(away.iterdir())) == (["srv/.joblot/journal.db"], [])


@pytest.mark.parametrize(
    ("words", "env", "place"),
    [
        (("--state", "s"), {}, "home/s"),
        ((), {"JOBLOT_STATE": "s"}, "home/s"),
        (("--state", "t"), {"JOBLOT_STATE": "s"}, "home/t"),
        (("--state", ""), {"JOBLOT_STATE": ""}, "srv/.joblot"),
    ],
)
def test_a_chosen_one_goes_before(joblot, away, words, env, place):
    assert joblot("run", "-q", "../srv/joblot.yaml", *words, cwd=away, env=env).code == 0
    assert states(joblot) == [f"{place}/journal.db"]


def test_from_python(joblot, away):
    code = (
        "import joblot\n"
        "joblot.run('../srv/joblot.yaml')\n"
        "batch = joblot.Batch('p', folder='../srv')\n"
        "batch.command('a', 'exit 1')\n"
        "batch.run(run_id='r1')\n"
        "assert batch.run(resume='r1').run_id == 'r1'\n"
        "joblot.Batch('q').run()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=away, env=joblot.env, check=True, timeout=60)
    assert states(joblot) == ["home/.joblot/journal.db", "srv/.joblot/journal.db"]


# --- a state folder where one stands ------------------------------------------------------------------

USED = "WARNING | earlier runs of this batch are in `DIR/home/.joblot`, which is used; as `DIR/srv/.joblot` it is found from every folder\n"


def test_an_earlier_one_where_one_stands_is_used_and_a_line_says_so(joblot, away):
    joblot("run", "../srv/joblot.yaml", "--state", ".joblot", cwd=away)
    for words in (("run", "../srv/joblot.yaml"), ("plan", "../srv/joblot.yaml"), ("accept", "../srv/joblot.yaml", "a")):
        done = joblot(*words, cwd=away)
        assert (done.code, done.plain.count(USED)) == (0, 1), done
    assert states(joblot) == ["home/.joblot/journal.db"]
    (away / ".joblot").rename(joblot.path / "srv/.joblot")
    done = joblot("run", "../srv/joblot.yaml", cwd=away)
    assert (USED in done.plain, "] a: cached: up to date" in done.plain) == (False, True)


@pytest.mark.parametrize("kind", ["other batch", "no runs", "empty", "file"])
def test_one_that_has_no_runs_of_the_batch_is_left_alone(joblot, away, kind):
    if kind == "other batch":
        joblot.write("home/joblot.yaml", MAKES)
        joblot("run", cwd=away)
    elif kind == "file":
        (away / ".joblot").write_text("")
    else:
        (away / ".joblot").mkdir()
    done = joblot("run", "-q", "../srv/joblot.yaml", cwd=away)
    assert (done.code, done.err) == (0, "")
    assert "srv/.joblot/journal.db" in states(joblot)


def test_one_that_cannot_be_read_is_passed_over_with_a_line(joblot, away):
    joblot.write("home/.joblot/journal.db", "no journal, and longer than SQLite's header is: " * 9)
    done = joblot("run", "-q", "../srv/joblot.yaml", cwd=away)
    assert done.code == 0
    assert done.plain == (
        "WARNING | whether `DIR/home/.joblot` has earlier runs of this batch is not known: "
        "journal `DIR/home/.joblot/journal.db` is damaged: file is not a database\n"
    )


def test_the_one_beside_the_batch_file_goes_before_one_where_one_stands(joblot, away):
    joblot("run", "../srv/joblot.yaml", "--state", ".joblot", cwd=away)
    joblot("run", cwd=joblot.path / "srv")
    done = joblot("run", "-q", "../srv/joblot.yaml", cwd=away)
    assert (done.code, done.err) == (0, "")


def test_commands_without_a_batch_do_not_look_into_the_folders_above(joblot, away):
    """What lies there may be a stranger's."""
    joblot("run", cwd=joblot.path / "srv")
    (joblot.path / "srv/inner").mkdir()
    done = joblot("ls", cwd=joblot.path / "srv/inner")
    assert (done.code, done.err) == (
        4,
        "error: no runs here: `DIR/srv/inner/.joblot` does not exist or holds no journal\n" + MAKES_IT,
    )


def test_what_to_call_next_names_the_folder(joblot, away):
    joblot.write("s r v/joblot.yaml", "jobs: [{name: a, run: exit 1}]\n")
    done = joblot("run", "../s r v/joblot.yaml", "--run-id", "r1", cwd=away)
    assert "to run again what failed: joblot retry r1 --failed --state 'DIR/s r v/.joblot'\n" in done.err
    done = joblot("run", "--run-id", "r2", cwd=joblot.path / "s r v")
    assert "to run again what failed: joblot retry r2 --failed\n" in done.err


# --- a folder that cannot be written to -----------------------------------------------------------------

PLACE = """\
import os, joblot, joblot.journal.place
config = joblot.load("../srv/joblot.yaml")
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(joblot.journal.place.state_of(config, None, print))
"""


@pytest.mark.alone
def test_a_batch_in_a_folder_that_cannot_be_written_to(joblot, away):
    """The state folder is where one stands, as it always was. What joblot asks for a user to whom nothing belongs but `home`."""
    (joblot.path / "srv").chmod(0o555)
    if os.getuid() == 0:
        os.chown(away, 65534, 65534)
        for above in (joblot.path, *joblot.path.parents[:2]):  # pytest's folders are for its user alone
            above.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", PLACE], cwd=away, capture_output=True, text=True, timeout=60)
    (joblot.path / "srv").chmod(0o755)
    assert done.stdout.replace(str(joblot.path), "DIR").splitlines() == [
        "`DIR/srv` cannot be written to: the state folder is `DIR/home/.joblot`",
        "DIR/home/.joblot",
    ], done.stderr


@pytest.mark.alone
def test_a_batch_is_run_from_a_folder_that_cannot_be_written_to(joblot, away):
    away.chmod(0o555)
    done = joblot("run", "-q", "../srv/joblot.yaml", cwd=away)
    away.chmod(0o755)
    assert (done.code, done.err) == (0, "")
    assert states(joblot) == ["srv/.joblot/journal.db"]
