"""What MLflow's registry takes as names, tags, stages and numbers of versions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from penstock.entities.errors import UsageError
from penstock.server.mlflow.limits import check_key, required
from penstock.server.mlflow.wire import Pair

MAX_TAG_VALUE = 100_000
MAX_NAME = 500
MODELS_PAGE, MAX_MODELS = 100, 1000
MAX_VERSIONS = 200_000
STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE_STAGES = ("Staging", "Production")

_LARGEST = 2**31 - 1


def check_model_name(name: str, parameter: str = "name") -> str:
    """Return a registered model's name, or raise UsageError."""
    if not name.strip():
        raise UsageError(f"Missing value for required parameter '{parameter}'.")
    if "/" in name or ":" in name:
        raise UsageError(f"Invalid model name '{name[:MAX_NAME]}'. Names cannot contain '/' or ':'.")
    if posixpath.normpath(name) != name or name in {".", ".."}:
        raise UsageError(f"Invalid value {name[:MAX_NAME]!r} for parameter '{parameter}': it would name a folder.")
    if len(name) > MAX_NAME or any(ord(letter) < 32 for letter in name):
        raise UsageError(f"A model's name has at most {MAX_NAME} characters, and no control characters.")
    return name


def check_version(version: str) -> str:
    """Return the number of a version as it is stored, or raise UsageError if it is no whole number."""
    required(version, "version")
    try:
        number = int(version)
    except ValueError as error:
        raise UsageError(f"Parameter 'version' must be an integer, got '{version[:50]}'.") from error
    return str(number if abs(number) <= _LARGEST else 0)


def check_tags(tags: Iterable[Pair]) -> dict[str, str]:
    """Return a registry's tags; the last of equal keys counts."""
    return {check_tag(tag.key, tag.value): tag.value for tag in tags}


def check_tag(key: str, value: str | None) -> str:
    """Return a registry tag's key, or raise UsageError; long values are refused, not cut."""
    check_key(key)
    if value is None:
        raise UsageError("Missing value for required parameter 'value'.")
    if len(value) > MAX_TAG_VALUE:
        raise UsageError(f"'value' exceeds the maximum length of {MAX_TAG_VALUE} characters.")
    return key


def read_stage(stage: str) -> str:
    """Return a stage as it is stored, whatever its case, or raise UsageError."""
    for known in STAGES:
        if known.lower() == stage.lower():
            return known
    raise UsageError(f"Invalid Model Version stage: {stage[:50]}. Value must be one of {', '.join(STAGES)}.")


def check_most(asked: int | None, usual: int, most: int) -> int:
    """Return the size of a page, or raise UsageError."""
    found = usual if asked is None else asked
    if not 1 <= found <= most:
        raise UsageError(
            f"Invalid value {found} for parameter 'max_results' supplied: it must be at least 1 and at most {most}."
        )
    return found
