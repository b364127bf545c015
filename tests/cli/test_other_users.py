"""What another user has put somewhere is not trusted: state folders, the files in them, and places that files are written to.

The commands run in this process, which is many times as fast; nothing of this depends on a process of its own.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from joblot import Context, RunLogger, atomic_write
from joblot.__main__ import main
from joblot.errors import UsageError
from joblot.files import make_part

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
BATCH = '{"name": "small", "jobs": [{"name": "a", "run": "echo said; false", "outputs": ["out"]}]}'
LOOKING = (
    "ls",
    "plan b.json",
    "show r1",
    "logs r1",
    "logs r1 a --tail 1",
    "explain r1 a",
)
CHANGING = (
    "run -q b.json --run-id r2 --on inline",
    "resume -q r1 --on inline",
    "retry -q r1 --failed --on inline",
    "replay r1 a",
    "cancel r1",
    "accept b.json a",
    "recover",
)


class Project:
    """A folder with one run of a batch, which failed."""

    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.state = path / ".joblot"
        self.run = self.state / "runs" / "r1"

    def __call__(self, command):
        code = main(command.split())
        out, err = self._capsys.readouterr()
        return code, out, err.replace(str(self.path), "DIR")

    def errors(self, command):
        """The exit code of a command, and its errors with their hints."""
        code, _, err = self(command)
        return code, [line for line in err.splitlines() if line.startswith(("error: ", "hint: ", "internal error"))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("users") / "project"
    path.mkdir()
    (path / "b.json").write_text(BATCH)
    before = os.getcwd()
    os.chdir(path)
    try:
        assert main(["run", "-q", "b.json", "--run-id", "r1", "--on", "inline"]) == 1
    finally:
        os.chdir(before)
    path.rename(f"{path}.kept")
    return path


@pytest.fixture
def joblot(made, capsys, monkeypatch, tmp_path):
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(f"{made}.kept", made)
    monkeypatch.chdir(made)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    capsys.readouterr()
    return Project(made, capsys)


@pytest.fixture
def shared(tmp_path):
    """A folder like `/tmp`, and a file of the user's own elsewhere."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "victim").write_text("precious")
    (tmp_path / "own" / "victim").chmod(0o600)
    return folder


def plant(path, victim=None):
    """Have another user put a link there, or a pipe."""
    if victim is None:
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    os.lchown(path, NOBODY, NOBODY)


def is_precious(shared):
    victim = shared.parent / "own" / "victim"
    status = victim.stat()
    return (victim.read_text(), stat.S_IMODE(status.st_mode), status.st_uid) == ("precious", 0o600, os.geteuid())


# --- state folders ------------------------------------------------------------------------------------


def owned(name):
    return lambda joblot: os.chown(joblot.state / name, NOBODY, NOBODY)


def mode(name, bits):
    return lambda joblot: (joblot.state / name).chmod(bits)


def linked(joblot):
    joblot.state.rename(joblot.path / "elsewhere")
    plant(joblot.state, "elsewhere")


