"""Which processes are a run's: all that it has started are found, whatever they do to hide, and no others."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from contract.test_executors import Bench, call, gone, living_sleeps, local, run  # noqa: F401
from joblot.executors import processes
from joblot.executors.warden import frame, set_subreaper

HIDING = {
    "an empty environment": "exec env -i sleep {n}",
    "exec -c": "exec bash -c 'exec -c sleep {n}'",
    "some variables are gone": "exec env -u JOBLOT_RUN -u JOBLOT_RUN_ID -u JOBLOT_JOB -u JOBLOT_ATTEMPT sleep {n}",
    "another name over its environment": """exec perl -e '$0 = "{n} " x 4000; sleep 1000'""",
    "a session of its own": "env -i setsid sleep {n} & exec env -i sleep {n}",
    "a daemon that holds nothing open": "(env -i setsid sh -c 'sleep {n} & exec sleep {n}' <&- >&- 2>&- &); exec env -i sleep {n}",
    "a stopped daemon": "(env -i setsid sh -c 'kill -STOP $$; sleep {n}' {n} &); exec env -i sleep {n}",
    "other limits": "ulimit -t 1000; ulimit -v unlimited; exec env -i sleep {n}",
    "another user": "exec env -i setpriv --reuid 65534 --regid 65534 --clear-groups sleep {n}",
}
AS_ROOT = {"another user"}


def hide(marker: str):
    """An action that leaves such a child."""

    def work():
        subprocess.Popen(["setsid", "sleep", marker], env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not os.fork():
            os.setsid()
            os.execlpe("sleep", "sleep", marker, {})
        time.sleep(1000)

    return work


def hiding(way: str, marker: str):
    """A job whose processes hide. Skips what only root can do."""
    if way in AS_ROOT and os.getuid():
        pytest.skip("only root can")
    return call("a", hide(marker)) if way == "an action" else run("a", HIDING[way].format(n=marker))


def processes_of(way: str) -> int:
    """How many a job has at the least, its shells not counted."""
    return 2 if "daemon" in way or "session" in way or way == "an action" else 1


def begin(world, marker: str, count: int = 1) -> None:
    world.start("a")
    until = time.monotonic() + 30
    while len(living_sleeps(marker)) < count:
        assert time.monotonic() < until, "it did not begin"
        world.look(0.02)


@pytest.mark.parametrize("way", [*HIDING, "an action"])
def test_what_hides_dies_before_the_next_attempt_when_its_warden_is_killed(local, way):  # noqa: F811
    """G2, G3"""
    marker = f"61{os.getpid()}"
    world = local(hiding(way, marker))
    begin(world, marker, processes_of(way))
    os.kill(world.executor._warden_pid, signal.SIGKILL)
    assert world.wait()["a"].kind == "lost"
    assert living_sleeps(marker) == []


def in_a_process_of_its_own(work, *words) -> int:
    """Call a function there, where there are no other threads and no children. Returns the status as of `wait`."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*words)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def orphan(folder: Path, way: str, marker: str, kind: str = "local") -> str:
    """Begin a job, then kill the runner and its warden. Returns the run's cookie."""

    def die() -> None:
        world = Bench(kind, folder, hiding(way, marker))
        begin(world, marker, processes_of(way))
        for pid in [*(processes.children(os.getpid()) if kind == "local" else ()), os.getpid()]:
            os.kill(pid, signal.SIGKILL)

    assert in_a_process_of_its_own(die) == signal.SIGKILL
    return str(folder / "run")


@pytest.mark.parametrize(
    ("way", "kind"), [*((way, "local") for way in [*HIDING, "an action"]), ("an empty environment", "inline")]
)
def test_what_hides_is_found_when_runner_and_warden_are_killed(tmp_path, way, kind):
    """G2: whoever resumes the run sweeps first."""
    marker = f"62{os.getpid()}"
    cookie = orphan(tmp_path, way, marker, kind)
    until = time.monotonic() + 30
    while not living_sleeps(marker):  # one that begins another program has no words for a moment
        assert time.monotonic() < until, "nobody ends it but who resumes"
    processes.sweep(cookie)
    assert living_sleeps(marker) == []


