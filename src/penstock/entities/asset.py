"""Versioned, immutable things: models, data, environments; and the folder trees they hold."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from penstock.entities.base import AssetName, Digest, Entity, Tags, TimestampMs


class AssetKind(StrEnum):
    """The kinds of versioned assets."""

    MODEL = "model"
    DATA = "data"
    ENVIRONMENT = "environment"
    COMPONENT = "component"
    CODE = "code"


class AssetType(StrEnum):
    """What a path holds, in Azure ML's words."""

    URI_FILE = "uri_file"
    URI_FOLDER = "uri_folder"
    MLTABLE = "mltable"
    CUSTOM_MODEL = "custom_model"
    MLFLOW_MODEL = "mlflow_model"
    TRITON_MODEL = "triton_model"


def _check_model_type(type_: AssetType) -> AssetType:
    if not type_.endswith("_model"):
        raise ValueError(f'a model is no "{type_}"; possible: custom_model, mlflow_model, triton_model')
    return type_


def _check_data_type(type_: AssetType) -> AssetType:
    if type_.endswith("_model"):
        raise ValueError(f'data is no "{type_}"; possible: uri_file, uri_folder, mltable')
    return type_


ModelType = Annotated[AssetType, AfterValidator(_check_model_type)]
DataType = Annotated[AssetType, AfterValidator(_check_data_type)]

MAX_MODEL_VERSION = 2**31 - 1
_MODEL_VERSION = re.compile(r"[1-9][0-9]{0,9}")

_SHOWN = frozenset(
    {
        "id",
        "creation_context",
        "latest_version",
        "job_name",
        "utc_time_created",
        "datastore",
        "intellectual_property",
        "auto_delete_setting",
        "system_metadata",
    }
)
"""What Azure ML shows of an asset, or takes for its own storage, and no specification of ours needs."""


class TreeEntry(Entity):
    """One file of a tree: its relative POSIX path, content digest and size in bytes."""

    path: str
    digest: Digest
    size: int = Field(ge=0)
    executable: bool = False


class Tree(Entity):
    """A folder as a list of files, sorted by path; its digest names the whole content.

    A single file is a tree with one entry and ``is_file`` true.
    """

    entries: tuple[TreeEntry, ...] = ()
    is_file: bool = False

    @property
    def size(self) -> int:
        """Return the sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.entries)


class InlineModelSpec(Entity):
    """A model inside of a deployment; ``path`` is local, ``azureml://jobs/…`` or ``runs:/…``."""

    ignored_keys: ClassVar[frozenset[str]] = _SHOWN

    schema_: str | None = Field(default=None, alias="$schema")
    name: AssetName | None = None
    version: str | None = None
    type: ModelType = AssetType.CUSTOM_MODEL
    path: str
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    flavors: dict[str, Any] = Field(default_factory=dict)
    stage: str | None = None


def is_model_version(version: str) -> bool:
    """Return whether a model may have this version: a whole number from 1, as MLflow counts."""
    return _MODEL_VERSION.fullmatch(version) is not None and int(version) <= MAX_MODEL_VERSION


def _check_model_version(version: str | None) -> str | None:
    if version is None or is_model_version(version):
        return version
    raise ValueError(f'a model\'s version is a whole number from 1, not "{version}"; leave it out to get the next one')


class ModelSpec(InlineModelSpec):
    """What a user writes to register a model."""

    name: AssetName
    version: Annotated[str | None, AfterValidator(_check_model_version)] = None


class DataSpec(Entity):
    """What a user writes to register data."""

    ignored_keys: ClassVar[frozenset[str]] = _SHOWN

    schema_: str | None = Field(default=None, alias="$schema")
    name: AssetName
    version: str | None = None
    type: DataType = AssetType.URI_FOLDER
    path: str
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)


class EnvironmentSpec(Entity):
    """What a command runs in: Azure ML's inline or registered environment.

    ``conda_file`` is the parsed conda specification (a mapping) in a closed spec; in a user's file it may
    be a path, which the client reads. ``image`` and ``build`` are kept for round trips; where no container
    engine runs they only select the documented default.
    """

    ignored_keys: ClassVar[frozenset[str]] = _SHOWN

    schema_: str | None = Field(default=None, alias="$schema")
    name: AssetName | None = None
    version: str | None = None
    image: str | None = None
    conda_file: dict[str, Any] | str | None = None
    build: dict[str, Any] | None = None
    os_type: str | None = None
    inference_config: dict[str, Any] | None = None
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)


class ModelStage(StrEnum):
    """MLflow's stages of a model version."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


def _read_stage(stage: Any) -> str:
    for known in ModelStage:
        if known.lower() == str(stage).lower():
            return known.value
    raise ValueError(f'"{stage}" is no stage; possible: {", ".join(ModelStage)}')


class AssetVersion(Entity):
    """One registered version of an asset, as the server answers it.

    ``job_name`` is the job or run it came from, ``source`` the address an MLflow client gave for its files, ``folder``
    the last part of its path as it was called then, under which a deployment finds it whatever is renamed since,
    ``stage`` and ``aliases`` what marks it among the versions of its name. MLflow's names hold more than ours do.
    """

    kind: AssetKind
    name: str = Field(min_length=1)
    version: str
    type: AssetType | None = None
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    tree: Digest | None = None
    size: int = 0
    uri: str | None = None
    definition: dict[str, Any] | None = None
    job_name: str | None = None
    source_path: str | None = None
    folder: str | None = None
    source: str | None = None
    run_link: str | None = None
    model_id: str | None = None
    aliases: tuple[str, ...] = ()
    stage: str | None = None
    status: str = "READY"
    status_message: str | None = None
    created_at: TimestampMs
    created_by: str
    updated_at: TimestampMs = 0
    is_archived: bool = False

    @property
    def ref(self) -> str:
        """Return ``kind:name:version``."""
        return f"{self.kind}:{self.name}:{self.version}"


class AssetChange(Entity):
    """What may change of a version: how it is described, never what it holds; what is not given stays.

    A tag that is null is removed; an alias that is true points at this version from now on, one that is false no
    longer does. Aliases and stages are for models.
    """

    description: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    aliases: dict[str, bool] = Field(default_factory=dict)
    stage: Annotated[str | None, BeforeValidator(_read_stage)] = None
