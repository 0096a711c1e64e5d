"""What the environment says about how a script is hosted, under the public scoring server's names.

A ``config.json`` (``AZUREML_CONFIG_FILE``, or beside the code) may hold the same; the environment wins. Standard
library only, Python >= 3.9.
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional

from .score_script import ScriptError

DEFAULT_TIMEOUT_MS = 3600 * 1000
_NAMES = ("SCORING_TIMEOUT_MS", "SERVICE_NAME", "SERVICE_PATH_PREFIX", "SERVICE_VERSION", "AZUREML_DEBUG_PORT")


class Settings:
    """The settings of one scoring process.

    Parameters
    ----------
    values : mapping
        By the names of the environment variables.
    app_root : str
        The folder of the user's code; it may hold descriptions of the API, ``swagger.json`` and so on.
    """

    def __init__(self, values: Mapping[str, str], app_root: str) -> None:
        self.app_root = app_root
        self.timeout_ms = _number(values, "SCORING_TIMEOUT_MS") or DEFAULT_TIMEOUT_MS
        self.debug_port = _number(values, "AZUREML_DEBUG_PORT")
        self.cors_origins = [each.strip() for each in values.get("AML_CORS_ORIGINS", "").split(",") if each.strip()]
        self.service_name = values.get("SERVICE_NAME", "ML service")
        self.service_version = values.get("SERVICE_VERSION", "1.0")
        prefix = values.get("SERVICE_PATH_PREFIX", "").strip("/")
        self.path_prefix = "/" + prefix if prefix else ""
        self.has_version = values.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true"


def read_settings(environment: Mapping[str, str], app_root: str, script: str) -> Settings:
    """Return the settings of environment and configuration file.

    Raises
    ------
    ScriptError
        If the file is no JSON object, or a number is none.
    """
    values = dict(environment)
    file = _find_file(environment, app_root, script)
    if file is not None:
        try:
            with open(file, encoding="utf-8") as stream:
                found = json.load(stream)
        except ValueError as error:
            raise ScriptError("%s is no JSON: %s" % (file, error)) from None
        if not isinstance(found, dict):
            raise ScriptError("%s is no JSON object" % file)
        for name in _NAMES:
            if found.get(name) is not None:
                values.setdefault(name, str(found[name]))
    return Settings(values, app_root)


def _find_file(environment: Mapping[str, str], app_root: str, script: str) -> Optional[str]:
    candidates = [environment.get("AZUREML_CONFIG_FILE", "")]
    candidates += [os.path.join(folder, "config.json") for folder in (app_root, os.path.dirname(script))]
    return next((path for path in candidates if path and os.path.isfile(path) and os.path.getsize(path)), None)


def _number(values: Mapping[str, Any], name: str) -> int:
    text = values.get(name, "")
    try:
        return int(text) if text else 0
    except ValueError:
        raise ScriptError("%s is no whole number: %r" % (name, text)) from None
