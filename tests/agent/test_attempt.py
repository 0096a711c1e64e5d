from __future__ import annotations

import pytest


def test_a_command_runs_and_its_log_is_kept(workspace):
    end = workspace.run("echo hello; echo oops >&2")
    assert (end["reason"], end["exit_code"]) == ("exited", 0)
    assert workspace.door.log == b"hello\noops\n"
    assert workspace.door.artifact("user_logs/std_log.txt") == b"hello\noops\n"
    assert not workspace.folder.parent.exists()
    assert not workspace.spool.exists()
