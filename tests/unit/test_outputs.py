"""Declared files: stamps, hashes, checks after an attempt, and what happens to leftovers. G4."""

import hashlib
import os

import pytest

from joblot.core.model import Artifact, Config, JobSpec, Outcome
from joblot.core.plan import expand
from joblot.core.provenance import FileFact
from joblot.outputs import MAX_HASHED, Hashes, OutputWatch, content_hash, stamp


class World:
    """A batch's folder with a job `a` that declares files, and a watch over it."""

    def __init__(self, tmp_path, *outputs: str, kept: bool = True):
        self.folder = tmp_path / "batch"
        self.folder.mkdir()
        self.run_dir = tmp_path / "run" if kept else None
        self.plan = expand(
            Config(
                name="b",
                folder=str(self.folder),
                jobs=[JobSpec(name="a", run="x", outputs=outputs), JobSpec(name="b", run="x")],
            )
        )
        self.watch = OutputWatch(self.plan, self.run_dir, Hashes(str(self.folder)))

    def write(self, name: str, text: str = "x"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def end(self, kind: str = "ok", number: int = 1, **fields) -> Outcome:
        outcome = Outcome(0, number, kind, **fields)
        self.watch.ended(outcome)
        return outcome

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def aside(self) -> list[str]:
        return sorted(str(path.relative_to(self.run_dir)) for path in self.run_dir.rglob("*") if path.is_file())


# --- looking -------------------------------------------------------------------------------------------


def test_the_stamp_of_a_file_is_its_size_and_time(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 5_000_000_000))
    assert stamp(str(path)) == (3, 5_000_000_000)
    assert stamp(str(tmp_path / "none")) is None


@pytest.mark.parametrize("act", ["add", "change", "remove"])
def test_the_stamp_of_a_folder_tells_when_anything_in_it_changes(tmp_path, act):
    folder = tmp_path / "d"
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "one", folder / "deep" / "two"):
        path.write_text("1")
    for path in (folder / "one", folder / "deep" / "two", folder / "deep", folder):
        os.utime(path, ns=(1, 10**9))
    before = stamp(str(folder))
    assert before == (2, 10**9)
    match act:
        case "add":
            (folder / "deep" / "three").write_text("")
        case "change":
            (folder / "deep" / "two").write_text("2")
        case "remove":
            (folder / "one").unlink()
    assert stamp(str(folder)) != before


