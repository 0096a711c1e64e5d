"""The ids that requests carry: echoed, copied between Microsoft's two names, or new. Standard library only, >= 3.9."""

from __future__ import annotations

import uuid
from typing import Mapping

MAX_LENGTH = 100


def identify(headers: Mapping[str, str]) -> tuple[list[tuple[str, str]], str]:
    """Return the id headers of the answer, and what is wrong with those of the request ("" if nothing is).

    ``x-ms-request-id`` was the client's id once and still is where it is sent; else it repeats the client's id under
    its present name, ``x-ms-client-request-id``, or the request's.
    """
    problem = ""
    request_id = headers.get("X-Request-Id")
    if request_id is None:
        request_id = str(uuid.uuid4())
    legacy = headers.get("X-Ms-Request-Id", "")
    client = headers.get("X-Ms-Client-Request-Id", "") or legacy
    legacy = legacy or client or request_id
    if len(request_id) > MAX_LENGTH:
        problem = "x-request-id must not exceed %d characters" % MAX_LENGTH
        request_id = legacy = client = ""
    elif len(legacy) > MAX_LENGTH or len(client) > MAX_LENGTH:
        problem = "x-ms-request-id and x-ms-client-request-id must not exceed %d characters" % MAX_LENGTH
        legacy = client = ""
    found = [("x-request-id", request_id), ("x-ms-request-id", legacy), ("x-ms-client-request-id", client)]
    answer = [pair for pair in found if pair[1]]
    if "Traceid" in headers:
        answer.append(("TraceId", headers["Traceid"]))
    return answer, problem
