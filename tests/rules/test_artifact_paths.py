from __future__ import annotations

import posixpath
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.entities.errors import InvalidPathError
from penstock.rules.artifact_paths import check_path, check_prefix


@pytest.mark.parametrize(
    "path", ["a", "outputs/model.onnx", "a b/ü.txt", ".hidden", "...", "50%.txt", "100%25", "a%2Fb"]
)
def test_ordinary_names_pass_unchanged(path):
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\a",
        "C:/windows",
        "c:x",
        "a\x00b",
        "a\nb",
        "%2e%2e/a",
        "%2E./a",
        "a/%2e%2e",
        "%252e%252e/a",
        "%2Fetc",
        "%5c..%5ca",
        "a%00",
        "a" * 256,
        "/".join(["abc"] * 400),
        "\ud800",
    ],
)
def test_what_could_leave_its_root_is_refused(path):
    with pytest.raises(InvalidPathError):
        check_path(path)


@given(st.text(alphabet=st.sampled_from("ab./\\%2eEfF5cC0: \x00ü"), max_size=14))
@example("%25252e%25252e/x")
@example("a/%2e%2e%2f%2e%2e/b")
def test_an_accepted_path_stays_inside_even_when_decoded_again(path):
    try:
        check_path(path)
    except InvalidPathError:
        return
    for text in (path, quote(path, safe="%/")):
        assert posixpath.normpath(posixpath.join("/root", text)).startswith("/root/")
    assert posixpath.normpath(path) == path


@pytest.mark.parametrize(("given_", "meant"), [("", ""), ("outputs/", "outputs"), ("outputs", "outputs")])
def test_a_listing_may_name_the_root_or_end_in_a_slash(given_, meant):
    assert check_prefix(given_) == meant


@pytest.mark.parametrize("path", ["/", "../", "a//"])
def test_a_listing_cannot_leave_the_root(path):
    with pytest.raises(InvalidPathError):
        check_prefix(path)
