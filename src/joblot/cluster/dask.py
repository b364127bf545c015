"""Runs attempts on a Dask cluster: the runner's side of it.

Dask carries parcels to the agents in its workers and receipts back, and nothing else: it never decides that something runs again, or where.
Short attempts travel many to a task, a bundle as one task, everything else alone. What Dask's own threads hear comes to the engine's
thread through one queue.

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

from msgspec.structs import replace

from joblot.actions.signature import hints
from joblot.cluster import agent as remote
from joblot.cluster import messages
from joblot.cluster.connect import said
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
    from collections.abc import Coroutine, Iterable, Sequence

    from joblot.cluster.connect import Cluster
    from joblot.core.model import JobSpec
    from joblot.core.plan import Plan
    from joblot.executors.protocol import RunContext

MAX_LOG: Final = 4 * 2**20
"""Bytes that come back of a log, at the most: they go through the scheduler's memory."""
SETTLE_S: Final = 1.0
"""How long the ends of what a lost worker ran are kept back, at least."""
CLEAR_S: Final = 10.0
"""How long to wait for the worker that sees to it that nothing is left."""
_SHORT_S: Final = 0.05
"""Attempts that are shorter than this travel together; until some have ended they are taken to be longer."""
_PARCEL_S: Final = 0.1
"""How much work, by the typical duration, is put into one task."""
_MOST_AHEAD: Final = 16
"""Tasks sent ahead for each place, at the most."""
_STUCK_S: Final = 0.25
"""After this long without a receipt what was sent ahead is taken back."""
_LEAST_S: Final = 0.0001
"""What an attempt costs at its agent even when it does nothing."""
_CALL_S: Final = 30.0
_LEAVE_S: Final = 5.0
_MOST_GREETINGS: Final = 3
"""So often a worker is asked for an agent again after it has lost one."""


