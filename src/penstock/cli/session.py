"""Open the workspace a command is about."""

from __future__ import annotations

from penstock.sdk.locate import locate_workspace
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
