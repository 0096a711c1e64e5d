"""Who may do what: one table of roles and actions, nothing else.

An action is a noun and a verb. Every door names the action it performs; what it does not name is judged by its
method: a question is ``workspace:read``, anything else ``workspace:change``. A grant may be limited: then the door
asks further, and the table says by what.
"""

from __future__ import annotations

from enum import StrEnum

from penstock.entities.token import PEOPLE, Role


class Action(StrEnum):
    """What a door does."""

    WORKSPACE_ASK = "workspace:ask"
    WORKSPACE_READ = "workspace:read"
    WORKSPACE_CHANGE = "workspace:change"
    RUN_READ = "run:read"
    RUN_LOG = "run:log"
    RUN_DELETE = "run:delete"
    EXPERIMENT_LIST = "experiment:list"
    EXPERIMENT_READ = "experiment:read"
    EXPERIMENT_CREATE = "experiment:create"
    EXPERIMENT_TAG = "experiment:tag"
    EXPERIMENT_DELETE = "experiment:delete"
    JOB_LIST = "job:list"
    JOB_READ = "job:read"
    JOB_SUBMIT = "job:submit"
    JOB_CANCEL = "job:cancel"
    MODEL_READ = "model:read"
    MODEL_REGISTER = "model:register"
    MODEL_RENAME = "model:rename"
    MODEL_DELETE = "model:delete"
    ASSET_READ = "asset:read"
    ASSET_REGISTER = "asset:register"
    ASSET_DELETE = "asset:delete"
    CONTENT_READ = "content:read"
    CONTENT_STORE = "content:store"
    ENDPOINT_READ = "endpoint:read"
    ENDPOINT_READ_KEYS = "endpoint:read-keys"
    ENDPOINT_CHANGE = "endpoint:change"
    ENDPOINT_DELETE = "endpoint:delete"
    EVENT_READ = "event:read"
    EVENT_VERIFY = "event:verify"
    EVENT_EXPORT = "event:export"
    TOKEN_READ = "token:read"
    TOKEN_CREATE = "token:create"
    TOKEN_REVOKE = "token:revoke"
    GARBAGE_DELETE = "garbage:delete"
    ATTEMPT_REPORT = "attempt:report"
    SERVING_FOLLOW = "serving:follow"


MEANINGS: dict[Action, str] = {
    Action.WORKSPACE_ASK: "ask for the version, the features and one's own role",
    Action.WORKSPACE_READ: "see computes, and any question that has no line of its own",
    Action.WORKSPACE_CHANGE: "any change that has no line of its own",
    Action.RUN_READ: "see, search and export runs, their metrics, artifacts and logged models",
    Action.RUN_LOG: "create runs and logged models; log, tag, rename, end them; upload artifacts",
    Action.RUN_DELETE: "delete and restore runs and logged models, delete artifacts",
    Action.EXPERIMENT_LIST: "list experiments in the REST API",
    Action.EXPERIMENT_READ: "see and search experiments",
    Action.EXPERIMENT_CREATE: "create and rename experiments",
    Action.EXPERIMENT_TAG: "tag experiments",
    Action.EXPERIMENT_DELETE: "delete and restore experiments",
    Action.JOB_LIST: "list jobs",
    Action.JOB_READ: "see a job, its log, metrics and attempts; follow it",
    Action.JOB_SUBMIT: "submit jobs",
    Action.JOB_CANCEL: "cancel jobs",
    Action.MODEL_READ: "see and search the model registry over MLflow's protocol",
    Action.MODEL_REGISTER: "register, describe, tag, stage and alias models over MLflow's protocol",
    Action.MODEL_RENAME: "rename models over MLflow's protocol",
    Action.MODEL_DELETE: "delete models and versions over MLflow's protocol",
    Action.ASSET_READ: "see and download models, data and environments",
    Action.ASSET_REGISTER: "register and change models, data and environments",
    Action.ASSET_DELETE: "archive, restore and delete versions of models, data and environments",
    Action.CONTENT_READ: "read content by its digest",
    Action.CONTENT_STORE: "upload content",
    Action.ENDPOINT_READ: "see endpoints, deployments and their logs",
    Action.ENDPOINT_READ_KEYS: "read the keys of endpoints, which scoring needs",
    Action.ENDPOINT_CHANGE: "create and change endpoints and deployments, split traffic, replace keys",
    Action.ENDPOINT_DELETE: "delete endpoints and deployments",
    Action.EVENT_READ: "read and follow the audit log",
    Action.EVENT_VERIFY: "verify the audit log",
    Action.EVENT_EXPORT: "export the audit log",
    Action.TOKEN_READ: "list tokens",
    Action.TOKEN_CREATE: "make tokens",
    Action.TOKEN_REVOKE: "revoke tokens",
    Action.GARBAGE_DELETE: "delete for good what was deleted",
    Action.ATTEMPT_REPORT: "report an attempt",
    Action.SERVING_FOLLOW: "follow what the gateway is to run, and report what runs",
}

