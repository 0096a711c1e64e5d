from __future__ import annotations

import pytest

from penstock.compute.environments.conda import read_conda
from penstock.entities.errors import UsageError


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("numpy", "numpy"),
        ("numpy=1.21", "numpy==1.21.*"),
        ("numpy=1.21.*", "numpy==1.21.*"),
        ("numpy==1.21.2", "numpy==1.21.2"),
        ("numpy=1.21.2=py38_0", "numpy==1.21.2.*"),
        ("numpy>=1.20,<2", "numpy>=1.20,<2"),
        ("numpy >= 1.20", "numpy>=1.20"),
        ("numpy 1.21.2", "numpy==1.21.2"),
        ("conda-forge::Scikit-Learn=1.4", "scikit-learn==1.4.*"),
        ("pytorch=2.2", "torch==2.2.*"),
    ],
)
def test_a_conda_package_becomes_a_requirement(item, line):
    assert read_conda({"dependencies": [item]}).lines == (line,)


@pytest.mark.parametrize(
    ("item", "version"),
    [
        ("python=3.10", "3.10"),
        ("python==3.9.7", "3.9.7"),
        ("python>=3.9,<3.12", "3.9"),
        ("python=3.10.*", "3.10"),
        ("python", None),
    ],
)
def test_python_becomes_the_interpreters_version(item, version):
    found = read_conda({"dependencies": [item]})
    assert (found.python, found.lines) == (version, ())


def test_what_only_conda_has_is_named():
    found = read_conda({"dependencies": ["pip", "cudatoolkit=11.8", "conda-forge::cpuonly", "setuptools", "numpy"]})
    assert found.lines == ("setuptools", "numpy")
    assert found.left_out == ("cudatoolkit", "cpuonly")


def test_azures_usual_file_is_read():
    found = read_conda(
        {
            "name": "model-env",
            "channels": ["conda-forge"],
            "dependencies": [
                "python=3.8",
                "numpy=1.21.2",
                "pip=21.2.4",
                {"pip": ["mlflow== 1.26.1", "--pre", "x[y]~=1.0"]},
            ],
        }
    )
    assert found.lines == ("numpy==1.21.2.*", "mlflow== 1.26.1", "--pre", "x[y]~=1.0")


@pytest.mark.parametrize(
    "spec",
    [
        {"dependencies": "numpy"},
        {"dependencies": [{"npm": ["x"]}]},
        {"dependencies": [{"pip": "numpy"}]},
        {"dependencies": ["=1.0"]},
        {"dependencies": [{"pip": ["-e ."]}]},
        {"dependencies": [{"pip": ["-r requirements.txt"]}]},
        {"dependencies": [{"pip": ["./local.whl"]}]},
        {"dependencies": [{"pip": ["local.whl"]}]},
    ],
)
def test_what_a_cached_venv_cannot_hold_is_refused(spec):
    with pytest.raises(UsageError, match="conda_file"):
        read_conda(spec)


def test_nothing_is_asked_for():
    assert read_conda({}).lines == ()
