"""On what an ONNX model runs: the machine's GPU where onnxruntime offers it, unless the deployment says otherwise.

``resources`` of a deployment's YAML decides as in Azure ML's files: ``nvidia.com/gpu`` (or ``gpu``) in ``limits``, else
in ``requests``. 0 means the processor, 1 or more that there must be a GPU; where nothing is said, whatever there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.entities.errors import UsageError

CPU = "CPUExecutionProvider"
GPUS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider", "CoreMLExecutionProvider")
_GPU_KEYS = ("nvidia.com/gpu", "amd.com/gpu", "gpu")


def choose_providers(available: Sequence[str], resources: Mapping[str, Any] | None = None) -> list[str]:
    """Return onnxruntime's execution providers, the preferred one first; the processor is always the last.

    Raises
    ------
    UsageError
        If a GPU is asked for and onnxruntime offers none.
    """
    wanted = wanted_gpus(resources)
    if wanted == 0:
        return [CPU]
    gpu = next((name for name in GPUS if name in available), None)
    if gpu is None:
        if wanted is not None:
            raise UsageError(
                "the deployment asks for a GPU and onnxruntime offers none here",
                hint=f"It offers {', '.join(available)}. Install onnxruntime-gpu, or take gpu out of resources.",
            )
        return [CPU]
    return [gpu, CPU]


def wanted_gpus(resources: Mapping[str, Any] | None) -> int | None:
    """Return how many GPUs ``resources`` names, None where it does not say.

    Raises
    ------
    UsageError
        If that is no number.
    """
    for part in ("limits", "requests"):
        named = (resources or {}).get(part)
        for key in _GPU_KEYS:
            if isinstance(named, Mapping) and key in named:
                try:
                    return int(named[key])
                except (TypeError, ValueError) as error:
                    raise UsageError(f"resources.{part}.{key} is no number: {str(named[key])[:40]!r}") from error
    return None
