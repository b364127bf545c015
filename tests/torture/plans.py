"""The batches of the kill campaign, each with what must be left when its run has ended.

`plain`: a graph of actions and commands. `fused`: mostly jobs of a fused action, done in turn or all at once, some of which fail on purpose.
`growing`: jobs for each item of a result, fused ones among them, that append to files of their own. `hiding`: commands that do all that
makes a process hard to find. `kept`: commands that change a file and a folder in place which are there already, some of which fail: what they find must
be as it was, whatever became of earlier attempts. `finally`: one of the first three, and jobs of `finally` that take as long; each process of an attempt holds a lock of its job, which tells of overlaps by itself. What a job comes to does not depend on
when it was killed; what a whole run comes to is `Made`.
"""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACTIONS = '''
import os, time
from contextlib import closing
from pathlib import Path
from joblot import action, fused, Context


class Unlucky(Exception):
    """What a job fails with by itself; any other failure of a bundle is that of all its jobs."""


def note(ctx, what):
    log = os.open(ctx.batch_dir / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{what} {ctx.job} {ctx.attempt} {time.monotonic()}\\n".encode())
    os.close(log)


def file_made(ctx, seconds, fate="ok"):
    """A file in two halves, with a stop in between."""
    note(ctx, "begin")
    with ctx.output(ctx.batch_dir / "out" / ctx.job) as part:
        part.write_text("half ")
        yield
        time.sleep(seconds)
        if fate == "fails" or fate == "second" and ctx.attempt == 1:
            raise Unlucky(f"{ctx.job} fails")
        if fate == "raises":
            raise RuntimeError(f"{ctx.job} raises")
        with part.open("a") as file:
            file.write("full\\n")
    note(ctx, "end")


@action("work")
def work(*, seconds: float, items: list | None = None, ctx: Context) -> dict:
    """Make a file; the result may list items for a plan to grow by."""
    list(file_made(ctx, seconds))
    return {"name": ctx.job} if items is None else {"items": items}


@action("member")
def member(input: Path, *, seconds: float, fate: str = "ok", ctx: Context) -> dict:
    """Make a file, and meet a fate."""
    list(file_made(ctx, seconds, fate))
    return {"name": ctx.job}


@fused("member", on=("input",))
def members(jobs, ctx):
    """The same for many: one file after another, or all begun before one is done."""
    files = [file_made(job.ctx, job.params["seconds"], job.params["fate"]) for job in jobs]
    if jobs[0].input.name == "together":
        for file in files:
            next(file)
    for job, file in zip(jobs, files):
        with closing(file):
            try:
                list(file)
            except Unlucky as error:
                ctx.failed(job, error)
            else:
                ctx.done(job, {"name": job.name})


@action("append")
def append(*, seconds: float, fate: str = "ok", ctx: Context) -> dict:
    """Add a line to a file of its own."""
    note(ctx, "begin")
    time.sleep(seconds)
    if fate == "fails":
        raise Unlucky(f"{ctx.job} fails")
    file = os.open(ctx.batch_dir / "out" / ctx.job, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{ctx.job} {ctx.attempt}\\n".encode())
    os.close(file)
    note(ctx, "end")
    return {"name": ctx.job}
'''

