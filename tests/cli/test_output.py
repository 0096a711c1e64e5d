from __future__ import annotations

import json
import time

import pytest
import yaml

from penstock.cli.output import Format, emit, report
from penstock.cli.run_tables import table_of
from penstock.entities import errors

JOBS = [
    {"name": "a", "status": "Completed", "tags": {"k": "v"}, "spec": {"command": "echo"}, "done": True},
    {"name": "long-name", "status": "Failed", "tags": {}, "spec": {}, "done": False},
]
COLUMNS = {"NAME": "name", "STATUS": "status", "COMMAND": "spec.command", "TAGS": "tags"}


def printed(capsys, data, **options) -> str:
    emit(data, **options)
    return str(capsys.readouterr().out)


def test_table_lines_up(capsys) -> None:
    assert printed(capsys, JOBS, columns=COLUMNS).splitlines() == [
        "NAME       STATUS     COMMAND  TAGS",
        "a          Completed  echo     k=v",
        "long-name  Failed",
    ]


def test_empty_list_is_a_header_and_empty_json(capsys) -> None:
    assert printed(capsys, [], columns=COLUMNS) == "NAME  STATUS  COMMAND  TAGS\n"
    assert printed(capsys, [], columns=COLUMNS, output=Format.JSON) == "[]\n"


def test_one_object_is_lines_without_what_is_empty(capsys) -> None:
    text = printed(capsys, JOBS[1], columns={"name": "name", "command": "spec.command", "done": "done"})
    assert text.splitlines() == ["name:  long-name", "done:  false"]


def test_json_and_yaml_hold_everything(capsys) -> None:
    assert json.loads(printed(capsys, JOBS, columns=COLUMNS, output=Format.JSON)) == JOBS
    assert yaml.safe_load(printed(capsys, JOBS, columns=COLUMNS, output=Format.YAML)) == JOBS


def test_tsv_has_no_header_and_no_stray_tabs(capsys) -> None:
    assert (
        printed(capsys, JOBS, columns=COLUMNS, output=Format.TSV) == "a\tCompleted\techo\tk=v\nlong-name\tFailed\t\t\n"
    )
    assert printed(capsys, "a\tb\nc", output=Format.TSV) == "a b c\n"


def test_query_picks_and_is_json_by_default(capsys) -> None:
    assert json.loads(printed(capsys, JOBS, columns=COLUMNS, query="[?done].name")) == ["a"]
    assert printed(capsys, JOBS[0], columns=COLUMNS, query="name", output=Format.TSV) == "a\n"
    assert printed(capsys, JOBS, query="[].{n: name}", output=Format.TABLE).splitlines() == ["n", "a", "long-name"]


def test_query_that_is_none_is_a_usage_error(capsys) -> None:
    with pytest.raises(errors.UsageError, match="no JMESPath"):
        emit(JOBS, query="[?")


def test_times_are_local_in_tables_only(capsys, monkeypatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    job = {"at": "2026-01-02T03:04:05.678Z"}
    assert printed(capsys, job) == "at:  2026-01-02 03:04:05\n"
    assert json.loads(printed(capsys, job, output=Format.JSON)) == job


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobFailedError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.SpecError([errors.Problem("x")]), 2),
        (errors.NotFoundError("x"), 3),
        (errors.RefusedError("x"), 4),
        (errors.AuthenticationError("x"), 4),
        (errors.ConflictError("x"), 4),
        (errors.UnavailableError("x"), 5),
        (errors.OutOfSpaceError("x"), 5),
        (errors.InternalError("x"), 70),
    ],
)
def test_every_error_has_its_exit_code(capsys, error: errors.PenstockError, code: int) -> None:
    assert report(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: x\n"


def test_only_the_first_of_many_lines_is_in_a_table(capsys) -> None:
    job = {"error": "it failed\nTraceback\n  more", "next": "x"}
    assert printed(capsys, job) == "error:  it failed …\nnext:   x\n"
    assert json.loads(printed(capsys, job, output=Format.JSON)) == job


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_first_and_the_last_time_there_is_are_shown_in_every_zone(capsys, monkeypatch, zone) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for text in ("9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z"):
            shown = printed(capsys, [{"at": text}], columns={"AT": "at"})
            assert shown.count("-") == 2
            _, (row,) = table_of([{"run_id": "a", "start_time": text}], {"attributes": ["start_time"]}, full=False)
            assert row["STARTED"].count("-") == 2
    finally:
        monkeypatch.undo()
        time.tzset()


def test_details_have_one_form_and_long_values_are_cut(capsys) -> None:
    events = [{"detail": {"job": None, "path": "x"}}, {"detail": {"tags": {"a": "b"}, "n": 1, "to": ["x"]}}]
    assert printed(capsys, events, columns={"DETAIL": "detail"}).splitlines() == [
        "DETAIL",
        "path=x",
        'tags={"a": "b"}, n=1, to=["x"]',
    ]
    run = {"params": {"long": "x" * 6000, "short": "1"}}
    emit(run, columns={"params": "params"})
    shown = capsys.readouterr()
    assert len(shown.out) < 400
    assert "x…, short=1" in shown.out
    assert shown.err == "Long values are cut; whole with -o json.\n"
    emit(run, columns={"params": "params"}, output=Format.TSV)
    assert len(capsys.readouterr().out) > 6000
