"""The MLflow tracking protocol, as the unmodified client speaks it."""
