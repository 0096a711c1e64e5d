"""The server process: settings → stores → services → one ASGI app, and the loops behind it.

The only place that knows every part by name. The order of the lines below is the order of start; what costs
time and is not needed for the first answer (the idle agent, looking for orphans) begins after it.
"""

from __future__ import annotations

import argparse
import gc
import getpass
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from penstock.access.tokens import Access
from penstock.app.process import configure_logging, end_with_parent, inherited_control, inherited_socket
from penstock.app.reader import reader_starter
from penstock.app.refusal import explain, refuse
from penstock.assets.registry import Registry
from penstock.clock import now_ms
from penstock.compute.environments.base import SHIM_FOLDER, Prepared
from penstock.compute.environments.select import Environments
from penstock.compute.local import LocalCompute
from penstock.config import load_settings
from penstock.entities.attempt import Attempt
from penstock.entities.errors import PenstockError, Problem, SpecError
from penstock.entities.job import Job
from penstock.entities.settings import Settings
from penstock.home import Home
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.computes import LocalComputes
from penstock.jobs.logs import LiveLogs
from penstock.jobs.scheduler import Scheduler
from penstock.jobs.service import Jobs
from penstock.jobs.starting import Fixed, Starter
from penstock.jobs.watch import Feed
from penstock.rules import names
from penstock.rules.quantities import parse_instance_types
from penstock.server.asgi import create_app
from penstock.server.readers.pool import Readers
from penstock.server.services import Services
from penstock.serving.connections import own_limits, protocol_for
from penstock.serving.endpoints import Endpoints
from penstock.serving.joined import JoinedProtocol
from penstock.serving.mlflow_models import MlflowModels
from penstock.serving.model_check import ModelCheck
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.opening import open_metadata
from penstock.version import __version__

KEEP_ALIVE_S = 75
STOP_TIMEOUT_S = 5
PATIENCE_S = 120.0
"""So long may an upload pause, or a download not be taken: longer than at the gateway, as files are larger."""


def new_id() -> str:
    """Return 32 random hex digits."""
    return names.new_id(os.urandom)


@dataclass(frozen=True, slots=True)
class House:
    """What was composed: the services for the doors, and what has to be started and stopped."""

    services: Services
    store: MetadataStore
    compute: LocalCompute
    scheduler: Scheduler
    endpoints: Endpoints


def main(arguments: list[str]) -> int:
    """Run ``python -m penstock.app server``; started by the supervisor alone."""
    parser = argparse.ArgumentParser(prog="penstock server")
    parser.add_argument("--workspace", type=Path, required=True)
    home = Home(parser.parse_args(arguments).workspace)
    try:
        settings = load_settings(home.config_file, os.environ)
        configure_logging(settings.log.level)
        control = inherited_control()
        listening = inherited_socket()
        host = str(listening.getsockname()[0])
        house = compose(home, settings, host, on_gateway_needed=lambda: control.sendall(b"gateway\n"))
    except PenstockError as error:
        return refuse(error)
    except OSError as error:
        return refuse(explain(error, home.root))
    serve(house, listening, control)
    return 0


def compose(home: Home, settings: Settings, host: str, *, on_gateway_needed: Callable[[], object]) -> House:
    """Build every part and join them; nothing runs yet.

    Parameters
    ----------
    host : str
        The address the server is bound to.
    on_gateway_needed : callable
        Called when there is a deployment for the first time; may be called again.
    """
    store = open_metadata(settings.stores.metadata, home.metadata_db)
    blobs = LocalBlobStore(home.blobs)
    feed = Feed()
    live_logs = LiveLogs(home.logs / "jobs")
    access = Access(
        store,
        workspace_token=home.token_file.read_text("ascii").strip(),
        internal_token=home.internal_token_file.read_text("ascii").strip(),
        now=now_ms,
        owner=getpass.getuser(),
    )
    compute = LocalCompute(home.logs / "agents.log", idle_agents=settings.compute.idle_agents)
    environments = Environments(home.envs)
    slots = settings.compute.slots or os.cpu_count() or 1
    scheduler: Scheduler

    def wake() -> None:
        scheduler.wake()

    reports = AttemptReports(
        store,
        blobs,
        live_logs,
        feed,
        access,
        clock=now_ms,
        wake=wake,
        max_attempts=settings.jobs.max_attempts,
    )
    starter = Starter(
        store,
        compute,
        environments,
        reports,
        live_logs,
        feed,
        clock=now_ms,
        folder=home.jobs,
        access=access,
        fixed=_fixed_assignment(home, settings),
        new_id=new_id,
        wake=wake,
    )
    scheduler = Scheduler(
        store,
        compute,
        starter,
        reports,
        feed,
        clock=now_ms,
        slots=slots,
        watch_interval_s=settings.jobs.watch_interval_s,
        folder=home.jobs,
        spool=home.spool,
    )
    endpoints = Endpoints(
        store,
        environments=environments,
        clock=now_ms,
        notify=feed.notify,
        on_gateway_needed=on_gateway_needed,
        gateway_url=os.environ.get("PENSTOCK_GATEWAY_URL", ""),
        logs=home.logs,
        model_check=ModelCheck(blobs),
        instance_types=_instance_types(settings),
        mlflow_models=MlflowModels(blobs, environments, home.converted),
    )
    services = Services(
        store=store,
        readers=Readers(store, reader_starter(home)),
        blobs=blobs,
        access=access,
        jobs=Jobs(store, blobs, live_logs, feed, clock=now_ms, wake=wake, new_id=new_id),
        attempts=reports,
        assets=Registry(store, now_ms),
        endpoints=endpoints,
        computes=LocalComputes(store, slots),
        feed=feed,
        settings=settings,
        now=now_ms,
        new_id=new_id,
        bound_hosts=(host,),
        version=__version__,
        scratch=home.run,
    )
    return House(services, store, compute, scheduler, endpoints)


