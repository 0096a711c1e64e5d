"""Serve one ``score.py`` alone over HTTP, as the public scoring server does. Standard library only, Python >= 3.9.

A parent process binds the port and keeps as many scoring processes as asked for; each loads the script for itself. One
that cannot load it ends them all with status 3; one that dies later is replaced.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, Optional

from . import score_log
from .score_answers import Reply
from .score_debugger import connect
from .score_http import Handler, HttpServer, read_max_body_bytes
from .score_inputs import Request
from .score_script import Stopped, model_contents, stop, user_traceback
from .score_settings import read_settings
from .score_worker import EXIT_CANNOT_LOAD, load

logger = logging.getLogger(score_log.SERVER_LOGGER)


def main(argument: str) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    argument : str
        JSON: ``script`` (absolute), ``code`` and ``app_root`` (folders), ``host``, ``ports``, ``workers``, and
        ``scratch``, a folder that is removed at the end, or "".
    """
    given = json.loads(argument)
    try:
        sys.exit(_serve(given))
    finally:
        if given["scratch"]:
            shutil.rmtree(given["scratch"], ignore_errors=True)


def _serve(given: dict[str, Any]) -> int:
    listeners = [_listen(given["host"], int(port)) for port in given["ports"]]
    for listener in listeners:
        sys.stderr.write("Serving %s at http://%s:%d/score\n" % (given["script"], *listener.getsockname()[:2]))
    sys.stderr.flush()
    return _Processes(given, listeners).run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=512)
    except OSError as error:
        sys.exit("error: cannot listen on %s:%d: %s" % (host, port, error.strerror))


class _Processes:
    """The scoring processes."""

    def __init__(self, given: dict[str, Any], listeners: list[socket.socket]) -> None:
        self._given = given
        self._listeners = listeners
        self._pids: set[int] = set()
        self._is_stopping = False

    def run(self) -> int:
        """Keep the processes running; return the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        status = 0
        for _ in range(self._given["workers"]):
            self._start()
        while self._pids:
            pid, ended = os.wait()
            self._pids.discard(pid)
            code = os.waitstatus_to_exitcode(ended)
            if self._is_stopping:
                continue
            if code == EXIT_CANNOT_LOAD:
                status = EXIT_CANNOT_LOAD
                self._stop(0, None)
                continue
            sys.stderr.write("a scoring process ended with %d; another is started\n" % code)
            self._start()
        return status

    def _start(self) -> None:
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            if self._is_stopping:
                os.kill(pid, signal.SIGTERM)
            return
        try:
            status = _score(self._given, self._listeners)
        except Stopped:
            status = 0
        except BaseException:
            logging.getLogger(score_log.SERVER_LOGGER).exception("the scoring process failed")
            status = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

    def _stop(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._is_stopping = True
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)


def _score(given: dict[str, Any], listeners: list[socket.socket]) -> int:
    """Load the script and answer requests; what a scoring process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes Ctrl-C on as SIGTERM
    signal.signal(signal.SIGTERM, stop)
    code = given["code"]
    try:
        connect(read_settings(os.environ, given["app_root"], given["script"]).debug_port)
        scorer = load(given["script"], code, given["app_root"], is_alone=True)
    except Stopped:
        raise
    except BaseException as error:
        sys.stderr.write(user_traceback(error, code))
        if isinstance(error, OSError):
            sys.stderr.write(model_contents())
        return EXIT_CANNOT_LOAD
    server = HttpServer(listeners, _logged(scorer), given["workers"] == 1, read_max_body_bytes())
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.stop())
    logger.info("Worker with pid %d ready for serving traffic", os.getpid())
    sys.stdout.flush()
    server.serve(wake)
    return 0


def _logged(scorer: Handler) -> Handler:
    """Return a handler that writes a line for each request but those for health."""

    def answer(request: Request) -> Reply:
        started = time.perf_counter()
        reply = scorer(request)
        if request.path != "/":
            path = "%s?%s" % (request.path, request.query) if request.query else request.path
            elapsed_ms = (time.perf_counter() - started) * 1000.0
            logger.info("%s %s %d %.3fms %d", request.method, path, reply.status, elapsed_ms, len(reply.body))
        return reply

    return answer
