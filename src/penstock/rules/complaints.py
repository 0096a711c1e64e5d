"""The words for what can be wrong with a value: the closed set of messages behind ``validation``."""

from __future__ import annotations

from typing import Any

from penstock.entities import base
from penstock.rules.suggest import did_you_mean

SHAPES = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
"""pydantic's complaints about the kind of a value, and what was wanted instead."""

_NAME_RULE = "begins with a letter or digit and goes on with letters, digits,"
PATTERNS = {
    base.ASSET_NAME_PATTERN: (
        "is no valid name",
        f"A name {_NAME_RULE} '-', '_' and '.', 255 at most.",
    ),
    base.JOB_NAME_PATTERN: (
        "is no valid job name",
        f"A job's name {_NAME_RULE} '-' and '_', 255 at most; display_name is free text.",
    ),
    base.ENDPOINT_NAME_PATTERN: (
        "is no valid name",
        "It begins with a letter, goes on with letters, digits and '-', ends without '-', and is 3 to 32 long.",
    ),
    base.PARAMETER_NAME_PATTERN: (
        "is no valid name for an input or output",
        "Begin with a letter or '_', go on with letters, digits, '_' and '-'.",
    ),
    base.ENV_NAME_PATTERN: ("is no name of an environment variable", "It may not be empty or hold '='."),
    base.NO_NUL_PATTERN: ("holds a NUL character, which no command can take", ""),
}

MISSING_HINTS = {
    "command": "Say what to run, for example: command: python train.py",
    "name": "Give it a name, for example: name: digits",
    "path": "Say where it is: a file, a folder, azureml://jobs/… or an http(s) address.",
    "endpoint_name": "Name the endpoint it belongs to.",
    "scoring_script": "Name the file with init() and run(), for example: scoring_script: score.py",
    "code": "Name the folder with the scoring script.",
}

KEY_HINTS = {
    "dependencies": ("conda_file", "This looks like a conda file; name that file with conda_file."),
    "channels": ("conda_file", "This looks like a conda file; name that file with conda_file."),
    "docker": ("image", "Name a container image with image."),
    "script": ("command", "Write it as command: python <script>."),
    "arguments": ("command", "Write them behind the command, as in command: python train.py --lr ${{inputs.lr}}."),
    "env": ("environment_variables", 'Did you mean "environment_variables"?'),
    "environmentVariables": ("environment_variables", 'Did you mean "environment_variables"?'),
    "jobs": ("command", "A job with steps is a pipeline; this is a command job."),
}
"""Keys that people know from elsewhere: the key that must be possible here, and what to say."""

_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def complain(kind: str, key: str | int, value: Any, context: dict[str, Any], text: str) -> tuple[str, str]:
    """Return message and hint for one complaint.

    Parameters
    ----------
    kind : str
        pydantic's name of it.
    key : str or int
        The last part of its path.
    value : Any
        What was given.
    context : dict
        pydantic's details, such as the bound that was passed.
    text : str
        pydantic's own words, the last resort.
    """
    if kind == "missing":
        return f'"{key}" is missing', MISSING_HINTS.get(str(key), "")
    if kind in ("literal_error", "enum"):
        return _choice(value, choices_of(context))
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {_number(context.get(bound))}, not {show(value)}", ""
    if kind == "string_pattern_mismatch":
        words, hint = PATTERNS.get(str(context.get("pattern")), ("does not have the form wanted here", ""))
        return f"{show(value)} {words}", hint
    if kind == "string_too_short" and not value:
        return "must not be empty", MISSING_HINTS.get(str(key), "")
    if kind in ("string_too_short", "string_too_long"):
        return f"{show(value)} is too {kind.rpartition('_')[2]}: {_lengths(context)}", ""
    if kind == "finite_number":
        return f"{show(value)} is no finite number", "Put it in quotes if it is meant as text."
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", text)), ""
    return text[:1].lower() + text[1:], ""


def describe_shapes(kinds: list[str], value: Any) -> str:
    """Return ``must be text or a mapping, not a list`` for the complaints about one value."""
    wanted = list(dict.fromkeys(SHAPES[kind] for kind in kinds))
    if "a number" in wanted and "a whole number" in wanted:
        wanted.remove("a whole number")
    last = wanted.pop()
    words = f"{', '.join(wanted)} or {last}" if wanted else last
    return "has no value" if value is None else f"must be {words}, not {show(value)}"


def show(value: Any) -> str:
    """Return a value as its author would recognise it, in at most 60 characters."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    text = text if len(text) <= 58 else text[:57] + "…"
    return f'"{text}"' if isinstance(value, str) else text


def choices_of(context: dict[str, Any]) -> list[str]:
    """Return the possible values that pydantic lists as ``'a', 'b' or 'c'``."""
    expected = str(context.get("expected", ""))
    choices = [choice for part in expected.split(",") for choice in part.split(" or ")]
    return [choice.strip().strip("'") for choice in choices if choice.strip()]


def hint_for_key(key: str, possible: list[str]) -> str:
    """Return what to say about a key that people know from elsewhere, or ``""``."""
    wanted, hint = KEY_HINTS.get(key, ("", ""))
    return hint if wanted in possible else ""


def _choice(value: Any, names: list[str]) -> tuple[str, str]:
    message = f"{show(value)} is not possible here"
    hint = did_you_mean(value, names) if isinstance(value, str) else ""
    return message, hint or (f"Possible: {', '.join(names)}." if names else "")


def _lengths(context: dict[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    if least == most:
        return f"exactly {least} characters"
    if not least or most is None:
        return f"at least {least} characters" if least else f"at most {most} characters"
    return f"{least} to {most} characters"


def _number(bound: Any) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)