OWNED = "user `nobody` owns"
OPEN = "other users may write to"
STRANGERS = {
    "the folder is another user's": (owned(""), f"{OWNED} it", LOOKING + CHANGING),
    "everybody may write to it": (mode("", 0o777), f"{OPEN} it", LOOKING + CHANGING),
    "its group may write to it": (mode("", 0o770), f"{OPEN} it", LOOKING + CHANGING),
    "everybody may add to it": (mode("", 0o1777), f"{OPEN} it", LOOKING + CHANGING),
    "it is another user's link": (linked, f"{OWNED} it", LOOKING + CHANGING),
    "the journal is another user's": (owned("journal.db"), f"{OWNED} `journal.db` in it", LOOKING + CHANGING),
    "everybody may write to the journal": (mode("journal.db", 0o666), f"{OPEN} `journal.db` in it", LOOKING + CHANGING),
    "all runs are another user's": (owned("runs"), f"{OWNED} `runs` in it", LOOKING[2:] + CHANGING[:4]),
    "the run is another user's": (owned("runs/r1"), f"{OWNED} `runs/r1` in it", LOOKING[2:] + CHANGING[1:4]),
    "everybody may write to the run": (mode("runs/r1", 0o777), f"{OPEN} `runs/r1` in it", LOOKING[2:] + CHANGING[1:4]),
    "its lock is another user's": (
        owned("runs/r1/lock"),
        f"{OWNED} `runs/r1/lock` in it",
        ("show r1", "resume r1 --on inline"),
    ),
    "its events are another user's": (
        owned("runs/r1/events.jsonl"),
        f"{OWNED} `runs/r1/events.jsonl` in it",
        ("show r1", "explain r1 a", "retry r1 --failed --on inline"),
    ),
    "its logs are another user's": (
        owned("runs/r1/logs"),
        f"{OWNED} `runs/r1/logs` in it",
        ("logs r1", "resume r1 --on inline", "retry r1 --failed --on inline"),
    ),
    "everybody may write to its logs": (
        mode("runs/r1/logs", 0o777),
        f"{OPEN} `runs/r1/logs` in it",
        ("logs r1", "resume r1 --on inline"),
    ),
    "its plan is another user's": (
        owned("runs/r1/plan.json"),
        f"{OWNED} `runs/r1/plan.json` in it",
        ("resume r1 --on inline", "retry r1 --failed --on inline"),
    ),
    "everybody may write to its report": (
        mode("runs/r1/report.json", 0o666),
        f"{OPEN} `runs/r1/report.json` in it",
        ("resume r1 --on inline",),
    ),
    "what is claimed is another user's": (
        owned("claims"),
        f"{OWNED} `claims` in it",
        ("run -q b.json --run-id r2 --on inline", "resume r1 --on inline", "replay r1 a", "accept b.json a"),
    ),
    "everybody may claim": (
        mode("claims", 0o777),
        f"{OPEN} `claims` in it",
        ("run -q b.json --run-id r2 --on inline", "resume r1 --on inline", "replay r1 a", "accept b.json a"),
    ),
    "a log is another user's": (owned("runs/r1/logs/a/1.log"), f"{OWNED} `runs/r1/logs/a/1.log` in it", ("logs r1",)),
}


@as_root
@pytest.mark.parametrize("case", STRANGERS)
def test_a_state_folder_that_is_not_the_users_own_alone_is_refused_by_every_command(joblot, case, tmp_path):
    change, why, commands = STRANGERS[case]
    change(joblot)
    trust = f'`trusted_folders = ["DIR/.joblot"]` in `{tmp_path}/config/joblot/settings.toml`'
    hints = (
        f"hint: choose another with `--state`; to use it nevertheless: {trust}",
        f"hint: `chmod -R go-w DIR/.joblot` keeps them out; to share it: {trust}",
    )
    for command in commands:
        code, lines = joblot.errors(command)
        assert (code, lines[0], command) == (4, f"error: the state folder `DIR/.joblot` is not trusted: {why}", command)
        assert lines[1:] == [hints[why.startswith(OPEN)]]
    assert not (joblot.state / "runs" / "r2").exists()


@as_root
def test_a_strangers_run_beside_others_keeps_none_of_them_from_being_recovered(joblot):
    assert joblot("run -q b.json --run-id r2 --on inline")[0] == 1
    owned("runs/r1")(joblot)
    (joblot.state / "journal.db").unlink()
    code, out, err = joblot("recover")
    assert (code, "run r2: " in out) == (4, True)
    assert err.startswith(
        "error: run `r1` cannot be recovered: the state folder `DIR/.joblot` is not trusted: user `nob"
    )


