"""Tell a network file system from a local one; SQLite's write-ahead log is not safe on the former.

Linux says it in ``/proc/self/mountinfo``; elsewhere nothing is refused.
"""

from __future__ import annotations

import re
from pathlib import Path

from penstock.entities.errors import RefusedError

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"}
)
# A container's root file system; local although it is in user space.
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs"})


def refuse_network(folder: Path) -> None:
    """Raise RefusedError where ``folder`` lies on a network file system.

    Parameters
    ----------
    folder : Path
        An existing folder.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = file_system(folder.resolve(), mounts)
    if is_network(kind):
        raise RefusedError(
            f"{folder} is on a network file system ({kind}), where a database can be damaged",
            hint="Put the workspace on a local disk.",
        )


def is_network(kind: str) -> bool:
    """Return whether a file system type is served over a network or by an unknown user process."""
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def file_system(path: Path, mountinfo: str) -> str:
    """Return the type of the file system that holds an absolute path, ``""`` if none is named.

    Parameters
    ----------
    path : Path
        Absolute, without symbolic links.
    mountinfo : str
        The text of ``/proc/self/mountinfo``, proc(5); a later mount hides an earlier one on the same place.
    """
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if path.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), after.split()[0]
    return kind
