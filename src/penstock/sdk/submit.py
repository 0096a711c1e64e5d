"""From what a user wrote to what the server took: load, upload, send; the server's complaints get file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.entities.errors import NotFoundError, PenstockError, Problem, SpecError, UsageError
from penstock.sdk.problems import details_of
from penstock.sdk.rest import Json, Rest
from penstock.sdk.upload import HttpUploader
from penstock.sdk.wire import as_json

if TYPE_CHECKING:
    from penstock.entities.endpoint import OnlineDeploymentSpec
    from penstock.entities.job import CommandJobSpec
    from penstock.sdk.spec.closing import Loaded

Say = Callable[[str], None]
AnswerT = TypeVar("AnswerT")


def submit_file(rest: Rest, file: Path, overrides: Iterable[str] = (), *, say: Say | None = None) -> Json:
    """Submit a job's YAML file and return the job."""
    check_file(file)
    from penstock.sdk.spec.jobs import load_job

    loaded = load_job(file, overrides, uploader=HttpUploader(rest, say=say))
    return _sent(loaded, lambda: rest.create_job(as_json(loaded.spec)))


def submit_spec(rest: Rest, spec: CommandJobSpec) -> Json:
    """Submit a job built in Python, whose paths are relative to the current folder, and return it."""
    from penstock.sdk.spec.jobs import close_job

    return rest.create_job(as_json(close_job(spec, uploader=HttpUploader(rest))))


def check_file(file: Path | None) -> None:
    """Check that a file that was named is there, before anything is started or made for it.

    Raises
    ------
    UsageError
        If it is not; the hint names the nearest in its folder.
    """
    from penstock.sdk.spec.source import where_looked

    if file is not None and not os.path.exists(file):
        raise UsageError(f'there is no file "{file}"', hint=where_looked(file))


def close_path(rest: Rest, path: str | os.PathLike[str], *, say: Say | None = None) -> str:
    """Return a reference the server understands; local content is uploaded, a job's short name written out."""
    from penstock.sdk.spec.assets import close_path as close

    return write_out_job(rest, close(path, uploader=HttpUploader(rest, say=say)))


def write_out_job(rest: Rest, reference: str) -> str:
    """Return ``azureml://jobs/<unique prefix>/…`` or ``runs:/<unique prefix>/…`` with the job's whole name."""
    from penstock.rules.references import JobOutputReference, RunReference, parse_reference

    found = parse_reference(reference)
    if not isinstance(found, JobOutputReference | RunReference):
        return reference
    short = found.job if isinstance(found, JobOutputReference) else found.run_id
    try:
        name = str(rest.get_job(short)["name"])
    except NotFoundError:
        return reference  # a run that is no job, or the server's own words for what is not there
    if name == short:
        return reference
    return str(replace(found, job=name) if isinstance(found, JobOutputReference) else replace(found, run_id=name))


def create_asset(
    rest: Rest,
    kind: str,
    file: Path | None,
    said: Mapping[str, str | None],
    overrides: Iterable[str] = (),
    *,
    say: Say | None = None,
) -> Json:
    """Register a version from a YAML file, from what was said beside it, or from both; what was said wins.

    Parameters
    ----------
    rest : Rest
        The server's calls.
    kind : str
        ``models``, ``data`` or ``environments``.
    file : Path, optional
        The YAML file.
    said : mapping
        Values by key; None where nothing was said. Paths among them are relative to the current folder.
    overrides : iterable of str
        ``path=value`` assignments.
    say : callable, optional
        Gets a line when much is uploaded, and one for settings that have no effect.
    """
    from penstock.rules.unapplied import asset_warnings

    check_file(file)
    known = {key: value for key, value in said.items() if value is not None}
    if file is None and "name" not in known:
        raise UsageError("nothing says what to register", hint="Give -f FILE, or -n NAME and what it holds.")
    if "path" in known:
        if kind == "data" and "type" not in known and Path(known["path"]).is_file():
            known["type"] = "uri_file"
        known["path"] = close_path(rest, known["path"], say=say)
    if "conda_file" in known:
        known["conda_file"] = str(Path(known["conda_file"]).absolute())
    loaded = _load_asset(rest, kind, file, [*_assignments(known), *overrides], say)
    path = getattr(loaded.spec, "path", None)
    if path is not None:
        loaded = replace(loaded, spec=loaded.spec.model_copy(update={"path": write_out_job(rest, path)}))
    asset = _sent(loaded, lambda: rest.create_asset(kind, as_json(loaded.spec)))
    if say is not None:
        for warning in asset_warnings(loaded.spec):
            say(f"warning: {warning}")
    return asset


