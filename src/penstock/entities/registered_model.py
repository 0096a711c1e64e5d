"""A registered model: the name that versions share, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.entities.asset import AssetVersion


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name with its tags, its aliases (alias → version) and the latest version of each stage; times in ms UTC."""

    name: str
    created_at: int
    updated_at: int
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    latest_versions: tuple[AssetVersion, ...] = ()
