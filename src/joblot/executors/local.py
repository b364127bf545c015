"""Runs attempts in killable processes on this machine: Python actions in warm workers, commands started by the warden.

The runner's side of it. Workers are started on demand, up to the number of slots; while attempts are very short, some are queued ahead
in each worker, which then need not wait for a round trip each. A worker that is killed or dies costs the attempt that it ran, no other.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.core.model import Attempt, Outcome
from joblot.errors import JoblotError, StateError
from joblot.executors import command, processes, warden
from joblot.executors.mask import Mask
from joblot.executors.shortage import PAUSE_S, Shortage
from joblot.executors.spool import collect_orphan, link_log, path_of, remove_early_log
from joblot.executors.worker import HASH_OUTPUTS, SPIN_BELOW_S, Spin, Worker
from joblot.executors.worker_handle import BrokenFrameError, WorkerHandle, crash_outcome
from joblot.files import make_private_folder, system_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.core.commands import Kill
    from joblot.executors.protocol import RunContext
    from joblot.outputs import Hashes

MAX_AHEAD: Final = 64
"""Attempts queued in one worker, at the most."""
_SHORT_S: Final = 0.002
"""Attempts that are shorter than this are queued ahead."""
_AHEAD_S: Final = 0.01
"""How much work, by the typical duration, is queued in a worker."""
_SLOW_S: Final = 0.1
"""After this long without news a worker's queued attempts are taken back, and a running attempt's log gets its name."""
_FIRST_GUESS_S: Final = 0.02
"""The typical duration until attempts have ended: nothing is queued ahead before they have shown to be short."""
_MAX_COMMANDS_AHEAD: Final = 16
"""Commands handed to the warden ahead of a free slot, at the most."""
_ENOUGH_PER_SLOT: Final = 32
"""Attempts handed out for each slot from which on no slot is expected to run out, however short they are."""
_MAX_EARLY_DEATHS: Final = 3
"""Workers in a row that may die before they begin anything; then their first attempt is reported as crashed."""
_LOOK_S: Final = 0.5
"""How often it is seen to, while something runs, that the warden does not stand still."""
_SILENCE_S: Final = 5.0
"""How long a warden may take to answer or to take in what it is sent; then it is ended."""
_SEND_TIMEOUT: Final = struct.pack("ll", int(_SILENCE_S), 0)
_END_S: Final = 60.0
"""How long a warden may take to end everything: it also writes the logs, masked where there are secrets."""
_MIB: Final = 2**20
_GATHER_S: Final = 0.002
"""While enough is queued to keep all slots busy, messages are gathered for this long before they are read."""


class LocalExecutor:
    """`Executor` over a warden; `slots` is how many attempts run at once.

    Create it before anything is opened that a forked process must not hold.
    """

    def __init__(self, context: RunContext, slots: int) -> None:
        self.slots = slots
        self._context = context
        self._logs = context.run_dir / "logs" if context.run_dir is not None else None
        self._mask = Mask.of(context.plan.config, context.environments)
        self._builder = command.CommandBuilder(context)
        self._memory = _memory_limits(context)
        """Memory limits in bytes, by the number of the job; of jobs that have one."""
        self._held = 0
        self._most = context.max_memory, True
        self._shortage = Shortage(context.warn)
        self._failed_wardens = 0
        self._max_fds = processes.max_descriptors() - warden.RESERVE
        self._waiting: deque[Attempt] = deque()
        self._workers: dict[int, WorkerHandle] = {}
        self._by_fd: dict[int, WorkerHandle] = {}
        self._idents = 0
        self._commands: dict[int, _Command] = {}
        self._ended: list[Outcome] = []
        self._awaiting_hashes: dict[tuple[int, int], Outcome] = {}
        """By job and number, commands that have ended well and whose large outputs a worker hashes."""
        self._early_deaths = 0
        """How many workers in a row have died before they began anything."""
        self._asked_to_end: set[tuple[int, int]] = set()
        """Attempts in workers that were asked to end."""
        self._typical_s = _FIRST_GUESS_S
        self._wake_fd = -1
        self._may_turn_slow = False
        """Whether something may run that has not been found to be slow."""
        self._slow_checked_at = 0.0
        self._look_at = 0.0
        """When to see next to whether the warden stands still."""
        self._stopped_looks = 0
        """How often in a row it was found stopped."""
        self._ping_at = self._answer_by = math.inf
        """When to have the warden answer, since it was asked to kill something, and until when it must have."""
        self._poll = select.poll()
        self._spin = Spin(self._poll)
        self._buffer = bytearray()
        self._out = bytearray()
        threads = self._warn_of_threads()
        self._children = processes.OwnChildren()
        self._others: set[int] = set()
        """Children of this process that are not from here, as far as they have been seen."""
        self._may_adopt = not threads and not self._children.pids()
        """Whether the children of a dead warden may come to this process, which has none of its own with which they could be confused."""
        self._was_subreaper = -1
        """What to restore; -1 when they do not come yet."""
        self._start_warden()

    # --- Executor -------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """The slots, times how many attempts are queued in each worker."""
        return self.slots * self._depth()

    @property
    def held_bytes(self) -> int:
        """As the warden has told it last."""
        return self._held

    def limit_memory(self, most: int, *, is_whole: bool) -> None:
        """All attempts together may hold so many bytes from now on, which is all that the run may, or a share. For executors that began with a limit."""
        if (most, is_whole) != self._most:
            self._most = most, is_whole
            self._send("most", most, is_whole)
            self._flush()

    def give_back(self) -> list[Outcome]:
        """Nothing: only short attempts are sent ahead, and are over in a moment."""
        return []

    def wake_on(self, fd: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""
        self._wake_fd = fd
        self._poll.register(fd, select.POLLIN)

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Give attempts to workers and to the warden as far as slots are free; the others wait here."""
        for attempt in attempts:
            if attempt.spec is not None and "memory" in attempt.spec.resources:
                self._memory[attempt.job] = int(attempt.spec.resources["memory"])
            if attempt.memory:
                self._memory[attempt.job] = attempt.memory
        if len(attempts) == 1 and not self._waiting and not self._commands and self._is_light(attempts[0]):
            # In a chain of jobs one attempt is started each time: this spares it the sorting of `_hand_out`, which pays for many.
            for worker in self._workers.values():
                if worker.usable and not worker.outstanding:
                    worker.send(list(attempts))
                    self._may_turn_slow = True
                    return
        self._waiting.extend(attempts)
        self._hand_out()

    def kill(self, kills: Sequence[Kill]) -> None:
        """Give back what has not begun, and have the warden kill what runs."""
        for kill in kills:
            if not self._withdraw(kill):
                self._kill_running(kill)
                self._ping_at = time.monotonic() + kill.grace_s + _LOOK_S
        self._flush()

    def wait(self, timeout: float | None) -> list[Outcome]:
        """What has ended. Unless something has already: read messages, find slow attempts, hand out what waits."""
        if not self._ended:
            self._listen(self._poll_timeout_ms(timeout))
            self._find_slow()
            self._hand_out()
        ended, self._ended = self._ended, []
        if self._awaiting_hashes:
            ended = [self._with_hashes(outcome) for outcome in ended]
        if ended:
            self._update_typical(ended)
        return ended

    def close(self) -> None:
        """Close the socket, at which the warden kills everything and ends; wait for that."""
        self._socket.close()
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        processes.send(self._warden_pid, signal.SIGCONT)
        if processes.reap(self._warden_pid, _END_S) is None:
            self._end_warden()
        for running in self._commands.values():
            running.line.dispose()
        if self._was_subreaper >= 0:
            warden.set_subreaper(self._was_subreaper)
        self._children.close()

    # --- the warden -----------------------------------------------------------------------------

    def _warn_of_threads(self) -> int:
        threads = processes.threads() - 1
        if threads > 0 and processes.in_kernel():
            # A kernel has threads of its own, which hold nothing that a job needs. Those of Polars do.
            if processes.has_thread("polars"):
                self._warn(
                    "Polars has been used in this kernel: a job that uses it in a process of its own hangs"
                    ' (use it in jobs only, or run them with `on="inline"`)'
                )
        elif threads > 0:
            other = "another thread runs" if threads == 1 else f"{threads} other threads run"
            self._warn(
                f"{other} in this process before the first job does: what is forked from it may hang"
                " (begin threads inside actions, not while modules are imported)"
            )
        return threads

    def _start_warden(self) -> None:
        context = self._context

        def work(ident: int, channel: int, tokens: int) -> None:
            Worker(context, ident, channel, tokens).run()

        self._warden_pid, self._socket = warden.start(
            self.slots,
            self._builder.base,
            self._logs,
            context.max_log,
            self._mask,
            work,
            context.kept_open,
            context.max_memory,
        )
        self._held = 0
        if self._most != (context.max_memory, True):
            self._send("most", *self._most)
        self._look_at = time.monotonic() + _SLOW_S
        self._heard = False
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        self._poll.register(self._socket, select.POLLIN)

    def _look_after_warden(self, now: float) -> None:
        """Have a warden that was stopped go on, and end one that stands still for another reason: without it no time limit holds."""
        self._look_at = now + _LOOK_S
        if self._may_adopt and self._was_subreaper < 0:  # not at the start: it takes longer than a short run
            self._was_subreaper = warden.set_subreaper(1)
        if now >= self._answer_by:
            self._warn("the warden does not answer: it is ended, and what ran is lost")
            self._warden_lost()
        elif now >= self._ping_at:
            self._ping_at, self._answer_by = math.inf, now + _SILENCE_S
            self._send("ping")
        self._others.update(pid for pid in self._children.pids() if pid != self._warden_pid)
        # Once may be chance: whoever stops and continues all of a run gets to one process after the other.
        self._stopped_looks = self._stopped_looks + 1 if processes.is_stopped(self._warden_pid) else 0
        if self._stopped_looks > 1:
            processes.send(self._warden_pid, signal.SIGCONT)
            self._stopped_looks = 0

    def _warn(self, message: str) -> None:
        if self._context.warn is not None:
            self._context.warn(message)

    def _warden_lost(self) -> None:
        """The warden was killed, or stands still: kill what it had started, report what ran as lost, start a new one."""
        self._poll.unregister(self._socket)
        self._socket.close()
        code = os.waitstatus_to_exitcode(self._end_warden())
        self._failed_wardens += code > 0
        # One that has failed before it said a word has started nothing.
        report = self._report_lost if code <= 0 or self._heard else self._give_back
        for running in self._commands.values():
            if self._mask and running.line.result_path:
                with suppress(OSError):
                    os.unlink(running.line.result_path)
            running.line.dispose()
            report(running.attempt)
        self._commands.clear()
        for worker in list(self._workers.values()):
            self._read_worker(worker)
            self._waiting.extendleft(reversed(worker.take_back()))
            self._adopt_log(worker)
            for attempt in worker.outstanding:
                self._report_lost(attempt, shared=bool(worker.bundle))
            self._remove_worker(worker)
        self._buffer.clear()
        self._out.clear()
        self._start_another_warden(code)

    def _start_another_warden(self, code: int) -> None:
        """Start one after the one that ended with this exit code, after a pause if that was for lack of room.

        Raises:
            StateError: it happens again and again.
        """
        if self._failed_wardens > _MAX_EARLY_DEATHS and code not in warden.TEMPORARY_ERRORS:
            raise StateError(
                f"the warden, which starts and ends processes, failed {self._failed_wardens} times in a row"
            )
        refused = system_error(code) if code in warden.TEMPORARY_ERRORS else None
        while True:
            if refused is not None:
                self._shortage.add(refused, nothing_runs=True)
                time.sleep(PAUSE_S)
            try:
                return self._start_warden()
            except OSError as error:
                if error.errno not in warden.TEMPORARY_ERRORS:
                    raise
                refused = error

    def _end_warden(self) -> int:
        """Kill it, should it live, and what it has started. One that is frozen ends when it is thawed, before it does anything else, and is not waited for."""
        processes.send(self._warden_pid, signal.SIGKILL)
        status = processes.reap(self._warden_pid, _LOOK_S) or 0
        processes.sweep(self._context.cookie, lambda: [pid for pid in self._adopted() if processes.is_alive(pid)])
        for pid in self._adopted():
            processes.reap(pid, _LOOK_S)
        self._ping_at = self._answer_by = math.inf
        return status

    def _adopted(self) -> list[int]:
        """The children of the dead warden. What the program that embeds us starts stays in its session, which the warden has left."""
        if self._was_subreaper < 0:
            return []
        session = processes.session_of(0)
        children = (pid for pid in self._children.pids() if pid not in self._others)
        return [pid for pid in children if processes.session_of(pid) not in (0, session)]

    def _report_lost(self, attempt: Attempt, *, shared: bool = False) -> None:
        why = "the warden was killed"
        self._ended.append(Outcome(attempt.job, attempt.number, "lost", message=why, reason="lost", shared=shared))

    def _send(self, *message: Any) -> None:
        self._out += warden.frame(message)

    def _flush(self) -> None:
        if self._out:
            try:
                self._socket.sendall(self._out)
            except BlockingIOError:
                self._look_at = self._answer_by = 0.0  # it stands still, and half a message cannot be taken back
            except OSError:
                pass  # the warden is gone, which the next `wait` sees
            self._out.clear()

    # --- handing out ----------------------------------------------------------------------------

    def _depth(self) -> int:
        if self._typical_s >= _SHORT_S:
            return 1
        return max(1, min(MAX_AHEAD, int(_AHEAD_S / max(self._typical_s, 1e-6))))

    def _hand_out(self) -> None:
        """Give what waits to workers and to the warden. No more than `slots` attempts run at once, of both kinds together."""
        # In this order: bundles and what `_is_exclusive` need an idle worker each, which the many light ones would fill first.
        # Memory is measured by process, so a worker with a limit has nothing else queued.
        waiting = self._waiting
        if waiting:
            self._may_turn_slow = True
            depth = self._depth()
            commands: list[Attempt] = []
            actions: list[Attempt] = []
            exclusive: dict[int, list[Attempt]] = {}
            for attempt in waiting:
                if self._awaiting_hashes and (attempt.job, attempt.number) in self._awaiting_hashes:
                    actions.append(attempt)
                elif self._is_command(attempt):
                    commands.append(attempt)
                elif attempt.bundle_number:
                    exclusive.setdefault(attempt.bundle_number, []).append(attempt)
                elif self._is_exclusive(attempt):
                    exclusive[-1 - attempt.job] = [attempt]
                else:
                    actions.append(attempt)
            waiting.clear()
            if exclusive:
                waiting.extend(self._give_to_idle(list(exclusive.values())))
            if actions:
                waiting.extend(self._spread(actions, depth))
            if commands:
                waiting.extend(self._send_commands(commands, depth))
        self._flush()

    def _is_command(self, attempt: Attempt) -> bool:
        spec = attempt.spec or self._context.plan.declarations[attempt.job]
        return spec.function is None and command.is_command(spec)

    def _is_light(self, attempt: Attempt) -> bool:
        """Whether it is a Python action that may be queued behind others."""
        return not self._is_command(attempt) and not self._is_exclusive(attempt)

    def _is_exclusive(self, attempt: Attempt) -> bool:
        """Whether its worker must have nothing else queued: what it holds is measured, or it is spared while others are ended for what all hold."""
        return attempt.job in self._memory or (self._context.max_memory > 0 and self._is_spared(attempt))

    def _is_spared(self, attempt: Attempt) -> bool:
        return (attempt.spec or self._context.plan.declarations[attempt.job]).once

    def _busy_workers(self) -> int:
        return sum(1 for worker in self._workers.values() if worker.outstanding)

    def _send_commands(self, attempts: list[Attempt], depth: int) -> list[Attempt]:
        """Hand commands to the warden, some ahead of a free slot while nothing else runs. Returns what has to wait."""
        busy = self._busy_workers()
        room = self.slots - busy - len(self._commands)
        if not busy:
            room += min(depth, _MAX_COMMANDS_AHEAD) - 1
        for attempt in attempts[: max(room, 0)]:
            self._start_command(attempt)
        return attempts[max(room, 0) :]

    def _spread(self, attempts: list[Attempt], depth: int) -> list[Attempt]:
        """Give attempts to workers, as evenly as their queues allow. Returns what has to wait."""
        even_share = max(1, -(-len(attempts) // self.slots))
        while attempts:
            worker = self._free_worker(depth)
            if worker is None:
                break
            room = min(depth - len(worker.outstanding), even_share)
            worker.send(attempts[:room])
            del attempts[:room]
        return attempts

    def _give_to_idle(self, units: list[list[Attempt]]) -> list[Attempt]:
        """Give bundles, and attempts with a memory limit, to idle workers, one each; have limits watched. Returns what has to wait."""
        while units:
            worker = self._free_worker(1)
            if worker is None:
                break
            unit = units.pop(0)
            limit = self._memory.get(unit[0].job, 0)
            if limit:
                worker.limit_bytes = limit
                self._send("limit", worker.ident, limit)
            if self._context.max_memory and self._is_spared(unit[0]):
                self._note(worker, unit[0], time.monotonic())
                self._flush()  # before it can begin
            worker.send(unit, as_bundle=True)
        return [attempt for unit in units for attempt in unit]

    def _free_worker(self, depth: int) -> WorkerHandle | None:
        """The worker with the shortest queue below `depth`; a new one while there are fewer than slots and none is idle."""
        best, shortest = None, depth
        for worker in self._workers.values():
            if worker.usable and not worker.limit_bytes and not worker.bundle and len(worker.outstanding) < shortest:
                best, shortest = worker, len(worker.outstanding)
        if best is not None and not shortest:
            # Commands take slots as well, so an idle worker may have to wait for one; a worker that runs something has one.
            return best if not self._commands or self._busy_workers() + len(self._commands) < self.slots else None
        if len(self._workers) + len(self._commands) < self.slots and self._shortage.may_try():
            try:
                return self._start_worker()
            except ConnectionError:
                return None  # the warden is gone: the next `wait` sees that and starts another
            except BlockingIOError:
                self._look_at = self._answer_by = 0.0  # it stands still
                return None
            except OSError as error:
                self._refused(error)
        return best

    def _start_worker(self) -> WorkerHandle:
        self._idents += 1
        self._flush()  # in order: the message with the descriptors bypasses the buffer
        worker = WorkerHandle(self._idents, self._max_fds)
        try:
            socket.send_fds(
                self._socket, [warden.frame(("worker", worker.ident))], [worker.worker_end.fileno(), worker.token_r]
            )
        except OSError:
            worker.close()
            raise
        finally:
            worker.worker_end.close()
        self._workers[worker.ident] = worker
        self._by_fd[worker.fd] = worker
        self._poll.register(worker.fd, select.POLLIN)
        return worker

    def _start_command(self, attempt: Attempt) -> None:
        try:
            line = self._builder.build(attempt)
        except (JoblotError, ValueError) as error:
            self._ended.append(command.build_failure(attempt, error, self._mask, began=time.monotonic()))
            return
        if self._mask and line.result_path:
            command.make_private(line.result_path)
        self._idents += 1
        name = self._context.plan.name(attempt.job)
        self._commands[self._idents] = _Command(attempt, line, time.monotonic())
        self._send(
            "command",
            self._idents,
            name,
            attempt.number,
            line.argv,
            line.env,
            line.cwd,
            self._memory.get(attempt.job, 0),
            self._is_spared(attempt),
        )

    # --- listening ------------------------------------------------------------------------------

    def _poll_timeout_ms(self, timeout: float | None) -> int | None:
        if self._may_turn_slow:
            timeout = _SLOW_S if timeout is None else min(timeout, _SLOW_S)
        elif self._commands or self._busy_workers():
            timeout = _LOOK_S if timeout is None else min(timeout, _LOOK_S)
        return None if timeout is None else max(0, round(timeout * 1000 + 0.49))

    def _listen(self, timeout_ms: int | None) -> None:
        ready = self._spin.ready() if self._typical_s < SPIN_BELOW_S else []
        ready = ready or self._poll.poll(timeout_ms)
        if ready and self._has_enough_queued():
            time.sleep(_GATHER_S)  # fewer wake-ups, each with more to read
            ready = self._poll.poll(0)
        if not ready and (self._commands or self._busy_workers()) and time.monotonic() >= self._look_at:
            self._look_after_warden(time.monotonic())
        for fd, _ in ready:
            if fd == self._socket.fileno():
                self._read_warden()
            elif fd != self._wake_fd:
                worker = self._by_fd.get(fd)
                if worker is not None:
                    self._read_worker(worker)

    def _has_enough_queued(self) -> bool:
        """Whether all slots have work for longer than messages are gathered."""
        if self._typical_s >= _SHORT_S:
            return False
        queued = len(self._commands) + sum(len(worker.outstanding) for worker in self._workers.values())
        return queued * self._typical_s > 2 * _GATHER_S * self.slots or queued >= _ENOUGH_PER_SLOT * self.slots

    def _read_warden(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            self._warden_lost()
            return
        self._heard, self._failed_wardens = True, 0
        self._buffer += data
        # The commonest first; a message that it does not know is of no importance to it.
        for message in warden.unframe(self._buffer):
            if message[0] == "ended":
                self._command_ended(*message[1:])
            elif message[0] == "failed":
                self._command_failed(*message[1:])
            elif message[0] == "returned":
                self._command_returned(message[1])
            elif message[0] == "worker ended":
                self._worker_ended(*message[1:])
            elif message[0] == "worker not started":
                self._worker_not_started(*message[1:])
            elif message[0] == "shortage":
                self._commands_wait(*message[1:])
            elif message[0] == "held":
                self._take_held(*message[1:])
            elif message[0] == "spared":
                self._warn_of_spared(message[1])
            elif message[0] == "alive":
                self._answer_by = math.inf

    def _commands_wait(self, code: int, running: int) -> None:
        """The system has no room for another command. Workers without work make room for it, or it could wait for them for ever."""
        idle = next((worker for worker in self._workers.values() if worker.usable and not worker.outstanding), None)
        if idle is not None and not running:
            idle.retire()
        self._shortage.add(system_error(code), nothing_runs=not running and not self._busy_workers() and idle is None)

    def _take_held(self, held: int, large: list[int]) -> None:
        """All attempts hold so much. What a worker keeps of it after its attempt counts as long as it lives."""
        self._held = held
        for ident in large:
            worker = self._workers.get(ident)
            if worker is not None:
                worker.has_grown = True
                if not worker.outstanding and worker.usable:
                    worker.retire()

    def _warn_of_spared(self, held: int) -> None:
        used, most = -(-held // _MIB), self._most[0] // _MIB
        self._warn(
            f"what runs holds {used} MiB of {most} MiB (max_memory), and nothing of it is ended: it may run only once"
        )

    def _note(self, worker: WorkerHandle, attempt: Attempt, began: float) -> None:
        """Have the warden know since when a worker runs what takes long or is spared."""
        worker.is_noted = True
        self._send("attempt", worker.ident, began, self._is_spared(attempt))

    def _command_ended(
        self,
        ident: int,
        status: int,
        cpu_s: float,
        peak: int,
        read: int,
        written: int,
        began: float,
        ended: float,
        verdict: tuple[str, str] | None,
    ) -> None:
        running = self._commands.pop(ident, None)
        if running is None:
            return
        outcome = command.finished_outcome(running.attempt, status, cpu_s, began=began, ended=ended)
        outcome.peak_bytes, outcome.read_bytes, outcome.written_bytes = peak, read, written
        command.add_result(outcome, running.line.result_path)
        running.line.dispose()
        command.apply_memory_verdict(outcome, verdict)
        self._mask.outcome(outcome)
        outputs = self._context.plan.spec(outcome.job).outputs
        if outcome.kind == "ok" and outputs and self._hashes.are_large(outputs):
            self._awaiting_hashes[outcome.job, outcome.number] = outcome
            self._waiting.append(Attempt(outcome.job, outcome.number, {HASH_OUTPUTS: True}, spec=running.attempt.spec))
        else:
            self._ended.append(outcome)

    @cached_property
    def _hashes(self) -> Hashes:
        from joblot.outputs import Hashes

        return Hashes(self._context.plan.config.folder)

    def _with_hashes(self, outcome: Outcome) -> Outcome:
        """For the hashing of a command's outputs, the command's outcome with the hashes; what is missing there, the runner hashes itself."""
        command_outcome = self._awaiting_hashes.pop((outcome.job, outcome.number), None)
        if command_outcome is None:
            return outcome
        command_outcome.looked = outcome.looked
        return command_outcome

    def _command_failed(self, ident: int, code: int) -> None:
        running = self._commands.pop(ident, None)
        if running is not None:
            outcome = command.start_failure(
                running.attempt, system_error(code), running.line, self._builder.base, began=time.monotonic()
            )
            running.line.dispose()
            self._mask.outcome(outcome)
            self._ended.append(outcome)

    def _command_returned(self, ident: int) -> None:
        running = self._commands.pop(ident, None)
        if running is not None:
            running.line.dispose()
            self._give_back(running.attempt)

    def _give_back(self, attempt: Attempt) -> None:
        self._ended.append(Outcome(attempt.job, attempt.number, "returned"))

    def _read_worker(self, worker: WorkerHandle) -> None:
        # Also called when the warden reports the worker's death, which may arrive before the last outcomes: those count.
        try:
            outcomes = worker.receive()
        except BrokenFrameError:
            outcomes = []
            worker.usable, worker.closed, worker.broken = False, True, True
            self._send("kill", "worker", worker.ident, 0.0)
        for outcome in outcomes:
            if outcome.kind == "cancelled" and (outcome.job, outcome.number) not in self._asked_to_end:
                command.apply_exit_code(outcome, -signal.SIGTERM)  # not sent by us: a crash like any other signal
            self._asked_to_end.discard((outcome.job, outcome.number))
        if worker.bundle:
            outcomes, bundle_outcomes = [], outcomes
            self._ended += bundle_outcomes
        if outcomes and worker.early_log is not None:
            remove_early_log(worker.early_log, worker.early_spool)
            worker.early_log = worker.early_spool = None
        if outcomes and worker.limit_bytes:
            self._lift_limit(worker, outcomes[-1])
        if outcomes and worker.is_noted:
            worker.is_noted = False
            self._send("attempt", worker.ident, 0.0, False)
        if outcomes and worker.has_grown and worker.usable:
            worker.retire()
        self._ended += outcomes
        if worker.closed and worker.fd in self._by_fd:
            self._poll.unregister(worker.fd)
            del self._by_fd[worker.fd]

    def _lift_limit(self, worker: WorkerHandle, outcome: Outcome) -> None:
        """End the watch of an attempt that has ended. A worker that has grown ends too: what is left would count for the next attempt."""
        self._send("limit", worker.ident, 0)
        if not 0 < outcome.peak_bytes <= worker.limit_bytes // 2:
            worker.retire()
        worker.limit_bytes = 0

    def _worker_not_started(self, ident: int, code: int) -> None:
        """The system had no room for the worker's process: put its attempts back."""
        worker = self._workers[ident]
        self._waiting.extendleft(reversed(worker.outstanding))
        self._remove_worker(worker)
        self._refused(system_error(code))

    def _refused(self, error: OSError) -> None:
        """A worker could not be started. Whether a command that was sent runs or waits, only the warden knows."""
        self._shortage.add(error, nothing_runs=not self._busy_workers() if not self._commands else None)

    def _worker_ended(self, ident: int, status: int, held: int, verdict: tuple[str, str] | None) -> None:
        worker = self._workers.get(ident)
        if worker is None:
            return
        self._read_worker(worker)
        never_began = worker.take_back()
        began = bool(worker.outstanding) or not never_began
        code = 0 if began else os.waitstatus_to_exitcode(status)
        if code in warden.TEMPORARY_ERRORS:
            worker.outstanding.extend(never_began)
            self._worker_not_started(ident, code)
            return
        self._early_deaths = 0 if began else self._early_deaths + 1
        if self._early_deaths > _MAX_EARLY_DEATHS:  # or the same would happen for ever
            first = never_began[0]
            worker.outstanding.extend(
                attempt
                for attempt in never_began
                if attempt is first or 0 < attempt.bundle_number == first.bundle_number
            )
            worker.bundle = list(worker.outstanding)
            del never_began[: len(worker.outstanding)]
        self._adopt_log(worker)
        ended = list(worker.outstanding)
        for attempt in ended if worker.bundle else ended[:1]:
            outcome = crash_outcome(attempt, worker, status)
            outcome.shared = len(worker.bundle) > 1
            command.apply_memory_verdict(outcome, verdict)
            outcome.peak_bytes = held
            self._ended.append(outcome)
        self._waiting.extendleft(reversed(never_began))
        self._remove_worker(worker)

    def _adopt_log(self, worker: WorkerHandle) -> None:
        """Make what a dead worker had printed the log of its attempt, or of its bundle."""
        if self._logs is None or not worker.outstanding:
            return
        name, attempts = self._context.plan.name, worker.bundle or [worker.outstanding[0]]
        names = [(name(attempt.job), attempt.number) for attempt in attempts]
        if collect_orphan(self._logs, f"worker-{worker.ident}", *names[0], self._mask, self._context.max_log):
            link_log(self._logs, *names[0], names[1:])

    def _remove_worker(self, worker: WorkerHandle) -> None:
        if worker.fd in self._by_fd:
            self._poll.unregister(worker.fd)
            del self._by_fd[worker.fd]
        worker.close()
        del self._workers[worker.ident]

    def _find_slow(self) -> None:
        """Find attempts that take longer than expected: give back what is queued behind them, and give their logs their names."""
        # Work is queued ahead on the assumption that all of it is short. Where one attempt is not, those behind it would wait while other
        # slots are idle. All workers are walked, so at most twice in `_SLOW_S`, and not at all once everything that runs is known as slow.
        if not self._may_turn_slow:
            return
        now = time.monotonic()
        if now - self._slow_checked_at < _SLOW_S / 2:
            return
        self._slow_checked_at = now
        if now >= self._look_at:
            self._look_after_warden(now)
        self._may_turn_slow = any_slow = False
        for worker in self._workers.values():
            if not worker.outstanding or worker.is_slow:
                continue
            if now - worker.active_at < _SLOW_S:
                self._may_turn_slow = True
            else:
                any_slow = True
                for attempt in worker.take_back_queued():
                    self._give_back(attempt)
                if worker.has_begun:
                    self._show_worker(worker)
                    if self._context.max_memory and not worker.is_noted:
                        self._note(worker, worker.outstanding[0], worker.active_at)
                else:  # the process is still starting
                    self._may_turn_slow = True
        for ident, running in self._commands.items():
            if running.is_slow:
                continue
            if now - running.sent < _SLOW_S:
                self._may_turn_slow = True
            else:
                any_slow = running.is_slow = True
                self._send("show", ident)
        if any_slow:
            self._typical_s = max(self._typical_s, _SHORT_S)
            self._send("withdraw")
            for attempt in self._waiting:
                self._give_back(attempt)
            self._waiting.clear()

    def _show_worker(self, worker: WorkerHandle) -> None:
        worker.is_slow = True
        if self._logs is None or self._mask:
            return
        attempt = (worker.bundle or worker.outstanding)[0]
        if (attempt.job, attempt.number) in self._awaiting_hashes:
            return
        final = self._logs / self._context.plan.name(attempt.job) / f"{attempt.number}.log"
        spool = path_of(self._logs, f"worker-{worker.ident}")
        make_private_folder(final.parent)
        try:
            os.link(spool, final)
            worker.early_log = final
            worker.early_spool = spool if worker.bundle else None
        except OSError:
            pass  # it has ended, and the worker has named its log

    # --- killing --------------------------------------------------------------------------------

    def _withdraw(self, kill: Kill) -> bool:
        """Give back an attempt that has not begun, with the rest of its bundle; whether it had not begun."""
        attempt = next((attempt for attempt in self._waiting if _is_meant(attempt, kill)), None)
        if attempt is None:
            return self._withdraw_sent(kill)
        for member in [
            other for other in self._waiting if other is attempt or 0 < other.bundle_number == attempt.bundle_number
        ]:
            self._waiting.remove(member)
            self._give_back(member)
        return True

    def _withdraw_sent(self, kill: Kill) -> bool:
        """The same for an attempt that was sent to a worker. What else is taken back with it waits again."""
        for worker in self._workers.values():
            bundle = worker.bundle  # it has one token for all, so all of it is taken back or nothing
            if any(_is_meant(attempt, kill) for attempt in bundle or worker.outstanding):
                taken = worker.take_back()
                others = [] if bundle else [attempt for attempt in taken if not _is_meant(attempt, kill)]
                self._waiting.extendleft(reversed(others))
                for attempt in taken:
                    if bundle or _is_meant(attempt, kill):
                        self._give_back(attempt)
                return len(taken) > len(others)
        return False

    def _kill_running(self, kill: Kill) -> None:
        for ident, running in self._commands.items():
            if _is_meant(running.attempt, kill):
                self._send("kill", "command", ident, kill.grace_s)
                return
        for worker in self._workers.values():
            ending = list(worker.outstanding) if worker.bundle else list(worker.outstanding)[:1]
            if any(_is_meant(attempt, kill) for attempt in worker.bundle or ending):
                self._asked_to_end.update((attempt.job, attempt.number) for attempt in ending)
                self._waiting.extendleft(reversed(worker.take_back()))
                worker.usable = False
                self._send("kill", "worker", worker.ident, kill.grace_s)
                return

    def _update_typical(self, ended: list[Outcome]) -> None:
        begun = [outcome.wall_s for outcome in ended if outcome.kind != "returned"]
        if begun:
            self._shortage.eased()
            weight = min(0.5, len(begun) / 8)
            self._typical_s += weight * (sum(begun) / len(begun) - self._typical_s)


def _is_meant(attempt: Attempt, kill: Kill) -> bool:
    """Whether this is the attempt to kill: its job may have had earlier ones, which a bundle still holds."""
    return attempt.job == kill.job and attempt.number == kill.number


class _Command(msgspec.Struct, eq=False):
    attempt: Attempt
    line: command.CommandLine
    sent: float
    is_slow: bool = False


def _memory_limits(context: RunContext) -> dict[int, int]:
    jobs = enumerate(context.plan.declarations)
    return {job: int(spec.resources["memory"]) for job, spec in jobs if "memory" in spec.resources}
