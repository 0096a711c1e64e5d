"""Versions of registered models: create, get, search, describe, tag, stage, download address, delete."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.assets.sources import adopt_files, follow_source, source_name, source_tree
from penstock.entities.asset import AssetVersion
from penstock.entities.errors import UsageError
from penstock.rules.filters.mlflow import parse_version_filter, parse_version_order
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import required
from penstock.server.mlflow.once import find_made, keep_made
from penstock.server.mlflow.paging import make_token, read_token
from penstock.server.mlflow.reach import check_lineage, check_version_change
from penstock.server.mlflow.registry import is_prompt
from penstock.server.mlflow.registry_limits import (
    ACTIVE_STAGES,
    MAX_VERSIONS,
    check_model_name,
    check_most,
    check_tag,
    check_tags,
    check_version,
    read_stage,
)
from penstock.server.mlflow.registry_wire import (
    CreateVersion,
    OfVersion,
    SearchRegistry,
    read_message,
    shown_version,
)
from penstock.server.mlflow.version_sources import check_prompt_source, check_source
from penstock.server.mlflow.wire import Json
from penstock.stores.metadata import assets, deleted_versions, logged_models
from penstock.stores.metadata import registered_models as models
from penstock.stores.metadata.places import registered_location
from penstock.stores.metadata.search.registry_search import RegistryQuery, search_versions

VERSIONS_TAG = "mlflow.modelVersions"
"""The tag by which a logged model knows the versions made of it: a JSON list of names and numbers."""


async def create_version(call: Call) -> Json:
    """Register the next version of a model; its files become its tree, or are found at its source when they come."""
    sent = await read_message(call, CreateVersion)
    required(sent.source, "source")
    check_model_name(sent.name)
    tags = check_tags(sent.tags)

    def operation(connection: Connection) -> AssetVersion:
        known = find_made(call, connection)
        if known is not None:
            return assets.get_version(connection, models.KIND, sent.name, known)
        if is_prompt(tags):
            lineage = check_prompt_source(sent.source)
        else:
            lineage = check_source(connection, sent.source, sent.run_id, sent.model_id)
        check_lineage(connection, call.actor, lineage.source, lineage.run_id, lineage.model_id)
        models.check_model(connection, sent.name)
        made = assets.create_version(
            connection,
            kind=models.KIND,
            name=sent.name,
            version=None,
            now=call.now,
            created_by=call.actor.name,
            description=sent.description,
            tags=tags,
            job_name=lineage.run_id,
            source=lineage.source,
            source_path=lineage.source,
            folder=source_name(connection, lineage.source) or sent.name,
            run_link=sent.run_link,
            model_id=lineage.model_id,
        )
        made = adopt_files(connection, made, now=call.now)
        if lineage.model_id:
            _tell_model(connection, lineage.model_id, made)
        call.record(connection, "create", made.ref, source=lineage.source, run=lineage.run_id or "")
        keep_made(call, connection, made.version)
        return made

    return {"model_version": shown_version(await call.write(operation))}


def _tell_model(connection: Connection, model_id: str, made: AssetVersion) -> None:
    model = logged_models.get_model(connection, model_id)
    try:
        said = json.loads(model.tags.get(VERSIONS_TAG, "[]"))
    except (ValueError, RecursionError):  # anybody may write a tag
        said = []
    known: list[Any] = said if isinstance(said, list) else []
    known.append({"name": made.name, "version": int(made.version)})
    logged_models.set_tags(connection, model_id, {VERSIONS_TAG: json.dumps(known)})


async def get_version(call: Call) -> Json:
    """Return a version."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)
    found = await call.ask(lambda connection: assets.get_version(connection, models.KIND, name, version))
    return {"model_version": shown_version(found)}


