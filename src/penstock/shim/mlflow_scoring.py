"""Answer requests with a model of MLflow, by what its own scoring server is made of.

Parsing, the signature's enforcement and encoding are ``mlflow.pyfunc``'s of the model's interpreter, so an answer is
what ``mlflow models serve`` would give. What differs is said here: Azure ML's form of a request, a refused request that
names the schema, and a failing model, which is 500 and not the client's mistake. Standard library only besides.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any, Optional

from . import mlflow_description

JSON, TEXT = "application/json", "text/plain"
INPUT_DATA = "input_data"
MODEL_FAILED = "The model failed on this request. Check the logs for more info."
MAX_MESSAGE = 2000
SPOKEN = "It speaks Azure ML: /score, /, /swagger.json, /openapi.json; MLflow: /invocations, /ping, /health, /version."
_METHODS = {"/score": ("POST",), "/invocations": ("POST",), "/openapi.json": ("GET",), "/swagger.json": ("GET",)}
_SPLIT = frozenset({"columns", "index", "data"})
_START = '{"predictions": '
_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"


class Reply:
    """An answer."""

    __slots__ = ("body", "content_type", "status")

    def __init__(self, status: int, body: bytes, content_type: str = JSON) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type


class Request:
    """What a client asked."""

    __slots__ = ("body", "content_type", "endpoint", "method", "path", "query", "version")

    def __init__(
        self,
        body: bytes,
        path: str = "/score",
        content_type: str = JSON,
        method: str = "POST",
        query: str = "",
        endpoint: str = "",
        version: str = "1",
    ) -> None:
        self.body = body
        self.path = path
        self.content_type = content_type
        self.method = method
        self.query = query
        self.endpoint = endpoint
        self.version = version


class ModelFailed(Exception):
    """The model cannot answer its own input example."""


class Refused(Exception):
    """A request of Azure ML's form that is none."""


class _Watched:
    """A model that remembers whether it was the one that failed."""

    def __init__(self, model: Any, takes_params: bool, expected: Any) -> None:
        self.metadata = model.metadata
        self.failure: Optional[BaseException] = None
        self._model = model
        self._takes_params = takes_params
        self._expected = expected

    def predict(self, data: Any, params: Any = None) -> Any:
        try:
            return self._model.predict(data, params=params) if self._takes_params else self._model.predict(data)
        except self._expected:
            raise
        except Exception as error:
            self.failure = error
            raise


class PyfuncScorer:
    """A loaded model and everything that answers for it; called from as many threads as its host has.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
        Loaded.
    folder : str
        Where it was loaded from; its input example is the warm-up.
    """

    def __init__(self, model: Any, folder: str) -> None:
        self._server = import_module("mlflow.pyfunc.scoring_server")
        if not hasattr(self._server, "invocations"):
            version = import_module("mlflow").__version__
            raise RuntimeError("MLflow %s is too old to be served from; name an environment with a newer one" % version)
        self._expected = import_module("mlflow.exceptions").MlflowException
        self._model = model
        self._schema = model.metadata.get_input_schema()
        self._takes_params = "params" in inspect.signature(model.predict).parameters
        self._example = read_example(folder, getattr(model.metadata, "saved_input_example_info", None))

    def __call__(self, request: Request) -> Reply:
        """Answer one request; never raises but for what ends the process."""
        method, path, content_type, body = request.method, request.path, request.content_type, request.body
        if path not in _METHODS:
            text = "there is nothing at %s. %s" % (path[:200], SPOKEN)
            if path.startswith("/v2"):
                return Reply(404, json.dumps({"error": text}).encode("utf-8"))
            return self._refuse(404, text, with_schema=False)
        if method not in _METHODS[path]:
            return self._refuse(405, "%s is not for %s" % (method[:20], path), with_schema=False)
        if path in mlflow_description.PATHS:
            status, document = mlflow_description.answer(
                self.describe(), path, request.query, request.endpoint or "model", request.version
            )
            return Reply(status, json.dumps(document).encode("utf-8"))
        if path == "/score" and INPUT_DATA.encode() in body:
            return self._azure(content_type, body)
        return self._invoke(content_type, body)

    def warm_up(self) -> None:
        """Answer the model's own input example once.

        Raises
        ------
        ModelFailed
            If the model fails on it.
        """
        if self._example is None:
            return
        reply = self._invoke(JSON, json.dumps(self._example).encode("utf-8"))
        if reply.status >= 500:
            raise ModelFailed("the model fails on its own input example; its log has the traceback")
        if reply.status != 200:
            sys.stderr.write(
                "the input example is no request: %s\n" % reply.body.decode("utf-8", "replace")[:MAX_MESSAGE]
            )

    def describe(self) -> dict[str, Any]:
        """Return the signature and the input example, as JSON types."""
        metadata = self._model.metadata
        described: dict[str, Any] = {"inputs": _schema_json(self._schema)}
        described["outputs"] = _schema_json(metadata.get_output_schema())
        params = metadata.get_params_schema() if hasattr(metadata, "get_params_schema") else None
        if params is not None:
            described["params"] = _schema_json(params)
        if self._example is not None:
            described["sample_request"] = self._example
        return described

    def _invoke(self, content_type: str, body: bytes) -> Reply:
        watched = _Watched(self._model, self._takes_params, self._expected)
        try:
            answer = self._server.invocations(body, content_type, watched, self._schema)
        except self._expected as error:
            if watched.failure is None:
                status = int(error.get_http_status_code())
                if status < 500:
                    return self._refuse(status, str(error.message), str(error.error_code))
            traceback.print_exception(None, watched.failure or error, (watched.failure or error).__traceback__)
            return _problem(500, MODEL_FAILED, "INTERNAL_ERROR")
        except Exception:
            traceback.print_exc()
            return _problem(500, MODEL_FAILED, "INTERNAL_ERROR")
        text = answer.response
        return Reply(int(answer.status), text.encode("utf-8") if isinstance(text, str) else text, answer.mimetype)

    def _azure(self, content_type: str, body: bytes) -> Reply:
        """Answer ``{"input_data": …}`` with the predictions alone."""
        if content_type.partition(";")[0].strip() != JSON:
            return self._invoke(content_type, body)
        try:
            sent = json.loads(body)
            if not isinstance(sent, dict) or INPUT_DATA not in sent:
                return self._invoke(content_type, body)
            asked = from_azure(sent, self._schema)
        except (ValueError, RecursionError) as error:
            return self._refuse(400, "the body is no JSON: %s" % error)
        except Refused as error:
            return self._refuse(400, str(error))
        reply = self._invoke(JSON, json.dumps(asked).encode("utf-8"))
        text = reply.body.decode("utf-8")
        if reply.status == 200 and text.startswith(_START):
            reply.body = text[len(_START) : -1].encode("utf-8")
        return reply

    def _refuse(self, status: int, message: str, code: str = "BAD_REQUEST", with_schema: bool = True) -> Reply:
        schema = _schema_json(self._schema) if with_schema else None
        return _problem(status, message, code, schema)


