"""``GET /``: one plain page that says what this server is, and shows the run that a link of MLflow's client names.

MLflow's client prints ``http://…/#/experiments/0/runs/ID``; a browser asks for ``/`` then and keeps the rest. The page
holds no data and needs no token; its script asks the REST API with a token that is typed into it. Nothing is loaded
from elsewhere, and nothing but this very script and style may run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from starlette.responses import Response

_PARTS = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def landing_response() -> Response:
    """Return the page with its policy."""
    page, policy = _page()
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Response(page, 200, headers, "text/html; charset=utf-8")


@cache
def _page() -> tuple[bytes, str]:
    text = files("penstock.server").joinpath("landing.html").read_text("utf-8")
    sources = {name: _source(content) for name, content in _PARTS.findall(text)}
    policy = (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