def settle(world) -> None:
    """Until the runner is a subreaper, which it becomes when jobs take long."""
    until = time.monotonic() + 30
    while world.executor._was_subreaper < 0:
        assert time.monotonic() < until
        world.look(0.05)


LOST = """
import os, resource
if os.fork():
    os.wait()
resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1))
os.setsid()
os.execve("/bin/sleep", ["sleep", os.environ["MARKER"]], {})
"""


def test_what_a_dead_warden_leaves_comes_to_the_runner_even_without_a_mark(tmp_path):
    """G3: as `su` does, a process sets its limits anew, clears its environment and begins a session."""
    marker = f"63{os.getpid()}"

    def work() -> None:
        world = Bench("local", tmp_path, run("a", [sys.executable, "-c", LOST], env={"MARKER": marker}))
        begin(world, marker)
        settle(world)
        mine = subprocess.Popen(["sleep", "1000"])
        os.kill(world.executor._warden_pid, signal.SIGKILL)
        assert world.wait()["a"].kind == "lost"
        assert living_sleeps(marker) == []
        assert mine.poll() is None, "what the program itself starts is not the run's"
        mine.kill()
        mine.wait()
        world.close()
        assert processes.children(os.getpid()) == [], "what has ended is reaped"
        assert set_subreaper(0) == 0, "as it was before"

    assert in_a_process_of_its_own(work) == 0


def test_a_program_that_was_a_subreaper_stays_one(tmp_path):
    def work() -> None:
        set_subreaper(1)
        world = Bench("local", tmp_path, run("a", "sleep 0.2"))
        world.start("a")
        world.wait()
        world.close()
        assert set_subreaper(0) == 1

    assert in_a_process_of_its_own(work) == 0


def test_a_program_that_has_children_gets_no_others(tmp_path):
    """Whose an orphan was could not be told from outside, and nobody would reap it."""

    def work() -> None:
        mine = subprocess.Popen(["sleep", "1000"])
        world = Bench("local", tmp_path, run("a", "sleep 0.2"))
        world.start("a")
        world.wait()
        assert set_subreaper(0) == 0
        world.close()
        mine.kill()
        mine.wait()

    assert in_a_process_of_its_own(work) == 0


# --- strangers ------------------------------------------------------------------------------------


def reading(log: Path) -> list[str]:
    return ["tail", "-f", str(log)]


def stranger(kind: str, run_dir: Path, marker: str) -> subprocess.Popen:
    """A process that looks like one of the run, and is none."""
    log = run_dir / "logs" / "a" / "1.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("printed\n")
    cookie, words = str(run_dir), ["sleep", marker]
    if kind == "a run whose folder begins alike":
        return subprocess.Popen(words, env={"JOBLOT_RUN": f"{cookie}-2"})
    if kind == "another variable with the same value":
        return subprocess.Popen(words, env={"MY_JOBLOT_RUN": cookie, "NOTE": f"JOBLOT_RUN={cookie}"})
    if kind == "another run's mark":
        process = subprocess.Popen(words, env={})
        processes.Marker(b"/elsewhere/run").set(1, process.pid)
        return process
    if kind == "one who reads the log":
        return subprocess.Popen(reading(log), stdout=subprocess.DEVNULL)
    if kind == "one who works in the folder":
        return subprocess.Popen(words, cwd=log.parent, start_new_session=True)
    if kind == "one who names it":
        return subprocess.Popen(["sh", "-c", "sleep $1", "sh", marker, "JOBLOT_RUN=" + cookie], start_new_session=True)
    if kind == "its session was noted":
        # By an earlier joblot, with the number of a worker that is gone: the number came again, and its process is gone too.
        leader = subprocess.Popen(
            ["sh", "-c", "env -i sleep $1 & echo $!", "sh", marker], start_new_session=True, stdout=subprocess.PIPE
        )
        pid = int(leader.stdout.readline())
        leader.stdout.close()
        leader.wait()
        live = run_dir / "live"
        live.mkdir()
        (live / "worker-1.pid").write_text(f"{leader.pid} 4711")
        stranger = subprocess.Popen(["true"])
        stranger.wait()
        stranger.pid = pid
        return stranger
    raise AssertionError(kind)


