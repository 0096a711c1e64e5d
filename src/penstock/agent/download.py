"""Fetch an input's http(s) URL into a file; imported only by attempts that have one.

A URL is a secret where it has a password or a signature: nothing here says more of it than ``shown_url``.
"""

from __future__ import annotations

import base64
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request

TRIES = 3
RETRY_S = 1.0
SILENCE_S = 30.0
CHUNK = 1 << 20
MAX_REASON = 200


class DownloadError(Exception):
    """The URL could not be fetched; the message is one sentence."""


def download(url: str, target: str) -> None:
    """Write what ``url`` answers to ``target``; the file appears when it is complete.

    ``user:password@`` in the URL is sent as basic authentication, to that host only.

    Raises
    ------
    DownloadError
        If the server refuses, or three tries failed.
    OSError
        If the file cannot be written.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"only http and https URLs can be fetched, not {shown_url(url)!r}")
    for remaining in reversed(range(TRIES)):
        try:
            _fetch(url, f"{target}.part")
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 or not remaining:
                    phrase = http.client.responses.get(error.code, "")
                    raise DownloadError(f"{shown_url(url)} answered {error.code} {phrase}".rstrip()) from None
        except (ValueError, http.client.InvalidURL):  # they quote the URL
            raise DownloadError(f"{shown_url(url)} could not be fetched: it is no valid URL") from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if not remaining:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                shown = str(reason)[:MAX_REASON] or type(reason).__name__
                raise DownloadError(f"{shown_url(url)} could not be fetched: {shown}") from None
        else:
            os.replace(f"{target}.part", target)
            return
        time.sleep(RETRY_S)


def shown_url(url: str) -> str:
    """Return what may be said of a URL: scheme, host, port and path, without user, password, query and fragment."""
    url = url.partition("#")[0].partition("?")[0]
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url.rpartition("@")[2]
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl(), headers={"User-Agent": "penstock"})
    if at:
        credentials = urllib.parse.unquote_to_bytes(user if ":" in user else f"{user}:")
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(credentials).decode('ascii')}")
    return request


def _fetch(url: str, target: str) -> None:
    with urllib.request.urlopen(_request(url), timeout=SILENCE_S) as answer, open(target, "wb") as file:
        expected = answer.headers.get("Content-Length")
        size = 0
        while data := answer.read(CHUNK):
            file.write(data)
            size += len(data)
    if expected is not None and size != int(expected):
        raise ConnectionError(f"{size} of {expected} bytes came")
