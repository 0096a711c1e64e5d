from __future__ import annotations

import pytest

from penstock.rules.curated import explain, is_curated
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


def test_the_warning_names_the_environment():
    assert "sklearn-1.5" in explain("sklearn-1.5")
