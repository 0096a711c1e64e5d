"""What every noun shares: frozen, strict about unknown keys, JSON in Azure ML's snake_case."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ASSET_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$"
JOB_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$"
ENDPOINT_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]$"

AssetName = Annotated[str, Field(pattern=ASSET_NAME_PATTERN)]
JobName = Annotated[str, Field(pattern=JOB_NAME_PATTERN)]
EndpointName = Annotated[str, Field(pattern=ENDPOINT_NAME_PATTERN)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TimestampMs = Annotated[int, Field(ge=0, description="milliseconds since 1970-01-01 UTC")]
Tags = dict[str, str]


class Entity(BaseModel):
    """A frozen record whose unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class TolerantEntity(BaseModel):
    """A frozen record that keeps quiet about unknown keys, where Azure ML tolerates them."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
