"""Which run and which job a person means who names one of them, or neither."""

import pytest

ONE = """\
name: one
jobs:
  - {name: fit-1, run: "echo first"}
  - {name: fit-2, run: "echo second; exit 3"}
  - {name: report, run: "echo done"}
"""
OTHER = "name: other\njobs:\n  - {name: load, run: 'echo loaded'}\n  - {name: fail, run: 'echo no; exit 1'}\n"


@pytest.fixture
def ran(joblot):
    """Two runs of one batch; the last one has failed."""
    joblot.write("joblot.yaml", ONE)
    assert joblot("run", "--run-id", "night-0", "--only", "fit-1").code == 0
    assert joblot("run", "--run-id", "night-1").code == 1
    return joblot


@pytest.fixture
def two(ran):
    """Behind them a run of another batch."""
    ran.write("other.yaml", OTHER)
    assert ran("run", "other.yaml", "--run-id", "day-1").code == 1
    return ran


WORDS = [
    ("show", ["show", "last"]),
    ("show fit-2", ["explain", "last", "fit-2"]),
    ("show night-0", ["show", "night-0"]),
    ("show night-0 fit-2", ["explain", "night-0", "fit-2"]),
    ("logs", ["logs", "last"]),
    ("logs --failed", ["logs", "last", "--failed"]),
    ("logs fit-1", ["logs", "last", "fit-1"]),
    ("logs night-0", ["logs", "night-0"]),
    ("logs -f fit-2", ["logs", "-f", "last", "fit-2"]),
    ("explain fit-2", ["explain", "last", "fit-2"]),
    ("explain fit-2 --json", ["explain", "last", "fit-2", "--json"]),
    ("cancel", ["cancel", "last"]),
]


@pytest.mark.parametrize(("words", "in_full"), WORDS)
def test_without_a_run_it_is_the_last_one_and_one_word_is_a_run_or_a_job(ran, words, in_full):
    done, full = ran(*words.split()), ran(*in_full)
    assert (done.code, done.result, done.plain) == (full.code, full.result, full.plain)
    assert done.code == 0
    assert done.out or done.err


def test_a_job_of_the_last_run_is_replayed(ran):
    done = ran("replay", "fit-1")
    assert (done.code, done.out) == (0, "first\n")
    assert done.err.startswith("job `fit-1` of run `night-1` ended well after ")


@pytest.mark.parametrize(
    ("words", "again"), [("retry", 2), ("retry fit-2", 2), ("retry fit-*", 1), ("retry --job fit-2", 2)]
)
def test_a_retry_takes_the_last_run(ran, words, again):
    done = ran(*words.split())
    assert done.code == 1
    assert "fit-2: failed: exit status 3 (2 attempts" in done.err if again == 2 else "fit-1: success" in done.err
    assert "`night-1`" in done.err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("show", "Run day-1 of other\n"),
        ("logs load", "loaded\n"),
        ("logs", "==> load (DIR/.joblot/runs/day-1/logs/load/1.log) <==\nloaded\n"),
        ("explain load", "load: success\n"),
        ("resume", ""),
    ],
)
def test_which_run_was_taken_is_said_where_several_batches_have_runs(two, words, shown):
    done = two(*words.split())
    assert done.out.startswith(shown)
    assert done.err.startswith("last run here: `day-1` of `other`\n")


@pytest.mark.parametrize("words", ["resume -q", "resume --quiet", "retry -q", "retry -q fail", "retry -q --failed"])
def test_a_quiet_command_does_not_say_it(two, words):
    done = two(*words.split())
    assert "last run here" not in done.err
    assert "to see what happened: joblot show day-1\n" in done.err


def test_a_quiet_resume_with_nothing_to_do_prints_nothing(two):
    two.write("well.yaml", "name: well\njobs: [{name: load, run: 'echo loaded'}]\n")
    assert two("run", "well.yaml").code == 0
    assert two("resume", "-q") == (0, "", "")


