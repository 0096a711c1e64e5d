"""The gateway process: settings → the data plane on the socket the supervisor bound."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from penstock.app.process import configure_logging, inherited_socket
from penstock.app.refusal import refuse
from penstock.config import load_settings
from penstock.entities.errors import PenstockError
from penstock.home import Home
from penstock.serving.gateway import serve_gateway


def main(arguments: list[str]) -> int:
    """Run ``python -m penstock.app gateway``; started by the supervisor alone."""
    parser = argparse.ArgumentParser(prog="penstock gateway")
    parser.add_argument("--workspace", type=Path, required=True)
    home = Home(parser.parse_args(arguments).workspace)
    try:
        settings = load_settings(home.config_file, os.environ)
    except PenstockError as error:
        return refuse(error)
    configure_logging(settings.log.level)
    parent = int(os.environ["PENSTOCK_PARENT_FD"])
    return serve_gateway(
        home, settings.gateway, inherited_socket(), parent_fd=parent, spares=settings.gateway.idle_replicas
    )
