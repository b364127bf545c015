"""Python actions that misbehave cost at most their own job: never the run, and never the job after them."""

from __future__ import annotations

from typing import Any

import pytest


def test_a_forked_child_that_exits_does_not_answer_for_its_action(hostile: Any) -> None:
    """I18: `os.fork()` and `sys.exit(0)` in the child is how it is written everywhere; the action's own return counts."""
    report = hostile.batch("""
        options["workers"] = 1
        def parent():
            if os.fork() == 0:
                sys.exit(0)
            time.sleep(0.3)
            return "parent"
        batch.add("a", parent)
        batch.add("b", lambda: time.sleep(0.6))
        batch.add("c", lambda: 1)
    """)
    assert {name: job["state"] for name, job in report["jobs"].items()} == {
        "a": "success",
        "b": "success",
        "c": "success",
    }
    assert report["jobs"]["a"]["result"] == "parent"


@pytest.mark.parametrize(
    "call",
    [
        "ctx.log(5)",
        "ctx.log('x', level=3)",
        "ctx.log('x', n={(1, 2): 3})",
        "ctx.log('x', path=__import__('pathlib').Path('/x'))",
        "ctx.log('x', n=2**70)",
        "ctx.log('x' + chr(0xD800))",
    ],
)
@pytest.mark.parametrize("executor", ["local", "inline"])
def test_what_cannot_be_logged_costs_at_most_its_own_job(hostile: Any, call: str, executor: str) -> None:
    """G7, I18: the run goes on, and the job's end does not speak of a worker's exit status."""
    report = hostile.batch(f"""
        options["on"] = {executor!r}
        def talk(*, ctx: Context):
            {call}
        batch.add("a", talk)
        batch.add("b", lambda: 1)
    """)
    assert report["jobs"]["b"]["state"] == "success"
    assert report["jobs"]["a"]["reason"] in ("", None, "exception", "bad_log")


@pytest.mark.parametrize("executor", ["local", "inline"])
@pytest.mark.parametrize("error", ["ActionError(ValueError('boom'))", "ActionError('boom', reason=5)"])
def test_an_action_error_of_other_types_than_text_is_its_jobs_failure(hostile: Any, executor: str, error: str) -> None:
    """I18: the message is `boom`, whatever object carries it."""
    report = hostile.batch(f"""
        options["on"] = {executor!r}
        def fail():
            raise {error}
        batch.add("a", fail)
        batch.add("b", lambda: 1)
    """)
    assert (report["jobs"]["a"]["state"], report["jobs"]["a"]["message"]) == ("failed", "boom")
    assert report["jobs"]["b"]["state"] == "success"


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt"])
@pytest.mark.parametrize("executor", ["local", "inline"])
def test_an_exception_whose_text_ends_the_program_is_its_jobs_failure(hostile: Any, raised: str, executor: str) -> None:
    """I18: BaseException out of `__str__`."""
    report = hostile.batch(f"""
        options["on"] = {executor!r}
        class Evil(Exception):
            def __str__(self): raise {raised}
        def fail(): raise Evil
        batch.add("a", fail)
        batch.add("b", lambda: 1)
    """)
    assert (report["jobs"]["a"]["reason"], report["jobs"]["a"]["message"]) == ("exception", "Evil")
    assert report["jobs"]["b"]["state"] == "success"


def test_bytes_written_to_strange_descriptors_do_not_end_the_run(hostile: Any) -> None:
    """P16, G7: what a worker sends is checked; a broken frame is that worker's end, not the run's."""
    report = hostile.batch("""
        def garble():
            for fd in range(3, 30):
                try:
                    os.write(fd, b"\\x00\\x00\\x00\\x05hello garbage")
                except OSError:
                    pass
        batch.add("a", garble)
        batch.add("b", lambda: 1, needs=["a"], when="always")
    """)
    assert report["jobs"]["b"]["state"] == "success"


def test_a_timer_left_behind_does_not_kill_the_next_job(hostile: Any) -> None:
    """P4: neighbours untouched."""
    report = hostile.batch("""
        options["workers"] = 1
        batch.add("a", lambda: signal.setitimer(signal.ITIMER_REAL, 0.2) and None)
        batch.add("b", lambda: time.sleep(0.5), needs=["a"])
    """)
    assert report["jobs"]["b"]["state"] == "success", report["jobs"]["b"]["message"]


