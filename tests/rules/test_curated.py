from __future__ import annotations

import pytest

from penstock.rules.curated import explain, has_curated_name, is_curated
from penstock.rules.references import parse_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", True),
        ("azureml:azureml-acpt-pytorch:3", True),
        ("azureml://registries/azureml/environments/sklearn-1.5/labels/latest", True),
        ("azureml://registries/azureml/models/m/versions/1", False),
        ("azureml://registries/ours/environments/e/versions/1", False),
        ("azureml:my-env:1", False),
        ("./env.yml", False),
    ],
)
def test_which_environments_are_curated(text, expected):
    assert is_curated(parse_reference(text)) is expected


def test_curated_families_are_known_by_name():
    assert has_curated_name("sklearn-1.5")
    assert not has_curated_name("my-sklearn")
    assert "sklearn-1.5" in explain("sklearn-1.5")
