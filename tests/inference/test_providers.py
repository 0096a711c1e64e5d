"""The processor or a GPU: by what onnxruntime offers and the deployment says."""

from __future__ import annotations

import pytest

from penstock.entities.errors import UsageError
from penstock.inference.runtimes.providers import CPU, choose_providers

CUDA = "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("available", "resources", "chosen"),
    [
        ([CPU], None, [CPU]),
        ([CUDA, CPU], None, [CUDA, CPU]),
        (["TensorrtExecutionProvider", CUDA, CPU], {}, [CUDA, CPU]),
        ([CUDA, CPU], {"limits": {"nvidia.com/gpu": "0"}}, [CPU]),
        ([CUDA, CPU], {"requests": {"cpu": "1"}, "limits": {"gpu": 1}}, [CUDA, CPU]),
        ([CUDA, CPU], {"requests": {"nvidia.com/gpu": 0}, "limits": {"memory": "1Gi"}}, [CPU]),
        ([CPU], {"limits": {"nvidia.com/gpu": "0"}}, [CPU]),
        (["AzureExecutionProvider", CPU], {"limits": {"cpu": "2"}}, [CPU]),
    ],
)
def test_choice(available, resources, chosen):
    assert choose_providers(available, resources) == chosen


def test_a_gpu_that_is_asked_for_must_be_there():
    with pytest.raises(UsageError, match="asks for a GPU"):
        choose_providers([CPU], {"limits": {"nvidia.com/gpu": "1"}})


def test_a_number_of_gpus_is_a_number():
    with pytest.raises(UsageError, match="is no number"):
        choose_providers([CPU], {"limits": {"gpu": "many"}})