def test_contents_are_hashed_with_sha_256(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc" * 1_000_000)
    assert content_hash(str(path)) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert content_hash(str(tmp_path / "none")) == ""


def test_the_hash_of_a_folder_depends_on_names_and_contents_alone(tmp_path):
    for name, files in (("a", ("x", "y")), ("b", ("y", "x"))):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(file)
    one, other = content_hash(str(tmp_path / "a")), content_hash(str(tmp_path / "b"))
    assert one == other != ""
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "z")
    assert content_hash(str(tmp_path / "b")) != one


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path, path)]
)
def test_what_is_no_file_has_no_contents_and_is_not_read(tmp_path, make):
    """A pipe nobody writes to would hold up the run for ever, and a device that never ends too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    empty = content_hash(str(folder))
    make(folder / "odd")
    assert content_hash(str(folder / "odd")) == ""
    assert content_hash(str(folder)) != empty


def test_a_file_is_hashed_once_until_it_changes(tmp_path):
    hashes = Hashes(str(tmp_path))
    path = tmp_path / "f"
    path.write_text("one")
    seen = stamp(str(path))
    first = hashes.fact("f", seen)
    assert first == FileFact("f", 3, seen[1], hashlib.sha256(b"one").hexdigest())
    path.write_text("two")
    assert hashes.fact("f", seen) is not first
    assert hashes.fact("f", seen).sha256 == first.sha256, "the glance was the same, so it was not read again"
    assert hashes.fact("f", (3, seen[1] + 1)).sha256 == hashlib.sha256(b"two").hexdigest()
    assert hashes.fact("gone", None) == FileFact("gone")


def test_a_very_large_file_is_known_by_size_and_time_alone(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_HASHED + 1)
    assert Hashes(str(tmp_path)).fact("large", stamp(str(path))).sha256 == ""


# --- after a success -------------------------------------------------------------------------------------


def test_declared_outputs_become_artifacts_with_size_and_hash(tmp_path):
    world = World(tmp_path, "out/f.txt")
    world.watch.began(0)
    world.write("out/f.txt", "abc")
    outcome = world.end(artifacts=(Artifact("out/f.txt", 3), Artifact("other", 1)))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert outcome.kind == "ok"
    assert outcome.artifacts == (Artifact("out/f.txt", 3, digest), Artifact("other", 1))
    assert [(fact.path, fact.sha256) for fact in world.watch.finished[0]] == [("out/f.txt", digest)]


def test_what_was_hashed_where_it_was_made_is_not_hashed_again_unless_it_has_changed_since(tmp_path):
    world = World(tmp_path, "f")
    size, mtime_ns = stamp(str(world.write("f", "made")))
    for looked_at, sha256 in ((mtime_ns, "as told"), (mtime_ns - 1, hashlib.sha256(b"made").hexdigest())):
        world.watch.began(0)
        outcome = world.end(looked=(("f", size, looked_at, "as told"),))
        assert outcome.artifacts == (Artifact("f", 4, sha256),)


def test_a_declared_output_that_was_not_made_fails_the_attempt(tmp_path):
    world = World(tmp_path, "one", "two", "three")
    world.watch.began(0)
    world.write("two")
    outcome = world.end(result=b"1")
    assert (outcome.kind, outcome.reason, outcome.result) == ("error", "missing_output", b"")
    assert outcome.message == "declared output `one` was not made (nor 1 more)"
    assert (world.left(), world.aside()) == ([], ["partial/a/1/two"])
    assert 0 not in world.watch.finished


def test_the_message_for_one_missing_output(tmp_path):
    world = World(tmp_path, "x")
    world.watch.began(0)
    assert world.end().message == "declared output `x` was not made"


# --- after a failure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exit", "timeout", "crash", "error", "oom", "lost", "cancelled"])
def test_what_a_failed_attempt_left_is_moved_aside(tmp_path, kind):
    world = World(tmp_path, "out/f.txt")
    world.watch.began(0)
    world.write("out/f.txt", "half")
    world.end(kind, 3)
    assert (world.left(), world.aside()) == ([], ["partial/a/3/f.txt"])
    assert (world.run_dir / "partial/a/3/f.txt").read_text() == "half"


def test_what_was_there_before_and_was_not_touched_stays(tmp_path):
    world = World(tmp_path, "old", "changed")
    world.write("old")
    world.write("changed")
    world.watch.began(0)
    world.write("changed", "half of it")
    world.end("exit")
    assert (world.left(), world.aside()) == (["old"], ["partial/a/1/changed"])


def test_an_attempt_that_never_began_moves_nothing(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began(0)
    world.write("f")
    world.end("returned")
    assert world.left() == ["f"]


def test_files_of_one_name_from_two_folders_do_not_overwrite_each_other(tmp_path):
    world = World(tmp_path, "a/f", "b/f")
    world.watch.began(0)
    world.write("a/f", "1")
    world.write("b/f", "2")
    world.end("exit")
    assert world.aside() == ["partial/a/1/f", "partial/a/1/f.2"]


def test_a_folder_is_moved_as_a_whole(tmp_path):
    world = World(tmp_path, "out/")
    world.watch.began(0)
    world.write("out/deep/f")
    world.end("exit")
    assert (world.left(), world.aside()) == ([], ["partial/a/1/out/deep/f"])


def test_without_a_run_folder_leftovers_are_hidden_where_they_are(tmp_path):
    world = World(tmp_path, "out/f", kept=False)
    world.watch.began(0)
    world.write("out/f")
    world.end("exit", 2)
    assert world.left() == ["out/.f.2.part"]


def test_after_a_crash_only_what_is_new_is_moved(tmp_path):
    world = World(tmp_path, "made", "older", "new")
    for name in ("made", "older", "new"):
        world.write(name)
    seen = stamp(str(world.folder / "made"))
    os.utime(world.folder / "older", ns=(0, 10**9))
    world.watch.clear_after_crash(0, 2, [FileFact("made", *seen)], began_at=2.0)
    assert (world.left(), world.aside()) == (["made", "older"], ["partial/a/2/new"])


def test_jobs_without_outputs_are_not_looked_at(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began(1)
    outcome = Outcome(1, 1, "ok")
    world.watch.ended(outcome)
    assert (outcome.kind, outcome.artifacts, world.watch.finished) == ("ok", (), {})


def test_leftovers_that_cannot_be_moved_are_named(tmp_path):
    world = World(tmp_path, "f")
    world.run_dir.write_text("a file where a folder should be")
    world.watch.began(0)
    world.write("f")
    outcome = world.end("exit", message="exit status 1")
    assert outcome.message == f"exit status 1; cannot move `{world.run_dir}/partial` aside: not a directory"
    assert world.left() == ["f"]


def test_a_path_that_no_file_can_have_is_not_there():
    assert stamp("a\0b") is None
