from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SCORE = "import json\ndef init(): print('up')\ndef run(raw_data): return {'sum': sum(json.loads(raw_data)['data'])}\n"
DEPLOYMENT = """
name: blue
endpoint_name: sums
model:
  name: nothing
  path: ./model.txt
code_configuration:
  code: ./code
  scoring_script: score.py
"""


@pytest.fixture
def deployment_file(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCORE)
    (tmp_path / "model.txt").write_text("nothing")
    (tmp_path / "blue.yml").write_text(DEPLOYMENT)
    return tmp_path / "blue.yml"


def test_from_a_file_to_an_answer(lab, deployment_file: Path, tmp_path: Path) -> None:
    assert lab("online-endpoint", "create", "-n", "sums").status == 0
    done = lab("online-deployment", "create", "-f", deployment_file, "--all-traffic")
    assert done.status == 0, done.err
    assert "Ready in" in done.err
    (tmp_path / "request.json").write_text('{"data": [1, 2]}')
    assert lab("online-endpoint", "invoke", "-n", "sums", "-r", tmp_path / "request.json").data == {"sum": 3}
    answer = lab("online-endpoint", "invoke", "-n", "sums", "-r", "-", "-d", "blue", stdin=b'{"data": [4]}')
    assert json.loads(answer.out) == {"sum": 4}
    assert lab("online-endpoint", "invoke", "-n", "sums", "-r", tmp_path / "nosuch.json").status == 2

    shown = lab("online-endpoint", "show", "-n", "sums", "-o", "json").data
    assert shown["traffic"] == {"blue": 100}
    assert shown["scoring_uri"].endswith("/endpoints/sums/score")
    key = lab("online-endpoint", "get-credentials", "-n", "sums", "--query", "primary_key", "-o", "tsv").out.strip()
    rotated = lab("online-endpoint", "regenerate-keys", "-n", "sums", "-o", "json").data
    assert rotated["primary_key"] != key
    assert "sums" in lab("online-endpoint", "list").out

    updated = lab("online-deployment", "update", "-f", deployment_file, "--set", "description=two", "-o", "json")
    assert updated.data["revision"] > 1
    assert updated.data["provisioning_state"] == "Succeeded"
    assert "blue" in lab("online-deployment", "list", "-e", "sums").out
    assert "up" in lab("online-deployment", "get-logs", "-n", "blue", "-e", "sums").out
    assert lab("online-deployment", "delete", "-n", "blue", "-e", "sums", "-y").status == 4
    assert lab("online-endpoint", "update", "-n", "sums", "--traffic", "blue=0").status == 0
    assert lab("online-endpoint", "update", "-n", "sums", "--set", "tags.a=b", "-o", "json").data["spec"]["tags"] == {
        "a": "b"
    }
    assert lab("online-deployment", "delete", "-n", "blue", "-e", "sums", "-y").status == 0
    assert lab("online-endpoint", "delete", "-n", "sums", "--yes").status == 0
    assert lab("online-endpoint", "show", "-n", "sums").status == 3


def test_name_and_endpoint_of_the_file_can_be_changed(lab, deployment_file: Path) -> None:
    assert lab("online-endpoint", "create", "-n", "others").status == 0
    done = lab(
        "online-deployment", "create", "-f", deployment_file, "-e", "others", "-n", "green", "--no-wait", "-o", "json"
    )
    assert (done.data["endpoint_name"], done.data["name"]) == ("others", "green")
    assert lab("online-endpoint", "delete", "-n", "others", "--yes").status == 0


def test_what_has_no_effect_is_said(lab, deployment_file: Path) -> None:
    done = lab("online-endpoint", "create", "-n", "told", "--set", "auth_mode=aml_token")
    said = "warning: auth_mode aml_token is not applied; clients send one of the endpoint's keys"
    assert said in done.err.splitlines()
    assert "aml_token is not applied" in lab("online-endpoint", "show", "-n", "told").out
    assert said in lab("online-endpoint", "update", "-n", "told", "--set", "description=d").err.splitlines()
    done = lab("online-deployment", "create", "-f", deployment_file, "-e", "told", "--no-wait", "--set",
               "instance_type=Standard_DS3_v2")  # fmt: skip
    assert "warning: ignored here: instance_type, model.name" in done.err.splitlines()
    assert "instance_type, model.name" in lab("online-deployment", "show", "-n", "blue", "-e", "told").out
    assert lab("online-endpoint", "delete", "-n", "told", "--yes").status == 0


