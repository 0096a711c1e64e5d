"""Which workspace is meant: what was named, else what the environment or the folders around say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.entities.errors import NotFoundError, UsageError
from penstock.home import CONFIG_NAME, DEFAULT_FOLDER, Home

WORKSPACE_VARIABLE = "PENSTOCK_WORKSPACE"
TOKEN_VARIABLE = "PENSTOCK_TOKEN"
_MOST_BESIDE = 1000


@dataclass(frozen=True, slots=True)
class Location:
    """A workspace's place: exactly one of ``url`` and ``home`` is set.

    ``is_new`` for a folder that is no workspace yet; ``searched`` is then where the search upwards began, None where
    the folder was named.
    """

    url: str = ""
    home: Home | None = None
    is_new: bool = False
    searched: Path | None = None

    def must_exist(self, hint: str = "") -> Location:
        """Return this location if there is a workspace at it.

        Raises
        ------
        NotFoundError
            If it would have to be made first.
        """
        if self.home is None or not self.is_new:
            return self
        if self.searched is not None:
            hint = hint or "Make one with: penstock up"
            raise NotFoundError(f"no workspace here; looked upwards from {self.searched}", hint=hint)
        hint = hint or f"Make one with: penstock up -w {self.home.root}"
        near = _nearest(self.home.root)
        hint = f'Did you mean "{near}"? {hint}' if near else hint
        raise NotFoundError(f"there is no workspace in {self.home.root}", hint=hint)

    def again(self) -> Location:
        """Return this location as it is now: somebody may have made the workspace meanwhile."""
        return replace(self, is_new=self.is_new and self.home is not None and not is_workspace(self.home))


def locate_workspace(
    place: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Location:
    """Return where the workspace is, or would be made.

    Parameters
    ----------
    place : str or path, optional
        A folder, one that holds a workspace ``.penstock``, or a server's URL; without it ``PENSTOCK_WORKSPACE``, else
        the nearest from here upwards of a folder with ``penstock.toml`` and a workspace ``.penstock``, else
        ``.penstock`` here.
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
    # os.path, as pathlib's questions raise where a folder on the way may not be looked into.
    named = os.fspath(place) if place is not None else environment.get(WORKSPACE_VARIABLE, "")
    if named.startswith(("http://", "https://")):
        return Location(url=named)
    here = Path.cwd() if folder is None else folder
    if named:
        root = here / Path(named).expanduser()
        if root.name == CONFIG_NAME and os.path.isfile(root):
            root = root.parent
        if os.path.exists(root) and not os.path.isdir(root):
            raise UsageError(f'workspace "{named}" is a file', hint="Name a folder or a server's URL.")
        home = Home(root.resolve())
        inside = Home(home.root / DEFAULT_FOLDER)
        if not is_workspace(home) and is_workspace(inside):
            return Location(home=Home(inside.root.resolve()))
        return Location(home=home, is_new=not is_workspace(home))
    for candidate in (here, *here.parents):
        if os.path.isfile(candidate / CONFIG_NAME):
            return Location(home=Home(candidate.resolve()))
        home = Home(candidate / DEFAULT_FOLDER)
        if is_workspace(home):
            return Location(home=Home(home.root.resolve()))
    return Location(home=Home((here / DEFAULT_FOLDER).resolve()), is_new=True, searched=here)


def is_workspace(home: Home) -> bool:
    """Return whether a folder was made a workspace.

    One that may not be looked into is taken for one: what is done with it then says why it cannot be.
    """
    for mark in (home.config_file, home.token_file, home.metadata_db):
        try:
            mark.stat()
        except PermissionError:
            return True
        except OSError:
            continue
        return True
    return False


def _nearest(folder: Path) -> Path | None:
    """Return the workspace beside a folder whose name is most like its own, else the one around it."""
    from penstock.rules.suggest import nearest  # only who is wrong pays for it

    beside: dict[str, Path] = {}
    try:
        for number, one in enumerate(os.scandir(folder.parent)):
            if number < _MOST_BESIDE and one.is_dir() and is_workspace(Home(Path(one.path))):
                beside[one.name] = Path(one.path)
    except OSError:
        pass
    names = nearest(folder.name, list(beside))
    if names:
        return beside[names[0]]
    around = locate_workspace(environment={}, folder=folder.parent)
    return around.home.root if around.home is not None and not around.is_new else None
