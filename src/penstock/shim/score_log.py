"""Log lines of a scoring process: time, level, process and logger before each, what scripts print among them.

Standard library only, Python >= 3.9. The loggers have the public scoring server's names, because ``logging.json``
files beside scripts refer to them.
"""

from __future__ import annotations

import builtins
import json
import logging
import logging.config
import os
import sys
import time
from typing import Any

SERVER_LOGGER = "azmlinfsrv"
PRINT_LOGGER = "azmlinfsrv.print"
FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"

logger = logging.getLogger(SERVER_LOGGER)


class LineFormatter(logging.Formatter):
    """A line in UTC."""

    converter = staticmethod(time.gmtime)


def set_up(*folders: str) -> None:
    """Have the loggers write, as the first ``logging.json`` in ``folders`` says, else to standard output."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(FORMAT))
    logger.handlers[:] = [handler]
    for folder in folders:
        path = os.path.join(folder, "logging.json")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                logging.config.dictConfig(json.load(file))
            break
    builtins.print = _PrintToLog(builtins.print)


class _PrintToLog:
    """``print``, but that what goes to standard output becomes a line of the log."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain.plain if isinstance(plain, _PrintToLog) else plain
        self._log = logging.getLogger(PRINT_LOGGER)

    @property
    def plain(self) -> Any:
        """The interpreter's own."""
        return self._plain

    def __call__(self, *values: Any, sep: Any = " ", end: Any = "\n", file: Any = None, flush: bool = False) -> None:
        if file is None or file is sys.stdout:
            self._log.info("%s", (" " if sep is None else sep).join(map(str, values)))
        else:
            self._plain(*values, sep=sep, end=end, file=file, flush=flush)