STRANGERS = (
    "a run whose folder begins alike",
    "another variable with the same value",
    "another run's mark",
    "one who reads the log",
    "one who works in the folder",
    "one who names it",
    "its session was noted",
)


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_is_left_alone(tmp_path, kind):
    marker = f"64{os.getpid()}"
    run_dir = tmp_path / "run"
    process = stranger(kind, run_dir, marker)
    try:
        assert processes.sweep(str(run_dir)) == 0
        assert processes.is_alive(process.pid)
    finally:
        for pid in {process.pid, *living_sleeps(marker)}:
            processes.send(pid, signal.SIGKILL)
        if process.returncode is None:
            process.wait()


def test_resume_leaves_alone_what_has_the_number_of_a_dead_worker(tmp_path):
    """A worker's number comes again, in a session that somebody begins and leaves."""
    probe = subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("numbers of processes can be chosen in a namespace of one's own only")
    (tmp_path / "acts.py").write_text(
        "import os, time\nfrom joblot import action\n\n\n@action('wait')\ndef wait(*, ctx):\n"
        "    with open('wit', 'a') as file:\n        file.write(f'{os.getpid()}\\n')\n"
        "    time.sleep(60 if ctx.attempt == 1 else 0)\n"
    )
    (tmp_path / "joblot.yaml").write_text("imports: [./acts.py]\njobs: [{name: a, action: wait}]\n")
    (tmp_path / "show.sh").write_text(
        'python=$1; : > wit\n"$python" -m joblot run -q & run=$!\n'
        "while ! [ -s wit ]; do sleep 0.02; done\n"
        "worker=$(head -n 1 wit)\n"
        "kill -9 $run $(cat /proc/$run/task/$run/children); wait $run 2>/dev/null\n"
        "while kill -0 $worker 2>/dev/null; do sleep 0.02; done\n"
        "echo $((worker - 1)) > /proc/sys/kernel/ns_last_pid\n"
        "setsid sh -c 'echo $$ > leader; env -i sleep 77 & echo $! > stranger; exit 0'\n"
        "while ! [ -s stranger ]; do sleep 0.02; done\n"
        "[ $(cat leader) = $worker ] || echo another number\n"
        '"$python" -m joblot resume -q\n'
        "kill -0 $(cat stranger) && echo the stranger lives\n"
    )
    words = ["unshare", "-pf", "--mount-proc", "sh", "show.sh", sys.executable]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "the stranger lives\n", done.stderr


# --- strays ---------------------------------------------------------------------------------------

SERVER = {
    "an empty environment": "env -i setsid sleep {n} & ",
    "of no parent": "env -i setsid sh -c 'sleep {n} & exit 0'; ",
    "of no parent, holds nothing": "env -i setsid sh -c 'sleep {n} & exit 0' <&- >&- 2>&-; ",
    "renamed": """(perl -e '$0 = "{n} " x 4000; sleep 1000' &); """,
    "no mark": '({python} -c "import os, resource; resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1)); os.setsid(); '
    "os.execve('/bin/sleep', ['sleep', '{n}'], {{}})\" &); ",
    "two generations": "(env -i setsid sh -c '(setsid sleep {n} &); exec sleep 0' &); ",
}
NEIGHBOURS = {
    "ends": run("other", "sleep 0.1"),
    "fails": run("other", "sleep 0.1; exit 3"),
    "crashes": run("other", "sleep 0.1; kill -SEGV $$"),
    "leaves a stray too": run("other", "(env -i setsid sleep 987 &); sleep 0.1"),
    "is an action": call("other", lambda: time.sleep(0.1)),
    "is an action that kills its worker": call("other", lambda: os._exit(3)),
    "is killed": run("other", "sleep 987"),
}


def serve(way: str, marker: str, folder: Path):
    command = SERVER[way].format(n=marker, python=shlex.quote(sys.executable))
    return run("server", f"{command} while ! [ -e {folder}/go ]; do sleep 0.02; done")


def begin_server(world, marker: str) -> int:
    world.start("server")
    until = time.monotonic() + 30
    while not (found := [pid for pid in living_sleeps(marker) if processes.children(pid) == [] and is_server(pid)]):
        assert time.monotonic() < until, "it did not begin"
        world.look(0.02)
    return found[0]


