"""Jobs that say in `ran` that they ran; the second waits for the file `go`."""

import time

from joblot import action, fused


def do(job, ctx):
    with open(ctx.path("ran"), "a") as file:
        file.write(f"{ctx.job}\n")
    ctx.log("seen", what=job)
    if job == "two":
        open(ctx.path("began"), "w").close()
        until = time.monotonic() + 60
        while not ctx.path("go").exists() and time.monotonic() < until:
            time.sleep(0.01)
    return {"what": job}


@action("note")
def note(input: str, *, what: str, ctx):
    """One alone."""
    return do(what, ctx)


@fused("note", on=("input",))
def notes(jobs, ctx):
    """Many, one after the other."""
    for job in jobs:
        ctx.done(job, do(job.params["what"], job.ctx))
