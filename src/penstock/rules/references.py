"""The ways a specification points at something: assets, job outputs, runs, addresses, uploaded trees, local paths."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.entities.errors import UsageError

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"
_ASSET = re.compile(rf"({_NAME})(?::([A-Za-z0-9][A-Za-z0-9_.-]*)|@([A-Za-z0-9_.-]+))?")
_TREE = re.compile(r"tree:([0-9a-f]{64})")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_JOB = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths(?:/(.*))?)?/?")
_REGISTRY = re.compile(rf"azureml://registries/([^/]+)/([a-z]+)/({_NAME})(?:/(versions|labels)/([^/]+))?/?")
_DATASTORE = re.compile(r"azureml://(?:subscriptions/.+/)?datastores/([^/]+)/paths(?:/(.*))?")
_WORKSPACE_ASSET = re.compile(rf"azureml://(?:locations|subscriptions)/.+/([a-z]+)/({_NAME})/versions/([^/]+)/?")
_RUN = re.compile(r"runs:/([^/]+)(?:/(.*))?")
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})(?:/(.*))?")
_REGISTERED = re.compile(r"models:/([^\s/:@][^/:@]*)(?:/([0-9]+)|/([A-Za-z]+)|@([A-Za-z0-9_-]+))?")
# MLflow's names hold more than ours; they are understood where the prefix leaves no doubt.
_FOREIGN_NAME = re.compile(r"([^\s/:@][^/:@]*)(?::([0-9]+)|@([A-Za-z0-9_.-]+))")


@dataclass(frozen=True, slots=True)
class AssetReference:
    """``azureml:name:version`` or ``azureml:name@label``; neither of the two means the latest."""

    name: str
    version: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        tail = f":{self.version}" if self.version is not None else f"@{self.label}" if self.label is not None else ""
        return f"azureml:{self.name}{tail}"


@dataclass(frozen=True, slots=True)
class JobOutputReference:
    """``azureml://jobs/<job>/outputs/<output>/paths/<path>``; ``path`` is ``""`` for the whole output."""

    job: str
    output: str
    path: str = ""

    def __str__(self) -> str:
        tail = f"/paths/{self.path}" if self.path else ""
        return f"azureml://jobs/{self.job}/outputs/{self.output}{tail}"


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """``azureml://registries/<registry>/<kind>/<name>/versions/<v>`` or ``/labels/<label>``."""

    registry: str
    kind: str
    name: str
    version: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        head = f"azureml://registries/{self.registry}/{self.kind}/{self.name}"
        if self.version is not None:
            return f"{head}/versions/{self.version}"
        return f"{head}/labels/{self.label}" if self.label is not None else head


@dataclass(frozen=True, slots=True)
class DatastoreReference:
    """``azureml://datastores/<name>/paths/<path>``, also in Azure's long form with subscriptions in front."""

    datastore: str
    path: str = ""

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"


@dataclass(frozen=True, slots=True)
class RunReference:
    """``runs:/<run>/<path>``: a path in a run's artifacts."""

    run_id: str
    path: str = ""

    def __str__(self) -> str:
        return f"runs:/{self.run_id}/{self.path}" if self.path else f"runs:/{self.run_id}"


@dataclass(frozen=True, slots=True)
class LoggedModelReference:
    """``models:/m-<id>/<path>``: a path in the files of one of MLflow's logged models."""

    model_id: str
    path: str = ""

    def __str__(self) -> str:
        return f"models:/{self.model_id}/{self.path}" if self.path else f"models:/{self.model_id}"


@dataclass(frozen=True, slots=True)
class UrlReference:
    """An address outside of the workspace, such as ``https://…`` or ``wasbs://…``."""

    url: str

    @property
    def scheme(self) -> str:
        """Return ``https`` and the like, in small letters."""
        return self.url.partition("://")[0].lower()

    @property
    def is_http(self) -> bool:
        """Return whether anybody with a web client can fetch it."""
        return self.scheme in ("http", "https")

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class TreeReference:
    """``tree:<sha256>``: content that was uploaded."""

    digest: str

    def __str__(self) -> str:
        return f"tree:{self.digest}"


