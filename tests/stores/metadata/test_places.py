from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.rules.artifact_paths import check_path
from penstock.stores.metadata.places import decode_name, encode_name, path_of, registered_location

NAMES = st.text(
    st.characters(exclude_characters="/:", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20
).filter(lambda name: name.strip() != "")


@given(NAMES)
@example("..")
@example(".")
@example("%2e%2e")
@example("a~b")
@example("~41")
def test_any_name_is_one_safe_part_of_a_path(name: str) -> None:
    part = encode_name(name)
    assert decode_name(part) == name
    assert part.isascii()
    assert "/" not in part
    assert check_path(f"models/{part}/1") == f"models/{part}/1"


@given(NAMES)
def test_address_of_a_version_is_found_again(name: str) -> None:
    path = path_of(registered_location(name, "3"))
    assert path is not None
    assert decode_name(path.split("/")[1]) == name


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/0/run/artifacts", "0/run/artifacts"),
        ("mlflow-artifacts://host:5000/0/run/artifacts/", "0/run/artifacts"),
        ("mlflow-artifacts:/0/a%20b", "0/a b"),
        ("s3://bucket/x", None),
        ("runs:/abc/model", None),
        ("", None),
    ],
)
def test_path_of_an_address(uri: str, path: str | None) -> None:
    assert path_of(uri) == path
