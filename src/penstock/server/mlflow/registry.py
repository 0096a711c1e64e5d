"""Registered models: create, get, search, rename, describe, tag, alias and delete.

Their versions are :mod:`penstock.server.mlflow.versions`; both are the models that ``penstock model`` lists.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.entities.asset import AssetVersion
from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.registered_model import RegisteredModel
from penstock.rules.aliases import LATEST, check_alias
from penstock.rules.filters.mlflow import parse_model_filter, parse_model_order
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.once import find_made, keep_made
from penstock.server.mlflow.paging import make_token, read_token
from penstock.server.mlflow.reach import check_model_change, check_version_change
from penstock.server.mlflow.registry_limits import (
    MAX_MODELS,
    MODELS_PAGE,
    STAGES,
    check_model_name,
    check_most,
    check_tag,
    check_tags,
    check_version,
    read_stage,
)
from penstock.server.mlflow.registry_wire import OfModel, SearchRegistry, read_message, shown_model, shown_version
from penstock.server.mlflow.wire import Json
from penstock.stores.metadata import assets
from penstock.stores.metadata import registered_models as rows
from penstock.stores.metadata.search.registry_search import RegistryQuery, search_models


async def create_model(call: Call) -> Json:
    """Register a name."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    tags = check_tags(sent.tags)

    def operation(connection: Connection) -> RegisteredModel:
        if find_made(call, connection) == sent.name:
            return rows.get_model(connection, sent.name)
        made = rows.create_model(connection, sent.name, now=call.now, description=sent.description or "", tags=tags)
        call.record(connection, "create", _ref(sent.name))
        keep_made(call, connection, sent.name)
        return made

    return {"registered_model": shown_model(await call.write(operation))}


async def get_model(call: Call) -> Json:
    """Return a registered model."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    found = await call.ask(lambda connection: rows.get_model(connection, sent.name))
    return {"registered_model": shown_model(found)}


async def update_model(call: Call) -> Json:
    """Describe a registered model; what was not sent empties the description, as in MLflow."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)

    def operation(connection: Connection) -> RegisteredModel:
        check_model_change(connection, call.actor, sent.name)
        changed = rows.describe_model(connection, sent.name, sent.description or "", now=call.now)
        call.record(connection, "update", _ref(sent.name), description=sent.description or "")
        return changed

    return {"registered_model": shown_model(await call.write(operation))}


async def rename_model(call: Call) -> Json:
    """Give a registered model another name, with its versions."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_model_name(sent.new_name, "new_name")

    def operation(connection: Connection) -> RegisteredModel:
        changed = rows.rename_model(connection, sent.name, sent.new_name, now=call.now)
        call.record(connection, "rename", _ref(sent.name), name=sent.new_name)
        return changed

    return {"registered_model": shown_model(await call.write(operation))}


async def delete_model(call: Call) -> Json:
    """Delete a registered model with all its versions; its name is free afterwards."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)

    def operation(connection: Connection) -> None:
        rows.check_model(connection, sent.name)
        rows.delete_model(connection, sent.name)
        call.record(connection, "delete", _ref(sent.name))

    await call.write(operation)
    return {}


async def search(call: Call) -> Json:
    """Find registered models, by name."""
    sent = await read_message(call, SearchRegistry)
    if sent.max_results is not None and sent.max_results <= 0:
        return {}
    limit, offset = check_most(sent.max_results, MODELS_PAGE, MAX_MODELS), read_token(sent.page_token)
    query = RegistryQuery(parse_model_filter(sent.filter), parse_model_order(sent.order_by), limit + 1, offset)
    found = await call.ask(lambda connection: search_models(connection, query))
    answer: Json = {"registered_models": [shown_model(model) for model in found[:limit]]} if found else {}
    if len(found) > limit:
        answer["next_page_token"] = make_token(offset + limit)
    return answer


async def get_latest_versions(call: Call) -> Json:
    """Return the latest version of each stage, or of the stages asked for."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    stages = {read_stage(stage) for stage in sent.stages} or set(STAGES)

    def question(connection: Connection) -> list[AssetVersion]:
        rows.check_model(connection, sent.name)
        return rows.latest_versions(connection, [sent.name])[sent.name]

    found = [version for version in await call.ask(question) if (version.stage or rows.NO_STAGE) in stages]
    return {"model_versions": [shown_version(version) for version in found]} if found else {}


async def set_tag(call: Call) -> Json:
    """Set a tag of a registered model."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_tag(sent.key, sent.value)

    def operation(connection: Connection) -> None:
        check_model_change(connection, call.actor, sent.name)
        rows.set_tag(connection, sent.name, sent.key, sent.value)
        call.record(connection, "set-tag", _ref(sent.name), key=sent.key, value=sent.value)

    await call.write(operation)
    return {}


async def delete_tag(call: Call) -> Json:
    """Delete a tag of a registered model; one that is not there is fine."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_tag(sent.key, "")

    def operation(connection: Connection) -> None:
        check_model_change(connection, call.actor, sent.name)
        rows.delete_tag(connection, sent.name, sent.key)
        call.record(connection, "delete-tag", _ref(sent.name), key=sent.key)

    await call.write(operation)
    return {}


async def set_alias(call: Call) -> Json:
    """Let an alias point at a version."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_alias(sent.alias, is_new=True)
    version = check_version(sent.version)

    def operation(connection: Connection) -> None:
        if call.actor.role is Role.JOB:
            # Whoever held the alias: a training script may promote what it made.
            check_version_change(connection, call.actor, assets.get_version(connection, rows.KIND, sent.name, version))
        rows.set_alias(connection, sent.name, sent.alias, version)
        call.record(connection, "set-alias", _ref(sent.name), alias=sent.alias, version=version)

    await call.write(operation)
    return {}


async def delete_alias(call: Call) -> Json:
    """Delete an alias; one that is not there is fine."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_alias(sent.alias)

    def operation(connection: Connection) -> None:
        if call.actor.role is Role.JOB:
            held = rows.find_alias(connection, sent.name, sent.alias)
            if held is not None:
                check_version_change(connection, call.actor, assets.get_version(connection, rows.KIND, sent.name, held))
        rows.delete_alias(connection, sent.name, sent.alias)
        call.record(connection, "delete-alias", _ref(sent.name), alias=sent.alias)

    await call.write(operation)
    return {}


async def get_by_alias(call: Call) -> Json:
    """Return the version an alias points at, or the greatest for ``latest``; an unknown alias is 400."""
    sent = await read_message(call, OfModel)
    check_model_name(sent.name)
    check_alias(sent.alias)

    def question(connection: Connection) -> AssetVersion:
        rows.check_model(connection, sent.name)
        if sent.alias.lower() == LATEST:
            found = rows.latest_versions(connection, [sent.name])[sent.name]
            if not found:
                raise NotFoundError(f"Latest version not found for model {sent.name}.")
            return max(found, key=lambda version: int(version.version))
        number = rows.find_alias(connection, sent.name, sent.alias)
        if number is None:
            raise UsageError(f"Registered model alias {sent.alias} not found.")
        return assets.get_version(connection, rows.KIND, sent.name, number)

    return {"model_version": shown_version(await call.ask(question))}


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Return whether tags mark a prompt, which MLflow keeps among the models."""
    return tags.get(assets.PROMPT_TAG, "").lower() == "true"


def _ref(name: str) -> str:
    return f"model:{name}"
