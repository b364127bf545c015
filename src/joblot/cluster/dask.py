"""Runs attempts on a Dask cluster: the runner's side of it.

Dask carries parcels to the agents in its workers and receipts back, and nothing else: it never decides that something runs again, or where.
Short attempts travel many to a task, a bundle as one task, everything else alone. Events in Dask's own threads reach the engine's thread
through one queue.

Whatever was submitted comes back from `wait` once: by its receipt, or as `lost` when its worker or the scheduler is gone.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections import deque
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from joblot.actions.signature import hints
from joblot.cluster import agent as agent_calls
from joblot.cluster import messages
from joblot.cluster.connect import error_text
from joblot.cluster.fleet import PLAIN, Demand, Fleet, RemoteAgent
from joblot.cluster.session import Session
from joblot.cluster.targets import refuse_plain
from joblot.cluster.versions import versions
from joblot.config.load import encode as encode_batch
from joblot.core.commands import Kill
from joblot.core.model import Attempt, Outcome
from joblot.errors import ClusterError, RunHeldError
from joblot.executors.spool import link_log, write_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from joblot.cluster.connect import Cluster
    from joblot.core.model import JobSpec
    from joblot.core.plan import Plan
    from joblot.executors.protocol import RunContext

MAX_LOG: Final = 4 * 2**20
"""Bytes of a log that are sent back, at the most: they go through the scheduler's memory."""
SETTLE_S: Final = 1.0
"""How long ends of what a lost worker ran are held back, at least."""
CLEAR_S: Final = 10.0
"""How long to wait for the worker that was asked to kill what is left."""
_SHORT_S: Final = 0.05
"""Attempts that are shorter than this travel together; until some have ended they are assumed to be longer."""
_PARCEL_S: Final = 0.1
"""How much work, by the typical duration, is put into one task."""
_MAX_AHEAD: Final = 16
"""Tasks sent ahead for each slot, at the most."""
_STUCK_S: Final = 0.25
"""After this long without a receipt what was sent ahead is taken back."""
_MIN_ATTEMPT_S: Final = 0.0001
"""What an attempt takes at its agent even when it does nothing."""
_CALL_S: Final = 30.0
_LEAVE_S: Final = 5.0
_MAX_GREETINGS: Final = 3
"""How often a worker is asked for an agent after the start: it may be new, or lose one again and again."""


