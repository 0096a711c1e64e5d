"""score.py in its own process, exactly as Azure ML's scoring server runs it."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
from tests.serving.conftest import KEY

ECHO = """
import json, os, threading
def init():
    global model, where
    folder = os.environ["AZUREML_MODEL_DIR"]
    files = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    model = sorted(os.path.relpath(file, folder) for file in files)
    where = threading.current_thread() is threading.main_thread()
    print("loaded", len(model), "files")
def run(data):
    print("asked")
    return {"got": data, "model": model, "init_on_main": where, "root": os.environ["AML_APP_ROOT"] == os.getcwd(),
            "on_main": threading.current_thread() is threading.main_thread(), "mine": os.environ.get("MINE")}
"""


def deploy(bench, code, **fields):
    bench.start_gateway()
    report = bench.deploy("sums", bench.script(code, **fields))
    assert report["state"] == "ready", report
    return bench


def test_init_and_run_see_the_model_and_the_text(bench):
    deploy(
        bench,
        ECHO,
        model_tree=bench.files(weights_bin=b"123", config_json="{}"),
        model_name="digits",
        environment_variables={"MINE": "yes"},
    )
    answer = bench.ask(body='{"data": [1]}')
    assert answer.status == 200
    assert answer.data == {
        "got": '{"data": [1]}',
        "model": ["digits/config.json", "digits/weights.bin"],
        "init_on_main": True,
        "on_main": True,
        "root": True,
        "mine": "yes",
    }
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) >= 0
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "loaded 2 files" in log
    assert "asked" in log


def test_a_model_of_one_file_lies_in_the_folder_itself(bench):
    deploy(bench, ECHO, model_tree=bench.files(net_bin=b"1"), model_name="net.bin", is_file=True)
    assert bench.ask(body="x").data["model"] == ["net.bin"]


@pytest.mark.parametrize(
    ("result", "body"),
    [("'text'", '"text"'), ("{'a': [1, None]}", '{"a": [1, null]}'), ("None", "{}"), ("[True]", "[true]")],
)
def test_results_are_encoded_as_json(bench, result, body):
    deploy(bench, f"def init(): pass\ndef run(raw): return {result}")
    assert bench.ask(body="x").body.decode() == body


def test_a_form_is_no_text_as_with_the_public_server_and_the_log_says_why(bench):
    deploy(bench, "def init(): pass\ndef run(raw): return raw")
    assert bench.ask(body="a=1", Content_Type="application/x-www-form-urlencoded").data == ""
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "run() gets an empty text: the request says it is a form" in log


def test_get_parameters_become_a_json_text(bench):
    deploy(bench, "def init(): pass\ndef run(raw): return raw")
    answer = bench.ask("/endpoints/sums/score?a=1&b=[1,2]&c=x&d=null&e=1&e=y", method="GET")
    assert json.loads(answer.data) == {"a": 1, "b": [1, 2], "c": "x", "d": None, "e": [1, "y"]}


def test_request_headers_are_given_but_not_the_key(bench):
    deploy(bench, "def init(): pass\ndef run(raw, request_headers): return request_headers")
    seen = bench.ask(body="x", x_custom="mine").data
    assert seen["X-Custom"] == "mine"
    assert "key-of-the-tests" not in json.dumps(seen)


def test_an_exception_in_run_is_424_with_the_models_500(bench):
    deploy(bench, "def init(): pass\ndef run(raw):\n    return 1 / int(raw)")
    answer = bench.ask(body="0")
    assert answer.status == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert answer.headers["ms-azureml-model-error-reason"] == "model failed"
    assert answer.headers["x-ms-run-function-failed"] == "True"
    assert answer.data == {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
    assert "x-ms-run-fn-exec-ms" not in answer.headers
    assert bench.ask(body="2").data == 0.5
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert 'score.py", line 3, in run' in log
    assert "ZeroDivisionError: division by zero" in log
    assert "score_worker" not in log
    assert "score_answers" not in log


def test_a_body_that_is_no_text_is_the_models_400(bench):
    deploy(bench, "def init(): pass\ndef run(raw): return raw")
    answer = bench.ask(body=b"\xff\xfe")
    assert answer.status == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "400"
    assert "cannot be decoded as UTF-8" in answer.data["message"]


def test_a_result_that_is_no_json_says_so(bench):
    deploy(bench, "def init(): pass\ndef run(raw): return {1, 2}")
    answer = bench.ask(body="x")
    assert (answer.status, answer.headers["ms-azureml-model-error-statuscode"]) == (424, "500")
    assert answer.data == {"message": "An unexpected internal error occurred. Check the logs for more info."}
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "what run() returned is no answer: TypeError: Object of type set is not JSON serializable" in log


def test_a_raw_script_gets_the_request_and_its_repeated_headers_pass_the_gateway(bench):
    code = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request: AMLRequest):
    if request.path != "/score" or request.method != "POST":
        return AMLResponse("not asked so", 500)
    return AMLResponse(request.data[::-1], 200, {"Content-Type": "application/octet-stream", "X-Parts": "a, b"})
"""
    deploy(bench, code)
    connection = bench.connect()
    connection.request("POST", "/endpoints/sums/score", b"\x00\xff", {"Authorization": f"Bearer {KEY}"})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"\xff\x00")
    assert response.headers.get_all("x-parts") == ["a", "b"]
    assert response.headers["content-type"] == "application/octet-stream"
    connection.close()


