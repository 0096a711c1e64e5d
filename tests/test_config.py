from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import load_settings
from penstock.entities.errors import SpecError
from penstock.entities.settings import Settings


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "penstock.toml"
    file.write_text(text)
    return load_settings(file, environment or {})


def test_no_file_means_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "penstock.toml", {}) == Settings()


def test_file_sets_and_environment_wins(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[server]\nport = 8080\nallowed_hosts = ["ml.example"]\n[jobs]\ncancel_grace_s = 2\n',
        {"PENSTOCK_SERVER__PORT": "9090", "PENSTOCK_WORKSPACE": "elsewhere", "PENSTOCK_GATEWAY__PORT": "7"},
    )
    assert settings.server.port == 9090
    assert settings.server.allowed_hosts == ("ml.example",)
    assert settings.jobs.cancel_grace_s == 2.0
    assert settings.gateway.port == 7


def test_list_in_the_environment_is_comma_separated(tmp_path: Path) -> None:
    settings = load(tmp_path, "", {"PENSTOCK_SERVER__ALLOWED_HOSTS": "a.example, b.example"})
    assert settings.server.allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("[servr]\nport = 1\n", {}, 'Did you mean "server"?'),
        ("[server]\nprot = 1\n", {}, 'Did you mean "port"?'),
        ('[server]\nport = "x"\n', {}, "must be a number"),
        ("[server]\nport = 1.5\n", {}, "must be a whole number"),
        ("[server]\nport = true\n", {}, "must be a number"),
        ("[jobs]\nrelay = 2\n", {}, "must be true or false"),
        ("", {"PENSTOCK_JOBS__RELAY": "maybe"}, "must be true or false"),
        ("[server]\nhost = 5\n", {}, "must be a string"),
        ("[server]\nallowed_hosts = 5\n", {}, "must be a list of strings"),
        ("[server\n", {}, "no valid TOML"),
        ("server = 5\n", {}, "server: must be a table\n  Write [server]"),
        ("", {"PENSTOCK_JOBS__MAX_ATEMPTS": "1"}, 'Did you mean "max_attempts"?'),
        ("", {"PENSTOCK_JOB__X": "1"}, "PENSTOCK_JOB__X"),
        ("[compute]\nslots = -1\n", {}, "from 0"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, environment: dict[str, str], expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text, environment)
    assert expected in str(caught.value)


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, "[server]\nprot = 1\nhots = 2\n[jobz]\n")
    assert len(caught.value.problems) == 3


def test_a_file_that_is_no_text_is_a_mistake_like_another(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(SpecError, match="no valid TOML"):
        load_settings(tmp_path / "penstock.toml", {})


@pytest.mark.parametrize(
    ("text", "expected"), [("relay = false", False), ("relay = true", True), ('relay = "off"', False)]
)
def test_a_switch_is_true_or_false(tmp_path: Path, text: str, expected: bool) -> None:
    assert load(tmp_path, f"[jobs]\n{text}\n").jobs.relay is expected
    assert load(tmp_path, f"[jobs]\n{text}\n", {"PENSTOCK_JOBS__RELAY": "no"}).jobs.relay is False