NOTE = 'echo "{} $JOBLOT_JOB $JOBLOT_ATTEMPT $(cut -d" " -f1 /proc/uptime)" >> log; '
COMMAND = (
    NOTE.format("begin")
    + 'printf "half " > out/.$JOBLOT_JOB.part; sleep {seconds};'
    + ' printf "full\\n" >> out/.$JOBLOT_JOB.part; mv out/.$JOBLOT_JOB.part out/$JOBLOT_JOB; '
    + NOTE.format("end")
    + "{result} > $JOBLOT_OUTPUT"
)
APPEND = (
    NOTE.format("begin")
    + 'sleep ${{ item.seconds }}; echo "$JOBLOT_JOB $JOBLOT_ATTEMPT" >> out/$JOBLOT_JOB; '
    + NOTE.format("end")
    + "echo name=$JOBLOT_JOB > $JOBLOT_OUTPUT"
)
IN_PLACE = (
    NOTE.format("begin")
    + 'test "$(cat out/$JOBLOT_JOB pair/$JOBLOT_JOB/f)" = "$(printf "before\\nbefore\\n")" || exit 9; '
    + 'printf "half " > out/$JOBLOT_JOB; printf "half " > pair/$JOBLOT_JOB/f; touch pair/$JOBLOT_JOB/half; sleep {seconds}; {fate}; '
    + 'for file in out/$JOBLOT_JOB pair/$JOBLOT_JOB/f; do printf "full\\n" >> $file; done; rm pair/$JOBLOT_JOB/half; '
    + NOTE.format("end")
    + "echo name=$JOBLOT_JOB > $JOBLOT_OUTPUT"
)
RETRY = {"max_attempts": 50, "delay": 0}
"""A killed worker is a failed try of its job."""
RETRY_CRASHES = {**RETRY, "only": ["crash"]}
"""For jobs that fail on purpose: such a failure is the last one."""


@dataclass
class Made:
    """A batch, and what its run comes to however often it is killed."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    finals: list[dict[str, Any]] = field(default_factory=list)
    """The jobs of `finally`, whose numbers follow those of the others."""
    grows: dict[int, str] = field(default_factory=dict)
    """By the number of a growing job, how the names of its jobs begin."""
    status: dict[str, str] = field(default_factory=dict)
    """By name, what each job comes to, those included that the plan grows by."""
    appended: set[str] = field(default_factory=set)
    """Jobs that append to their file; all others but growing ones make it as a whole."""
    hides: bool = False
    kept: set[str] = field(default_factory=set)
    """Jobs that change what is there, a file and a folder."""

    @property
    def names(self) -> list[str]:
        """By number, as far as the batch names them."""
        jobs = [*self.jobs, *self.finals]
        return [self.grows[n] + "*" if n in self.grows else job["name"] for n, job in enumerate(jobs)]

    @property
    def exit_code(self) -> int:
        return 1 if "failed" in self.status.values() else 0

    def add(self, status: str, name: str, **fields: Any) -> None:
        self.jobs.append({"name": name, "retry": RETRY, **fields})
        self.status[name] = status

    def grow(self, prefix: str, found: dict[str, str], *, appending: bool, **fields: Any) -> None:
        """Add a growing job. `found` says by item what becomes of the jobs that are made of them."""
        self.grows[len(self.jobs)] = prefix
        self.jobs.append({"name": prefix + "${{ item.n }}", **fields})
        made = {prefix + item: status for item, status in found.items()}
        self.status |= {prefix + "*": "success", **made}
        self.appended |= set(made) if appending else set()

    def write(self, folder: Path) -> None:
        for name in ("out", "lock", "done"):
            (folder / name).mkdir(parents=True)
        (folder / "acts.py").write_text(ACTIONS)
        for name in ("in-turn", "together"):
            (folder / name).touch()
        (folder / "batch.json").write_text(
            json.dumps({"imports": ["./acts.py"], "jobs": self.jobs, "finally": self.finals})
        )
        self.lay_out(folder)

    def lay_out(self, folder: Path) -> None:
        """What is there before the run."""
        for name in self.kept:
            (folder / "pair" / name).mkdir(parents=True)
            for path in (folder / "out" / name, folder / "pair" / name / "f"):
                path.write_text("before\n")


def ordinary(rng: random.Random, items: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The fields of a job that makes a file, and lists items if there are any to list."""
    seconds = round(rng.uniform(0.0, 0.03), 3)
    if rng.random() < 0.7:
        return {"action": "work", "params": {"seconds": seconds} | ({} if items is None else {"items": items})}
    result = "echo name=$JOBLOT_JOB" if items is None else f"echo '{json.dumps({'items': items})}'"
    return {"run": COMMAND.format(seconds=seconds, result=result)}


