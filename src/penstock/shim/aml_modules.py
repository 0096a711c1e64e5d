"""Make Azure ML's request and response modules importable where Azure's own packages are not installed.

``azureml.contrib.services.aml_request`` and ``.aml_response``, also under the name that the public server gives them,
are answered by a finder that stands last, so installed ones come first. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Optional, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_PREFIXES = ("azureml.contrib.services", "azureml_inference_server_http.api")
_REQUESTS = tuple(prefix + ".aml_request" for prefix in _PREFIXES)
_RESPONSES = tuple(prefix + ".aml_response" for prefix in _PREFIXES)
_PACKAGES = frozenset({*_PREFIXES, *(prefix.rpartition(".")[0] for prefix in _PREFIXES), "azureml"})


def install() -> None:
    """Answer for the modules from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def is_raw_requested() -> bool:
    """Return whether ``@rawhttp`` was used, ours or an installed one."""
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in _REQUESTS)


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        if fullname in _PACKAGES:
            return ModuleSpec(fullname, self, is_package=True)
        return ModuleSpec(fullname, self) if fullname in _REQUESTS + _RESPONSES else None

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        contents: dict[str, Any] = module.__dict__
        if module.__name__ in _REQUESTS:
            from .aml_request import AMLRequest

            def rawhttp(function: Function) -> Function:
                """Ask for the request itself."""
                contents["_rawHttpRequested"] = True
                return function

            contents.update(AMLRequest=AMLRequest, rawhttp=rawhttp, _rawHttpRequested=False)
        elif module.__name__ in _RESPONSES:
            from .aml_response import AMLResponse

            contents["AMLResponse"] = AMLResponse