@pytest.mark.parametrize("traffic", ["blue", "blue=x", "=5", "blue=90 green"])
def test_traffic_that_cannot_be_read(lab, traffic: str) -> None:
    assert lab("online-endpoint", "update", "-n", "sums", "--traffic", traffic).status == 2


def test_nothing_to_update_is_said(lab) -> None:
    assert lab("online-endpoint", "update", "-n", "sums").status == 2


def test_a_model_that_fails_says_why_and_where_its_log_is(lab, deployment_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "code" / "score.py"
    script.write_text("def init(): ...\ndef run(raw_data): raise RuntimeError('no luck today')\n")
    assert lab("online-endpoint", "create", "-n", "sums").status == 0
    made = lab("online-deployment", "create", "-f", deployment_file, "--all-traffic", "-o", "json")
    assert made.status == 0, made.err
    first = made.data["revision"]
    (tmp_path / "request.json").write_text("{}")
    done = lab("online-endpoint", "invoke", "-n", "sums", "-r", tmp_path / "request.json")
    assert done.status == 4
    assert "no luck today" in done.err
    assert "penstock online-deployment get-logs -e sums -n blue" in done.err
    missing = lab("online-endpoint", "invoke", "-n", "sums", "-r", tmp_path / "requst.json")
    assert missing.status == 2
    assert 'Did you mean "request.json"?' in missing.err

    script.write_text("def init(): raise RuntimeError('not today')\ndef run(raw_data): ...\n")
    failed = lab("online-deployment", "update", "-f", deployment_file)
    assert failed.status == 4
    assert f"Revision {first} still serves" in failed.err
    listed = lab("online-deployment", "list", "-e", "sums").out.splitlines()
    assert len(listed) == 2
    assert f"revision {first} still serves" in listed[1]
    shown = lab("online-deployment", "show", "-n", "blue", "-e", "sums")
    assert f"serving:    revision {first} still serves" in shown.out
    data = lab("online-deployment", "show", "-n", "blue", "-e", "sums", "-o", "json").data
    assert "serving" not in data
    assert f"inline ({data['model_tree'][:8]})" in listed[1]
    assert "not today" in data["message"]
    [message] = [line for line in shown.out.splitlines() if line.startswith("message:")]
    assert message.endswith("…")
    assert len(shown.out.splitlines()) == len([line for line in shown.out.splitlines() if ":  " in line])
    assert lab("online-endpoint", "delete", "-n", "sums", "--yes").status == 0


def test_an_endpoint_is_exported(lab, deployment_file: Path, tmp_path: Path) -> None:
    assert lab("online-endpoint", "create", "-n", "away").status == 0
    out = tmp_path / "out"
    assert lab("online-endpoint", "export", "-n", "away", "-o", out).status == 3
    assert lab("online-deployment", "create", "-f", deployment_file, "-e", "away", "--all-traffic").status == 0
    out.mkdir()
    done = lab("online-endpoint", "export", "-n", "away", "--target", "docker", "-o", out)
    assert done.status == 0, done.err
    assert "away/blue" in done.err
    assert (out / "code" / "score.py").read_text() == SCORE
    assert (out / "model" / "nothing").is_dir() or (out / "model" / "model.txt").is_file()
    assert {"serve.py", "requirements.txt", "README.md", "Dockerfile", "runner"} <= {p.name for p in out.iterdir()}
    assert lab("online-endpoint", "export", "-n", "away", "-o", out).status == 2
    assert lab("online-endpoint", "export", "-n", "away", "--target", "zip", "-o", tmp_path / "new").status == 2
    assert not list(tmp_path.glob(".*"))
    assert lab("online-endpoint", "export", "-n", "away", "-d", "green", "-o", tmp_path / "new").status == 3
    assert lab("online-endpoint", "delete", "-n", "away", "--yes").status == 0


def test_habits_of_the_az_command_line(lab, deployment_file: Path, tmp_path: Path) -> None:
    done = lab(
        "online-endpoint", "create", "-n", "habits", "--auth-mode", "key", "--local", "true", "--no-wait", "--web"
    )
    assert done.status == 0, done.err
    assert "--local, --no-wait, --web mean nothing here and are ignored" in done.err
    done = lab("online-deployment", "create", "-f", deployment_file, "-e", "habits", "--all-traffic", "--local",
               "--skip-script-validation", "--set", "instance_count=1", "-o", "json")  # fmt: skip
    assert done.data["provisioning_state"] == "Succeeded"
    assert "--local, --skip-script-validation mean nothing here" in done.err
    changed = lab("online-deployment", "update", "-n", "blue", "-e", "habits", "--set", "tags.a=b", "-o", "json").data
    assert changed["revision"] > done.data["revision"]
    assert changed["spec"]["tags"] == {"a": "b"}
    assert changed["spec"]["code_configuration"] == done.data["spec"]["code_configuration"]
    assert lab("online-deployment", "update", "-n", "blue", "-e", "habits").status == 2
    log = lab(
        "online-deployment", "get-logs", "-n", "blue", "-e", "habits", "--container", "inference-server", "-l", "5"
    )
    assert "up" in log.out
    keys = lab(
        "online-endpoint", "regenerate-keys", "-n", "habits", "--key-type", "secondary", "--no-wait", "-o", "json"
    )
    assert keys.status == 0
    assert lab("online-endpoint", "delete", "-n", "habits", "--yes", "--no-wait").status == 0


def test_a_log_is_followed(lab, workspace_folder: Path, deployment_file: Path) -> None:
    from penstock.cli.session import open_rest
    from penstock.sdk.endpoints import follow_log

    assert lab("online-endpoint", "create", "-n", "told").status == 0
    assert lab("online-deployment", "create", "-f", deployment_file, "-e", "told", "--all-traffic").status == 0
    followed = follow_log(open_rest(str(workspace_folder)), "told", "blue", lines=1)
    assert next(followed).endswith("\n")
    log = workspace_folder / "logs" / "endpoints" / "told" / "blue.log"
    with log.open("a") as file:
        file.write("a new line\nand half of")
    assert next(followed) == "a new line\n"
    log.write_text("begun anew\n")
    assert next(followed) == "begun anew\n"
    assert lab("online-endpoint", "delete", "-n", "told", "--yes").status == 0


def test_the_gateways_counts_are_for_whoever_may_read(lab, deployment_file: Path) -> None:
    def scrape(address: str, token: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    assert lab("online-endpoint", "create", "-n", "counted").status == 0
    assert lab("online-deployment", "create", "-f", deployment_file, "-e", "counted", "--all-traffic").status == 0
    assert lab("online-endpoint", "invoke", "-n", "counted", "-r", "-", stdin=b'{"data": [4]}').status == 0
    address = lab("online-endpoint", "show", "-n", "counted", "-o", "json").data["scoring_uri"]
    key = lab("online-endpoint", "get-credentials", "-n", "counted", "--query", "primary_key", "-o", "tsv").out.strip()
    made = lab("token", "create", "-n", "prometheus", "--role", "reader", "-o", "json")
    assert made.status == 0, made.err
    status, page = scrape(address, made.data["secret"])
    assert status == 200
    assert b'penstock_requests_total{endpoint="counted",deployment="blue",code="2xx"} 1' in page
    assert scrape(address, key)[0] == 401  # a client's key opens its endpoint alone
    assert scrape(address, "wrong")[0] == 401
    assert lab("token", "revoke", "prometheus").status == 0
    assert lab("online-endpoint", "delete", "-n", "counted", "--yes").status == 0


def test_a_file_is_sent_as_what_its_name_says(lab, deployment_file: Path, tmp_path: Path) -> None:
    (tmp_path / "code" / "score.py").write_text(
        "from azureml.contrib.services.aml_request import rawhttp\n"
        "from azureml.contrib.services.aml_response import AMLResponse\n"
        "def init(): ...\n"
        "@rawhttp\n"
        "def run(request):\n"
        "    told = [request.headers['Content-Type'], len(request.get_data())]\n"
        "    return AMLResponse(told, 200, json_str=True)\n"
    )
    assert lab("online-endpoint", "create", "-n", "kinds").status == 0
    done = lab("online-deployment", "create", "-f", deployment_file, "-e", "kinds", "--all-traffic")
    assert done.status == 0, done.err
    for name, kind in (("nine.PNG", "image/png"), ("rows.csv", "text/csv"), ("request.txt", "application/json")):
        (tmp_path / name).write_bytes(b"\x89PNG")
        done = lab("online-endpoint", "invoke", "-n", "kinds", "-r", tmp_path / name)
        assert done.status == 0, done.err
        assert done.data == [kind, 4]
    told = ("--content-type", "application/octet-stream")
    assert lab("online-endpoint", "invoke", "-n", "kinds", "-r", tmp_path / "nine.PNG", *told).data[0] == told[1]
    assert lab("online-endpoint", "delete", "-n", "kinds", "--yes").status == 0
