"""The page behind the links that MLflow's client prints."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from tests.server.harness import House


def test_it_answers_without_a_token_and_holds_no_data(house: House) -> None:
    answer = house.ask("GET", "/", token=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert house.token.encode() not in answer.body
    assert house.ask("GET", "/", token=None, headers={"Host": "evil.example"}).status == 403
    assert house.ask("POST", "/", token=None).status == 405


def test_only_its_own_script_and_style_may_run(house: House) -> None:
    answer = house.ask("GET", "/", token=None)
    page, policy = answer.body.decode(), answer.headers["content-security-policy"]
    for name in ("script", "style"):
        (content,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"\b(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert not re.search(r"\son\w+\s*=", page)


def test_texts_of_users_never_become_markup(house: House) -> None:
    page = house.ask("GET", "/", token=None).body.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "localStorage"):
        assert way not in page


def test_its_script_is_whole(house: House, tmp_path: Path) -> None:
    page = house.ask("GET", "/", token=None).body.decode()
    (content,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert all(content.count(opening) == content.count(closing) for opening, closing in ("{}", "()", "[]"))
    if node := shutil.which("node"):
        script = tmp_path / "page.js"
        script.write_text(content)
        subprocess.run([node, "--check", str(script)], check=True)
