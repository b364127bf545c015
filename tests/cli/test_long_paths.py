"""Paths that are as long as they may be, and longer ones: it works, or the error says how long they may be."""

import json

import pytest

LONGEST = 493
BATCH = "jobs: [{name: a, run: 'echo hi; touch out', outputs: [out]}]\n"


def folder_of(joblot, size):
    """A folder in which `.joblot` has a path of so many bytes."""
    path = joblot.path
    while size - len(bytes(path)) - len("/.joblot") > 101:
        path /= "d" * 100
    rest = size - len(bytes(path)) - len("/.joblot") - 1
    path /= "é" * (rest // 4) + "x" * (rest - 2 * (rest // 4))
    path.mkdir(parents=True)
    assert len(bytes(path / ".joblot")) == size
    (path / "joblot.yaml").write_text(BATCH)
    return path


@pytest.mark.parametrize("size", [LONGEST - 100, LONGEST])
def test_a_state_folder_as_deep_as_it_may_be(joblot, size):
    folder = folder_of(joblot, size)
    file = str(folder / "joblot.yaml")
    assert joblot("run", "-q", "--run-id", "r1", file).code == 0
    state = ("--state", str(folder / ".joblot"))
    assert joblot("logs", "r1", *state).out.endswith("<==\nhi\n")
    assert [run["run_id"] for run in json.loads(joblot("ls", "--json", *state).out)] == ["r1"]
    assert joblot("resume", "r1", *state).code == 0
    assert "up to date" in joblot("plan", file).out


@pytest.mark.parametrize("size", [LONGEST + 1, LONGEST + 10, 600, 1500])
@pytest.mark.parametrize("by", ["its path", "a link"])
def test_a_deeper_one_is_told_how_deep_it_may_be(joblot, size, by):
    folder = folder_of(joblot, size)
    if by == "a link":
        (joblot.path / "link").symlink_to(folder)
        folder = joblot.path / "link"
    shown = str(folder / ".joblot").replace(str(joblot.path), "DIR")
    too_long = f"error: the path of the state folder `{shown}` is too long: SQLite takes {LONGEST} bytes\n"
    done = joblot("run", "-q", str(folder / "joblot.yaml"))
    assert done == (4, "", f"{too_long}hint: choose another with `--state`\n")
    assert joblot("run", "-q", str(folder / "joblot.yaml"), "--state", "s").code == 0


@pytest.mark.parametrize("words", [("run", "-q"), ("ls",)])
def test_a_name_that_no_file_system_takes_is_named(joblot, words):
    joblot.write("joblot.yaml", BATCH)
    done = joblot(*words, "--state", "n" * 256)
    assert (
        done.code,
        done.err.endswith(f"`DIR/{'n' * 256}`: file name too long\nhint: choose another with `--state`\n"),
    ) == (4, True)
