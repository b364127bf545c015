"""Declared files: stamps, hashes, checks after an attempt, and what happens to leftovers. G4."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from joblot.copies import MAX_COPIED, Copier
from joblot.core.model import Artifact, Config, FileFact, JobSpec, Outcome
from joblot.core.plan import expand
from joblot.errors import JournalWriteError
from joblot.outputs import FOUND_FILE, KEPT, MAX_HASHED, Hashes, OutputWatch, content_hash


def stamp(path):
    """A stamp as a run would take it."""
    return Hashes("/").stamp(str(path))


def old_enough(hashes, name):
    """The fact about a file, once its time of change is no longer young."""
    while not (fact := Hashes(hashes.absolute("")).fact(name, hashes.stamp(name))).changed_ns:
        assert fact.sha256, f"{name} has no hash, so its stamp counts"
    return fact


class World:
    """A batch's folder with a job `a` that declares files, and a watch over it."""

    def __init__(self, tmp_path, *outputs: str, kept: bool = True, durability: str = "normal"):
        self.folder = tmp_path / "batch"
        self.folder.mkdir()
        self.run_dir = tmp_path / "run" if kept else None
        if self.run_dir is not None:
            (self.run_dir / "partial").mkdir(parents=True)
        self.plan = expand(
            Config(
                name="b",
                folder=str(self.folder),
                durability=durability,
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

    def crashed(self, number: int, began_at: float, left=()) -> None:
        """What another process does that goes on after this one was killed."""
        self.watch.close(ended=False)
        self.watch = OutputWatch(self.plan, self.run_dir, self.watch.hashes)
        self.watch.clear_after_crash([(0, number, left)], began_at)

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def aside(self) -> list[str]:
        partial = self.run_dir / "partial"
        return sorted(str(path.relative_to(self.run_dir)) for path in partial.rglob("*") if not path.is_dir())


# --- looking -------------------------------------------------------------------------------------------


def test_the_stamp_of_a_file_is_its_size_its_times_and_its_inode(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 5_000_000_000))
    status = path.stat()
    assert stamp(path) == (3, 5_000_000_000, status.st_ino, status.st_ctime_ns)
    assert stamp(tmp_path / "none") is None


def swap(folder):
    (folder / "one").rename(folder / "kept")
    (folder / "two").rename(folder / "one")
    (folder / "kept").rename(folder / "two")


def copy_over(old, new):
    """As `cp -p` does: the same name, size and time."""
    shutil.copyfile(new, old)
    shutil.copystat(new, old)


CHANGES = {
    "a file is added": lambda folder: (folder / "deep" / "three").write_text(""),
    "a file is changed": lambda folder: (folder / "deep" / "two").write_text("!"),
    "a file is removed": lambda folder: (folder / "one").unlink(),
    "a file is replaced by one of equal size and time": lambda folder: copy_over(folder / "one", folder / "two"),
    "a file takes another's name, with an older time": lambda folder: (folder / "two").rename(folder / "one"),
    "two files change names": swap,
    "one grows by what another shrinks": lambda folder: ((folder / "one").write_text(""), (folder / "two").write_text("22")),
    "a file beside one with a time to come": lambda folder: copy_over(folder / "one", folder / "future"),
    "what a link leads to": lambda folder: (folder.parent / "store" / "file").write_text("S"),
    "what is in a folder that a link leads to": lambda folder: (folder.parent / "store" / "in" / "file").write_text("S"),
    "what a link of a link leads to": lambda folder: (folder.parent / "far").write_text("F"),
    "a link leads elsewhere": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("one")),
    "a link leads nowhere": lambda folder: (folder.parent / "store" / "file").unlink(),
    "an empty folder is added": lambda folder: (folder / "new").mkdir(),
    "an empty folder is removed": lambda folder: (folder / "empty").rmdir(),
    "a file becomes a folder": lambda folder: ((folder / "one").unlink(), (folder / "one").mkdir()),
    "a hidden file is changed": lambda folder: (folder / ".hidden").write_text("H"),
    "a file moves to another folder": lambda folder: (folder / "one").rename(folder / "deep" / "one"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A folder of small files of one size and one time, and links out of it."""
    folder = tmp_path / "d"
    names = ("d/one", "d/two", "d/deep/two", "d/future", "d/.hidden", "store/file", "store/in/file", "far")
    for text, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))
        os.utime(path, ns=(1, 10**9))
    os.utime(folder / "two", ns=(1, 10**8))
    os.utime(folder / "future", ns=(1, 10**19 // 2))
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("../store/file")
    (folder / "linked").symlink_to(tmp_path / "store" / "in")
    (tmp_path / "store" / "in" / "on").symlink_to("../../far")
    return folder


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_below_a_folder_changes_its_stamp_and_its_hash(folder, change):
    before, contents = stamp(folder), content_hash(str(folder))
    assert (stamp(folder), content_hash(str(folder))) == (before, contents)
    change(folder)
    assert stamp(folder) != before
    assert content_hash(str(folder)) != contents


OUT_OF_IT = {
    "what a link leads to",
    "what is in a folder that a link leads to",
    "what a link of a link leads to",
    "a link leads nowhere",
}
"""Changes of what lies elsewhere."""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_of_a_folder_that_is_made_what_links_lead_out_to_is_no_part(folder, change):
    hashes = Hashes("/", is_made=lambda path: path == str(folder))

    def look():
        return hashes.stamp(str(folder)), content_hash(str(folder), within=True)

    before = look()
    change(folder)
    is_same = change in [CHANGES[name] for name in OUT_OF_IT]
    assert [new == old for new, old in zip(look(), before, strict=True)] == [is_same, is_same]


@pytest.mark.parametrize("target", ["/", "..", "../store/in", "./deep/../..", "../d-too", "../nowhere"])
def test_a_folder_that_is_made_is_not_left_by_links(folder, target):
    """`d-too` begins like `d`, and is another one."""
    (folder.parent / "d-too").mkdir()
    (folder.parent / "d-too" / "file").write_text("x" * 1000)
    hashes = Hashes(str(folder.parent), is_made=lambda _path: True)
    (folder / "out").symlink_to(target)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    assert hashes.stamp("d")[0] == size
    assert hashes.folders["d"] == (str(folder),)


CIRCLES = {
    "to itself": [("loop", ".")],
    "upwards": [("loop", ".."), ("deep/loop", "..")],
    "to and fro": [("deep/a", "../other"), ("other/b", "../deep")],
    "doubling": [(f"{n}/{side}", f"../{n + 1}") for n in range(40) for side in "ab"],
    "of no folder": [("x", "y"), ("y", "x")],
}


@pytest.mark.parametrize("links", CIRCLES.values(), ids=CIRCLES)
def test_circles_of_links_end_and_changes_behind_them_are_seen(tmp_path, links):
    folder = tmp_path / "d"
    for name, target in links:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ((folder / name).parent / target).mkdir(
            parents=True, exist_ok=True
        ) if "x" not in name + target and "y" not in name else None
        (folder / name).symlink_to(target)
    (folder / "file").write_text("1")
    before, contents = stamp(folder), content_hash(str(folder))
    (folder / "file").write_text("2")
    assert stamp(folder) != before
    assert content_hash(str(folder)) != contents != ""


def test_joblots_own_files_below_a_folder_are_no_part_of_it(folder):
    hashes = Hashes("/", [folder / "kept" / "state", folder / "kept" / "report.json"])
    (folder / "kept" / "state").mkdir(parents=True)
    before, contents = hashes.stamp(str(folder)), hashes.fact(str(folder), hashes.stamp(str(folder))).sha256
    for name in (
        ".joblot/journal.db",
        "deep/.joblot/x",
        "kept/state/journal.db",
        ".out.txt.3.part",
        "deep/.joblot-0f.part",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    assert hashes.stamp(str(folder)) == before
    assert (
        Hashes("/", [folder / "kept" / "state", folder / "kept" / "report.json"]).fact(str(folder), before).sha256
        == contents
    )


@pytest.mark.parametrize(
    ("outputs", "links"),
    [
        (["d/out"], {}),
        (["d/deep/out", "d/deep/more/"], {}),
        (["away/out"], {"away": "d/deep"}),
        (["store/in/out"], {}),
        (["d/../d/out"], {}),
        (["away/out"], {"d/up": "../away", "away": "store"}),
    ],
    ids=["in it", "deeper", "by a link", "behind a link of it", "another spelling", "behind a chain"],
)
def test_what_a_job_makes_in_a_folder_that_it_reads_is_no_part_of_it(folder, outputs, links):
    base = folder.parent
    for name, target in links.items():
        (base / name).symlink_to(target)
    hashes = Hashes(str(base))

    def look(hashes):
        hashes.stamp("d")
        key = hashes.key("d", outputs)
        return hashes.stamp(key), hashes.fact(key, hashes.stamp(key)).sha256

    before = look(hashes)
    for output in outputs:
        path = base / output
        path.mkdir() if output.endswith("/") else path.write_text("made")
        if path.is_dir():
            (path / "x").write_text("made")
    assert look(Hashes(str(base))) == before
    assert hashes.stamp("d") != before[0], "to other jobs it is"
    (folder / "one").write_text("!")
    assert look(Hashes(str(base)))[1] != before[1]


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
    seen = hashes.stamp("f")
    first = hashes.fact("f", seen)
    assert first.sha256 == hashlib.sha256(b"one").hexdigest()
    path.write_text("two")
    assert hashes.fact("f", seen) is first, "the glance was the same, so it was not read again"
    assert hashes.fact("f", hashes.stamp("f")).sha256 == hashlib.sha256(b"two").hexdigest()
    assert hashes.fact("gone", None) == FileFact("gone")


def test_the_stamp_of_a_file_that_has_just_changed_is_no_proof(tmp_path):
    """A second change within the same tick of the kernel's clock would have the same time."""
    (tmp_path / "f").write_text("one")
    hashes = Hashes(str(tmp_path))
    now = hashes.stamp("f")
    young = hashes.fact("f", now)
    assert young == FileFact("f", 3, now[1], hashlib.sha256(b"one").hexdigest(), now[2], 0)
    assert old_enough(hashes, "f") == FileFact("f", *now[:2], young.sha256, *now[2:])
    later = Hashes(str(tmp_path))
    assert later.same_contents("f", young, now)
    (tmp_path / "f").write_text("two")
    assert not later.same_contents("f", young, later.stamp("f"))


@pytest.mark.parametrize(
    ("age_ns", "changed", "counts"),
    [
        (10**7, 1, False),
        (10**8, 1, True),
        (10**8, 0, False),
        (9 * 10**8, 0, False),
        (3 * 10**9, 0, True),
        (-(10**12), 1, False),
    ],
    ids=["a tick", "later", "whole seconds", "every other second", "long ago", "in time to come"],
)
def test_when_a_time_of_change_is_too_young(tmp_path, age_ns, changed, counts):
    """File systems that keep whole seconds are known by them."""
    (tmp_path / "f").write_text("x")
    at = time.time_ns() - age_ns
    at = at - at % 10**9 if not changed else at | 1
    fact = Hashes(str(tmp_path)).fact("f", (1, 5, 7, at))
    assert fact.changed_ns == (at if counts else 0)


def test_a_fact_of_an_earlier_program_is_compared_by_contents(tmp_path):
    (tmp_path / "f").write_text("abc")
    hashes = Hashes(str(tmp_path))
    size, mtime_ns, *_ = now = hashes.stamp("f")
    kept = FileFact("f", size, mtime_ns, hashlib.sha256(b"abc").hexdigest())
    assert hashes.same_contents("f", kept, now)
    assert not hashes.same_contents("f", FileFact("f", size, mtime_ns, "0" * 64), now)
    assert hashes.same_contents("f", FileFact("f", size, mtime_ns), now), "too large to be read: size and time were all"
    assert not hashes.same_contents("f", FileFact("f", size, mtime_ns + 1), now)


def test_a_very_large_file_is_known_by_its_stamp_alone(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_HASHED + 1)
    hashes = Hashes(str(tmp_path))
    now = hashes.stamp("large")
    fact = hashes.fact("large", now)
    assert fact == FileFact("large", *now[:2], "", *now[2:])
    os.utime(path, ns=now[1:2] * 2)
    assert not hashes.same_contents("large", fact, hashes.stamp("large"))


# --- after a success -------------------------------------------------------------------------------------


def test_declared_outputs_become_artifacts_with_size_and_hash(tmp_path):
    world = World(tmp_path, "out/f.txt")
    world.watch.began([(0, 1)])
    world.write("out/f.txt", "abc")
    outcome = world.end(artifacts=(Artifact("out/f.txt", 3), Artifact("other", 1)))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert outcome.kind == "ok"
    assert outcome.artifacts == (Artifact("out/f.txt", 3, digest), Artifact("other", 1))
    assert [(fact.path, fact.sha256) for fact in world.watch.finished[0]] == [("out/f.txt", digest)]


def test_what_was_hashed_where_it_was_made_is_not_hashed_again_unless_it_has_changed_since(tmp_path):
    world = World(tmp_path, "f")
    world.write("f", "made")
    now = stamp(world.folder / "f")
    fact = FileFact("f", *now[:2], "as told", *now[2:])
    for looked_at, sha256 in ((now, "as told"), ((*now[:3], 1), hashlib.sha256(b"made").hexdigest())):
        world.watch.began([(0, 1)])
        outcome = world.end(looked=((looked_at, fact),))
        assert outcome.artifacts == (Artifact("f", 4, sha256),)


def test_a_declared_output_that_was_not_made_fails_the_attempt(tmp_path):
    world = World(tmp_path, "one", "two", "three")
    world.watch.began([(0, 1)])
    world.write("two")
    outcome = world.end(result=b"1")
    assert (outcome.kind, outcome.reason, outcome.result) == ("error", "missing_output", b"")
    assert outcome.message == "declared output `one` was not made (nor 1 more)"
    assert (world.left(), world.aside()) == ([], ["partial/a/1/two"])
    assert 0 not in world.watch.finished


def test_the_message_for_one_missing_output(tmp_path):
    world = World(tmp_path, "x")
    world.watch.began([(0, 1)])
    assert world.end().message == "declared output `x` was not made"


# --- before an attempt -----------------------------------------------------------------------------------


def test_folders_of_outputs_are_made_and_a_folder_output_is_not(tmp_path):
    world = World(tmp_path, "out/deep/f", "tables/", "made/parts", "none")
    world.watch.began([(0, 1)])
    assert sorted(str(path.relative_to(world.folder)) for path in world.folder.rglob("*")) == [
        "made",
        "out",
        "out/deep",
    ]
    world.end("exit")
    assert (world.folder / "out/deep").is_dir(), "they stay"
    shutil.rmtree(world.folder / "out")
    world.watch.began([(0, 2)])
    assert (world.folder / "out/deep").is_dir(), "an attempt may have removed it"


@pytest.mark.parametrize("in_the_way", ["file", "loose link"])
def test_a_folder_that_cannot_be_made_is_for_the_attempt_to_tell(tmp_path, in_the_way):
    world = World(tmp_path, "out/f", "other/f")
    if in_the_way == "file":
        world.write("out")
    else:
        (world.folder / "out").symlink_to("nowhere/at/all")
    world.watch.began([(0, 1)])
    assert (world.folder / "other").is_dir() and not (world.folder / "out").is_dir()


def kept(world) -> list[str]:
    folder = world.run_dir / KEPT
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_what_was_there_is_kept_until_the_success_is_recorded(tmp_path):
    world = World(tmp_path, "one", "two", "new")
    world.write("one", "1")
    world.write("two/deep/f", "2")
    world.watch.began([(0, 3), (1, 1)])
    assert kept(world) == ["0-3-0", "0-3-1"]
    world.write("one", "new")
    world.write("new")
    outcome = world.end("ok", 3)
    assert kept(world) == ["0-3-0", "0-3-1"], "a kill may come before it is recorded"
    world.watch.recorded([Outcome(1, 1, "ok"), outcome])
    assert kept(world) == []
    world.watch.recorded([outcome])


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_kept_where_nothing_was_there_and_nothing_stays_kept(tmp_path, there):
    world = World(tmp_path, "f")
    if there:
        world.write("f")
    world.watch.began([(0, 1)])
    assert kept(world) == (["0-1-0"] if there else [])
    world.end("returned")
    assert kept(world) == []
    world.watch.began([(0, 1)])
    world.end("exit")
    assert kept(world) == []
    world.watch.began([(0, 2)])
    world.watch.close(ended=True)
    assert not (world.run_dir / KEPT).exists()


def test_an_attempt_that_begins_again_with_its_number_is_kept_anew(tmp_path):
    """It never began: the journal had no room, or another process recorded nothing of it."""
    world = World(tmp_path, "f", "d")
    for text in ("1", "2"):
        world.write("f", text)
        world.write("d/f", text)
        world.watch.began([(0, 1)])
    world.write("f", "half")
    world.write("d/f", "half")
    world.end("exit")
    assert ((world.folder / "f").read_text(), (world.folder / "d/f").read_text()) == ("2", "2")


def can_clone(folder) -> bool:
    one, two = folder / "one", folder / "two"
    one.write_text("x")
    with one.open() as source, two.open("w") as target:
        try:
            fcntl.ioctl(target, 0x40049409, source.fileno())
        except OSError:
            return False
    return True


def test_what_is_large_is_kept_only_as_a_clone(tmp_path):
    world, clones = World(tmp_path, "large", "larger/"), can_clone(tmp_path)
    for name in ("large", "larger/1", "larger/2"):
        with world.write(name, "").open("wb") as file:
            file.truncate(MAX_COPIED // (1 if "1" in name else 2) + 1)
    os.truncate(world.folder / "large", MAX_COPIED + 1)
    world.watch.began([(0, 1)])
    assert kept(world) == (["0-1-0", "0-1-1"] if clones else [])
    for name in ("large", "larger/1"):
        os.truncate(world.folder / name, 1)
    world.end("exit")
    assert (world.folder / "large").exists() == clones
    assert (world.run_dir / "partial/a/1/large").stat().st_size == 1


@pytest.mark.parametrize("what", ["pipe", "socket", "larger", "link to larger"])
@pytest.mark.parametrize("end", ["changed", "removed"])
def test_what_is_not_kept_is_moved_aside_all_the_same_and_that_is_told(tmp_path, what, end):
    world = World(tmp_path, "d")
    match what:
        case "pipe" | "socket":
            world.write("d/f")
            os.mknod(world.folder / "d/s", stat.S_IFIFO if what == "pipe" else stat.S_IFSOCK)
        case _:
            with world.write("store/f" if "link" in what else "d", "").open("wb") as file:
                file.truncate(MAX_COPIED + 1)
            if "link" in what:
                (world.folder / "d").symlink_to("store/f")
            if can_clone(tmp_path):
                pytest.skip("here it is cloned")
    world.watch.began([(0, 1)])
    assert kept(world) == []
    real = (world.folder / "d").resolve()
    gone(real)
    if end == "changed":
        world.write("d", "half")
    assert world.end("exit", message="exit status 1").message == "exit status 1; no copy was kept of what `d` was"
    assert not real.exists()
    assert world.aside() == (["partial/a/1/d"] if end == "changed" else [])


def test_a_file_system_without_extended_attributes_has_its_files_kept(tmp_path, monkeypatch):
    world = World(tmp_path, "f")
    world.write("f", "whole")

    def unknown(_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "listxattr", unknown)
    world.watch.began([(0, 1)])
    world.write("f", "half")
    world.end("exit")
    assert (world.folder / "f").read_text() == "whole"


def test_news_of_an_earlier_attempt_touches_nothing(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began([(0, 2)])
    world.write("f", "half")
    world.end("lost", 1)
    assert world.left() == ["f"]
    world.end("exit", 2)
    assert world.left() == []


def test_of_a_folder_that_is_too_large_nothing_is_read(tmp_path):
    """Every attempt would read and write half a gigabyte in vain."""
    if can_clone(tmp_path):
        pytest.skip("here it is cloned")
    folder, size = tmp_path / "d", 4 * 2**20
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "1", folder / "deep" / "2"):
        path.write_bytes(bytes(size))
    (folder / "link").symlink_to("deep")
    before = written_bytes()
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        Copier().copy(str(folder), str(tmp_path / "copy"), most=2 * size - 1)
    assert not (tmp_path / "copy").exists()
    assert written_bytes() - before < size
    Copier().copy(str(folder), str(tmp_path / "copy"), most=2 * size)
    assert (tmp_path / "copy/deep/2").stat().st_size == size


def written_bytes() -> int:
    """How many bytes this process has given to the system."""
    return int(re.search(r"wchar: (\d+)", Path("/proc/self/io").read_text())[1])


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_what_is_forced_to_disk_and_when(tmp_path, monkeypatch, durability):
    """Copies and notes before the attempt begins, what is put back before its end is recorded. Without `full` nothing is."""
    world, forced = World(tmp_path, "f", "d", durability=durability), []
    world.write("f", "whole")
    world.write("d/g", "whole")
    monkeypatch.setattr(
        os, "fsync", lambda fd: forced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
    )
    world.watch.began([(0, 1)])
    ahead = ["run/kept/0-1-0", "run/kept/0-1-1/g", "run/kept/0-1-1", "run/kept", "run/found.jsonl", "run"]
    assert forced == (ahead if durability == "full" else [])
    world.write("f", "half")
    world.write("d/g", "half")
    world.end("exit")
    assert forced[len(ahead) :] == (["batch", "batch"] if durability == "full" else [])


def test_a_folder_that_holds_the_run_itself_is_not_copied_into_itself(tmp_path):
    world = World(tmp_path, "d")
    world.run_dir = world.folder / "d" / "state" / "runs" / "r"
    world.run_dir.mkdir(parents=True)
    world.watch = OutputWatch(world.plan, world.run_dir, Hashes(str(world.folder)))
    world.watch.began([(0, 1)])
    assert kept(world) == []


def test_without_room_for_copies_nothing_begins(tmp_path, monkeypatch):
    world = World(tmp_path, "f")
    world.write("f")

    def full(*_, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", full)
        with pytest.raises(JournalWriteError) as raised:
            world.watch.began([(0, 1)])
    assert raised.value.message == "cannot keep a copy of `f`: no space left on device"
    assert kept(world) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", full)
        shutil.rmtree(world.run_dir / KEPT)
        world.watch = OutputWatch(world.plan, world.run_dir, world.watch.hashes)
        with pytest.raises(JournalWriteError, match=r"^cannot keep a copy of `f`: no space left on device$"):
            world.watch.began([(0, 1)])
    world.watch.began([(0, 1)])
    assert kept(world) == ["0-1-0"]


# --- after a failure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exit", "timeout", "crash", "error", "oom", "lost", "cancelled"])
def test_what_a_failed_attempt_left_is_moved_aside(tmp_path, kind):
    world = World(tmp_path, "out/f.txt")
    world.watch.began([(0, 3)])
    world.write("out/f.txt", "half")
    world.end(kind, 3)
    assert (world.left(), world.aside()) == ([], ["partial/a/3/f.txt"])
    assert (world.run_dir / "partial/a/3/f.txt").read_text() == "half"


def test_what_was_there_before_and_was_not_touched_stays(tmp_path):
    world = World(tmp_path, "old", "changed")
    world.write("old")
    world.write("changed")
    world.watch.began([(0, 1)])
    world.write("changed", "half of it")
    world.end("exit")
    assert (world.left(), world.aside()) == (["changed", "old"], ["partial/a/1/changed"])
    assert (world.folder / "changed").read_text() == "x"


def test_an_attempt_that_never_began_moves_nothing(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began([(0, 1)])
    world.write("f")
    world.end("returned")
    assert world.left() == ["f"]


def described(path) -> object:
    """All of a file, folder or link that can be put back."""
    status = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path)
    what = {inner.name: described(inner) for inner in path.iterdir()} if path.is_dir() else path.read_bytes()
    return stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_uid, status.st_gid, what


def a_tree(path):
    for name in ("deep/er/f", "g", "closed/f"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
        os.utime(path / name, ns=(5, 10**18 + 7))
    (path / "empty").mkdir()
    (path / "link").symlink_to("deep")
    (path / "loose").symlink_to("nowhere")
    (path / "g").chmod(0o640)
    (path / "closed").chmod(0o555)
    os.utime(path, ns=(5, 10**18 + 9))


def a_file(path, text="whole", mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.utime(path, ns=(3, 10**18 + 123_456_789))


def a_link(path, to, target):
    target(path.parent / "store" / "target") if "target" in to else None
    path.symlink_to(to)


FOUND = {
    "a file": a_file,
    "an empty file": lambda path: a_file(path, ""),
    "a file that may be run": lambda path: a_file(path, mode=0o750),
    "a file that may not be written": lambda path: a_file(path, mode=0o400),
    "a file of somebody else": lambda path: (a_file(path), os.geteuid() or os.chown(path, 1234, 1234)),
    "a folder": a_tree,
    "an empty folder": lambda path: path.mkdir(),
    "a folder that may not be written": lambda path: (a_tree(path), path.chmod(0o555)),
    "a link to a file": lambda path: ((path.parent / "store").mkdir(), a_link(path, "store/target", a_file)),
    "a link to a folder": lambda path: ((path.parent / "store").mkdir(), a_link(path, "store/target", a_tree)),
    "a link to a link": lambda path: (
        (path.parent / "store").mkdir(),
        a_link(path.parent / "on", "store/target", a_file),
        path.symlink_to("on"),
    ),
}


def written(path):
    """As a command that writes in place: over a file, or into a folder."""
    if path.is_dir():
        path.chmod(0o755)
        (path / "more").write_text("half")
        if (path / "g").exists():
            (path / "g").unlink()
    else:
        path.chmod(0o600)
        path.write_text("half")


def gone(path):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


ENDS = {
    "written": written,
    "removed": gone,
    "a file instead": lambda path: (gone(path), path.write_text("half")),
    "a folder instead": lambda path: (gone(path), path.mkdir(), (path / "f").write_text("half")),
    "a link instead": lambda path: (gone(path), path.symlink_to("decoy")),
    "a pipe instead": lambda path: (gone(path), os.mkfifo(path)),
    "a socket instead": lambda path: (gone(path), os.mknod(path, stat.S_IFSOCK | 0o600)),
    "another mode only": lambda path: path.chmod(0o777),
    "untouched": lambda path: None,
}


def looked_at(world) -> dict:
    """All that is there but what the watch of a batch without a state folder has moved aside."""
    paths = [*world.folder.glob("o*"), *world.folder.glob("store/*")]
    return {str(path): described(path) for path in paths if path.name != "other" and not path.name.startswith(".")}


@pytest.mark.parametrize("how", ["failure", "crash", "no state folder"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)
def test_after_a_bad_end_everything_is_as_it_was(tmp_path, make, end, how):
    """With mode, times and owner, and whether or not the other output was touched. G4."""
    world = World(tmp_path, "out", "other", kept=how != "no state folder")
    for name in ("other", "decoy"):
        a_file(world.folder / name)
    make(world.folder / "out")
    before, other, decoy = looked_at(world), described(world.folder / "other"), described(world.folder / "decoy")
    world.watch.began([(0, 1)])
    end(world.folder / "out")
    written(world.folder / "other")
    if how == "crash":
        world.crashed(number=1, began_at=1.0)
    else:
        world.end("exit")
    after = looked_at(world)
    if end is ENDS["another mode only"]:  # its contents are the same: it was not made anew
        assert after.keys() == before.keys()
    else:
        assert after == before
    assert (described(world.folder / "other"), described(world.folder / "decoy")) == (other, decoy)
    if how != "no state folder":
        assert kept(world) == []
    assert not list(world.folder.rglob(".joblot-*"))


class Killed(BaseException):
    """Comes instead of a system call: the process is gone."""


CALLS = ("rename", "symlink", "mkdir", "unlink")


@pytest.mark.parametrize("first", ["failure", "crash"])
@pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)
def test_a_kill_at_any_moment_of_putting_back_loses_nothing(tmp_path, monkeypatch, make, first):
    """Again and again, a call later each time, until it comes to its end: then everything is as it was."""
    if make is FOUND["a folder that may not be written"] and os.geteuid():
        pytest.skip("to move it its mode is changed for a moment")
    world = World(tmp_path, "out", "other")
    a_file(world.folder / "other", "whole too")
    make(world.folder / "out")
    before, other = looked_at(world), described(world.folder / "other")
    real = {name: getattr(os, name) for name in CALLS}
    for moment in range(200):
        world.watch.began([(0, moment)])
        gone(world.folder / "out")
        (world.folder / "out").write_text("half")
        written(world.folder / "other")
        left = moment

        def call(name, *words, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real[name](*words, **options)

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, partial(call, name))
            try:
                if first == "crash":
                    world.crashed(number=moment, began_at=1.0)
                else:
                    world.end("exit", moment)
                killed = False
            except Killed:
                killed = True
        world.crashed(number=moment, began_at=1.0)
        assert (looked_at(world), described(world.folder / "other")) == (before, other), moment
        if not killed:
            break
    assert not killed and moment > 3


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("damage", ["whole", "shorter", "of equal size", "gone"])
def test_after_a_power_cut_a_copy_counts_if_it_is_whole(tmp_path, damage, durability):
    """With `full` it was forced to disk before the attempt began; a copy that nobody has lost is always whole then."""
    world = World(tmp_path, "f", durability=durability)
    world.write("f", "whole")
    world.watch.began([(0, 1)])
    world.write("f", "half")
    copy, notes = world.run_dir / KEPT / "0-1-0", world.run_dir / FOUND_FILE
    if durability == "normal":
        {
            "whole": lambda: None,
            "shorter": lambda: copy.write_text("who"),
            "of equal size": lambda: copy.write_text("wh\0\0\0"),
            "gone": copy.unlink,
        }[damage]()
    notes.write_bytes(b"another boot\n" + notes.read_bytes().partition(b"\n")[2])
    world.crashed(number=1, began_at=1.0)
    assert world.aside() == ["partial/a/1/f"]
    assert world.left() == (["f"] if damage == "whole" or durability == "full" else [])
    assert world.left() == [] or (world.folder / "f").read_text() == "whole"


def test_a_clone_that_nobody_has_read_counts_after_a_power_cut_only_where_it_was_forced(tmp_path):
    world = World(tmp_path, "d")
    world.write("d/f", "whole")
    while (hashes := Hashes(str(world.folder))).glance("d", hashes.stamp("d")).sha256:
        pass  # as long as it is young it is read
    world.watch.began([(0, 1)])
    world.write("d/f", "half")
    notes = world.run_dir / FOUND_FILE
    notes.write_bytes(b"another boot\n" + notes.read_bytes().partition(b"\n")[2])
    world.crashed(number=1, began_at=1.0)
    assert (world.left(), world.aside()) == ([], ["partial/a/1/d.before/f", "partial/a/1/d/f"])


@pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)
def test_from_another_file_system_it_is_put_back_the_same_way(tmp_path, make):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    with TemporaryDirectory(dir=other) as far:
        world = World(tmp_path, "out")
        world.run_dir = Path(far) / "state" / "runs" / "r"
        world.run_dir.mkdir(parents=True)
        world.watch = OutputWatch(world.plan, world.run_dir, Hashes(str(world.folder)))
        make(world.folder / "out")
        before = looked_at(world)
        world.watch.began([(0, 1)])
        gone(world.folder / "out")
        (world.folder / "out").write_text("half")
        world.end("exit")
        assert looked_at(world) == before
        assert world.aside() == ["partial/a/1/out"]
        assert kept(world) == []


def test_the_folder_of_an_output_that_an_attempt_has_removed_is_there_again(tmp_path):
    world = World(tmp_path, "a/b/f")
    world.write("a/b/f", "whole")
    world.watch.began([(0, 1)])
    shutil.rmtree(world.folder / "a")
    world.end("exit")
    assert (world.folder / "a/b/f").read_text() == "whole"


def test_what_cannot_be_put_back_is_named_with_where_it_is(tmp_path):
    world = World(tmp_path, "a/f", "g")
    world.write("a/f", "whole")
    world.write("g", "whole")
    world.watch.began([(0, 1)])
    shutil.rmtree(world.folder / "a")
    world.write("a", "a file where a folder should be")
    world.write("g", "half")
    outcome = world.end("exit", message="exit status 1")
    where = world.run_dir / "partial/a/1/f.before"
    assert outcome.message == f"exit status 1; cannot put `a/f` back: file exists; what it was is `{where}`"
    assert (where.read_text(), (world.folder / "g").read_text()) == ("whole", "whole")


def test_a_copy_that_can_go_nowhere_stays_where_it_is(tmp_path):
    world = World(tmp_path, "a/f", "g")
    world.write("a/f", "whole")
    world.write("g", "whole")
    world.watch.began([(0, 1)])
    shutil.rmtree(world.folder / "a")
    world.write("a", "a file where a folder should be")
    (world.run_dir / "partial").rmdir()
    (world.run_dir / "partial").write_text("another one")
    outcome = world.end("exit", message="exit status 1")
    where = world.run_dir / KEPT / "0-1-0"
    assert outcome.message == f"exit status 1; cannot put `a/f` back: file exists; what it was is `{where}`"
    world.watch.began([(0, 2)])
    assert kept(world) == ["0-1-0", "0-2-1"]
    world.watch.close(ended=True)
    assert (kept(world), where.read_text()) == (["0-1-0"], "whole")


@pytest.mark.parametrize("how", ["failure", "crash"])
@pytest.mark.parametrize("end", ["written", "removed", "inner only", "a file instead"])
@pytest.mark.parametrize("outputs", [("d", "d/in"), ("d/in", "d"), ("d/in", "d", "d/in/f")])
def test_an_output_that_lies_in_another_one_is_put_back_too(tmp_path, outputs, end, how):
    world = World(tmp_path, *outputs)
    a_file(world.folder / "d/in/f", "whole f")
    a_file(world.folder / "d/g", "whole g")
    before = described(world.folder / "d")
    world.watch.began([(0, 1)])
    match end:
        case "written":
            world.write("d/in/f", "half")
            world.write("d/g", "half")
        case "inner only":
            world.write("d/in/f", "half")
        case _:
            shutil.rmtree(world.folder / "d")
            if end == "a file instead":
                world.write("d", "half")
    if how == "crash":
        world.crashed(number=1, began_at=1.0)
    else:
        assert world.end("exit").message == ""
    assert described(world.folder / "d") == before
    assert kept(world) == []


def test_what_a_later_run_has_settled_is_left_alone(tmp_path):
    world = World(tmp_path, "f")
    world.write("f", "whole")
    world.watch.began([(0, 1)])
    world.write("f", "half")
    world.crashed(number=1, began_at=1.0)
    world.watch.settle([(0, 1)])
    world.write("f", "made by another run since")
    world.crashed(number=1, began_at=1.0)
    assert (world.folder / "f").read_text() == "made by another run since"


def test_what_a_killed_attempt_had_made_as_the_last_success_did_stays(tmp_path):
    """The success was noted, and the kill came before it was recorded."""
    world = World(tmp_path, "f")
    world.write("f", "older")
    world.watch.began([(0, 1)])
    world.write("f", "whole")
    fact = FileFact("f", 5, 1, hashlib.sha256(b"whole").hexdigest())
    world.crashed(number=1, began_at=1.0, left=[fact])
    assert ((world.folder / "f").read_text(), world.aside(), kept(world)) == ("whole", [], [])


def test_files_of_one_name_from_two_folders_do_not_overwrite_each_other(tmp_path):
    world = World(tmp_path, "a/f", "b/f")
    world.watch.began([(0, 1)])
    world.write("a/f", "1")
    world.write("b/f", "2")
    world.end("exit")
    assert world.aside() == ["partial/a/1/f", "partial/a/1/f.2"]


def test_a_folder_is_moved_as_a_whole(tmp_path):
    world = World(tmp_path, "out/")
    world.watch.began([(0, 1)])
    world.write("out/deep/f")
    world.end("exit")
    assert (world.left(), world.aside()) == ([], ["partial/a/1/out/deep/f"])


def test_without_a_run_folder_leftovers_are_hidden_where_they_are(tmp_path):
    world = World(tmp_path, "out/f", kept=False)
    world.watch.began([(0, 2)])
    world.write("out/f")
    world.end("exit", 2)
    assert world.left() == ["out/.f.2.part"]


def replaced(path):
    """The same size and time, another file."""
    kept = path.stat()
    path.unlink()
    path.write_text("y")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))


TOUCHES = {
    "written with an old time": (lambda path: (path.write_text("half"), os.utime(path, (1, 1))), "half"),
    "written with a time to come": (lambda path: (path.write_text("half"), os.utime(path, (2**32, 2**32))), "half"),
    "written in place, of equal size and time": (lambda path: copy_over(path, path.parent / "source"), "S"),
    "replaced, of equal size and time": (replaced, "y"),
    "renamed into place": (lambda path: (path.parent / "source").rename(path), "S"),
    "made a link": (lambda path: (path.unlink(), path.symlink_to("source")), "S"),
    "longer": (lambda path: path.write_text("xx"), "xx"),
}


@pytest.mark.parametrize("there", [True, False], ids=["over an older one", "new"])
@pytest.mark.parametrize("crash", [True, False], ids=["crash", "failure"])
@pytest.mark.parametrize(("touch", "text"), TOUCHES.values(), ids=TOUCHES)
def test_whatever_differs_from_what_an_attempt_found_is_its_doing(tmp_path, touch, text, crash, there):
    """Whatever the times of files say, and whatever the clock: the run is said to begin tomorrow."""
    world = World(tmp_path, "out", "other")
    for name, old in (("source", "S"), ("out", "x"), ("other", "o")):
        path = world.write(name, old)
        os.utime(path, (1000, 1000))
    if not there:
        (world.folder / "out").unlink()
    world.watch.began([(0, 2)])
    if not there:
        world.write("out")
    touch(world.folder / "out")
    if crash:
        world.crashed(number=2, began_at=time.time() + 86400)
    else:
        world.end("exit", 2)
    assert ("out" in world.left()) == there
    assert not there or ((world.folder / "out").read_text(), (world.folder / "out").stat().st_mtime) == ("x", 1000)
    assert "other" in world.left()
    aside = world.run_dir / "partial/a/2/out"
    assert aside.is_symlink() or aside.read_text() == text


@pytest.mark.parametrize("crash", [True, False], ids=["crash", "failure"])
def test_what_an_attempt_did_not_touch_or_made_as_it_was_stays(tmp_path, crash):
    """A file with a time to come, one made as the last success made it, and links, also one that leads nowhere, and pipes."""
    world = World(tmp_path, "later", "same", "link", "loose", "pipe", "none")
    for name in ("later", "same", "store/target"):
        world.write(name)
    os.utime(world.folder / "later", (2**32, 2**32))
    (world.folder / "link").symlink_to("store/target")
    (world.folder / "loose").symlink_to("store/nowhere")
    os.mkfifo(world.folder / "pipe")
    world.watch.hashes.learn("same", old_enough(world.watch.hashes, "same"))
    world.watch.began([(0, 1)])
    world.write("same")
    os.utime(world.folder / "pipe")
    if crash:
        world.crashed(number=1, began_at=1.0)
    else:
        world.end("exit")
    assert world.aside() == []
    assert sorted(os.listdir(world.folder)) == ["later", "link", "loose", "pipe", "same", "store"]


@pytest.mark.parametrize("found", ["a link", "a loose link", "a link to a link", "no link", "another link"])
def test_through_a_link_that_was_found_its_target_is_put_back_and_else_the_link_is_moved(tmp_path, found):
    world = World(tmp_path, "out")
    target, out = world.write("store/target", "whole"), world.folder / "out"
    match found:
        case "a link" | "a loose link":
            out.symlink_to("store/target")
        case "a link to a link":
            out.symlink_to("on")
            (world.folder / "on").symlink_to("store/target")
        case "another link":
            out.symlink_to("store/other")
    if found == "a loose link":
        target.unlink()
    world.watch.began([(0, 1)])
    if "link" in found and found not in ("no link", "another link"):
        out.write_text("half")
        world.end("exit")
        assert out.is_symlink() and target.exists() == (found != "a loose link")
        assert not target.exists() or target.read_text() == "whole"
        assert (world.run_dir / "partial/a/1/out").read_text() == "half"
    else:
        out.unlink(missing_ok=True)
        out.symlink_to("store/target")
        world.end("exit")
        assert target.read_text() == "whole", "the attempt did not make that"
        assert (world.run_dir / "partial/a/1/out").is_symlink() and not out.is_symlink()


def test_a_device_is_never_moved(tmp_path):
    world = World(tmp_path, "null", "/dev/null")
    world.watch.began([(0, 1)])
    (world.folder / "null").symlink_to("/dev/null")
    world.crashed(number=1, began_at=1.0)
    assert os.path.exists("/dev/null")
    assert world.aside() == ["partial/a/1/null"]


def test_without_notes_of_what_was_found_older_files_stay_and_what_the_last_success_left(tmp_path):
    """The run is an earlier program's, or a power cut took the notes."""
    world = World(tmp_path, "made", "remade", "older", "new")
    for name in ("made", "remade", "older", "new"):
        world.write(name)
    left = [FileFact(name, *now[:2], "", *now[2:]) for name in ("made",) if (now := stamp(world.folder / name))]
    left.append(FileFact("remade", 1, 5, hashlib.sha256(b"x").hexdigest()))
    os.utime(world.folder / "older", ns=(0, 10**9))
    world.crashed(number=2, began_at=2.0, left=left)
    assert (world.left(), world.aside()) == (["made", "older", "remade"], ["partial/a/2/new"])


@pytest.mark.parametrize("cut", [b"\n[0,2,[[[", b"\n[0,2,[", b"\nnull\n"], ids=["deep", "short", "other"])
def test_notes_that_were_cut_short_do_not_spoil_others(tmp_path, cut):
    world = World(tmp_path, "f")
    world.write("f")
    world.watch.began([(0, 1)])
    notes = world.run_dir / FOUND_FILE
    notes.write_bytes(notes.read_bytes() + cut)
    world.watch.began([(0, 2)])
    world.crashed(number=2, began_at=1.0)
    assert (world.left(), world.aside()) == (["f"], [])


def test_notes_of_another_boot_do_not_say_that_nothing_was_found(tmp_path):
    """What is missing a power cut may have taken; from then on every attempt is noted."""
    world = World(tmp_path, "f")
    (world.run_dir / FOUND_FILE).write_bytes(b"another boot\n")
    os.utime(world.write("f"), ns=(0, 10**9))
    world.crashed(number=1, began_at=2.0)
    assert world.left() == ["f"]
    (world.folder / "f").unlink()
    world.watch.began([(0, 2)])
    os.utime(world.write("f"), ns=(0, 10**9))
    world.crashed(number=2, began_at=2.0)
    assert world.aside() == ["partial/a/2/f"]


def test_what_cannot_be_noted_must_not_begin(tmp_path):
    world = World(tmp_path, "f")
    shutil.rmtree(world.run_dir)
    with pytest.raises(JournalWriteError) as raised:
        world.watch.began([(0, 1)])
    assert raised.value.message == f"cannot write to `{world.run_dir}/found.jsonl`: no such file or directory"


def test_of_a_run_that_has_ended_no_notes_are_kept(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began([(0, 1)])
    world.watch.close(ended=False)
    assert (world.run_dir / FOUND_FILE).exists()
    world.watch.began([(0, 2)])
    world.watch.close(ended=True)
    assert not (world.run_dir / FOUND_FILE).exists()


def test_jobs_without_outputs_are_not_looked_at(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began([(1, 1)])
    outcome = Outcome(1, 1, "ok")
    world.watch.ended(outcome)
    assert (outcome.kind, outcome.artifacts, world.watch.finished) == ("ok", (), {})


def test_leftovers_that_cannot_be_moved_are_named(tmp_path):
    world = World(tmp_path, "f")
    world.watch.began([(0, 1)])
    (world.run_dir / "partial").rmdir()
    (world.run_dir / "partial").write_text("a file where a folder should be")
    world.write("f")
    outcome = world.end("exit", message="exit status 1")
    assert outcome.message == f"exit status 1; cannot move `{world.run_dir}/partial` aside: not a directory"
    assert world.left() == ["f"]


def test_a_path_that_no_file_can_have_is_not_there():
    assert Hashes("/").stamp("a\0b") is None
