"""What a script for Azure ML v1 asks of its run and is not here: said in a sentence, and the script goes on."""

from __future__ import annotations

from typing import Any, Iterator

from .mistakes import is_strict, say_mistake

INSTEAD = {
    "register_model": 'use mlflow.register_model("runs:/<run id>/<path>", name), or `penstock model create`',
    "input_datasets": "name the input in job.yml and take its path as an argument: ${{inputs.<name>}}",
    "output_datasets": "name the output in job.yml and write to its path: ${{outputs.<name>}}",
    "submit_child": "submit a job of its own with `penstock job create`, or a sweep",
    "get_children": "list them with `penstock run list`",
    "get_runs": "list them with `penstock run list`",
    "submit": "submit a job with `penstock job create`",
    "cancel": "use `penstock job cancel`, or end the script with sys.exit",
    "wait_for_completion": "a job waits for itself when its script ends; from outside use `penstock job stream`",
    "download_file": "what this job wrote is on its own disk; from outside use `penstock job download`",
    "download_files": "what this job wrote is on its own disk; from outside use `penstock job download`",
    "get_file": "what this job wrote is on its own disk; from outside use `penstock job download`",
    "get_environment": "the environment is the one that job.yml names",
    "get_secret": "give it to the job as an environment variable",
    "get_default_datastore": "name the data in job.yml as an input and take its path as an argument",
    "datasets": "name the data in job.yml as an input and take its path as an argument",
    "datastores": "name the data in job.yml as an input and take its path as an argument",
    "compute_targets": "name the compute in job.yml",
    "models": "use mlflow.MlflowClient(), or `penstock model list`",
}


class Absent:
    """Stands for what is not here: it can be called, read and gone through, and is empty."""

    def __call__(self, *args: Any, **kwargs: Any) -> Absent:
        """Return itself, whatever it is called with."""
        return self

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Absent:
        return self

    def __enter__(self) -> Absent:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""


def find_absent(owner: str, name: str) -> Absent:
    """Say that a name is not here and what to use instead; raises AttributeError for what Python itself asks for."""
    instead = INSTEAD.get(name, "see how to log from a job in the documentation for what there is")
    if name.startswith("_") or is_strict():
        raise AttributeError("%s.%s is not in Penstock; %s" % (owner, name, instead))
    say_mistake("%s.%s" % (owner, name), "this is not in Penstock and does nothing (left out); %s" % instead)
    return Absent()
