from __future__ import annotations

import ast
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from penstock.compute.environments.base import SHIM_FOLDER
from penstock.shim import log, spool

SOURCES = sorted(Path(spool.__file__).parent.rglob("*.py"))


def test_metrics_have_a_time_and_count_their_steps(job):
    before = time.time_ns() // 1_000_000
    log.log_metric("loss", 0.5)
    log.log_metric("loss", np.float32(0.25))
    log.log_metric("loss", 1, step=10)
    log.log_metric("loss", True)
    log.log_metrics({"a": 1, "b": 2}, step=3)
    assert job.values("metric") == [
        ["loss", 0.5, 0],
        ["loss", 0.25, 1],
        ["loss", 1.0, 10],
        ["loss", 1.0, 11],
        ["a", 1.0, 3],
        ["b", 2.0, 3],
    ]
    assert all(before <= event["t"] <= before + 60_000 for event in job.events)


def test_values_that_json_lacks_are_words(job):
    for value in (float("nan"), float("inf"), -np.inf):
        log.log_metric("x", value)
    assert [value for _, value, _ in job.values("metric")] == ["NaN", "Infinity", "-Infinity"]


def test_params_and_tags_are_text(job):
    log.log_params({"lr": 0.1, "layers": [1, 2]})
    log.log_param("none", None)
    log.set_tags({"owner": "Ä", "n": 1})
    assert job.values("param") == [["lr", "0.1"], ["layers", "[1, 2]"], ["none", "None"]]
    assert job.values("tag") == [["owner", "Ä"], ["n", "1"]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: log.log_metric("x", "half"),
        lambda: log.log_metric("x", np.arange(2)),
        lambda: log.log_metric("x", b"1"),
        lambda: log.log_metric("x", None),
        lambda: log.log_metric(3, 0.5),  # type: ignore[arg-type] # wrong on purpose
        lambda: log.log_metric("x", 0.5, step=1.5),  # type: ignore[arg-type] # wrong on purpose
        lambda: log.log_metrics([1, 2]),  # type: ignore[arg-type] # wrong on purpose
        lambda: log.log_param("", 1),
        lambda: log.log_text(b"x", "a.txt"),  # type: ignore[arg-type] # wrong on purpose
        lambda: log.log_image("x", object()),
        lambda: log.log_table("x", 3),
        lambda: log.log_list("x", "123"),
        lambda: log.log_figure(3, "a.png"),
    ],
)
def test_a_wrong_type_is_told_to_the_caller_and_nothing_is_logged(strict, job, call):
    with pytest.raises(TypeError):
        call()
    assert job.events == []


def test_a_batch_with_one_wrong_value_logs_none(strict, job):
    with pytest.raises(TypeError):
        log.log_metrics({"a": 1, "b": "two"})
    assert job.events == []


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "", "a/../../b", "a\\b"])
def test_artifact_paths_stay_inside(strict, job, path):
    with pytest.raises(ValueError, match="artifact"):
        log.log_text("x", path)


def test_texts_dictionaries_and_files_are_kept(strict, job, tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f.bin").write_bytes(b"\0" * 100_000)
    log.log_text("naïve", "notes/a.txt")
    log.log_dict({"a": np.arange(3), "b": np.float64(0.5)}, "a.json")
    log.log_artifact(tmp_path / "d" / "e" / "f.bin")
    log.log_artifact(tmp_path / "d", "whole")
    log.log_artifacts(tmp_path / "d", "inner")
    assert job.artifact("notes/a.txt") == "naïve".encode()
    assert json.loads(job.artifact("a.json")) == {"a": [0, 1, 2], "b": 0.5}
    for path in ("f.bin", "whole/d/e/f.bin", "inner/e/f.bin"):
        assert job.artifact(path) == b"\0" * 100_000
    with pytest.raises(FileNotFoundError):
        log.log_artifact(tmp_path / "none")


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.linspace(0, 1, 12).reshape(3, 4), "L"),
        (np.arange(12, dtype=np.uint8).reshape(3, 4), "L"),
        (np.arange(12, dtype=np.int64).reshape(3, 4, 1), "L"),
        (np.arange(36, dtype=np.uint8).reshape(3, 4, 3)[:, ::-1], "RGB"),
        (np.arange(48, dtype=np.float32).reshape(3, 4, 4) / 47, "RGBA"),
        (np.array([[True, False]]), "L"),
        (np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4)), "L"),
        ([[0, 128], [255, 3]], "L"),
        ([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.25]]], "RGB"),
        ([[True, False]], "L"),
    ],
)
def test_an_array_becomes_the_picture_pillow_reads(job, array, mode):
    log.log_image("x", array)
    expected = np.asarray(array)
    if expected.dtype.kind == "f":
        expected = np.floor(expected * 255 + 0.5) if isinstance(array, list) else np.round(expected * 255.0)
    elif expected.dtype.kind == "b":
        expected = expected * 255
    read_mode, read = job.picture("images/x.png")
    assert read_mode == mode
    np.testing.assert_array_equal(read, expected.reshape(read.shape).astype(np.uint8))


