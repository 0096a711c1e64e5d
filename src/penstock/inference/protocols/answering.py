"""One request of any protocol, answered: the path says which."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from penstock.inference.contract import BadInputError
from penstock.inference.protocols import mlflow, oip, openapi
from penstock.inference.protocols.base import AnswersInvocations, Model, say
from penstock.inference.protocols.health import answer_health
from penstock.inference.protocols.paths import HEALTH_DOORS, Door, parse_path, problem_fields, protocols_of
from penstock.inference.protocols.unpacking import UnknownEncodingError, unpack
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

_ENCODING = "content-encoding"


def answer(model: Model, request: ScoreRequest) -> ScoreResponse:
    """Answer a request for a model without code; what the model itself raises goes through.

    ``request.headers`` have lower-case names; the host has looked at key and method.
    """
    if _ENCODING in request.headers:
        try:
            request = replace(request, body=unpack(request.body, request.headers[_ENCODING]))
        except UnknownEncodingError as error:
            return _problem(415, request.path, str(error))
        except BadInputError as error:
            return _problem(400, request.path, say(error))
    if request.path == "/score":
        return model.score(request)
    asked = parse_path(request.path)
    if asked is None:
        return _problem(404, request.path, f"there is nothing at {request.path[:200]}. {protocols_of()}")
    if asked.door is Door.INFER:
        return oip.infer(model, request, asked)
    if asked.door is Door.INVOCATIONS:
        return model.invoke(request) if isinstance(model, AnswersInvocations) else mlflow.invoke(model, request)
    if asked.door is Door.MODEL:
        return oip.metadata(model, request, asked)
    if asked.door in HEALTH_DOORS:
        return answer_health(asked, is_ready=True)
    return openapi.answer(model, request, asked)


def _problem(status: int, path: str, message: str) -> ScoreResponse:
    return ScoreResponse(msgspec.json.encode(problem_fields(path, message)), status=status)
