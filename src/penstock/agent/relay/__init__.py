"""The MLflow server that a job's process sees on loopback: Penstock's own, and a spool while that is away."""
