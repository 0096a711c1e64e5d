"""Tokens and the audit log from Python, on a real workspace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Workspace
from penstock.entities.errors import AuthenticationError, ForbiddenError, UsageError
from penstock.rules.durations import parse_duration, time_of


def test_a_token_opens_what_its_role_allows_until_it_is_revoked(ws: Workspace) -> None:
    made = ws.tokens.create("sdk-reader", "reader", expires=timedelta(days=1))
    assert made.secret not in repr(made)
    assert made.token.expires_at is not None
    theirs = Workspace(ws.url, token=made.secret)
    assert theirs.rest.features()["actor"] == "sdk-reader"
    assert list(theirs.jobs.list()) is not None
    with pytest.raises(ForbiddenError, match="has the role reader"):
        list(theirs.tokens.list())
    with pytest.raises(ForbiddenError, match="event:verify"):
        theirs.audit.verify()
    assert "sdk-reader" in {token.name for token in ws.tokens.list(live_only=True)}
    ws.tokens.revoke("sdk-reader")
    with pytest.raises(AuthenticationError):
        theirs.rest.features()
    assert "sdk-reader" not in {token.name for token in ws.tokens.list(live_only=True)}
    assert "sdk-reader" in {token.name for token in ws.tokens.list()}


def test_the_log_is_followed_verified_and_exported(ws: Workspace, tmp_path: Path) -> None:
    before = ws.audit.verify()
    assert before.is_intact
    made = ws.tokens.create("sdk-followed", "contributor", experiment="Default")
    follower = ws.audit.follow(ref=f"token:{made.token.id}", after=before.seq)
    assert next(follower)["verb"] == "create"
    ws.tokens.revoke(made.token.id)
    assert next(follower)["verb"] == "revoke"
    follower.close()  # type: ignore[attr-defined] # a generator, typed as what users need of it
    newest = list(ws.audit.list(ref=f"token:{made.token.id}", since=datetime.now(UTC) - timedelta(hours=1)))
    assert [event["verb"] for event in newest] == ["revoke", "create"]
    told: list[tuple[int, int]] = []
    after = ws.audit.verify(expect=before.head, on_progress=lambda done, total: told.append((done, total)))
    assert after.is_intact
    assert after.checked >= before.checked + 2
    assert told[-1][0] == after.checked
    file = tmp_path / "events.jsonl"
    ws.audit.export(file, after=before.seq)
    assert len(file.read_text().splitlines()) == after.seq - before.seq
    with pytest.raises(UsageError, match="is no head"):
        ws.audit.verify(expect="7")


@given(st.integers(0, 10**6), st.sampled_from("smhdwy"))
def test_a_duration_is_a_number_with_a_unit(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}[unit]
    assert parse_duration(f" {number}{unit} ") == timedelta(seconds=number * seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "d", "1.5h", "-1d", "1 d", "٣d", "1D", "999999999y", "2030-13-01", "9999-12-31", "noon"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        time_of(text, "expires", now=datetime(2030, 1, 1, tzinfo=UTC), is_past=False)


def test_a_duration_counts_from_now_in_either_direction() -> None:
    now = datetime(2030, 1, 10, tzinfo=UTC)
    assert time_of("9d", "since", now=now, is_past=True) == datetime(2030, 1, 1, tzinfo=UTC)
    assert time_of("1d", "expires", now=now, is_past=False) == datetime(2030, 1, 11, tzinfo=UTC)
    assert time_of("2030-01-31", "since", now=now, is_past=True) == datetime(2030, 1, 31, tzinfo=UTC)
    assert time_of("2030-01-31", "expires", now=now, is_past=False) == datetime(2030, 2, 1, tzinfo=UTC)
    assert time_of("2030-01-31T12:00:00Z", "x", now=now, is_past=True) == datetime(2030, 1, 31, 12, tzinfo=UTC)
