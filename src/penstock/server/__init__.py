"""The doors: our own REST, the MLflow protocol, and the doors of agents and gateway."""
