"""Write a deployment as a folder that runs alone: what the server packs, unpacked with care."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from penstock.entities.errors import NotFoundError, UsageError
from penstock.sdk.response import check_folder, explain_target
from penstock.sdk.rest import Rest

TARGETS = ("folder", "docker")


def export_deployment(rest: Rest, endpoint: str, deployment: str | None, target: str, folder: Path) -> tuple[str, int]:
    """Write a deployment to a folder, which is there only once it is whole; return its name and the number of files.

    Parameters
    ----------
    deployment : str, optional
        Without a name it is the one with most traffic.

    Raises
    ------
    UsageError
        If the folder holds something already or cannot be written.
    NotFoundError
        If the endpoint has no deployment.
    """
    if target not in TARGETS:
        raise UsageError(f'--target "{target}" is unknown', hint=f"Name one of: {', '.join(TARGETS)}.")
    with contextlib.suppress(NotADirectoryError):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} holds something already", hint="Name a new or an empty folder.")
    name = deployment or _leading(rest, endpoint)
    check_folder(folder)
    answer = rest.open_export(endpoint, name, target)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise explain_target(error, folder) from error
    try:
        packed = building / "packed.tar"
        answer.save(packed)
        made = building / folder.name
        made.mkdir(mode=0o755)
        count = _unpack(packed, made)
        made.rename(folder)
    except OSError as error:
        raise explain_target(error, folder) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return name, count


def _leading(rest: Rest, endpoint: str) -> str:
    traffic = rest.get_endpoint(endpoint).get("traffic") or {}
    names = [found["name"] for found in rest.list_deployments(endpoint)]
    if not names:
        raise NotFoundError(f'endpoint "{endpoint}" has no deployment', hint="Create one first.")
    return str(min(names, key=lambda name: (-traffic.get(name, 0), name)))


def _unpack(packed: Path, folder: Path) -> int:
    """Write the plain files of an archive below a folder, and nothing else."""
    count = 0
    with tarfile.open(packed) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            source = archive.extractfile(member) if member.isfile() else None
            if source is None or path.is_absolute() or ".." in path.parts:
                raise UsageError(f"the server sent an archive with {member.name[:200]!r} in it, which is no plain file")
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("xb") as file:
                shutil.copyfileobj(source, file, 1 << 18)
            target.chmod(member.mode & 0o755)
            count += 1
    return count