def test_values_out_of_range_are_clipped(job):
    log.log_image("f", np.array([[-1.0, 2.0, np.nan]]))
    log.log_image("i", np.array([[-5, 300]]))
    log.log_image("l", [[-1.0, 2.0, float("nan")]])
    assert job.picture("images/f.png")[1].tolist() == [[0, 255, 0]]
    assert job.picture("images/i.png")[1].tolist() == [[0, 255]]
    assert job.picture("images/l.png")[1].tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2, 5)), np.zeros((0, 3)), [[1, 2], [3]], [], [[], []]])
def test_another_shape_is_refused(strict, job, array):
    with pytest.raises(ValueError, match="image"):
        log.log_image("x", array)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "F"])
def test_pillow_images_of_any_mode_are_kept(job, mode):
    log.log_image("x", Image.new("RGB", (4, 3), (255, 0, 0)).convert(mode))
    assert job.picture("images/x.png")[1].shape[:2] == (3, 4)


def test_figures_are_kept(job):
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([0, 1])
    log.log_image("curve", figure)
    log.log_image("plot", pyplot)
    log.log_figure(figure, "figures/curve.svg")
    pyplot.close(figure)
    assert job.picture("images/curve.png")[0] == "RGBA"
    assert job.picture("images/plot.png")[0] == "RGBA"
    assert b"<svg" in job.artifact("figures/curve.svg")


def test_a_picture_file_is_copied_and_names_may_be_paths(strict, job, tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "a.jpg")
    log.log_image("photo", tmp_path / "a.jpg")
    log.log_image("confusion.png", [[0]])
    log.log_image("grid", [[0]], step=7)
    assert job.artifact("images/photo.jpg") == (tmp_path / "a.jpg").read_bytes()
    assert job.values("artifact") == ["images/photo.jpg", "confusion.png", "images/grid/7.png"]
    with pytest.raises(FileNotFoundError):
        log.log_image("x", "none.png")


@pytest.mark.parametrize("size", [1, 3, 10, 30, 150])
def test_a_confusion_matrix_is_data_and_a_picture(job, size):
    matrix = np.eye(size, dtype=int) * 17
    log.log_confusion_matrix("cm", matrix, labels=range(size))
    document = json.loads(job.artifact("confusion_matrix/cm.json"))
    assert document["data"] == {"class_labels": [str(n) for n in range(size)], "matrix": matrix.tolist()}
    mode, pixels = job.picture("confusion_matrix/cm.png")
    assert mode == "RGB"
    assert max(pixels.shape) < 1300
    assert min(pixels.shape[:2]) >= 480


def test_azures_confusion_matrix_and_odd_values_are_drawn(strict, job):
    rows = [[0, 123456789, 5], [0.25, 12345, -1], [0, 0, 0]]
    log.log_confusion_matrix("cm", {"schema_type": "confusion_matrix", "data": {"class_labels": "abc", "matrix": rows}})
    assert json.loads(job.artifact("confusion_matrix/cm.json"))["data"]["class_labels"] == ["a", "b", "c"]
    for wrong in ([[1, 2]], [], [[1, 2], [3]]):
        with pytest.raises(ValueError, match="square"):
            log.log_confusion_matrix("cm", wrong)
    with pytest.raises(ValueError, match="labels"):
        log.log_confusion_matrix("cm", [[1]], labels=["a", "b"])