@dataclass(frozen=True, slots=True)
class LocalReference:
    """A path on the author's machine, relative to the file that names it."""

    path: str

    def __str__(self) -> str:
        return self.path


Reference = (
    AssetReference
    | JobOutputReference
    | RegistryReference
    | DatastoreReference
    | RunReference
    | LoggedModelReference
    | UrlReference
    | TreeReference
    | LocalReference
)


def parse_reference(text: str, *, bare_names: bool = False) -> Reference:
    """Return what a text points at.

    Parameters
    ----------
    text : str
        As written; ``str()`` of the result is its normal form.
    bare_names : bool
        Whether ``digits:3``, ``digits@latest`` and ``digits`` name assets, as on a command line and for
        environments; else only the first two do, and ``digits`` is a local path.

    Raises
    ------
    UsageError
        If it is empty, or begins with ``azureml:``, ``tree:``, ``runs:`` or ``models:/`` and goes on wrongly.
    """
    text = text.strip()
    if text.startswith("azureml://") or text.startswith("azureml:azureml://"):
        return _parse_azureml_url(text.removeprefix("azureml:azureml:") if text.startswith("azureml:azureml") else text)
    if text.startswith("azureml:"):
        named = text[len("azureml:") :]
        match = _ASSET.fullmatch(named) or _FOREIGN_NAME.fullmatch(named)
        if match is None:
            raise _wrong(text, "Write azureml:<name>:<version> or azureml:<name>@latest.")
        return AssetReference(match[1], match[2], match[3])
    if text.startswith("tree:"):
        match = _TREE.fullmatch(text)
        if match is None:
            raise _wrong(text, "Write tree:<64 hex digits>.")
        return TreeReference(match[1])
    if text.startswith("runs:"):
        match = _RUN.fullmatch(text)
        if match is None:
            raise _wrong(text, "Write runs:/<run id>/<path>.")
        return RunReference(match[1], match[2] or "")
    if text.startswith("models:/"):
        return _parse_model(text)
    if text.startswith("file:"):
        text = text[len("file:") :]
        text = text[2:] if text.startswith("//") else text
    elif _URL.fullmatch(text):
        return UrlReference(text)
    elif (match := _ASSET.fullmatch(text)) and (bare_names or match[2] or (match[3] and "." not in match[3])):
        return AssetReference(match[1], match[2], match[3])
    if not text:
        raise UsageError("an empty reference points at nothing")
    return LocalReference(text)


def _parse_model(text: str) -> Reference:
    if match := _LOGGED_MODEL.fullmatch(text):
        return LoggedModelReference(match[1], (match[2] or "").strip("/"))
    if match := _REGISTERED.fullmatch(text):
        return AssetReference(match[1], match[2], None if match[2] else match[3] or match[4] or "latest")
    raise _wrong(text, "Write models:/<name>/<version>, models:/<name>@<alias> or models:/m-<id>.")


def _parse_azureml_url(text: str) -> Reference:
    if text.startswith("//"):
        text = "azureml:" + text
    if match := _JOB.fullmatch(text):
        return JobOutputReference(match[1], match[2], (match[3] or "").strip("/"))
    if match := _REGISTRY.fullmatch(text):
        is_label = match[4] == "labels"
        return RegistryReference(
            match[1], match[2], match[3], None if is_label else match[5], match[5] if is_label else None
        )
    if match := _DATASTORE.fullmatch(text):
        return DatastoreReference(match[1], match[2] or "")
    if match := _WORKSPACE_ASSET.fullmatch(text):
        return AssetReference(match[2], match[3])
    raise _wrong(text, "Write azureml://jobs/<job>/outputs/<output>/paths/<path>, or azureml:<name>:<version>.")


def _wrong(text: str, hint: str) -> UsageError:
    return UsageError(f'"{text[:100]}" is no reference', hint=hint)