def put_endpoint(
    rest: Rest,
    file: Path | None,
    said: Mapping[str, str | None],
    overrides: Iterable[str] = (),
    *,
    base: Json | None = None,
) -> Json:
    """Create or replace an endpoint from a YAML file, from ``base``, or from what was said alone."""
    from penstock.sdk.spec.endpoints import load_endpoint

    assignments = [*_assignments(said), *overrides]
    if file is not None:
        check_file(file)
        loaded = load_endpoint(file, assignments)
        return _sent(loaded, lambda: rest.put_endpoint(as_json(loaded.spec)))
    if base is None and not said.get("name"):
        raise UsageError("the endpoint has no name", hint="Give -f FILE or -n NAME.")
    return rest.put_endpoint(_assigned(base or {}, assignments))


def put_deployment_file(
    rest: Rest, file: Path, said: Mapping[str, str | None], overrides: Iterable[str] = (), *, say: Say | None = None
) -> Json:
    """Create or update a deployment from a YAML file and return it as it is then."""
    from penstock.sdk.spec.endpoints import load_deployment

    check_file(file)
    loaded = load_deployment(file, [*_assignments(said), *overrides], uploader=HttpUploader(rest, say=say))
    return _sent(loaded, lambda: rest.put_deployment(as_json(loaded.spec)))


def change_deployment(rest: Rest, endpoint: str, name: str, overrides: Iterable[str]) -> Json:
    """Change a recorded deployment's settings as ``--set`` says and return it as it is then."""
    from penstock.entities.endpoint import OnlineDeploymentSpec
    from penstock.rules.validation import validate_entity

    known = rest.get_deployment(endpoint, name)["spec"]
    return put_deployment(rest, validate_entity(OnlineDeploymentSpec, _assigned(known, overrides)))


def put_deployment(rest: Rest, spec: OnlineDeploymentSpec) -> Json:
    """Create or update a deployment built in Python and return it as it is then."""
    from penstock.sdk.spec.endpoints import close_deployment

    return rest.put_deployment(as_json(close_deployment(spec, uploader=HttpUploader(rest))))


def _load_asset(rest: Rest, kind: str, file: Path | None, assignments: list[str], say: Say | None) -> Loaded[Any]:
    from penstock.entities.asset import DataSpec, EnvironmentSpec, ModelSpec
    from penstock.rules.specfile import Document, load_entity
    from penstock.sdk.spec.assets import close_environment, load_data, load_environment, load_model
    from penstock.sdk.spec.closing import Loaded

    if file is not None and kind == "environments":
        return load_environment(file, assignments)
    if file is not None:
        load = load_model if kind == "models" else load_data
        return load(file, assignments, uploader=HttpUploader(rest, say=say))
    document = Document(_assigned({}, assignments))
    if kind == "environments":
        return Loaded(close_environment(load_entity(document, EnvironmentSpec)), document)
    return Loaded(load_entity(document, ModelSpec if kind == "models" else DataSpec), document)


def _assignments(said: Mapping[str, str | None]) -> list[str]:
    """Return options as ``--set`` takes them; JSON strings are YAML strings."""
    return [f"{key}={json.dumps(value)}" for key, value in said.items() if value is not None]


def _assigned(data: Json, assignments: Iterable[str]) -> Json:
    from penstock.rules.specfile import Document, apply_overrides

    changed = apply_overrides(Document(data), assignments).data
    return dict(changed) if isinstance(changed, dict) else {}


def _sent(loaded: Loaded[Any], send: Callable[[], AnswerT]) -> AnswerT:
    """Return the server's answer; what it finds wrong is shown at its line."""
    try:
        return send()
    except SpecError as error:
        raise loaded.locate(error) from error
    except PenstockError as error:
        pointer = str(details_of(error).get("pointer") or "")
        if pointer:
            [problem] = loaded.locate(SpecError([Problem(error.message, pointer)])).problems
            error.message = str(problem)
        raise
