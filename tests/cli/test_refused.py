"""What the system refuses is never called a fault of joblot: exit code 4, and one line with the path."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from joblot.__main__ import main
from joblot.journal.runfile import RunFile, read_rows

ONE = "jobs: [{name: a, run: echo hi}]\n"

# --- a state folder that may not be read ----------------------------------------------------------------

SOMEBODY = """\
import contextlib, io, os, sys
from joblot.__main__ import main
if os.getuid() == 0:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for state in (".joblot", "none"):
            main([*sys.argv[1:], "--state", state])
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""
"""joblot as a user who may read nothing of root's. What it imports is imported before, as that user may not be able to read it."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with a state folder that its owner alone may read."""
    path = tmp_path_factory.mktemp("kept")
    (path / "joblot.yaml").write_text(ONE)
    subprocess.run([sys.executable, "-m", "joblot", "run", "-q", "--run-id", "r1"], cwd=path, check=True, timeout=60)
    (path / ".joblot").chmod(0o700 if os.getuid() == 0 else 0)
    for above in (path, *path.parents[:2]):  # pytest's folders are for its user alone
        above.chmod(0o755)
    yield path
    (path / ".joblot").chmod(0o700)


@pytest.mark.alone
@pytest.mark.parametrize(
    "words",
    [
        "ls",
        "show last",
        "logs r1",
        "explain r1 a",
        "resume -q",
        "retry r1",
        "cancel r1",
        "show r1 --events",
        "recover",
        "recover r1",
    ],
)
def test_a_state_folder_of_somebody_else_is_named(kept, words):
    """G6"""
    command = [sys.executable, "-c", SOMEBODY, *words.split()]
    done = subprocess.run(command, cwd=kept, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (4, "")
    line = done.stderr.splitlines()[0]
    assert line.startswith("error: cannot ") and line.endswith(": permission denied"), done.stderr
    assert f"`{kept}/.joblot" in line


@pytest.mark.parametrize("words", ["run -q", "ls", "show last", "resume", "recover", "plan"])
@pytest.mark.parametrize("kind", ["file", "link in a circle"])
def test_something_else_in_its_place_is_named(joblot, kind, words):
    joblot.write("joblot.yaml", ONE)
    state = joblot.path / ".joblot"
    if kind == "file":
        state.write_text("")
    else:
        state.symlink_to(".joblot")
    done = joblot(*words.split())
    expected = 0 if words == "plan" else 4
    assert (done.code, "internal error" in done.err) == (expected, False), done.err
    assert "`DIR/.joblot`" in done.err or expected == 0


@pytest.mark.parametrize("option", ["--report", "--log"])
def test_a_report_to_a_link_in_a_circle_is_wrong_usage(joblot, option):
    joblot.write("joblot.yaml", ONE)
    (joblot.path / "x").symlink_to("x")
    done = joblot("run", option, "x")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: cannot write `DIR/x`: too many levels of symbolic links",
    )


# --- whatever else it refuses ---------------------------------------------------------------------------

NOT_OURS = "the system refused what joblot needs: "


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.EACCES, "Permission denied", "/x/y"), 4, "error: cannot use `/x/y`: permission denied\n"),
        (OSError(errno.EMFILE, "Too many open files"), 4, f"error: {NOT_OURS}too many open files\n"),
        (
            OSError(errno.EAGAIN, "Resource temporarily unavailable"),
            4,
            f"error: {NOT_OURS}resource temporarily unavailable\n",
        ),
        (MemoryError(), 4, f"error: {NOT_OURS}cannot allocate memory\n"),
        (
            ImportError("a.so: failed to map segment from shared object"),
            4,
            f"error: {NOT_OURS}cannot allocate memory\n",
        ),
        (RuntimeError("can't start new thread"), 4, f"error: {NOT_OURS}no more threads\n"),
        (RuntimeError("another"), 3, "internal error: RuntimeError: another; set JOBLOT_TRACEBACK=1 to see where\n"),
        (ImportError("no such"), 3, "internal error: ImportError: no such; set JOBLOT_TRACEBACK=1 to see where\n"),
    ],
)
def test_the_last_line_of_defence_knows_whose_fault_it_is(tmp_path, monkeypatch, capsys, error, code, said):
    def refuse(_config):
        raise error

    monkeypatch.setattr("joblot.cli.batch.expand", refuse)
    (tmp_path / "joblot.yaml").write_text(ONE)
    assert main(["validate", str(tmp_path / "joblot.yaml")]) == code
    assert capsys.readouterr() == ("", said)


def test_without_a_thread_the_records_are_forced_at_once(tmp_path, monkeypatch):
    """`ulimit -u`, or no memory for its stack."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    file = RunFile(tmp_path / "events.jsonl", durability="normal")
    from joblot.journal.codec import CHAIN_START, link

    body = b'[{"type":"x"}]'
    chain = link(CHAIN_START, 1, 0.5, body)
    file.write((1, 0.5, body, chain))
    file.write((2, 0.5, body, link(chain, 2, 0.5, body)))
    file.close()
    assert [row[0] for row, _ in read_rows(tmp_path / "events.jsonl")] == [1, 2]
