"""The part of joblot inside a Dask worker: one agent for each run that uses the worker.

An agent is a process that is started, not forked, since a Dask worker has threads; below it is the same warden as on one machine. The
runner calls functions here: `greet`, `claim_run`, `end_attempts`, `clear_agent` and `end_session` beside Dask's tasks, `run_parcel` as a
task. They run on the worker's event loop, and structs go in and out as bytes.

An attempt never runs twice at once: a parcel names the one agent that it is for, an agent accepts each parcel's number once, and whoever
claims a run ends all agents of its earlier sessions on the machine before the new ones start anything. When the runner, the scheduler or
the Dask worker is gone, the agent's socket closes or the task is seen to be cancelled, and the warden kills everything.

It does not know plans, retries or the journal.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from joblot.cluster import messages
from joblot.cluster.versions import versions
from joblot.executors import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from joblot.cluster.messages import Answer, Claim, EndRequest, Hello, Most, Parcel, Receipt

MARK: Final = "JOBLOT_SITE"
"""In the environment of everything below an agent: run token, session, agent, and the number of its process."""
CANCEL_CHECK_S: Final = 0.03
"""How often a task checks whether it was cancelled, so how long attempts may outlive their runner."""
RECEIPT_DELAY_S: Final = 0.1
"""How long ends of attempts wait for the rest of the parcel before a receipt is sent."""
_NO_TASK_S: Final = 30.0
"""After this long without a task that asks for a parcel's receipts, its runner is taken to be gone."""
_IDLE_S: Final = 60.0
"""After this long without work an agent's process ends; the next parcel starts another."""
_START_S: Final = 60.0
_END_S: Final = 0.2
_WORKING_STATES: Final = ("running", "paused", "closing_gracefully")
_AGENTS: Final[dict[str, Agent]] = {}
"""By their names."""
_BACKGROUND_TASKS: Final[set[asyncio.Task[None]]] = set()
_CLAIMS: Final[dict[str, Claim]] = {}
"""The newest claim of each run, by its token."""


def dask_setup(_worker: Any) -> None:
    """Dask calls this in a worker that starts with the run: Ctrl-C at a terminal is for the runner, which lets attempts end."""
    os.setpgid(0, 0)


async def greet(body: bytes, dask_worker: Any) -> bytes:
    """Make an agent. Earlier sessions go on, and nothing runs yet."""
    hello = messages.decode(body, messages.Hello)
    problem = _version_problem(hello)
    if problem:
        return messages.encode(messages.Answer(problem=problem, hint="install the same versions on both sides"))
    try:
        agent = Agent(hello, dask_worker)
        answer = await agent.start()
    except Exception as error:  # noqa: BLE001 - Dask would log the arguments of this call, secrets included
        answer = messages.Answer(problem=f"{type(error).__name__}: {error}")
    if answer.agent:
        _AGENTS[agent.name] = agent
        agent.start_idle_timer()
    return messages.encode(answer)


async def claim_run(body: bytes) -> str:
    """End what earlier sessions of the run have left on this machine, and accept nothing from them any more. Returns why not, or ""."""
    claim = messages.decode(body, messages.Claim)
    known = _CLAIMS.get(claim.token)
    if known is not None and (
        known.epoch > claim.epoch or (known.epoch == claim.epoch and known.session != claim.session)
    ):
        return "the run is driven by a later process"
    _CLAIMS[claim.token] = claim
    earlier = [agent for agent in _AGENTS.values() if agent.token == claim.token and agent.session != claim.session]
    for agent in earlier:
        await agent.end()
        _AGENTS.pop(agent.name, None)
    run, session = f"{claim.token}:", f"{claim.token}:{claim.session}:"
    await asyncio.to_thread(
        processes.sweep_marked, MARK, lambda mark: mark.startswith(run) and not mark.startswith(session)
    )
    return ""


async def run_parcel(body: bytes) -> bytes:
    """Dask's task: run the parcel's attempts, or wait for those that run, and return a receipt."""
    from distributed import get_worker

    parcel, worker = messages.decode(body, messages.Parcel), get_worker()
    agent = _AGENTS.get(parcel.agent)
    if agent is None:
        receipt = messages.Receipt(number=parcel.number, lost="the agent is there no more")
    else:
        receipt = await agent.run(parcel, lambda: is_orphaned(worker, parcel.key))
    receipt.now = time.monotonic()
    return messages.encode(receipt)


