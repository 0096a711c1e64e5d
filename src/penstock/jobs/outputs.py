"""What a job leaves: files among its run's artifacts, named outputs as trees, and those that ask for it as assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from penstock.assets.packages import model_type
from penstock.assets.sources import adopt_waiting
from penstock.entities.asset import AssetKind, AssetType, Tree, TreeEntry, is_model_version
from penstock.entities.errors import ConflictError, UsageError
from penstock.entities.job import Job, JobOutput
from penstock.rules.job_spec import output_of
from penstock.stores.metadata import artifacts, assets, events, trees

MODEL_TYPES = frozenset({AssetType.CUSTOM_MODEL, AssetType.MLFLOW_MODEL, AssetType.TRITON_MODEL})


@dataclass(frozen=True, slots=True)
class KeptOutputs:
    """A job's outputs as its record shows them, and remarks on those that could not become assets."""

    outputs: dict[str, JobOutput]
    warnings: tuple[str, ...]


def outputs_of(
    connection: Connection,
    job: Job,
    files: Iterable[TreeEntry],
    named: Mapping[str, Sequence[TreeEntry]],
    *,
    now: int,
    register: bool,
) -> KeptOutputs:
    """Index everything a job left and return its named outputs, in the open transaction.

    Parameters
    ----------
    files : iterable of TreeEntry
        By their path among the run's artifacts.
    named : mapping
        By output, the files inside it.
    register : bool
        Whether outputs that have a ``name`` become data or model versions, as Azure ML does when a job completes.
    """
    under = [
        TreeEntry(path=f"named/{name}/{e.path}", digest=e.digest, size=e.size, executable=e.executable)
        for name, entries in named.items()
        for e in entries
    ]
    artifacts.put_artifacts(connection, job.name, [*files, *under], now=now)
    adopt_waiting(connection, run_id=job.name, now=now)
    kept: dict[str, JobOutput] = {}
    warnings: list[str] = []
    for name, entries in named.items():
        spec = output_of(job.spec.outputs.get(name))
        is_file = AssetType(spec.type) is AssetType.URI_FILE and len(entries) == 1
        tree = Tree(entries=tuple(entries), is_file=is_file)
        path = f"named/{name}/{entries[0].path}" if is_file else f"named/{name}"
        kept[name] = JobOutput(type=spec.type, path=path, tree=trees.put_tree(connection, tree))
        if register and spec.name:
            try:
                _register(connection, job, name, tree, now)
            except (ConflictError, UsageError) as error:
                warnings.append(f"outputs.{name}: {error.message}")
    return KeptOutputs(kept, tuple(warnings))


def _register(connection: Connection, job: Job, output: str, tree: Tree, now: int) -> None:
    spec = output_of(job.spec.outputs.get(output))
    declared = AssetType(spec.type)
    kind = AssetKind.MODEL if declared in MODEL_TYPES else AssetKind.DATA
    if kind is AssetKind.MODEL and spec.version and not is_model_version(spec.version):
        raise UsageError(f'a model\'s version is a whole number from 1, not "{spec.version}"; it was not registered')
    made = assets.create_version(
        connection,
        kind=kind,
        name=str(spec.name),
        version=spec.version,
        now=now,
        created_by=job.created_by,
        type=model_type(tree, declared) if kind is AssetKind.MODEL else declared,
        description=spec.description,
        tree=trees.put_tree(connection, tree),
        size=tree.size,
        job_name=job.name,
        source_path=f"azureml://jobs/{job.name}/outputs/{output}",
    )
    detail = {"job": job.name, "output": output}
    events.append_event(connection, actor=job.created_by, verb="create", ref=made.ref, detail=detail, now=now)
