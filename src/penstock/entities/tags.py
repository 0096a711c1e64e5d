"""The names of tags that mean something to the server; all others are the users' own.

The agent and the shim, which know none of the server's code, name those they need themselves.
"""

from __future__ import annotations

RUN_NAME_TAG = "mlflow.runName"
"""Always equal to the run's name: setting it renames the run."""
USER_TAG = "mlflow.user"
SOURCE_TYPE_TAG = "mlflow.source.type"
SOURCE_NAME_TAG = "mlflow.source.name"
CONTEXT_TAG = "mlflow.data.context"
"""Of a run's input: what the dataset was used for."""
CREATOR_TAG = "penstock.creator"
"""Names the job whose token created a run or a logged model; the server writes it."""
