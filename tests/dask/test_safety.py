"""TLS or this machine, nothing else; and each thing that cannot work is one clear error before anything begins."""

import json
import socket
import ssl
import sys
import threading

import pytest

from cli.conftest import Project
from command_server import DASK
from dask_cluster import DaskProcesses, certificates
from joblot.cluster import connect
from joblot.cluster.connect import open_cluster
from joblot.cluster.settings import Settings, Tls, check_safe, read_settings
from joblot.cluster.targets import refuse_plain
from joblot.errors import ClusterError, UsageError

BATCH = "jobs:\n  - {name: a, run: echo hello}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def ours(folder):
    return certificates(folder, "ours")


@pytest.fixture(scope="module")
def secure(folder, ours):
    """A scheduler and two workers that speak TLS."""
    processes = DaskProcesses(folder, tls=ours)
    yield processes
    processes.close()


@pytest.fixture
def joblot(tmp_path):
    project = Project(tmp_path, DASK)
    project.write("joblot.yaml", BATCH)
    return project


def test_a_batch_runs_over_tls(secure, ours, joblot):
    ours.settings(joblot.path / "cluster.json", min_workers=2)
    done = joblot("run", "--on", secure.address, "--cluster", "cluster.json", "--json")
    assert (done.code, json.loads(done.out)["status"]) == (0, "success"), done.err
    assert secure.address.startswith("tls://127.0.0.1:")


def test_a_client_without_a_certificate_is_refused(secure, joblot):
    done = joblot("run", "--on", secure.address)
    assert done.code == 2
    assert f"`{secure.address}` needs certificates" in done.err
    assert "--cluster FILE" in done.err
    plain = secure.address.replace("tls:", "tcp:")
    done = joblot("run", "--on", plain)
    assert done.code == 4
    assert f"cannot reach the Dask scheduler at `{plain}`" in done.err
    assert not (joblot.path / ".joblot" / "runs").exists(), "nothing has begun"


def test_a_client_with_another_authority_s_certificate_is_refused(secure, folder, tmp_path):
    theirs = certificates(folder, "theirs")
    settings = read_settings(theirs.settings(tmp_path / "theirs.json"))
    with pytest.raises(ClusterError) as raised:
        open_cluster(secure.address, settings, 2)
    assert "cannot reach the Dask scheduler" in raised.value.message
    assert "certificates of the same authority" in raised.value.hint


