"""On what kind of file system a path is, from the kernel's table of mounts. It does not know what is done with the answer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = frozenset(
    {
        "9p", "afs", "afp", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
        "nfs4", "ocfs2", "orangefs", "panfs", "smb3", "smbfs", "vboxsf", "virtiofs", "wekafs",
    }
)  # fmt: skip
_LOCAL_FUSE: Final = frozenset(
    {"fuse.ext2", "fuse.ext4", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs", "fuseblk"}
)
_OCTAL: Final = r"\\([0-7]{3})"


def network_type(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the network file system that a path is on or would be made on, such as `nfs4`; empty on a local one.

    Where the kernel has no such table (not Linux) everything counts as local.
    """
    kind = _type_of(os.path.realpath(path), mounts)
    return kind if kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE) else ""


def _type_of(path: str, mounts: Path) -> str:
    """The type of the file system whose mount point is the longest one above the path; of two on one point, the later one."""
    best, kind = "", ""
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:
            point = fields[4]
            if "\\" in point:
                point = re.sub(_OCTAL, lambda match: chr(int(match[1], 8)), point)
            if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
                best, kind = point, after.split(" ")[0]
    return kind
