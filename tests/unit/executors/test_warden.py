"""What the warden loads: it forks at any moment, so nothing that begins threads or holds state may be in it."""

import json
import subprocess
import sys
from pathlib import Path

import joblot

PROGRAM = """
import json, os, socket, sys
from joblot.executors import warden

def work(ident, channel, token):
    os.write(channel, json.dumps(sorted(sys.modules)).encode())

def answer(kind):
    while True:
        for message in warden.unframe(buffer):
            if message[0] == kind:
                return message
        news = sock.recv(65536)
        assert news, "the warden has ended"
        buffer.extend(news)

pid, sock = warden.start(2, {b"PATH": os.environb[b"PATH"]}, None, 0, None, work)
buffer = bytearray()
sock.sendall(warden.frame(("command", 1, "job", 1, ["true"], {}, "/", 0, False)))
assert answer("ended")[:3] == ("ended", 1, 0)
reading, writing = os.pipe()
socket.send_fds(sock, [warden.frame(("worker", 1))], [writing, writing])
os.close(writing)
with open(reading, "rb") as file:  # until the worker, which the warden forked, has ended
    print(file.read().decode())
sock.close()
os.waitpid(pid, 0)
"""


def test_a_warden_that_has_started_a_command_and_a_worker_has_the_standard_library_only():
    done = subprocess.run([sys.executable, "-S", "-c", PROGRAM], capture_output=True, text=True, timeout=60, env=_env())
    assert done.stderr == ""
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "joblot" in loaded
    assert loaded - sys.stdlib_module_names - {"joblot", "__main__"} == set()


def _env():
    """Without the environment's packages: what is not in the standard library cannot be loaded by chance."""
    return {"PYTHONPATH": str(Path(joblot.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
