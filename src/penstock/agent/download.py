"""Fetch an input's http(s) URL into a file; imported only by attempts that have one."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request

TRIES = 3
RETRY_S = 1.0
SILENCE_S = 30.0
CHUNK = 1 << 20


class DownloadError(Exception):
    """The URL could not be fetched; the message is one sentence."""


def download(url: str, target: str) -> None:
    """Write what ``url`` answers to ``target``; the file appears when it is complete.

    Raises
    ------
    DownloadError
        If the server refuses, or three tries failed.
    OSError
        If the file cannot be written.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"only http and https URLs can be fetched, not {url!r}")
    for remaining in reversed(range(TRIES)):
        try:
            _fetch(url, f"{target}.part")
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 or not remaining:
                    raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
            if not remaining:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                raise DownloadError(f"{url} could not be fetched: {reason}") from error
        else:
            os.replace(f"{target}.part", target)
            return
        time.sleep(RETRY_S)


def _fetch(url: str, target: str) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "penstock"})
    with urllib.request.urlopen(request, timeout=SILENCE_S) as answer, open(target, "wb") as file:
        expected = answer.headers.get("Content-Length")
        size = 0
        while data := answer.read(CHUNK):
            file.write(data)
            size += len(data)
    if expected is not None and size != int(expected):
        raise ConnectionError(f"{size} of {expected} bytes came")
