"""What a model folder holds, told from its file names."""

from __future__ import annotations

from penstock.entities.asset import AssetType, Tree


def model_type(tree: Tree, declared: AssetType) -> AssetType:
    """Return ``mlflow_model`` for a folder with an ``MLmodel`` file at its root, else what was declared."""
    if any(entry.path == "MLmodel" for entry in tree.entries):
        return AssetType.MLFLOW_MODEL
    return declared


def model_flavors(tree: Tree) -> tuple[str, ...]:
    """Return the ways in which the model can be run without a script: ``onnx``, ``mlflow``, or none."""
    flavors = []
    if sum(entry.path.lower().endswith(".onnx") for entry in tree.entries) == 1 or any(
        entry.path == "model.onnx" for entry in tree.entries
    ):
        flavors.append("onnx")
    if any(entry.path == "MLmodel" for entry in tree.entries):
        flavors.append("mlflow")
    return tuple(flavors)