def serve(house: House, listening: socket.socket, control: socket.socket) -> None:
    """Answer requests until the supervisor is gone or asks for the end; then leave in order."""
    config = configure(create_app(house.services))
    services = house.services
    server = _Server(config, lambda: _begin(house, control), services.closing.begin, services.readers.end)
    end_with_parent(server.stop)
    try:
        server.run(sockets=[listening])
    finally:
        house.scheduler.stop()
        house.compute.close()
        services.readers.close()
        house.store.close()


def configure(app: ASGIApp) -> uvicorn.Config:
    """Return how the server serves: HTTP/1.1 alone, and to nobody who keeps it waiting."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_for(replace(own_limits(), body_s=PATIENCE_S, answer_s=PATIENCE_S), JoinedProtocol),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


def _begin(house: House, control: socket.socket) -> None:
    gc.freeze()  # what was composed stays; a batch of points otherwise has the collector walk all of it
    gc.enable()
    control.sendall(b"ready\n")
    house.scheduler.start()
    house.compute.warm_up()
    house.endpoints.start()


class _Server(uvicorn.Server):
    """Uvicorn that says when it answers, when it is about to leave, and when the last request is answered."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_closing: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_end = on_end
        self._on_ready = on_ready
        self._on_closing = on_closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_closing()
        await super().shutdown(sockets)
        self._on_end()

    def stop(self) -> None:
        self.should_exit = True


def _instance_types(settings: Settings) -> dict[str, dict[str, dict[str, str]]]:
    try:
        return parse_instance_types(settings.compute.instance_types)
    except ValueError as error:
        raise SpecError([Problem(str(error), pointer="/compute/instance_types")]) from error


def _fixed_assignment(home: Home, settings: Settings) -> Fixed:
    def fixed(job: Job, attempt: Attempt, token: str, experiment_id: str, prepared: Prepared) -> Mapping[str, Any]:
        record = home.read_server_record()
        url = os.environ.get("PENSTOCK_SERVER_URL") or (record.url if record else "")
        return {
            "server_record": str(home.server_record),
            "server_url": url,
            "token": token,
            "spool": str(home.spool / attempt.attempt_id),
            "blobs": str(home.blobs),
            "path_prepend": list(prepared.path_prepend),
            "shim": str(SHIM_FOLDER),
            "cancel_grace_s": settings.jobs.cancel_grace_s,
            "environment": {
                "AZUREML_RUN_ID": job.name,
                "AZUREML_ROOT_RUN_ID": job.name,
                "AZUREML_EXPERIMENT_NAME": job.experiment_name,
                "AZUREML_ARM_SUBSCRIPTION": "00000000-0000-0000-0000-000000000000",
                "AZUREML_ARM_RESOURCEGROUP": "penstock",
                "AZUREML_ARM_WORKSPACE_NAME": home.root.name,
                "PENSTOCK_DISPLAY_NAME": job.display_name,
                "PENSTOCK_RUN_URL": f"{url}/#/experiments/{experiment_id}/runs/{job.name}",
                "PENSTOCK_RELAY": "1" if settings.jobs.relay else "0",
                "MLFLOW_TRACKING_URI": url,
                "MLFLOW_TRACKING_TOKEN": token,
                "MLFLOW_RUN_ID": job.name,
                "MLFLOW_EXPERIMENT_ID": experiment_id,
                "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime's Linux builds report home unless told not to
            },
        }

    return fixed