def test_what_a_script_prints_is_dated_in_the_log(bench):
    deploy(bench, "def init(): print('one', 2, sep='-')\ndef run(raw): print(raw); return 1")
    bench.ask(body="mine")
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} I \[\d+\] azmlinfsrv.print - one-2$", log, re.MULTILINE)
    assert re.search(r" I \[\d+\] azmlinfsrv.print - mine$", log, re.MULTILINE)


def test_a_script_that_ends_itself_in_run_fails_that_request_alone(bench):
    deploy(bench, "import sys\ndef init(): pass\ndef run(raw): return raw if raw == 'x' else sys.exit(1)")
    assert bench.ask(body="end").headers["ms-azureml-model-error-statuscode"] == "500"
    assert bench.ask(body="x").data == "x"


def test_the_scoring_timeout_is_the_scripts_own_failure(bench):
    code = "import time\ndef init(): pass\ndef run(raw): time.sleep(float(raw)); return 'done'"
    settings = {"request_timeout_ms": 60_000}
    deploy(bench, code, environment_variables={"SCORING_TIMEOUT_MS": "150"}, request_settings=settings)
    answer = bench.ask(body="50")
    assert (answer.status, answer.data) == (424, {"message": "Scoring timeout after 150 ms"})
    assert bench.ask(body="0").data == "done"


def test_a_response_object_goes_as_it_is(bench):
    code = """
class Response:
    status_code = 201
    headers = {"Content-Type": "text/csv", "X-Mine": "1", "Content-Length": "99", "Bad": "a\\r\\nInjected: 1"}
    def get_data(self): return b"a,b"
def init(): pass
def run(raw): return Response()
"""
    deploy(bench, code)
    answer = bench.ask(body="x")
    assert (answer.status, answer.headers["ms-azureml-model-error-statuscode"]) == (424, "201")
    assert (answer.body, answer.headers["content-type"], answer.headers["x-mine"]) == (b"a,b", "text/csv", "1")
    assert "injected" not in answer.headers


