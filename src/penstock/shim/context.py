"""The running job as an object, in the shape that scripts for Azure ML v1 know: ``Run.get_context()``.

It logs as the functions of ``log`` do. Outside a job it is an offline run: it warns once and keeps nothing.
"""

from __future__ import annotations

import os
import uuid
from typing import Any, Mapping, Sequence

from . import log as calls
from .log.checks import checked_path
from .spool import VARIABLE, current

JOB, ROOT, EXPERIMENT = "AZUREML_RUN_ID", "AZUREML_ROOT_RUN_ID", "AZUREML_EXPERIMENT_NAME"
_contexts: dict[str, Run] = {}


class Experiment:
    """The experiment a run belongs to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return "Experiment(name=%r)" % self.name


class RunReference:
    """A run that one knows of and cannot log to from here: its ``id`` and ``experiment``."""

    def __init__(self, run_id: str, experiment: Experiment) -> None:
        self.id = run_id
        self.experiment = experiment

    def __repr__(self) -> str:
        return "%s(id=%r)" % (type(self).__name__, self.id)


class Run(RunReference):
    """The job this process belongs to; get it by :meth:`get_context`.

    Attributes
    ----------
    id : str
        The job's name, which is its run's id in MLflow too; ``OfflineRun_…`` outside a job.
    experiment : Experiment
        With its ``name``.
    parent : RunReference or None
        The job that started this one, such as a sweep.
    """

    def __init__(self, run_id: str, experiment: Experiment, parent: RunReference | None = None) -> None:
        super().__init__(run_id, experiment)
        self.parent = parent

    @classmethod
    def get_context(cls, allow_offline: bool = True) -> Run:
        """Return the run of the job this process belongs to, the same object each time.

        Raises
        ------
        RuntimeError
            Outside a job, if ``allow_offline`` is false.
        """
        folder = os.environ.get(VARIABLE, "")
        if not folder and not allow_offline:
            raise RuntimeError("this process is no Penstock job; submit it with `penstock job create`")
        if folder not in _contexts:
            current()
            _contexts[folder] = _job_run() if folder else Run("OfflineRun_" + str(uuid.uuid4()), Experiment("offline"))
        return _contexts[folder]

    @property
    def is_offline(self) -> bool:
        """Return whether this is no job, so that nothing is kept."""
        return self.id.startswith("OfflineRun_")

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Log one value of a metric; a text becomes a tag."""
        if isinstance(value, str):
            calls.set_tag(name, value)
        else:
            calls.log_metric(name, value, step)

    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        """Log a metric's values at once, at steps 0, 1, 2, …."""
        calls.log_list(name, value)

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Log one row of a table of numbers: each column is the metric ``<name>.<column>``, each call the next step."""
        calls.log_row(name, **kwargs)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Keep a table, a mapping of columns to values or lists of them."""
        calls.log_table(name, value)

    def log_image(self, name: str, path: Any = None, plot: Any = None, description: str = "") -> None:
        """Keep a picture file, or a Matplotlib plot, figure or array."""
        if (path is None) == (plot is None):
            raise ValueError("an image comes from path or from plot, one of them")
        calls.log_image(name, plot if path is None else path)

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Keep a confusion matrix, Azure ML's dictionary or a nested list."""
        calls.log_confusion_matrix(name, value)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Keep an accuracy table, Azure ML's dictionary."""
        calls.log_accuracy_table(name, value)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Keep predictions in bins, Azure ML's dictionary."""
        calls.log_predictions(name, value)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Keep a histogram of residuals, Azure ML's dictionary."""
        calls.log_residuals(name, value)

    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag; without a value it is empty."""
        calls.set_tag(key, "" if value is None else value)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        calls.set_tags(tags)

    def upload_file(self, name: str, path_or_stream: Any) -> None:
        """Keep a local file, or what a stream yields, as the artifact ``name``."""
        target = checked_path(name)
        spool = current()
        if not hasattr(path_or_stream, "read"):
            path = os.fspath(path_or_stream)
            if not os.path.isfile(path):
                raise FileNotFoundError("%s is no file" % path)
            if spool is not None:
                spool.copy_artifact(path, target)
        elif spool is not None:
            content = path_or_stream.read()
            spool.put_artifact(target, content.encode("utf-8") if isinstance(content, str) else content)

    def upload_files(self, names: Sequence[str], paths: Sequence[Any]) -> None:
        """Keep several local files as artifacts."""
        if len(names) != len(paths):
            raise ValueError("%d names for %d paths" % (len(names), len(paths)))
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: Any) -> None:
        """Keep every file of a local folder in the folder ``name`` of the artifacts."""
        calls.log_artifacts(path, name)

    def get_metrics(self, name: str | None = None) -> dict[str, Any]:
        """Return what this attempt of the job logged so far: a number a metric, a list where there are several."""
        found: dict[str, list[float]] = {}
        for event in self._events("metric"):
            key, value, _ = event
            if name is None or key == name:
                found.setdefault(key, []).append(float(value))
        return {key: values[0] if len(values) == 1 else values for key, values in found.items()}

    def get_tags(self) -> dict[str, str]:
        """Return the tags that this attempt of the job set so far."""
        return dict(self._events("tag"))

    def flush(self, timeout_seconds: float = 300) -> None:
        """Put what was logged on the disk; every call has handed it over already, so this is rarely needed."""
        spool = current()
        if spool is not None:
            spool.sync()

    def complete(self) -> None:
        """Flush; the job completes when its command ends with status 0."""
        self.flush()

    def _events(self, kind: str) -> list[Any]:
        spool = current()
        return [] if spool is None else [event[kind] for event in spool.read() if kind in event]


def _job_run() -> Run:
    run_id = os.environ.get(JOB, "")
    experiment = Experiment(os.environ.get(EXPERIMENT, ""))
    root = os.environ.get(ROOT, run_id)
    return Run(run_id, experiment, RunReference(root, experiment) if root != run_id else None)
