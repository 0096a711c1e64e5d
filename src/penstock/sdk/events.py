"""Server-sent events: bytes in, (event, data) pairs out."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

from penstock.entities.errors import UnavailableError
from penstock.sdk.response import Response


def read_events(response: Response) -> Iterator[tuple[str, Any]]:
    """Yield (event name, data) of a ``text/event-stream`` as they arrive, until the server ends it.

    Data is parsed as JSON; comments keep the connection alive and are not seen.

    Raises
    ------
    UnavailableError
        If the connection breaks; what was yielded before is complete.
    """
    rest = b""
    name, data = "", []
    while True:
        try:
            piece = response.read_some()
        except (OSError, http.client.HTTPException) as error:
            response.close()
            raise UnavailableError(f"the stream broke off: {error or type(error).__name__}") from error
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode()
            elif not line:
                if data:
                    yield name or "message", json.loads(b"\n".join(data))
                name, data = "", []
