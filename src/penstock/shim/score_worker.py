"""Host a user's ``score.py`` behind the gateway: ``init()`` once, ``run(data)`` for each request of a work connection.

Standard library only, Python >= 3.9. Started with one JSON argument, see :func:`main`. With one worker, ``init`` and
``run`` are both called on the main thread, as Azure ML's server does, so scripts need not be thread-safe.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
from json.encoder import encode_basestring_ascii as quoted

from . import replica_host, score_log
from .score_answers import Reply, Scorer
from .score_inputs import Request
from .score_script import Stopped, describe_error, extend_path, load_script, stop, user_traceback
from .score_settings import read_settings

EXIT_CANNOT_LOAD = 3
TOLD_TIMEOUT_S = 10.0


def main(argument: str) -> None:
    """Run until the supervisor's pipe closes or SIGTERM comes.

    Parameters
    ----------
    argument : str
        JSON: ``fd`` (listening socket), ``identity``, ``code`` (folder), ``script`` (relative to it), ``workers``.
    """
    assignment = json.loads(argument)
    replica_host.end_with_parent(replica_host.parent_descriptor())
    signal.signal(signal.SIGTERM, stop)
    host = replica_host.ReplicaHost(socket.socket(fileno=assignment["fd"]), assignment["identity"])
    host.update(state="loading")
    host.start()
    code = os.path.abspath(assignment["code"])
    try:
        scorer = load(os.path.join(code, assignment["script"]), code)
    except Stopped:
        raise
    except BaseException as error:
        text = user_traceback(error, code)
        sys.stderr.write(text)
        replica_host.flush_output()
        host.update(state="failed", message=describe_error(error, code), traceback=text)
        host.wait_told(TOLD_TIMEOUT_S)
        os._exit(EXIT_CANNOT_LOAD)
    replica_host.flush_output()
    workers = max(1, int(assignment["workers"]))
    answer = framed(scorer)
    for number in range(1, workers):
        threading.Thread(target=host.work, args=(answer,), name="worker-%d" % number, daemon=True).start()
    host.update(state="ready", workers=workers, describe=scorer.describe())
    host.work(answer)


def load(script: str, code: str, app_root: str = "", is_alone: bool = False) -> Scorer:
    """Import a script, call its ``init`` and return what answers requests.

    Parameters
    ----------
    script, code : str
        The script and the folder of the user's code.
    app_root : str
        ``AML_APP_ROOT``, where settings, logging and descriptions may lie; default is ``code``.
    is_alone : bool
        Whether no gateway stands before it.

    Raises
    ------
    ScriptError
        If the script or the settings are not what they have to be.
    """
    faulthandler.enable()  # a script's libraries may crash; the log then says where
    app_root = app_root or code
    score_log.set_up(app_root, os.path.dirname(script))
    settings = read_settings(os.environ, app_root, script)
    extend_path(app_root)
    loaded = load_script(script, code)
    loaded.init()
    return Scorer(loaded, settings, is_alone)


def framed(scorer: Scorer) -> replica_host.Answer:
    """Return what turns a request's frame into its response's."""

    def answer(meta: bytes, body: bytes) -> tuple[bytes, bytes]:
        try:
            reply = scorer(read_request(meta, body))
        finally:
            replica_host.flush_output()
        return write_meta(reply), reply.body

    return answer


def read_request(meta: bytes, body: bytes) -> Request:
    """Return the request of a frame; what its meta part does not say is a plain POST of JSON to ``/score``."""
    sent = json.loads(meta) if meta else {}
    headers = sent.get("headers")
    if headers is None:
        headers = {"Content-Type": sent.get("content_type", "application/json")}
    return Request(sent.get("method", "POST"), sent.get("path", "/score"), sent.get("query", ""), headers, body)


def write_meta(reply: Reply) -> bytes:
    """Return the meta part of an answer's frame; headers are pairs, since some repeat.

    Put together by hand: with ``json.dumps`` an answer took 72 microseconds here instead of 43.
    """
    headers = ",".join(["[%s,%s]" % (quoted(name), quoted(value)) for name, value in reply.headers])
    meta = '{"status":%d,"content_type":%s,"headers":[%s]}' % (reply.status, quoted(reply.content_type), headers)
    return meta.encode("ascii")