@pytest.mark.parametrize("words", ["show last", "show day-1", "logs day-1 load", "logs last load"])
def test_a_run_that_was_named_is_not_said_again(two, words):
    assert two(*words.split()).err == ""


NEITHER = [
    ("logs fit-3", "fit-3", "did you mean `fit-2` or `fit-1`?"),
    ("explain xyz", "xyz", "`joblot ls` lists the runs"),
    ("show xyz-*", "xyz-*", "`joblot ls` lists the runs"),
    ("retry [x", "[x", "`joblot ls` lists the runs"),
    ("replay xyz", "xyz", "`joblot ls` lists the runs"),
]


@pytest.mark.parametrize(("words", "word", "hint"), NEITHER)
def test_a_word_that_is_neither(ran, words, word, hint):
    message = f"error: no run `{word}` in `DIR/.joblot`, nor a job of its last run `night-1`\nhint: {hint}\n"
    assert ran(*words.split()) == (4, "", message)


def test_a_job_of_another_batch_says_where_it_is(two):
    assert two("logs", "fit-1") == (
        4,
        "",
        (
            "error: no run `fit-1` in `DIR/.joblot`, nor a job of its last run `day-1`\n"
            "hint: run `night-1` of `one` has it: `joblot logs night-1 fit-1`\n"
        ),
    )


BOTH = [
    # the run's id, the job's name, the word, what is said of the runs, the way to the run
    ("fit-1", "fit-1", "fit-1", "and run `fit-1`", "; the run: `joblot logs fit-`"),
    ("first", "first", "first", "and run `first`", "; the run: `joblot logs firs`"),
    ("x-2026", "2026", "2026", "and run `x-2026`", "; the run: `joblot logs x-2026`"),
    ("2026-x", "2026", "2026", "and run `2026-x`", "; the run: `joblot logs 2026-x`"),
    ("a", "a", "a", "and run `a`", ""),
]


@pytest.mark.parametrize(("run_id", "job", "word", "said", "way"), BOTH)
def test_a_word_that_is_both_is_an_error_with_the_way_out(joblot, run_id, job, word, said, way):
    joblot.write("joblot.yaml", f"jobs: [{{name: '{job}', run: 'echo hello'}}]\n")
    assert joblot("run", "--run-id", run_id).code == 0
    error = f"error: `{word}` is a job of the last run, {said}\nhint: the job: `joblot logs last {word}`{way}\n"
    assert joblot("logs", word) == (4, "", error)
    assert joblot("logs", "last", word) == (0, "hello\n", "")
    if way:
        assert joblot(*way.split("`")[1].split()[1:]).code == 0


def test_last_is_always_the_run(joblot):
    """Scripts say so, and must not stop because a job is called so."""
    joblot.write("joblot.yaml", "jobs: [{name: last, run: 'echo hello'}, {name: b, run: 'echo b'}]\n")
    joblot("run")
    assert joblot("logs", "last").out.count("==>") == 2
    assert joblot("logs", "last", "last").out == "hello\n"


def test_a_word_that_is_a_job_and_could_be_any_of_several_runs(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: '2026', run: 'echo hello'}]\n")
    for run_id in ("2026-a", "2026-b"):
        joblot("run", "--run-id", run_id)
    error = "error: `2026` is a job of the last run, and could be any of 2 runs\nhint: the job: `joblot explain last 2026`\n"
    assert joblot("explain", "2026") == (4, "", error)


@pytest.mark.parametrize("run_id", ["x-a", "a-x", "x-aa"])
def test_a_job_with_a_short_name_is_not_taken_for_the_end_of_an_id(joblot, run_id):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'echo hello'}]\n")
    joblot("run", "--run-id", run_id)
    assert joblot("logs", "a") == (0, "hello\n", "")