def test_tables_lists_and_rows(strict, job):
    expected = {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
    log.log_table("t", {"a": np.array([1, 2]), "b": ["x", "y"]})
    assert json.loads(job.artifact("tables/t.json")) == expected
    log.log_table("t.json", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    assert json.loads(job.artifact("t.json")) == expected
    log.log_table("one", {"a": 1})
    assert json.loads(job.artifact("tables/one.json")) == {"columns": ["a"], "data": [[1]]}
    with pytest.raises(ValueError, match="equal"):
        log.log_table("t", {"a": [1], "b": [1, 2]})
    log.log_list("l", (0.5, 0.25))
    log.log_row("r", x=1, y=2)
    log.log_row("r", x=3, y=4)
    assert job.values("metric") == [
        ["l", 0.5, 0],
        ["l", 0.25, 1],
        ["r.x", 1.0, 0],
        ["r.y", 2.0, 0],
        ["r.x", 3.0, 1],
        ["r.y", 4.0, 1],
    ]


def _log_many(name: str) -> None:
    for step in range(500):
        log.log_metric(name, step, step=step)


def test_lines_of_threads_and_processes_stay_whole_and_ordered(job):
    log.log_metric("first", 0)
    context = multiprocessing.get_context("spawn")
    workers: list[Any] = [threading.Thread(target=_log_many, args=(f"thread{n}",)) for n in range(4)]
    workers += [context.Process(target=_log_many, args=(f"process{n}",)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    metrics = job.values("metric")
    assert len(metrics) == 3001
    for name in {name for name, _, _ in metrics} - {"first"}:
        assert [step for other, _, step in metrics if other == name] == list(range(500))


def test_outside_a_job_calls_warn_once_and_go_on(monkeypatch, caplog):
    monkeypatch.delenv("PENSTOCK_SPOOL", raising=False)
    monkeypatch.setattr(spool, "_warned", set())
    with caplog.at_level(logging.WARNING):
        log.log_metric("a", 1)
        log.log_image("a", [[0]])
        log.log_artifact(__file__)
        log.set_tag("a", 1)
    assert len(caplog.records) == 1
    assert "no Penstock job" in caplog.text


def test_a_full_disk_never_reaches_the_training(job, caplog, monkeypatch):
    (job.folder / "events.jsonl").symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            log.log_metric("a", 1)
    assert [record.getMessage() for record in caplog.records] == [
        "what was logged could not be kept: [Errno 28] No space left on device"
    ]
    monkeypatch.setattr(spool, "_current", None)
    (job.folder / "artifacts").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        log.log_text("x", "folder/a.txt")
    assert "could not be kept" in caplog.records[-1].getMessage()


def test_what_is_too_large_is_cut_or_left_out_and_said_once(job, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            log.log_metric("step", 1, step=2**63)
            log.log_metric("step", 2, step=-(2**63) - 1)
            log.log_metric("step", 3, step=10**400)
            log.log_metric("m" * 251, 4)
            log.log_param("p" * 251, 4)
            log.set_tag("t" * 251, 4)
            log.log_param("long", "x" * 6001)
            log.set_tag("long", "x" * 8001)
    assert job.values("metric") == []
    assert job.values("param") == [["long", "x" * 6000]] * 2
    assert job.values("tag") == [["long", "x" * 8000]] * 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) == 8
    assert max(map(len, said)) < 200


def test_what_is_just_small_enough_is_kept(job, caplog):
    log.log_metric("m" * 250, 1, step=2**63 - 1)
    log.log_metric("low", 1, step=-(2**63))
    log.log_param("p" * 250, "x" * 6000)
    log.set_tag("t" * 250, "x" * 8000)
    assert [step for _, _, step in job.values("metric")] == [2**63 - 1, -(2**63)]
    assert len(job.events) == 4
    assert caplog.records == []


def test_numbers_of_any_size_are_logged(job):
    log.log_metric("huge", 10**400)
    log.log_metric("huge", -(10**400))
    log.log_param("huge", 10**5000)
    assert [value for _, value, _ in job.values("metric")] == ["Infinity", "-Infinity"]
    assert job.values("param")[0][1].startswith("0x")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_shim_is_written_for_python_3_9(source):
    ast.parse(source.read_text("utf-8"), feature_version=(3, 9))


def test_the_shim_imports_the_standard_library_alone():
    program = (
        f"import sys; sys.path.insert(0, {str(SHIM_FOLDER)!r}); import penstock\n"
        "penstock.log_metric('a', 1)\n"
        "assert not hasattr(penstock, 'Workspace')\n"
        "print(penstock.__file__, *sorted(n for n in sys.modules if n.startswith('penstock')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    words = done.stdout.split()
    assert words[0] == str(SHIM_FOLDER / "penstock" / "__init__.py")
    assert words[1:] == [
        "penstock",
        "penstock.shim",
        "penstock.shim.absent",
        "penstock.shim.context",
        "penstock.shim.log",
        "penstock.shim.log.charts",
        "penstock.shim.log.checks",
        "penstock.shim.log.files",
        "penstock.shim.log.values",
        "penstock.shim.mistakes",
        "penstock.shim.spool",
    ]
