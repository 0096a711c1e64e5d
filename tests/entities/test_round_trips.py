"""What is stored or sent as JSON comes back equal."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from penstock.entities.asset import DataSpec, EnvironmentSpec, InlineModelSpec, ModelSpec, Tree, TreeEntry
from penstock.entities.base import JobName
from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.job import CommandJobSpec, InputSpec, Job, JobStatus, OutputSpec

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)
SCALARS = st.text(max_size=6) | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TAGS = st.dictionaries(TEXT, TEXT, max_size=2)
INPUTS = st.builds(InputSpec, path=TEXT) | st.builds(InputSpec, type=st.just("number"), value=SCALARS)
ENVIRONMENTS = st.builds(
    EnvironmentSpec, image=TEXT, conda_file=st.none() | st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=2)
)
JOBS = st.builds(
    CommandJobSpec,
    command=TEXT.filter(bool),
    schema_=st.none() | TEXT,
    inputs=st.dictionaries(NAMES, INPUTS | SCALARS, max_size=3),
    outputs=st.dictionaries(NAMES, st.none() | st.builds(OutputSpec, path=TEXT), max_size=2),
    environment=st.none() | ENVIRONMENTS | TEXT,
    environment_variables=st.dictionaries(NAMES, TEXT, max_size=2),
    tags=TAGS,
)


def as_text(entity):
    return entity.model_dump_json(by_alias=True, exclude_none=True)


@given(JOBS)
def test_a_job_s_specification_comes_back(spec):
    again = CommandJobSpec.model_validate_json(as_text(spec))
    assert again == spec
    assert [type(value) for value in again.inputs.values()] == [type(value) for value in spec.inputs.values()]


@given(JOBS)
def test_a_job_comes_back_with_its_specification(spec):
    job = Job(
        name="j",
        display_name="d",
        experiment_name="e",
        status=JobStatus.RUNNING,
        spec=spec,
        created_at=1,
        created_by="me",
    )
    assert Job.model_validate_json(as_text(job)) == job


ENDPOINTS = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{1,4}[a-z]", fullmatch=True)


@given(
    st.builds(
        OnlineDeploymentSpec,
        name=ENDPOINTS,
        endpoint_name=ENDPOINTS,
        model=st.none() | TEXT | st.builds(InlineModelSpec, path=TEXT, flavors=st.just({"a": {"b": 1}})),
        environment_variables=st.dictionaries(NAMES, TEXT, max_size=2),
        tags=TAGS,
    )
)
def test_a_deployment_s_specification_comes_back(spec):
    assert OnlineDeploymentSpec.model_validate_json(as_text(spec)) == spec


@given(st.builds(OnlineEndpointSpec, name=ENDPOINTS, traffic=st.dictionaries(NAMES, st.integers(0, 100), max_size=3)))
def test_an_endpoint_s_specification_comes_back(spec):
    assert OnlineEndpointSpec.model_validate_json(as_text(spec)) == spec


def test_the_size_of_a_tree_is_the_sum_of_its_files():
    entries = tuple(TreeEntry(path=name, digest="0" * 64, size=3) for name in "ab")
    assert Tree(entries=entries).size == 6


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n"])
def test_a_digest_is_64_hex_digits(digest):
    with pytest.raises(ValidationError):
        TreeEntry(path="a", digest=digest, size=0)


@pytest.mark.parametrize("name", ["a\n", "", "a/b", "-a", "é", "a" * 256])
def test_a_name_is_checked_to_its_last_letter(name):
    with pytest.raises(ValidationError):
        ModelSpec(name=name, path="x")


def test_an_entity_cannot_be_changed():
    spec = DataSpec(name="a", path="x")
    with pytest.raises(ValidationError):
        spec.path = "y"  # type: ignore[misc]  # that it is refused is the point


FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.job import CommandJobSpec
barrier, errors = threading.Barrier(8), []
def use():
    barrier.wait()
    try:
        CommandJobSpec.model_validate({"command": "x", "inputs": {"a": {"path": "b"}}}).model_dump_json()
        OnlineDeploymentSpec(name="blue", endpoint_name="abc").model_dump_json()
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
sys.exit("; ".join(errors) or 0)
"""


def test_the_first_use_may_come_from_many_threads_at_once():
    result = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["a", "train-1", "A_b-9", "0" * 255])
def test_job_names(name):
    assert TypeAdapter(JobName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a\n", "ä", "a.b", "0" * 256])
def test_no_job_names(name):
    with pytest.raises(ValidationError):
        TypeAdapter(JobName).validate_python(name)
