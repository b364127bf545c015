"""The state folder loses its name while a run goes on: one error, exit code 4, and nothing goes on that nobody could find."""

import json

import pytest

GONE = "` was removed, moved away or replaced while the run went on\n"
HINT = "hint: what was recorded until then is where the state folder is now: `joblot resume` goes on from there\n"
BATCH = """\
jobs:
  - {{name: a, run: "true"}}
  - {{name: b, run: "{}", needs: [a]}}
  - {{name: c, run: "sleep 60", needs: [b]}}
"""
WAYS = {
    "removed": ("rm -rf .joblot", "journal.db"),
    "moved away": ("mv .joblot away", "journal.db"),
    "replaced by an empty one": ("mv .joblot away; mkdir .joblot", "journal.db"),
    "replaced by a copy": ("mv .joblot away; cp -r away .joblot", "journal.db"),
    "replaced by a link": ("mv .joblot away; ln -s away/none .joblot", "journal.db"),
    "all runs removed": ("rm -rf .joblot/runs", "runs/r1/events.jsonl"),
    "the run removed": ("rm -rf .joblot/runs/r1", "runs/r1/events.jsonl"),
    "its records removed": ("rm .joblot/runs/r1/events.jsonl", "runs/r1/events.jsonl"),
    "its records replaced": ("cd .joblot/runs/r1; cp events.jsonl x; mv x events.jsonl", "runs/r1/events.jsonl"),
    "the journal removed": ("rm .joblot/journal.db", "journal.db"),
    "the journal replaced by a folder": ("rm .joblot/journal.db; mkdir .joblot/journal.db", "journal.db"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_happens_to_it_is_seen_while_the_run_goes_on(joblot, way):
    """G6. The last job would take a minute."""
    command, name = WAYS[way]
    joblot.write("joblot.yaml", BATCH.format(command))
    done = joblot("run", "-q", "--run-id", "r1")
    assert done == (4, "", f"error: `DIR/.joblot/{name}{GONE}{HINT}")


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("way", ["removed", "moved away", "the run removed"])
def test_it_is_seen_when_the_last_job_does_it(joblot, on, way):
    command, name = WAYS[way]
    joblot.write("joblot.yaml", BATCH.format(command).replace("sleep 60", "true"))
    done = joblot("run", "-q", "--run-id", "r1", "--on", on)
    assert done == (4, "", f"error: `DIR/.joblot/{name}{GONE}{HINT}")
    assert not (joblot.path / ".joblot/runs/r1/report.json").exists()


def test_a_run_goes_on_where_the_folder_is_now(joblot):
    # Whether the job's end is recorded before the runner looks is a matter of moments; else it runs again.
    moved = "test -e away || mv .joblot away"
    joblot.write("joblot.yaml", BATCH.format(moved).replace("sleep 60", "true"))
    assert joblot("run", "--run-id", "r1").code == 4
    done = joblot("resume", "r1", "--state", "away", "--json")
    assert (done.code, json.loads(done.out)["succeeded"]) == (0, 3)


def test_what_else_happens_in_it_is_no_error(joblot):
    joblot.write("joblot.yaml", BATCH.format("touch .joblot/x; rm .joblot/.gitignore").replace("sleep 60", "true"))
    assert joblot("run", "-q").code == 0