def plain(rng: random.Random, jobs: int) -> Made:
    """A random graph of Python actions and commands."""
    made = Made()
    for number in range(jobs):
        chosen = {
            f"j{rng.randrange(max(0, number - 30), number):03d}" for _ in range(rng.choice((0, 1, 1, 2)) * (number > 0))
        }
        made.add("success", f"j{number:03d}", needs=sorted(chosen), **ordinary(rng))
    return made


def fate(rng: random.Random) -> str:
    return rng.choices(("ok", "fails", "second", "raises"), (88, 5, 5, 2))[0]


def fused(rng: random.Random, jobs: int) -> Made:
    """Few hubs, many jobs of a fused action behind each, and jobs that wait for some of those, whatever becomes of them."""
    made = Made()
    hubs: list[str] = []
    members: list[str] = []
    for number in range(jobs):
        name, draw = f"j{number:03d}", rng.random()
        if draw < 0.05:
            made.add("success", name, needs=hubs[-1:], **ordinary(rng))
            hubs.append(name)
        elif draw < 0.85 or not members:
            met = fate(rng)
            made.add(
                "failed" if met in ("fails", "raises") else "success",
                name,
                action="member",
                input=rng.choice(("in-turn", "together")),
                params={"seconds": round(rng.uniform(0.0, 0.03), 3), "fate": met},
                needs=rng.choice(([], hubs[-1:])),
                retry=RETRY if met == "second" else RETRY_CRASHES,
            )
            members.append(name)
        else:
            needs = rng.sample(members, min(len(members), rng.choice((1, 2, 5))))
            when = rng.choice(("success", "success", "always", "failure"))
            fell = any(made.status[need] == "failed" for need in needs)
            runs = when == "always" or fell == (when == "failure")
            made.add("success" if runs else "skipped", name, needs=needs, when=when, **ordinary(rng))
    return made


GROWN: dict[str, dict[str, Any]] = {
    "append": {"action": "append", "params": {"seconds": "${{ item.seconds }}", "fate": "${{ item.fate }}"}},
    "command": {"run": APPEND},
    "member": {
        "action": "member",
        "input": "in-turn",
        "params": {"seconds": "${{ item.seconds }}", "fate": "${{ item.fate }}"},
    },
}


def growing(rng: random.Random, jobs: int) -> Made:
    """Lists of several lengths, the jobs that they make, and what waits for all of those; some lists wait for jobs of an earlier one."""
    made, block = Made(), 0
    earlier: list[str] = []
    while len(made.status) < jobs:
        room = max(0, jobs - len(made.status) - 3)
        earlier += add_growth(made, rng, block, earlier, min(room, rng.choice((0, 1, 2, 7, 20, 60, 150))))
        block += 1
    return made


def add_growth(made: Made, rng: random.Random, block: int, earlier: list[str], length: int) -> list[str]:
    """A job that lists so many items, the growing job that finds them, and one that waits for the jobs that they make.

    Returns what others can wait for, as `earlier` ones were: a growing job stands for all its jobs there.
    """
    listing, prefix, shape = f"list{block}", f"g{block}-", rng.choice(list(GROWN))
    may_fail = shape != "command" and rng.random() < 0.3
    items: list[dict[str, Any]] = [
        {
            "n": str(number) + "x" * rng.choice((0, 3, 40)),
            "seconds": round(rng.uniform(0.0, 0.03), 3),
            "fate": "fails" if may_fail and rng.random() < 0.1 else "ok",
        }
        for number in range(length)
    ]
    needs = rng.sample(earlier, min(len(earlier), rng.choice((0, 1))))
    made.add("success", listing, needs=needs, **ordinary(rng, items))
    made.grow(
        prefix,
        {item["n"]: "failed" if item["fate"] == "fails" else "success" for item in items},
        appending=shape != "member",
        needs=[listing],
        foreach=f"${{{{ jobs.{listing}.result.items }}}}",
        retry=RETRY_CRASHES if may_fail else RETRY,
        **GROWN[shape],
    )
    failed = any(item["fate"] == "fails" for item in items)
    made.add("skipped" if failed else "success", f"after{block}", needs=[prefix + "*"], **ordinary(rng))
    return [listing] if failed else [listing, prefix + "*", f"after{block}"]