def test_the_scheduler_itself_refuses_who_has_no_certificate(secure, ours):
    """Not only this client: whatever speaks to it."""
    context = ssl.create_default_context(cafile=str(ours.cert))
    context.check_hostname = False
    host, _, port = secure.address.removeprefix("tls://").rpartition(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        try:
            with context.wrap_socket(plain) as wrapped:
                said = wrapped.recv(1)
        except (ssl.SSLError, ConnectionError):
            said = b""
    assert said == b"", "it says nothing to strangers"


@pytest.mark.parametrize("address", ["tcp://10.0.0.5:8786", "tcp://scheduler:8786", "tcp://[2001:db8::1]:8786"])
def test_a_plain_address_of_another_machine_is_refused_with_the_reason_and_the_way_out(address, joblot):
    done = joblot("run", "--on", address)
    assert done.code == 2
    assert (
        f"`{address}` is plain text and not of this machine: whoever is on the way reads jobs and secrets" in done.err
    )
    assert "--tls-ca-file" in done.err
    assert "use `tls://`" in done.err


def refused(check, *arguments):
    """What is said when a check refuses something; empty when it takes it."""
    try:
        check(*arguments)
    except UsageError as error:
        return error.message
    return ""


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://10.0.0.5:8786"])
def test_addresses_of_this_machine_and_encrypted_ones_are_taken(address):
    assert refused(refuse_plain, address, "the scheduler's address") == ""
    assert "is plain text and not of this machine" in refused(refuse_plain, "tcp://10.0.0.5:8786", "the address")


@pytest.mark.parametrize("on", ["ssh", "slurm"])
def test_clusters_over_a_network_need_certificates(on):
    with pytest.raises(UsageError) as raised:
        check_safe(on, Settings(options={"hosts": ["one", "two"]}))
    assert f"`--on {on}` needs certificates" in raised.value.message
    assert "`tls:`" in raised.value.hint
    check_safe(on, Settings(tls=Tls("ca", "cert", "key")))


def test_temporary_certificates_do_not_go_by_ssh():
    """They would stand in command lines that everybody on those machines can read."""
    check_safe("slurm", Settings(tls="temporary"))
    with pytest.raises(UsageError) as raised:
        check_safe("ssh", Settings(tls="temporary"))
    assert "needs certificates in files" in raised.value.message


def test_ssh_to_this_machine_needs_none():
    hosts = ["127.0.0.1", "localhost"]
    assert refused(check_safe, "ssh", Settings(options={"hosts": hosts})) == ""
    assert "needs certificates" in refused(check_safe, "ssh", Settings(options={"hosts": [*hosts, "other"]}))


# --- what cannot work -------------------------------------------------------------------------------


def errors(done):
    return [line.removeprefix("error: ") for line in done.err.splitlines() if line.startswith(("error: ", "hint: "))]


def test_a_request_that_no_worker_can_ever_meet_is_an_error_and_not_a_wait(address, joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: big, run: 'true', resources: {cpu: 64}}\n")
    done = joblot("run", "--on", address)
    assert done.code == 4
    message, hint = errors(done)
    assert message == "no worker can ever run job `big`, which asks for cpu: 64"
    assert hint.startswith("hint: the largest have cpu: 2, memory: ")


def test_more_memory_than_any_worker_has_is_an_error(address, joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: big, run: 'true', resources: {memory: 100TiB}}\n")
    done = joblot("run", "--on", address)
    assert done.code == 4
    assert "no worker can ever run job `big`, which asks for memory: 1.09951e+14" in done.err


def test_a_dask_resource_that_no_worker_has_enough_of_is_an_error(tmp_path, joblot):
    (tmp_path / "dask").mkdir()
    processes = DaskProcesses(tmp_path / "dask", workers=1, worker_options=["--resources", "gpu=1"])
    batch = "limits: {gpu: 8}\njobs:\n  - {name: a, run: 'true', resources: {gpu: %d}}\n"
    try:
        joblot.write("joblot.yaml", batch % 2)
        done = joblot("run", "--on", processes.address)
        assert "no worker can ever run job `a`, which asks for gpu: 2" in done.err
        joblot.write("joblot.yaml", batch % 1)
        assert joblot("run", "--on", processes.address).code == 0
    finally:
        processes.close()


def test_a_module_that_the_workers_do_not_have_is_an_error(address, joblot):
    """It is on this machine's path, and not on theirs."""
    joblot.write("only_here/here_only.py", "from joblot import action\n\n@action\ndef hello():\n    return 1\n")
    joblot.write("joblot.yaml", "imports: [here_only]\njobs:\n  - {name: a, action: hello}\n")
    done = joblot("run", "--on", address, env={"PYTHONPATH": str(joblot.path / "only_here")})
    assert done.code == 4
    message, hint = errors(done)
    assert message.startswith("worker `tcp://127.0.0.1:")
    assert message.endswith(
        "and 1 more cannot run this batch: here_only: cannot be imported: ModuleNotFoundError: No module named 'here_only'"
    )
    assert hint


def test_a_folder_that_the_workers_do_not_see_is_an_error(address, tmp_path):
    from contract.test_executors import Bench, run
    from dask_bench import OnCluster

    class Elsewhere(OnCluster, Bench):
        pass

    with pytest.raises(ClusterError) as raised:
        Elsewhere(address, "dask", tmp_path / "not-there", run("a", "true"))
    assert raised.value.message.endswith(f"the batch's folder `{tmp_path}/not-there` is not there")
    assert "shared file system" in raised.value.hint


def test_other_versions_on_the_workers_are_an_error(address, joblot, monkeypatch, tmp_path):
    from contract.test_executors import Bench, run
    from dask_bench import OnCluster
    from joblot.cluster import dask as executor

    class Newer(OnCluster, Bench):
        pass

    monkeypatch.setattr(executor, "versions", lambda: {"Python": "3.99", "joblot": "9.9", "distributed": "2099.1"})
    with pytest.raises(ClusterError) as raised:
        Newer(address, "dask", tmp_path, run("a", "true"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"the worker has Python {version} instead of 3.99, joblot " in raised.value.message
    assert raised.value.hint == "install the same versions on both sides"


STRANGERS = {
    "mail": [b"220 mail.example.org ready\r\n" * 200],
    "text": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    "closes": [None],
    "closes in the middle": [b"220", None],
    "says nothing": [],
    "drips": [b"2", b"2"],
    "large numbers": [b"\xff" * 64],
    "a length and then no message": [(16).to_bytes(8, sys.byteorder) + b"\xff" * 16],
    "a length and then too little": [(64).to_bytes(8, sys.byteorder) + b"\0" * 8, None],
}


@pytest.mark.parametrize("says", STRANGERS.values(), ids=STRANGERS)
def test_what_answers_and_is_no_scheduler_is_one_error(monkeypatch, capfd, says):
    """The first bytes of a mail server were a length: after 20 s there was no memory, and a traceback."""
    monkeypatch.setattr(connect, "_CONNECT_S", 0.7)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve():
            while True:
                try:
                    held.append(server.accept()[0])
                    for part in says:
                        held[-1].sendall(part) if part else held[-1].close()
                except OSError:
                    if server.fileno() < 0:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError) as raised:
            open_cluster(address, Settings(), 2)
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    for one in held:
        one.close()
    assert raised.value.message.startswith(f"cannot reach the Dask scheduler at `{address}`: ")
    assert (raised.value.exit_code, raised.value.hint) == (4, "is it running, and does it speak plain text?")
    assert "Traceback" not in capfd.readouterr().err


def test_a_scheduler_that_is_not_there_is_an_error(joblot):
    done = joblot("run", "--on", "tcp://127.0.0.1:9")
    assert done.code == 4
    message, hint = errors(done)
    assert message.startswith("cannot reach the Dask scheduler at `tcp://127.0.0.1:9`: ")
    assert hint.startswith("hint: is it running")
    assert "Traceback" not in done.err


def test_without_the_package_it_is_said_what_to_install(joblot):
    joblot.write("nothing/distributed.py", "raise ImportError('not here')\n")
    done = joblot("run", "--on", "dask", env={"PYTHONPATH": str(joblot.path / "nothing")})
    assert done.code == 2
    assert errors(done) == ["`--on dask` needs the package distributed", "hint: pip install 'joblot[dask]'"]


def test_the_deployers_say_what_to_install(joblot):
    joblot.write("nothing/dask_jobqueue/__init__.py", "raise ImportError('not here')\n")
    joblot.write("cluster.yaml", "tls: temporary\n")
    nothing = {"PYTHONPATH": str(joblot.path / "nothing")}
    done = joblot("run", "--on", "slurm", "--cluster", "cluster.yaml", env=nothing)
    assert errors(done) == ["`--on slurm` needs the package dask_jobqueue", "hint: pip install 'dask-jobqueue'"]


# --- settings ---------------------------------------------------------------------------------------


def test_settings_say_what_is_wrong_with_them(tmp_path):
    file = tmp_path / "cluster.yaml"
    for text, message in {
        "worker: 3": f"`{file}`: object contains unknown field `worker`",
        "workers: many": f"`{file}`: expected `int | null`, got `str` - at `$.workers`",
        "wait: soon": f"`{file}`: `soon` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`",
        "tls: {ca: no.pem, cert: no.pem, key: no.pem}": f"`{file}`: cannot read `tls.ca`: `{tmp_path}/no.pem`",
    }.items():
        file.write_text(text)
        with pytest.raises(UsageError) as raised:
            read_settings(file)
        assert raised.value.message == message
    with pytest.raises(UsageError) as raised:
        read_settings(tmp_path / "none.yaml")
    assert raised.value.message == f"no such file: `{tmp_path}/none.yaml`"


def test_settings_are_found_beside_their_file(tmp_path):
    made = certificates(tmp_path, "ours")
    file = tmp_path / "cluster.toml"
    file.write_text(
        f'workers = 3\nwait = "5m"\n[tls]\nca = "{made.cert.name}"\ncert = "{made.cert.name}"\nkey = "{made.key.name}"\n'
    )
    settings = read_settings(file)
    assert settings.tls == Tls(str(made.cert), str(made.cert), str(made.key))
    assert (settings.workers, settings.wait_s) == (3, 300.0)


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("dsak", "cannot run on `dsak` (did you mean `dask`?)"),
        ("kubernetes", "cannot run on `kubernetes` by itself: Dask's operator lets its pods speak plain text only"),
        ("tcp://127.0.0.1", "`tcp://127.0.0.1` is no address of a Dask scheduler"),
        ("http://127.0.0.1:80", "`http://127.0.0.1:80` is no address of a Dask scheduler"),
    ],
)
def test_places_that_there_are_not(joblot, on, message):
    done = joblot("run", "--on", on)
    assert done.code == 2
    assert message in done.err