@as_root
def test_a_state_folder_of_another_user_is_refused_though_nothing_has_run_there(joblot):
    shutil.rmtree(joblot.state)
    joblot.state.mkdir()
    os.chown(joblot.state, NOBODY, NOBODY)
    for command in ("ls", "plan b.json", "run -q b.json", "recover"):
        assert joblot.errors(command)[0] == 4
    assert os.listdir(joblot.state) == []


@as_root
def test_what_another_user_has_left_to_resume_is_not_run(joblot):
    (joblot.path / "b.json").write_text(BATCH.replace("echo said; false", "touch ran; false"))
    assert joblot("run -q b.json --run-id r2 --on inline")[0] == 1
    (joblot.path / "ran").unlink()
    for path in (joblot.state, *joblot.state.rglob("*")):
        os.lchown(path, NOBODY, NOBODY)
    for command in ("resume -q r2 --on inline", "retry -q r2 --failed --on inline", "replay r2 a"):
        assert joblot.errors(command)[0] == 4
    assert not (joblot.path / "ran").exists()


def settings(tmp_path, text, bits=0o600):
    file = tmp_path / "config" / "joblot" / "settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(bits)
    return file


@pytest.mark.parametrize(
    ("names", "code"),
    [('["STATE"]', 0), ('["/elsewhere", "STATE/"]', 0), ('["*"]', 0), ("[]", 4), ('["/elsewhere"]', 4), ('["STATE/runs"]', 4)],
)  # fmt: skip
def test_a_folder_that_the_settings_name_is_used(joblot, tmp_path, names, code):
    joblot.state.chmod(0o777)
    joblot.run.chmod(0o777)
    settings(tmp_path, f"trusted_folders = {names.replace('STATE', str(joblot.state))}\n")
    assert [joblot(command)[0] for command in ("ls", "show r1", "logs r1 a")] == [code] * 3