LOCKED = (
    "JOB=$1 ATTEMPT=$2 OUTPUT=$3; "
    + 'exec 9>>lock/$JOB; flock -n 9 || echo "$JOB $ATTEMPT" >> overlaps; '
    + COMMAND.replace("JOBLOT_", "").replace("{result}", "echo name=$JOB")
)
HIDING = {
    "cleared": "exec env -i sh -c {text} sh {words}",
    "cleared by a shell": "exec bash -c 'exec -c \"$@\"' bash /bin/sh -c {text} sh {words}",
    "renamed": "exec env -i perl -e '$0 = \"renamed \" x 2000; exit(system(@ARGV) >> 8)' sh -c {text} sh {words}",
    "session": "env -i setsid -w sh -c {text} sh {words} </dev/null >/dev/null 2>&1",
    "daemon": (
        "(env -i setsid sh -c {text}'; : > done/$JOB.$ATTEMPT' sh {words} </dev/null >/dev/null 2>&1 &)"
        "; while ! [ -e done/$JOBLOT_JOB.$JOBLOT_ATTEMPT ]; do sleep 0.01; done"
    ),
    "background": (
        '(exec 9>>lock/$JOBLOT_JOB.background; flock -n 9 || echo "$JOBLOT_JOB $JOBLOT_ATTEMPT" >> overlaps; '
        "exec env -i setsid sleep 60) & exec env -i sh -c {text} sh {words}"
    ),
    "plain": "exec sh -c {text} sh {words}",
}
"""`text` is the work, `words` are the job, the number of the attempt and where the result goes."""


def hiding(rng: random.Random, jobs: int) -> Made:
    """A random graph of commands that hide, with some that work for long."""
    made = Made(hides=True)
    words = '"$JOBLOT_JOB" "$JOBLOT_ATTEMPT" "$JOBLOT_OUTPUT"'
    for number in range(min(jobs, 60)):
        needs = {
            f"j{rng.randrange(max(0, number - 10), number):03d}" for _ in range(rng.choice((0, 0, 1)) * (number > 0))
        }
        shape = rng.choice(list(HIDING))
        text = shlex.quote(LOCKED.format(seconds=round(rng.uniform(0.0, 0.2), 3)))
        made.add("success", f"j{number:03d}", needs=sorted(needs), run=HIDING[shape].format(text=text, words=words))
    return made


def kept(rng: random.Random, jobs: int) -> Made:
    """Commands that change what is there in place."""
    made = Made()
    for number in range(jobs):
        name, fails = f"k{number:03d}", rng.random() < 0.2
        run = IN_PLACE.format(seconds=round(rng.uniform(0.0, 0.2), 3), fate="exit 7" if fails else ":")
        outputs = [f"out/{name}", f"pair/{name}"]
        made.add("failed" if fails else "success", name, run=run, outputs=outputs, retry=RETRY_CRASHES)
        made.kept.add(name)
    return made


def ending(rng: random.Random, jobs: int, kinds: Sequence[Callable[[random.Random, int], Made]] = ()) -> Made:
    """A smaller batch of another kind, and as much to do at its end."""
    made = rng.choice(kinds or (plain, fused, growing))(rng, min(jobs, 40))
    failed = bool(made.exit_code)
    for number in range(rng.randint(1, 20)):
        needs = [f"f{number - 1:02d}"] if number and rng.random() < 0.3 else []
        when = rng.choice(("always", "always", "failure", "success"))
        runs = when == "always" or (when == "failure") == failed
        if needs and when == "success":
            runs = runs and made.status[needs[0]] == "success"
        fields = ordinary(rng) | {"needs": needs, "when": when, "retry": RETRY}
        made.finals.append({"name": f"f{number:02d}", **fields})
        made.status[f"f{number:02d}"] = "success" if runs else "skipped"
    return made


KINDS: dict[str, Callable[[random.Random, int], Made]] = {
    "plain": plain,
    "fused": fused,
    "growing": growing,
    "hiding": hiding,
    "kept": kept,
    "finally": ending,
}
