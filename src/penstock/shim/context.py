"""The running job as an object, in the shape that scripts for Azure ML v1 know: ``Run.get_context()``.

It logs as the functions of ``log`` do, and no more than they does it raise: what is not here is said in the job's log.
Outside a job it is an offline run: it warns once and keeps nothing.
"""

from __future__ import annotations

import os
import uuid
from typing import Any, Mapping, Sequence

from . import log as calls
from .absent import Absent, find_absent
from .log.checks import checked_key, checked_mapping, checked_path
from .mistakes import forgiving, say_mistake
from .spool import VARIABLE, current

JOB, ROOT, EXPERIMENT = "AZUREML_RUN_ID", "AZUREML_ROOT_RUN_ID", "AZUREML_EXPERIMENT_NAME"
WORKSPACE, TITLE, PAGE = "AZUREML_ARM_WORKSPACE_NAME", "PENSTOCK_DISPLAY_NAME", "PENSTOCK_RUN_URL"
NAME_TAG = "mlflow.runName"
PROPERTY = "property."
"""What a property's tag begins with: properties are tags that are set once."""
_contexts: dict[str, Run] = {}


class Workspace:
    """The workspace of a job: its ``name``; for the rest a script uses MLflow or the command line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return "Workspace(name=%r)" % self.name

    def __getattr__(self, name: str) -> Absent:
        return find_absent("Workspace", name)


class Experiment:
    """The experiment a run belongs to, and its workspace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.workspace = Workspace(os.environ.get(WORKSPACE, ""))

    def __repr__(self) -> str:
        return "Experiment(name=%r)" % self.name

    def __getattr__(self, name: str) -> Absent:
        return find_absent("Experiment", name)


