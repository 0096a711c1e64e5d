from __future__ import annotations

import os

from penstock.agent.removal import remove_tree


def dig(folder, depth: int, name: str) -> None:
    """Make folders within folders, deeper than a path can say."""
    current = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=current)
        below = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(os.open("file", os.O_CREAT, dir_fd=current))
    os.close(current)


def test_a_deep_tree_is_removed(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    dig(root, 1500, "folder")
    for name in "abc":
        (root / name / "x").mkdir(parents=True)
        (root / name / "x" / "file").write_text("x")
    remove_tree(str(root))
    assert not root.exists()


def test_links_are_removed_and_not_followed(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "way").symlink_to(tmp_path / "kept")
    remove_tree(str(root))
    remove_tree(str(tmp_path / "way"))
    remove_tree(str(tmp_path / "none"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "way"]
    assert (tmp_path / "kept" / "file").exists()
