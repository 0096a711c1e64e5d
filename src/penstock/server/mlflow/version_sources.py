"""Where a model version may come from, by MLflow's rules: nothing that would reach beyond what the caller may name.

A local path or a host of the caller's choice is refused; an address inside of a run or a logged model needs the id
of that run or model; another store's address, such as ``s3://``, is accepted as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus, urlsplit

from sqlalchemy import Connection

from penstock.entities.asset import AssetKind, AssetVersion
from penstock.entities.errors import NotFoundError, UsageError
from penstock.rules import references
from penstock.server.mlflow.registry_limits import STAGES
from penstock.stores.metadata import assets, logged_models, registered_models, runs

PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
# Their host is contacted by whoever reads the version; the server's own artifacts have no host in their address.
_WITH_HOST = frozenset({"ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss"})
_ARTIFACTS = "mlflow-artifacts"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a new version comes from, checked."""

    source: str
    run_id: str | None
    model_id: str | None


def check_prompt_source(source: str) -> Lineage:
    """Return where a prompt comes from: nowhere, which MLflow's clients write in one of two ways."""
    if source not in PROMPT_SOURCES:
        raise UsageError(f"Invalid prompt source: '{source[:200]}'. Prompt sources must use an MLflow placeholder.")
    return Lineage(source, None, None)


def check_source(connection: Connection, source: str, run_id: str | None, model_id: str | None) -> Lineage:
    """Return where a version comes from, or raise UsageError.

    Parameters
    ----------
    run_id, model_id : str, optional
        As they were sent; None where they were not.
    """
    parts = urlsplit(source)
    scheme = parts.scheme.lower()
    if scheme in _WITH_HOST or (scheme == _ARTIFACTS and parts.netloc):
        raise UsageError(
            f"Invalid 'source': the '{scheme}' scheme addresses a host other than this server's artifact storage"
        )
    if scheme in {"", "file"}:
        raise UsageError(
            f"Invalid model version source: '{source[:200]}'. To use a local path as a model version source, the "
            "run_id or model_id request parameter has to be specified and the local path has to be contained within "
            "its artifact directory, which no local path is on this server."
        )
    _refuse_relative(source)
    if scheme == "models":
        if parts.netloc:
            raise _refused(source, "model_id")
        found = _parse(source)
        if isinstance(found, references.AssetReference):
            return _of_version(connection, source, found, run_id, model_id)
        named = found.model_id if isinstance(found, references.LoggedModelReference) else ""
        return _of_model(connection, source, named, run_id, model_id)
    if model_id:
        return _in_model(connection, source, scheme, run_id, model_id)
    return _in_run(connection, source, scheme, run_id)


def _of_version(
    connection: Connection, source: str, found: references.AssetReference, run_id: str | None, model_id: str | None
) -> Lineage:
    """Follow ``models:/name/1`` to the version it names; what is said of its lineage must be true."""
    if registered_models.get_model(connection, found.name).tags.get(assets.PROMPT_TAG, "").lower() == "true":
        raise UsageError(
            f"Invalid model version source: '{source[:200]}'. Prompt versions cannot be used as model version sources."
        )
    version = _resolve(connection, found)
    for said, true in ((run_id, version.job_name), (model_id, version.model_id)):
        if said is not None and said != (true or ""):
            raise UsageError(
                f"Invalid model version source: '{source[:200]}'. The run_id and model_id request parameters must "
                "match the referenced model version."
            )
    return Lineage(f"models:/{version.name}/{version.version}", version.job_name, version.model_id)


def _resolve(connection: Connection, found: references.AssetReference) -> AssetVersion:
    if found.version is not None:
        return assets.get_version(connection, AssetKind.MODEL, found.name, found.version)
    label = found.label or ""
    alias = registered_models.find_alias(connection, found.name, label)
    if alias is not None:
        return assets.get_version(connection, AssetKind.MODEL, found.name, alias)
    latest = registered_models.latest_versions(connection, [found.name])[found.name]
    if label.lower() != "latest":
        if label.lower() not in {stage.lower() for stage in STAGES}:
            raise UsageError(f"Registered model alias {label} not found.")
        latest = [version for version in latest if (version.stage or "None").lower() == label.lower()]
    if not latest:
        raise NotFoundError(f"No version of {found.name} is in the stage {label}.")
    return max(latest, key=lambda version: int(version.version))


def _of_model(connection: Connection, source: str, named: str, run_id: str | None, model_id: str | None) -> Lineage:
    if named != model_id:
        raise _refused(source, "model_id")
    return Lineage(source, run_id or logged_models.get_model(connection, named).source_run_id, model_id)


def _in_model(connection: Connection, source: str, scheme: str, run_id: str | None, model_id: str) -> Lineage:
    if scheme == "runs":
        raise _refused(source, "model_id")
    model = logged_models.find_model(connection, model_id, with_deleted=False)
    if scheme == _ARTIFACTS and (model is None or not _is_within(source, model.artifact_location)):
        raise _refused(source, "model_id")
    if model is None:
        raise NotFoundError(f"Logged model with ID '{model_id}' not found")
    return Lineage(source, run_id or model.source_run_id, model_id)


def _in_run(connection: Connection, source: str, scheme: str, run_id: str | None) -> Lineage:
    if scheme == "runs":
        found = _parse(source)
        if not isinstance(found, references.RunReference) or not run_id or found.run_id != run_id:
            raise _refused(source, "run_id")
    if scheme == _ARTIFACTS:
        run = runs.find_run(connection, run_id, details=False) if run_id else None
        if run is None or not _is_within(source, run.artifact_uri):
            raise _refused(source, "run_id")
    return Lineage(source, run_id or None, None)


def _parse(source: str) -> references.AssetReference | references.LoggedModelReference | references.RunReference:
    try:
        found = references.parse_reference(source)
    except UsageError as error:
        raise _refused(source, "model_id") from error
    kinds = references.AssetReference | references.LoggedModelReference | references.RunReference
    if not isinstance(found, kinds):
        raise _refused(source, "model_id")
    return found


def _refuse_relative(source: str) -> None:
    plain = source
    while (decoded := unquote_plus(plain)) != plain:
        plain = decoded
    path = urlsplit(plain).path
    if not path.strip("/") or "\x00" in plain or any(part in {".", ".."} for part in plain.split("/")) or "\\" in path:
        raise UsageError(
            f"Invalid model version source: '{source[:200]}'. An absolute path must be provided without relative path "
            "references present."
        )


def _is_within(source: str, root: str) -> bool:
    inner, outer = _parts(source), _parts(root)
    return len(outer[1]) > 0 and inner[0] == outer[0] and inner[1][: len(outer[1])] == outer[1]


def _parts(uri: str) -> tuple[str, list[str]]:
    parsed = urlsplit(uri)
    return f"{parsed.scheme.lower()}://{parsed.netloc.lower()}", [
        unquote(part) for part in parsed.path.split("/") if part
    ]


def _refused(source: str, parameter: str) -> UsageError:
    return UsageError(
        f"Invalid model version source: '{source[:200]}'. The {parameter} request parameter must identify the resource "
        "that contains the source."
    )
