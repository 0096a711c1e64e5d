from __future__ import annotations

import http.client
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.server.harness import House, build_house, open_house, serving

from penstock.entities.settings import ServerSettings, Settings
from penstock.server.security import host_of

MLFLOW_PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def raw(house: House, text: bytes) -> tuple[int, bytes]:
    """Send bytes as they are and return status and body."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=30) as connection:
        connection.sendall(text)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost:80", "localhost"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("lab.example.", "lab.example"),
        ("", None),
        ("evil.com/localhost", None),
        ("localhost@evil.com", None),
        ("localhost:99999999", None),
        ("localhost:x", None),
        ("[::1", None),
        ("local host", None),
    ],
)
def test_host_is_read_from_an_authority(authority: str, host: str | None) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:1", "[::1]"])
@pytest.mark.parametrize("path", ["/health", "/api/v1", MLFLOW_PATH])
def test_loopback_names_are_answered(house: House, host: str, path: str) -> None:
    assert house.ask("GET", path, headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.com", "evil.com:80", "localhost.evil.com", "127.0.0.1.nip.io", "10.0.0.1", ""])
@pytest.mark.parametrize("path", ["/health", "/api/v1", MLFLOW_PATH, "/nothing"])
def test_foreign_host_is_refused_before_the_token_is_asked(house: House, host: str, path: str) -> None:
    answer = house.ask("GET", path, headers={"Host": host}, token=None)
    assert answer.status == 403
    assert house.ask("GET", path, headers={"Host": host}).status == 403


def test_two_hosts_are_refused(house: House) -> None:
    status, _ = raw(house, b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n")
    assert status in {400, 403}


@pytest.mark.parametrize("origin", ["https://evil.com", "null", "file://", "http://localhost.evil.com", "", "evil.com"])
@pytest.mark.parametrize("path", ["/health", "/api/v1", MLFLOW_PATH])
def test_foreign_origin_is_refused_even_with_the_token(house: House, origin: str, path: str) -> None:
    assert house.ask("GET", path, headers={"Origin": origin}).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:8888", "http://127.0.0.1", "https://[::1]:5"])
def test_own_origin_is_answered(house: House, origin: str) -> None:
    assert house.ask("GET", "/api/v1", headers={"Origin": origin}).status == 200


def test_who_was_let_in_is_judged_anew_for_other_headers(house: House) -> None:
    own, foreign = f"http://127.0.0.1:{house.port}", "http://evil.com"
    for headers, status in (({}, 200), ({"Origin": own}, 200), ({"Origin": foreign}, 403), ({"Host": "evil.com"}, 403)):
        for _ in range(2):
            assert house.ask("GET", "/api/v1", headers=headers).status == status
    for name in range(200):
        assert house.ask("GET", "/health", headers={"Host": f"localhost:{name + 1}"}).status == 200


def test_allowed_hosts_may_be_named(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(allowed_hosts=("Lab.example",)))
    with open_house(tmp_path, settings=settings) as house:
        assert house.ask("GET", "/api/v1", headers={"Host": "lab.example:443"}).status == 200
        same = {"Host": "lab.example", "Origin": "https://lab.example"}
        assert house.ask("GET", "/api/v1", headers=same).status == 200
        assert house.ask("GET", "/api/v1", headers={"Host": "other.example"}).status == 403


def test_server_on_all_interfaces_answers_for_addresses_but_not_names(tmp_path: Path) -> None:
    from penstock.server.asgi import create_app

    house = build_house(tmp_path)
    app = create_app(replace(house.services, bound_hosts=("0.0.0.0",)))
    with serving(app) as port:
        house = replace(house, port=port)
        assert house.ask("GET", "/api/v1", headers={"Host": "10.1.2.3:80"}).status == 200
        own = {"Host": "10.1.2.3:80", "Origin": "http://10.1.2.3:80"}
        assert house.ask("GET", "/api/v1", headers=own).status == 200
        foreign = {"Host": "10.1.2.3:80", "Origin": "http://6.6.6.6"}
        assert house.ask("GET", "/api/v1", headers=foreign).status == 403
        assert house.ask("GET", "/api/v1", headers={"Host": "evil.com"}).status == 403
    house.services.store.close()


@pytest.mark.parametrize("token", [None, "pst_wrong", " ", "x" * 5000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing/here"),
        ("POST", "/api/v1/jobs"),
        ("PUT", "/api/v1/blobs/" + "0" * 64),
        ("GET", "/version"),
        ("POST", "/api/2.0/mlflow/runs/log-metric"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/f"),
        ("POST", "/internal/attempts/a/report"),
        ("GET", "/internal/serving/desired"),
    ],
)
def test_every_door_wants_the_token(house: House, token: str | None, method: str, path: str) -> None:
    answer = house.ask(method, path, {} if method != "GET" else None, token=token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    expected = "UNAUTHENTICATED" if "mlflow" in path or path == "/version" else "unauthenticated"
    assert expected in answer.json.values()
    assert house.token not in answer.body.decode()


def test_health_is_open_and_says_nothing_private(house: House) -> None:
    answer = house.ask("GET", "/health", token=None)
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": house.services.version})


def test_json_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(max_body_bytes=1000))
    with open_house(tmp_path, settings=settings) as house:
        big = {"command": "x" * 1001}
        assert house.ask("POST", "/api/v1/jobs", big).json["code"] == "body_too_large"
        assert house.ask("POST", "/api/v1/jobs", big).status == 413
        chunked = (json.dumps(big)[i : i + 100].encode() for i in range(0, 1100, 100))
        assert house.ask("POST", "/api/v1/jobs", body=chunked).status == 413
        small = (piece for piece in (b'{"comm', b'and": "true"}'))
        assert house.ask("POST", "/api/v1/jobs", body=small).status == 201
        log = {"run_id": "x" * 2000, "key": "k", "value": 1, "timestamp": 1}
        assert house.ask("POST", "/api/2.0/mlflow/runs/log-metric", log).status == 413
        content = b"y" * 5000
        import hashlib

        digest = hashlib.sha256(content).hexdigest()
        assert house.ask("PUT", f"/api/v1/blobs/{digest}", body=content).status == 201


def test_defect_shows_nothing_of_itself(house: House, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def list(self) -> list[object]:
            raise ValueError("the secret is 42")

    from penstock.server.asgi import create_app

    broken = create_app(replace(house.services, computes=Broken()))  # type: ignore[arg-type] # broken on purpose
    with serving(broken) as port:
        answer = replace(house, port=port).ask("GET", "/api/v1/computes")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert "42" not in answer.body.decode()
    assert "the secret is 42" in caplog.text
