"""What jobs print comes out whole and in order, however their ends are recorded."""

import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joblot.cli.output import Output
from joblot.cli.passing import JobOutput
from joblot.core.events import AttemptEnded, JobsEnded, Record
from joblot.journal.folder import RunFolder


@contextmanager
def streams(folder):
    """Standard output and standard error as files of that name in the folder."""
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err, pytest.MonkeyPatch.context() as patch:  # fmt: skip
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        yield


def passing(folder, **options):
    options = {"in_order": True, "is_told": True, "max_log": 1 << 20} | options
    output = JobOutput(Output(), RunFolder(folder), **options)
    output.started("run", SimpleNamespace(plan=SimpleNamespace(name=lambda job: f"job-{job}")))
    return output


def log(folder, job, attempt, text):
    path = RunFolder(folder).log_path(f"job-{job}", attempt)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(text)


ENDS = st.lists(st.sampled_from(["prints", "retried", "silent", "skipped"]), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(kinds=ENDS, data=st.data(), in_order=st.booleans())
def test_in_the_order_of_the_jobs_or_of_their_ends(tmp_path_factory, kinds, data, in_order):
    folder = tmp_path_factory.mktemp("run")
    for name in (folder, *folder.parents[:1]):
        name.chmod(0o700)
    ends = data.draw(st.permutations(range(len(kinds))))
    texts = {}
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stdout, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", sys.stderr)
        output = passing(folder, in_order=in_order)
        for job in ends:
            kind = kinds[job]
            last = 2 if kind == "retried" else 1
            if kind in ("prints", "retried"):
                texts[job] = b"%d\0\xff\n" % job
                log(folder, job, last, texts[job])
                log(folder, job, last - 1, b"of a try before\n")
            events = [AttemptEnded(job, 1, "exit", "backing_off")] if kind == "retried" else []
            events.append(JobsEnded([job], "skipped", "x") if kind == "skipped" else AttemptEnded(job, last))
            for event in events:
                output.recorded(Record(1, 0.0, [event]))
        output.close()
    with os.fdopen(read, "rb") as file:
        found = file.read()
    order = sorted(texts) if in_order else [job for job in ends if job in texts]
    assert found == b"".join(texts[job] for job in order)


def test_what_waits_for_a_job_that_never_ended_comes_at_the_end(tmp_path):
    with streams(tmp_path):
        output = passing(tmp_path)
        log(tmp_path, 1, 1, b"one\n")
        output.recorded(Record(1, 0.0, [AttemptEnded(1, 1)]))
        output.idle()
        assert (tmp_path / "stdout").read_bytes() == b""
        output.close()
    assert (tmp_path / "stdout").read_bytes() == b"one\n"


@pytest.mark.parametrize(
    ("replace", "why"),
    [
        (lambda path: path.symlink_to("secret"), "too many levels of symbolic links"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: os.mkfifo(path), "cannot use `{}`: it is not a file"),
    ],
    ids=["link", "folder", "pipe"],
)
def test_a_log_that_a_job_has_replaced_is_told_of_and_stops_nothing(tmp_path, replace, why):
    log(tmp_path, 1, 1, b"one\n")
    path = RunFolder(tmp_path).log_path("job-0", 1)
    path.parent.mkdir(parents=True, mode=0o700)
    replace(path)
    (path.parent / "secret").write_text("secret\n")
    with streams(tmp_path):
        output = passing(tmp_path)
        output.recorded(Record(1, 0.0, [AttemptEnded(0, 1), AttemptEnded(1, 1)]))
        output.close()
    assert (tmp_path / "stdout").read_bytes() == b"one\n"
    assert not output.is_broken
    told = (tmp_path / "stderr").read_text()
    assert told.endswith(f" | WARNING | job-0: what it printed cannot be read: {why.format(path)}\n")
