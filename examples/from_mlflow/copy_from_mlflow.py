"""Copy experiments, runs, logged models and the model registry from an MLflow server into a workspace.

    MLFLOW_TRACKING_URI=… MLFLOW_TRACKING_TOKEN=…      where to (`eval "$(penstock env)"` sets both)
    python copy_from_mlflow.py http://old-server:5000

It needs the `mlflow` package only and works between any two servers. Nothing is changed on the old one. It may be
stopped and started again: what was copied whole is known by the tag `copied.from` and left alone, what was begun and
not ended is deleted and copied anew. `SOURCE_TRACKING_TOKEN` is sent to the old server, if it wants one.

Runs get new ids; names, times, statuses, tags, whole metric histories, datasets and files stay. Model versions keep
their numbers. Traces are not copied.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

COPIED = "copied.from"
BATCH = 900  # of the 1000 that one log_batch may hold
_RUN = re.compile(r"(?<![0-9a-f-])[0-9a-f]{32}(?![0-9a-f])")
_MODEL = re.compile(r"m-[0-9a-f]{32}")


class Side:
    """One of the two servers; inside ``with side.spoken_to()`` every call goes there, with its token only."""

    def __init__(self, uri: str, token: str) -> None:
        self.uri, self._token = uri, token

    @contextmanager
    def spoken_to(self) -> Iterator[MlflowClient]:
        """Let all calls of mlflow go to this server."""
        os.environ.pop("MLFLOW_TRACKING_TOKEN", None)
        if self._token:
            os.environ["MLFLOW_TRACKING_TOKEN"] = self._token
        mlflow.set_tracking_uri(self.uri)
        yield MlflowClient()


def all_pages(search: Callable[..., Any], **options: Any) -> Iterator[Any]:
    """Yield what a search of the client finds, page after page."""
    token = None
    while True:
        page = search(page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


class Copier:
    """Copies from one server to another and remembers which id became which."""

    def __init__(self, source: Side, target: Side) -> None:
        self.source, self.target = source, target
        self.runs: dict[str, str] = {}
        self.models: dict[str, str] = {}

    def copy_everything(self) -> None:
        """Copy all active experiments, then the registry."""
        with self.source.spoken_to() as old:
            experiments = list(all_pages(old.search_experiments, order_by=["creation_time"]))
        for experiment in experiments:
            self.copy_experiment(experiment)
        self.copy_registry()

    def copy_experiment(self, experiment: Any) -> None:
        """Copy an experiment of which the target may hold a part already."""
        with self.target.spoken_to() as new:
            existing = new.get_experiment_by_name(experiment.name)
            target_id = existing.experiment_id if existing else new.create_experiment(experiment.name)
            for key, value in experiment.tags.items():
                new.set_experiment_tag(target_id, key, value)
            done, begun = {}, []
            for run in all_pages(new.search_runs, experiment_ids=[target_id], max_results=1000):
                if COPIED in run.data.tags:
                    done[run.data.tags[COPIED]] = run.info.run_id
                elif "copying.from" in run.data.tags:
                    begun.append(run.info.run_id)
            for run_id in begun:
                new.delete_run(run_id)
            for model in all_pages(new.search_logged_models, experiment_ids=[target_id]):
                if COPIED in model.tags:
                    self.models[model.tags[COPIED]] = model.model_id
        self.runs.update(done)
        with self.source.spoken_to() as old:
            runs = list(all_pages(old.search_runs, experiment_ids=[experiment.experiment_id], max_results=1000))
            models = list(all_pages(old.search_logged_models, experiment_ids=[experiment.experiment_id]))
        # Parents first, so that a child can name its parent's new id.
        for run in sorted(runs, key=lambda run: run.info.start_time):
            if run.info.run_id not in done:
                self.copy_run(run, target_id)
        for model in models:
            if model.model_id not in self.models:
                self.copy_model(model, target_id)
        with self.target.spoken_to() as new:
            for run in runs:
                if run.info.run_id not in done:
                    self._finish(new, run)
        print(f"{experiment.name}: {len(runs) - len(done)} runs copied, {len(done)} were there")

    def copy_run(self, run: Any, experiment_id: str) -> None:
        """Copy a run with all it logged but for its end."""
        with self.source.spoken_to() as old:
            histories = [old.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
        metrics = [Metric(each.key, each.value, each.timestamp, each.step) for points in histories for each in points]
        tags = {
            key: self._translate(value) if key.startswith("mlflow.") else value for key, value in run.data.tags.items()
        }
        tags["copying.from"] = run.info.run_id
        with self.target.spoken_to() as new:
            made = new.create_run(experiment_id, start_time=run.info.start_time, run_name=run.info.run_name)
            self.runs[run.info.run_id] = target = made.info.run_id
            for start in range(0, len(metrics), BATCH):
                new.log_batch(target, metrics=metrics[start : start + BATCH])
            params = [Param(key, value) for key, value in run.data.params.items()]
            for start in range(0, len(params), 100):
                new.log_batch(target, params=params[start : start + 100])
            noted = [RunTag(key, value) for key, value in tags.items()]
            for start in range(0, len(noted), 100):
                new.log_batch(target, tags=noted[start : start + 100])
            if run.inputs and run.inputs.dataset_inputs:
                new.log_inputs(target, run.inputs.dataset_inputs)
        self._copy_files(
            lambda folder: mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=folder),
            lambda client, folder: client.log_artifacts(target, folder),
        )

    def copy_model(self, model: Any, experiment_id: str) -> None:
        """Copy a logged model with its files and the metrics that belong to it."""
        run = self.runs.get(model.source_run_id or "")
        with self.target.spoken_to() as new:
            made = new.create_logged_model(
                experiment_id,
                name=model.name,
                source_run_id=run,
                params=model.params,
                tags={key: self._translate(value) for key, value in model.tags.items()},
                model_type=model.model_type,
            )
            for metric in model.metrics or []:
                owner = self.runs.get(metric.run_id or "", run)
                if owner:
                    point = Metric(
                        metric.key,
                        metric.value,
                        metric.timestamp,
                        metric.step,
                        model_id=made.model_id,
                        dataset_name=metric.dataset_name,
                        dataset_digest=metric.dataset_digest,
                    )
                    new.log_batch(owner, metrics=[point])
        self._copy_files(
            lambda folder: mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=folder),
            lambda client, folder: client.log_model_artifacts(made.model_id, folder),
        )
        with self.target.spoken_to() as new:
            if str(model.status) in {"READY", "FAILED"}:
                new.finalize_logged_model(made.model_id, str(model.status))
            new.set_logged_model_tags(made.model_id, {COPIED: model.model_id})
        self.models[model.model_id] = made.model_id

    def _finish(self, new: MlflowClient, run: Any) -> None:
        target = self.runs[run.info.run_id]
        outputs = [
            LoggedModelOutput(self.models[each.model_id], each.step)
            for each in (run.outputs.model_outputs if run.outputs else [])
            if each.model_id in self.models
        ]
        if outputs:
            new.log_outputs(target, outputs)
        inputs = [
            LoggedModelInput(self.models[each.model_id])
            for each in (run.inputs.model_inputs if run.inputs else [])
            if each.model_id in self.models
        ]
        if inputs:
            new.log_inputs(target, models=inputs)
        if run.info.status != "RUNNING":
            new.set_terminated(target, run.info.status, run.info.end_time)
        new.set_tag(target, COPIED, run.info.run_id)
        new.delete_tag(target, "copying.from")

    def copy_registry(self) -> None:
        """Copy registered models, their versions with their numbers, tags, stages and aliases."""
        with self.source.spoken_to() as old:
            registered = list(all_pages(old.search_registered_models))
            versions = {
                model.name: sorted(
                    all_pages(old.search_model_versions, filter_string=f"name = '{model.name}'"),
                    key=lambda version: int(version.version),
                )
                for model in registered
            }
        with self.target.spoken_to() as new:
            for model in registered:
                try:
                    new.create_registered_model(model.name, model.tags, model.description)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                for version in versions[model.name]:
                    self._copy_version(new, version)
                for alias, number in (model.aliases or {}).items():
                    new.set_registered_model_alias(model.name, alias, number)
                print(f"model {model.name}: {len(versions[model.name])} versions")

    def _copy_version(self, new: MlflowClient, version: Any) -> None:
        existing = all_pages(new.search_model_versions, filter_string=f"name = '{version.name}'")
        if int(version.version) in {int(each.version) for each in existing}:
            return
        while True:
            source, run, model = self._translate_source(version)
            made = new.create_model_version(
                version.name, source, run, tags=version.tags, description=version.description, model_id=model
            )
            if int(made.version) >= int(version.version):
                break
            # The numbers between were deleted on the old server.
            new.delete_model_version(version.name, made.version)
        if version.current_stage not in (None, "None"):
            new.transition_model_version_stage(version.name, made.version, version.current_stage)

    def _translate_source(self, version: Any) -> tuple[str, str | None, str | None]:
        run = self.runs.get(version.run_id or "")
        model = _MODEL.search(version.source)
        if model and model[0] in self.models:
            return f"models:/{self.models[model[0]]}", run, self.models[model[0]]
        found = _RUN.search(version.source)
        if found and found[0] in self.runs:
            path = version.source.partition("/artifacts/")[2] or version.source.partition(f"{found[0]}/")[2]
            return f"runs:/{self.runs[found[0]]}/{path}", self.runs[found[0]], None
        return version.source, run, None

    def _translate(self, text: str) -> str:
        return _RUN.sub(lambda found: self.runs.get(found[0], found[0]), text)

    def _copy_files(self, download: Callable[[str], str], upload: Callable[[MlflowClient, str], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with self.source.spoken_to():
                try:
                    local = download(folder)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                    return
            if any(os.scandir(local)):
                with self.target.spoken_to() as new:
                    upload(new, local)


def check_answer(side: Side) -> None:
    """End with one sentence where no MLflow server answers; one try is enough to know."""
    try:
        with urlopen(side.uri.rstrip("/") + "/version", timeout=10):
            pass
    except HTTPError:
        return  # somebody answers; who that is and what it wants, its client says
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SystemExit(f"error: no MLflow server answers at {side.uri}: {reason}") from error


def main() -> None:
    """Copy from the server that the command line names to the one that the environment names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="URL of the MLflow server to copy from")
    address = parser.parse_args().source
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise SystemExit('error: MLFLOW_TRACKING_URI says where to copy to: eval "$(penstock env)" sets it')
    target = Side(os.environ["MLFLOW_TRACKING_URI"], os.environ.get("MLFLOW_TRACKING_TOKEN", ""))
    source = Side(address, os.environ.get("SOURCE_TRACKING_TOKEN", ""))
    for side in (source, target):
        check_answer(side)
    Copier(source, target).copy_everything()


if __name__ == "__main__":
    main()