def is_server(pid: int) -> bool:
    """The server itself, and not the shell whose words name it, which may just have ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return line.startswith(b"sleep\0") or line[:1].isdigit()


@pytest.mark.parametrize("way", SERVER)
def test_a_background_process_lives_as_long_as_its_own_job(local, tmp_path, way):  # noqa: F811
    marker = f"65{os.getpid()}"
    world = local(serve(way, marker, tmp_path), NEIGHBOURS["ends"], run("later", "true"))
    server = begin_server(world, marker)
    for name in ("other", "later"):
        world.start(name)
        assert world.wait()[name].kind == "ok"
        assert processes.is_alive(server)
    (tmp_path / "go").touch()
    assert world.wait()["server"].kind == "ok"
    assert gone(marker)


@pytest.mark.parametrize("end", NEIGHBOURS)
def test_however_another_job_ends_a_background_process_lives_on(local, tmp_path, end):  # noqa: F811
    marker = f"66{os.getpid()}"
    world = local(serve("of no parent", marker, tmp_path), NEIGHBOURS[end], slots=3)
    server = begin_server(world, marker)
    world.start("other")
    if end == "is killed":
        world.look(0.1)
        world.kill("other")
    world.wait()
    assert processes.is_alive(server)
    (tmp_path / "go").touch()
    assert world.wait()["server"].kind == "ok"
    assert gone(marker)


MANY = """
import os, sys
from joblot.executors.processes import OwnChildren
wait = os.pipe()
own, pids = OwnChildren(), []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os.close(wait[1])
        os.read(wait[0], 1)
        os._exit(0)
    pids.append(pid)
    assert len(pids) % 100 or own.pids() == pids
