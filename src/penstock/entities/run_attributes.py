"""The attributes of a run, in a file that loads nothing: the command line reads it at each start."""

from __future__ import annotations

ATTRIBUTES = (
    "run_id",
    "run_name",
    "experiment_id",
    "experiment_name",
    "status",
    "user_id",
    "start_time",
    "end_time",
    "duration",
    "lifecycle_stage",
    "artifact_uri",
)
"""What every run has, by the names that filters use; times are RFC 3339 in JSON, a duration is milliseconds."""
