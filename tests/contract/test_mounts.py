"""A state folder on a network file system is refused, unless it is wanted."""

import pytest

from contract.journals import create
from joblot.errors import StateError
from joblot.journal.folder import StateFolder
from joblot.journal.mounts import network_type

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /home rw shared:1 - nfs4 server:/home rw,vers=4.2
41 40 0:51 / /home/local\\040disk rw - xfs /dev/vdb rw
42 27 0:52 / /mnt/a rw - fuse.sshfs me@host: rw
43 27 0:53 / /mnt/b rw - fuse.mergerfs a:b rw
44 27 0:54 / /mnt/c rw - cifs //host/share rw
45 27 0:55 / /mnt/d rw - 9p host rw
46 27 0:56 / /mnt/over rw - nfs host:/x rw
47 46 0:57 / /mnt/over rw - tmpfs tmpfs rw
not a line of such a table
"""


@pytest.fixture
def mounts(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    return table


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/state", ""),
        ("/home/ann/.joblot", "nfs4"),
        ("/homes/.joblot", ""),
        ("/home/local disk/.joblot", ""),
        ("/mnt/a/.joblot", "fuse.sshfs"),
        ("/mnt/b/.joblot", ""),
        ("/mnt/c", "cifs"),
        ("/mnt/d/x/y", "9p"),
        ("/mnt/over/x", ""),
        ("/", ""),
    ],
)
def test_the_longest_mount_point_says_the_type(mounts, path, kind):
    from pathlib import Path

    assert network_type(Path(path), mounts) == kind


def test_without_a_table_everything_is_local(tmp_path):
    assert network_type(tmp_path, tmp_path / "none") == ""


@pytest.fixture
def network(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:50 / {tmp_path} rw - nfs4 server:/x rw\n")
    return table


def test_a_network_file_system_is_refused_with_advice_and_nothing_is_made(tmp_path, network):
    with pytest.raises(StateError) as caught:
        StateFolder(tmp_path / "state", network_ok=False, mounts=network)
    assert str(caught.value) == (
        f"the state folder `{tmp_path}/state` is on a network file system (nfs4), where a journal is not safe"
    )
    assert caught.value.hint == "choose a local disk with `--state`, or take the risk with `--allow-network-fs`"
    assert caught.value.exit_code == 4
    assert not (tmp_path / "state").exists()


def test_where_it_is_wanted_the_journal_does_without_shared_memory(tmp_path, network):
    folder = StateFolder(tmp_path / "state", mounts=network)
    create(folder.journal)
    assert folder.journal._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert folder.journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert sorted(path.name for path in folder.path.iterdir()) == [".gitignore", "journal.db"]
    folder.close()
    reader = StateFolder(tmp_path / "state", read_only=True)
    assert reader.journal.info("r1").batch == "b"
    reader.close()
