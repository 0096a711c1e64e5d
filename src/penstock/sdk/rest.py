"""Every REST call of the client by name: JSON in, JSON out.

The one file that knows the server's paths. The typed clients beside it turn the JSON into entities; the
command line prints it as it came, which spares it loading them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from penstock.sdk.http import HttpClient, quoted
from penstock.sdk.response import Response

Json = dict[str, Any]
API = "/api/v1"
PAGE = 200
LARGEST_PAGE = 1000
WALK = 20_000
"""Entries verified at once; servers of any age take so many."""


class Rest:
    """The calls of one server.

    Parameters
    ----------
    http : HttpClient or callable
        The connection; or what opens it with the first call, told whether it may make the workspace for that.
    """

    def __init__(self, http: HttpClient | Callable[[bool], HttpClient]) -> None:
        self._http = http

    @property
    def http(self) -> HttpClient:
        """Return the connection."""
        return self._connect(is_creating=False)

    def ensure_workspace(self) -> None:
        """Make the workspace where there is none yet, as whatever creates something does first."""
        self._connect(is_creating=True)

    def close(self) -> None:
        """Close idle connections; it can still be used afterwards."""
        if isinstance(self._http, HttpClient):
            self._http.close()

    def _connect(self, *, is_creating: bool) -> HttpClient:
        if not isinstance(self._http, HttpClient):
            self._http = self._http(is_creating)
        return self._http

    def health(self) -> Json:
        """Return ``{"status", "version"}``; needs no token."""
        return self._object(self.http.get("/health"))

    def features(self) -> Json:
        """Return the API's version and features."""
        return self._object(self.http.get(API))

    # -- jobs

    def create_job(self, spec: Json, *, key: str | None = None) -> Json:
        """Submit a closed spec and return the job."""
        return self._object(self.http.post(f"{API}/jobs", spec, key=key))

    def get_job(self, name: str) -> Json:
        """Return a job by its name or a unique prefix of it."""
        return self._object(self.http.get(API + quoted("jobs", name)))

    def list_jobs(
        self, *, status: str | None = None, experiment_name: str | None = None, limit: int | None = None
    ) -> Iterator[Json]:
        """Yield jobs, newest first."""
        return self._pages(f"{API}/jobs", {"status": status, "experiment_name": experiment_name}, limit)

    def cancel_job(self, name: str) -> Json:
        """Ask for a job's end and return the job as it is now."""
        return self._object(self.http.post(API + quoted("jobs", name) + ":cancel"))

    def stream_job(self, name: str, *, log_offset: int = 0, metrics_after: int = 0) -> Response:
        """Open a job's event stream."""
        return self.http.request(
            "GET",
            API + quoted("jobs", name) + ":stream",
            query={"log_offset": log_offset, "metrics_after": metrics_after},
            headers={"Accept": "text/event-stream"},
            timeout_s=30.0,
        )

    def read_log(self, name: str, *, offset: int = 0) -> str:
        """Return a job's log from a byte offset on."""
        answer = self.http.request("GET", API + quoted("jobs", name, "log"), query={"offset": offset})
        return answer.read().decode("utf-8", "replace")

    def get_metrics(self, name: str) -> Json:
        """Return ``{"metrics", "latest", "params"}`` of a run."""
        return self._object(self.http.get(API + quoted("jobs", name, "metrics")))

    def list_attempts(self, name: str) -> list[Json]:
        """Return a job's attempts, oldest first."""
        return list(self._pages(API + quoted("jobs", name, "attempts"), {}, None))

    def list_artifacts(self, name: str, path: str = "", *, recursive: bool = False) -> list[Json]:
        """Return ``{"path", "is_dir", "size"}`` of what lies under ``path`` in a run's artifacts."""
        query = {"path": path or None, "recursive": True if recursive else None}
        return list(self._pages(API + quoted("runs", name, "artifacts"), query, None))

    def open_artifact(self, name: str, path: str, *, known: str | None = None) -> Response:
        """Open one file of a run's artifacts; the status is 304 if it is the content of SHA-256 ``known``."""
        return self._content(quoted("runs", name, "artifacts", *path.split("/")), known)

    # -- runs

    def search_runs(
        self, selection: Json, *, limit: int | None = None, say: Callable[[str], object] | None = None
    ) -> Iterator[Json]:
        """Yield the runs that a search finds, asked for a page at a time; ``say`` is told what the server remarks."""
        left, following = limit, None
        while left is None or left > 0:
            size = LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)
            page = self.http.post(f"{API}/runs/search", {**selection, "limit": size, "next": following})
            if say is not None and following is None:
                for warning in page.get("warnings", ()):
                    say(warning)
            yield from page["items"]
            following = page.get("next")
            if not following:
                return
            left = None if left is None else left - len(page["items"])

    def export_runs(self, selection: Json) -> Response:
        """Open the file of all runs that a selection finds."""
        return self.http.request("POST", f"{API}/runs:export", content=selection, timeout_s=300.0)

    def get_run(self, name: str) -> Json:
        """Return a whole run by its id or a unique prefix of it."""
        return self._object(self.http.get(API + quoted("runs", name)))

    def change_run(self, name: str, change: Json) -> Json:
        """Change a run's name or tags and return it."""
        return self._object(self.http.request("PATCH", API + quoted("runs", name), content=change).json())

    def delete_run(self, name: str, *, restore: bool = False) -> Json:
        """Hide a run, or show it again."""
        return self._object(self.http.post(API + quoted("runs", name) + (":restore" if restore else ":delete")))

    def read_history(self, name: str, key: str, **query: int | None) -> Iterator[Json]:
        """Yield ``{"step", "timestamp", "value"}`` of one metric in the order of time.

        Parameters
        ----------
        **query : int, optional
            ``from_step``, ``to_step``, ``max_points``.
        """
        path = API + quoted("runs", name, "metrics", *key.split("/"))
        return self._pages(path, {**query, "limit": LARGEST_PAGE}, None)

    # -- experiments

    def list_experiments(self, *, view: str | None = None) -> Iterator[Json]:
        """Yield experiments, newest first."""
        return self._pages(f"{API}/experiments", {"view": view}, None)

    def get_experiment(self, name: str) -> Json:
        """Return an experiment by its name or id."""
        return self._object(self.http.get(API + quoted("experiments", name)))

    def create_experiment(self, spec: Json) -> Json:
        """Create an experiment and return it."""
        return self._object(self.http.post(f"{API}/experiments", spec))

    def change_experiment(self, name: str, change: Json) -> Json:
        """Change an experiment's name or tags and return it."""
        return self._object(self.http.request("PATCH", API + quoted("experiments", name), content=change).json())

    def delete_experiment(self, name: str, *, restore: bool = False) -> Json:
        """Hide an experiment and its runs, or show them again."""
        verb = ":restore" if restore else ":delete"
        return self._object(self.http.post(API + quoted("experiments", name) + verb))

    # -- permanent deletion

    def plan_collection(self, scope: Json) -> Json:
        """Return what a permanent deletion would take."""
        return self._object(self.http.post(f"{API}/gc:plan", scope))

    def collect(self, scope: Json) -> Iterator[Json]:
        """Delete for good; yield what happens as it happens."""
        answer = self.http.request("POST", f"{API}/gc", content=scope, timeout_s=600.0)
        rest = b""
        for piece in answer.iter_bytes():
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)

    # -- content

    def create_tree(self, tree: Json) -> str:
        """Record a tree whose blobs are all there and return its digest; a conflict lists the missing ones."""
        return str(self.http.post(f"{API}/trees", tree)["digest"])

    def get_tree(self, digest: str) -> Json:
        """Return a tree by its digest."""
        return self._object(self.http.get(API + quoted("trees", digest)))

    # -- assets; ``kind`` is the plural in the path: models, data, environments

    def create_asset(self, kind: str, spec: Json) -> Json:
        """Register a version and return it."""
        return self._object(self.http.post(f"{API}/{kind}", spec))

    def list_assets(self, kind: str, *, limit: int | None = None) -> Iterator[Json]:
        """Yield the latest version of each name."""
        return self._pages(f"{API}/{kind}", {}, limit)

    def list_versions(self, kind: str, name: str, *, limit: int | None = None) -> Iterator[Json]:
        """Yield the versions of one name, newest first."""
        return self._pages(API + quoted(kind, name, "versions"), {}, limit)

    def get_asset(self, kind: str, name: str, version: str | None = None) -> Json:
        """Return a version; ``@latest`` or None means the one created last."""
        path = quoted(kind, name, "versions", version) if version else quoted(kind, name)
        return self._object(self.http.get(API + path))

    def delete_asset(self, kind: str, name: str, version: str, *, force: bool = False) -> None:
        """Delete a version; a deployed model only if forced."""
        self.http.delete(API + quoted(kind, name, "versions", version) + ("?force=true" if force else ""))

    def archive_asset(self, kind: str, name: str, version: str, *, restore: bool = False) -> Json:
        """Hide a version from lists, or show it again."""
        verb = ":restore" if restore else ":archive"
        return self._object(self.http.post(API + quoted(kind, name, "versions", version) + verb))

    def change_asset(self, kind: str, name: str, version: str, change: Json) -> Json:
        """Describe, tag, mark or stage a version and return it."""
        return self._object(
            self.http.request("PATCH", API + quoted(kind, name, "versions", version), content=change).json()
        )

    def list_asset_files(self, kind: str, name: str, version: str) -> list[Json]:
        """Return ``{"path", "size"}`` of a version's files."""
        return list(self._pages(API + quoted(kind, name, "versions", version, "files"), {}, None))

    def open_asset_file(self, kind: str, name: str, version: str, path: str, *, known: str | None = None) -> Response:
        """Open one file of a version; the status is 304 if it is the content of SHA-256 ``known``."""
        return self._content(quoted(kind, name, "versions", version, "files", *path.split("/")), known)

    # -- endpoints

    def put_endpoint(self, spec: Json) -> Json:
        """Create or replace an endpoint."""
        return self._object(self.http.put(API + quoted("online-endpoints", spec["name"]), spec))

    def list_endpoints(self) -> Iterator[Json]:
        """Yield endpoints by name."""
        return self._pages(f"{API}/online-endpoints", {}, None)

    def get_endpoint(self, name: str) -> Json:
        """Return an endpoint."""
        return self._object(self.http.get(API + quoted("online-endpoints", name)))

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint and its deployments."""
        self.http.delete(API + quoted("online-endpoints", name))

    def set_traffic(self, name: str, traffic: Mapping[str, int], mirror: Mapping[str, int] | None = None) -> Json:
        """Set the split over deployments, and which of them gets copies where ``mirror`` is given."""
        split = {"traffic": dict(traffic), **({} if mirror is None else {"mirror_traffic": dict(mirror)})}
        return self._object(self.http.post(API + quoted("online-endpoints", name) + ":traffic", split))

    def start_rollout(self, name: str, spec: Json) -> Json:
        """Give a deployment its traffic step by step."""
        return self._object(self.http.post(API + quoted("online-endpoints", name) + ":rollout", spec))

    def change_rollout(self, name: str, action: str) -> Json:
        """``pause``, ``resume`` or ``abort`` the release under way."""
        path = API + quoted("online-endpoints", name) + ":change-rollout"
        return self._object(self.http.post(path, {"action": action}))

    def get_credentials(self, name: str) -> Json:
        """Return the endpoint's two keys."""
        return self._object(self.http.get(API + quoted("online-endpoints", name, "credentials")))

    def rotate_key(self, name: str, key_type: str) -> Json:
        """Replace one of the two keys and return both."""
        return self._object(
            self.http.post(API + quoted("online-endpoints", name) + ":rotate-key", {"key_type": key_type})
        )

    def put_deployment(self, spec: Json) -> Json:
        """Create or update a deployment; it becomes ready later."""
        return self._object(self.http.put(self._deployment(spec["endpoint_name"], spec["name"]), spec))

    def list_deployments(self, endpoint: str) -> Iterator[Json]:
        """Yield an endpoint's deployments."""
        return self._pages(API + quoted("online-endpoints", endpoint, "deployments"), {}, None)

    def get_deployment(self, endpoint: str, name: str, *, wait_s: int | None = None) -> Json:
        """Return a deployment; with ``wait_s`` as soon as it is ready or has failed, at the latest after that time."""
        return self._object(self.http.get(self._deployment(endpoint, name), {"wait": wait_s}))

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        self.http.delete(self._deployment(endpoint, name))

    def open_export(self, endpoint: str, name: str, target: str) -> Response:
        """Open a tar of a deployment that runs alone."""
        return self.http.request("GET", f"{self._deployment(endpoint, name)}/export?target={target}")

    def read_deployment_log(self, endpoint: str, name: str, *, lines: int) -> str:
        """Return the last lines a deployment's processes wrote."""
        return self.read_deployment_log_after(endpoint, name, lines=lines)[0]

    def read_deployment_log_after(self, endpoint: str, name: str, **query: int | None) -> tuple[str, int]:
        """Return the last ``lines``, or all lines since the offset ``after``, and the offset at which they end."""
        answer = self.http.request("GET", self._deployment(endpoint, name) + "/logs", query=query)
        return answer.read().decode("utf-8", "replace"), int(answer.headers.get("X-Log-Offset") or 0)

    # -- tokens and the audit log

    def create_token(self, spec: Json) -> Json:
        """Make a token; ``secret`` in the answer is what opens doors. Never sent twice by itself."""
        return self._object(self.http.request("POST", f"{API}/tokens", content=spec).json())

    def list_tokens(self) -> Iterator[Json]:
        """Yield people's tokens without their secrets."""
        return self._pages(f"{API}/tokens", {}, None)

    def revoke_token(self, name: str) -> None:
        """End the live token of a name or id."""
        self.http.delete(API + quoted("tokens", name))

    def list_events(
        self, query: Mapping[str, Any], *, limit: int | None = None, is_newest_first: bool = False
    ) -> Iterator[Json]:
        """Yield entries of the audit log."""
        return self._pages(f"{API}/events", {**query, "order": "desc" if is_newest_first else "asc"}, limit)

    def stream_events(self, query: Mapping[str, Any], *, after: int) -> Response:
        """Open the stream of the audit log after an entry."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        return self.http.request("GET", f"{API}/events", query=query, headers=headers, timeout_s=30.0)

    def get_head(self) -> Json:
        """Return ``{"seq", "hash"}`` of the audit log's last entry."""
        return self._object(self.http.get(f"{API}/events/head"))

    def verify_events(self, *, after: str | None = None, expect: str | None = None) -> Json:
        """Verify a page of the audit log."""
        return self._object(self.http.get(f"{API}/events:verify", {"after": after, "expect": expect, "limit": WALK}))

    def export_events(self, query: Mapping[str, Any]) -> Response:
        """Open the export of the audit log."""
        return self.http.request("GET", f"{API}/events:export", query={**query, "format": "jsonl"})

    # -- the rest

    def list_computes(self) -> Iterator[Json]:
        """Yield compute targets."""
        return self._pages(f"{API}/computes", {}, None)

    def _content(self, path: str, known: str | None) -> Response:
        return self.http.request("GET", API + path, headers={"If-None-Match": f'"{known}"'} if known else None)

    def _deployment(self, endpoint: str, name: str) -> str:
        return API + quoted("online-endpoints", endpoint, "deployments", name)

    def _pages(self, path: str, query: Mapping[str, Any], limit: int | None) -> Iterator[Json]:
        following: str | None = None
        left = limit
        while left is None or left > 0:
            size = None if limit is None else min(left or 0, PAGE)
            page = self.http.get(path, {**query, "limit": size, "next": following})
            yield from page["items"]
            following = page.get("next")
            if not following:
                return
            left = None if left is None else left - len(page["items"])

    @staticmethod
    def _object(answer: Any) -> Json:
        return answer if isinstance(answer, dict) else {}
