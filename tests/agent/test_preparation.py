from __future__ import annotations

import http.server
import threading

import pytest

from penstock.agent.assignment import Assignment, AssignmentError, checked_path
from penstock.agent.download import shown_url


def test_code_and_inputs_are_in_place(workspace):
    big = b"0123456789" * 20_000
    workspace.run(
        "./run.sh; cat pkg/m.txt; cat ../inputs/file/data.csv; wc -c < ../inputs/folder/a/big; ls -d outputs logs; "
        "echo changed > ../inputs/file/data.csv",
        code=[
            {"path": "run.sh", "executable": True, **workspace.blob(b"#!/bin/sh\necho ran\n")},
            {"path": "pkg/m.txt", **workspace.blob(b"module\n")},
        ],
        inputs={
            "file": {
                "path": "inputs/file/data.csv",
                "is_file": True,
                "entries": [{"path": "data.csv", **workspace.blob(b"1,2\n")}],
            },
            "folder": {
                "path": "inputs/folder",
                "is_file": False,
                "entries": [{"path": "a/big", **workspace.blob(big)}],
            },
        },
    )
    assert workspace.door.log == b"ran\nmodule\n1,2\n200000\nlogs\noutputs\n"
    digest = workspace.blob(b"1,2\n")["digest"]
    assert (workspace.root / "blobs" / digest[:2] / digest).read_bytes() == b"1,2\n"


def test_missing_content_fails_the_attempt_with_a_sentence(workspace):
    entry = {"path": "train.py", "digest": "0" * 64, "size": 1}
    end = workspace.run("true", code=[entry])
    assert (end["reason"], end["exit_code"]) == ("prepare_failed", None)
    assert end["message"] == "code: the content of 'train.py' (000000000000) is not stored"
    assert end["message"] in workspace.door.log.decode()


def test_damaged_content_is_noticed(workspace):
    entry = {"path": "train.py", **workspace.blob(b"print()"), "size": 3}
    assert "damaged" in workspace.run("true", code=[entry])["message"]


def test_a_command_the_system_cannot_start_fails_the_attempt(workspace):
    end = workspace.run("true " + "x" * 200_000)
    assert end["reason"] == "prepare_failed"
    assert end["message"] == "The command could not be started: Argument list too long."


@pytest.fixture
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    (folder / "data.txt").write_bytes(b"from the web\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            if self.path.startswith("/gone"):
                self.send_error(410, "SECRET was here")
            elif self.headers.get("Authorization") == "Basic Ym9iOmh1bnRlcjI=":
                if self.path.startswith("/private"):
                    self.send_response(200)
                    self.send_header("Content-Length", "8")
                    self.end_headers()
                    self.wfile.write(b"for bob\n")
                else:
                    self.send_error(404)
            else:
                super().do_GET()

        def log_message(self, format, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_url_is_fetched(workspace, web):
    workspace.run("cat ../inputs/n/data.txt", inputs={"n": {"path": "inputs/n/data.txt", "url": f"{web}/data.txt"}})
    assert workspace.door.log.endswith(b"from the web\n")


def test_a_url_that_is_not_there_fails_the_attempt(workspace, web):
    end = workspace.run("true", inputs={"n": {"path": "inputs/n/data.txt", "url": f"{web}/none"}})
    assert end["reason"] == "prepare_failed"
    assert end["message"].startswith("inputs.n: http://127.0.0.1:")
    assert "404" in end["message"]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../b", "..", "./a", "a//b", "a\0b"])
def test_paths_that_leave_their_folder_are_refused(workspace, path):
    with pytest.raises(AssignmentError, match="leave"):
        checked_path(path)
    entry = {"path": path, "digest": "0" * 64, "size": 1}
    with pytest.raises(AssignmentError):
        Assignment(workspace.assignment("true", code=[entry]))


SECRETS = ("bob", "hunter2", "SECRET", "piece")


@pytest.mark.parametrize("place", ["{host}/none", "{host}/gone", "127.0.0.1:9/f.csv", "{host}:x/f.csv", "{host}/a b"])
def test_secrets_of_a_url_are_never_shown(workspace, web, place):
    url = f"http://bob:hunter2@{place.format(host=web[7:])}?sig=SECRET#piece"
    end = workspace.run("true", inputs={"n": {"path": "inputs/n/f.csv", "url": url}})
    assert end["reason"] == "prepare_failed"
    shown = end["message"] + workspace.door.log.decode() + workspace.errors.read_text()
    assert f"http://{place.format(host=web[7:])}" in shown
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_url_may_name_a_user(workspace, web):
    url = f"{web.replace('://', '://bob:hunter%32@')}/private.txt?sig=SECRET"
    workspace.run("cat ../inputs/n/data.txt", inputs={"n": {"path": "inputs/n/data.txt", "url": url}})
    assert workspace.door.log.endswith(b"for bob\n")
    assert not [secret for secret in SECRETS if secret.encode() in workspace.door.log.replace(b"for bob", b"")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bob:hunter2@host:80/a/b.csv?sig=SECRET#piece", "http://host:80/a/b.csv"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://a:p@ss@host", "https://host"),
        ("http://host?sig=SECRET", "http://host"),
        ("bob:hunter2@host/x", "host/x"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert shown_url(url) == shown