@pytest.mark.parametrize(
    ("text", "bits", "message"),
    [
        ('trusted_folders = ["*"]', 0o666, "the settings `FILE` are not trusted: they are not a file of yours alone"),
        ("trusted_folders = '*'", 0o600, "in the settings `FILE`: `trusted_folders` must be a list of texts"),
        ("trusted_folders = [1]", 0o600, "in the settings `FILE`: `trusted_folders` must be a list of texts"),
        ("trusted_folders", 0o600, "cannot read the settings `FILE`: expected '=' after a key in a key/value pair (at end of document)"),
        (None, 0o600, "cannot read the settings `FILE`: is a directory"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_right_are_one_line(joblot, tmp_path, text, bits, message):
    joblot.state.chmod(0o777)
    file = settings(tmp_path, text or "", bits)
    if text is None:
        file.unlink()
        file.mkdir()
    code, lines = joblot.errors("ls")
    assert (code, lines[0].lower()) == (4, f"error: {message.replace('FILE', str(file))}".lower())


def test_settings_are_not_looked_at_where_nothing_is_refused(joblot, tmp_path):
    settings(tmp_path, "no settings at all")
    assert joblot("ls")[0] == 0


def test_the_users_own_link_may_lead_to_the_state_folder(joblot):
    joblot.state.rename(joblot.path / "elsewhere")
    joblot.state.symlink_to("elsewhere")
    assert [joblot(command)[0] for command in ("ls", "show r1", "resume -q r1 --on inline")] == [0, 0, 1]


@pytest.mark.alone
@pytest.mark.parametrize("bits", [0o700, 0o755])
def test_all_that_joblot_makes_there_is_for_the_user_alone(joblot, bits):
    shutil.rmtree(joblot.state)
    before = os.umask(0)
    try:
        joblot.state.mkdir(bits)
        assert joblot("run -q b.json --run-id r1")[0] == 1
        assert joblot("retry -q r1 --failed --on inline")[0] == 1
        (joblot.state / "journal.db").unlink()
        assert joblot("recover")[0] == 0
    finally:
        os.umask(before)
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in joblot.state.rglob("*")
        if not {"partial", "claims"} & {*path.parts}
    }
    assert {0o700 if path.is_dir() else 0o600 for path in modes} == set(modes.values())
    assert [path for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)] == []


# --- something else in the place of a file -------------------------------------------------------------


def link(path):
    path.symlink_to(Path("victims/file").absolute())


def link_to_folder(path):
    path.symlink_to(Path("victims").absolute())


def link_to_nothing(path):
    path.symlink_to(Path("victims/new").absolute())


def second_name(path):
    os.link("victims/file", path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("sock")  # the names of sockets are short
    os.rename("sock", path)


KINDS = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "link": link,
    "link to a folder": link_to_folder,
    "link to nothing": link_to_nothing,
    "second name": second_name,
}
FILES = (
    "lock",
    "plan.json",
    "events.jsonl",
    "report.json",
    "selection.json",
    "cluster.json",
    "live",
    "logs",
    "logs/a",
    "logs/a/1.log",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", [*FILES, "../../journal.db", "../../journal.db-wal", "../../journal.db-shm", "../../runs"]
)
def test_nothing_waits_for_or_is_written_to_what_stands_in_the_place_of_a_file(joblot, name, kind):
    victims = joblot.path / "victims"
    victims.mkdir()
    (victims / "file").write_text("precious")
    path = Path(os.path.normpath(joblot.run / name))
    if path.is_dir():
        path.rename(joblot.path / "away")
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    for command in ("ls", "show r1", "logs r1", "plan b.json", "resume -q r1 --on inline", "recover"):
        code, lines = joblot.errors(command)
        assert code in (0, 1, 4), (command, lines)
        assert len([line for line in lines if not line.startswith("hint: ")]) <= 1, (command, lines)
        assert not [line for line in lines if line.startswith("internal")], (command, lines)
        assert (os.listdir(victims), (victims / "file").read_text()) == (["file"], "precious"), command


@pytest.mark.parametrize(
    "command", ["accept b.json a", "run -q b.json --on inline", "ls", "show r1", "resume r1", "plan b.json"]
)
def test_what_a_killed_run_had_not_written_yet_is_not_written_to_a_second_name(joblot, command):
    """The database's own log holds pages, which whoever opens it next puts into the file."""
    journal = joblot.state / "journal.db"
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("CREATE TABLE more (x)")
        database.commit()
        log = Path(f"{journal}-wal").read_bytes()
    assert log
    (joblot.path / "victim").write_text("precious")
    journal.unlink()
    os.link(joblot.path / "victim", journal)
    Path(f"{journal}-wal").write_bytes(log)
    code, lines = joblot.errors(command)
    assert code == 4 or command.startswith("plan")
    assert len([line for line in lines if line.startswith("error: ")]) <= 1
    assert (joblot.path / "victim").read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("name", ["lock", "plan.json", "events.jsonl", "report.json", "selection.json", "cluster.json"])
def test_a_pipe_in_the_place_of_a_file_of_a_run_that_is_to_go_on_is_one_line(joblot, name, kind):
    (joblot.run / name).unlink(missing_ok=True)
    KINDS[kind](joblot.run / name)
    code, lines = joblot.errors("resume -q r1 --on inline")
    assert (code, lines) == (
        4,
        [f"error: cannot use `DIR/.joblot/runs/r1/{name}`: it is not a file", "hint: move it away"],
    )


@pytest.mark.parametrize("name", ["report.json", "plan.json", "lock"])
def test_a_job_that_makes_a_pipe_in_the_runs_folder_does_not_hold_up_its_end(joblot, name):
    run = f"rm -f .joblot/runs/r2/{name}; mkfifo .joblot/runs/r2/{name}"
    (joblot.path / "b.json").write_text(BATCH.replace("echo said; false", f"{run}; touch out"))
    code, lines = joblot.errors("run -q b.json --run-id r2 --on inline")
    expected = (4, ["error: cannot use `DIR/.joblot/runs/r2/report.json`: it is not a file", "hint: move it away"])
    assert (code, lines) == (expected if name == "report.json" else (0, []))
    assert joblot.errors("ls")[0] == 0


def test_what_a_failed_attempt_leaves_is_not_moved_through_a_link(joblot):
    victims = joblot.path / "victims"
    victims.mkdir()
    plant = "mkdir -p .joblot/runs/r2/partial/a; ln -s $PWD/victims .joblot/runs/r2/partial/a/1"
    (joblot.path / "b.json").write_text(BATCH.replace("echo said", f"touch out; {plant}"))
    code, lines = joblot.errors("run -q b.json --run-id r2 --on inline")
    assert (code, lines, os.listdir(victims)) == (1, [], [])
    shown = joblot("show r2")[1].replace(str(joblot.path), "DIR")
    assert "cannot move `DIR/.joblot/runs/r2/partial/a/1` aside: too many levels of symbolic links" in shown


# --- elsewhere ----------------------------------------------------------------------------------------


def report(joblot, path):
    return joblot.errors(f"run -q b.json --on inline --report {path}")


def log(joblot, path):
    return joblot.errors(f"run -q b.json --on inline --log {path}")


def logger(option):
    def write(_, path):
        try:
            with RunLogger(**{option: path}):
                pass
        except UsageError as error:
            return error.exit_code, [f"error: {error.message}", f"hint: {error.hint}"]
        return 0, []

    return write


WRITERS = {
    "report": report,
    "log": log,
    "the log of a logger": logger("log"),
    "the stream of a logger": logger("stream"),
}
PLANTED = {
    "a link to a file": (lambda shared: plant(shared / "f", shared.parent / "own" / "victim"), "f", "a link"),
    "a link to nothing": (lambda shared: plant(shared / "f", shared.parent / "own" / "new"), "f", "a link"),
    "a link within the folder": (lambda shared: plant(shared / "f", "other"), "f", "a link"),
    "a link to a folder": (lambda shared: plant(shared / "d", shared.parent / "own"), "d/victim", "a link"),
    "a link to a link": (
        lambda shared: ((shared.parent / "mine").symlink_to("own/victim"), plant(shared / "f", "../mine")),
        "f",
        "a link",
    ),
    "a pipe": (lambda shared: plant(shared / "f"), "f", "a pipe or device"),
}


@as_root
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("bits", [0o1777, 0o777, 0o2775])
def test_what_a_stranger_has_put_where_others_may_write_is_not_followed(joblot, shared, writer, planted, bits):
    make, name, what = PLANTED[planted]
    make(shared)
    shared.chmod(bits)
    code, lines = WRITERS[writer](joblot, shared / name)
    assert (code, lines[0]) == (2, f"error: cannot write `{shared / name}`: another user may have put {what} there")
    assert lines[1:] == ["hint: give the path that it leads to, or one in a folder where only you may write"]
    assert is_precious(shared)
    assert not (shared.parent / "own" / "new").exists()
    assert not (shared / "other").exists()


@as_root
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_in_a_folder_of_the_other_user_is_not_followed_either(joblot, shared, writer):
    shared.chmod(0o755)
    os.chown(shared, NOBODY, NOBODY)
    plant(shared / "f", shared.parent / "own" / "victim")
    assert WRITERS[writer](joblot, shared / "f")[0] == 2
    assert is_precious(shared)


@as_root
def test_a_strangers_second_name_of_a_file_is_not_appended_to(joblot, shared):
    os.link(shared.parent / "own" / "victim", shared / "f")
    code, lines = logger("stream")(joblot, shared / "f")
    message = f"error: cannot write `{shared / 'f'}`: another user may have put a second name of another file there"
    assert (code, lines[0]) == (2, message)
    assert is_precious(shared)
    assert [WRITERS[name](joblot, shared / "f")[0] for name in ("report", "the log of a logger")] == [1, 0]
    assert is_precious(shared)


@as_root
@pytest.mark.parametrize("writer", WRITERS)
def test_links_of_the_users_own_and_of_root_are_followed(joblot, shared, writer):
    (shared / "f").symlink_to("real")
    assert WRITERS[writer](joblot, shared / "f")[0] in (0, 1)
    assert ((shared / "f").is_symlink(), (shared / "real").is_file()) == (True, True)


def generate(joblot, path):
    (joblot.path / "t.yaml").write_text("name: {item}\n")
    joblot(f"generate t.yaml --item item=x --out {path.parent} --name {path.name} --force")


def by_context(joblot, path):
    with Context.for_test(joblot.path).output(path) as part:
        part.write_text("new")


def by_block(_, path):
    with atomic_write(path) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_text("new")


REPLACING = {
    "report": report,
    "log": log,
    "the log of a logger": logger("log"),
    "an output": by_context,
    "a block": by_block,
}


@as_root
@pytest.mark.parametrize("writer", REPLACING)
@pytest.mark.parametrize(
    ("bits", "owner"), [(0o600, 0), (0o640, 0), (0o444, 0), (0o755, 0), (0o664, NOBODY), (0o4711, 1)]
)
def test_what_is_replaced_keeps_its_mode_and_owner(joblot, tmp_path, writer, bits, owner):
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, owner, owner)
    path.chmod(bits)
    REPLACING[writer](joblot, path)
    status = path.stat()
    assert path.read_text() != "old"
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (bits & 0o777, owner, owner)
    assert sorted(os.listdir(tmp_path)) == ["file"]


