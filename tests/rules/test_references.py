from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import UsageError
from penstock.rules.references import (
    AssetReference,
    DatastoreReference,
    JobOutputReference,
    LocalReference,
    LoggedModelReference,
    RegistryReference,
    RunReference,
    TreeReference,
    UrlReference,
    parse_reference,
)

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml:digits:3", AssetReference("digits", "3")),
        ("azureml:digits@latest", AssetReference("digits", label="latest")),
        ("azureml:digits", AssetReference("digits")),
        ("azureml:a.b-c_d:1.0.0", AssetReference("a.b-c_d", "1.0.0")),
        ("digits:3", AssetReference("digits", "3")),
        ("digits@latest", AssetReference("digits", label="latest")),
        (f"tree:{DIGEST}", TreeReference(DIGEST)),
        ("azureml://jobs/j1/outputs/model/paths/a/b.onnx", JobOutputReference("j1", "model", "a/b.onnx")),
        ("azureml://jobs/j1/outputs/model/paths/", JobOutputReference("j1", "model")),
        ("azureml://jobs/j1/outputs/model", JobOutputReference("j1", "model")),
        (
            "azureml://jobs/j1/outputs/artifacts/paths/outputs/model.onnx",
            JobOutputReference("j1", "artifacts", "outputs/model.onnx"),
        ),
        (
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            RegistryReference("azureml", "environments", "sklearn-1.5", label="latest"),
        ),
        (
            "azureml://registries/azureml/models/m/versions/4",
            RegistryReference("azureml", "models", "m", version="4"),
        ),
        ("azureml://datastores/blob/paths/a/b.csv", DatastoreReference("blob", "a/b.csv")),
        (
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/blob/paths/a",
            DatastoreReference("blob", "a"),
        ),
        ("azureml:azureml://datastores/blob/paths/a", DatastoreReference("blob", "a")),
        ("azureml://locations/westeurope/workspaces/w/models/m/versions/2", AssetReference("m", "2")),
        ("runs:/abc/outputs/model.onnx", RunReference("abc", "outputs/model.onnx")),
        ("runs:/abc", RunReference("abc")),
        ("azureml:My Model:3", AssetReference("My Model", "3")),
        ("azureml:digits@champion", AssetReference("digits", label="champion")),
        ("models:/digits/3", AssetReference("digits", "3")),
        ("models:/My Model/3", AssetReference("My Model", "3")),
        ("models:/digits@champion", AssetReference("digits", label="champion")),
        ("models:/digits/latest", AssetReference("digits", label="latest")),
        ("models:/digits/Production", AssetReference("digits", label="Production")),
        ("models:/digits", AssetReference("digits", label="latest")),
        (f"models:/m-{DIGEST[:32]}", LoggedModelReference(f"m-{DIGEST[:32]}")),
        (f"models:/m-{DIGEST[:32]}/a/b", LoggedModelReference(f"m-{DIGEST[:32]}", "a/b")),
        ("https://example.org/iris.csv?x=1", UrlReference("https://example.org/iris.csv?x=1")),
        ("wasbs://c@a.blob.core.windows.net/x", UrlReference("wasbs://c@a.blob.core.windows.net/x")),
        ("./data", LocalReference("./data")),
        ("../data/x.csv", LocalReference("../data/x.csv")),
        ("data", LocalReference("data")),
        ("file:./data", LocalReference("./data")),
        ("file:data", LocalReference("data")),
        ("file:///abs/data", LocalReference("/abs/data")),
        ("data/a:b", LocalReference("data/a:b")),
        ("me@example.org", LocalReference("me@example.org")),
        (" azureml:digits:3 ", AssetReference("digits", "3")),
    ],
)
def test_what_a_text_points_at(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "azureml:",
        "azureml:a:b:c",
        "azureml:a b",
        "azureml://nothing",
        "azureml://jobs/x",
        "tree:abc",
        "runs:x",
    ],
)
def test_a_broken_reference_says_how_to_write_it(text):
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert text.strip() == "" or caught.value.hint.startswith("Write ")


def test_a_bare_name_is_an_asset_only_where_asked_for():
    assert parse_reference("digits") == LocalReference("digits")
    assert parse_reference("digits", bare_names=True) == AssetReference("digits")


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
PATHS = st.lists(st.from_regex(r"[a-z0-9_.]{1,5}", fullmatch=True), max_size=3).map("/".join)
REFERENCES = st.one_of(
    st.builds(AssetReference, NAMES, NAMES, st.none()),
    st.builds(AssetReference, NAMES, st.none(), NAMES),
    st.builds(AssetReference, NAMES),
    st.builds(JobOutputReference, NAMES, NAMES, PATHS),
    st.builds(RegistryReference, NAMES, st.sampled_from(["models", "environments"]), NAMES, NAMES),
    st.builds(DatastoreReference, NAMES, PATHS),
    st.builds(RunReference, NAMES, PATHS),
    st.builds(TreeReference, st.just(DIGEST)),
)


@given(REFERENCES)
def test_the_normal_form_points_at_the_same(reference):
    assert parse_reference(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_usage_error(text):
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert str(parse_reference(str(reference))) == str(reference)