class DaskExecutor:
    """`Executor` over an open cluster, which it closes as well. `max_slots` bounds how many attempts run at once.

    Raises:
        ClusterError: no worker can run the batch, or one of its jobs.
    """

    def __init__(self, context: RunContext, cluster: Cluster, max_slots: int | None = None) -> None:
        self._context = context
        self._plan = context.plan
        self._cluster = cluster
        self._client = cluster.client
        self._loop = cluster.client.loop
        self._logs = context.run_dir / "logs" if context.run_dir is not None else None
        self._fleet = Fleet(max_slots)
        self._session = Session(context.run_dir, cluster.on)
        self._claimed: bytes = b""
        self._plain: deque[Attempt] = deque()
        self._special: deque[_Unit] = deque()
        """Bundles, and attempts that take more than one slot."""
        self._parcels: dict[int, _SubmittedParcel] = {}
        self._parcel_of: dict[tuple[int, int], int] = {}
        """By job and number, the parcel that an attempt is in."""
        self._last_number = 0
        self._ended: list[Outcome] = []
        self._held_ends: list[_HeldEnds] = []
        """Ends that are held back until nothing of the attempts can still run."""
        self._typical_s = _SHORT_S
        self._greetings: dict[str, int] = {}
        self._overbooked: set[RemoteAgent] = set()
        """Agents that have more than they can start."""
        self._stuck_checked_at = 0.0
        self._finished_tasks: list[tuple[int, Any]] = []
        """Tasks whose results have not been fetched; used by Dask's thread only."""
        self._fetching = False
        self._to_submit: dict[tuple[str, tuple[tuple[str, float], ...]], list[tuple[int, str, bytes]]] = {}
        """Tasks to be submitted together, by the worker's address and what they take there."""
        self._down_reason = ""
        self._no_agent_since: float | None = None
        self._news: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        """Calls from Dask's thread that the engine's thread makes."""
        self._wake_r, self._wake_w = os.pipe()
        for fd in (self._wake_r, self._wake_w):
            os.set_blocking(fd, False)
        self._poll = select.poll()
        self._poll.register(self._wake_r, select.POLLIN)
        self._hello = messages.encode(_hello(context, self._session, _slots_of_agent(context.plan, cluster, max_slots)))
        try:
            self._client.subscribe_topic("all", self._worker_event)
            self._start_agents()
        except BaseException:
            self.close()
            raise

    # --- Executor -------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """How many attempts run at once with the present workers."""
        return max(1, self._fleet.slots)

    @property
    def capacity(self) -> int:
        """The slots, times how many attempts travel in a task and how many tasks are sent ahead."""
        return self.slots * self._depth() * (1 + self._ahead())

    @property
    def held_bytes(self) -> int:
        """Not known here."""
        return 0

    def give_back(self) -> list[Outcome]:
        """Nothing: only short attempts are sent ahead, and are over in a moment."""
        return []

    def wake_on(self, fd: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""
        self._poll.register(fd, select.POLLIN)

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Send attempts to where there is room; the others wait here. The first call claims the run on all workers.

        Raises:
            ClusterError: the scheduler is gone.
            RunHeldError: another process has taken the run over.
        """
        self._check_connected()
        if not self._claimed:
            self._claim()
        bundles: dict[int, _Unit] = {}
        for attempt in attempts:
            demand = self._fleet.demand(attempt.spec or self._plan.declarations[attempt.job], attempt.memory)
            if attempt.bundle_number:
                unit = bundles.get(attempt.bundle_number)
                if unit is None:
                    unit = bundles[attempt.bundle_number] = _Unit([], demand)
                    self._special.append(unit)
                unit.attempts.append(attempt)
            elif (attempt.spec or self._plan.declarations[attempt.job]).resources:
                self._special.append(_Unit([attempt], demand))
            else:
                self._plain.append(attempt)
        self._hand_out()

    def kill(self, kills: Sequence[Kill]) -> None:
        """Give back what has not been submitted, and have the agents end the rest."""
        by_worker: dict[str, list[tuple[int, Kill]]] = {}
        waiting = []
        for kill in kills:
            number = self._parcel_of.get((kill.job, kill.number))
            if number is None:
                waiting.append(kill)
            else:
                by_worker.setdefault(self._parcels[number].agent.address, []).append((number, kill))
        if waiting:
            self._withdraw({(kill.job, kill.number) for kill in waiting})
        for address, numbered in by_worker.items():
            agent = self._fleet.agents[address]
            request = messages.encode(messages.EndRequest(self._session.id, agent.name, numbered))
            self._loop.add_callback(self._request_ends, address, request)

    def wait(self, timeout: float | None) -> list[Outcome]:
        """What has ended. Unless something has already: handle events, take back what is stuck, send what waits.

        Raises:
            ClusterError: the scheduler is gone, or no worker has come for a long time.
        """
        if not self._ended:
            self._poll.poll(self._poll_timeout_ms(timeout))
            self._listen()
            self._take_back_stuck()
            self._hand_out()
        ended, self._ended = self._ended, []
        if not ended:
            self._check_connected()
        self._update_typical(ended)
        return ended

    def close(self) -> None:
        """End the agents, and leave or end the cluster."""
        if self._cluster.is_connected:
            for submitted in self._parcels.values():
                submitted.cancel(self._loop)
            if self._fleet.agents:
                self._run_on_all(agent_calls.end_session, self._session.id, _LEAVE_S)
            self._session.end()
        self._cluster.close()
        for fd in (self._wake_r, self._wake_w):
            os.close(fd)

    # --- agents ----------------------------------------------------------------------------------

    def _start_agents(self) -> None:
        """Have an agent in every worker, and check that all jobs can run."""
        asked_at = time.monotonic()
        replies = self._run_on_all(agent_calls.greet, self._hello)
        heard_at = time.monotonic()
        problems: dict[str, list[str]] = {}
        hint = ""
        for address, reply in (replies or {}).items():
            answer = _answer_of(reply)
            if answer.agent:
                self._add(address, answer, asked_at, heard_at)
            else:
                problems.setdefault(answer.problem, []).append(address)
                hint = hint or answer.hint
        if problems:
            what, where = next(iter(problems.items()))
            others = f" and {len(where) - 1} more" if len(where) > 1 else ""
            raise ClusterError(f"worker `{where[0]}`{others} cannot run this batch: {what}", hint=hint)
        if not self._fleet.agents:
            raise ClusterError(f"no worker of `{self._cluster.on}` has answered")
        _check_demands(self._plan, self._fleet)

    def _add(self, address: str, answer: messages.Answer, asked_at: float, heard_at: float) -> None:
        refuse_plain(address, "the address of worker")
        # With another clock than ours: the answer was made about halfway between asking and hearing.
        same_clock = answer.boot and answer.boot == agent_calls.boot()
        offset_s = 0.0 if same_clock else (asked_at + heard_at) / 2 - answer.now
        self._fleet.add(RemoteAgent(address, answer.agent, answer.threads, answer.totals, clock_offset_s=offset_s))
        self._no_agent_since = None
        if self._context.max_memory:  # the shares of the others are smaller now
            for agent in self._fleet.agents.values():
                if agent.parcels:
                    limit = messages.Limit(self._session.id, agent.name, messages.Most(self._share(agent)))
                    self._loop.add_callback(self._limit_there, agent.address, messages.encode(limit))

    async def _limit_there(self, address: str, limit: bytes) -> None:
        with suppress(Exception):  # the worker is gone, which is an event of its own
            await self._run_on(address, agent_calls.limit_memory, limit)

    def _share(self, agent: RemoteAgent) -> int:
        """What all that runs at an agent may hold together: its share of what the run may, by its threads."""
        return self._context.max_memory * agent.threads // max(1, self._fleet.threads)

    @property
    def most_memory(self) -> int:
        """The largest share of what the run may hold together; 0: it may hold any amount."""
        return max(map(self._share, self._fleet.agents.values()), default=0)

    def _claim(self) -> None:
        """Take the run for this process, on every worker, before the first attempt."""
        self._claimed = messages.encode(self._session.begin())
        problems = self._run_on_all(agent_calls.claim_run, self._claimed)
        if problems is None:
            raise ClusterError(f"the workers of `{self._cluster.on}` do not answer", hint="nothing has begun there")
        for address, problem in problems.items():
            if isinstance(problem, str) and problem:
                raise RunHeldError(f"worker `{address}`: {problem}")
            if isinstance(problem, BaseException):
                self._lose_agent(address)

    def _greet(self, address: str) -> None:
        """Ask a worker that is new, or has lost its agent, for one."""
        count = self._greetings[address] = self._greetings.get(address, 0) + 1
        if count <= _MAX_GREETINGS:
            self._loop.add_callback(self._greet_there, address)
        else:
            self._warn(f"worker `{address}` is used no more: what ran there was lost {_MAX_GREETINGS} times")

    async def _greet_there(self, address: str) -> None:
        asked_at = time.monotonic()
        try:
            answer = _answer_of(await self._run_on(address, agent_calls.greet, self._hello))
            problem = (
                answer.agent and self._claimed and await self._run_on(address, agent_calls.claim_run, self._claimed)
            )
            if problem:
                answer = messages.Answer(problem=problem)
        except Exception as error:  # noqa: BLE001 - the worker may be gone again
            answer = _answer_of(error)
        self._notify(self._greeted, address, answer, asked_at, time.monotonic())

    def _greeted(self, address: str, answer: messages.Answer, asked_at: float, heard_at: float) -> None:
        if answer.agent and address not in self._fleet.agents:
            self._add(address, answer, asked_at, heard_at)
        elif not answer.agent:
            self._warn(f"worker `{address}` is not used: {answer.problem}")

    def _lose_agent(self, address: str, why: str = "", *, lives: bool = False) -> None:
        """Remove a worker's agent, and lose what ran there: the worker is gone, or `lives` while its agent is no longer used."""
        agent = self._fleet.remove(address)
        if agent is None:
            return
        for held in [held for held in self._held_ends if held.clearing_worker == address]:
            self._have_cleared(held)
        if not agent.parcels:
            return
        held = _HeldEnds(agent, time.monotonic())
        for number in list(agent.parcels):
            held.outcomes += self._lose_parcel(number, why or f"worker `{address}` was lost")
        self._held_ends.append(held)
        self._have_cleared(held, agent.address if lives else "")

    def _have_cleared(self, held: _HeldEnds, own: str = "") -> None:
        """Ask another worker of the machine, or else `own`, to kill what is left. With nobody to ask, the ends are held for SETTLE_S."""
        others = (other.address for other in self._fleet.agents.values() if other.host == held.agent.host)
        held.clearing_worker = next(others, own)
        if held.clearing_worker:
            self._loop.add_callback(self._clear, held.clearing_worker, held.agent.name)

    # --- what Dask's threads call ---------------------------------------------------------------

    def _notify(self, handler: Callable[..., None], *arguments: Any) -> None:
        self._news.append((handler, arguments))
        try:
            os.write(self._wake_w, b"!")
        except OSError:
            pass  # the pipe is full, which wakes as well, or closed

    def _worker_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action in ("add-worker", "remove-worker"):
            self._notify(self._worker_added if action == "add-worker" else self._worker_removed, message["worker"])

    def _task_ended(self, number: int, future: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, as the run has ended
            self._loop.add_callback(self._fetch, number, future)

    async def _fetch(self, number: int, future: Any) -> None:
        """Fetch what a task has returned, together with all that end while other results are being fetched."""
        self._finished_tasks.append((number, future))
        if not self._fetching:
            self._fetching = True
            try:
                while self._finished_tasks:
                    await self._fetch_all()
            finally:
                self._fetching = False

    async def _fetch_all(self) -> None:
        from distributed import KilledWorker

        done, self._finished_tasks = self._finished_tasks, []
        whole = {number: future for number, future in done if future.status == "finished"}
        try:
            receipts = await self._client.gather(whole, errors="skip", asynchronous=True)
        except Exception:  # noqa: BLE001 - the scheduler is gone
            receipts = {}
        for number, future in done:
            receipt = receipts.get(number)
            if receipt is None:
                self._notify(self._task_failed, number, not isinstance(await _error_of(future), KilledWorker))
            else:
                self._notify(self._take_receipt, number, receipt)
            future.release()

    async def _request_ends(self, address: str, request: bytes) -> None:
        try:
            not_begun = await self._run_on(address, agent_calls.end_attempts, request)
        except Exception:  # noqa: BLE001 - the worker is gone, which is an event of its own
            return
        self._notify(self._take_back, not_begun)

    async def _clear(self, address: str, name: str) -> None:
        with suppress(Exception):  # that worker is gone as well: the ends are held for SETTLE_S only
            await self._run_on(address, agent_calls.clear_agent, name)
        self._notify(self._cleared, name, address)

    async def _run_on(self, address: str, function: Callable[..., Any], argument: bytes | str) -> Any:
        """What a function of `agent` returns on one worker, or raises there."""
        return (await self._client.run(function, argument, workers=[address], asynchronous=True))[address]

    def _run_on_all(self, function: Callable[..., Any], argument: bytes | str, limit_s: float | None = None) -> Any:
        """What it returns or raises, by worker; None when the scheduler is gone or does not answer in time."""
        calls = self._client.run(function, argument, asynchronous=True, on_error="return")
        running = asyncio.run_coroutine_threadsafe(calls, self._loop.asyncio_loop)
        try:
            return running.result(limit_s if limit_s is not None else self._cluster.settings.wait_s + _CALL_S)
        except Exception:  # noqa: BLE001 - the scheduler is gone
            running.cancel()
            return None

    # --- listening ------------------------------------------------------------------------------

    def _poll_timeout_ms(self, timeout: float | None) -> int | None:
        if self._overbooked:
            timeout = _STUCK_S if timeout is None else min(timeout, _STUCK_S)
        if self._held_ends:
            due = max(0.0, min(held.due for held in self._held_ends) - time.monotonic())
            timeout = due if timeout is None else min(timeout, due)
        return None if timeout is None else max(0, round(timeout * 1000 + 0.49))

    def _listen(self) -> None:
        try:
            os.read(self._wake_r, 65536)
        except BlockingIOError:
            pass
        while self._news:
            handler, arguments = self._news.popleft()
            handler(*arguments)
        now = time.monotonic()
        for held in [held for held in self._held_ends if held.due <= now]:
            self._held_ends.remove(held)
            self._ended += held.outcomes
        if not self._cluster.is_connected:
            self._scheduler_lost()

    def _worker_added(self, address: str) -> None:
        if address not in self._fleet.agents:
            self._greet(address)

    def _worker_removed(self, address: str) -> None:
        self._lose_agent(address)
        self._greetings.pop(address, None)

    def _cleared(self, agent: str, worker: str) -> None:
        for held in self._held_ends:
            if held.agent.name == agent and held.clearing_worker == worker:
                held.clearing_worker = ""

    def _take_receipt(self, number: int, data: bytes) -> None:
        # The attempt may have been given back by `_take_back`, or the parcel lost by `_lose_agent`, while this receipt was on its way:
        # only what is still in the parcel counts, so that each attempt comes back once.
        submitted = self._parcels.get(number)
        if submitted is None:
            return
        receipt = messages.decode(data, messages.Receipt)
        submitted.agent.active_at = time.monotonic()
        clock_offset_s = submitted.agent.clock_offset_s
        for end in receipt.ends:
            outcome = end.outcome
            attempt = submitted.left.pop((outcome.job, outcome.number), None)
            if attempt is None:
                continue
            if not submitted.bundle:  # a kill that names any attempt of a bundle ends all of it
                del self._parcel_of[outcome.job, outcome.number]
            if outcome.began is not None:
                outcome.began += clock_offset_s
            if end.log:
                self._write_log(submitted, outcome, end.log)
            if outcome.kind == "returned":  # it was queued behind a long attempt
                self._typical_s = max(self._typical_s, _SHORT_S)
            self._ended.append(outcome)
        if receipt.is_open:
            self._submit(number, submitted.agent, [])
            self._flush()
        elif receipt.lost:
            self._ended += self._lose_parcel(number, receipt.lost)
            self._lose_agent(submitted.agent.address, receipt.lost)
            self._greet(submitted.agent.address)
        else:
            self._close_parcel(number)
            for attempt in submitted.left.values():  # taken back before they arrived
                self._give_back(attempt)

    def _write_log(self, submitted: _SubmittedParcel, outcome: Outcome, log: bytes) -> None:
        if self._logs is None:
            return
        name = self._plan.name
        if submitted.bundle:
            first, *others = [(name(attempt.job), attempt.number) for attempt in submitted.bundle]
            write_log(self._logs, *first, log)
            link_log(self._logs, *first, others)
        else:
            write_log(self._logs, name(outcome.job), outcome.number, log)

    def _close_parcel(self, number: int) -> _SubmittedParcel:
        submitted = self._parcels.pop(number)
        for key in [*submitted.left, *((attempt.job, attempt.number) for attempt in submitted.bundle)]:
            self._parcel_of.pop(key, None)
        self._fleet.give_back(submitted.agent, number)
        if submitted.agent.busy <= submitted.agent.threads:
            self._overbooked.discard(submitted.agent)
        return submitted

    def _lose_parcel(self, number: int, why: str) -> list[Outcome]:
        """Remove a parcel. Returns the outcomes of its attempts, whose ends will never be known."""
        submitted = self._close_parcel(number)
        submitted.cancel(self._loop)
        shared = len(submitted.bundle) > 1
        return [
            Outcome(attempt.job, attempt.number, "lost", message=why, reason="lost", shared=shared)
            for attempt in submitted.left.values()
        ]

    def _task_failed(self, number: int, lives: bool) -> None:
        """A task has ended without a receipt. Whether or not its worker `lives`, the agent is not used again."""
        if number in self._parcels and self._cluster.is_connected:
            address = self._parcels[number].agent.address
            self._lose_agent(address, lives=lives)
            if lives:
                self._greet(address)

    def _scheduler_lost(self) -> None:
        if self._down_reason:
            return
        self._down_reason = f"the Dask scheduler of `{self._cluster.on}` is gone"
        for number in list(self._parcels):
            self._ended += self._lose_parcel(number, "the Dask scheduler was lost")
        for held in self._held_ends:
            self._ended += held.outcomes
        self._held_ends.clear()
        for attempt in self._waiting():
            self._give_back(attempt)
        self._plain.clear()
        self._special.clear()

    def _check_connected(self) -> None:
        if self._down_reason:
            raise ClusterError(
                self._down_reason,
                hint="what ran there is recorded as lost; `joblot resume` goes on when there is a cluster again",
            )
        if self._fleet.agents or not (self._plain or self._special):
            return
        now, wait_s = time.monotonic(), self._cluster.settings.wait_s
        if self._no_agent_since is None:
            self._no_agent_since = now
            self._warn(f"no worker is left at `{self._cluster.on}`: waiting {wait_s:g} s for one")
        elif now - self._no_agent_since > wait_s:
            raise ClusterError(
                f"no worker has come to `{self._cluster.on}` for {wait_s:g} s",
                hint="`joblot resume` goes on when there are workers",
            )

    def _warn(self, message: str) -> None:
        if self._context.warn is not None:
            self._context.warn(message)

    def _update_typical(self, ended: list[Outcome]) -> None:
        begun = [outcome.wall_s for outcome in ended if outcome.kind not in ("returned", "lost")]
        if begun:
            weight = min(0.75, len(begun) / 4)
            self._typical_s += weight * (sum(begun) / len(begun) - self._typical_s)

    # --- handing out ----------------------------------------------------------------------------

    def _depth(self) -> int:
        """How many attempts travel in one task."""
        if self._typical_s >= _SHORT_S or not self._fleet.may_spread:
            return 1
        return max(1, min(self._cluster.settings.jobs_per_task, int(_PARCEL_S / max(self._typical_s, _MIN_ATTEMPT_S))))

    def _ahead(self) -> int:
        """How many tasks are sent ahead for each place."""
        if self._typical_s >= _SHORT_S or not self._fleet.may_run_ahead:
            return 0
        return min(_MAX_AHEAD, max(1, int(_PARCEL_S / (max(self._typical_s, _MIN_ATTEMPT_S) * self._depth()))))

    def _waiting(self) -> list[Attempt]:
        return [attempt for unit in self._special for attempt in unit.attempts] + list(self._plain)

    def _hand_out(self) -> None:
        """Send what waits to agents with room."""
        if self._special:
            self._hand_out_special()
        if not self._plain:
            return
        ahead = self._ahead()
        size = max(1, min(self._depth(), -(-len(self._plain) // max(1, self._fleet.free_slots(ahead)))))
        while self._plain and (agent := self._fleet.room(PLAIN, ahead)) is not None:
            count = min(size, len(self._plain))
            self._send([self._plain.popleft() for _ in range(count)], agent, PLAIN)
        self._flush()

    def _hand_out_special(self) -> None:
        stay: deque[_Unit] = deque()
        full: set[int] = set()
        """Numbers of slots that no agent has free now: units that take as many need not be tried."""
        for unit in self._special:
            agent = None if unit.demand.slots in full else self._fleet.room(unit.demand)
            if agent is not None:
                self._send(unit.attempts, agent, unit.demand)
                continue
            if not unit.demand.amounts:
                full.add(unit.demand.slots)
            stay.append(unit)
        self._special = stay
        self._flush()

    def _send(self, attempts: list[Attempt], agent: RemoteAgent, demand: Demand) -> None:
        """Submit a parcel. Attempts that cannot be sent end with an error."""
        ready = []
        for attempt in attempts:
            try:
                spec = _wire_spec(attempt.spec or self._plan.spec(attempt.job))
            except Exception as error:  # noqa: BLE001 - pickling runs any code
                message = f"the function cannot be sent to a worker: {error_text(error)}"
                self._ended.append(Outcome(attempt.job, attempt.number, "error", reason="exception", message=message))
            else:
                ready.append(replace(attempt, spec=spec))
        if not ready:
            return
        self._last_number += 1
        number = self._last_number
        self._parcels[number] = _SubmittedParcel(ready, agent)
        for attempt in ready:
            self._parcel_of[attempt.job, attempt.number] = number
        if not agent.busy:
            agent.active_at = time.monotonic()
        self._fleet.take(agent, number, demand)
        if agent.busy > agent.threads:
            self._overbooked.add(agent)
        self._submit(number, agent, ready)

    def _submit(self, number: int, agent: RemoteAgent, attempts: list[Attempt]) -> None:
        submitted = self._parcels[number]
        submitted.tasks += 1
        key = f"joblot-{self._session.id}-{number}-{submitted.tasks}"
        settled = next(iter(self._parcels), number)  # numbers rise, so the first is the lowest
        parcel = messages.Parcel(
            key=key, session=self._session.id, agent=agent.name, number=number, settled=settled, attempts=attempts
        )
        if self._context.max_memory and attempts:
            alone = attempts[0].alone
            parcel = replace(
                parcel, most=messages.Most(self._context.max_memory if alone else self._share(agent), alone)
            )
        taken = agent.parcels[number].amounts
        amounts = tuple((name, amount) for name, amount in taken.items() if name in self._fleet.named)
        self._to_submit.setdefault((agent.address, amounts), []).append((number, key, messages.encode(parcel)))

    def _flush(self) -> None:
        """Submit what is ready. Tasks for the same worker are submitted together, which is much cheaper."""
        for (address, amounts), tasks in self._to_submit.items():
            numbers, task_keys, parcels = zip(*tasks, strict=True)
            futures = self._client.map(
                agent_calls.run_parcel,
                parcels,
                key=list(task_keys),
                workers=[address],
                allow_other_workers=False,
                pure=False,
                retries=0,
                resources=dict(amounts) or None,
            )
            for number, future in zip(numbers, futures, strict=True):
                if number in self._parcels:
                    self._parcels[number].future = future
                future.add_done_callback(partial(self._task_ended, number))
        self._to_submit.clear()

    # --- taking back ----------------------------------------------------------------------------

    def _give_back(self, attempt: Attempt) -> None:
        self._ended.append(Outcome(attempt.job, attempt.number, "returned"))

    def _withdraw(self, keys: set[tuple[int, int]]) -> None:
        """Give back what has not been submitted; of a bundle all or nothing."""
        kept: deque[_Unit] = deque()
        for unit in self._special:
            if any((attempt.job, attempt.number) in keys for attempt in unit.attempts):
                for attempt in unit.attempts:
                    self._give_back(attempt)
            else:
                kept.append(unit)
        self._special = kept
        stay: deque[Attempt] = deque()
        for attempt in self._plain:
            if (attempt.job, attempt.number) in keys:
                self._give_back(attempt)
            else:
                stay.append(attempt)
        self._plain = stay

    def _take_back(self, not_begun: Iterable[tuple[int, int, int]]) -> None:
        """Give back attempts that an agent has refused before they arrived."""
        for parcel, job, number in not_begun:
            submitted = self._parcels.get(parcel)
            attempt = submitted.left.pop((job, number), None) if submitted is not None else None
            if attempt is not None:
                self._parcel_of.pop((job, number), None)
                self._give_back(attempt)

    def _take_back_stuck(self) -> None:
        """Take back what was sent ahead of a free slot and is now queued behind something that takes long."""
        now = time.monotonic()
        if not self._overbooked or now - self._stuck_checked_at < _STUCK_S / 2:
            return
        self._stuck_checked_at = now
        for agent in [agent for agent in self._overbooked if now - agent.active_at > _STUCK_S]:
            self._overbooked.discard(agent)
            self._typical_s = max(self._typical_s, _SHORT_S)
            kills = [
                (number, Kill(attempt.job, attempt.number, "cancelled", 0.0))
                for number in agent.parcels
                for attempt in self._parcels[number].left.values()
            ]
            request = messages.EndRequest(self._session.id, agent.name, kills, take_back=True)
            self._loop.add_callback(self._request_ends, agent.address, messages.encode(request))


class _Unit(Struct):
    """Attempts that travel as one parcel, without others."""

    attempts: list[Attempt]
    demand: Demand


class _HeldEnds(Struct, eq=False):
    """Ends of what ran at a lost agent. Its processes end within milliseconds, but on another machine, and nothing reports it.

    A retry that starts before would run beside the lost attempt, so the ends are held back.
    """

    agent: RemoteAgent
    since: float
    outcomes: list[Outcome] = []
    clearing_worker: str = ""
    """The worker that was asked to kill what is left, until it has answered."""

    @property
    def due(self) -> float:
        """When to report them (monotonic seconds)."""
        return self.since + (CLEAR_S if self.clearing_worker else SETTLE_S)


class _SubmittedParcel:
    """A parcel that was submitted and has not ended."""

    def __init__(self, attempts: list[Attempt], agent: RemoteAgent) -> None:
        self.left = {(attempt.job, attempt.number): attempt for attempt in attempts}
        self.bundle = attempts if attempts[0].bundle_number else []
        self.agent = agent
        self.tasks = 0
        self.future: Any = None

    def cancel(self, loop: Any) -> None:
        """Cancel its task."""
        future, self.future = self.future, None
        if future is not None:
            loop.add_callback(future.cancel, asynchronous=True)


async def _error_of(future: Any) -> BaseException | None:
    """The exception of a task; None when it has none."""
    if future.status != "error":
        return None
    error: BaseException = await future.exception()
    return error


def _slots_of_agent(plan: Plan, cluster: Cluster, max_slots: int | None) -> int:
    """How many attempts may run at once at each agent, so that no more than `max_slots` run at all; 0 for one on each thread."""
    threads = cluster.threads
    if max_slots is None or max_slots >= sum(threads) or any(spec.resources for spec in plan.config.jobs):
        return 0
    return max(1, max_slots // max(1, len(threads)))


def _hello(context: RunContext, session: Session, slots: int) -> messages.Hello:
    config = context.plan.config
    functions = [spec.function for spec in config.jobs if spec.function is not None]
    return messages.Hello(
        run_id=context.run_id,
        token=session.token,
        session=session.id,
        batch=encode_batch(
            replace(config, env=context.env, jobs=[], vars={}, files={})
        ),  # a job's own fields travel with its attempt
        secrets={name: os.environ[name] for name in config.secrets if name in os.environ},
        masked=[
            own
            for env in (*(spec.env for spec in config.jobs), *context.environments)
            if (own := {name: env[name] for name in config.secrets if name in env})
        ],
        actions=tuple(sorted({spec.action for spec in config.jobs if spec.action is not None})),
        modules=tuple(sorted({module for function in functions if (module := _module_of(function))})),
        max_log=min(context.max_log, MAX_LOG),
        slots=slots,
        max_memory=context.max_memory,
        versions=versions(),
    )


def _module_of(function: Any) -> str:
    """The module that a worker must be able to import for this function; empty when the function travels by itself."""
    import cloudpickle

    name = getattr(function, "__module__", None) or ""
    inside = "<" in getattr(function, "__qualname__", "<")
    by_value = name in cloudpickle.list_registry_pickle_by_value()
    return "" if name in ("__main__", "builtins") or inside or by_value else name


def _wire_spec(spec: JobSpec) -> JobSpec:
    """The job as a worker needs it."""
    function = spec.function
    if function is not None:
        import cloudpickle

        function = cloudpickle.dumps(_portable(function))
    return replace(spec, function=function, needs=(), tags=(), description="", place=None, fan_out=None)


def _portable(function: Any) -> Any:
    """The function with its annotations evaluated, whose names may not be known where it is sent."""
    if not isinstance(function, FunctionType) or _module_of(function):
        return function
    with suppress(Exception):  # from Python 3.14 on they are evaluated here, and may name what is not known
        if not any(isinstance(hint, str) for hint in function.__annotations__.values()):
            return function
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, hints(function)
    copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return copy


def _answer_of(reply: Any) -> messages.Answer:
    """A worker's answer. A worker without joblot answers with an exception."""
    if isinstance(reply, bytes):
        answer: messages.Answer = messages.decode(reply, messages.Answer)
        return answer
    hint = (
        "install joblot on the workers, in the same version: pip install 'joblot[dask]'"
        if isinstance(reply, ImportError)
        else ""
    )
    return messages.Answer(problem=error_text(reply), hint=hint)


def _check_demands(plan: Plan, fleet: Fleet) -> None:
    """Refuse jobs that no worker can ever run: Dask would let them wait for ever."""
    for spec in plan.config.jobs:
        if spec.resources and not fleet.could_ever(fleet.demand(spec)):
            resources = ", ".join(f"{name}: {amount:g}" for name, amount in spec.resources.items())
            raise ClusterError(
                f"no worker can ever run job `{spec.name}`, which asks for {resources}",
                hint=f"the largest have {_largest(fleet)}",
            )


def _largest(fleet: Fleet) -> str:
    largest: dict[str, float] = {"cpu": max(agent.threads for agent in fleet.agents.values())}
    for agent in fleet.agents.values():
        for name, amount in agent.totals.items():
            largest[name] = max(largest.get(name, 0.0), amount)
    return ", ".join(f"{name}: {amount:g}" for name, amount in largest.items())
