"""Azure ML's curated environments by name, and what runs in their place here.

Curated environments are container images that no workspace of ours holds. A job that names one runs in the
documented default, the interpreter the server runs on, and is told so in one warning.
"""

from __future__ import annotations

from penstock.rules.references import AssetReference, Reference, RegistryReference

CURATED_REGISTRIES = frozenset({"azureml", "azureml-staging", "azureml-meta"})


def is_curated(reference: Reference) -> bool:
    """Return whether a reference names an environment that Microsoft curates.

    That is every environment of the registry ``azureml``, and ``azureml:AzureML-…`` and the other families'
    names without a registry.
    """
    if isinstance(reference, RegistryReference):
        return reference.registry.lower() in CURATED_REGISTRIES and reference.kind == "environments"
    return isinstance(reference, AssetReference) and reference.name.lower().startswith("azureml-")


def explain(name: str) -> str:
    """Return the warning where a curated environment is replaced by the default."""
    return (
        f'The curated environment "{name}" is a container image, which is not used here; the server\'s own interpreter '
        "is. Name an environment with conda_file to choose the packages."
    )
