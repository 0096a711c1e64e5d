from __future__ import annotations

import pytest

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import InvalidPathError
from penstock.rules.trees import check_tree, tree_digest

DIGEST = "ab" * 32


def entry(path: str, size: int = 1) -> TreeEntry:
    return TreeEntry(path=path, digest=DIGEST, size=size)


def test_digests_are_pinned_because_old_trees_must_be_found():
    assert tree_digest(Tree()) == "133d101c1460ed96d35e3a72b8d542f5b211dfc945b57b60a492189b51483412"
    single = TreeEntry(path="a", digest=DIGEST, size=1, executable=True)
    assert (
        tree_digest(Tree(entries=(single,), is_file=True))
        == "8dccf25297445dccb668dfb00639a12a36bb23a242ab6622c30d56194d0f3024"
    )


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a", "a/b/c"], ["a/b", "a/b/c"], ["../a"], ["/a"], [""]])
def test_a_tree_that_no_folder_can_be_is_refused(paths):
    with pytest.raises(InvalidPathError):
        check_tree(Tree(entries=tuple(entry(path) for path in paths)))


@pytest.mark.parametrize("paths", [[], ["a", "b"], ["a/b"]])
def test_a_single_file_is_one_file(paths):
    with pytest.raises(InvalidPathError):
        check_tree(Tree(entries=tuple(entry(path) for path in paths), is_file=True))


def test_a_folder_is_accepted_as_it_was_listed():
    check_tree(Tree(entries=(entry("a-b"), entry("a/b"), entry("a/c d"), entry("ab"))))
    check_tree(Tree(entries=(entry("model.onnx"),), is_file=True))


def test_an_unsorted_tree_is_refused_because_its_digest_would_differ():
    with pytest.raises(InvalidPathError):
        check_tree(Tree(entries=(entry("b"), entry("a"))))
