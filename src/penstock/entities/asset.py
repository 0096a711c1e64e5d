"""Versioned, immutable things: models, data, environments; and the folder trees they hold."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

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


class ModelSpec(Entity):
    """What a user writes to register a model; ``path`` is local, ``azureml://jobs/…`` or ``runs:/…``."""

    schema_: str | None = Field(default=None, alias="$schema")
    name: AssetName
    version: str | None = None
    type: AssetType = AssetType.CUSTOM_MODEL
    path: str
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    flavors: dict[str, Any] = Field(default_factory=dict)
    stage: str | None = None


class DataSpec(Entity):
    """What a user writes to register data."""

    schema_: str | None = Field(default=None, alias="$schema")
    name: AssetName
    version: str | None = None
    type: AssetType = AssetType.URI_FOLDER
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


class AssetVersion(Entity):
    """One registered version of an asset, as the server answers it."""

    kind: AssetKind
    name: AssetName
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
    created_at: TimestampMs
    created_by: str
    is_archived: bool = False

    @property
    def ref(self) -> str:
        """Return ``kind:name:version``."""
        return f"{self.kind}:{self.name}:{self.version}"
