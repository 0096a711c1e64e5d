"""How many requests that wait may travel together: what the deployment says, else what was measured.

Nothing here makes a request wait: a batch is what came while every worker was busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.serving.desired import Batching


def batch_size(wanted: Batching, measured: Sequence[Mapping[str, Any]]) -> int:
    """Return the largest batch for these replicas; 1 where any of them takes none.

    Parameters
    ----------
    wanted : Batching
        From the deployment's YAML; ``enabled: true`` cannot make a model take batches that it answers otherwise.
    measured : sequence of mapping
        What each replica's warm-up has shown.
    """
    found = [one.get("batching") or {} for one in measured]
    if wanted.enabled is False or not found or not all(one.get("possible") for one in found):
        return 1
    if wanted.enabled or all(one.get("on_by_default") for one in found):
        return wanted.max_batch_size
    return 1
