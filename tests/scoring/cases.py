"""What is asked of the scoring server: scripts, the environment they are served in, and requests.

``record.py`` keeps what the public server answers; the tests ask ours the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Ask:
    """One request."""

    body: bytes | str = b""
    method: str = "POST"
    path: str = "/score"
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


@dataclass(frozen=True)
class Case:
    """One script and what is asked of it."""

    script: str
    asks: tuple[Ask, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_schema(self) -> bool:
        """Return whether the script uses inference-schema."""
        return "inference_schema" in self.script


def get(path: str, **headers: str) -> Ask:
    """Return a GET request."""
    return Ask(method="GET", path=path, headers=headers)


PLAIN = """
import json
def init(): pass
def run(raw):
    return {"got": raw, "kind": type(raw).__name__}
"""

RESULTS = """
from azureml.contrib.services.aml_response import AMLResponse
import json, time
RESULTS = {
    "text": lambda: "text", "none": lambda: None, "list": lambda: [1, 2.5, None, True], "number": lambda: 3,
    "empty": lambda: "", "unicode": lambda: {"name": "größe"}, "nan": lambda: float("nan"),
    "set": lambda: {1}, "bytes": lambda: b"1", "fails": lambda: 1 / 0,
    "own timeout": lambda: throw(TimeoutError("mine")),
    "response": lambda: AMLResponse("plain", 200),
    "created": lambda: AMLResponse({"a": 1}, 201, json_str=True),
    "nothing": lambda: AMLResponse(None, 200),
    "refused": lambda: AMLResponse("no", 418, {"Content-Type": "text/plain", "X-Mine": "a, b"}),
    "broken": lambda: AMLResponse(b"\\x00\\xff", 503, {"Content-Type": "image/png"}),
    "said failed": lambda: AMLResponse("x", 200, run_function_failed=True),
    "forced": lambda: AMLResponse("x", 500, run_function_failed=False),
    "empty answer": lambda: AMLResponse("", 204),
}
def throw(error): raise error
def init(): pass
def run(raw): return RESULTS[raw]()
"""

HEADERS = """
def init(): pass
def run(raw, request_headers):
    return {name: request_headers[name] for name in sorted(request_headers) if name.startswith("X-")}
"""

SLOW = """
import time
def init(): pass
def run(raw):
    try:
        time.sleep(float(raw))
    except ValueError:
        return "no number"
    return "done"
"""

STANDARD = """
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", StandardPythonParameterType({"a": 1, "b": [1.5]}))
@input_schema("count", StandardPythonParameterType(3))
@output_schema(StandardPythonParameterType({"sum": 1.5}))
def run(data, count=2, note="none"):
    return {"sum": data["a"] * count + sum(data["b"]), "note": note}
"""

NUMPY = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
def init(): pass
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([3.0])))
def run(data):
    return {"sums": data.sum(axis=1).tolist(), "kind": type(data).__name__, "dtype": str(data.dtype)}
"""

PANDAS = """
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
def init(): pass
@input_schema("data", PandasParameterType(pd.DataFrame({"size": [1], "weight": [2.5]})))
@output_schema(PandasParameterType(pd.DataFrame({"price": [2.5]})))
def run(data):
    return (data["size"] * data["weight"]).tolist()
"""

NESTED = """
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
sample = {
    "table": PandasParameterType(pd.DataFrame({"x": [1]})),
    "array": NumpyParameterType(np.array([1.0])),
    "name": StandardPythonParameterType("one"),
}
def init(): pass
@input_schema("inputs", StandardPythonParameterType(sample))
@output_schema(StandardPythonParameterType({"kinds": "text"}))
def run(inputs):
    return {name: type(value).__name__ for name, value in sorted(inputs.items())}
"""

SCHEMA_HEADERS = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", StandardPythonParameterType("x"))
def run(data, request_headers): return [data, request_headers["X-Mine"]]
"""

MIXED_LIST = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", StandardPythonParameterType([1, "a", {"b": 2}]))
def run(data): return data
"""

RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    if request.path == "/score" and request.args.get("bytes"):
        return AMLResponse(request.get_data(False)[::-1], 200, {"Content-Type": "application/octet-stream"})
    if request.files:
        files = {name: [file.filename, file.mimetype, file.read().decode()] for name, file in request.files.items()}
        return {**files, **dict(request.form)}
    return {
        "method": request.method, "path": request.path, "full_path": request.full_path,
        "query": request.query_string.decode(), "args": request.args.to_dict(flat=False),
        "text": request.get_data(as_text=True), "length": request.content_length, "type": request.content_type,
        "mimetype": request.mimetype, "is_json": request.is_json, "form": request.form.to_dict(flat=False),
        "json": request.get_json(silent=True), "mine": request.headers.get("x-mine"), "in": "X-Mine" in request.headers,
        "cookies": dict(request.cookies),
    }
