"""Hostile values on every way from a batch file to a command, a parameter, a file name and the database.

A value is made of quotes, backslashes, `$()`, `${{ }}`, line ends, control and bidirectional characters, halves of surrogate pairs, `..`,
leading dashes, names that Windows keeps, any Unicode, and is now and then very long. Each is sent

- shell:   as `${{ vars.x }}` and as `${{ jobs.a.result.x }}` through a `run` text, and as an environment variable; one shell (`sh` and
           `bash` by turns) prints about 1500 of them, which must be the same bytes
- params:  as a variable (of the file in JSON, YAML and TOML by turns; every fourth block from the command line) into parameters: alone,
           inside a text, deep inside a list, and written out; then through the stored form of the batch: equal
- names:   as a job's name, in a file and in Python: refused with our own error, or a name whose log, output and leftovers lie in the
           run's folder, one level deep, under that very name
- paths:   as `input`, `outputs` and `cwd`, written out and as `out/${{ vars.x }}`: what joblot looks at is what was written, a value
           never leads out of `out`, and what is cleared away after a crash goes into the run's folder
- journal: as a job's name, batch and result through the database: equal

What no batch may hold (control characters but tab and line feed, halves of surrogate pairs) must be refused, value by value, with
`ConfigError` and nothing else. Prints one line of counts; exits 1 when any of the bad ones is not 0.

    python tests/torture/hostile.py --cases 1000000 [--seed 1] [--block 1500]
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from joblot import Batch
from joblot.actions.registry import ACTIONS, action
from joblot.config.load import decode, encode, load_text
from joblot.core.references import LITERAL, OPENING, substitute
from joblot.errors import ConfigError, JoblotError
from joblot.executors.protocol import RunContext
from joblot.executors.command import CommandBuilder, filled_call
from joblot.core.provenance import LastSuccess
from joblot.journal.folder import RunFolder
from joblot.journal.sqlite import SqliteJournal
from joblot.runner.options import Options
from joblot.runner.launch import start_run
from joblot.core.model import Attempt, JobSpec
from joblot.outputs import Hashes, OutputWatch
from joblot.core.plan import expand

FOREIGN = re.compile(r"[*?\[(]|://")
"""What paths have that only other programs know."""

FRAGMENTS = (
    "'", '"', "`", "\\", "\\\\", "$", "$()", "$(touch owned)", "`touch owned`", "${HOME}", "$IFS", "\n", "\r", "\r\n", "\t", " ", "  ",
    ";", "&", "&&", "|", "||", ">", "<", "<<EOF\n", "\nEOF\n", "#", " #", "!", "!!", "*", "?", "[a-z]", "{a,b}", "~", "~root", "=", "a=b",
    "(", ")", "$((1+1))", "-", "--", "-n", "-e", "--help", "%s", "%n", "%%", "\\0", "\\n", "\\x00", "\\u0000", "\0", "\x01", "\x07", "\x08",
    "\x1b[31m", "\x1b]0;x\x07", "\x7f", "\x80", "\x85", "\x9f", "\u00a0", "\u200b", "\u200e", "\u200f", "\u202a", "\u202e", "\u2028",
    "\u2029", "\u2066", "\ufeff", "\ufffd", "\uffff", "\ue000", "\U0001f600", "\U0010ffff", "\ud800", "\udc80", "\udfff", "é", "e\u0301",
    "ﬁ", "İ", "ß", "Ω", "漢", "שלום", "..", "../", "/..", "../../etc/passwd", "/", "//", "/./", "./", "/etc/passwd", ".", "...", "..\\",
    "\\..\\", "C:", "C:\\x", "con", "NUL", "aux.txt", "COM1", "lpt9.log", "desktop.ini", "a.", "a ", "${{", "}}", "${{ vars.v0 }}",
    "${{ env.HOME }}", "${{ jobs.a.result.v0 }}", '${{ "${{" }}', "${{}}", "$${{", "{{", "%(x)s", "{0}", "{x.__class__}", "'; drop table runs; --",
    "null", "true", "no", "0", "010", "1e3", "-0", "nan", "01:30", "2026-11-20", "!!python/object:os.system", "&a", "*a", "? ", ": ",
    "- ", "<<: ", "[]", "{}", ",", "a", "B", "job", "x" * 100, "_",
)  # fmt: skip
NAME_LIKE = "abcXYZ0189._--"
LONG = 30_000
ENVIRONMENT = 1_000_000
"""Bytes of environment for one shell, of the two million that the kernel takes."""
ONE_VARIABLE = 100_000


@action("hostile")
def hostile(*, whole: str = "", mixed: str = "", deep: Any = None, direct: str = "") -> None:
    """Takes values."""


def make_value(rng: random.Random) -> str:
    """One value. Two halves of a pair side by side would be read as the character that they make."""
    return _PAIR.sub("-", _made(rng))


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _made(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 6)))
    if kind < 0.8:
        return "".join(rng.choices(NAME_LIKE, k=rng.randint(1, 12)))
    if kind < 0.9:
        return "".join(chr(rng.randrange(0x250)) for _ in range(rng.randint(0, 12)))
    if kind < 0.9995:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randint(1, 6)))
    return "".join(rng.choices(FRAGMENTS, k=3)) * rng.randint(1, LONG // 10)


def is_fit(value: str) -> bool:
    """Whether a batch may hold the value: said here a second time, not asked of joblot."""
    return not any(
        (ord(char) < 32 and char not in "\t\n") or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000
        for char in value
    )


def literally(value: str) -> str:
    """As it is written where references are filled in: a `${{` of its own stays one."""
    return value.replace(OPENING, LITERAL)


def written(document: dict[str, Any], kind: str, rng: random.Random) -> str:
    """The document as text. What JSON escapes YAML and TOML read the same, but for pairs of surrogates."""
    if kind == "json":
        return json.dumps(
            document, ensure_ascii=rng.random() < 0.5 or not is_fit(json.dumps(document, ensure_ascii=False))
        )
    if kind == "yaml":
        top = {key: value for key, value in document.items() if key != "jobs"}
        lines = [f"{json.dumps(key)}: {_flow(value)}" for key, value in top.items()]
        return "\n".join([*lines, "jobs:", *(f"- {_flow(job)}" for job in document["jobs"])]) + "\n"
    lines = ["[vars]", *(f"{name} = {_quoted(value)}" for name, value in document["vars"].items())]
    for job in document["jobs"]:
        lines.append("[[jobs]]")
        lines += [f"{key} = {_inline(value)}" for key, value in job.items()]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _quoted(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _quoted(value)


def _quoted(text: str) -> str:
    """In double quotes, everything odd escaped by its number."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    code = ord(char)
    return char if 32 <= code < 127 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Campaign:
    """All blocks of one seed. `bad` are the counts that must stay 0."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.folder = folder
        self.batch_dir = folder / "batch"
        self.batch_dir.mkdir()
        self.run = RunFolder(folder / "state" / "runs" / "r1")
        self.slowest_s = 0.0
        self.good: Counter[str] = Counter()
        self.bad: Counter[str] = Counter(
            dict.fromkeys(("shell", "params", "names", "paths", "journal", "refusals", "other errors"), 0)
        )
        (folder / "state").mkdir()
        self.journal = SqliteJournal(folder / "state" / "journal.db")

    def wrong(self, what: str, value: object, why: str) -> None:
        self.bad[what] += 1
        if self.bad[what] <= 5:
            print(f"{what}: {str(value)[:80]!a}: {why}", flush=True)

    def load(self, document: dict[str, Any], kind: str, given: dict[str, str] | None = None) -> Any:
        """The batch. A document may hold many values; the slowest one is remembered by the processor time for each of them."""
        text = written(document, kind, self.rng)
        began = time.process_time()
        try:
            return load_text(
                text,
                file=f"batch.{kind}",
                folder=self.batch_dir,
                format=kind,
                vars=given or {},
                lookup=ACTIONS.signature,
                names=ACTIONS.names,
            )[0]
        finally:
            values = max(len(document.get("jobs", ())), len(document.get("vars", ())), 1)
            self.slowest_s = max(self.slowest_s, (time.process_time() - began) / values)

    def block(self, number: int, size: int) -> None:
        values = [make_value(self.rng) for _ in range(size)]
        fit = [value for value in values if is_fit(value)]
        kind = ("json", "yaml", "toml")[number % 3]
        self.params(fit, kind, given=number % 4 == 3)
        self.shell(fit, [value for value in values if "\0" not in value and _is_text(value)], number)
        self.names(values)
        self.paths(fit, kind)
        self.store([value for value in values if _is_text(value)])
        self.refusals([value for value in values if not is_fit(value)])
        self.good["values"] += size

    # --- the ways -------------------------------------------------------------------------------

    def params(self, values: list[str], kind: str, *, given: bool) -> None:
        declared = {f"v{n}": "" if given else literally(value) for n, value in enumerate(values)}
        jobs = [
            {
                "name": f"j{n}",
                "action": "hostile",
                "params": {
                    "whole": f"${{{{ vars.v{n} }}}}",
                    "mixed": f"a${{{{ vars.v{n} }}}}b",
                    "deep": [{"k": f"${{{{vars.v{n}}}}}"}],
                    "direct": literally(value),
                },
            }
            for n, value in enumerate(values)
        ]
        config = self.load(
            {"vars": declared, "jobs": jobs},
            kind,
            {f"v{n}": value for n, value in enumerate(values)} if given else None,
        )
        for form in (config, decode(encode(config))):
            for value, spec in zip(values, form.jobs, strict=True):
                wanted = {"whole": value, "mixed": f"a{value}b", "deep": [{"k": value}], "direct": value}
                if spec.params != wanted:
                    self.wrong("params", value, f"arrives as {spec.params!a} ({kind})")
        self.good["params"] += 4 * len(values)

    def shell(self, values: list[str], results: list[str], number: int) -> None:
        room, environment = ENVIRONMENT, {}
        for value in values:
            size = len(value.encode())
            if size < ONE_VARIABLE and size + 20 < room:
                environment[f"E{len(environment)}"] = value
                room -= size + 20
        now = " ".join(f"${{{{ vars.v{n} }}}}" for n in range(len(values)))
        later = " ".join(f"${{{{ jobs.a.result.v{n} }}}}" for n in range(len(results)))
        here = " ".join(f'"$E{n}"' for n in range(len(environment)))
        document = {
            "vars": {f"v{n}": literally(value) for n, value in enumerate(values)},
            "jobs": [
                {"name": "a", "run": "true"},
                {
                    "name": "b",
                    "needs": ["a"],
                    "run": f"printf '%s\\0' {now} {later} {here}",
                    "env": {name: literally(value) for name, value in environment.items()},
                },
            ],
        }
        spec = self.load(document, "json").jobs[1]
        scope = {"run": {"id": "r1"}, "jobs": {"a": {"result": {f"v{n}": value for n, value in enumerate(results)}}}}
        argv = filled_call(
            spec.run, substitute(spec.given, scope) | {f"jobs.a.result.v{n}": v for n, v in enumerate(results)}
        ).argv()
        given = {name: substitute(value, scope) for name, value in spec.env.items()}
        shell = "bash" if number % 2 and shutil.which("bash") else "sh"
        done = subprocess.run(
            [shell, *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": os.environ["PATH"], **given},
            cwd=self.batch_dir,
        )
        wanted = [*values, *results, *environment.values()]
        arrived = done.stdout.split(b"\0")[:-1]
        if len(arrived) != len(wanted) or done.stderr:
            self.wrong("shell", shell, f"{len(arrived)} words instead of {len(wanted)}: {done.stderr[:200]!a}")
        for value, found in zip(wanted, arrived, strict=False):
            if value.encode() != found:
                self.wrong("shell", value, f"arrives as {found[:80]!a} in {shell}")
        if os.listdir(self.batch_dir):
            self.wrong("shell", os.listdir(self.batch_dir), "a command was run that is part of a value")
        self.good["shell words"] += len(wanted)

    def names(self, values: list[str]) -> None:
        jobs = [{"name": value, "action": "hostile"} for value in dict.fromkeys(values)]
        refused: set[int] = set()
        try:
            config = self.load({"jobs": jobs}, "json")
        except ConfigError as error:
            refused = {one.path and int(one.path.split("[")[1].split("]")[0]) for one in error.diagnostics}
            jobs = [job for n, job in enumerate(jobs) if n not in refused]
            config = self.load({"jobs": jobs}, "json")
        self.good["names refused"] += len(refused)
        for spec, job in zip(config.jobs, jobs, strict=True):
            self.one_name(spec.name, job["name"], "a file")
        batch = Batch("names", folder=self.batch_dir)
        for value in values[:: max(1, len(values) // 400)]:
            try:
                batch.add(value, "hostile")
            except ConfigError:
                self.good["names refused"] += 1
                continue
            self.one_name(batch.jobs[-1].name, value, "Python")
        self.run_ids(values[:4])

    def one_name(self, name: str, value: str, where: str) -> None:
        self.good["names accepted"] += 1
        log = str(self.run.log_path(name, 3))
        if (
            name != value
            or os.path.normpath(log) != f"{self.run.logs}/{value}/3.log"
            or "/" in name
            or name in (".", "..")
        ):
            self.wrong("names", value, f"accepted from {where}; its log is `{log}`")
        if not name.isascii() or name.startswith("-"):
            self.wrong("names", value, f"accepted from {where}")

    def run_ids(self, values: list[str]) -> None:
        """As `--run-id`: refused, or a folder of that name and nothing beside it."""
        state = self.folder / "ids"
        for value in values:
            try:
                start_run(expand(Batch("none").config()), Options(on="inline", state=state, run_id=value))
            except JoblotError:
                self.good["run ids refused"] += 1
                continue
            self.good["run ids accepted"] += 1
            if value and os.listdir(state / "runs") != [value]:
                self.wrong("names", value, f"as a run id made {os.listdir(state / 'runs')}")
            shutil.rmtree(state)

    def paths(self, values: list[str], kind: str) -> None:
        whole = [value for value in values if value.strip()]
        document = {
            "vars": {f"v{n}": literally(value) for n, value in enumerate(whole)},
            "jobs": [
                {
                    "name": f"j{n}",
                    "run": "true",
                    "input": literally(value),
                    "cwd": literally(value),
                }
                for n, value in enumerate(whole)
            ],
        }
        config, read = self.load_fit(document, whole, kind)
        hashes, base = Hashes(str(self.batch_dir)), str(self.batch_dir)
        for value, spec in zip(read, config.jobs, strict=True):
            if (spec.input, spec.cwd) != (value, value):
                self.wrong("paths", value, f"read as {(spec.input, spec.cwd)!a}")
            if hashes.absolute(value) != (value if value.startswith("/") else f"{base}/{value}"):
                self.wrong("paths", value, f"looked for at {hashes.absolute(value)!a}")
        self.commands(config, read)
        for n, (job, value) in enumerate(zip(document["jobs"], whole, strict=True)):
            document["jobs"][n] = {"name": job["name"], "run": "true", "outputs": [literally(value)]}
        made, written = self.load_fit(document, whole, kind)
        for value, spec in zip(written, made.jobs, strict=True):
            if spec.outputs != (value,):
                self.wrong("paths", value, f"read as {spec.outputs!a}")
        self.values_in_paths(document, whole, kind)
        self.good["paths"] += 2 * len(read) + len(written)

    def load_fit(
        self, document: dict[str, Any], values: list[str], kind: str, may_be_refused: Any = FOREIGN.search
    ) -> tuple[Any, list[str]]:
        """The batch of those jobs whose paths are taken, with their values. Of the others it must be known why, or they meet."""
        refused: dict[int, str] = {}
        while True:
            kept = [n for n in range(len(values)) if n not in refused]
            try:
                return self.load({**document, "jobs": [document["jobs"][n] for n in kept]}, kind), [
                    values[n] for n in kept
                ]
            except ConfigError as error:
                for one in error.diagnostics:
                    if "[" not in one.path:  # outputs that meet, or are the batch's folder: known when all are read
                        refused.update((int(name), one.message) for name in re.findall(r"`j(\d+)`", one.message)[-1:])
                        continue
                    number = kept[int(one.path.split("[")[1].split("]")[0])]
                    refused[number] = one.message
                    if not may_be_refused(values[number]):
                        self.wrong("refusals", values[number], one.message)
                if len(refused) + len(kept) == len(values):
                    raise
                self.good["paths refused"] += len(error.diagnostics)

    def commands(self, config: Any, values: list[str]) -> None:
        """Where a command finds itself and its input, which a job that it needs has made."""
        for job in range(0, len(values), 7):
            value = values[job]
            maker = JobSpec(name="maker", run="true", outputs=(value,))
            user = msgspec.structs.replace(config.jobs[job], needs=("maker",))
            try:
                plan = expand(msgspec.structs.replace(config, jobs=[maker, user]))
            except ConfigError:  # the batch's own folder
                self.good["paths that nobody makes"] += 1
                continue
            line = CommandBuilder(RunContext("r1", plan, self.run.path, True)).build(Attempt(1, 1))
            wanted = _collapsed(posixpath.join(str(self.batch_dir), value))
            if _collapsed(line.cwd) != wanted or _collapsed(line.env[b"JOBLOT_INPUT"].decode()) != wanted:
                self.wrong("paths", value, f"works in {line.cwd!a}, reads {line.env[b'JOBLOT_INPUT']!a}")
            if os.path.dirname(line.result_path) != f"{self.run.path}/live":
                self.wrong("paths", value, f"result in {line.result_path!a}")

    def values_in_paths(self, document: dict[str, Any], values: list[str], kind: str) -> None:
        for n, job in enumerate(document["jobs"]):
            job["outputs"] = [f"out/${{{{ vars.v{n} }}}}"]
        config, kept = self.load_fit(
            document, values, kind, lambda value: FOREIGN.search(value) or ".." in value.replace("\\", "/").split("/")
        )
        for value, spec in zip(kept, config.jobs, strict=True):
            end = posixpath.normpath(spec.outputs[0])
            if spec.outputs[0] != f"out/{value}" or not (end == "out" or end.startswith("out/")):
                self.wrong("paths", value, f"leads to {spec.outputs[0]!a}")
        self.cleared([value for value in kept[::40] if len(value) < 80])

    def cleared(self, values: list[str]) -> None:
        """Leftovers of an attempt of another process, on the disk."""
        for value in values:
            target = f"{self.batch_dir}/out/{value}"  # as it is: pathlib would tidy it up
            try:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "w") as file:
                    file.write("half")
            except (OSError, ValueError):
                shutil.rmtree(self.batch_dir / "out", ignore_errors=True)
                continue  # the file system does not take it, so nothing can be left
            batch = Batch("left", folder=self.batch_dir)
            batch.add("j", "hostile", outputs=[literally(f"out/{value}")])
            watch = OutputWatch(expand(batch.config()), self.run.path, Hashes(str(self.batch_dir)))
            watch.clear_after_crash([(0, 1, [])], 0.0)
            left = [entry for entry in (self.run.path / "partial").rglob("*") if entry.is_file()]
            if os.path.exists(target) or len(left) != 1 or left[0].parent != self.run.path / "partial" / "j" / "1":
                self.wrong("paths", value, f"cleared away to {left}")
            beside = sorted(os.listdir(self.folder))
            if not set(beside) <= {"batch", "state", "ids"}:
                self.wrong("paths", value, f"in the folder above: {beside}")
            shutil.rmtree(self.run.path, ignore_errors=True)
            shutil.rmtree(self.batch_dir / "out")
            self.good["leftovers"] += 1

    def store(self, values: list[str]) -> None:
        some = list(dict.fromkeys(values))
        batch = f"{self.rng.choice([*some, ''])}{self.good['values']}"
        successes = [LastSuccess(value, b"{}", b"[[],[]]", msgspec.json.encode(value), value, 1.0) for value in some]
        self.journal.save_last_successes(batch, successes)
        found = self.journal.last_successes(batch)
        kept = {one.job: one for one in successes}
        if found != kept:
            odd = next((name for name in kept if found.get(name) != kept[name]), batch)
            self.wrong("journal", odd, f"{len(found)} of {len(kept)} come back, or come back changed")
        self.good["journal"] += len(some)

    def refusals(self, values: list[str]) -> None:
        """Each must be refused where it stands, in every place and format."""
        jobs = [{"name": f"j{n}", "run": value, "cwd": value} for n, value in enumerate(values)]
        for document in ({"vars": {f"v{n}": value for n, value in enumerate(values)}, "jobs": []}, {"jobs": jobs}):
            said = ""
            try:
                self.load(document, "json")
            except ConfigError as error:
                said = " ".join(re.split(r"\.(?=run|cwd)", one.path)[0] for one in error.diagnostics) + " "
            for n, value in enumerate(values):
                if (f"jobs[{n}] " if document["jobs"] else f"vars.v{n} ") not in said:
                    self.wrong("refusals", value, f"is taken in {list(document)[0]}")
        for value in values[::10]:
            for kind in ("yaml", "toml"):
                try:
                    self.load({"vars": {"v0": value}, "jobs": []}, kind)
                except ConfigError:
                    continue
                self.wrong("refusals", value, f"is taken in {kind}")
        self.good["refused"] += len(values)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _collapsed(path: str) -> str:
    """Without `//` and `/./`, which mean nothing; `..` stays, since a link may stand before it."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--block", type=int, default=1500)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="joblot-hostile-"))
    began = time.monotonic()
    campaign = Campaign(folder, random.Random(options.seed))
    for number in range(-(-options.cases // options.block)):
        state = campaign.rng.getstate()
        try:
            campaign.block(number, min(options.block, options.cases - number * options.block))
        except Exception as error:  # noqa: BLE001 - the campaign is to say how many, and where
            campaign.wrong("other errors", f"block {number}", f"{type(error).__name__}: {str(error)[:300]}")
            campaign.rng.setstate(state)
            campaign.rng.random()
            if campaign.bad["other errors"] > 20:
                raise
    campaign.journal.close()
    shutil.rmtree(folder)
    took = time.monotonic() - began
    print(", ".join(f"{key} {count}" for key, count in campaign.good.items()))
    bad = ", ".join(f"{key} {count}" for key, count in campaign.bad.items())
    print(f"slowest batch, for each of its values: {campaign.slowest_s * 1000:.1f} ms of processor time")
    print(f"wrong: {bad} ({took:.0f} s, {campaign.good['values'] / took:.0f} values a second)")
    return 1 if any(campaign.bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
