"""Penstock's own filters: what they say, how they are refused, and that text and tree are one thing."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.stores.metadata.run_filters import conditions

from penstock.entities.errors import UsageError
from penstock.rules.filters.extended import parse_filter, parse_order
from penstock.rules.filters.mlflow import parse_run_filter
from penstock.rules.filters.text import to_text
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, OrderKey, Scope

# The grammar takes only the states there are; generated texts are none.
CHOSEN = re.compile(r"key='(status|lifecycle_stage)'\), op=<Op\.(EQ|NE|IN|NOT_IN):")
LOSS, LR = Field(Scope.METRIC, "loss"), Field(Scope.PARAM, "lr")
A, B, C = (Comparison(Field(Scope.TAG, key), Op.EQ, "x") for key in "abc")


def attribute(name: str) -> Field:
    return Field(Scope.ATTRIBUTE, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags.a='x' or tags.b='x' and tags.c='x'", Or((A, And((B, C))))),
        ("(tags.a='x' OR tags.b='x') AND tags.c='x'", And((Or((A, B)), C))),
        ("NOT tags.a='x' AND tags.b='x'", And((Not(A), B))),
        ("NOT (tags.a='x' AND tags.b='x')", Not(And((A, B)))),
        ("not not tags.a='x'", Not(Not(A))),
        ("metrics.loss IN (1, 2.5,)", Comparison(LOSS, Op.IN, (1.0, 2.5))),
        ("params.lr NOT IN ('a', \"b\")", Comparison(LR, Op.NOT_IN, ("a", "b"))),
        ("params.lr MATCHES '^a.*'", Comparison(LR, Op.MATCHES, "^a.*")),
        ("params.lr > '0.5'", Comparison(LR, Op.GT, "0.5")),
        ("params.lr NOT LIKE 'a%'", And((Comparison(LR, Op.IS_NOT_NULL), Not(Comparison(LR, Op.LIKE, "a%"))))),
        ("metrics.loss IS NULL", Comparison(LOSS, Op.IS_NULL)),
        ("end_time is  not  null", Comparison(attribute("end_time"), Op.IS_NOT_NULL)),
        ("start_time >= '2026-01-01'", Comparison(attribute("start_time"), Op.GE, 1767225600000)),
        ("start_time < '2026-01-01T01:00:00+01:00'", Comparison(attribute("start_time"), Op.LT, 1767225600000)),
        ("start_time < 1767225600000", Comparison(attribute("start_time"), Op.LT, 1767225600000)),
        ("duration > '1h30m'", Comparison(attribute("duration"), Op.GT, 5_400_000)),
        ("duration > '1.5s'", Comparison(attribute("duration"), Op.GT, 1500)),
        ("experiment_id = 7", Comparison(attribute("experiment_id"), Op.EQ, "7")),
        (r"params.lr = E'it\u0027s'", Comparison(LR, Op.EQ, "it's")),
        ("params.lr == 'a'", Comparison(LR, Op.EQ, "a")),
        ("", None),
        ("  \n", None),
    ],
)
def test_what_a_filter_says(text: str, expected: Condition | None) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("metrics.loss < 1 AND stauts = 'x'", "column 22: runs have no attribute", 'Did you mean "status"?'),
        ("metrik.loss < 1", 'column 1: runs have no "metrik"', 'Did you mean "metric" or "metrics"?'),
        ("metrics.loss < '1'", "column 16: metrics compare with numbers", ""),
        ("metrics.loss LIKE '1'", "column 14: 'LIKE' stands where one of =, !=", ""),
        ("params.lr = 0.1", "column 13: params compare with texts; write '0.1'", "Texts compare"),
        ("(metrics.loss < 1", "column 18: the end stands where the parenthesis of column 1", ""),
        ("metrics.loss < 1)", "column 17: ')' stands where AND, OR or the end", ""),
        ("metrics.loss < 1 metrics.loss > 0", "column 18: 'metrics' stands where AND", ""),
        ("params.lr = 'x", 'column 13: "\'" stands where a quoted text is expected', ""),
        ("metrics.loss", "column 13: the end stands where one of =", ""),
        ("metrics.loss IS 1", "column 17: '1' stands where NULL", ""),
        ("params.lr IN 'x'", "column 14: a list in parentheses", ""),
        ("params.lr IN ('x' 'y')", "column 19: a comma", ""),
        ("params.lr IN ()", "column 15: ')' stands where a quoted text", ""),
        ("start_time > 'yesterday'", "column 14: 'yesterday' is no time", "Write '2026-01-31'"),
        ("duration > 'long'", "column 12: 'long' is no duration", "Write '90s'"),
        ("status = 'COMPLETED'", "is no status of a run", 'Did you mean "FINISHED"? It is one of RUNNING, SCHEDULED'),
        ("status IN ('FINISHED', 'not started')", "'not started' is no status", 'Did you mean "SCHEDULED"? It is'),
        ("status != 'Canceled'", "'Canceled' is no status of a run", 'Did you mean "KILLED"?'),
        ("status = 'RUNING'", "'RUNING' is no status of a run", 'Did you mean "RUNNING"? It is one of'),
        ("metrics.loss => 1", "'=>' stands where one of", "Write >=."),
        ("metrics.loss < 1 && tags.a = 'x'", "'&' stands where AND", "Write AND."),
        ("metrics.loss < 1 || tags.a = 'x'", "stands where AND, OR", "Write OR."),
        ("metrics.loss < 1 ADN tags.a = 'x'", "'ADN' stands where AND", 'Did you mean "AND"?'),
        ("run_name CONTAINS 'x'", "'CONTAINS' stands where", "Write LIKE '%part%'."),
        ("tags.team != null", "'null' stands where a quoted text", "Write tags.team IS NULL, or"),
        ("tags.team = vision", "'vision' stands where a quoted text", "Put it in quotes: 'vision'."),
        ("accuracy > 0.9", "runs have no attribute", "They have run_id"),
        ("experiment_name = 'digits'", "runs have no attribute", "Name experiments beside the filter"),
        ("NOT", "column 4: the end stands where a name", ""),
        ("a = 'x' OR", "column 1: runs have no attribute", ""),
        ("(" * 60, "nested at most 50 deep", ""),
        (" AND ".join(["tags.a = 'x'"] * 201), "at most 200 comparisons", "Use IN"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert said in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_an_order_takes_our_own_attributes_too() -> None:
    assert parse_order([" duration DESC", "metrics.loss"]) == (
        OrderKey(attribute("duration"), is_descending=True),
        OrderKey(LOSS),
    )


def _canonical(condition: Condition) -> bool:
    match condition:
        case And(items) | Or(items):
            return len(items) > 1 and all(_canonical(item) for item in items)
        case Not(item):
            return _canonical(item)
        case _:
            return True


@given(conditions().filter(_canonical).filter(lambda tree: not CHOSEN.search(repr(tree))))
@example(Comparison(LR, Op.EQ, 'it\'s a \\ "quoted" one\\'))
@example(Comparison(Field(Scope.TAG, "a `b` c/d.e"), Op.EQ, ""))
@example(Comparison(LOSS, Op.IN, (float("inf"), -float("inf"), 1e300, 5e-324, -0.5)))
def test_a_tree_written_as_text_reads_back_as_itself(condition: Condition) -> None:
    assert parse_filter(to_text(condition)) == condition


@given(st.lists(st.text(alphabet="'\"\\abu0027 %\n", max_size=8), min_size=1, max_size=3))
def test_every_text_can_be_a_value(values: list[str]) -> None:
    condition = Comparison(LR, Op.IN, tuple(values))
    assert parse_filter(to_text(condition)) == condition


@pytest.mark.parametrize(
    "text",
    [
        'metrics.`a b` >= 1 AND params.lr LIKE \'0.%\' AND tags."x.y" != "it\'s"',
        "run_id IN ('a', 'b') AND created > 5 AND \"run name\" = 'x' AND dataset.name = 'd'",
        "params.a IS NULL and tags.b is not null",
        "params.a = 'it''s'",
    ],
)
def test_a_filter_of_mlflow_means_the_same_here(text: str) -> None:
    assert parse_filter(text) == parse_run_filter(text)


PIECES = st.sampled_from(
    [
        "metrics.a",
        "tags.`b`",
        " NOT ",
        " IN ",
        "(",
        ")",
        "'x'",
        '"',
        "'",
        "E'",
        "=",
        " AND ",
        " OR ",
        "1.5",
        ",",
        "MATCHES",
    ]
)


@given(st.text(max_size=30) | st.lists(PIECES | st.text(max_size=2), max_size=9).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        parse_filter(text)
    with suppress(UsageError):
        parse_order([text])
