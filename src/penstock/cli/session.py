"""Open the workspace a command is about."""

from __future__ import annotations

from penstock.sdk.locate import locate_workspace
from penstock.sdk.rest import Rest
from penstock.sdk.workspace import connect


def open_rest(workspace: str | None) -> Rest:
    """Return the calls of the workspace's server; a folder without a server gets one, which is said."""
    return connect(locate_workspace(workspace))
