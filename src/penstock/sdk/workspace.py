"""The workspace: one folder or one server's address; everything else lives in it."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock.sdk.http import HttpClient
from penstock.sdk.launch import ensure_server, shorten
from penstock.sdk.locate import TOKEN_VARIABLE, Location, locate_workspace
from penstock.sdk.rest import Rest

if TYPE_CHECKING:
    from penstock.home import Home, ServerRecord
    from penstock.sdk.assets import DataClient, EnvironmentsClient, ModelsClient
    from penstock.sdk.audit import AuditClient
    from penstock.sdk.compute import ComputeTargets
    from penstock.sdk.endpoints import EndpointsClient
    from penstock.sdk.experiments import ExperimentsClient
    from penstock.sdk.gc import Collected
    from penstock.sdk.jobs import JobsClient
    from penstock.sdk.runs import RunsClient
    from penstock.sdk.tokens import TokensClient


class Workspace:
    """A workspace, embedded in a folder or behind a URL; both are spoken to over HTTP.

    Parameters
    ----------
    place : str or path, optional
        A folder: its server is found, or started in the background, which is said in one line. Where it holds a
        workspace `.penstock` that one is meant. A folder that is no workspace yet is made one by the first call
        that submits or creates something; until then reading raises NotFoundError. A URL: the server there. Without
        it as `from_config`.
    create : bool
        Make the folder a workspace at once.
    token : str, optional
        For a URL; ``PENSTOCK_TOKEN`` by default. A folder's token is read from the folder.
    ca_file : str, optional
        Certificates to trust instead of the system's, for ``https``.

    Examples
    --------
    >>> ws = Workspace("./lab")  # doctest: +SKIP
    >>> run = ws.jobs.submit("job.yml")  # doctest: +SKIP
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | None = None,
        *,
        create: bool = False,
        token: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        location = locate_workspace(place)
        if place is None and not create:
            location.must_exist(hint='Make one with: Workspace("folder", create=True), or: penstock up')
        self.home: Home | None = location.home

        def open_new(is_creating: bool) -> HttpClient:
            hint = f"Make one with: Workspace({str(place)!r}, create=True), or by submitting a job to it."
            there = location.again()
            return connect(there if is_creating else there.must_exist(hint=hint), token=token).http

        if location.is_new and not create:
            self.rest = Rest(open_new)
        else:
            self.rest = connect(location, token=token, ca_file=ca_file)

    @classmethod
    def from_config(cls) -> Workspace:
        """Return the workspace that is meant here.

        ``PENSTOCK_WORKSPACE`` names it; else it is the nearest from here upwards of a folder with
        ``penstock.toml`` and a workspace ``.penstock``.

        Raises
        ------
        NotFoundError
            If there is none; nothing is made.
        """
        return cls()

    def __repr__(self) -> str:
        return f"Workspace({str(self.home.root) if self.home else self.url!r})"

    @property
    def url(self) -> str:
        """Return the server's address.

        Raises
        ------
        NotFoundError
            If the folder is no workspace yet.
        """
        return self.rest.http.url

    @cached_property
    def jobs(self) -> JobsClient:
        """Return the jobs."""
        from penstock.sdk.jobs import JobsClient as Client

        return Client(self.rest)

    @cached_property
    def runs(self) -> RunsClient:
        """Return the runs: every job's, and those that MLflow's client made."""
        from penstock.sdk.runs import RunsClient as Client

        return Client(self.rest)

    @cached_property
    def experiments(self) -> ExperimentsClient:
        """Return the experiments."""
        from penstock.sdk.experiments import ExperimentsClient as Client

        return Client(self.rest)

    @cached_property
    def models(self) -> ModelsClient:
        """Return the registered models."""
        from penstock.sdk.assets import ModelsClient as Client

        return Client(self.rest)

    @cached_property
    def data(self) -> DataClient:
        """Return the data assets."""
        from penstock.sdk.assets import DataClient as Client

        return Client(self.rest)

    @cached_property
    def environments(self) -> EnvironmentsClient:
        """Return the environments."""
        from penstock.sdk.assets import EnvironmentsClient as Client

        return Client(self.rest)

    @cached_property
    def endpoints(self) -> EndpointsClient:
        """Return the online endpoints."""
        from penstock.sdk.endpoints import EndpointsClient as Client

        return Client(self.rest)

    @cached_property
    def compute_targets(self) -> ComputeTargets:
        """Return where jobs can run, by name."""
        from penstock.sdk.compute import ComputeTargets as Targets

        return Targets(self.rest)

    @cached_property
    def tokens(self) -> TokensClient:
        """Return the tokens of people and services."""
        from penstock.sdk.tokens import TokensClient as Client

        return Client(self.rest)

    @cached_property
    def audit(self) -> AuditClient:
        """Return the audit log."""
        from penstock.sdk.audit import AuditClient as Client

        return Client(self.rest)

    def collect_garbage(self, **scope: Any) -> Collected:
        """Say what a permanent deletion would take, or with ``apply=True`` take it; see `penstock.sdk.gc.collect`."""
        from penstock.sdk.gc import collect

        return collect(self.rest, **scope)

    def close(self) -> None:
        """Close idle connections; the workspace can still be used afterwards."""
        self.rest.close()


def connect(location: Location, *, token: str | None = None, ca_file: str | None = None) -> Rest:
    """Return the calls of the server at ``location``; a folder without one gets it, and is made a workspace if new."""
    if location.home is None:
        return Rest(HttpClient(location.url, token or os.environ.get(TOKEN_VARIABLE), ca_file=ca_file))
    record = start_server(location.home, is_new=location.is_new)
    return Rest(
        HttpClient(
            record.url,
            token or location.home.read_token(),
            hint=f"Its logs: {location.home.logs}",
        )
    )


def start_server(home: Home, *, is_new: bool, host: str | None = None, port: int | None = None) -> ServerRecord:
    """Return the folder's server, started if there is none, and say what was made for that once it is made."""
    remarks: list[str] = []
    record = ensure_server(home, say=remarks.append, host=host, port=port)
    for line in (*([f"Created workspace {shorten(home.root)}"] if is_new else []), *remarks):
        say(line)
    return record


def say(line: str) -> None:
    """Write one line for people to standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
