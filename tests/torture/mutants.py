"""Planted bugs: one line of the core changed at a time, in a copy of the package; the tests must notice each of them.

Every bug is one that a person could make and that changes what a run does. The tests of the core (simulation, unit tests, and for the
journal and for what is up to date those of their own) run over the copy, after they have passed over an unchanged one. Prints for each bug
the test that saw it; exits 1 when one was not seen, 2 when a line is no longer there or the tests fail without a bug.

    python tests/torture/mutants.py [--seeds 200] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = ("tests/unit/core", "tests/simulation")
JOURNAL = ("tests/contract/test_chain.py", "tests/contract/test_journal_on_disk.py")
PERMITS = ("tests/unit/runner/test_permits.py",)
UP_TO_DATE = ("tests/unit/core/test_provenance.py", "tests/integration/test_up_to_date.py")
PUT_BACK = ("tests/unit/test_outputs.py",)


@dataclass(frozen=True)
class Bug:
    """One changed line: what stands there (once in the file), and what is put in its place."""

    name: str
    file: str
    line: str
    planted: str
    tests: tuple[str, ...] = CORE


BUGS = (
    Bug(
        "news of an earlier attempt ends the current one",
        "core/runstate.py",
        "if states[job] == RUNNING and attempts[job] == outcome.number:",
        "if states[job] == RUNNING:",
    ),
    Bug(
        "an interrupted attempt uses up a try",
        "core/runstate.py",
        "elif outcome in RETRIABLE and state not in (CANCELLED, ABORTED):",
        'elif outcome in (*RETRIABLE, "interrupted") and state not in (CANCELLED, ABORTED):',
    ),
    Bug(
        "the last exit code of a range is not tried again",
        "core/retry.py",
        'met = kind == "exit" and first <= (outcome.exit_code or 0) <= last',
        'met = kind == "exit" and first <= (outcome.exit_code or 0) < last',
    ),
    Bug(
        "what needs a growing job does not wait for the jobs that it finds",
        "core/runstate.py",
        "self.open_needs[dependent] += count",
        "self.open_needs[dependent] += 0",
    ),
    Bug(
        "a job does not wait for what makes its input",
        "core/dataflow.py",
        "more = [maker for maker in last_makers if maker != number and maker not in row]",
        "more = []",
    ),
    Bug(
        "nor for what makes the folder that its input is in",
        "core/dataflow.py",
        "        return None if above is None else Maker(above[1], self._paths[above[0]])",
        "        return None",
    ),
    Bug(
        "nor for the jobs that will be found and may make it",
        "core/dataflow.py",
        "found += [Maker(made.job, made.path) for made in self._growing if made.may_be(key)]",
        "found += []",
    ),
    Bug(
        "a pattern waits for the first output that matches",
        "core/dataflow.py",
        "return self._matched[pattern]\n\n    def of_pattern",
        "return self._matched[pattern][:1]\n\n    def of_pattern",
    ),
    Bug(
        "a job does not wait for all that a finder found, of which it reads something",
        "core/dataflow.py",
        "if more and number < declared:",
        "if False:",
    ),
    Bug(
        "found jobs wait for as many as another finder finds",
        "core/runstate.py",
        "self.open_needs[dependent] += sum(need in added for need in self.plan.needs[dependent])",
        "self.open_needs[dependent] += count",
    ),
    Bug(
        "that what makes the input of an alarm failed is a reason for it",
        "core/runstate.py",
        "return not ordered or need not in ordered.get(job, ())",
        "return True",
    ),
    Bug(
        "what reads by a pattern what a failure that is allowed did not make starts",
        "core/plan.py",
        "return files_between(self.makers, spec.input, spec.patterns)",
        "return files_between(self.makers, spec.input)",
    ),
    Bug(
        "a failure that is allowed skips an alarm that only reads what it makes",
        "core/plan.py",
        'if job in self.growing or (self.spec(job).when != "success" and need not in self.written_needs(job)):',
        "if job in self.growing:",
    ),
    Bug(
        "a failure that is allowed counts for the last that may be",
        "core/runstate.py",
        "allowed, failed = self.limits.max_failures, self.counts[FAILED] - self.allowed_failures",
        "allowed, failed = self.limits.max_failures, self.counts[FAILED]",
    ),
    Bug(
        "what takes in the result of a failure that is allowed starts",
        "core/runstate.py",
        "if waits and self.plan.takes_from(dependent, job):",
        "if False:",
    ),
    Bug(
        "a failure that is allowed makes the run one",
        "core/runstate.py",
        'return "failed" if self.counts[FAILED] > self.allowed_failures or self.counts[ABORTED] else "success"',
        'return "failed" if self.counts[FAILED] or self.counts[ABORTED] else "success"',
    ),
    Bug(
        "a job whose `if` is false runs when it is ready at once",
        "core/runstate.py",
        "            if job in self._conditional:\n                self._unasked[job] = None\n            if job in self._checkable",
        "            if job in self._conditional and self.attempts[job]:\n                self._unasked[job] = None\n            if job in self._checkable",
    ),
    Bug(
        "the run is settled while a job of it runs",
        "core/runstate.py",
        "if self.waiting_finals and not self.settled and self._open() == self.waiting_finals:",
        "if self.waiting_finals and not self.settled and self._open() <= self.waiting_finals + 1:",
    ),
    Bug(
        "jobs of `finally` do not wait for the run",
        "core/runstate.py",
        "self.open_needs[job] += 1  # the run",
        "self.open_needs[job] += 0  # the run",
    ),
    Bug(
        "the run is settled once more for each of them that ends",
        "core/runstate.py",
        "if self.waiting_finals and not self.settled and self._open() == self.waiting_finals:",
        "if self.waiting_finals and self._open() == self.waiting_finals:",
    ),
    Bug(
        "the run is settled without a record",
        "core/runstate.py",
        "self._emit(decision, ev.RunSettled(self._final_status()))",
        "self._apply_settled(self._final_status())",
    ),
    Bug(
        "something else starts after the run was settled",
        "core/runstate.py",
        "if state in (WAITING, READY, BACKING_OFF) and (number in finals) == of_phase",
        "if state in (WAITING, READY) and (number in finals) == of_phase",
    ),
    Bug(
        "what they do changes how the run ends",
        "core/runstate.py",
        "self._emit(decision, ev.RunEnded(self.settled or self._final_status(), wall_s, worked_s))",
        "self._emit(decision, ev.RunEnded(self._final_status(), wall_s, worked_s))",
    ),
    Bug(
        "a run that is reopened is still settled",
        "core/runstate.py",
        'self.stopping = self.settled = self.status = ""',
        'self.stopping = self.status = ""',
    ),
    Bug(
        "jobs of `finally` are not taken back with the run",
        "core/runstate.py",
        "if not again <= self._finals:",
        "if False:",
    ),
    Bug(
        "taken back alone they give the run another status",
        "core/runstate.py",
        "if self._kept_status:",
        "if False and self._kept_status:",
    ),
    Bug(
        "a bundle that failed is tried again as large as it was",
        "core/bundles.py",
        "bundle.half = max(1, bundle.open // 2)",
        "bundle.half = bundle.open",
    ),
    Bug(
        "an attempt that never began keeps its number",
        "core/runstate.py",
        "self.attempts[job] -= 1  # it",
        "self.attempts[job] -= 0  # it",
    ),
    Bug(
        "a kill is sent again with the same grace",
        "core/runstate.py",
        "if job in self.kills and grace >= self._graces[job]:",
        "if job in self.kills and grace > self._graces[job]:",
    ),
    Bug(
        "a job that a person wants again is passed over when it is up to date",
        "core/runstate.py",
        "if self.states[job] == READY and job not in self._forced]",
        "if self.states[job] == READY]",
        UP_TO_DATE,
    ),
    Bug(
        "what came out otherwise is no reason to run what needs it",
        "core/carryover.py",
        "if past.results[old] != bytes(event.result):",
        "if old not in past.results:",
    ),
    Bug(
        "a job of `finally` is carried over",
        "core/carryover.py",
        "or job in self._plan.finals",
        "or False",
    ),
    Bug(
        "what cleans up is carried over though another end is to clean up after",
        "core/carryover.py",
        "counts = self._news | self._ran",
        "counts = self._news",
    ),
    Bug(
        "what failed in the run that is continued is carried over",
        "core/carryover.py",
        "        if state in _GOOD:\n            self.results[job] = result",
        "        if state not in ():\n            self.results[job] = result",
    ),
    Bug(
        "any failure raises the memory of the next attempt",
        "core/runstate.py",
        'if outcome == "oom" and state not in FINAL and self._raises_memory(job):',
        "if state not in FINAL and self._raises_memory(job):",
    ),
    Bug(
        "a job that is taken back keeps the memory that it had come to",
        "core/runstate.py",
        "if self.raised.pop(job, 0):",
        "if self.raised.get(job, 0):",
    ),
    Bug(
        "more memory is given and not weighed",
        "core/ready.py",
        'amount if name == "memory" else asked',
        "asked",
    ),
    Bug(
        "a share of failures is counted of those that were left out too",
        "core/runstate.py",
        "taking_part = len(self.plan) - len(self.left_out) - sum(",
        "taking_part = len(self.plan) - sum(",
    ),
    Bug(
        "a share of failures that is reached stops the run",
        "core/runstate.py",
        "return failed > round(allowed * taking_part, 6)",
        "return failed >= round(allowed * taking_part, 6)",
    ),
    Bug(
        "a slot is free when the first of a bundle has ended",
        "core/resources.py",
        "if held is not None and last:",
        "if held is not None:",
    ),
    Bug(
        "two jobs of one start hold the same slot",
        "core/resources.py",
        "free[limit] ^= lowest",
        "free = {**free, limit: free[limit] ^ lowest}",
    ),
    Bug(
        "the last slot that is free is held, not the first",
        "core/resources.py",
        "lowest = free[limit] & -free[limit]",
        "lowest = 1 << free[limit].bit_length() >> 1",
    ),
    Bug(
        "a replay does not know which slots are held",
        "core/runstate.py",
        "self.named_slots.hold(event.slots)",
        "self.named_slots.hold(self.named_slots.choose((job, self.ready.demand(job)) for job in event.jobs))",
    ),
    Bug(
        "of a bundle only the first job holds the slot",
        "core/runstate.py",
        "return {job: chosen[jobs[0]] for jobs in processes if jobs[0] in chosen for job in jobs}",
        "return chosen",
    ),
    Bug(
        "a named limit looks at the newcomer only",
        "core/resources.py",
        "if held and held + share > self._limits[name]:",
        "if held and share > self._limits[name]:",
    ),
    Bug(
        "the machine is not asked",
        "core/resources.py",
        'return PERMITS if self.granted and asked else ""',
        'return ""',
    ),
    Bug(
        "what the machine refuses holds back what is behind it",
        "core/resources.py",
        "            return asked[0][0]\n",
        '            return "slots"\n',
    ),
    Bug(
        "what others wait for is used for the next job",
        "core/resources.py",
        "            self.granted[name] = self._held[name]\n",
        "            pass\n",
    ),
    Bug(
        "what the machine has refused is never asked for again",
        "core/runstate.py",
        "self.resources.refused.clear()",
        "pass",
    ),
    Bug(
        "what was lost too often starts without being asked for",
        "core/runstate.py",
        "        return [] if needed else [job]\n",
        "        return [job]\n",
    ),
    Bug(
        "a part of what a job needs is kept while the rest is waited for",
        "core/runstate.py",
        "self._release([name for name, _ in decision.asks])",
        "pass",
    ),
    Bug(
        "a slot is held that the machine has not granted",
        "core/resources.py",
        "            free[limit] &= granted\n",
        "            pass\n",
    ),
    Bug(
        "a run takes a slot that it is another's turn to have",
        "runner/permits.py",
        "                taken.setdefault(limit, set()).update(map(str, chosen))\n",
        "                pass\n",
        PERMITS,
    ),
    Bug(
        "who came later passes who waits for several limits",
        "runner/permits.py",
        "if _fits(want, totals, taken) and claimed.isdisjoint(want.needed):",
        "if _fits(want, totals, taken):",
        PERMITS,
    ),
    Bug(
        "what outlives its runner and its warden counts no more",
        "runner/permits.py",
        "if not pid and not _lingers(fd, holder, holding):",
        "if not _lingers(fd, holder, holding):",
        PERMITS,
    ),
    Bug(
        "what is given back is told to nobody",
        "runner/permits.py",
        '                    os.write(bell, b"!")\n',
        "                    pass\n",
        PERMITS,
    ),
    Bug(
        "a large job that waits for slots lets all others pass",
        "core/ready.py",
        'if lacking == "slots":\n                break',
        'if lacking == "slots":\n                continue',
    ),
    Bug(
        "one try too many",
        "core/retry.py",
        "failed_tries >= policy.max_attempts",
        "failed_tries > policy.max_attempts",
    ),
    Bug(
        "a record's hash leaves out the record before it",
        "journal/codec.py",
        "return blake2b(previous + _HEAD.pack(seq, at) + body",
        "return blake2b(_HEAD.pack(seq, at) + body",
        JOURNAL,
    ),
    Bug(
        "the size alone tells whether a file with another time has changed",
        "outputs.py",
        "return self.fact(key, now).sha256 == fact.sha256",
        "return True",
        UP_TO_DATE,
    ),
    Bug(
        "the copy goes when an attempt has ended well, before that is recorded",
        "outputs.py",
        "                self._good[outcome.job] = number, before\n",
        "                self._drop(outcome.job, number, before)\n",
        PUT_BACK,
    ),
    Bug(
        "of two outputs only the one that has changed first is put back",
        "outputs.py",
        "            if target:\n                waiting.append((target, path, copy))",
        "            if target and not waiting:\n                waiting.append((target, path, copy))",
        PUT_BACK,
    ),
    Bug(
        "after a power cut every copy counts",
        "outputs.py",
        "return self._is_forced or (bool(fact.sha256) and content_hash(copy) == fact.sha256)",
        "return True",
        PUT_BACK,
    ),
    Bug(
        "a copy that can go nowhere goes with the others",
        "outputs.py",
        "            self._stuck.add(copy)\n",
        "",
        PUT_BACK,
    ),
    Bug(
        "copies are not forced to disk",
        "copies.py",
        "        if self._forced:\n            os.fsync(handle)",
        "        if False:\n            os.fsync(handle)",
        PUT_BACK,
    ),
    Bug(
        "a resume takes away what others have made since",
        "outputs.py",
        "if (job, number) in settled:",
        "if False:",
        PUT_BACK,
    ),
    Bug(
        "a failed last attempt is forgotten",
        "runner/uptodate.py",
        "if files.failed:",
        "if False:",
        ("tests/integration/test_up_to_date.py",),
    ),
    Bug(
        "what a failed attempt had found is not put back",
        "outputs.py",
        "                put(copy, target)\n",
        "                pass\n",
        PUT_BACK,
    ),
    Bug(
        "an attempt begins without room for a copy",
        "outputs.py",
        "            if error.errno in _FULL:\n",
        "            if False:\n",
        PUT_BACK,
    ),
    Bug(
        "news of an earlier attempt puts back",
        "outputs.py",
        "if before is None or number != outcome.number:",
        "if before is None:",
        PUT_BACK,
    ),
    Bug(
        "an attempt that was ended for the memory of all uses up a try",
        "core/runstate.py",
        'if event.reason == ev.MEMORY_PRESSURE and outcome == "oom":',
        'if event.reason == ev.MEMORY_PRESSURE and outcome == "none":',
    ),
    Bug(
        "a job that was ended for the memory of all runs beside others",
        "core/memory.py",
        "if job in self._pressed:",
        "if False:",
    ),
    Bug(
        "starts do not wait for what is held",
        "core/memory.py",
        "expected = max(self._claimed, self.held)",
        "expected = self._claimed",
    ),
    Bug(
        "what does not fit does not run when nothing else does either",
        "core/memory.py",
        "if (first or self._claims) and not is_free:",
        "if not is_free:",
    ),
    Bug(
        "jobs that start together are not added up",
        "core/memory.py",
        "            expected += claim",
        "            expected += 0",
    ),
    Bug(
        "a job that may run once is ended for the memory of all",
        "core/runstate.py",
        'return kind == "oom" and room is not None and not once and not room.runs_alone(job)',
        'return kind == "oom" and room is not None and not room.runs_alone(job)',
    ),
    Bug(
        "folders of outputs are not made",
        "outputs.py",
        "folders.add(os.path.dirname(self._name(path)))",
        "pass",
        PUT_BACK,
    ),
    Bug(
        "a copy has the time at which it was made",
        "copies.py",
        "os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))",
        "pass",
        PUT_BACK,
    ),
    Bug(
        "what is too large is copied all the same",
        "copies.py",
        "if size > self._left:",
        "if False:",
        PUT_BACK,
    ),
    Bug(
        "a new run does not put back what a killed one has changed",
        "runner/killed.py",
        "for wrong in watch.clear_after_crash(attempts, began_at):",
        "for wrong in ():",
        ("tests/integration/test_put_back.py",),
    ),
)


def copied(folder: Path, bug: Bug | None) -> Path:
    """The package in a folder of its own, with a bug in it."""
    shutil.copytree(REPOSITORY / "src" / "joblot", folder / "joblot", ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        path = folder / "joblot" / bug.file
        text = path.read_text()
        if text.count(bug.line) != 1:
            print(f"`{bug.file}` has {text.count(bug.line)} times what the bug `{bug.name}` changes: `{bug.line}`")
            sys.exit(2)
        path.write_text(text.replace(bug.line, bug.planted))
    return folder


def interpreter(folder: Path, source: Path) -> str:
    """A Python that takes joblot from the copy, in programs that tests start as well, and everything else from where this one does."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    more = f"import site; list(map(site.addsitedir, {others!r}))"
    (site / "planted.pth").write_text(f"{source}\n{more}\n")
    return str(folder / "bin" / "python")