@pytest.mark.parametrize("words", ["logs fit-*", "logs night-1 fit-*", "logs fit-[12]"])
def test_logs_of_the_jobs_that_match_a_pattern(ran, words):
    place = "DIR/.joblot/runs/night-1/logs"
    first, second = (f"==> fit-{n} ({place}/fit-{n}/1.log) <==\n{text}\n" for n, text in ((1, "first"), (2, "second")))
    assert ran(*words.split()) == (0, first + second, "")
    assert ran(*words.split(), "--failed").out == second


@pytest.mark.parametrize("command", ["show", "logs", "retry", "resume", "cancel", "logs a", "explain a", "replay a"])
def test_where_nothing_has_run(joblot, command):
    assert joblot(*command.split()) == (
        4,
        "",
        (
            "error: no runs here: `DIR/.joblot` does not exist or holds no journal\n"
            "hint: `joblot run` makes it beside the batch file: go there, or name it with `--state`\n"
        ),
    )
    assert not (joblot.path / ".joblot").exists()


def test_a_job_that_was_not_named(ran):
    hint = "hint: `joblot replay night-0 JOB`; `joblot show night-0` lists them\n"
    assert ran("replay", "night-0") == (2, "", f"error: no job was named\n{hint}")


def test_what_contradicts_itself(ran):
    assert ran("show", "fit-1", "--events") == (2, "", "error: `--events` prints those of a whole run\n")
    assert ran("retry", "fit-1", "--failed") == (2, "", "error: `--failed` and a job exclude each other\n")
    hint = "hint: `joblot logs -f JOB`\n"
    assert ran("logs", "-f") == (2, "", f"error: `--follow` follows one job\n{hint}")


def test_a_state_folder_that_is_named_and_a_batch_in_a_folder_below(ran):
    below = ran.path / "below"
    below.mkdir()
    assert ran("logs", "fit-1", "--state", "../.joblot", cwd=below) == (0, "first\n", "")
    assert ran("logs", "fit-1", cwd=below, env={"JOBLOT_STATE": str(ran.path / ".joblot")}) == (0, "first\n", "")
    ran.write("below/b.yaml", OTHER)
    ran("run", "below/b.yaml")
    assert ran("logs", "load").code == 4, "its runs are beside it"
    assert ran("logs", "load", cwd=below) == (0, "loaded\n", "")


def test_a_last_run_that_cannot_be_read_keeps_nobody_from_another_one(two):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(two.path / ".joblot/journal.db")) as database, database:
        database.execute("UPDATE run SET plan = x'7b7d' WHERE run_id = 'day-1'")
    assert two("logs", "night-1", "fit-1") == (0, "first\n", "")
    assert two("show", "night-1").code == 0
    error = "error: journal `DIR/.joblot/journal.db` is damaged: the plan of run `day-1` is not the one that it began with\n"
    assert two("logs", "fit-1").err.startswith(error)


def test_which_of_several_runs_that_go_on_is_cancelled_nobody_guesses(joblot):
    waits = "name: {0}\njobs:\n  - {{name: a, run: 'touch {0}.on; while [ ! -e go ]; do sleep 0.05; done'}}\n"
    for name in ("one", "two"):
        joblot.write(f"{name}.yaml", waits.format(name))
    with joblot.popen("run", "one.yaml", "--run-id", "r1") as first:
        joblot.wait_for("one.on")
        joblot.write("small.yaml", "jobs: [{name: a, run: 'true'}]\n")
        joblot("run", "small.yaml", "--run-id", "r0")
        with joblot.popen("run", "two.yaml", "--run-id", "r2") as second:
            joblot.wait_for("two.on")
            error = "error: 2 runs go on: `r2` of `two`, `r1` of `one`\nhint: name one: `joblot cancel r2`\n"
            assert joblot("cancel") == (4, "", error)
            assert joblot("cancel", "r2", "--kill").out == "run `r2` has ended: cancelled\n"
            second.communicate()
        assert joblot("cancel", "--kill").out == "run `r1` has ended: cancelled\n", "which is not the last one"
        first.communicate()
