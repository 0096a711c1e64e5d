"""From a reference to content: what ``azureml:…``, ``azureml://jobs/…``, ``runs:/…`` and ``tree:…`` hold.

Read-only; used when an asset is registered, a job's inputs are placed and a deployment's model is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from penstock.entities.asset import AssetKind, AssetVersion, Tree, TreeEntry
from penstock.entities.errors import NotFoundError, UsageError
from penstock.rules import references, suggest
from penstock.stores.metadata import artifacts, assets, jobs, runs, trees


@dataclass(frozen=True, slots=True)
class Content:
    """What a reference holds: a tree, or a URI that is fetched where it is used.

    ``name`` is the last component of the path (a model's folder or file name); ``job_name`` the job it came
    from; ``ref`` the exact reference after labels were resolved.
    """

    tree: Tree | None
    ref: str
    name: str = ""
    uri: str | None = None
    job_name: str | None = None
    asset: AssetVersion | None = None


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
        tree = trees.get_tree(connection, asset.tree) if asset.tree else None
        name = (asset.source_path or "").rstrip("/").rpartition("/")[2] or asset.name
        return Content(
            tree,
            ref=f"azureml:{asset.name}:{asset.version}",
            name=name,
            uri=asset.uri,
            asset=asset,
            job_name=asset.job_name,
        )
    if isinstance(parsed, references.JobOutputReference):
        return _job_output(connection, parsed, reference)
    if isinstance(parsed, references.RunReference):
        run = runs.get_run(connection, parsed.run_id)
        return _artifacts(connection, run.run_id, parsed.path, reference)
    if isinstance(parsed, references.UrlReference) and parsed.is_http:
        return Content(None, ref=reference, uri=parsed.url, name=parsed.url.rstrip("/").rpartition("/")[2])
    raise UsageError(
        f'"{reference}" cannot be used here',
        hint="Use a local path, azureml:<name>:<version>, azureml://jobs/<job>/outputs/…, runs:/… or an http(s) URL.",
    )


def find_asset(
    connection: Connection, kinds: tuple[AssetKind, ...], reference: references.AssetReference
) -> AssetVersion:
    """Return the version an asset reference names, among several kinds; labels other than latest do not exist yet.

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
                    raise NotFoundError(
                        f'{kind} "{reference.name}" has no version "{reference.version}"',
                        hint=f"It has {', '.join(known)}. List them with: penstock {kind} list -n {reference.name}",
                        ref=f"{kind}:{reference.name}:{reference.version}",
                    ) from error
            if reference.label not in {None, "latest"}:
                raise NotFoundError(
                    f'{kind} "{reference.name}" has no label "{reference.label}"',
                    hint=f"Use {reference.name}@latest or a version.",
                )
            return assets.latest_version(connection, kind, reference.name)
    kind = kinds[0]
    known = [name for k in kinds for name in assets.asset_names(connection, k)]
    hint = suggest.did_you_mean(reference.name, known)
    raise NotFoundError(
        f'no {" or ".join(kinds)} named "{reference.name}"',
        hint=f"{hint} List them with: {' or '.join(f'penstock {k} list' for k in kinds)}".lstrip(),
        ref=f"{kind}:{reference.name}",
    )


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


def _artifacts(connection: Connection, run_id: str, path: str, reference: str) -> Content:
    path = path.strip("/")
    single = artifacts.find_artifact(connection, run_id, path) if path else None
    if single is not None:
        name = path.rpartition("/")[2]
        entry = TreeEntry(path=name, digest=single.digest, size=single.size, executable=single.executable)
        return Content(Tree(entries=(entry,), is_file=True), ref=reference, name=name, job_name=run_id)
    prefix = f"{path}/" if path else ""
    entries = tuple(
        TreeEntry(path=e.path[len(prefix) :], digest=e.digest, size=e.size, executable=e.executable)
        for e in artifacts.walk_artifacts(connection, run_id, path)
        if e.path.startswith(prefix)
    )
    if not entries:
        known = [e.path for e in artifacts.walk_artifacts(connection, run_id, "")]
        folders = {p.rpartition("/")[0] for p in known} - {""}
        near = suggest.nearest(path, [*folders, *known])
        raise NotFoundError(
            f'run {run_id} has nothing at "{path}"' if path else f"run {run_id} has no artifacts",
            hint=f'Did you mean "{near[0]}"?'
            if near
            else "List its files with: penstock job download --list -n " + run_id,
            ref=f"job:{run_id}",
        )
    return Content(Tree(entries=entries), ref=reference, name=path.rpartition("/")[2], job_name=run_id)