class RunReference:
    """A run that one knows of and cannot log to from here: its ``id`` and ``experiment``."""

    def __init__(self, run_id: str, experiment: Experiment) -> None:
        self.id = run_id
        self.experiment = experiment

    def __repr__(self) -> str:
        return "%s(id=%r)" % (type(self).__name__, self.id)

    def __getattr__(self, name: str) -> Absent:
        return find_absent("Run", name)


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

    def __init__(
        self, run_id: str, experiment: Experiment, parent: RunReference | None = None, prefix: str = ""
    ) -> None:
        super().__init__(run_id, experiment)
        self.parent = parent
        self._prefix = prefix

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

    @forgiving
    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Log one value of a metric; a text becomes a tag."""
        if isinstance(value, str):
            calls.set_tag(self._named(name), value)
        else:
            calls.log_metric(self._named(name), value, step)

    @forgiving
    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        """Log a metric's values at once, at steps 0, 1, 2, …."""
        calls.log_list(self._named(name), value)

    @forgiving
    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Log one row of a table of numbers: each column is the metric ``<name>.<column>``, each call the next step."""
        calls.log_row(self._named(name), **kwargs)

    @forgiving
    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Keep a table, a mapping of columns to values or lists of them."""
        calls.log_table(self._named(name), value)

    @forgiving
    def log_image(self, name: str, path: Any = None, plot: Any = None, description: str = "") -> None:
        """Keep a picture file, or a Matplotlib plot, figure or array."""
        if (path is None) == (plot is None):
            raise ValueError("an image comes from path or from plot, one of them")
        calls.log_image(self._named(name), plot if path is None else path)

    @forgiving
    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Keep a confusion matrix, Azure ML's dictionary or a nested list."""
        calls.log_confusion_matrix(self._named(name), value)

    @forgiving
    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Keep an accuracy table, Azure ML's dictionary."""
        calls.log_accuracy_table(self._named(name), value)

    @forgiving
    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Keep predictions in bins, Azure ML's dictionary."""
        calls.log_predictions(self._named(name), value)

    @forgiving
    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Keep a histogram of residuals, Azure ML's dictionary."""
        calls.log_residuals(self._named(name), value)

    @forgiving
    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag; without a value it is empty."""
        calls.set_tag(self._named(key), "" if value is None else value)

    @forgiving
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        for key, value in checked_mapping(tags).items():
            self.tag(key, value)

    @forgiving
    def upload_file(self, name: str, path_or_stream: Any) -> None:
        """Keep a local file, or what a stream yields, as the artifact ``name``."""
        target = checked_path(self._named(name))
        spool = current()
        if not hasattr(path_or_stream, "read"):
            path = os.fspath(path_or_stream)
            if not os.path.isfile(path):
                raise FileNotFoundError("there is no file %s in %s" % (path, os.getcwd()))
            if spool is not None:
                spool.copy_artifact(path, target)
        elif spool is not None:
            content = path_or_stream.read()
            spool.put_artifact(target, content.encode("utf-8") if isinstance(content, str) else content)

    @forgiving
    def upload_files(self, names: Sequence[str], paths: Sequence[Any]) -> None:
        """Keep several local files as artifacts."""
        if len(names) != len(paths):
            raise ValueError("%d names for %d paths" % (len(names), len(paths)))
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    @forgiving
    def upload_folder(self, name: str, path: Any) -> None:
        """Keep every file of a local folder in the folder ``name`` of the artifacts."""
        calls.log_artifacts(path, self._named(name))

    def get_metrics(self, name: Any = None, **others: Any) -> dict[str, Any]:
        """Return what this attempt of the job logged so far: a number a metric, a list where there are several."""
        found: dict[str, list[float]] = {}
        for key, value, _ in self._events("metric"):
            if key.startswith(self._prefix):
                found.setdefault(key[len(self._prefix) :], []).append(float(value))
        shown = {key: values[0] if len(values) == 1 else values for key, values in found.items()}
        return shown if name is None else {key: value for key, value in shown.items() if key == name}

    def get_tags(self) -> dict[str, str]:
        """Return the tags that this attempt of the job set so far."""
        tags = {key: value for key, value in self._events("tag") if key.startswith(self._prefix)}
        own = {key[len(self._prefix) :]: value for key, value in tags.items()}
        return {key: value for key, value in own.items() if not key.startswith(PROPERTY)}

    tags = property(get_tags)

    def get_properties(self) -> dict[str, str]:
        """Return the properties that this attempt of the job added so far."""
        begin = self._named(PROPERTY)
        return {key[len(begin) :]: value for key, value in self._events("tag") if key.startswith(begin)}

    properties = property(get_properties)

    @forgiving
    def add_properties(self, properties: Mapping[str, Any]) -> None:
        """Add properties, each once: they are kept as the tags ``property.<name>``."""
        known = self.get_properties()
        for key, value in checked_mapping(properties).items():
            if known.get(checked_key(key), str(value)) != str(value):
                say_mistake("Run.add_properties", "the property %r is set already and keeps its value" % key)
            else:
                self.tag(PROPERTY + key, value)

    @forgiving
    def add_type_properties(self, properties: Mapping[str, Any]) -> None:
        """Add properties."""
        self.add_properties(properties)

    def get_status(self) -> str:
        """Return ``Running``: a job that asks runs."""
        return "Running"

    status = property(get_status)

    def get_details(self) -> dict[str, Any]:
        """Return what is known here of the run, under the names Azure ML gives it."""
        return {
            "runId": self.id,
            "displayName": self.display_name,
            "experimentName": self.experiment.name,
            "status": self.get_status(),
            "properties": self.get_properties(),
            "tags": self.get_tags(),
        }

    def get_file_names(self) -> list[str]:
        """Return the artifacts that this attempt of the job logged so far, in order of their names."""
        return sorted({str(path) for path in self._events("artifact")})

    @property
    def display_name(self) -> str:
        """The name for people; setting it renames the run."""
        return self.get_tags().get(NAME_TAG) or os.environ.get(TITLE) or self.id

    @display_name.setter
    def display_name(self, name: str) -> None:
        self.tag(NAME_TAG, name)

    def get_portal_url(self) -> str:
        """Return the address of the run's page on the server, empty outside a job."""
        return os.environ.get(PAGE, "")

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> Run:
        """Return a part of this run that logs to it under ``<name>/``; use it in a ``with`` block if you like."""
        chosen = run_id or name or "child_%d" % self._next_child()
        return Run(self.id, self.experiment, self, self._named(str(chosen) + "/"))

    def create_children(self, count: int | None = None, tag_key: Any = None, tag_values: Any = None) -> list[Run]:
        """Return several parts of this run."""
        return [self.child_run() for _ in range(count or len(tag_values or ()))]

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: Any) -> None:
        self.flush()

    def start(self) -> None:
        """Do nothing: a job runs already."""

    @forgiving
    def fail(self, error_details: Any = None, error_code: Any = None, **others: Any) -> None:
        """Keep the reason as the tag ``error``, and say that the exit status decides whether the job failed."""
        self.tag("error", str(error_details or error_code or "failed"))
        say_mistake("Run.fail", "the job fails when its command ends with another status than 0; raise, or sys.exit(1)")

    def flush(self, timeout_seconds: float = 300) -> None:
        """Put what was logged on the disk; every call has handed it over already, so this is rarely needed."""
        spool = current()
        if spool is not None:
            spool.sync()

    def complete(self, **others: Any) -> None:
        """Flush; the job completes when its command ends with status 0."""
        self.flush()

    def _named(self, name: Any) -> Any:
        """Return a name under this part's own; what is no text is refused by whoever gets it."""
        return self._prefix + name if self._prefix and isinstance(name, str) else name

    def _next_child(self) -> int:
        self._children = self.__dict__.get("_children", 0) + 1
        return int(self._children)

    def _events(self, kind: str) -> list[Any]:
        spool = current()
        return [] if spool is None else [event[kind] for event in spool.read() if kind in event]


def _job_run() -> Run:
    run_id = os.environ.get(JOB, "")
    experiment = Experiment(os.environ.get(EXPERIMENT, ""))
    root = os.environ.get(ROOT, run_id)
    return Run(run_id, experiment, RunReference(root, experiment) if root != run_id else None)
