"""A kernel of a notebook, and what a cell that is run in it shows."""

from __future__ import annotations

import sys
from queue import Empty
from typing import Any, NamedTuple

import pytest


class Shown(NamedTuple):
    """What one run of a cell has shown: printed text, HTML of outputs in the order of their writing, what it raised."""

    text: str
    html: list[str]
    error: str


class Kernel:
    """A kernel in a folder of its own."""

    def __init__(self, folder: Any) -> None:
        from jupyter_client.manager import KernelManager

        self._manager = KernelManager(kernel_name="python3")
        self._manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._manager.start_kernel(cwd=str(folder))
        self.client = self._manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, code: str, cell: str = "", *, interrupt_at: str = "", again: bool = False) -> Shown:
        """Run a cell to its end; once its HTML holds `interrupt_at`, interrupt the kernel, `again` and again until then."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(request)
        text, html, error = "", [], ""
        interrupted = False
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=0.2 if again and interrupted else 60)
            except Empty:
                assert self._manager.is_alive()
                if not (again and interrupted):
                    raise
                self._manager.interrupt_kernel()
                continue
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            kind, said = message["msg_type"], message["content"]
            if kind == "stream":
                text += said["text"]
            elif kind in ("display_data", "update_display_data", "execute_result"):
                html.append(said["data"].get("text/html", said["data"].get("text/plain", "")))
                if interrupt_at and interrupt_at in html[-1]:
                    interrupt_at, interrupted = "", True
                    self._manager.interrupt_kernel()
            elif kind == "error":
                error = f"{said['ename']}: {said['evalue']}"
            elif kind == "status" and said["execution_state"] == "idle":
                return Shown(text, html, error)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel in which what is deprecated is an error."""
    pytest.importorskip("ipykernel", reason="the extra `notebooks` is not installed")
    found = Kernel(tmp_path_factory.mktemp("notebook"))
    # Not by `-W`: some kernels cannot be started like that.
    found.run("import joblot, warnings\nfrom joblot import Batch\nwarnings.simplefilter('error', DeprecationWarning)")
    yield found
    found.close()
