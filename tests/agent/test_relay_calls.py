"""What is written on both sides of the wire, because an agent imports nothing of the server, is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.agent import collection
from penstock.agent.relay import calls, drain, switch
from penstock.entities.errors import InvalidPathError
from penstock.rules import artifact_paths
from penstock.server.mlflow import relayed, routes
from penstock.server.mlflow.call import PROMISED_MODEL, PROMISED_RUN

PARTS = st.lists(st.text("ab\u00fc \\.", min_size=0, max_size=260) | st.just("x" * 255), min_size=1, max_size=6)


def test_what_a_relay_keeps_the_server_applies():
    ours = {path for path in relayed.HANDLERS if path.startswith(f"{calls.API}/runs/")}
    assert set(calls.CHECKS) == ours
    assert calls.CREATE_RUN == relayed.CREATE_RUN
    assert f"{routes.ARTIFACTS}/" == calls.ARTIFACTS
    promised = {header.decode() for header in switch.PROMISED.values()}
    assert promised == {PROMISED_MODEL, PROMISED_RUN}
    assert drain.ENDED == relayed.OVER


def test_limits_of_paths_are_the_servers():
    assert collection.MAX_PATH_BYTES == artifact_paths.MAX_PATH_BYTES
    assert collection.MAX_PART_BYTES == artifact_paths.MAX_PART_BYTES
    assert collection.MAX_COLLECTED_BYTES < artifact_paths.MAX_PATH_BYTES


@given(PARTS)
def test_a_path_is_refused_in_an_outage_if_the_server_would(parts):
    path = "/".join(["0", "run", "artifacts", *parts])
    try:
        artifact_paths.check_path(path)
        is_good = True
    except InvalidPathError:
        is_good = False
    try:
        calls.check_file(path)
        assert is_good
    except calls.BadCall:
        assert not is_good
