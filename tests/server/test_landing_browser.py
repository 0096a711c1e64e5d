"""The page in a real browser: what it shows of a run, and that nobody's text becomes markup."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import CHROMIUM, Browser, open_browser
from tests.server.harness import House

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]

EVIL = "<img src=x onerror=\"document.title='owned'\">"
API = "/api/2.0/mlflow"
ASKS = "location.protocol === 'http:' && document.querySelector('#ask:not([hidden])') !== null"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with open_browser(tmp_path / "profile") as browser:
        yield browser


def post(house: House, path: str, **sent: Any) -> Any:
    return house.ok("POST", f"{API}/{path}", sent)


def make_run(house: House, experiment: str, name: str, tags: dict[str, str] | None = None, *, start: int = 1000) -> str:
    sent = [{"key": key, "value": value} for key, value in (tags or {}).items()]
    made = post(house, "runs/create", experiment_id=experiment, run_name=name, start_time=start, tags=sent)
    return str(made["run"]["info"]["run_id"])


def fill(house: House) -> tuple[str, str]:
    """Make an experiment with a run of everything, a run below it, and texts that would like to be markup."""
    experiment = str(post(house, "experiments/create", name=f"pictures {EVIL}")["experiment_id"])
    run = make_run(
        house, experiment, f"first {EVIL}", {"mlflow.note.content": f"about {EVIL}", "seen": EVIL}, start=2000
    )
    points = [{"key": "loss", "value": 1 / (step + 1), "timestamp": step, "step": step} for step in range(30)]
    params = [{"key": "lr", "value": "0.125"}, {"key": "hostile", "value": EVIL}]
    post(house, "runs/log-batch", run_id=run, metrics=points, params=params)
    data = {"name": EVIL, "digest": "abc", "source_type": "local", "source": "{}"}
    post(house, "runs/log-inputs", run_id=run, datasets=[{"dataset": data}])
    place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/sub/notes%23.txt"
    assert house.ask("PUT", place, body=b"what was noted").status == 200
    make_run(house, experiment, "the run below", {"mlflow.parentRunId": run})
    return experiment, run


def enter(browser: Browser, house: House, place: str) -> None:
    """Open the page as somebody does who follows a link and types the token in."""
    browser.call("Page.navigate", url=f"{house.url}/#{place}")
    browser.wait(ASKS)
    browser.run(f"document.getElementById('token').value = {json.dumps(house.token)}")
    browser.run("document.querySelector('#ask button').click()")
    browser.wait("document.querySelector('main h2') !== null")


def keep_picture(browser: Browser, name: str) -> None:
    """Keep what is to be seen, if somebody wants to look at it."""
    if folder := os.environ.get("KEEP_PICTURES"):
        found = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(found["data"]))


def test_a_run_is_shown_with_everything_and_texts_stay_texts(fresh_house: House, browser: Browser) -> None:
    experiment, run = fill(fresh_house)
    enter(browser, fresh_house, f"/experiments/{experiment}/runs/{run}")
    text = browser.run("document.querySelector('main').textContent")
    for part in ("loss", "0.0333333", "lr", "0.125", f"first {EVIL}", f"about {EVIL}", EVIL, "sub/notes#.txt"):
        assert part in text
    assert browser.run("document.querySelectorAll('main svg polyline').length") == 1
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    assert browser.run("document.title") == "Penstock"
    assert "steps 0 to 29" in text
    keep_picture(browser, "run")
    # The file comes through fetch with the token; what the page would save is caught here.
    browser.run(
        "const keep = (text) => { document.body.dataset.saved = text; };"
        "URL.createObjectURL = (blob) => { blob.text().then(keep); return '#'; };"
        "[...document.querySelectorAll('main button')].find((one) => one.textContent === 'download').click()"
    )
    assert browser.wait("document.body.dataset.saved") == "what was noted"
    browser.run("[...document.querySelectorAll('main a')].find((a) => a.textContent === 'the run below').click()")
    browser.wait("document.querySelector('main h2').textContent === 'the run below'")
    assert run in browser.run("document.querySelector('main').textContent")


def test_an_experiment_shows_metrics_and_more_runs(fresh_house: House, browser: Browser) -> None:
    experiment, _ = fill(fresh_house)
    for number in range(110):
        make_run(fresh_house, experiment, f"run {number}")
    enter(browser, fresh_house, f"/experiments/{experiment}")
    keep_picture(browser, "experiment")
    assert browser.run("document.querySelectorAll('main table tr').length") == 101
    browser.run("document.querySelector('main button').click()")
    browser.wait("document.querySelectorAll('main table tr').length === 113")
    assert browser.run("document.querySelector('main button').hidden") is True
    heads = browser.run("[...document.querySelectorAll('main th')].map((one) => one.textContent)")
    assert heads == ["name", "status", "started", "loss"]
    assert browser.run("document.querySelectorAll('main img').length") == 0


def test_a_wrong_token_is_asked_for_again(fresh_house: House, browser: Browser) -> None:
    browser.call("Page.navigate", url=fresh_house.url)
    browser.wait(ASKS)
    browser.run("document.getElementById('token').value = 'pst_wrong'; document.querySelector('#ask button').click()")
    assert browser.wait("document.getElementById('problem').textContent")
    assert browser.run("document.getElementById('ask').hidden") is False