_READER = frozenset(
    {
        Action.WORKSPACE_ASK,
        Action.WORKSPACE_READ,
        Action.RUN_READ,
        Action.EXPERIMENT_LIST,
        Action.EXPERIMENT_READ,
        Action.JOB_LIST,
        Action.JOB_READ,
        Action.MODEL_READ,
        Action.ASSET_READ,
        Action.CONTENT_READ,
        Action.ENDPOINT_READ,
        Action.EVENT_READ,
    }
)
_CONTRIBUTOR = _READER | {
    Action.WORKSPACE_CHANGE,
    Action.RUN_LOG,
    Action.RUN_DELETE,
    Action.EXPERIMENT_CREATE,
    Action.EXPERIMENT_TAG,
    Action.EXPERIMENT_DELETE,
    Action.JOB_SUBMIT,
    Action.JOB_CANCEL,
    Action.MODEL_REGISTER,
    Action.MODEL_RENAME,
    Action.MODEL_DELETE,
    Action.ASSET_REGISTER,
    Action.ASSET_DELETE,
    Action.CONTENT_STORE,
    Action.ENDPOINT_READ_KEYS,
    Action.ENDPOINT_CHANGE,
    Action.ENDPOINT_DELETE,
}
_ADMIN = _CONTRIBUTOR | {
    Action.EVENT_VERIFY,
    Action.EVENT_EXPORT,
    Action.TOKEN_READ,
    Action.TOKEN_CREATE,
    Action.TOKEN_REVOKE,
    Action.GARBAGE_DELETE,
}

LIMITS: dict[Action, str] = {
    Action.RUN_READ: "own experiment",
    Action.RUN_LOG: "own run and runs it created",
    Action.RUN_DELETE: "own run and runs it created",
    Action.EXPERIMENT_READ: "own experiment",
    Action.EXPERIMENT_TAG: "own experiment",
    Action.JOB_READ: "own experiment",
    Action.MODEL_REGISTER: "versions of its own runs",
    Action.ATTEMPT_REPORT: "own attempt",
}
"""What a job's token may do within limits that the door checks."""

_JOB = frozenset(LIMITS) | {Action.MODEL_READ, Action.CONTENT_STORE, Action.WORKSPACE_ASK}
_INTERNAL = frozenset({Action.CONTENT_READ, Action.SERVING_FOLLOW, Action.WORKSPACE_ASK})

GRANTS: dict[Role, frozenset[Action]] = {
    Role.READER: _READER,
    Role.CONTRIBUTOR: _CONTRIBUTOR,
    Role.ADMIN: _ADMIN,
    Role.JOB: _JOB,
    Role.INTERNAL: _INTERNAL,
}

IN_EXPERIMENT = frozenset(
    {
        Action.WORKSPACE_ASK,
        Action.RUN_READ,
        Action.RUN_LOG,
        Action.RUN_DELETE,
        Action.EXPERIMENT_LIST,
        Action.EXPERIMENT_READ,
        Action.EXPERIMENT_TAG,
        Action.JOB_LIST,
        Action.JOB_READ,
        Action.JOB_SUBMIT,
        Action.JOB_CANCEL,
        Action.CONTENT_STORE,
    }
)
"""All that a person's token limited to one experiment may do, as far as its role allows it."""


def allows(role: Role, action: Action, *, is_limited: bool = False) -> bool:
    """Return whether a role allows an action.

    Parameters
    ----------
    is_limited : bool
        Whether a person's token is limited to one experiment.
    """
    return action in GRANTS[role] and not (is_limited and role in PEOPLE and action not in IN_EXPERIMENT)


def least_role(action: Action) -> Role | None:
    """Return the least of the people's roles that allows an action; None where only our own processes may."""
    return next((role for role in PEOPLE if action in GRANTS[role]), None)


def default_action(method: str) -> Action:
    """Return the action of a door that names none."""
    return Action.WORKSPACE_READ if method in {"GET", "HEAD", "OPTIONS"} else Action.WORKSPACE_CHANGE


def render_table() -> str:
    """Return the table as Markdown, as ``docs/reference/permissions.md`` shows it."""
    lines = ["| action | what it is | reader | contributor | admin | a job |", "| --- | --- | --- | --- | --- | --- |"]
    for action in Action:
        cells = [_cell(role, action) for role in (*PEOPLE, Role.JOB)]
        if action is not Action.SERVING_FOLLOW:
            lines.append(f"| `{action}` | {MEANINGS[action]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(role: Role, action: Action) -> str:
    if action not in GRANTS[role]:
        return ""
    return LIMITS.get(action, "yes") if role is Role.JOB else "yes"
