"""What every executor promises, held against each of them with real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from joblot.core.commands import Kill
from joblot.core.model import Attempt, Config, JobSpec
from joblot.core.plan import expand
from joblot.executors import processes
from joblot.executors.inline import InlineExecutor
from joblot.executors.local import LocalExecutor
from joblot.executors.protocol import RunContext


class Bench:
    """One executor over a plan of the given jobs."""

    imports = ()

    def __init__(self, kind, folder: Path, *jobs: JobSpec, slots=2, secrets=(), env=None, warn=None):
        config = Config(
            name="bench",
            folder=str(folder),
            jobs=list(jobs),
            secrets=tuple(secrets),
            env=env or {},
            imports=self.imports,
        )
        self.plan = expand(config)
        self.run_dir = folder / "run"
        self.executor = self.make(kind, RunContext("bench-run", self.plan, self.run_dir, warn=warn), slots)
        self.numbers: dict[int, int] = {}
        self.started: dict[tuple[int, int], Attempt] = {}
        self.killed: set[tuple[int, int]] = set()
        self.came = []

    def make(self, kind, context, slots):
        return InlineExecutor(context) if kind == "inline" else LocalExecutor(context, slots)

    def start(self, *names, **values):
        attempts = []
        for name in names:
            job = self.plan.find(name)
            self.numbers[job] = self.numbers.get(job, 0) + 1
            attempts.append(Attempt(job, self.numbers[job], values or None))
            self.started[job, self.numbers[job]] = attempts[-1]
        self.executor.start(attempts)

    def kill(self, name, grace=0.0, kind="cancelled"):
        job = self.plan.find(name)
        self.killed.add((job, self.numbers[job]))
        self.executor.kill([Kill(job, self.numbers[job], kind, grace)])

    def wait(self, count=1, limit=60.0, *, returned=False):
        """The next outcomes, by job name; `returned` as in `look`."""
        until = time.monotonic() + limit
        found = []
        while len(found) < count:
            assert time.monotonic() < until, f"only {found}"
            found += self.look(0.5, returned=returned)
        self.came += found
        return {self.plan.name(outcome.job): outcome for outcome in found}

    def look(self, seconds, *, returned=False):
        """What has ended within a time.

        What comes back without having begun, because the machine is busy, is started again as the engine would; not with `returned`.
        """
        found, again = [], []
        for outcome in self.executor.wait(seconds):
            key = outcome.job, outcome.number
            if outcome.kind != "returned" or returned or key not in self.started or key in self.killed:
                found.append(outcome)
            else:
                again.append(self.started[key])
        if again:
            self.executor.start(again)
        return found

    def log(self, name, attempt=1):
        path = self.run_dir / "logs" / name / f"{attempt}.log"
        return path.read_text() if path.exists() else ""

    def close(self):
        self.executor.close()


@pytest.fixture(params=["inline", "local"])
def bench(request, tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench(request.param, tmp_path, *jobs, **options))
        return made[-1]

    make.kind = request.param
    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench("local", tmp_path, *jobs, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def call(name, function, **options):
    return JobSpec(name=name, function=function, **options)


def run(name, command, **options):
    return JobSpec(name=name, run=command, **options)


def living_sleeps(marker: str) -> list[int]:
    """Processes whose command line has the marker."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
                state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marker.encode() in line and state != "Z":
                found.append(int(entry))
    return found