def first_failure(source: Path, tests: tuple[str, ...], seeds: int) -> str:
    """The test that failed first, empty when all passed."""
    python = interpreter(source / "venv", source)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "JOBLOT_SIM_SEEDS": str(seeds)}
    check = "import joblot, sys; sys.exit(not joblot.__file__.startswith(sys.argv[1]))"
    if subprocess.run([python, "-c", check, str(source)], env=environment, check=False).returncode:
        sys.exit("the tests would not use the copy")
    words = [python, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        print(done.stdout[-2000:] + done.stderr[-2000:])
        sys.exit(2)
    return found[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=(), help="words of the names of the bugs to plant")
    options = parser.parse_args()
    chosen = [bug for bug in BUGS if not options.only or any(word in bug.name for word in options.only)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="joblot-mutants-") as name:
        sound = copied(Path(name) / "sound", None)
        for tests in dict.fromkeys(bug.tests for bug in chosen):
            shutil.rmtree(sound / "venv", ignore_errors=True)
            failed = first_failure(sound, tests, options.seeds)
            if failed:
                print(f"fails without a bug: {failed}")
                return 2
        unseen = 0
        for number, bug in enumerate(chosen):
            failed = first_failure(copied(Path(name) / str(number), bug), bug.tests, options.seeds)
            unseen += not failed
            print(f"{bug.name} ({bug.file}): {f'seen by {failed}' if failed else 'NOT SEEN'}", flush=True)
    print(f"{len(chosen) - unseen} of {len(chosen)} bugs seen ({time.monotonic() - began:.0f} s)")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
