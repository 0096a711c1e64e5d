"""MLflow's filters and orders; what is accepted and refused was asked of its own server."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import UsageError
from penstock.rules.filters import mlflow
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Op, OrderKey, Scope

LOSS, LR, USER = Field(Scope.METRIC, "loss"), Field(Scope.PARAM, "lr"), Field(Scope.TAG, "mlflow.user")


def attribute(name: str) -> Field:
    return Field(Scope.ATTRIBUTE, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.loss < 0.5", Comparison(LOSS, Op.LT, 0.5)),
        ("metric.`loss`>=1", Comparison(LOSS, Op.GE, 1.0)),
        ("`metrics`.loss = -.5", Comparison(LOSS, Op.EQ, -0.5)),
        ('metrics."loss" != 1E-5', Comparison(LOSS, Op.NE, 1e-5)),
        ("metrics.`a b/c` > 5.", Comparison(Field(Scope.METRIC, "a b/c"), Op.GT, 5.0)),
        ("metrics.损失 > 1e400", Comparison(Field(Scope.METRIC, "损失"), Op.GT, float("inf"))),
        ("params.lr = '0.1'", Comparison(LR, Op.EQ, "0.1")),
        ('param.lr = "0.1"', Comparison(LR, Op.EQ, "0.1")),
        ("parameters.lr like '0.%'", Comparison(LR, Op.LIKE, "0.%")),
        ("params.lr is null", Comparison(LR, Op.IS_NULL)),
        ("params.lr IS not NULL", Comparison(LR, Op.IS_NOT_NULL)),
        ("tags.mlflow.user = 'it''s'", Comparison(USER, Op.EQ, "it''s")),
        ("tags.`mlflow.user` = 'a\\'b'", Comparison(USER, Op.EQ, "a\\'b")),
        ("tags.a = ''", Comparison(Field(Scope.TAG, "a"), Op.EQ, "")),
        ("start_time > 5", Comparison(attribute("start_time"), Op.GT, 5)),
        ("created <= 5.5", Comparison(attribute("start_time"), Op.LE, 5.5)),
        ("run.`Run Name` ILIKE 'a'", Comparison(attribute("run_name"), Op.ILIKE, "a")),
        ("\"run name\" = 'a'", Comparison(attribute("run_name"), Op.EQ, "a")),
        ("run_id IN ('a', \"b\",)", Comparison(attribute("run_id"), Op.IN, ("a", "b"))),
        ("attr.run_id not in ('a' 'b')", Comparison(attribute("run_id"), Op.NOT_IN, ("ab",))),
        ("run_id IN (('a\\n'))", Comparison(attribute("run_id"), Op.IN, ("a\n",))),
        ("datasets.name IN ('d')", Comparison(Field(Scope.DATASET, "name"), Op.IN, ("d",))),
        ("", None),
        ("AND", None),
    ],
)
def test_a_clause_of_runs(text: str, expected: Condition | None) -> None:
    assert mlflow.parse_run_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "status = 'a' AND metrics.loss < 1",
        "status='a'metrics.loss<1",
        "and status = 'a' and and\nmetrics.loss < 1 AND ",
    ],
)
def test_clauses_are_joined_by_and_which_may_be_missing(text: str) -> None:
    both = (Comparison(attribute("status"), Op.EQ, "a"), Comparison(LOSS, Op.LT, 1.0))
    assert mlflow.parse_run_filter(text) == And(both)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "  ",
            "(metrics.loss > 1)",
            "NOT metrics.loss > 1",
            "metrics.loss > 1 OR metrics.loss < 0",
            "metrics.loss > 1;",
        ),
        *(
            "metrics.loss > 1_0",
            "metrics.loss > +0.5",
            "metrics.loss > 0x1F",
            "metrics.loss > NaN",
            "metrics.loss > 1e+5",
        ),
        *(
            "metrics.loss > '1'",
            "metrics.loss > - 5",
            "metrics.1 > 1",
            "metrics.a-b > 1",
            "metrics.a/b > 1",
            "metrics.a:b > 1",
        ),
        *(
            "metrics.loss == 1",
            "metrics.loss <> 1",
            "metrics.loss IS NULL",
            "metrics.loss IN (1)",
            "metrics.loss LIKE '1'",
        ),
        *(
            "params.lr > '1'",
            "params.lr = 1",
            "params.lr = x",
            "params.lr = `x`",
            "params.lr IN ('x')",
            "params.lr NOT LIKE 'x'",
        ),
        *(
            "params.lr IS NOT  NULL",
            "params.lr IS",
            "params.lr = 'x' 'y'",
            "params.lr = 'x",
            "params.lr",
            "= 'x'",
            "'x' = 'y'",
        ),
        *(
            "status IN ('x')",
            "name = 'x'",
            "lifecycle_stage = 'x'",
            "Params.lr = 'x'",
            "metrics .loss > 1",
            "run_id > 'x'",
        ),
        *(
            "run_id IN ()",
            "run_id IN (1)",
            "run_id IN (a)",
            "run_id IN ('a'",
            "run_id IN 'a'",
            "run_id = ('a')",
            "run_id IN (,)",
        ),
        *(
            "start_time > '5'",
            "start_time IN ('5')",
            "dataset.colour = 'x'",
            "dataset.name IS NULL",
            "dataset.name > 'x'",
        ),
        *(
            "metrics.loss BETWEEN 1 AND 2",
            "metrics.loss > 1 -- x",
            "params.lr = 'x', params.b = 'y'",
            "1 < metrics.loss",
        ),
    ],
)
def test_what_a_filter_of_runs_cannot_say(text: str) -> None:
    with pytest.raises(UsageError):
        mlflow.parse_run_filter(text)


@pytest.mark.parametrize(
    ("text", "field", "is_descending"),
    [
        ("metrics.loss", LOSS, False),
        ("metrics.loss  DeSc", LOSS, True),
        ("metric.`loss` asc", LOSS, False),
        ('metrics."a b" DESC', Field(Scope.METRIC, "a b"), True),
        ("Created desc", attribute("start_time"), True),
        ("run.run_id", attribute("run_id"), False),
    ],
)
def test_an_order_of_runs(text: str, field: Field, is_descending: bool) -> None:
    assert mlflow.parse_run_order([text]) == (OrderKey(field, is_descending),)


@pytest.mark.parametrize(
    "texts",
    [
        *(
            [" metrics.loss"],
            ["metrics.loss "],
            ["metrics.loss foo"],
            ["metrics.loss DESC NULLS LAST"],
            [""],
            ["colour"],
        ),
        *(["run name"], ["`run name`"], ["dataset.name"], ["metrics.a, metrics.b"], ["metrics.a-b"], ["metrics. a"]),
        *(["metric.loss", "metrics.loss DESC"], ["created", "start_time"]),
    ],
)
def test_what_an_order_of_runs_cannot_say(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        mlflow.parse_run_order(texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name LIKE 'a%'", Comparison(attribute("name"), Op.LIKE, "a%")),
        ("attribute.`name` = 'a'", Comparison(attribute("name"), Op.EQ, "a")),
        ("experiment_id IN (' 1', '2')", Comparison(attribute("experiment_id"), Op.IN, ("1", "2"))),
        ("experiment_id not in ('1')", Comparison(attribute("experiment_id"), Op.NOT_IN, ("1",))),
        ("creation_time > 5", Comparison(attribute("creation_time"), Op.GT, 5)),
        ("tags.a is null", Comparison(Field(Scope.TAG, "a"), Op.IS_NULL)),
    ],
)
def test_a_clause_of_experiments(text: str, expected: Condition) -> None:
    assert mlflow.parse_experiment_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "name like 'a'",
            "tags.a like 'a'",
            "experiment_id in ('1')",
            "experiment_id = 'x'",
            "experiment_id LIKE '1'",
        ),
        *("attributes.name = 'a'", "attr.name = 'a'", "`tags`.a = 'a'", "creation_time > 1.5", "name IS NULL"),
        *("metrics.a > 1", "tags.a IN ('a')", "name IN ('a')", "experiment_id = 1"),
    ],
)
def test_what_a_filter_of_experiments_cannot_say(text: str) -> None:
    with pytest.raises(UsageError):
        mlflow.parse_experiment_filter(text)


def test_orders_of_experiments_are_of_attributes() -> None:
    wanted = (OrderKey(attribute("name")), OrderKey(attribute("creation_time"), is_descending=True))
    assert mlflow.parse_experiment_order(["name", "attribute.creation_time DESC"]) == wanted
    with pytest.raises(UsageError):
        mlflow.parse_experiment_order(["tags.a"])


@pytest.mark.parametrize(
    ("parse", "text", "is_accepted"),
    [
        (mlflow.parse_model_filter, "name like 'a'", True),
        (mlflow.parse_model_filter, "name IN ('a','b')", True),
        (mlflow.parse_model_filter, "tags.`a` != 'b'", True),
        (mlflow.parse_model_filter, "`name` = 'a'", False),
        (mlflow.parse_model_filter, "name = ('a')", False),
        (mlflow.parse_model_filter, "tags.a IS NULL", False),
        (mlflow.parse_model_filter, "run_id = 'a'", False),
        (mlflow.parse_version_filter, "version_number >= 2", True),
        (mlflow.parse_version_filter, "version_number = '2'", True),
        (mlflow.parse_version_filter, "version_number = 2.0", False),
        (mlflow.parse_version_filter, "version_number IN ('2')", False),
        (mlflow.parse_version_filter, "run_id IN ('a')", True),
        (mlflow.parse_version_filter, "source_path IN ('a')", False),
        (mlflow.parse_version_filter, "stage = 'a'", False),
        (mlflow.parse_logged_model_filter, "name = x", True),
        (mlflow.parse_logged_model_filter, "attributes.name LIKE 'x'", True),
        (mlflow.parse_logged_model_filter, "creation_time > 1.5", True),
        (mlflow.parse_logged_model_filter, "attributes.creation_time > 1", False),
        (mlflow.parse_logged_model_filter, "metric.a > 1", False),
        (mlflow.parse_logged_model_filter, "metrics.a > '1'", False),
        (mlflow.parse_logged_model_filter, "tags.a IS NULL", False),
        (mlflow.parse_logged_model_filter, "colour = 'x'", False),
    ],
)
def test_the_other_searches(parse: Any, text: str, is_accepted: bool) -> None:
    if is_accepted:
        assert isinstance(parse(text), Comparison)
    else:
        with pytest.raises(UsageError):
            parse(text)


def test_logged_models_keep_double_quotes_and_name_their_times_alike() -> None:
    assert mlflow.parse_logged_model_filter('name = "x"') == Comparison(attribute("name"), Op.EQ, '"x"')
    assert mlflow.parse_logged_model_filter("creation_timestamp_ms > 1") == Comparison(
        attribute("creation_timestamp"), Op.GT, 1.0
    )


def test_orders_of_the_registry() -> None:
    by_time = OrderKey(attribute("last_updated_timestamp"), is_descending=True)
    assert mlflow.parse_model_order(["timestamp DESC", "name"]) == (by_time, OrderKey(attribute("name")))
    assert mlflow.parse_version_order(["last_updated_timestamp DESC"]) == (by_time,)
    for refused in (["timestamp", "last_updated_timestamp"], ["`name`"], ["creation_timestamp"]):
        with pytest.raises(UsageError):
            mlflow.parse_model_order(refused)
    for refused in (["timestamp"], ["name", "name"], ["tags.name"]):
        with pytest.raises(UsageError):
            mlflow.parse_version_order(refused)


def test_a_refusal_names_the_column_and_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        mlflow.parse_run_filter("metrics.loss < 1 AND stauts = 'x'")
    assert "column 22" in caught.value.message
    assert caught.value.hint == 'Did you mean "status"?'


PIECES = st.sampled_from(
    [
        "metrics.",
        "params.a",
        "tags.`a b`",
        "run_id",
        " IN ",
        " NOT IN ",
        "(",
        ")",
        "'x'",
        '"',
        "'",
        "`",
        "=",
        "<",
        " AND ",
        "1.5",
        ",",
        ".",
    ]
)


@given(st.text(max_size=30) | st.lists(PIECES | st.text(max_size=2), max_size=9).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    parsers: list[Any] = [
        mlflow.parse_run_filter,
        mlflow.parse_experiment_filter,
        mlflow.parse_model_filter,
        mlflow.parse_version_filter,
        mlflow.parse_logged_model_filter,
        lambda text: mlflow.parse_run_order([text]),
        lambda text: mlflow.parse_model_order([text]),
        lambda text: mlflow.parse_version_order([text]),
        lambda text: mlflow.parse_experiment_order([text]),
    ]
    for parse in parsers:
        with suppress(UsageError):
            parse(text)
