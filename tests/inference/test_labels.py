from __future__ import annotations

import pytest

from penstock.entities.errors import SpecError
from penstock.inference.labels import find_labels, read_labels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "cat\ndog \n\n"),
        ("labels.txt", "\ufeffcat\r\ndog\r\n"),
        ("labels.txt", "0 cat\n1 dog\n"),
        ("labels.txt", "0: cat\n1: dog\n"),
        ("synset.txt", "n02121808 cat\nn02084071 dog\n"),
        ("labels.json", '["cat", "dog"]'),
        ("labels.json", '{"1": "dog", "0": "cat"}'),
        ("labels.json", '{"dog": 1, "cat": 0}'),
        ("labels.json", '{"0": ["n02121808", "cat"], "1": ["n02084071", "dog"]}'),
        ("labels.json", '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}'),
        ("labels.csv", "cat\ndog\n"),
        ("labels.csv", "index,name\n1,dog\n0,cat\n"),
        ("labels.csv", "id,label\nn02121808,cat\nn02084071,dog\n"),
        ("labels.csv", "0,cat\n1,dog\n"),
    ],
)
def test_every_common_form_is_read(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_labels(tmp_path) == ("cat", "dog")


def test_lines_that_only_look_like_numbers_stay(tmp_path):
    (tmp_path / "labels.txt").write_text("2 doors\n4 doors\n")
    assert read_labels(tmp_path) == ("2 doors", "4 doors")


def test_the_named_file_wins(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "german.txt").write_text("Katze\nHund\n")
    assert read_labels(tmp_path, "german.txt") == ("Katze", "Hund")
    assert read_labels(tmp_path) == ("a", "b")


def test_a_name_that_is_not_there_is_a_problem_with_the_nearest(tmp_path):
    (tmp_path / "labels.txt").write_text("a\n")
    for name in ("label.txt", "../labels.txt", "/etc/passwd"):
        with pytest.raises(SpecError) as caught:
            find_labels(tmp_path, name)
        assert caught.value.problems[0].pointer == "/labels"
    with pytest.raises(SpecError, match=r'Did you mean "labels\.txt"'):
        find_labels(tmp_path, "label.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", b"{"),
        ("labels.json", b"3"),
        ("labels.json", b'{"1": "dog"}'),
        ("labels.json", b'[{"a": 1}]'),
        ("labels.json", b'{"a": "b"}'),
        ("labels.csv", b"index,name\n1,dog\n"),
        ("labels.txt", b"\xff\xfe\xff"),
    ],
)
def test_what_is_no_label_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match="not a file of labels") as caught:
        read_labels(tmp_path)
    assert name in str(caught.value)
