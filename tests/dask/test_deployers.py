"""Clusters that begin with the run, through Dask's own deployers.

SSH is spoken for real, to a server of this test that runs what it is asked to. Slurm is the real `dask_jobqueue` with stand-ins for `sbatch`
and `scancel` that run a script on this machine.
"""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli.conftest import Project
from command_server import DASK
from dask_cluster import certificates, cmdline

BATCH = """\
jobs:
  - {name: a, run: "echo hello; echo v=1 > $JOBLOT_OUTPUT"}
  - {name: b, run: "echo ${{ jobs.a.result.v }}", needs: [a]}
"""


@pytest.fixture
def joblot(tmp_path):
    project = Project(tmp_path, DASK)
    project.write("joblot.yaml", BATCH)
    yield project
    until = time.monotonic() + 20
    while left := [
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if str(tmp_path).encode() in cmdline(pid)
    ]:
        assert time.monotonic() < until, [cmdline(pid) for pid in left]
        time.sleep(0.05)


def log_of(project, job):
    [run] = (project.path / ".joblot" / "runs").iterdir()
    return (run / "logs" / job / "1.log").read_text()


def test_ctrl_c_at_a_terminal_lets_what_runs_on_a_cluster_of_this_machine_end(joblot):
    """Every process of the terminal's group gets the signal; the workers are not among them."""
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - {name: a, run: 'touch began; sleep 1; touch ended'}\n  - {name: b, run: 'true', needs: [a]}\n",
    )
    process = joblot.popen("run", "--on", "dask", start_new_session=True)
    joblot.wait_for("began")
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (joblot.path / "ended").exists()
    assert b"a: success" in said
    assert b"Traceback" not in said, said


SBATCH = """#!/bin/sh
script=$(mktemp {folder}/job-XXXX) && cat "$1" > "$script"
setsid sh "$script" > "$script.out" 2>&1 < /dev/null &
echo $!
"""
SCANCEL = """#!/bin/sh
for id; do kill -TERM -- "-$id"; done
"""


def test_slurm(joblot):
    programs = joblot.path / "bin"
    for name, text in (("sbatch", SBATCH.format(folder=joblot.path)), ("scancel", SCANCEL)):
        joblot.write(f"bin/{name}", text).chmod(0o755)
    options = {
        "cores": 1,
        "processes": 1,
        "memory": "1GiB",
        "queue": "normal",
        "interface": "lo",
        "log_directory": "logs",
        "shared_temp_directory": str(joblot.path),
        "local_directory": str(joblot.path / "scratch"),
        "python": shlex.quote(sys.executable),  # Dask puts it into a text for the shell as it is
    }
    settings = {"tls": "temporary", "workers": 2, "min_workers": 2, "options": options}
    joblot.write("cluster.json", json.dumps(settings))
    done = joblot("run", "--on", "slurm", "--cluster", "cluster.json", env={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert done.code == 0, done.err
    assert "2 jobs, 2 at once" in done.err
    assert (log_of(joblot, "a"), log_of(joblot, "b")) == ("hello\n", "1\n")
    assert len(list(joblot.path.glob("job-*.out"))) == 2


class Server:
    """An SSH server for one key, which runs what it is asked to."""

    def __init__(self, folder: Path):
        import asyncssh

        self.key = folder / "client"
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(self.key)
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._authorized = asyncssh.import_authorized_keys(
            asyncssh.read_private_key(self.key).export_public_key().decode()
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self):
        import asyncssh

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        options = {"server_host_keys": [self._host_key], "authorized_client_keys": self._authorized}
        server = await asyncssh.listen("127.0.0.1", 0, process_factory=self._run, **options)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        await server.wait_closed()

    async def _run(self, process):
        child = subprocess.Popen(  # noqa: ASYNC220 - there is nobody else to wait
            ["/bin/sh", "-c", process.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            await process.redirect(stdout=child.stdout, stderr=child.stderr)
            while child.poll() is None and not process.is_closing():  # noqa: ASYNC110 - there is no event for both
                await asyncio.sleep(0.02)
        finally:
            try:
                os.killpg(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
            process.exit(await asyncio.to_thread(child.wait))

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.close()


def test_ssh(joblot, server):
    ours = certificates(joblot.path, "ours")
    options = {
        "hosts": ["127.0.0.1"] * 3,
        "connect_options": {
            "port": server.port,
            "known_hosts": None,
            "client_keys": [str(server.key)],
            "username": "u",
        },
        "worker_options": {"nthreads": 1, "local_directory": str(joblot.path / "scratch")},
        "scheduler_options": {"port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
        "remote_python": shlex.quote(sys.executable),  # Dask puts it into a text for the shell as it is
    }
    settings = ours.settings(joblot.path / "cluster.json", min_workers=2, options=options)
    done = joblot("run", "--on", "ssh", "--cluster", settings.name)
    assert done.code == 0, done.err
    assert "2 jobs, 2 at once" in done.err
    assert (log_of(joblot, "a"), log_of(joblot, "b")) == ("hello\n", "1\n")


def test_a_deployer_that_cannot_begin_is_one_error(joblot):
    joblot.write("cluster.json", json.dumps({"tls": "temporary", "options": {"cores": 1}}))
    done = joblot("run", "--on", "slurm", "--cluster", "cluster.json")
    assert done.code == 4
    assert "error: cannot begin a cluster with SLURMCluster: ValueError: " in done.err
    assert "Traceback" not in done.err
