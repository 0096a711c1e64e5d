"""Run by bench_tracking with MLflow's interpreter: print the seconds of calls of its client as a JSON list."""

from __future__ import annotations

import json
import sys
import time

from mlflow import MlflowClient


def main(question: str, name: str) -> None:
    """Time some calls and print how long each took."""
    client = MlflowClient()

    def log_metric() -> object:
        return client.log_metric(name, "through_client", 1.0)

    def search() -> object:
        return client.search_runs([name], order_by=["metrics.m3 DESC"], max_results=100)

    def history() -> object:
        return client.get_metric_history(name, "loss")

    ask, times = {"log_metric": (log_metric, 50), "search": (search, 3), "history": (history, 1)}[question]
    ask()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
