"""Which action of the permission table a request of the MLflow protocol performs.

Judged from the path alone, before any handler: what a noun has no line for is judged by its method and closed to
jobs, so a handler that somebody adds is refused rather than open. What a job may do within limits is checked
further by the handlers themselves.
"""

from __future__ import annotations

from functools import lru_cache

from penstock.rules.permissions import Action, default_action
from penstock.server.mlflow.traces import is_trace

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_PREFIXES = ("/api/2.0/mlflow/", "/api/3.0/mlflow/")
_OPEN = frozenset({"/version", "/api/3.0/mlflow/server-info", "/api/2.0/mlflow/server-info"})

_RUN = (Action.RUN_READ, Action.RUN_LOG, Action.RUN_DELETE)
_MODEL = (Action.MODEL_READ, Action.MODEL_REGISTER, Action.MODEL_DELETE)
# Noun → what asking, changing and deleting the thing itself are.
_NOUNS: dict[str, tuple[Action, Action, Action]] = {
    "runs": _RUN,
    "metrics": _RUN,
    "artifacts": _RUN,
    "logged-models": _RUN,
    "experiments": (Action.EXPERIMENT_READ, Action.EXPERIMENT_CREATE, Action.EXPERIMENT_DELETE),
    "registered-models": _MODEL,
    "model-versions": _MODEL,
}
# The name alone is what others look a model up by; which versions a job may change, the handlers ask.
_RENAMES = frozenset({("registered-models", "rename")})
_QUESTIONS = frozenset({"search", "get-latest-versions", "get-history-bulk", "get-history-bulk-interval"})
_DELETIONS = frozenset({"delete", "restore"})
_EXPERIMENT_TAGS = frozenset({"set-experiment-tag", "delete-experiment-tag"})


def action_of(method: str, path: str) -> Action:
    """Return the action that a request performs."""
    if path.startswith(ARTIFACTS):
        return _artifact_action(method)
    if path in _OPEN:
        return Action.WORKSPACE_ASK
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), "")
    noun, _, rest = path.removeprefix(prefix).partition("/")
    if not prefix or noun not in _NOUNS:
        # Traces are refused to everybody in the same words.
        return Action.WORKSPACE_ASK if is_trace(path) else default_action(method)
    parts = rest.split("/")
    # Only a logged model is named in its path; its last part is then an id, whatever it is spelled like.
    is_item = noun == "logged-models" and len(parts) == 1 and method in {"GET", "PATCH", "DELETE"}
    return _of_noun(noun, "" if is_item else parts[-1], method, is_item)


@lru_cache(maxsize=1024)
def _of_noun(noun: str, verb: str, method: str, is_item: bool) -> Action:
    ask, change, delete = _NOUNS[noun]
    if method in {"GET", "HEAD"} or (method == "POST" and verb in _QUESTIONS):
        return ask
    if (noun, verb) in _RENAMES:
        return Action.MODEL_RENAME
    if verb in _EXPERIMENT_TAGS:
        return Action.EXPERIMENT_TAG
    return delete if verb in _DELETIONS or (is_item and method == "DELETE") else change


def _artifact_action(method: str) -> Action:
    if method in {"GET", "HEAD"}:
        return Action.RUN_READ
    return Action.RUN_DELETE if method == "DELETE" else Action.RUN_LOG