assert own.pids() == pids
os.close(wait[1])
"""


@pytest.mark.parametrize("count", [1, 900])
def test_all_children_are_seen_however_many_there_are(count):
    """The kernel lists some hundreds at a time: beyond them nothing was seen of what jobs had left behind."""
    assert subprocess.run([sys.executable, "-c", MANY, str(count)], timeout=60, check=False).returncode == 0


# --- a warden that stands still -------------------------------------------------------------------

STOPPING = {
    "a job": run("a", "kill -STOP $PPID; sleep 0.2"),
    "a job, again and again": run("a", "for n in 1 2 3; do kill -STOP $PPID; sleep 0.3; done"),
    "a job that goes on": run("a", "kill -STOP $PPID; exit 0"),
    "an action": call("a", lambda: os.kill(os.getppid(), signal.SIGSTOP)),
    "an action that dies": call("a", lambda: os.kill(os.getppid(), signal.SIGSTOP) or os._exit(3)),
}


@pytest.mark.parametrize("who", STOPPING)
def test_a_warden_that_was_stopped_goes_on(local, who):  # noqa: F811
    world = local(STOPPING[who], run("b", "true"))
    world.start("a", "b")
    kinds = {name: outcome.kind for name, outcome in world.wait(2, limit=20).items()}
    assert kinds == {"a": "exit" if "dies" in who else "ok", "b": "ok"}


def test_a_stopped_warden_kills_what_it_is_asked_to(local):  # noqa: F811
    marker = f"67{os.getpid()}"
    world = local(run("a", f"kill -STOP $PPID; exec sleep {marker}"))
    begin(world, marker)
    world.kill("a", grace=0.1)
    assert world.wait(limit=10)["a"].kind == "crash"
    assert gone(marker)


def test_a_stopped_warden_does_not_hold_up_the_end(local):  # noqa: F811
    marker = f"68{os.getpid()}"
    world = local(run("a", f"kill -STOP $PPID; exec sleep {marker}"))
    begin(world, marker)
    world.close()
    assert living_sleeps(marker) == []


HOLD = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
if libc.ptrace(16, int(sys.argv[1]), 0, 0):  # PTRACE_ATTACH
    sys.exit(1)
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def held():
    """Holds a process as a debugger does: no signal but KILL gets to it."""
    holders = []

    def hold(pid: int) -> None:
        holders.append(subprocess.Popen([sys.executable, "-c", HOLD, str(pid)], stdout=subprocess.PIPE))
        if holders[-1].stdout.readline() != b"held\n":
            pytest.skip("no process can be traced here")

    yield hold
    for holder in holders:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_warden_that_does_not_answer_when_something_is_to_be_killed_is_ended(local, held, monkeypatch):  # noqa: F811
    monkeypatch.setattr("joblot.executors.local._SILENCE_S", 0.5)
    marker = f"69{os.getpid()}"
    said: list[str] = []
    world = local(run("a", f"exec env -i sleep {marker}"), run("b", "true"), warn=said.append)
    begin(world, marker)
    held(world.executor._warden_pid)
    world.kill("a", grace=0.0)
    assert world.wait(limit=20)["a"].kind == "lost"
    assert living_sleeps(marker) == []
    assert "the warden does not answer: it is ended, and what ran is lost" in said
    world.start("b")
    assert world.wait()["b"].kind == "ok"


def test_a_warden_that_takes_nothing_in_is_ended(local, held, monkeypatch):  # noqa: F811
    """More than the socket holds: the runner would wait for ever to get it off."""
    import struct

    monkeypatch.setattr("joblot.executors.local._SEND_TIMEOUT", struct.pack("ll", 0, 200_000))
    big = {f"V{number}": "x" * 100_000 for number in range(15)}
    world = local(*[run(f"a{number}", "true", env=big) for number in range(3)], slots=3)
    held(world.executor._warden_pid)
    world.start("a0", "a1", "a2")
    assert {outcome.kind for outcome in world.wait(3, limit=20).values()} == {"lost"}
    world.start("a0")
    assert world.wait()["a0"].kind == "ok"


def test_a_stopped_warden_that_goes_on_when_its_runner_is_gone_starts_nothing(tmp_path):
    """What still lay in the socket was begun, beside what a resume had begun meanwhile."""
    from joblot.executors import warden

    environment = {b"PATH": os.environb[b"PATH"], b"JOBLOT_RUN": os.fsencode(tmp_path)}
    pid, sock = warden.start(2, environment, None, 0, None, lambda *_: None)  # type: ignore[arg-type]
    sock.sendall(frame(("command", 1, "a", 1, ["touch", "first"], {}, str(tmp_path), 0, False)))
    until = time.monotonic() + 30
    while not (tmp_path / "first").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 30
    while not processes.is_stopped(pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    for number in range(2, 6):
        sock.sendall(frame(("command", number, f"j{number}", 1, ["touch", f"{number}"], {}, str(tmp_path), 0, False)))
    sock.close()
    os.kill(pid, signal.SIGCONT)
    assert processes.reap(pid, 30) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_resume_ends_an_earlier_warden_that_is_stopped(tmp_path):
    from joblot.executors import warden

    environment = {b"PATH": os.environb[b"PATH"], b"JOBLOT_RUN": os.fsencode(tmp_path)}
    pid, sock = warden.start(1, environment, None, 0, None, lambda *_: None)  # type: ignore[arg-type]
    sock.sendall(frame(("command", 1, "a", 1, ["sleep", "987"], {}, str(tmp_path), 0, False)))
    until = time.monotonic() + 30
    while not processes.children(pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    sock.close()
    assert processes.sweep(str(tmp_path)) == 2
    assert not processes.is_alive(pid)


# --- where there is no mark -----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cleared", "in the background"])
def test_where_processes_cannot_be_marked_they_are_found_as_children(tmp_path, way):
    """Where the limit is set by somebody else."""
    marker = f"60{os.getpid()}"

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_RTTIME, (10**9, 10**9))
        if os.getuid() == 0:  # who may raise it would be no example, but joblot leaves it as it is for root too
            assert processes.mark_of(os.getpid()) == 10**9
        other = run("other", "true")
        if way == "cleared":
            world = Bench("local", tmp_path, run("a", f"exec env -i sleep {marker}"), other)
            begin(world, marker)
            settle(world)
            os.kill(world.executor._warden_pid, signal.SIGKILL)
            assert world.wait()["a"].kind == "lost"
        else:
            world = Bench("local", tmp_path, serve("of no parent", marker, tmp_path), other)
            server = begin_server(world, marker)
            world.start("other")
            world.wait()
            assert processes.is_alive(server)
            assert processes.mark_of(server) == 10**9
            (tmp_path / "go").touch()
            assert world.wait()["server"].kind == "ok"
        assert gone(marker)
        world.close()

    assert in_a_process_of_its_own(work) == 0
