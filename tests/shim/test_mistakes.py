"""A mistake in a call that logs is one line in the job's log, and never the end of a training."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.compute.environments.base import SHIM_FOLDER
from penstock.entities.errors import UsageError
from penstock.rules.run_keys import find_key_fault
from penstock.server.mlflow.limits import check_key
from penstock.shim import log
from penstock.shim.log.checks import checked_key


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Refusing:
    def __str__(self) -> str:
        raise Unspeakable

    def __float__(self) -> float:
        raise Unspeakable


WRONG: list[tuple[str, Any]] = [
    ("is None", lambda: log.log_metric("loss", None)),
    ("'half'", lambda: log.log_metric("s", "half")),
    ("1.5", lambda: log.log_metric("a", 1.0, step=1.5)),  # type: ignore[arg-type] # wrong on purpose
    ("a//b", lambda: log.log_metric("a//b", 1)),
    ("../x", lambda: log.log_metric("../x", 1)),
    ("missing", lambda: log.log_metric("loss")),  # type: ignore[call-arg] # wrong on purpose
    ("Unspeakable", lambda: log.log_metric("a", Refusing())),
    ("Unspeakable", lambda: log.log_param("a", Refusing())),
    ("mapping", lambda: log.log_params(3)),  # type: ignore[arg-type] # wrong on purpose
    ("'l[1]'", lambda: log.log_list("l", [1, "two"])),
    ("missing.txt", lambda: log.log_artifact("missing.txt")),
    ("missing", lambda: log.log_artifacts("missing")),
    ("../e", lambda: log.log_text("x", "../e")),
    ("figure", lambda: log.log_figure(3, "a.png")),
    ("image", lambda: log.log_image("x", np.zeros(3))),
    ("table", lambda: log.log_table("x", 3)),
    ("y_true", lambda: log.log_confusion_matrix("c", y_true=[1, 2], y_pred=[1])),
    ("list", lambda: log.log_residuals("c")),
    ("matrix", lambda: log.log_confusion_matrix("c", {})),
    ("the step is a whole number, not 'x'", lambda: log.log_metric("z", 1, step="x")),  # type: ignore[arg-type] # wrong on purpose
    (
        'the "data" of Azure ML\'s dictionary is a dictionary too, not int',
        lambda: log.log_accuracy_table("t", {"data": 1}),
    ),
    ("y_true has 1 values and y_pred 2", lambda: log.log_confusion_matrix("c", y_true=[1], y_pred=[1, 2])),
    ("y_true has 1 values and y_score 2", lambda: log.log_accuracy_table("c", y_true=[1], y_score=[1, 2])),
    ("the value of 'big' is beyond what a float can say and is kept as inf", lambda: log.log_metric("big", 10**400)),
    ("a value of the type object is no JSON", lambda: log.log_dict({1: object()}, "a.json")),
]


@pytest.mark.parametrize(("words", "call"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_mistake_is_one_line_that_says_where_and_what(job, caplog, words, call):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            call()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"tests/shim/test_mistakes.py:{call.__code__.co_firstlineno}: penstock.log_")
    assert words in said
    assert "\n" not in said


def test_what_can_be_taken_is_taken(job, caplog):
    with caplog.at_level(logging.WARNING):
        log.log_metric("text", "1.5")
        log.log_metric("array", np.array([[2.5]]))
        log.log_metric("step", 1, step=3.0)  # type: ignore[arg-type] # a float that is whole
        log.log_metric("step", 2, step=np.float64(4))  # type: ignore[arg-type] # a float that is whole
        log.log_metrics({"good": 1, "bad": None, "../x": 3, "also": "2"})
        log.log_list("list", [1, None, 3])
        log.log_row("row", x=1, y="none")
        log.log_params({"a": 1, "": 2, "b": 3})
    assert job.values("metric") == [
        *[["text", 1.5, 0], ["array", 2.5, 0], ["step", 1.0, 3], ["step", 2.0, 4]],
        *[["good", 1.0, 0], ["also", 2.0, 0], ["list", 1.0, 0], ["list", 3.0, 2], ["row.x", 1.0, 0]],
    ]
    assert job.values("param") == [["a", "1"], ["b", "3"]]
    assert len(caplog.records) == 5


def test_another_value_of_a_param_is_said_and_left_out(job, caplog):
    with caplog.at_level(logging.WARNING):
        log.log_param("p", 1)
        log.log_param("p", "1")
        log.log_params({"p": 2, "q": 1})
    assert job.values("param") == [["p", "1"], ["p", "1"], ["q", "1"]]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "'p' is '1' and keeps it" in said


def test_either_order_of_arguments_is_taken_where_types_tell(job, strict):
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    log.log_figure("one.png", figure)  # type: ignore[arg-type] # the order of Azure ML
    log.log_figure(figure, "two.png")
    pyplot.close(figure)
    log.log_dict("one.json", {"a": 1})  # type: ignore[arg-type] # the order of Azure ML
    log.log_image(np.zeros((2, 2)), "picture.png")  # type: ignore[arg-type] # the order of MLflow
    log.log_table({"a": [1]}, "table.json")  # type: ignore[arg-type] # the order of MLflow
    assert job.values("artifact") == ["one.png", "two.png", "one.json", "picture.png", "table.json"]


def test_repeated_mistakes_are_counted_at_the_end_and_their_number_is_bounded(job):
    program = (
        "import os, penstock\n"
        "for n in range(5): penstock.log_metric('a', None)\n"
        "for n in range(300): penstock.log_metric('a%d' % n, None)\n"
        "if os.fork() == 0:\n"
        "    penstock.log_metric('b', None)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SHIM_FOLDER), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 100 + 1 + 2
    assert lines[0].startswith("<string>:2: penstock.log_metric: the value of 'a' is None")
    assert lines[-2] == lines[0] + " [5 times in all]"
    assert lines[-1].startswith("further mistakes")


def test_a_handler_that_raises_ends_no_training(job, capsys):
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError

    handler = Broken()
    logging.getLogger("penstock").addHandler(handler)
    try:
        log.log_metric("a", None)
    finally:
        logging.getLogger("penstock").removeHandler(handler)
    assert "is None" in capsys.readouterr().err


def test_what_ends_a_program_still_ends_it(job):
    class Interrupting:
        def __float__(self) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.log_metric("a", Interrupting())


@given(st.text(st.sampled_from("ab./ :-_é\\\n#"), max_size=8) | st.text(max_size=6) | st.just("x" * 251))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_one_rule_says_what_a_name_is(key):
    def is_taken(check: Any, error: type[Exception]) -> bool:
        try:
            check(key)
        except error:
            return False
        return True

    taken = is_taken(check_key, UsageError)
    assert is_taken(checked_key, ValueError if key else TypeError) is taken
    assert (find_key_fault(key) is None) is taken
