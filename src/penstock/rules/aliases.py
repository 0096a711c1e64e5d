"""Names of aliases: marks that point at one version of a model, such as ``champion``."""

from __future__ import annotations

import re

from penstock.entities.errors import UsageError

LATEST = "latest"
MAX_ALIAS = 255
_ALIAS = re.compile(r"[\w-]*")
_VERSION_ALIAS = re.compile(r"[vV]\d+")


def check_alias(alias: str, *, is_new: bool = False) -> str:
    """Return an alias as it is.

    Parameters
    ----------
    is_new : bool
        Whether it is to be set: then it must not be ``latest`` or look like a version, which always mean the same.

    Raises
    ------
    UsageError
        If it is none, in the words of MLflow's protocol.
    """
    if not alias:
        raise UsageError("Registered model alias name cannot be empty.")
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            f"Invalid alias name: '{alias[:MAX_ALIAS]}'. Names may only contain alphanumerics, underscores (_), and "
            "dashes (-)."
        )
    if len(alias) > MAX_ALIAS:
        raise UsageError(f"'Registered model alias name' exceeds the maximum length of {MAX_ALIAS} characters.")
    if is_new and alias.lower() == LATEST:
        raise UsageError("'latest' alias name (case insensitive) is reserved.")
    if is_new and _VERSION_ALIAS.fullmatch(alias):
        raise UsageError(f"Version alias name '{alias}' is reserved.")
    return alias
