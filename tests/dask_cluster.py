"""A Dask cluster of separate processes on this machine, over TLS if wanted; its parts can be killed one by one."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LIMIT_S = 60.0


class Certificates(NamedTuple):
    """A certificate that is its own authority: who has its key is let in, nobody else."""

    cert: Path
    key: Path

    @property
    def options(self):
        return ["--tls-ca-file", str(self.cert), "--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    def settings(self, path: Path, **more) -> Path:
        """A settings file with these."""
        tls = {"ca": str(self.cert), "cert": str(self.cert), "key": str(self.key)}
        path.write_text(json.dumps({"tls": tls, **more}))
        return path


def certificates(folder: Path, name: str) -> Certificates:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificates(folder / f"{name}.pem", folder / f"{name}-key.pem")
    made.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.key.chmod(0o600)
    return made


class DaskProcesses:
    """`dask scheduler` and so many `dask worker`s."""

    def __init__(self, folder: Path, workers=2, threads=1, tls=None, nanny=True, worker_options=()):
        self.folder, self.threads, self.tls, self.nanny = folder, threads, tls, nanny
        self.worker_options = list(worker_options)
        self.scheduler = None
        self.workers = []
        self.address = ""
        self._count = 0
        self.begin_scheduler()
        for _ in range(workers):
            self.begin_worker()

    def _popen(self, module, *arguments):
        self._count += 1
        options = self.tls.options if self.tls is not None else []
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, *options, "--host", self.host]
        environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            "DASK_TEMPORARY_DIRECTORY": str(self.folder),
        }
        with (self.folder / f"{module}-{self._count}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )

    @property
    def host(self):
        return "tls://127.0.0.1" if self.tls is not None else "127.0.0.1"

    def begin_scheduler(self):
        port = self.address.rpartition(":")[2] or "0"
        file = self.folder / f"scheduler-{self._count}.json"
        arguments = [
            "--port",
            port,
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            str(file),
        ]
        self.scheduler = self._popen("dask_scheduler", *arguments)
        until = time.monotonic() + LIMIT_S
        while not (file.exists() and file.read_text().endswith("}")):
            assert time.monotonic() < until and self.scheduler.poll() is None, self.logs()
            time.sleep(0.02)
        self.address = json.loads(file.read_text())["address"]

    def begin_worker(self):
        self.workers.append(
            self._popen(
                "dask_worker",
                self.address,
                "--nthreads",
                str(self.threads),
                "--no-dashboard",
                "--nanny" if self.nanny else "--no-nanny",
                *self.worker_options,
            )
        )

    def kill(self, process):
        process.kill()
        process.wait()

    def worker_processes(self):
        """The pids of the processes that are the workers themselves, below their nannies."""
        found = []
        for process in self.workers:
            if process.poll() is None:
                found += (
                    [pid for pid in children(process.pid) if b"resource_tracker" not in cmdline(pid)]
                    if self.nanny
                    else [process.pid]
                )
        return found

    def close(self):
        for process in [*self.workers, self.scheduler]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def logs(self):
        return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("dask_*.log")))


def children(pid):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return []


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