@as_root
@pytest.mark.parametrize("writer", REPLACING)
def test_what_a_stranger_put_where_everybody_may_gives_no_mode_and_owner(joblot, tmp_path, writer):
    tmp_path.chmod(0o1777)
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o666)
    REPLACING[writer](joblot, path)
    status = path.stat()
    assert path.read_text() != "old"
    (tmp_path / "new").touch()
    assert (status.st_mode, status.st_uid, status.st_gid) == ((tmp_path / "new").stat().st_mode, 0, 0)


@pytest.mark.parametrize("writer", [*REPLACING, "the stream of a logger"])
@pytest.mark.parametrize(("umask", "bits"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(joblot, tmp_path, writer, umask, bits):
    before = os.umask(umask)
    try:
        (REPLACING | WRITERS)[writer](joblot, tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == bits


@as_root
def test_temporary_files_of_outputs_cannot_be_guessed_nor_entered(joblot, shared):
    for number in range(4):
        plant(shared / f".out.{number}.part", shared.parent / "own" / "victim")
    (shared / f".out.{'0' * 16}.part").mkdir()
    os.chown(shared / f".out.{'0' * 16}.part", NOBODY, NOBODY)
    before = set(os.listdir(shared))
    by_context(joblot, shared / "out")
    assert set(os.listdir(shared)) == before | {"out"}
    assert is_precious(shared)
    names = {make_part(shared / "out").parent for _ in range(9)}
    assert (len(names), {stat.S_IMODE(name.stat().st_mode) for name in names}) == (9, {0o700})


@pytest.mark.alone
@pytest.mark.parametrize("make", ["mkfifo", "ln -s $PWD/b.json", "mkdir"])
def test_a_job_that_puts_something_else_in_the_place_of_its_log_only_loses_the_log(joblot, make):
    log = ".joblot/runs/r2/logs/a/1.log"
    text = f"echo said; sleep 0.4; rm -f {log}; mkdir -p .joblot/runs/r2/logs/a; {make} {log}; exit 3"
    (joblot.path / "b.json").write_text(BATCH.replace("echo said; false", text))
    code, _, err = joblot("run b.json --run-id r2")
    assert (code, "exit status 3" in err, "internal error" in err) == (1, True, False)
    assert (joblot.path / "b.json").read_text() == BATCH.replace("echo said; false", text)
