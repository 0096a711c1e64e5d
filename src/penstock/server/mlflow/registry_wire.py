"""The registry's messages: what the client sends, and models and versions as it gets them."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from penstock.entities.asset import AssetVersion
from penstock.entities.registered_model import RegisteredModel
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.wire import Json, Pair, read_body, read_query, shown_pairs
from penstock.stores.metadata.places import registered_location

StructT = TypeVar("StructT", bound=Struct)

NO_STAGE = "None"
_LISTS = ("order_by", "stages")


class OfModel(Struct):
    """Anything that names a registered model."""

    name: str = ""
    new_name: str = ""
    description: str | None = None
    tags: list[Pair] = []
    key: str = ""
    value: str = ""
    alias: str = ""
    version: str = ""
    stages: list[str] = []


class CreateVersion(Struct):
    """``model-versions/create``; ``None`` is what was not sent."""

    name: str = ""
    source: str = ""
    run_id: str | None = None
    tags: list[Pair] = []
    run_link: str = ""
    description: str = ""
    model_id: str | None = None


class OfVersion(Struct):
    """Anything that names a version."""

    name: str = ""
    version: str = ""
    description: str | None = None
    stage: str = ""
    archive_existing_versions: bool = False
    key: str = ""
    value: str | None = None


class SearchRegistry(Struct):
    """``registered-models/search`` and ``model-versions/search``."""

    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


async def read_message(call: Call, kind: type[StructT]) -> StructT:
    """Return what was sent: the body, or the query of a GET that has one or of what has none; lists come repeated."""
    query = call.request.query_params
    if call.request.method in {"GET", "DELETE"}:
        body = b"" if call.request.method == "GET" and query else await call.request.body()
        if not body:
            lists = {name: query.getlist(name) for name in _LISTS if name in query}
            return read_query(kind, {**dict(query), **lists})
        return read_body(kind, body)
    return await call.read(kind)


def shown_model(model: RegisteredModel) -> Json:
    """Return a registered model."""
    shown: Json = {
        "name": model.name,
        "creation_timestamp": model.created_at,
        "last_updated_timestamp": model.updated_at,
    }
    if model.description:
        shown["description"] = model.description
    if model.latest_versions:
        shown["latest_versions"] = [shown_version(version, with_aliases=False) for version in model.latest_versions]
    if model.tags:
        shown["tags"] = shown_pairs(dict(model.tags))
    if model.aliases:
        shown["aliases"] = [{"alias": alias, "version": version} for alias, version in model.aliases.items()]
    return shown


def shown_version(version: AssetVersion, *, with_aliases: bool = True) -> Json:
    """Return a model version; the real server leaves aliases out of some answers."""
    shown: Json = {
        "name": version.name,
        "version": version.version,
        "creation_timestamp": version.created_at,
        "last_updated_timestamp": version.updated_at or version.created_at,
        "user_id": version.created_by,
        "current_stage": version.stage or NO_STAGE,
        "description": version.description or "",
        "source": version.source or registered_location(version.name, version.version),
        "run_id": version.job_name or "",
        "run_link": version.run_link or "",
        "status": version.status,
    }
    if version.status_message:
        shown["status_message"] = version.status_message
    if version.tags:
        shown["tags"] = shown_pairs(version.tags)
    if with_aliases and version.aliases:
        shown["aliases"] = list(version.aliases)
    return shown
