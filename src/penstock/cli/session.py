"""Open the workspace a command is about."""

from __future__ import annotations

import os

from penstock.entities.errors import NotFoundError, UsageError
from penstock.sdk.launch import explain_folder, shorten
from penstock.sdk.locate import TOKEN_VARIABLE, Location, locate_workspace
from penstock.sdk.rest import Rest
from penstock.sdk.workspace import connect


def open_rest(workspace: str | None, *, create: bool = False) -> Rest:
    """Return the calls of the workspace's server; a folder without a server gets one, which is said.

    Parameters
    ----------
    workspace : str, optional
        What ``-w`` says.
    create : bool
        Make a workspace where there is none; without it that is an error.
    """
    location = locate_workspace(workspace)
    return connect(location if create else location.must_exist())


def read_token(location: Location) -> str:
    """Return the token for a workspace: of its folder, or for a URL what the environment holds; starts nothing."""
    if location.home is None:
        found = os.environ.get(TOKEN_VARIABLE)
        if not found:
            raise UsageError(f"no token for {location.url}", hint=f"Set {TOKEN_VARIABLE}.")
        return found
    try:
        found = location.home.read_token()
    except OSError as error:
        raise explain_folder(error, location.home.root) from error
    if not found:
        place = shorten(location.home.root)
        raise NotFoundError(
            f"workspace {place} has no token yet", hint=f"Its first start makes one: penstock up -w {place}"
        )
    return found