async def update_version(call: Call) -> Json:
    """Describe a version; what was not sent empties the description, as in MLflow."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)
    text = sent.description or ""

    def operation(connection: Connection) -> AssetVersion:
        _changeable(call, connection, name, version)
        changed = assets.update_version(
            connection, models.KIND, name, version, {"description": text, "updated_at": call.now}
        )
        call.record(connection, "update", changed.ref, description=text)
        return changed

    return {"model_version": shown_version(await call.write(operation))}


async def transition_stage(call: Call) -> Json:
    """Move a version to a stage, and perhaps the versions that were in it to ``Archived``."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)
    required(sent.stage, "stage")
    stage = read_stage(sent.stage)
    if sent.archive_existing_versions and stage not in ACTIVE_STAGES:
        raise UsageError(
            f"Model version transition cannot archive existing model versions because '{sent.stage}' is not an Active "
            f"stage. Valid stages are {', '.join(ACTIVE_STAGES)}"
        )
    empty_to = "Archived" if sent.archive_existing_versions else None

    def operation(connection: Connection) -> AssetVersion:
        _changeable(call, connection, name, version)
        changed = models.set_stage(connection, name, version, stage, now=call.now, empty_to=empty_to)
        call.record(connection, "set-stage", changed.ref, stage=stage)
        return changed

    return {"model_version": shown_version(await call.write(operation))}


async def delete_version(call: Call) -> Json:
    """Delete a version; its number is not used again, and it can be restored until it is collected."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)

    def operation(connection: Connection) -> None:
        found = assets.get_version(connection, models.KIND, name, version)
        deleted_versions.delete_version(connection, models.KIND, name, version, now=call.now)
        models.touch_model(connection, name, now=call.now)
        call.record(connection, "delete", found.ref)

    await call.write(operation)
    return {}


async def get_download_uri(call: Call) -> Json:
    """Return where a version's files are: at its source, as in MLflow, or in the registry if they are not there."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)

    def question(connection: Connection) -> str:
        found = assets.get_version(connection, models.KIND, name, version)
        return _location(connection, found)

    return {"artifact_uri": await call.ask(question)}


def _location(connection: Connection, version: AssetVersion) -> str:
    """Return an address a client can read; a version with a tree never lacks one, whatever became of its source."""
    source = follow_source(connection, version.source or "")
    if version.tree is None:
        return source or registered_location(version.name, version.version)
    if source and not source.startswith("models:/") and source_tree(connection, source) is not None:
        return source
    return registered_location(version.name, version.version)


async def search(call: Call) -> Json:
    """Find versions, those changed last first; without their aliases, as in MLflow."""
    sent = await read_message(call, SearchRegistry)
    limit, offset = check_most(sent.max_results, MAX_VERSIONS, MAX_VERSIONS), read_token(sent.page_token)
    query = RegistryQuery(parse_version_filter(sent.filter), parse_version_order(sent.order_by), limit + 1, offset)
    found = await call.ask(lambda connection: search_versions(connection, query))
    shown = [shown_version(version, with_aliases=False) for version in found[:limit]]
    answer: Json = {"model_versions": shown} if shown else {}
    if len(found) > limit:
        answer["next_page_token"] = make_token(offset + limit)
    return answer


async def set_tag(call: Call) -> Json:
    """Set a tag of a version."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)
    value = sent.value or ""
    check_tag(sent.key, value)

    def operation(connection: Connection) -> None:
        _changeable(call, connection, name, version)
        assets.set_version_tag(connection, models.KIND, name, version, sent.key, value)
        call.record(connection, "set-tag", f"model:{name}:{version}", key=sent.key, value=value)

    await call.write(operation)
    return {}


async def delete_tag(call: Call) -> Json:
    """Delete a tag of a version; one that is not there is fine."""
    sent = await read_message(call, OfVersion)
    name, version = _named(sent)
    check_tag(sent.key, "")

    def operation(connection: Connection) -> None:
        _changeable(call, connection, name, version)
        assets.delete_version_tag(connection, models.KIND, name, version, sent.key)
        call.record(connection, "delete-tag", f"model:{name}:{version}", key=sent.key)

    await call.write(operation)
    return {}


def _changeable(call: Call, connection: Connection, name: str, version: str) -> None:
    if call.actor.role is Role.JOB:
        found = assets.get_version(connection, models.KIND, name, version)
        check_version_change(connection, call.actor, found)


def _named(sent: OfVersion) -> tuple[str, str]:
    return check_model_name(sent.name), check_version(sent.version)