async def end_attempts(body: bytes) -> list[tuple[int, int, int]]:
    """End attempts. Returns those that have not begun here and never will, as parcel, job, number."""
    request = messages.decode(body, messages.EndRequest)
    agent = _AGENTS.get(request.agent)
    return agent.end_attempts(request) if agent is not None else []


async def limit_memory(body: bytes) -> None:
    """Set what all that runs at an agent may hold together."""
    limit = messages.decode(body, messages.Limit)
    agent = _AGENTS.get(limit.agent)
    if agent is not None:
        agent.limit_memory(limit.most)


async def clear_agent(name: str) -> None:
    """Kill what the agent of a lost Dask worker has left on this machine; returns when nothing of it is left."""
    await asyncio.to_thread(processes.sweep_marked, MARK, lambda mark: mark.split(":")[2:3] == [name])


async def end_session(session: str) -> None:
    """End the agent of a session."""
    for agent in [agent for agent in _AGENTS.values() if agent.session == session]:
        await agent.end()
        _AGENTS.pop(agent.name, None)


def is_orphaned(worker: Any, key: str) -> bool:
    """Whether nobody waits for a running task any more: it was cancelled, its client is gone, or the worker closes.

    Dask tells a running task none of this, so this reads the worker's internal state; a test fails when that changes.
    """
    task = worker.state.tasks.get(key)
    return task is None or task.state in ("cancelled", "resumed") or worker.status.name not in _WORKING_STATES


def _version_problem(hello: Hello) -> str:
    """The message when the runner's versions are not this worker's; else an empty text."""
    mine = versions()
    if hello.wire != messages.WIRE and hello.versions == mine:
        return "the worker has another joblot of the same version"
    differences = [
        f"{what} {mine.get(what, 'none')} instead of {version}"
        for what, version in hello.versions.items()
        if mine.get(what) != version
    ]
    return f"the worker has {', '.join(differences)}" if differences else ""