def load_pyfunc(folder: str) -> PyfuncScorer:
    """Return a model folder's model, loaded by the interpreter's MLflow."""
    os.environ[_SERVING] = "true"
    return PyfuncScorer(import_module("mlflow.pyfunc").load_model(folder), folder)


def from_azure(sent: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Return a request of MLflow's form for Azure ML's: a table in pandas' split form, or a list, or tensors by name.

    Raises
    ------
    Refused
        If there are other keys than ``input_data`` and ``params``.
    """
    unknown = sorted(set(sent) - {INPUT_DATA, "params"})
    if unknown:
        raise Refused("unknown key %r beside input_data; params is the other one" % unknown[0][:80])
    data = sent[INPUT_DATA]
    is_table = schema is None or not schema.is_tensor_spec()
    asked: dict[str, Any]
    if isinstance(data, dict) and "data" in data and set(data) <= _SPLIT:
        asked = {"dataframe_split": data}
    elif is_table and isinstance(data, list) and data and isinstance(data[0], dict):
        asked = {"dataframe_records": data}
    elif is_table and isinstance(data, list):
        asked = {"dataframe_split": {"data": data}}
        if schema is not None and schema.has_input_names():
            asked["dataframe_split"]["columns"] = schema.input_names()
    else:
        asked = {"inputs": data}
    if sent.get("params") is not None:
        asked["params"] = sent["params"]
    return asked


def read_example(folder: str, info: Any) -> Optional[dict[str, Any]]:
    """Return a model's input example as a request, None where there is none that can be one."""
    if not isinstance(info, dict):
        return None
    for key, wrap in (("serving_input_path", ""), ("artifact_path", _form_of(info))):
        try:
            with open(os.path.join(folder, str(info.get(key, ""))), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError):
            continue
        found = {wrap: content} if wrap and not (isinstance(content, dict) and wrap in content) else content
        if isinstance(found, dict):
            return found
    return None


def _form_of(info: dict[str, Any]) -> str:
    return "dataframe_split" if info.get("type") == "dataframe" else "inputs"


def _schema_json(schema: Any) -> Any:
    return None if schema is None else schema.to_dict()


def _problem(status: int, message: str, code: str, schema: Any = None) -> Reply:
    body = {"error_code": code, "message": message[:MAX_MESSAGE]}
    if schema is not None:
        body["schema"] = schema
    return Reply(status, json.dumps(body).encode("utf-8"))
