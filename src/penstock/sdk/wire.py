"""The server's JSON as entities: RFC 3339 times become milliseconds, members we do not know yet are left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

EntityT = TypeVar("EntityT", bound=BaseModel)


def as_entity(model: type[EntityT], data: Mapping[str, Any]) -> EntityT:
    """Return a server's answer as ``model``; a newer server's further members do no harm."""
    times = {name: _ms(value) for name, value in data.items() if name.endswith("_at") and isinstance(value, str)}
    return model.model_validate({**data, **times}, extra="ignore")


def as_json(entity: BaseModel) -> dict[str, Any]:
    """Return a spec as the server takes it: Azure's names, nothing that was not said."""
    return entity.model_dump(mode="json", by_alias=True, exclude_none=True)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1000)