class Agent:
    """An agent: its process, and the parcels that it has."""

    def __init__(self, hello: Hello, worker: Any) -> None:
        self.token, self.session = hello.token, hello.session
        self.name = os.urandom(8).hex()
        self._hello = hello
        self._slots = min(worker.state.nthreads, hello.slots or worker.state.nthreads)
        self._totals = dict(worker.state.total_resources)
        if worker.memory_manager.memory_limit:
            self._totals.setdefault("memory", float(worker.memory_manager.memory_limit))
        self._folder = os.path.join(worker.local_directory, f"joblot-{self.name}")
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._open: dict[int, _ParcelState] = {}
        self._parcel_of: dict[tuple[int, int], _ParcelState] = {}
        """By job and number, the parcel of an attempt that runs."""
        self._accepted: set[int] = set()
        """Numbers of accepted parcels, from `_settled` on: Dask may run their tasks again."""
        self._settled = 0
        self._refused: dict[int, set[tuple[int, int]]] = {}
        """By the number of a parcel that has not arrived, those of its attempts that must not begin."""
        self._ended = False
        self._idle: asyncio.TimerHandle | None = None
        self._process_count = 0
        """How many processes the agent has had."""
        self._start_lock = asyncio.Lock()

    async def start(self) -> Answer:
        """Start the process, and have it load what the batch needs."""
        ours, theirs = socket.socketpair()
        self._process = self._launch(theirs)
        ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        body = messages.encode(self._hello)
        self._writer.write(len(body).to_bytes(messages.LENGTH_BYTES, "big") + body)
        try:
            reply = await asyncio.wait_for(self._receive(), _START_S)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            reply = messages.Refused(f"the agent's process did not begin: {error or type(error).__name__}")
        if not isinstance(reply, messages.Ready):
            await self._stop()
            return messages.Answer(problem=getattr(reply, "problem", "BUG: no answer"), hint=getattr(reply, "hint", ""))
        self._listener = asyncio.create_task(self._listen())
        return messages.Answer(
            agent=self.name,
            folder=self._folder,
            threads=self._slots,
            totals=self._totals,
            boot=boot(),
            now=time.monotonic(),
        )

    def _launch(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        self._process_count += 1
        channel = theirs.fileno()
        with theirs:
            return subprocess.Popen(
                [sys.executable, "-m", "joblot.cluster.agent_process", str(channel), str(self._slots)],
                stdin=subprocess.DEVNULL,
                pass_fds=[channel],
                env={**os.environ, MARK: self._mark(), "JOBLOT_SITE_FOLDER": self._folder},
                start_new_session=True,  # Ctrl-C at a terminal is for the runner, not for what it runs
            )

    def _mark(self) -> str:
        return f"{self.token}:{self.session}:{self.name}:{self._process_count}"

    async def run(self, parcel: Parcel, orphaned: Callable[[], bool]) -> Receipt:
        """Run a parcel until a receipt is due."""
        state = self._open.get(parcel.number)
        if state is None and parcel.attempts:
            if not self._accepts(parcel):
                return messages.Receipt(number=parcel.number, lost="the task came a second time")
            state = await self._take(parcel)
        if state is None:
            return messages.Receipt(number=parcel.number, lost="the agent has ended")
        state.cancel_timeout()
        try:
            while not state.is_receipt_due():
                await state.wait(CANCEL_CHECK_S)
                if orphaned():
                    await self.end()
                    break
        except asyncio.CancelledError:  # the Dask worker closes
            self.cut()
            raise
        receipt = state.receipt()
        if not receipt.is_open:
            self._forget(state)
        else:
            state.start_timeout(self)
        return receipt

    def end_attempts(self, request: EndRequest) -> list[tuple[int, int, int]]:
        """End what has begun; attempts of parcels that have not arrived will not begin. Returns these, as parcel, job, number."""
        begun, not_begun = [], []
        for number, kill in request.kills:
            state = self._open.get(number)
            if state is not None and state.begun:
                begun.append(kill)
            elif state is not None or not self._has_accepted(number):
                not_begun.append((number, kill.job, kill.number))
                self._refused.setdefault(number, set()).add((kill.job, kill.number))
        if begun and not request.take_back:
            self._send(messages.End(begun))
        return not_begun

    async def end(self) -> None:
        """Kill everything; returns when nothing of it is left."""
        self._ended = True
        await self._stop()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._lose_all("the agent has ended")

    def cut(self) -> None:
        """Have everything killed, without waiting."""
        self._ended = True
        if self._writer is not None:
            self._writer.transport.abort()

    def start_idle_timer(self) -> None:
        """Without parcels, have the process end after a while."""
        if self._idle is None and not self._open and not self._ended:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(_IDLE_S, lambda: _run_in_background(self._end_if_idle()))

    async def _end_if_idle(self) -> None:
        self._idle = None
        if not self._open:
            await self._stop()
            if _CLAIMS.get(self.token) is None:  # its runner never started anything
                _AGENTS.pop(self.name, None)

    def _has_accepted(self, number: int) -> bool:
        return number < self._settled or number in self._accepted

    def _accepts(self, parcel: Parcel) -> bool:
        """Whether the parcel arrives for the first time, from the newest session."""
        if parcel.settled > self._settled:
            self._settled = parcel.settled
            self._accepted = {number for number in self._accepted if number >= self._settled}
            self._refused = {number: keys for number, keys in self._refused.items() if number >= self._settled}
        if self._ended or self._has_accepted(parcel.number):
            return False
        claimed = _CLAIMS.get(self.token)
        if claimed is None or claimed.session != self.session:
            return False
        self._accepted.add(parcel.number)
        return True

    async def _take(self, parcel: Parcel) -> _ParcelState:
        state = _ParcelState(parcel)
        self._open[parcel.number] = state
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        async with self._start_lock:
            answer = await self.start() if self._process is None else None
        if answer is not None and not answer.agent:
            state.lose(answer.problem)
            return state
        state.begun = True
        begin, refused = [], self._refused.pop(parcel.number, ())
        for attempt in parcel.attempts:
            key = (attempt.job, attempt.number)
            if key in refused:
                state.left.discard(key)
            else:
                self._parcel_of[key] = state
                begin.append(attempt)
        if parcel.most is not None:
            self.limit_memory(parcel.most)
        if begin:
            self._send(messages.Start(begin))
        return state

    def limit_memory(self, most: Most) -> None:
        """Set what all that runs here may hold together."""
        self._send(most)

    def _forget(self, state: _ParcelState) -> None:
        self._open.pop(state.number, None)
        for key in state.left:
            self._parcel_of.pop(key, None)
        self.start_idle_timer()

    def _send(self, message: Any) -> None:
        if self._writer is not None:
            self._writer.write(messages.frame(message))

    async def _receive(self) -> Any:
        assert self._reader is not None
        length = int.from_bytes(await self._reader.readexactly(messages.LENGTH_BYTES), "big")
        return messages.from_agent(await self._reader.readexactly(length))

    async def _listen(self) -> None:
        try:
            while True:
                message = await self._receive()
                if isinstance(message, messages.News):
                    for end in message.ends:
                        state = self._parcel_of.pop((end.outcome.job, end.outcome.number), None)
                        if state is not None:
                            state.add_end(end)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self._listener = None
        await self._stop()
        self._lose_all("the agent's process has died")

    async def _stop(self) -> None:
        """End the process and everything below it: its warden does that itself, unless it was killed."""
        process, self._process = self._process, None
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        if process is not None:
            await asyncio.to_thread(_end_process, process, self._mark())

    def _lose_all(self, why: str) -> None:
        """Report what ran here as lost."""
        for state in self._open.values():
            state.lose(why)
        self._parcel_of.clear()


def _end_process(process: subprocess.Popen[bytes], mark: str) -> None:
    try:
        process.wait(_END_S)  # it ends when its socket closes, and removes its folder
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    processes.sweep_marked(MARK, lambda value: value == mark)


class _ParcelState:
    """A parcel at its agent."""

    def __init__(self, parcel: Parcel) -> None:
        self.number = parcel.number
        self.left = {(attempt.job, attempt.number) for attempt in parcel.attempts}
        self.begun = False
        """Whether its attempts were handed to the agent's process."""
        self._ends: list[messages.AttemptEnd] = []
        self._lost = ""
        self._changed = asyncio.Event()
        self._receipt_due_at = 0.0
        self._timeout: asyncio.TimerHandle | None = None

    def add_end(self, end: messages.AttemptEnd) -> None:
        """Add the end of an attempt to the next receipt."""
        if not self._ends:
            self._receipt_due_at = time.monotonic() + RECEIPT_DELAY_S
        self._ends.append(end)
        self.left.discard((end.outcome.job, end.outcome.number))
        self._changed.set()

    def lose(self, why: str) -> None:
        """Report the attempts that are left as lost."""
        self._lost = self._lost or why
        self._changed.set()

    def is_receipt_due(self) -> bool:
        """Whether to send a receipt: everything has ended, is lost, or an end has waited long enough."""
        return not self.left or bool(self._lost) or bool(self._ends and time.monotonic() >= self._receipt_due_at)

    async def wait(self, seconds: float) -> None:
        """Wait for an end or a loss, at the most this long."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            pass

    def receipt(self) -> Receipt:
        """The receipt of what has ended since the last one."""
        ends, self._ends = self._ends, []
        lost = self._lost if self.left else ""
        return messages.Receipt(number=self.number, ends=ends, is_open=bool(self.left) and not lost, lost=lost)

    def cancel_timeout(self) -> None:
        """A task asks for receipts again."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def start_timeout(self, agent: Agent) -> None:
        """End the agent unless a task asks for receipts again in time."""
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(_NO_TASK_S, lambda: _run_in_background(agent.end()))


def _run_in_background(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine as a task of its own. It is kept in a set, since the event loop holds tasks weakly."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _BACKGROUND_TASKS.add(task)
    task.add_done_callback(_BACKGROUND_TASKS.discard)


def boot() -> str:
    """The id of the machine's boot, or an empty text where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