class DaskExecutor:
    """`Executor` over a cluster that is open. It closes it, too. `most` bounds how many attempts run at once.

    Raises:
        ClusterError: no worker can run the batch, or one of its jobs.
    """

    def __init__(self, context: RunContext, cluster: Cluster, most: int | None = None) -> None:
        self._context = context
        self._plan = context.plan
        self._cluster = cluster
        self._client = cluster.client
        self._loop = cluster.client.loop
        self._logs = context.run_dir / "logs" if context.run_dir is not None else None
        self._fleet = Fleet(most)
        self._session = Session(context.run_dir, cluster.on)
        self._claimed: bytes = b""
        self._plain: deque[Attempt] = deque()
        self._special: deque[_Unit] = deque()
        """Bundles, and attempts that ask for more than a place."""
        self._parcels: dict[int, _Submitted] = {}
        self._where: dict[tuple[int, int], int] = {}
        """By job and number, the parcel that an attempt is in."""
        self._numbers = 0
        self._ended: list[Outcome] = []
        self._held: list[_Held] = []
        """Ends that are kept back until it is certain that nothing lives."""
        self._typical_s = _SHORT_S
        self._greetings: dict[str, int] = {}
        self._fed: set[RemoteAgent] = set()
        """Agents that have more than they can begin."""
        self._looked = 0.0
        """When it was last looked at what is stuck there."""
        self._done: list[tuple[int, Any]] = []
        """Tasks whose results have not been fetched; of Dask's thread."""
        self._fetching = False
        self._to_submit: dict[tuple[str, tuple[tuple[str, float], ...]], list[tuple[int, str, bytes]]] = {}
        """By where they go and what they take there, tasks to be submitted together."""
        self._down = ""
        self._alone_since: float | None = None
        self._news: deque[tuple[Any, ...]] = deque()
        self._bell_r, self._bell_w = os.pipe()
        for fd in (self._bell_r, self._bell_w):
            os.set_blocking(fd, False)
        self._poll = select.poll()
        self._poll.register(self._bell_r, select.POLLIN)
        self._hello = messages.encode(_hello(context, self._session, _slots_of_agent(context.plan, cluster, most)))
        try:
            self._client.subscribe_topic("all", self._heard)
            self._begin()
        except BaseException:
            self.close()
            raise

    # --- Executor -------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """How many attempts run at once, with the workers that there are now."""
        return max(1, self._fleet.places)

    @property
    def capacity(self) -> int:
        """See `Executor.capacity`."""
        return self.slots * self._depth() * (1 + self._ahead())

    def wake_on(self, fd: int) -> None:
        """See `Executor.wake_on`."""
        self._poll.register(fd, select.POLLIN)

    def start(self, attempts: Sequence[Attempt]) -> None:
        """See `Executor.start`.

        Raises:
            ClusterError: the scheduler is gone.
            RunHeldError: another process has taken the run over.
        """
        self._check_is_there()
        if not self._claimed:
            self._claim()
        bundles: dict[int, _Unit] = {}
        for attempt in attempts:
            demand = self._fleet.demand(attempt.spec or self._plan.declarations[attempt.job])
            if attempt.bundle:
                unit = bundles.get(attempt.bundle)
                if unit is None:
                    unit = bundles[attempt.bundle] = _Unit([], demand)
                    self._special.append(unit)
                unit.attempts.append(attempt)
            elif (attempt.spec or self._plan.declarations[attempt.job]).resources:
                self._special.append(_Unit([attempt], demand))
            else:
                self._plain.append(attempt)
        self._hand_out()

    def kill(self, kills: Sequence[Kill]) -> None:
        """See `Executor.kill`."""
        orders: dict[str, list[tuple[int, Kill]]] = {}
        waiting = []
        for kill in kills:
            number = self._where.get((kill.job, kill.number))
            if number is None:
                waiting.append(kill)
            else:
                orders.setdefault(self._parcels[number].agent.address, []).append((number, kill))
        if waiting:
            self._withdraw({(kill.job, kill.number) for kill in waiting})
        for address, numbered in orders.items():
            agent = self._fleet.agents[address]
            order = messages.encode(messages.Order(self._session.id, agent.name, numbered))
            self._loop.add_callback(self._send_order, address, order)

    def wait(self, timeout: float | None) -> list[Outcome]:
        """See `Executor.wait`.

        Raises:
            ClusterError: the scheduler is gone, or no worker has come for a long time.
        """
        if not self._ended:
            self._poll.poll(self._patience(timeout))
            self._listen()
            self._take_back_what_is_stuck()
            self._hand_out()
        ended, self._ended = self._ended, []
        if not ended:
            self._check_is_there()
        self._learn(ended)
        return ended

    def close(self) -> None:
        """See `Executor.close`."""
        if self._cluster.is_there:
            for submitted in self._parcels.values():
                submitted.cancel(self._loop)
            if self._fleet.agents:
                self._call(
                    self._client.run(remote.leave, self._session.id, asynchronous=True, on_error="ignore"), _LEAVE_S
                )
            self._session.end()
        self._cluster.close()
        for fd in (self._bell_r, self._bell_w):
            os.close(fd)

    # --- agents ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Have an agent in every worker, and see that all jobs can run."""
        asked = time.monotonic()
        answers = self._call(self._client.run(remote.greet, self._hello, asynchronous=True, on_error="return"))
        heard = time.monotonic()
        problems: dict[str, list[str]] = {}
        hint = ""
        for address, found in (answers or {}).items():
            answer = _answer(found)
            if answer.agent:
                self._add(address, answer, asked, heard)
            else:
                problems.setdefault(answer.problem, []).append(address)
                hint = hint or answer.hint
        if problems:
            what, where = next(iter(problems.items()))
            more = f" and {len(where) - 1} more" if len(where) > 1 else ""
            raise ClusterError(f"worker `{where[0]}`{more} cannot run this batch: {what}", hint=hint)
        if not self._fleet.agents:
            raise ClusterError(f"no worker of `{self._cluster.on}` has answered")
        _check_demands(self._plan, self._fleet)

    def _add(self, address: str, answer: messages.Answer, asked: float, heard: float) -> None:
        refuse_plain(address, "the address of worker")
        ahead_s = 0.0 if answer.boot and answer.boot == remote.boot() else (asked + heard) / 2 - answer.now
        self._fleet.add(RemoteAgent(address, answer.agent, answer.threads, answer.totals, ahead_s=ahead_s))
        self._alone_since = None

    def _claim(self) -> None:
        """Take the run for this process, on every worker, before the first attempt."""
        self._claimed = messages.encode(self._session.begin())
        said_ = self._call(self._client.run(remote.claim, self._claimed, asynchronous=True, on_error="return"))
        if said_ is None:
            raise ClusterError(f"the workers of `{self._cluster.on}` do not answer", hint="nothing has begun there")
        for address, problem in said_.items():
            if isinstance(problem, str) and problem:
                raise RunHeldError(f"worker `{address}`: {problem}")
            if isinstance(problem, BaseException):
                self._lose_agent(address)

    def _greet(self, address: str) -> None:
        """Ask a worker that has come, or has lost its agent."""
        count = self._greetings[address] = self._greetings.get(address, 0) + 1
        if count <= _MOST_GREETINGS:
            self._loop.add_callback(self._greet_there, address)
        else:
            self._warn(f"worker `{address}` is used no more: what ran there was lost {_MOST_GREETINGS} times")

    async def _greet_there(self, address: str) -> None:
        asked = time.monotonic()
        try:
            found = await self._client.run(
                remote.greet, self._hello, workers=[address], asynchronous=True, on_error="return"
            )
            answer = _answer(found[address])
            if answer.agent and self._claimed:
                problem = (await self._client.run(remote.claim, self._claimed, workers=[address], asynchronous=True))[
                    address
                ]
                if problem:
                    answer = messages.Answer(problem=problem)
        except Exception as error:  # noqa: BLE001 - the worker may be gone again, in whatever way
            answer = messages.Answer(problem=said(error))
        self._ring("greeted", address, answer, asked, time.monotonic())

    def _greeted(self, address: str, answer: messages.Answer, asked: float, heard: float) -> None:
        if answer.agent and address not in self._fleet.agents:
            self._add(address, answer, asked, heard)
        elif not answer.agent:
            self._warn(f"worker `{address}` is not used: {answer.problem}")

    def _lose_agent(self, address: str, why: str = "", *, lives: bool = False) -> None:
        """A worker is gone, with all that ran there; or it lives, and what it has of us is not to be trusted any more."""
        agent = self._fleet.remove(address)
        if agent is None:
            return
        for waiting in [one for one in self._held if one.asked == address]:
            self._ask_about(waiting)
        if not agent.parcels:
            return
        held = _Held(agent, time.monotonic())
        for number in list(agent.parcels):
            held.outcomes += self._lost(number, why or f"worker `{address}` was lost")
        self._held.append(held)
        self._ask_about(held, agent.address if lives else "")

    def _ask_about(self, held: _Held, own: str = "") -> None:
        """Ask another worker of the machine, or else its own, to see to it that nothing lives; with nobody to ask time has to do."""
        others = (other.address for other in self._fleet.agents.values() if other.host == held.agent.host)
        held.asked = next(others, own)
        if held.asked:
            self._loop.add_callback(self._clear, held.asked, held.agent.name)

    # --- what Dask's threads call ---------------------------------------------------------------

    def _ring(self, *news: Any) -> None:
        self._news.append(news)
        try:
            os.write(self._bell_w, b"!")
        except OSError:
            pass  # full: it rings already; or closed

    def _heard(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and message.get("action") in ("add-worker", "remove-worker"):
            self._ring(message["action"], message["worker"])

    def _task_ended(self, number: int, future: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody wants to know
            self._loop.add_callback(self._fetch, number, future)

    async def _fetch(self, number: int, future: Any) -> None:
        """Fetch what a task has returned. Results are fetched together: while some are on their way others end."""
        self._done.append((number, future))
        if not self._fetching:
            self._fetching = True
            try:
                while self._done:
                    await self._fetch_all()
            finally:
                self._fetching = False

    async def _fetch_all(self) -> None:
        from distributed import KilledWorker

        done, self._done = self._done, []
        whole = {number: future for number, future in done if future.status == "finished"}
        try:
            receipts = await self._client.gather(whole, errors="skip", asynchronous=True)
        except Exception:  # noqa: BLE001 - the scheduler is gone
            receipts = {}
        for number, future in done:
            receipt = receipts.get(number)
            if receipt is None:
                self._ring("broken", number, not isinstance(await _error_of(future), KilledWorker))
            else:
                self._ring("receipt", number, receipt)
            future.release()

    async def _send_order(self, address: str, order: bytes) -> None:
        try:
            early = await self._client.run(remote.end_attempts, order, workers=[address], asynchronous=True)
        except Exception:  # noqa: BLE001 - the worker is gone, and what ran there is lost; that is heard in another way
            return
        self._ring("early", early.get(address, ()))

    async def _clear(self, address: str, name: str) -> None:
        """Have a worker of the machine see to it that nothing lives of an agent: another one, or the same, should it live after all."""
        with suppress(Exception):  # that one is gone too, in whatever way: then time has to do
            await self._client.run(remote.clear, name, workers=[address], asynchronous=True)
        self._ring("cleared", name, address)

    def _call(self, coroutine: Coroutine[Any, Any, Any], limit_s: float | None = None) -> Any:
        """The result of a call to the cluster; None when it did not come."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop.asyncio_loop)
        try:
            return running.result(limit_s if limit_s is not None else self._cluster.settings.wait_s + _CALL_S)
        except Exception:  # noqa: BLE001 - the scheduler is gone
            running.cancel()
            return None

    # --- listening ------------------------------------------------------------------------------

    def _patience(self, timeout: float | None) -> int | None:
        if self._fed:
            timeout = _STUCK_S if timeout is None else min(timeout, _STUCK_S)
        if self._held:
            due = max(0.0, min(held.due for held in self._held) - time.monotonic())
            timeout = due if timeout is None else min(timeout, due)
        return None if timeout is None else max(0, round(timeout * 1000 + 0.49))

    def _listen(self) -> None:
        try:
            os.read(self._bell_r, 65536)
        except BlockingIOError:
            pass
        while self._news:
            kind, *rest = self._news.popleft()
            if kind == "receipt":
                self._received(*rest)
            elif kind == "broken":
                self._broken(*rest)
            elif kind == "early":
                self._withdrawn(*rest)
            elif kind == "cleared":
                self._cleared(*rest)
            elif kind == "greeted":
                self._greeted(*rest)
            elif kind == "remove-worker":
                self._lose_agent(*rest)
                self._greetings.pop(rest[0], None)
            elif rest[0] not in self._fleet.agents:
                self._greet(*rest)
        now = time.monotonic()
        for held in [held for held in self._held if held.due <= now]:
            self._held.remove(held)
            self._ended += held.outcomes
        if not self._cluster.is_there:
            self._scheduler_lost()

    def _cleared(self, agent: str, asked: str) -> None:
        for held in self._held:
            if held.agent.name == agent and held.asked == asked:
                held.asked = ""

    def _received(self, number: int, data: bytes) -> None:
        submitted = self._parcels.get(number)
        if submitted is None:
            return
        receipt = messages.decode(data, messages.Receipt)
        submitted.agent.heard = time.monotonic()
        ahead_s = submitted.agent.ahead_s
        for told in receipt.told:
            outcome = told.outcome
            attempt = submitted.left.pop((outcome.job, outcome.number), None)
            if attempt is None:
                continue
            if not submitted.bundle:  # a kill that names one of a bundle means all of it
                del self._where[outcome.job, outcome.number]
            if outcome.began is not None:
                outcome.began += ahead_s
            if told.log:
                self._keep_log(submitted, outcome, told.log)
            if outcome.kind == "returned":  # it was queued behind a long one
                self._typical_s = max(self._typical_s, _SHORT_S)
            self._ended.append(outcome)
        if receipt.more:
            self._submit(number, submitted.agent, [])
            self._flush()
        elif receipt.lost:
            self._ended += self._lost(number, receipt.lost)
            self._lose_agent(submitted.agent.address, receipt.lost)
            self._greet(submitted.agent.address)
        else:
            self._close_parcel(number)
            for attempt in submitted.left.values():  # they were taken back before they came there
                self._give_back(attempt)

    def _keep_log(self, submitted: _Submitted, outcome: Outcome, log: bytes) -> None:
        if self._logs is None:
            return
        name = self._plan.name
        if submitted.bundle:
            first, *others = [(name(attempt.job), attempt.number) for attempt in submitted.bundle]
            write_log(self._logs, *first, log)
            link_log(self._logs, *first, others)
        else:
            write_log(self._logs, name(outcome.job), outcome.number, log)

    def _close_parcel(self, number: int) -> _Submitted:
        submitted = self._parcels.pop(number)
        for place in [*submitted.left, *((attempt.job, attempt.number) for attempt in submitted.bundle)]:
            self._where.pop(place, None)
        self._fleet.give_back(submitted.agent, number)
        if submitted.agent.busy <= submitted.agent.threads:
            self._fed.discard(submitted.agent)
        return submitted

    def _lost(self, number: int, why: str) -> list[Outcome]:
        """The ends of a parcel's attempts, of which nothing will be heard any more."""
        submitted = self._close_parcel(number)
        submitted.cancel(self._loop)
        shared = len(submitted.bundle) > 1
        return [
            Outcome(attempt.job, attempt.number, "lost", message=why, reason="lost", shared=shared)
            for attempt in submitted.left.values()
        ]

    def _broken(self, number: int, lives: bool) -> None:
        """A task has ended without a receipt: whatever became of its worker, the agent that it was for is not used again."""
        if number in self._parcels and self._cluster.is_there:
            address = self._parcels[number].agent.address
            self._lose_agent(address, lives=lives)
            if lives:
                self._greet(address)

    def _scheduler_lost(self) -> None:
        if self._down:
            return
        self._down = f"the Dask scheduler of `{self._cluster.on}` is gone"
        for number in list(self._parcels):
            self._ended += self._lost(number, "the Dask scheduler was lost")
        for held in self._held:
            self._ended += held.outcomes
        self._held.clear()
        for attempt in self._waiting():
            self._give_back(attempt)
        self._plain.clear()
        self._special.clear()

    def _check_is_there(self) -> None:
        if self._down:
            raise ClusterError(
                self._down,
                hint="what ran there is recorded as lost; `joblot resume` goes on when there is a cluster again",
            )
        if self._fleet.agents or not (self._plain or self._special):
            return
        now, wait_s = time.monotonic(), self._cluster.settings.wait_s
        if self._alone_since is None:
            self._alone_since = now
            self._warn(f"no worker is left at `{self._cluster.on}`: waiting {wait_s:g} s for one")
        elif now - self._alone_since > wait_s:
            raise ClusterError(
                f"no worker has come to `{self._cluster.on}` for {wait_s:g} s",
                hint="`joblot resume` goes on when there are workers",
            )

    def _warn(self, message: str) -> None:
        if self._context.warn is not None:
            self._context.warn(message)

    def _learn(self, ended: list[Outcome]) -> None:
        begun = [outcome.wall_s for outcome in ended if outcome.kind not in ("returned", "lost")]
        if begun:
            weight = min(0.75, len(begun) / 4)
            self._typical_s += weight * (sum(begun) / len(begun) - self._typical_s)

    # --- handing out ----------------------------------------------------------------------------

    def _depth(self) -> int:
        """How many attempts travel in one task."""
        if self._typical_s >= _SHORT_S or not self._fleet.may_spread:
            return 1
        return max(1, min(self._cluster.settings.jobs_per_task, int(_PARCEL_S / max(self._typical_s, _LEAST_S))))

    def _ahead(self) -> int:
        """How many tasks are sent ahead for each place."""
        if self._typical_s >= _SHORT_S or not self._fleet.may_run_ahead:
            return 0
        return min(_MOST_AHEAD, max(1, int(_PARCEL_S / (max(self._typical_s, _LEAST_S) * self._depth()))))

    def _waiting(self) -> list[Attempt]:
        return [attempt for unit in self._special for attempt in unit.attempts] + list(self._plain)

    def _hand_out(self) -> None:
        """Send what waits to where there is room."""
        if self._special:
            self._hand_out_special()
        if not self._plain:
            return
        ahead = self._ahead()
        size = max(1, min(self._depth(), -(-len(self._plain) // max(1, self._fleet.free_places(ahead)))))
        while self._plain and (agent := self._fleet.room(PLAIN, ahead)) is not None:
            count = min(size, len(self._plain))
            self._send([self._plain.popleft() for _ in range(count)], agent, PLAIN)
        self._flush()

    def _hand_out_special(self) -> None:
        stay: deque[_Unit] = deque()
        full: set[int] = set()
        """Places asked for that no worker has now: who asks for as many need not be looked at."""
        for unit in self._special:
            agent = None if unit.demand.places in full else self._fleet.room(unit.demand)
            if agent is not None:
                self._send(unit.attempts, agent, unit.demand)
                continue
            if not unit.demand.amounts:
                full.add(unit.demand.places)
            stay.append(unit)
        self._special = stay
        self._flush()

    def _send(self, attempts: list[Attempt], agent: RemoteAgent, demand: Demand) -> None:
        """Submit a parcel."""
        ready = []
        for attempt in attempts:
            try:
                spec = _wire_spec(attempt.spec or self._plan.spec(attempt.job))
            except Exception as error:  # noqa: BLE001 - whatever pickling runs
                message = f"the function cannot be sent to a worker: {said(error)}"
                self._ended.append(Outcome(attempt.job, attempt.number, "error", reason="exception", message=message))
            else:
                ready.append(Attempt(attempt.job, attempt.number, attempt.values, attempt.bundle, spec))
        if not ready:
            return
        self._numbers += 1
        number = self._numbers
        self._parcels[number] = _Submitted(ready, agent)
        for attempt in ready:
            self._where[attempt.job, attempt.number] = number
        if not agent.busy:
            agent.heard = time.monotonic()
        self._fleet.take(agent, number, demand)
        if agent.busy > agent.threads:
            self._fed.add(agent)
        self._submit(number, agent, ready)

    def _submit(self, number: int, agent: RemoteAgent, attempts: list[Attempt]) -> None:
        submitted = self._parcels[number]
        submitted.tasks += 1
        key = f"joblot-{self._session.id}-{number}-{submitted.tasks}"
        settled = next(iter(self._parcels), number)
        parcel = messages.Parcel(
            key=key, session=self._session.id, agent=agent.name, number=number, settled=settled, attempts=attempts
        )
        taken = agent.parcels[number].amounts
        amounts = tuple((name, amount) for name, amount in taken.items() if name in self._fleet.named)
        self._to_submit.setdefault((agent.address, amounts), []).append((number, key, messages.encode(parcel)))

    def _flush(self) -> None:
        """Submit what stands ready. Tasks that go to the same worker are submitted together, which is much cheaper."""
        for (address, amounts), tasks in self._to_submit.items():
            numbers, keys, parcels = zip(*tasks, strict=True)
            futures = self._client.map(
                remote.carry,
                parcels,
                key=list(keys),
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

    def _withdraw(self, places: set[tuple[int, int]]) -> None:
        """Give back what has not been submitted; of a bundle all or nothing."""
        kept: deque[_Unit] = deque()
        for unit in self._special:
            if any((attempt.job, attempt.number) in places for attempt in unit.attempts):
                for attempt in unit.attempts:
                    self._give_back(attempt)
            else:
                kept.append(unit)
        self._special = kept
        stay: deque[Attempt] = deque()
        for attempt in self._plain:
            if (attempt.job, attempt.number) in places:
                self._give_back(attempt)
            else:
                stay.append(attempt)
        self._plain = stay

    def _withdrawn(self, early: Iterable[tuple[int, int, int]]) -> None:
        """The agent has taken these back before they came there."""
        for parcel, job, number in early:
            submitted = self._parcels.get(parcel)
            attempt = submitted.left.pop((job, number), None) if submitted is not None else None
            if attempt is not None:
                self._where.pop((job, number), None)
                self._give_back(attempt)

    def _take_back_what_is_stuck(self) -> None:
        """What was sent ahead of a free place, and then came behind something that takes long."""
        now = time.monotonic()
        if not self._fed or now - self._looked < _STUCK_S / 2:
            return
        self._looked = now
        for agent in [agent for agent in self._fed if now - agent.heard > _STUCK_S]:
            self._fed.discard(agent)
            self._typical_s = max(self._typical_s, _SHORT_S)
            kills = [
                (number, Kill(attempt.job, attempt.number, "cancelled", 0.0))
                for number in agent.parcels
                for attempt in self._parcels[number].left.values()
            ]
            order = messages.Order(self._session.id, agent.name, kills, take_back=True)
            self._loop.add_callback(self._send_order, agent.address, messages.encode(order))


class _Unit:
    """Attempts that travel together and with nobody else."""

    def __init__(self, attempts: list[Attempt], demand: Demand) -> None:
        self.attempts = attempts
        self.demand = demand


class _Held:
    """Ends of what ran at an agent that is gone. Its processes die with it within milliseconds, but elsewhere than where we hear of it."""

    def __init__(self, agent: RemoteAgent, since: float) -> None:
        self.agent = agent
        self.outcomes: list[Outcome] = []
        self.since = since
        self.asked = ""
        """The worker that was asked to end what is left, until it has answered."""

    @property
    def due(self) -> float:
        """When to tell them."""
        return self.since + (CLEAR_S if self.asked else SETTLE_S)


class _Submitted:
    """A parcel on its way or at its agent."""

    def __init__(self, attempts: list[Attempt], agent: RemoteAgent) -> None:
        self.left = {(attempt.job, attempt.number): attempt for attempt in attempts}
        self.bundle = attempts if attempts[0].bundle else []
        self.agent = agent
        self.tasks = 0
        self.future: Any = None

    def cancel(self, loop: Any) -> None:
        """Nobody waits for it any more."""
        future, self.future = self.future, None
        if future is not None:
            loop.add_callback(future.cancel, asynchronous=True)


async def _error_of(future: Any) -> BaseException | None:
    """What a task has ended with."""
    if future.status != "error":
        return None
    error: BaseException = await future.exception()
    return error


def _slots_of_agent(plan: Plan, cluster: Cluster, most: int | None) -> int:
    """How many attempts may run at once at an agent, so that all together run no more than `most`; 0: as many as its worker has threads."""
    threads = cluster.threads
    if most is None or most >= sum(threads) or any(spec.resources for spec in plan.config.jobs):
        return 0
    return max(1, most // max(1, len(threads)))


def _hello(context: RunContext, session: Session, slots: int) -> messages.Hello:
    config = context.plan.config
    functions = [spec.function for spec in config.jobs if spec.function is not None]
    return messages.Hello(
        run_id=context.run_id,
        token=session.token,
        session=session.id,
        batch=encode_batch(replace(config, jobs=[], vars={}, files={})),
        secrets={name: os.environ[name] for name in config.secrets if name in os.environ},
        actions=tuple(sorted({spec.action for spec in config.jobs if spec.action is not None})),
        modules=tuple(sorted({module for function in functions if (module := _module_of(function))})),
        max_log=min(context.max_log, MAX_LOG),
        slots=slots,
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
    """The function with its annotations evaluated: where it goes, what they name may not be known."""
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


def _answer(found: Any) -> messages.Answer:
    """A worker's answer. One that has no joblot can only raise."""
    if isinstance(found, bytes):
        answer: messages.Answer = messages.decode(found, messages.Answer)
        return answer
    hint = (
        "install joblot on the workers, in the same version: pip install 'joblot[dask]'"
        if isinstance(found, ImportError)
        else ""
    )
    return messages.Answer(problem=said(found), hint=hint)


def _check_demands(plan: Plan, fleet: Fleet) -> None:
    """Refuse jobs that no worker can ever run: Dask would let them wait for ever."""
    for spec in plan.config.jobs:
        if spec.resources and not fleet.could_ever(fleet.demand(spec)):
            wanted = ", ".join(f"{name}: {amount:g}" for name, amount in spec.resources.items())
            raise ClusterError(
                f"no worker can ever run job `{spec.name}`, which asks for {wanted}",
                hint=f"the largest have {_largest(fleet)}",
            )


def _largest(fleet: Fleet) -> str:
    most: dict[str, float] = {"cpu": max(agent.threads for agent in fleet.agents.values())}
    for agent in fleet.agents.values():
        for name, amount in agent.totals.items():
            most[name] = max(most.get(name, 0.0), amount)
    return ", ".join(f"{name}: {amount:g}" for name, amount in most.items())
