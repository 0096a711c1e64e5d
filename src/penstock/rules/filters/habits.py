"""What people write in filters by habit from elsewhere, and how it is written here: the hints of refused filters."""

from __future__ import annotations

from penstock.rules.suggest import did_you_mean

_STATES = {
    "FINISHED": ("COMPLETED", "COMPLETE", "DONE", "SUCCEEDED", "SUCCESS", "OK"),
    "KILLED": ("CANCELED", "CANCELLED", "CANCELREQUESTED", "ABORTED", "STOPPED"),
    "FAILED": ("ERROR", "FAILURE"),
    "SCHEDULED": ("QUEUED", "PENDING", "NOTSTARTED", "PREPARING", "STARTING"),
    "RUNNING": ("ACTIVE", "INPROGRESS"),
}
_STATE_MEANT = {word: state for state, words in _STATES.items() for word in words}
_OPERATORS = {
    "=>": "Write >=.",
    "=<": "Write <=.",
    "&": "Write AND.",
    "&&": "Write AND.",
    "|": "Write OR.",
    "||": "Write OR.",
    "~": "Write MATCHES 'regular expression'.",
    "=~": "Write MATCHES 'regular expression'.",
    "!": "Write NOT, or !=.",
    "CONTAINS": "Write LIKE '%part%'.",
    "STARTSWITH": "Write LIKE 'beginning%'.",
    "ENDSWITH": "Write LIKE '%end'.",
    "REGEXP": "Write MATCHES 'regular expression'.",
    "BETWEEN": "Write two comparisons: metrics.loss >= 0.1 AND metrics.loss <= 0.2.",
}
_QUOTES = "Quotes are closed by the quote that opened them."


def hint_for_choice(value: str, choices: tuple[str, ...]) -> str:
    """Return which of the possible values was meant, where that can be told, and which there are."""
    plain = value.upper().replace("_", "").replace(" ", "").replace("-", "")
    state = _STATE_MEANT.get(plain)
    meant = f'Did you mean "{state}"?' if state in choices else did_you_mean(value, choices)
    return f"{meant} It is one of {', '.join(choices)}.".lstrip()


def hint_for_token(text: str) -> str:
    """Return how the operator or joining word that stands where none of ours is is written here."""
    if text in ("'", '"', "`"):
        return _QUOTES
    return _OPERATORS.get(text.upper()) or (did_you_mean(text, ("AND", "OR")) if text.isalpha() else "")


def hint_for_attribute(key: str, attributes: tuple[str, ...]) -> str:
    """Return what a name without a prefix may have meant."""
    if key == "experiment_name":
        return "Name experiments beside the filter: --experiment, experiments=[…]; or compare experiment_id."
    meant = did_you_mean(key, attributes)
    if meant:
        return meant
    written = key[:60] if key.isidentifier() else "name"
    return (
        f"They have {', '.join(attributes)}. A metric is written metrics.{written}, a parameter params.{written},"
        f" a tag tags.{written}."
    )


def hint_for_text(text: str, name: str) -> str:
    """Return how something that stands where a quoted text is wanted is written."""
    if text.upper() in ("NULL", "NONE", "NIL"):
        return f"Write {name} IS NULL, or {name} IS NOT NULL."
    if text in ("'", '"', "`"):
        return _QUOTES
    return f"Put it in quotes: '{text[:40]}'." if text.replace("_", "").isalnum() else "Texts stand in quotes: 'text'."
