"""Commands that misbehave cost at most their own job, and a command means what a shell would make of it."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

DEEP = "python3 -c \\\"print('['*100000)\\\" > $JOBLOT_OUTPUT"


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_result_file_nested_too_deeply_is_a_bad_result(hostile: Any, executor: str) -> None:
    """G7, I2: not a RecursionError that ends the run, and every resume of it."""
    report = hostile.batch(f"""
        options["on"] = {executor!r}
        batch.command("a", "{DEEP}")
        batch.command("b", "echo b")
    """)
    assert (report["jobs"]["a"]["state"], report["jobs"]["a"]["reason"]) == ("failed", "bad_result")
    assert report["jobs"]["b"]["state"] == "success"


def test_a_result_file_made_a_pipe_does_not_stop_the_run(hostile: Any) -> None:
    """G7: only a regular file is read."""
    report = hostile.batch("""
        batch.command("a", "rm -f $JOBLOT_OUTPUT; mkfifo $JOBLOT_OUTPUT")
        batch.command("b", "echo b")
    """)
    assert report["jobs"]["b"]["state"] == "success"


def test_a_failed_job_that_printed_only_nul_bytes_does_not_end_the_run(hostile: Any) -> None:
    """S15, G7: binary output."""
    batch = hostile.yaml("""
        jobs:
          - {name: a, run: "head -c 100000 /dev/zero; exit 1"}
          - {name: b, run: "sleep 0.3; echo b"}
    """)
    ended = hostile.joblot("run", batch)
    assert "internal error" not in ended.err
    assert "2 jobs: 1 succeeded, 1 failed" in ended.out
    assert ended.code == 1


def test_the_tail_of_a_log_of_nul_bytes_can_be_shown(hostile: Any) -> None:
    """S15: `joblot logs --tail`."""
    batch = hostile.yaml("jobs: [{name: a, run: head -c 100000 /dev/zero}]")
    assert hostile.joblot("run", batch).code == 0
    ended = hostile.joblot("logs", "last", "a", "--tail", "3")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(
    "job",
    [
        "batch.command('a', [])",
        "batch.command('a', ['echo', 1])",
        "batch.command('a', ['echo', 'x' + chr(0)])",
        "batch.command('a', 'echo $F;', env={'A=B': 'x'})",
        "batch.command('a', 'echo $F;', env={'F': 1})",
        "batch.command('a', ['echo', 'x' + chr(0xDCFF)])",
    ],
)
def test_a_command_that_cannot_be_one_is_refused_when_it_is_added(hostile: Any, job: str) -> None:
    """G7, I6: a ConfigError that names the job, not a dead warden, a traceback, or `exec format error`."""
    ended = hostile.script(f"""
        from joblot import Batch
        from joblot.errors import ConfigError
        batch = Batch("t")
        try:
            {job}
            batch.run()
        except ConfigError as error:
            print("refused:", "`a`" in str(error))
    """)
    assert (ended.code, ended.out, ended.err) == (0, "refused: True\n", "")


def test_a_script_without_a_first_line_runs_as_in_a_shell(hostile: Any) -> None:
    """The documentation: a text of plain words is started without a shell, `which means the same`."""
    script = hostile.folder / "script.sh"
    script.write_text("echo from script\n")
    script.chmod(0o755)
    report = hostile.batch("""
        batch.command("plain", "./script.sh")
        batch.command("shell", "./script.sh;")
    """)
    assert report["jobs"]["shell"]["log"] == "from script\n"
    assert report["jobs"]["plain"]["log"] == "from script\n", report["jobs"]["plain"]["message"]


def test_a_plain_command_finds_its_own_folder_in_pwd(hostile: Any) -> None:
    """The documentation: a text of plain words is started without a shell, `which means the same`."""
    (hostile.folder / "sub").mkdir()
    report = hostile.batch("""
        batch.command("plain", "printenv PWD", cwd="sub")
        batch.command("shell", "printenv PWD;", cwd="sub")
    """)
    assert report["jobs"]["plain"]["log"] == report["jobs"]["shell"]["log"] == f"{hostile.folder}/sub\n"


def test_a_working_folder_that_was_replaced_is_the_new_one_for_the_next_job(hostile: Any) -> None:
    """`cwd: work` means the folder of that name when the job starts."""
    (hostile.folder / "work").mkdir()
    report = hostile.batch("""
        options["workers"] = 1
        batch.command("a", "mv ../work ../old; mkdir ../work", cwd="work")
        batch.command("b", "touch made-by-b", cwd="work", needs=["a"])
    """)
    assert report["status"] == "success"
    assert os.listdir(hostile.folder / "work") == ["made-by-b"]


@pytest.mark.parametrize("number", [3, 25])
def test_a_command_does_not_begin_with_ignored_signals(hostile: Any, number: int) -> None:
    """SIGQUIT and SIGXFSZ: a shell cannot even trap what was ignored when it began."""
    report = hostile.batch("""batch.command("a", "grep SigIgn /proc/self/status")""")
    ignored = int(report["jobs"]["a"]["log"].split()[1], 16)
    assert not ignored & 1 << number - 1


@pytest.mark.parametrize("target", ['"$(dirname $JOBLOT_OUTPUT)"', ".joblot"])
def test_a_job_that_deletes_the_runs_files_does_not_take_its_neighbours_along(hostile: Any, target: str) -> None:
    """P4, G6: a log that cannot be kept is no reason to kill and repeat everything that runs."""
    hostile.yaml(f"""
        jobs:
          - {{name: a, run: 'echo a >> ran; rm -rf {target}; echo gone'}}
          - {{name: b, run: 'echo b >> ran; sleep 0.5; echo b'}}
    """)
    ended = hostile.joblot("run", "batch.yaml", "-j", "2", "--run-id", "R")
    assert "BUG" not in ended.err
    assert sorted((hostile.folder / "ran").read_text().split()) == ["a", "b"]


@pytest.mark.parametrize("kind", ["command", "python"])
def test_few_descriptors_make_a_run_slower_and_not_fail(hostile: Any, kind: str) -> None:
    """S16: RLIMIT_NOFILE 64."""
    added = (
        "batch.command(f'j{n}', 'sleep 0.1; echo x')"
        if kind == "command"
        else "batch.add(f'j{n}', lambda: time.sleep(0.1))"
    )
    report = hostile.batch(f"""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        options["workers"] = 60
        for n in range(60):
            {added}
    """)
    assert {job["state"] for job in report["jobs"].values()} == {"success"}


SECRET = "s3cr3tvalue"


@pytest.mark.parametrize(
    "job",
    [
        "batch.add('a', talk)",
        f"batch.command('a', ['{SECRET}'])",
        f"batch.command('a', 'echo {SECRET[:4]}''{SECRET[4:]} > $JOBLOT_OUTPUT;')",
        "batch.add('a', reason)",
    ],
    ids=["ctx.log", "command not found", "result line", "reason"],
)
def test_a_secret_is_not_in_the_events_or_the_report(hostile: Any, job: str) -> None:
    """I14: whatever way it takes. (The plan itself is the author's: the command's own words are not looked at here.)"""
    hostile.env["TOKEN"] = SECRET
    hostile.batch(f"""
        batch = Batch("hostile", secrets=["TOKEN"])
        secret = os.environ["TOKEN"]
        def talk(*, ctx: Context): ctx.log("using " + secret, token=secret)
        def reason(): raise ActionError("x", reason=secret)
        options["run_id"] = "R"
        {job}
    """)
    run = hostile.folder / ".joblot" / "runs" / "R"
    assert [path.name for path in (run / "events.jsonl", run / "report.json") if SECRET in path.read_text()] == []


def test_a_killed_run_leaves_no_secret_on_the_disk(hostile: Any) -> None:
    """I14: not in the file that a running command prints to, either."""
    hostile.env["TOKEN"] = SECRET
    hostile.yaml("""
        secrets: [TOKEN]
        jobs: [{name: a, run: "echo $TOKEN; echo > began; sleep 30"}]
    """)
    process = hostile.start(sys.executable, "-m", "joblot", "run", "batch.yaml", "-q")
    hostile.wait_for("began")
    process.kill()
    hostile.end(process)
    hostile.joblot("ls")
    state = hostile.folder / ".joblot"
    found = [
        str(path.relative_to(state))
        for path in state.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert found == []


def test_what_an_interrupted_attempt_printed_can_be_read(hostile: Any) -> None:
    """G1: also when the runner was killed before the attempt had run long."""
    hostile.yaml("""jobs: [{name: a, run: "echo precious; echo > began; sleep 30"}]""")
    process = hostile.start(sys.executable, "-m", "joblot", "run", "batch.yaml", "-q")
    hostile.wait_for("began")
    process.kill()
    hostile.end(process)
    assert hostile.joblot("logs", "last", "a").out == "precious\n"


def test_an_output_that_is_a_pipe_does_not_hold_up_the_run(hostile: Any) -> None:
    """G6: nobody ever writes to it, and reading it would never end."""
    batch = hostile.yaml("jobs:\n  - {name: a, run: mkfifo out.pipe, outputs: [out.pipe]}\n")
    assert hostile.joblot("run", batch).code == 0


def test_a_job_that_kills_its_warden_every_time_fails_alone(hostile: Any) -> None:
    """P2: those that ran beside it run again, and in the end it runs by itself."""
    batch = hostile.yaml("""
        jobs:
          - {name: kills, run: "kill -9 $PPID; sleep 5"}
          - {name: beside, run: "sleep 0.5"}
    """)
    ended = hostile.joblot("run", batch, "--workers", "2")
    assert ended.code == 1
    assert "] beside: success (" in ended.out + ended.err
    assert "[failed] kills (4 attempts" in ended.out + ended.err
