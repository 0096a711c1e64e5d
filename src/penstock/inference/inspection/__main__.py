"""``python -m penstock.inference.inspection MODEL.onnx [LABELS]``: what a model declares, as one line of JSON.

The server asks it of a model that is to be deployed: reading a large graph takes longer than a server's thread may be
busy, and a hostile one must not take the server with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from penstock.entities.errors import PenstockError
from penstock.inference.inspection.graph import read_graph


def main(arguments: list[str]) -> int:
    """Write the contract of a graph and, of a label file (and its suffix), how many labels it holds."""
    answer: dict[str, Any] = {}
    try:
        graph = read_graph(Path(arguments[0]))
        for part, values in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            answer[part] = [{"name": v.name, "dtype": v.dtype, "shape": v.shape} for v in values]
    except PenstockError as error:
        answer["damaged"] = error.message
    if len(arguments) > 1:
        # Loaded for a label file only: it needs libraries that take longer to load than a graph takes to read.
        from penstock.inference.labels import parse_labels

        try:
            answer["labels"] = len(parse_labels(Path(arguments[1]).read_bytes().decode("utf-8-sig"), arguments[2]))
        except Exception as error:  # whatever a foreign file does to a parser is that file's mistake
            answer["bad_labels"] = str(error)[:200]
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
