"""A reader process: settings → the metadata store, for reading alone → the server's questions.

Started by the server when it is asked something, ended by closing the socket between them. It has no state of its
own and may be killed at any moment.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from penstock.app.process import configure_logging, inherited_socket
from penstock.app.refusal import refuse
from penstock.config import load_settings
from penstock.entities.errors import PenstockError
from penstock.home import Home
from penstock.server.api import run_pages as rest_pages
from penstock.server.mlflow import metric_pages, run_pages
from penstock.server.readers.worker import Worker
from penstock.stores.metadata.engine.opening import open_reader

QUESTIONS = (run_pages.SEARCH, metric_pages.HISTORY, metric_pages.BULK, metric_pages.SAMPLES, rest_pages.SEARCH)
NICENESS = 10
"""Whoever trains waits for what is logged, so the server comes first where both want the processor."""


def main(arguments: list[str]) -> int:
    """Run ``python -m penstock.app reader``; started by the server alone."""
    parser = argparse.ArgumentParser(prog="penstock reader")
    parser.add_argument("--workspace", type=Path, required=True)
    home = Home(parser.parse_args(arguments).workspace)
    os.nice(NICENESS)
    try:
        settings = load_settings(home.config_file, os.environ)
        configure_logging(settings.log.level)
        store = open_reader(settings.stores.metadata, home.metadata_db)
    except PenstockError as error:
        return refuse(error)
    gc.freeze()
    gc.enable()
    files = socket.socket(fileno=int(os.environ["PENSTOCK_FILES_FD"]))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server ended meanwhile
        Worker(inherited_socket(), files, store, QUESTIONS, home.root).run()
    # At once, whatever question is under way: nobody waits for it any more.
    os._exit(0)


def reader_starter(
    home: Home, environment: Mapping[str, str] = os.environ
) -> Callable[[socket.socket, socket.socket], subprocess.Popen[bytes]]:
    """Return what starts a reader process of a workspace; its words go to this process's log."""

    def start(line: socket.socket, files: socket.socket) -> subprocess.Popen[bytes]:
        # In this process's session: where the kernel shares processors by session, precedence counts within one.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "penstock.app", "reader", "--workspace", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={
                **environment,
                "PENSTOCK_SOCKET_FD": str(line.fileno()),
                "PENSTOCK_FILES_FD": str(files.fileno()),
            },
            pass_fds=[line.fileno(), files.fileno()],
        )

    return start
