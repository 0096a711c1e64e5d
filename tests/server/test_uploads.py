"""Uploads whose token ends on the way, and names that are no text."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import pytest
from tests.server.harness import House

from penstock.server.transfer import PIECE_BYTES

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def root(house: House) -> str:
    """The artifact root of a run, as a path."""
    run = house.ok("POST", f"{API}/runs/create", {"experiment_id": "0"})["run"]["info"]
    return str(run["artifact_uri"].partition(":/")[2])


def send_slowly(house: House, method: str, path: str, token: str, body: bytes, between: Any) -> bytes:
    """Send a request whose body is waited for, its second half after ``between``; return the answer's first line."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", house.port), timeout=30) as connection:
        connection.sendall(head.encode())
        # The door asks for the body: whoever asks was let in.
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body[: len(body) // 2])
        between()
        connection.sendall(body[len(body) // 2 :])
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.partition(b"\r\n")[0]


@pytest.mark.parametrize("size", [10, 3 * PIECE_BYTES])
@pytest.mark.parametrize("door", ["artifact", "blob", "upload"])
def test_an_upload_whose_token_ends_on_the_way_is_not_kept(house: House, root: str, door: str, size: int) -> None:
    name = f"ends-{door}-{size}"
    token = house.ok("POST", "/api/v1/tokens", {"name": name, "role": "contributor"})["secret"]
    body = name.encode().ljust(size, b"x")
    digest = hashlib.sha256(body).hexdigest()
    begun = house.ok("POST", "/api/v1/uploads")["upload"]
    method, path = {
        "artifact": ("PUT", f"{FILES}/{root}/{name}"),
        "blob": ("PUT", f"/api/v1/blobs/{digest}"),
        "upload": ("PATCH", f"/api/v1/uploads/{begun}?offset=0"),
    }[door]

    def revoke() -> None:
        house.ok("DELETE", f"/api/v1/tokens/{name}")

    assert send_slowly(house, method, path, token, body, revoke) == b"HTTP/1.1 401 Unauthorized"
    if door == "artifact":
        assert house.ask("GET", path).status == 404
    if door == "blob":
        assert house.ok("POST", "/api/v1/blobs:missing", {"digests": [digest]})["missing"] == [digest]


def test_an_upload_whose_token_lives_is_kept(house: House, root: str) -> None:
    token = house.ok("POST", "/api/v1/tokens", {"name": "lives", "role": "contributor"})["secret"]
    line = send_slowly(house, "PUT", f"{FILES}/{root}/lives", token, b"x" * 10, lambda: None)
    assert line == b"HTTP/1.1 200 OK"
    assert house.ask("GET", f"{FILES}/{root}/lives").body == b"x" * 10


def test_a_name_that_is_no_text_is_refused_at_every_door(house: House, root: str) -> None:
    run = root.split("/")[1]
    for name in ("%ff.txt", "%fe.txt", "%c3%28", "%ed%a0%80"):
        for method in ("PUT", "GET", "DELETE"):
            answer = house.ask(method, f"{FILES}/{root}/{name}", body=b"x" if method == "PUT" else None)
            assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), name
        assert house.ask("GET", f"/api/v1/runs/{run}/artifacts/{name}").status == 400
        assert house.ask("GET", f"/api/v1/models/m/versions/1/files/{name}").status == 400
        assert house.ask("GET", f"{API}/artifacts/list?run_id={run}&path={name}").status == 400
        assert house.ask("GET", f"/api/v1/runs/{run}/artifacts?path={name}").status == 400
    assert house.ask("PUT", f"{FILES}/{root}/%C3%A4%20%25ff.txt", body=b"x").status == 200
    assert "ä %ff.txt" in [one["path"] for one in house.ok("GET", f"{API}/artifacts/list?run_id={run}")["files"]]
