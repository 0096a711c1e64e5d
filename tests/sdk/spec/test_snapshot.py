from __future__ import annotations

import os

import pytest

from penstock.entities.errors import InvalidPathError, UsageError
from penstock.sdk.spec.snapshot import list_code_files, list_files


def test_data_is_taken_whole_and_in_order(folder, write):
    for name in ("b.txt", "a/z.txt", "a/.hidden", "a.txt", "__pycache__/x.pyc"):
        write(name)
    assert list_files(folder) == ["__pycache__/x.pyc", "a.txt", "a/.hidden", "a/z.txt", "b.txt"]


def test_code_leaves_out_what_the_ignore_file_names(folder, write):
    for name in ("train.py", "data/big.bin", "notes.log", "__pycache__/x.pyc", ".git/HEAD", ".penstock/db/metadata.db"):
        write(name)
    assert list_code_files(folder) == ["data/big.bin", "notes.log", "train.py"]
    write(".gitignore", "*.log\n")
    assert list_code_files(folder) == [".gitignore", "data/big.bin", "train.py"]


def test_amlignore_takes_the_place_of_gitignore(folder, write):
    write("a.log")
    write("b.bin")
    write(".gitignore", "*.log\n")
    write(".amlignore", "*.bin\n")
    assert list_code_files(folder) == [".amlignore", ".gitignore", "a.log"]


def test_links_are_followed(folder, write):
    write("real/a.txt")
    (folder / "link").symlink_to("real")
    (folder / "b.txt").symlink_to("real/a.txt")
    assert list_files(folder) == ["b.txt", "link/a.txt", "real/a.txt"]


def test_a_link_into_a_circle_is_refused(folder, write):
    write("a/b.txt")
    (folder / "a/up").symlink_to("..")
    with pytest.raises(UsageError, match="circle"):
        list_files(folder)


def test_two_links_to_one_folder_are_no_circle(folder, write):
    write("a/b.txt")
    (folder / "c").symlink_to("a")
    (folder / "d").symlink_to("c")
    assert list_files(folder) == ["a/b.txt", "c/b.txt", "d/b.txt"]


def test_a_link_that_leads_nowhere_is_refused_unless_ignored(folder, write):
    (folder / "dead").symlink_to("nowhere")
    with pytest.raises(UsageError, match="leads nowhere"):
        list_files(folder)
    write(".amlignore", "dead\n")
    assert list_code_files(folder) == [".amlignore"]


def test_pipes_are_left_out(folder, write):
    write("a.txt")
    os.mkfifo(folder / "pipe")
    assert list_files(folder) == ["a.txt"]


def test_a_name_that_cannot_be_stored_is_refused(folder, write):
    write("a\\b")
    with pytest.raises(InvalidPathError, match="backslash"):
        list_files(folder)


def test_a_folder_that_is_not_there_is_a_usage_error(folder):
    with pytest.raises(UsageError, match="cannot be read"):
        list_files(folder / "nothing")
