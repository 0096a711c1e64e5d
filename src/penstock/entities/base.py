"""What every noun shares: frozen, strict about unknown keys, JSON in Azure ML's snake_case."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

MAX_NAME_LENGTH = 255
ASSET_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
JOB_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
ENDPOINT_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$"
PARAMETER_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
ENV_NAME_PATTERN = r"^[^=\x00]+$"
NO_NUL_PATTERN = r"^[^\x00]*$"

# Lengths stand beside the patterns: compiling "{0,254}" costs a millisecond each at every start of a client.
AssetName = Annotated[str, Field(pattern=ASSET_NAME_PATTERN, max_length=MAX_NAME_LENGTH)]
JobName = Annotated[str, Field(pattern=JOB_NAME_PATTERN, max_length=MAX_NAME_LENGTH)]
EndpointName = Annotated[str, Field(pattern=ENDPOINT_NAME_PATTERN, min_length=3, max_length=32)]
ParameterName = Annotated[str, Field(pattern=PARAMETER_NAME_PATTERN, max_length=MAX_NAME_LENGTH)]
EnvName = Annotated[str, Field(pattern=ENV_NAME_PATTERN)]
EnvValue = Annotated[str, Field(pattern=NO_NUL_PATTERN)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]+$", min_length=64, max_length=64)]
TimestampMs = Annotated[int, Field(ge=0, description="milliseconds since 1970-01-01 UTC")]
Tags = dict[str, str]


class Entity(BaseModel):
    """A frozen record whose unknown keys are refused.

    The schema is built at the first use (``defer_build``): a client that loads one job need not wait for
    the models of everything else. ``ignored_keys`` are dropped from what users write: what Azure ML's ``show``
    prints beside the specification, and settings that mean nothing here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True, allow_inf_nan=False)
    ignored_keys: ClassVar[frozenset[str]] = frozenset()