"""

MULTIPART = (
    b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="image"; filename="nine.png"\r\n'
    b"Content-Type: image/png\r\n\r\nPNG\r\n\r\nmore\r\n--edge--\r\n"
)
CORS = {"Origin": "https://shop.example"}
PREFLIGHT = {**CORS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-b, Authorization"}
SWAGGER = tuple(
    get(f"/swagger.json{query}")
    for query in ("", "?version=2", "?version=2.0", "?version=3", "?version=3.0", "?version=3.1", "?version=4")
)
CORS_ASKS = (
    Ask("x", headers={**JSON, **CORS}),
    Ask("x", headers={**JSON, "Origin": "https://evil.example"}),
    Ask("x"),
    Ask(method="OPTIONS", headers=PREFLIGHT),
    Ask(method="OPTIONS", headers={**PREFLIGHT, "Access-Control-Request-Method": "DELETE"}),
    Ask(method="OPTIONS", path="/", headers=PREFLIGHT),
    get("/", **CORS),
    get("/nowhere", **CORS),
)
LONG = "i" * 101

CASES: dict[str, Case] = {
    "plain": Case(
        PLAIN,
        (
            Ask("text"), Ask(""), Ask('{"a": 1}', headers={}), Ask("größe".encode()), Ask(b"\xff\xfe"),
            Ask("a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"}),
            Ask(MULTIPART, headers={"Content-Type": "multipart/form-data; boundary=edge"}),
            Ask("x", headers={"Content-Type": "text/plain; charset=latin-1"}),
            get("/score"), get("/score?a=1&b=[1,2]&c=a&d=null&e=&f"),
            get("/score?a=1&a=x&b=%22q%22&c=a+b%26c&g=gr%C3%B6%C3%9Fe"),
            get("/score?x=NaN&y=1e400&z={%22k%22:[1]}"),
            Ask(method="OPTIONS"), Ask(method="OPTIONS", headers={}), Ask(method="HEAD"), Ask("x", method="PUT"),
            Ask(method="DELETE"), Ask("x", method="PATCH"),
            get("/"), Ask(method="HEAD", path="/"), Ask("x", path="/"), Ask(method="OPTIONS", path="/"),
            get("/?x=1"), get("/nowhere"), get("/score/"), Ask("x", path="/swagger.json"), get("/Score"),
            *SWAGGER,
        ),
    ),
    "identifiers": Case(
        PLAIN,
        (
            Ask("x"), Ask("x", headers={"x-request-id": "mine"}), Ask("x", headers={"x-ms-request-id": "a"}),
            Ask("x", headers={"x-ms-client-request-id": "b"}),
            Ask("x", headers={"x-ms-client-request-id": "b", "x-ms-request-id": "a", "x-request-id": "r"}),
            Ask("x", headers={"TraceId": "trace", "x-request-id": "i" * 100}),
            Ask("x", headers={"x-request-id": LONG}), Ask("x", headers={"x-ms-request-id": LONG}),
            Ask("x", headers={"x-ms-client-request-id": LONG, "x-request-id": "r"}),
            Ask("x", headers={"TraceId": LONG}), Ask("x", headers={"x-request-id": "", "TraceId": ""}),
            get("/", **{"x-request-id": "mine", "TraceId": "t"}), get("/", **{"x-request-id": LONG}),
            get("/swagger.json?version=9", **{"x-request-id": "mine"}), get("/nowhere", **{"x-request-id": "mine"}),
        ),
    ),
    "results": Case(
        RESULTS,
        tuple(
            Ask(name)
            for name in (
                "text", "none", "list", "number", "empty", "unicode", "nan", "set", "bytes", "fails",
                "response", "created", "nothing", "refused", "broken", "said failed", "forced", "empty answer",
            )
        ),
    ),
    "headers": Case(HEADERS, (Ask("x", headers={**JSON, "x-mine": "1", "X_under": "2", "X-Other-One": "a, b"}),)),
    "timeout": Case(SLOW, (Ask("0"), Ask("30"), Ask("0"), Ask("x")), {"SCORING_TIMEOUT_MS": "200"}),
    "standard": Case(
        STANDARD,
        (
            Ask('{"data": {"a": 2, "b": [1]}, "count": 3}'), Ask('{"data": {"a": 2, "b": [1]}}'),
            Ask('{"data": {"a": 2, "b": [1]}, "count": 3, "note": "mine", "extra": 1}'), Ask('{"count": 1}'),
            Ask("{}"), Ask("[1]"), Ask("1"), Ask("null"), Ask(""), Ask("{"),
            Ask('{"data": 1}', headers={}), Ask('{"data": 1}', headers={"Content-Type": "text/plain"}),
            Ask('{"data": {"a": 1, "b": []}, "count": 1}', headers={"Content-Type": "application/json; charset=utf-8"}),
            Ask('{"data": {"a": 1, "b": []}, "count": 1}', headers={"Content-Type": "application/vnd.x+json"}),
            Ask('{"data": [1], "count": 1}'), get('/score?data={"a":1,"b":[2]}&count=4'.replace('"', "%22")),
            get("/score?count=1"), Ask(method="OPTIONS"), Ask("x", method="PUT"), *SWAGGER,
        ),
    ),
    "numpy": Case(NUMPY, (Ask('{"data": [[1, 2], [3, 4]]}'), Ask('{"data": "x"}'), Ask("{}"), *SWAGGER)),
    "pandas": Case(
        PANDAS,
        (
            Ask('{"data": [{"size": 2, "weight": 1.5}]}'),
            Ask('{"data": {"columns": ["size", "weight"], "data": [[2, 1.5]]}}'), Ask('{"data": 3}'), *SWAGGER,
        ),
    ),
    "nested": Case(
        NESTED, (Ask('{"inputs": {"table": [{"x": 1}], "array": [1, 2], "name": "n"}}'), Ask('{"inputs": 1}'), *SWAGGER)
    ),
    "schema with headers": Case(
        SCHEMA_HEADERS, (Ask('{"data": "d"}', headers={**JSON, "X-Mine": "1"}), get("/swagger.json"))
    ),
    "mixed list": Case(MIXED_LIST, (Ask('{"data": [1, "a", {"b": 2}]}'), *SWAGGER)),
    "raw": Case(
        RAW,
        (
            Ask("body", headers={"X-Mine": "1", "Content-Type": "text/plain", "Cookie": "a=1; b=two"}),
            Ask('{"a": 1}'), get("/score?a=1&a=2&b=x"), Ask(b"\x00\xff", path="/score?bytes=1"),
            Ask("a=1&a=2", headers={"Content-Type": "application/x-www-form-urlencoded"}),
            Ask(MULTIPART, headers={"Content-Type": "multipart/form-data; boundary=edge"}),
            Ask(method="OPTIONS"), Ask("x", method="PUT"), Ask(method="HEAD"), Ask(method="DELETE"), get("/"),
            *SWAGGER[:2],
        ),
    ),
    "cors for one": Case(PLAIN, CORS_ASKS, {"AML_CORS_ORIGINS": "https://shop.example"}),
    "cors for two": Case(PLAIN, CORS_ASKS, {"AML_CORS_ORIGINS": "https://shop.example, https://SHOP2.example"}),
    "cors by pattern": Case(PLAIN, CORS_ASKS, {"AML_CORS_ORIGINS": r"https://.*\.example"}),
    "cors for all": Case(PLAIN, CORS_ASKS, {"AML_CORS_ORIGINS": "*"}),
    "cors of raw": Case(RAW, (Ask(method="OPTIONS", headers=PREFLIGHT),), {"AML_CORS_ORIGINS": "*"}),
    "named service": Case(
        PLAIN, SWAGGER, {"SERVICE_NAME": "digits", "SERVICE_VERSION": "7", "SERVICE_PATH_PREFIX": "/api/v1/service/"}
    ),
    "own swagger": Case(
        PLAIN, SWAGGER, files={"swagger.json": '{"mine": 2}', "swagger3.json": '{"mine": 3}'}
    ),
    "config file": Case(
        SLOW, (Ask("30"), Ask("0")), files={"config.json": '{"SCORING_TIMEOUT_MS": 150, "other": 1}'}
    ),
    "no version": Case(PLAIN, (Ask("x"), get("/")), {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false"}),
}  # fmt: skip

REFUSED: dict[str, str] = {
    "import": "import nothing_of_the_kind",
    "syntax": "def init(:",
    "no init": "def run(raw): pass",
    "no run": "def init(): pass",
    "init": "def init(): raise OSError('no weights')\ndef run(raw): pass",
    "exit": "import sys\nsys.exit(0)",
    "args": "def init(): pass\ndef run(*args): pass",
    "kwargs": "def init(): pass\ndef run(raw, **kwargs): pass",
    "positional": "def init(): pass\ndef run(raw, /): pass",
    "nothing": "def init(): pass\ndef run(): pass",
    "headers alone": "def init(): pass\ndef run(request_headers): pass",
    "both decorators": STANDARD.replace("@input_schema(\"data\"", "@rawhttp\n@input_schema(\"data\"").replace(
        "def init", "from azureml.contrib.services.aml_request import rawhttp\ndef init"
    ),
}  # fmt: skip
"""Scripts that end the server with status 3."""