def lives(pid: int) -> bool:
    """Whether a process goes on; one that has ended may still wait for whoever took it over to ask how."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(marker: str, limit=2.0) -> bool:
    until = time.monotonic() + limit
    while living_sleeps(marker):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# --- outcomes -------------------------------------------------------------------------------------


def test_a_function_that_returns_is_ok_and_its_value_is_json(bench):
    world = bench(call("a", lambda: {"n": 1}), call("none", lambda: None))
    world.start("a", "none")
    came = world.wait(2)
    assert (came["a"].kind, came["a"].result) == ("ok", b'{"n":1}')
    assert (came["none"].kind, came["none"].result) == ("ok", b"")
    assert came["a"].wall_s >= 0
    assert came["a"].peak_bytes > 1_000_000 or bench.kind == "inline"


def test_what_an_action_printed_before_it_raised_stands_before_its_traceback(bench):
    def bad():
        print("reading")
        print("on standard error", file=sys.stderr)
        print("row 3", end="")
        raise ValueError("no")

    world = bench(call("bad", bad))
    world.start("bad")
    world.wait()
    log = world.log("bad")
    printed, _, raised = log.partition("Traceback")
    assert all(text in printed for text in ("reading", "on standard error", "row 3"))
    assert raised.endswith("ValueError: no\n")


def test_a_function_that_raises_is_an_error_with_its_traceback_in_the_log(bench):
    """R20"""

    def boom():
        raise ValueError("no\nsecond line")

    world = bench(call("a", boom))
    world.start("a")
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.reason, outcome.message) == ("error", "exception", "ValueError: no")
    assert "in boom\n" in world.log("a")
    assert "perform.py" not in world.log("a")


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even its text")


def evil_exit():
    raise SystemExit(3)


def evil_interrupt():
    raise KeyboardInterrupt


def evil_unspeakable():
    raise Unspeakable


def evil_recursion():
    return evil_recursion()


def evil_base():
    raise BaseException("base")


def evil_group():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def evil_closes():
    os.close(1)
    os.close(2)
    sys.stdout = None
    return "still here"


def evil_result():
    return object()


def evil_nan():
    return {"rows": 0, "means": [1.5, float("nan")]}


def evil_keys():
    return {"by": {1: "a", "1": "b"}}


def evil_cycle():
    loop = []
    loop.append(loop)
    return loop


def evil_huge():
    return "x" * (2**20)


def evil_surrogate():
    raise ValueError("\ud800 \x1b[31mred\x07")


EVIL = {
    "evil_exit": ("error", "SystemExit: 3"),
    "evil_interrupt": ("error", "KeyboardInterrupt"),
    "evil_unspeakable": ("error", "Unspeakable"),
    "evil_recursion": ("error", "RecursionError: maximum recursion depth exceeded"),
    "evil_base": ("error", "BaseException: base"),
    "evil_group": ("error", "ExceptionGroup: several (2 sub-exceptions)"),
    "evil_result": ("error", "the result cannot be written as JSON: Encoding objects of type object is unsupported"),
    "evil_nan": ("error", "the result cannot be written as JSON at `means[1]`: JSON has no nan"),
    "evil_keys": ("error", "the result cannot be written as JSON at `by`: two keys become the same text `1`"),
    "evil_cycle": ("error", None),
    "evil_huge": ("error", "the result has 1048578 bytes as JSON, at most 1048576 are kept: write it to a file"),
    "evil_surrogate": ("error", "ValueError: ? ?[31mred?"),
}


@pytest.mark.parametrize("name", EVIL)
def test_whatever_an_action_does_the_next_one_runs(bench, name):
    """I18"""
    world = bench(call(name, globals()[name]), call("after", lambda: 7))
    world.start(name)
    outcome = world.wait()[name]
    kind, message = EVIL[name]
    assert outcome.kind == kind
    assert message is None or outcome.message == message
    assert outcome.message.isprintable()
    world.start("after")
    assert world.wait()["after"].result == b"7"


def test_an_action_may_close_its_standard_streams(local):
    """I18"""
    world = local(call("a", evil_closes), call("after", lambda: print("seen")))
    world.start("a")
    assert world.wait()["a"].result == b'"still here"'
    world.start("after")
    assert world.wait()["after"].kind == "ok"


def test_a_command_ends_with_its_exit_status(bench):
    world = bench(run("ok", "true"), run("three", "exit 3"), run("words", ["sh", "-c", "exit 4"]))
    world.start("ok", "three", "words")
    came = world.wait(3)
    assert came["ok"].kind == "ok"
    assert (came["three"].kind, came["three"].exit_code, came["three"].message) == ("exit", 3, "exit status 3")
    assert came["words"].exit_code == 4


def test_a_command_killed_by_a_signal_is_a_crash(bench):
    world = bench(run("a", "kill -SEGV $$"))
    world.start("a")
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.signal, outcome.message) == ("crash", signal.SIGSEGV, "killed by SIGSEGV")


def test_a_command_that_does_not_exist_is_127_and_one_that_cannot_be_executed_126(bench, tmp_path):
    (tmp_path / "text").write_text("no program")
    world = bench(run("missing", "no-such-program x"), run("plain", ["./text"]), run("folder", "true", cwd="nowhere"))
    world.start("missing", "plain", "folder")
    came = world.wait(3)
    assert (came["missing"].exit_code, came["missing"].message) == (127, "command not found: `no-such-program`")
    assert (came["plain"].exit_code, came["plain"].message) == (126, "cannot execute `./text`: permission denied")
    assert came["folder"].message == f"no such folder to run in: `{tmp_path}/nowhere`"


def test_a_script_whose_interpreter_is_missing_is_not_said_to_be_missing_itself(bench, tmp_path):
    script = tmp_path / "script.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    world = bench(run("a", "./script.sh"))
    world.start("a")
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.exit_code) == ("exit", 127)
    assert outcome.message == "cannot execute `./script.sh`: its interpreter does not exist"


def test_arguments_that_are_too_long_for_the_system_fail_their_job_only(bench):
    world = bench(run("long", ["echo", "x" * 200_000]), run("after", "true"))
    world.start("long", "after")
    came = world.wait(2)
    assert came["long"].message == (
        "cannot execute `echo`: its word 2 has 200000 bytes, and the system takes 131071 in one: pass a file"
    )
    assert (came["long"].kind, came["long"].exit_code, came["long"].reason) == ("exit", 126, "too_long")
    assert came["after"].kind == "ok"


def test_a_command_sees_its_run_its_job_and_nothing_on_standard_input(bench, tmp_path):
    script = (
        'cat; echo "$JOBLOT_RUN_ID $JOBLOT_JOB $JOBLOT_ATTEMPT $JOBLOT_BATCH_DIR $JOBLOT_INPUT $GREETING $OWN"; pwd'
    )
    world = bench(run("a", script, env={"OWN": "mine"}, input="in.txt", cwd="sub"), env={"GREETING": "hello"})
    (tmp_path / "sub").mkdir()
    (tmp_path / "in.txt").touch()
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    assert world.log("a") == f"bench-run a 1 {tmp_path} {tmp_path}/in.txt hello mine\n{tmp_path}/sub\n"


def test_a_function_sees_the_batch_s_and_its_own_variables_and_leaves_none_behind(bench):
    def look():
        return [os.environ.get("GREETING"), os.environ.get("OWN")]

    world = bench(call("a", look, env={"OWN": "mine"}), call("b", look), env={"GREETING": "hello"})
    world.start("a", "b")
    came = world.wait(2)
    assert came["a"].result == b'["hello","mine"]'
    assert came["b"].result == b'["hello",null]'


def test_one_input_for_a_function_of_several_is_a_list_of_one(bench, tmp_path):
    def names(input: list[Path]):
        return [path.name for path in input]

    world = bench(call("a", names, input="one.txt"), call("b", names, input=["one.txt", "two.txt"]))
    world.start("a", "b")
    came = world.wait(2)
    assert came["a"].result == b'["one.txt"]'
    assert came["b"].result == b'["one.txt","two.txt"]'


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("printf 'rows=3\\nname=x=y\\n'", b'{"rows":"3","name":"x=y"}'),
        ("printf '{\"rows\": 3}'", b'{"rows":3}'),
        ("echo 3", b"3"),
        ("printf 'mode=final\\ntitle=one\\fmode=draft\\n'", b'{"mode":"final","title":"one\\fmode=draft"}'),
        ("printf ''", b""),
    ],
)
def test_what_a_command_writes_to_its_output_file_is_its_result(bench, written, result):
    world = bench(run("a", f"{written} > $JOBLOT_OUTPUT"))
    world.start("a")
    assert world.wait()["a"].result == result


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("echo nonsense", "a line in `JOBLOT_OUTPUT` is neither JSON nor `key=value`: `nonsense`"),
        ("echo '{bad'", "what the command wrote to `JOBLOT_OUTPUT` is not JSON: "),
        ("head -c 1100000 /dev/zero", "what the command wrote to `JOBLOT_OUTPUT` is larger than 1048576 bytes"),
    ],
)
def test_an_output_file_that_is_no_result_fails_the_attempt(bench, written, message):
    world = bench(run("a", f"{written} > $JOBLOT_OUTPUT"))
    world.start("a")
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.reason) == ("error", "bad_result")
    assert outcome.message.startswith(message)


# --- logs -----------------------------------------------------------------------------------------


def test_what_an_attempt_prints_is_its_log_and_what_prints_nothing_has_none(bench):
    def shout():
        print("out")
        print("err", file=sys.stderr)
        os.write(1, b"raw\n")
        os.system("echo child")

    world = bench(call("a", shout), call("quiet", lambda: 1), run("cmd", "echo command; echo wrong >&2"))
    world.start("a", "quiet", "cmd")
    world.wait(3)
    assert sorted(world.log("a").split()) == ["child", "err", "out", "raw"]
    assert not (world.run_dir / "logs" / "quiet").exists()
    assert world.log("cmd") == "command\nwrong\n"


def test_two_attempts_of_a_job_have_two_logs(bench):
    world = bench(run("a", "echo $JOBLOT_ATTEMPT"))
    for _ in range(2):
        world.start("a")
        world.wait()
    assert (world.log("a", 1), world.log("a", 2)) == ("1\n", "2\n")


def test_the_log_of_a_long_attempt_can_be_read_while_it_runs(local):
    world = local(run("cmd", "echo early; sleep 30"), call("fun", lambda: (print("early", flush=True), time.sleep(30))))
    world.start("cmd", "fun")
    until = time.monotonic() + 30
    while "early" not in world.log("cmd") or "early" not in world.log("fun"):
        assert time.monotonic() < until
        world.look(0.05)
    world.kill("cmd")
    world.kill("fun")
    world.wait(2)


@pytest.mark.parametrize("quiet", ["call", "run"])
def test_a_long_attempt_that_prints_nothing_has_no_log_and_not_the_next_one_s(local, quiet):
    """R110: its log got its name while it ran, over the file that the next attempt printed into."""
    stay = call("quiet", lambda: time.sleep(0.3)) if quiet == "call" else run("quiet", "sleep 0.3")
    loud = call("loud", lambda: print("hello")) if quiet == "call" else run("loud", "echo hello")
    world = local(stay, loud, slots=1)
    for name in ("quiet", "loud"):
        world.start(name)
        assert world.wait()[name].kind == "ok"
    assert world.log("loud") == "hello\n"
    assert not (world.run_dir / "logs" / "quiet" / "1.log").exists()


def test_declared_secrets_are_masked_in_logs_results_and_messages(bench, monkeypatch):
    """I14"""
    monkeypatch.setenv("TOKEN", "s3cr3t/value")

    def leak():
        print("token", os.environ["TOKEN"])
        raise ValueError(os.environ["TOKEN"])

    world = bench(
        call("fail", leak),
        call("give", lambda: os.environ["TOKEN"]),
        run("cmd", 'echo $TOKEN; printf %s "$TOKEN" | base64; echo v=$TOKEN > $JOBLOT_OUTPUT'),
        secrets=["TOKEN"],
    )
    world.start("fail", "give", "cmd")
    came = world.wait(3)
    assert came["fail"].message == "ValueError: ***"
    assert came["give"].result == b'"***"'
    assert came["cmd"].result == b'{"v":"***"}'
    assert world.log("cmd") == "***\n***\n"
    world.close()
    everything = b"".join(path.read_bytes() for path in world.run_dir.rglob("*") if path.is_file())
    assert b"s3cr3t" not in everything
    assert b"token ***" in everything


# --- killing --------------------------------------------------------------------------------------

SHAPES = {
    "plain": "sleep {n}",
    "ignores TERM": "trap '' TERM INT HUP; sleep {n} & wait; sleep {n}",
    "children": "sleep {n} & sleep {n} & wait",
    "own session": "setsid sleep {n} & wait; sleep {n}",
    "double fork": "(setsid sh -c 'sleep {n} & sleep {n}' &) ; sleep {n}",
    "stopped": "sleep {n} & kill -STOP $!; sleep {n}",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_killed_command_leaves_no_process(local, shape):
    """R110, G3"""
    marker = f"7{os.getpid()}{abs(hash(shape)) % 1000}"
    world = local(run("a", SHAPES[shape].format(n=marker)))
    world.start("a")
    until = time.monotonic() + 30
    while not living_sleeps(marker):
        assert time.monotonic() < until
        world.look(0.02)
    world.kill("a", grace=0.1)
    outcome = world.wait()["a"]
    assert outcome.kind == "crash"
    assert gone(marker)


def test_a_daemon_that_a_command_leaves_behind_dies_with_it(local):
    """P7, P8: the job ends when its main process ends, and takes the rest along."""
    marker = f"8{os.getpid()}"
    world = local(run("a", f"(setsid sleep {marker} &) ; sleep 0.1; exit 0"))
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    assert gone(marker)


def test_a_killed_action_runs_its_finally_blocks_and_the_next_one_gets_a_new_worker(local, tmp_path):
    def patient():
        try:
            time.sleep(60)
        finally:
            (tmp_path / "cleaned").write_text("yes")

    world = local(call("a", patient), call("after", os.getpid))
    world.start("a")
    world.look(0.2)
    world.kill("a", grace=5)
    outcome = world.wait()["a"]
    assert outcome.kind == "cancelled"
    assert (tmp_path / "cleaned").read_text() == "yes"
    assert world.log("a") == ""
    world.start("after")
    assert world.wait()["after"].kind == "ok"


def test_an_action_that_hangs_outside_the_interpreter_is_killed_after_the_grace(local):
    def stubborn():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(60)

    world = local(call("a", stubborn))
    world.start("a")
    world.look(0.2)
    began = time.monotonic()
    world.kill("a", grace=0.2)
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.signal) == ("crash", signal.SIGKILL)
    assert time.monotonic() - began < 5


def test_children_of_an_action_die_with_its_attempt(local):
    marker = f"9{os.getpid()}"

    def breed():
        import subprocess

        return subprocess.Popen(["sleep", marker]).pid

    world = local(call("a", breed))
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    assert gone(marker)


def test_a_worker_that_dies_costs_only_the_attempt_that_it_ran(local):
    """P4, P5"""

    def crash():
        import ctypes

        ctypes.string_at(0)

    world = local(
        call("crash", crash), call("exit", lambda: os._exit(3)), call("zero", lambda: os._exit(0)), call("a", lambda: 1)
    )
    world.start("crash", "exit", "zero", "a")
    came = world.wait(4)
    assert (came["crash"].kind, came["crash"].message) == ("crash", "killed by SIGSEGV")
    assert "Segmentation fault" in world.log("crash")
    assert (came["exit"].kind, came["exit"].exit_code) == ("exit", 3)
    assert (came["zero"].kind, came["zero"].message) == (
        "error",
        "the worker's process ended before the action returned",
    )
    assert came["a"].kind == "ok"


def test_what_has_not_begun_comes_back_as_returned_when_it_is_killed(bench):
    world = bench(call("long", lambda: time.sleep(0.2)), call("queued", lambda: 1), slots=1)
    world.start("long", "queued")
    world.kill("queued")
    came = world.wait(2)
    assert (came["queued"].kind, came["queued"].began) == ("returned", None)
    assert came["long"].kind == "ok"


def test_attempts_queued_behind_a_long_one_are_given_back(local):
    quick = [call(f"q{n}", lambda: None) for n in range(200)]
    world = local(*quick, call("long", lambda: time.sleep(1.0)), slots=1)
    world.start(*[f"q{n}" for n in range(100)])
    world.wait(100)
    assert world.executor.capacity > 1
    world.start("long", *[f"q{n}" for n in range(100, 110)])
    came = world.wait(10, returned=True)
    assert {outcome.kind for outcome in came.values()} == {"returned"}
    assert world.executor.capacity == 1
    assert world.wait()["long"].kind == "ok"


def test_an_attempt_whose_worker_takes_long_to_start_stays_with_it(local):
    """On a busy machine it was given back ten times a second, each time with a line in the journal."""
    world = local(call("a", lambda: 1), call("b", lambda: 2), slots=1)
    os.kill(world.executor._warden_pid, signal.SIGSTOP)
    world.start("a", "b")
    until, came = time.monotonic() + 0.5, []
    while time.monotonic() < until:
        came += world.executor.wait(0.05)
    os.kill(world.executor._warden_pid, signal.SIGCONT)
    assert {(world.plan.name(one.job), one.kind) for one in came} <= {("b", "returned")}
    world.start(*({"b"} & {world.plan.name(one.job) for one in came}))
    assert {name: one.result for name, one in world.wait(2).items()} == {"a": b"1", "b": b"2"}


def test_nothing_runs_twice_when_attempts_are_taken_back(local, tmp_path):
    log = tmp_path / "ran"

    def note(name):
        def work():
            with log.open("a") as file:
                file.write(f"{name}\n")
            if name.startswith("slow"):
                time.sleep(0.25)

        return work

    names = [f"{'slow' if n % 40 == 39 else 'fast'}{n}" for n in range(120)]
    world = local(*[call(name, note(name)) for name in names], slots=1)
    left = list(names)
    while left:
        room = max(1, world.executor.capacity)
        batch, left = left[:room], left[room:]
        world.start(*batch)
        for name, outcome in world.wait(len(batch), returned=True).items():
            if outcome.kind == "returned":
                left.append(name)
    assert sorted(log.read_text().split()) == sorted(names)


BIG = 400 * 2**20


def test_large_outputs_are_hashed_where_nobody_waits_for_it(local, tmp_path):
    """While a worker reads the output of a command, other jobs begin and end."""
    world = local(run("big", f"truncate -s {BIG} big.dat", outputs=("big.dat",)), run("quick", "true"))
    world.start("big")
    world.executor.wait(5)
    assert world.executor.wait(0) == []
    world.start("quick")
    first, second = [next(iter(world.wait(1).values())) for _ in range(2)]
    assert (world.plan.name(first.job), world.plan.name(second.job)) == ("quick", "big")
    found = (tmp_path / "big.dat").stat()
    [(stamp, fact)] = second.looked
    assert stamp == (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
    assert (fact.path, fact.size, fact.mtime_ns, len(fact.sha256)) == ("big.dat", *stamp[:2], 64)
    assert second.began + second.wall_s <= first.began, "looking is no part of the attempt"
    assert world.log("big") == ""


@pytest.mark.parametrize("end", ["grace", "at once", "the warden"])
def test_a_command_that_ended_well_did_so_whatever_ends_the_look_at_its_outputs(local, end):
    world = local(run("big", f"truncate -s {BIG} big.dat", outputs=("big.dat",)))
    world.start("big")
    until = time.monotonic() + 30
    while not world.executor._workers:
        assert time.monotonic() < until
        assert world.executor.wait(0.01) == []
    if end == "the warden":
        os.kill(world.executor._warden_pid, signal.SIGKILL)
    else:
        world.kill("big", grace=1.0 if end == "grace" else 0.0)
    assert world.wait()["big"].kind == "ok"


def test_an_action_s_outputs_are_hashed_in_its_worker(local, tmp_path):
    made = tmp_path / "made.txt"
    world = local(call("a", lambda: made.write_text("x") and None, outputs=("made.txt",)))
    world.start("a")
    [(stamp, fact)] = world.wait()["a"].looked
    found = made.stat()
    assert stamp == (1, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
    assert (fact.path, fact.size, fact.mtime_ns) == ("made.txt", 1, found.st_mtime_ns)
    assert fact.sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_a_killed_warden_is_replaced_and_what_ran_is_lost(local):
    """P2"""
    marker = f"6{os.getpid()}"
    world = local(run("a", f"sleep {marker}"), call("b", lambda: time.sleep(60)), run("after", "true"))
    world.start("a", "b")
    until = time.monotonic() + 30
    while not living_sleeps(marker):
        assert time.monotonic() < until
        world.look(0.02)
    os.kill(world.executor._warden_pid, signal.SIGKILL)
    came = world.wait(2)
    assert {outcome.kind for outcome in came.values()} == {"lost"}
    assert gone(marker)
    world.start("after")
    assert world.wait()["after"].kind == "ok"


def test_a_warden_that_is_gone_is_no_want_of_room(local):
    """P2: what is started before the runner has noticed runs under the next warden, at once and without a word."""
    said = []
    world = local(call("a", lambda: 1), warn=said.append)
    os.kill(world.executor._warden_pid, signal.SIGKILL)
    os.waitid(os.P_PID, world.executor._warden_pid, os.WEXITED | os.WNOWAIT)
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    assert not any("room" in text for text in said), said


def test_what_had_not_begun_when_the_warden_was_killed_is_not_lost(local, tmp_path):
    """P2: the token of an attempt says whether it began."""
    begun = tmp_path / "begun"
    count = 6
    ahead = [f"n{number}" for number in range(count)]

    def stay():
        begun.touch()
        time.sleep(60)

    world = local(call("stay", stay), *(call(name, lambda: 1) for name in ahead), slots=1)
    for _ in range(12):
        world.start(*ahead)
        world.wait(count)
    world.start("stay", *ahead)
    assert not world.executor._waiting, "all of them are in the worker's queue"
    while not begun.exists():
        time.sleep(0.001)
    os.kill(world.executor._warden_pid, signal.SIGKILL)
    came = world.wait(count + 1)
    assert came.pop("stay").kind == "lost"
    assert {outcome.kind for outcome in came.values()} == {"ok"}


def test_nothing_outlives_a_killed_runner(tmp_path):
    """P1, G3"""
    marker = f"5{os.getpid()}"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        world = Bench(
            "local", tmp_path, run("a", f"sleep {marker} & sleep {marker}"), call("b", lambda: time.sleep(300))
        )
        world.start("a", "b")
        while len(living_sleeps(marker)) < 2:
            world.look(0.02)
        os.write(write, f"{world.executor._warden_pid}".encode())
        time.sleep(300)
    warden = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert gone(marker)
    until = time.monotonic() + 2
    while lives(warden) and time.monotonic() < until:
        time.sleep(0.01)
    assert not lives(warden)


def test_close_leaves_no_process_and_no_spool_names_behind(local, tmp_path):
    marker = f"4{os.getpid()}"
    world = local(run("a", f"sleep {marker}"), call("b", lambda: time.sleep(60)))
    world.start("a", "b")
    until = time.monotonic() + 30
    while not living_sleeps(marker):
        assert time.monotonic() < until
        world.look(0.02)
    world.close()
    assert gone(marker)
    assert not processes.children(world.executor._warden_pid)


# --- waiting --------------------------------------------------------------------------------------


def test_wait_returns_nothing_after_its_timeout(bench):
    world = bench(run("a", "true"))
    assert world.executor.wait(0.01) == []


def test_wait_returns_when_the_wake_descriptor_is_readable(bench):
    marker = f"3{os.getpid()}"
    world = bench(run("a", f"sleep {marker}"))
    read, write = os.pipe()
    world.executor.wake_on(read)
    world.start("a")
    until = time.monotonic() + 30
    while not living_sleeps(marker):
        assert time.monotonic() < until
        world.look(0.02)
    for _ in range(3):  # until it looks no more whether the attempt takes long
        world.look(0.3)
    os.write(write, b"x")
    began = time.monotonic()
    while world.executor.wait(30.0) != []:
        pass
    assert time.monotonic() - began < 2.5
    os.read(read, 1)
    world.kill("a")
    assert world.wait()["a"].kind == "crash"
    os.close(read)
    os.close(write)


def test_slots_bound_what_runs_at_once(local, tmp_path):
    log = tmp_path / "log"
    script = f"echo + >> {log}; sleep 0.05; echo - >> {log}"
    world = local(*[run(f"c{n}", script) for n in range(12)], slots=3)
    world.start(*[f"c{n}" for n in range(12)])
    assert {outcome.kind for outcome in world.wait(12).values()} == {"ok"}
    level = most = 0
    for sign in log.read_text().split():
        level += 1 if sign == "+" else -1
        most = max(most, level)
    assert most <= 3
    assert level == 0


def test_an_attempt_that_is_killed_while_its_worker_starts_does_not_run_to_its_end(local):
    """It was put back in the queue, and nobody remembered that it was to be killed."""
    bench = local(call("a", lambda: time.sleep(1)), slots=1)
    kinds = []
    for _ in range(4):
        bench.start("a")
        bench.kill("a", grace=30.0)
        kinds.append(bench.wait()["a"].kind)
    assert set(kinds) <= {"returned", "cancelled"}


def test_a_time_limit_shorter_than_the_start_of_a_worker_is_kept(tmp_path):
    from joblot import Batch

    batch = Batch("short", folder=tmp_path)
    batch.add("a", lambda: time.sleep(1), timeout="5ms", grace="30s")
    report = batch.run(state=tmp_path / "state", workers=1)
    assert (report.jobs["a"].state, report.jobs["a"].reason) == ("failed", "timeout")
