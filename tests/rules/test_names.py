from __future__ import annotations

import os
import re

from penstock.rules import names


def _zeros(count: int) -> bytes:
    return bytes(count)


def test_ids_are_what_mlflow_accepts():
    assert re.fullmatch(r"[0-9a-f]{32}", names.new_id(os.urandom))
    assert names.new_id(_zeros) == "0" * 32


def test_tokens_are_recognisable_and_safe_in_urls():
    token = names.new_token(os.urandom)
    assert re.fullmatch(r"pst_[A-Za-z0-9_-]{43}", token)
    assert re.fullmatch(r"[0-9a-f]{64}", names.hash_token(token))
    assert names.hash_token(token) != names.hash_token(names.new_token(os.urandom))


def test_display_names_are_for_people():
    assert re.fullmatch(r"[a-z]+_[a-z]+_[0-9a-f]{6}", names.new_display_name(os.urandom))
    assert names.new_display_name(_zeros) == names.new_display_name(_zeros)


def test_attempts_count():
    assert names.attempt_id("job", 2) == "job.2"