@pytest.mark.parametrize(
    ("code", "message", "tail"),
    [
        ("import nothing_of_the_kind", "score.py:1: ModuleNotFoundError", "import nothing_of_the_kind"),
        ("def init(:", "score.py:1: SyntaxError", "def init(:"),
        ("def run(x): pass", "score.py does not define init()", ""),
        ("def init(): pass", "score.py does not define run()", ""),
        ("def init(): raise OSError('no weights')\ndef run(x): pass", "score.py:1: OSError: no weights", "init"),
        ("def init(): pass\ndef run(*xs): pass", "*args", ""),
        ("def init(): pass\ndef run(): pass", "parameter for the data", ""),
        ("def init(): pass\ndef run(a, b): pass", "takes b besides", ""),
        ("import sys; sys.exit(7)", "SystemExit: 7", ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9 (SIGKILL)", ""),
    ],
)  # fmt: skip
def test_a_script_that_cannot_be_loaded_fails_with_its_own_traceback(bench, code, message, tail):
    bench.start_gateway()
    report = bench.deploy("sums", bench.script(code))
    assert report["state"] == "failed"
    assert message in report["message"]
    assert tail in report["log_tail"]
    assert "score_worker" not in report["log_tail"]
    assert "importlib" not in report["log_tail"]


def test_a_missing_interpreter_is_said(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.script("", interpreter="/no/such/python"))
    assert report["state"] == "failed"
    assert "/no/such/python" in report["message"]


def test_the_scripts_folder_is_importable_and_what_is_ours_is_not_in_the_way(bench):
    code = bench.files(score_py="import frames, log\ndef init(): pass\ndef run(x): return [frames.NAME, log.NAME]")
    code += bench.files(frames_py="NAME = 'my frames'", log_py="NAME = 'my log'")
    bench.start_gateway()
    report = bench.deploy("sums", {**bench.script(""), "code": code})
    assert report["state"] == "ready", report
    assert bench.ask(body="x").data == ["my frames", "my log"]


def test_one_worker_may_use_what_belongs_to_its_thread(bench):
    code = """
import sqlite3
def init():
    global db
    db = sqlite3.connect(":memory:")
    db.executescript("create table facts (x); insert into facts values (42)")
def run(raw): return db.execute("select x from facts").fetchone()[0]
"""
    deploy(bench, code)
    assert bench.ask(body="x").data == 42


GATE = """
import os, time
def init(): pass
def run(path):
    open(path + ".in", "w").close()
    while not os.path.exists(path):
        time.sleep(0.01)
    return "through"
"""


def ask_in_thread(bench, answers, path):
    thread = threading.Thread(target=lambda: answers.append(bench.ask(body=str(path))))
    thread.start()
    return thread


def test_a_replica_that_hangs_is_replaced_and_nobody_waits_for_ever(bench, tmp_path, eventually):
    deploy(bench, GATE, request_settings={"request_timeout_ms": 300})
    (stuck,) = bench.replicas()
    never, gate = tmp_path / "never", tmp_path / "gate"
    gate.touch()
    statuses = [bench.ask(body=str(never)).status]  # nothing ever lets this one through

    def is_answered():
        statuses.append(bench.ask(body=str(gate)).status)
        return statuses[-1] == 200

    eventually(is_answered)
    assert statuses[0] == 408
    assert set(statuses) <= {408, 429, 503, 200}
    eventually(lambda: stuck not in bench.replicas() and not bench.running([stuck]))
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "penstock: the replica was ended: none of its 1 worker(s) answers any more" in log
    assert "hung replicas of sums/blue ended so far: 1" in bench.log()


def test_a_full_queue_is_429_and_the_others_are_answered(bench, tmp_path, eventually):
    deploy(bench, GATE, request_settings={"request_timeout_ms": 60_000})
    gate = tmp_path / "gate"
    answers: list[Any] = []
    threads = [ask_in_thread(bench, answers, gate)]
    eventually((tmp_path / "gate.in").exists)
    threads += [ask_in_thread(bench, answers, gate) for _ in range(2)]  # one runs, one waits: 2 · 1 · 1
    eventually(lambda: len(answers) == 1)
    assert answers[0].status == 429
    assert "1 requests waiting" in answers[0].data["detail"]
    assert answers[0].headers["retry-after"] == "1"
    gate.touch()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [429, 200, 200]


def test_as_many_run_at_once_as_asked_for(bench, tmp_path, eventually):
    settings = {"max_concurrent_requests_per_instance": 3, "request_timeout_ms": 60_000}
    deploy(bench, GATE, request_settings=settings)
    answers: list[Any] = []
    paths = [tmp_path / f"gate{number}" for number in range(3)]
    threads = [ask_in_thread(bench, answers, path) for path in paths]
    eventually(lambda: all(path.with_name(path.name + ".in").exists() for path in paths))
    for path in paths:
        path.touch()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_a_slow_answer_is_408_and_the_replica_goes_on(bench, tmp_path):
    deploy(bench, GATE, request_settings={"request_timeout_ms": 300})
    gate = tmp_path / "gate"
    answer = bench.ask(body=str(gate))
    assert answer.status == 408
    assert "within 0.3 s" in answer.data["detail"]
    assert answer.headers["azureml-model-deployment"] == "blue"
    gate.touch()
    bench.door.change("sums", bench.script(GATE, revision=2, request_settings={"request_timeout_ms": 60_000}))
    bench.door.wait_report("blue", 2)
    assert bench.ask(body=str(gate)).data == "through"