def test_a_working_folder_changed_by_one_job_is_not_the_next_ones(hostile: Any) -> None:
    """P4: whether two jobs share a worker must not be seen in what they do."""
    report = hostile.batch("""
        options["workers"] = 1
        batch.add("a", lambda: os.chdir("/"))
        batch.add("b", lambda: os.getcwd(), needs=["a"])
    """)
    assert report["jobs"]["b"]["result"] == str(hostile.folder)


def test_a_closed_standard_output_does_not_print_into_the_next_jobs_file(hostile: Any) -> None:
    """P4: descriptor 1 of the next job is its log again."""
    report = hostile.batch("""
        options["workers"] = 1
        batch.add("a", lambda: os.close(1))
        def write():
            with open("data.txt", "w") as file:
                print("printed", flush=True)
                file.write("data")
            return open("data.txt").read()
        batch.add("b", write, needs=["a"])
    """)
    assert report["jobs"]["b"]["result"] == "data"
    assert report["jobs"]["b"]["log"] == "printed\n"


def test_a_thread_left_behind_does_not_print_into_the_next_jobs_log(hostile: Any) -> None:
    """R110: no work goes on after the job has ended."""
    report = hostile.batch("""
        import threading
        options["workers"] = 1
        def leave():
            def work():
                for _ in range(10):
                    print("from a", flush=True)
                    time.sleep(0.05)
            threading.Thread(target=work).start()
        batch.add("a", leave)
        def own():
            time.sleep(0.3)
            print("from b")
        batch.add("b", own, needs=["a"])
    """)
    assert report["jobs"]["b"]["log"] == "from b\n"


def test_a_worker_that_was_asked_to_end_gets_no_further_job(hostile: Any) -> None:
    """P4: TERM to one action is no crash of the next, which never began."""
    report = hostile.batch("""
        options["workers"] = 1
        batch.add("a", lambda: os.kill(os.getpid(), signal.SIGTERM))
        batch.add("b", lambda: 1)
    """)
    assert report["jobs"]["b"]["state"] == "success", report["jobs"]["b"]["message"]


@pytest.mark.parametrize("timeout", ["0.4", "None"])
def test_a_daemon_of_an_action_ends_with_it_while_other_workers_go_on(hostile: Any, timeout: str) -> None:
    """P7, R110, G3: after a timeout and after a return; a marker file is not written any more."""
    report = hostile.batch(f"""
        import subprocess
        with open("daemon.sh", "w") as file:
            file.write("while :; do date >> marker; sleep 0.05; done")
        def begin():
            subprocess.run(["sh", "-c", "setsid sh daemon.sh </dev/null >/dev/null 2>&1 &"])
            time.sleep(5 if {timeout} else 0.3)
        batch.add("a", begin, timeout={timeout}, grace=0.1)
        def look():
            time.sleep(1.5)
            return time.time() - os.path.getmtime("marker")
        batch.add("b", look)
    """)
    assert report["jobs"]["b"]["result"] > 0.5


def test_a_deeply_nested_result_in_a_command_fails_that_job_only(hostile: Any) -> None:
    """G7: a value that cannot be quoted for the shell is its job's `bad_reference`."""
    report = hostile.batch("""
        def deep():
            value = []
            for _ in range(900):
                value = [value]
            return value
        batch.add("a", deep)
        batch.command("b", "echo ${{ jobs.a.result }}", needs=["a"])
        batch.add("c", lambda: 1)
    """)
    assert report["jobs"]["c"]["state"] == "success"


def test_a_process_pool_ended_by_its_owner_leaves_no_traceback_in_the_log(hostile: Any) -> None:
    """What an action forks has the system's own SIGTERM, not the worker's."""
    report = hostile.batch("""
        import multiprocessing
        def wait():
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
            process.start()
            time.sleep(0.2)
            process.terminate()
            process.join()
            return process.exitcode
        batch.add("a", wait)
    """)
    assert (report["jobs"]["a"]["result"], report["jobs"]["a"]["log"]) == (-15, "")
