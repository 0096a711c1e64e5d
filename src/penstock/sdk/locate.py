"""Which workspace is meant: what was named, else what the environment or the folders around say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.entities.errors import UsageError
from penstock.home import CONFIG_NAME, DEFAULT_FOLDER, Home

WORKSPACE_VARIABLE = "PENSTOCK_WORKSPACE"
TOKEN_VARIABLE = "PENSTOCK_TOKEN"


@dataclass(frozen=True, slots=True)
class Location:
    """A workspace's place: exactly one of ``url`` and ``home`` is set.

    ``is_new`` for a default folder that is not there yet.
    """

    url: str = ""
    home: Home | None = None
    is_new: bool = False


def locate_workspace(
    place: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Location:
    """Return where the workspace is.

    Parameters
    ----------
    place : str or path, optional
        A folder or a server's URL; without it ``PENSTOCK_WORKSPACE``, else the nearest folder from here
        upwards with ``penstock.toml``, else ``.penstock`` here.
    environment : mapping, optional
        Variables; the process's own by default.
    folder : Path, optional
        Where to look from; the current folder by default.

    Raises
    ------
    UsageError
        If the place is a file.
    """
    environment = os.environ if environment is None else environment
    named = os.fspath(place) if place is not None else environment.get(WORKSPACE_VARIABLE, "")
    if named.startswith(("http://", "https://")):
        return Location(url=named)
    here = Path.cwd() if folder is None else folder
    if named:
        root = here / Path(named).expanduser()
        if root.is_file() and root.name == CONFIG_NAME:
            root = root.parent
        if root.exists() and not root.is_dir():
            raise UsageError(f"workspace {named!r} is a file", hint="Name a folder or a server's URL.")
        return Location(home=Home(root.resolve()))
    for candidate in (here, *here.parents):
        if (candidate / CONFIG_NAME).is_file():
            return Location(home=Home(candidate.resolve()))
    home = Home((here / DEFAULT_FOLDER).resolve())
    return Location(home=home, is_new=not home.root.exists())
