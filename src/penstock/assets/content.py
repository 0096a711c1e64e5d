"""From a reference to content: what ``azureml:…``, ``azureml://jobs/…``, ``runs:/…``, ``models:/…``, ``tree:…`` hold.

Read-only; used when an asset is registered, a job's inputs are placed and a deployment's model is found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from penstock.assets.sources import run_model_tree, shelf_tree, version_folder, version_tree
from penstock.entities.asset import AssetKind, AssetVersion, Tree
from penstock.entities.errors import NotFoundError, UsageError
from penstock.rules import references, suggest
from penstock.rules.aliases import LATEST
from penstock.stores.metadata import (
    artifacts,
    assets,
    deleted_versions,
    jobs,
    logged_models,
    registered_models,
    runs,
    trees,
)
from penstock.stores.metadata.search import run_lookup


@dataclass(frozen=True, slots=True)
class Content:
    """What a reference holds: a tree, or a URI that is fetched where it is used.

    ``name`` is the last component of the path (a model's folder or file name); ``job_name`` the job it came
    from, ``model_id`` the logged model; ``ref`` the exact one, without labels and shortened ids.
    """

    tree: Tree | None
    ref: str
    name: str = ""
    uri: str | None = None
    job_name: str | None = None
    asset: AssetVersion | None = None
    model_id: str | None = None


def find_content(connection: Connection, reference: str, kinds: tuple[AssetKind, ...]) -> Content:
    """Return what ``reference`` holds; an asset reference is looked up among ``kinds``, in that order.

    Raises
    ------
    NotFoundError
        If there is no such asset, run, output or path; the hint names the nearest.
    UsageError
        If the reference is of a form that cannot be content here.
    """
    parsed = references.parse_reference(reference)
    if isinstance(parsed, references.TreeReference):
        return Content(trees.get_tree(connection, parsed.digest), ref=reference)
    if isinstance(parsed, references.AssetReference):
        asset = find_asset(connection, kinds, parsed)
        tree = version_tree(connection, asset)
        name = version_folder(connection, asset)
        return Content(
            tree,
            ref=f"azureml:{asset.name}:{asset.version}",
            name=name,
            uri=asset.uri,
            asset=asset,
            job_name=asset.job_name,
        )
    if isinstance(parsed, references.JobOutputReference):
        whole = replace(parsed, job=_whole_id(connection, parsed.job))
        return _job_output(connection, whole, reference if whole == parsed else str(whole))
    if isinstance(parsed, references.RunReference):
        run = runs.get_run(connection, _whole_id(connection, parsed.run_id), details=False)
        if run.run_id != parsed.run_id:
            reference = str(replace(parsed, run_id=run.run_id))
        logged = run_model_tree(connection, run.run_id, parsed.path)
        if logged is not None:
            return Content(logged, ref=reference, name=parsed.path.rpartition("/")[2], job_name=run.run_id)
        return _artifacts(connection, run.run_id, parsed.path, reference)
    if isinstance(parsed, references.LoggedModelReference):
        return _logged_model(connection, parsed, reference)
    if isinstance(parsed, references.UrlReference) and parsed.is_http:
        return Content(None, ref=reference, uri=parsed.url, name=parsed.url.rstrip("/").rpartition("/")[2])
    raise UsageError(
        f'"{reference}" cannot be used here',
        hint="Use a local path, azureml:<name>:<version>, azureml://jobs/<job>/outputs/…, runs:/… or an http(s) URL.",
    )


def find_asset(
    connection: Connection, kinds: tuple[AssetKind, ...], reference: references.AssetReference
) -> AssetVersion:
    """Return the version an asset reference names, among several kinds.

    A label is ``latest``, an alias, or a stage, which names the version in it that was created last.

    Raises
    ------
    NotFoundError
        With the nearest names, or the existing versions.
    """
    for kind in kinds:
        if reference.name in assets.asset_names(connection, kind):
            if reference.version is not None:
                try:
                    return assets.get_version(connection, kind, reference.name, reference.version)
                except NotFoundError as error:
                    known = [v.version for v in assets.list_versions(connection, kind, reference.name, limit=5)]
                    listed = f"It has {', '.join(known)}. List them with: penstock {kind} list -n {reference.name}"
                    raise NotFoundError(
                        f'{kind} "{reference.name}" has no version "{reference.version}"',
                        hint=deleted_versions.restore_hint(connection, kind, reference.name, reference.version)
                        or listed,
                        ref=f"{kind}:{reference.name}:{reference.version}",
                    ) from error
            return _find_labelled(connection, kind, reference.name, reference.label or LATEST)
    kind = kinds[0]
    if reference.version is not None:
        for one in kinds:
            hint = deleted_versions.restore_hint(connection, one, reference.name, reference.version)
            if hint:
                raise NotFoundError(
                    f'{one} "{reference.name}" has no version "{reference.version}"',
                    hint=hint,
                    ref=f"{one}:{reference.name}:{reference.version}",
                )
    known = [name for k in kinds for name in assets.asset_names(connection, k)]
    hint = suggest.did_you_mean(reference.name, known)
    raise NotFoundError(
        f'no {" or ".join(kinds)} named "{reference.name}"',
        hint=f"{hint} List them with: {' or '.join(f'penstock {k} list' for k in kinds)}".lstrip(),
        ref=f"{kind}:{reference.name}",
    )


def _find_labelled(connection: Connection, kind: AssetKind, name: str, label: str) -> AssetVersion:
    if kind is AssetKind.MODEL:
        version = registered_models.find_alias(connection, name, label)
        if version is not None:
            return assets.get_version(connection, kind, name, version)
        for found in registered_models.latest_versions(connection, [name])[name]:
            if found.stage is not None and found.stage.lower() == label.lower():
                return found
    if label.lower() == LATEST:
        return assets.latest_version(connection, kind, name)
    known = registered_models.list_aliases(connection, name) if kind is AssetKind.MODEL else []
    near = suggest.nearest(label, known)
    hint = (
        f'Did you mean "{near[0]}"?' if near else f"Use {' or '.join([f'{name}@{LATEST}', *known[:5]])}, or a version."
    )
    raise NotFoundError(f'{kind} "{name}" has no label "{label}"', hint=hint, ref=f"{kind}:{name}")


def _logged_model(connection: Connection, parsed: references.LoggedModelReference, reference: str) -> Content:
    model = logged_models.get_model(connection, parsed.model_id)
    tree = shelf_tree(connection, artifacts.model_shelf(model.row), parsed.path)
    if tree is None:
        known = [entry.path for entry in artifacts.walk_files(connection, artifacts.model_shelf(model.row))]
        near = suggest.nearest(parsed.path, known)
        raise NotFoundError(
            f'logged model {model.model_id} has nothing at "{parsed.path}"'
            if parsed.path
            else f"{reference} has no files",
            hint=f'Did you mean "{near[0]}"?' if near else "",
            ref=f"logged-model:{model.model_id}",
        )
    name = parsed.path.rpartition("/")[2] or model.name
    return Content(tree, ref=reference, name=name, job_name=model.source_run_id, model_id=model.model_id)


def _job_output(connection: Connection, parsed: references.JobOutputReference, reference: str) -> Content:
    job = jobs.get_job(connection, parsed.job)
    if parsed.output in {"artifacts", "default"} and parsed.output not in job.outputs:
        root = ""
    elif parsed.output in job.outputs:
        root = job.outputs[parsed.output].path
    else:
        known = ["artifacts", *job.outputs]
        near = suggest.nearest(parsed.output, known)
        raise NotFoundError(
            f'job {job.name} has no output "{parsed.output}"',
            hint=f'Did you mean "{near[0]}"?' if near else f"It has {', '.join(known)}.",
            ref=f"job:{job.name}",
        )
    path = "/".join(part for part in (root.strip("/"), parsed.path.strip("/")) if part)
    return _artifacts(connection, job.name, path, reference)


def _whole_id(connection: Connection, reference: str) -> str:
    """Return the id of the run that an id or a unique beginning of it means; itself where there is none.

    Raises
    ------
    UsageError
        If it fits several; the hint names some.
    """
    try:
        return run_lookup.resolve_run(connection, reference)
    except NotFoundError:
        return reference


def _artifacts(connection: Connection, run_id: str, path: str, reference: str) -> Content:
    path = path.strip("/")
    tree = shelf_tree(connection, artifacts.run_shelf(connection, run_id), path)
    if tree is None:
        known = [e.path for e in artifacts.walk_artifacts(connection, run_id, "")]
        folders = {p.rpartition("/")[0] for p in known} - {""}
        near = suggest.nearest(path, [*folders, *known])
        raise NotFoundError(
            f'run {run_id} has nothing at "{path}"' if path else f"run {run_id} has no artifacts",
            hint=f'Did you mean "{near[0]}"?' if near else "List its files with: penstock run files " + run_id,
            ref=f"job:{run_id}",
        )
    return Content(tree, ref=reference, name=path.rpartition("/")[2], job_name=run_id)
