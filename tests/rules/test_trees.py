from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import InvalidPathError
from penstock.rules.trees import check_tree, make_tree, subtree, tree_digest

DIGEST = "ab" * 32


def entry(path: str, size: int = 1) -> TreeEntry:
    return TreeEntry(path=path, digest=DIGEST, size=size)


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c.txt", "ü"]), min_size=1, max_size=3).map("/".join), unique=True, max_size=6
)


@given(PATHS, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_files_were_found_in(paths, random):
    shuffled = list(paths)
    random.shuffle(shuffled)
    try:
        first = make_tree(entry(path) for path in paths)
    except InvalidPathError:
        with pytest.raises(InvalidPathError):
            make_tree(entry(path) for path in shuffled)
        return
    second = make_tree(entry(path) for path in shuffled)
    assert tree_digest(first) == tree_digest(second)
    assert Tree.model_validate_json(first.model_dump_json()) == first


def test_digests_are_pinned_because_old_trees_must_be_found():
    assert tree_digest(Tree()) == "133d101c1460ed96d35e3a72b8d542f5b211dfc945b57b60a492189b51483412"
    single = TreeEntry(path="a", digest=DIGEST, size=1, executable=True)
    assert (
        tree_digest(make_tree([single], is_file=True))
        == "8dccf25297445dccb668dfb00639a12a36bb23a242ab6622c30d56194d0f3024"
    )


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"], ["../a"], ["/a"], [""]])
def test_a_tree_that_no_folder_can_be_is_refused(paths):
    with pytest.raises(InvalidPathError):
        make_tree(entry(path) for path in paths)


@pytest.mark.parametrize("paths", [[], ["a", "b"], ["a/b"]])
def test_a_single_file_is_one_file(paths):
    with pytest.raises(InvalidPathError):
        make_tree((entry(path) for path in paths), is_file=True)


def test_an_unsorted_tree_is_refused_because_its_digest_would_differ():
    with pytest.raises(InvalidPathError):
        check_tree(Tree(entries=(entry("b"), entry("a"))))


def test_a_part_of_a_tree_is_a_tree():
    tree = make_tree([entry("m/model.onnx"), entry("m/x/labels.txt"), entry("mm")])
    assert subtree(tree, "") == tree
    part = subtree(tree, "m/")
    assert part is not None
    assert [one.path for one in part.entries] == ["model.onnx", "x/labels.txt"]
    single = subtree(tree, "m/model.onnx")
    assert single is not None
    assert single.is_file
    assert [one.path for one in single.entries] == ["model.onnx"]
    assert subtree(tree, "nothing") is None
    with pytest.raises(InvalidPathError):
        subtree(tree, "../m")
