"""The suite every runtime passes: the promise of ``inference/runtimes/base.py``.

A runtime's test file is a subclass with fixtures for one model::

    class TestOnnx(RuntimeConformance):
        @pytest.fixture
        def runtime(self, tmp_path):
            return OnnxRuntime(small_model(tmp_path))

        @pytest.fixture
        def good(self):
            return ScoreRequest(b'{"data": [[1, 2]]}')

        @pytest.fixture
        def mistakes(self):
            return [ScoreRequest(b"{"), ScoreRequest(b'{"data": "text"}')]

``failing`` is for runtimes that run users' code; a model that cannot fail on what it accepts has none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.inference.runtimes.base import Runtime, ScoreRequest, ScoreResponse

THREADS = 8
REQUESTS = 200

logger = logging.getLogger(__name__)


def ask(runtime: Runtime, request: ScoreRequest) -> ScoreResponse:
    """Return the answer as a host gives it: an exception of the model's is a 500."""
    try:
        return runtime.score(request)
    except Exception as error:
        logger.info("the model failed: %s", error)
        return ScoreResponse(b"", status=500)


class RuntimeConformance:
    """The promise, test by test."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return a loaded runtime."""
        raise NotImplementedError("a runtime's test class gives this fixture")

    @pytest.fixture
    def good(self) -> ScoreRequest:
        """Return a request that the model answers, always the same."""
        raise NotImplementedError("a runtime's test class gives this fixture")

    @pytest.fixture
    def mistakes(self) -> Sequence[ScoreRequest]:
        """Return requests that a client got wrong, each in another way."""
        raise NotImplementedError("a runtime's test class gives this fixture")

    @pytest.fixture
    def failing(self) -> ScoreRequest | None:
        """Return a request that is right and on which the model fails; None if there can be none."""
        return None

    def test_it_answers_after_its_warm_up(self, runtime: Runtime, good: ScoreRequest) -> None:
        """Warm-up may be repeated and changes no answer."""
        runtime.warm_up()
        first = runtime.score(good)
        runtime.warm_up()
        second = runtime.score(good)
        assert (first.status, first.body) == (second.status, second.body)
        assert first.status == 200
        assert first.content_type

    def test_a_clients_mistake_is_a_4xx_answer_that_says_what_is_wrong(
        self, runtime: Runtime, good: ScoreRequest, mistakes: Sequence[ScoreRequest]
    ) -> None:
        """It is an answer, not an exception, and the runtime goes on."""
        runtime.warm_up()
        for mistake in mistakes:
            answer = runtime.score(mistake)
            assert 400 <= answer.status < 500, mistake
            said = json.loads(answer.body)
            assert said.get("message") or said.get("detail"), mistake
            assert runtime.score(good).status == 200

    def test_a_failure_of_the_model_is_a_5xx_and_the_next_request_is_answered(
        self, runtime: Runtime, good: ScoreRequest, failing: ScoreRequest | None
    ) -> None:
        """The runtime raises, or answers so itself."""
        runtime.warm_up()
        if failing is not None:
            assert ask(runtime, failing).status >= 500
        assert runtime.score(good).status == 200

    def test_threads_get_their_own_answers(
        self, runtime: Runtime, good: ScoreRequest, mistakes: Sequence[ScoreRequest], failing: ScoreRequest | None
    ) -> None:
        """Right and wrong requests at the same time are answered as they are one by one."""
        runtime.warm_up()
        kinds = [good, *mistakes, *([] if failing is None else [failing])]
        alone = [self._shown(runtime, request) for request in kinds]
        sent = [number % len(kinds) for number in range(REQUESTS)]
        with ThreadPoolExecutor(THREADS) as pool:
            together = list(pool.map(lambda kind: self._shown(runtime, kinds[kind]), sent))
        assert together == [alone[kind] for kind in sent]

    def test_it_describes_itself_and_answers_its_own_sample(self, runtime: Runtime) -> None:
        """The description is JSON; a sample in it is answered."""
        runtime.warm_up()
        described = json.loads(json.dumps(runtime.describe()))
        assert isinstance(described, dict)
        if described.get("sample_request") is not None:
            assert runtime.score(ScoreRequest(json.dumps(described["sample_request"]).encode())).status == 200

    @staticmethod
    def _shown(runtime: Runtime, request: ScoreRequest) -> tuple[int, bytes]:
        answer = ask(runtime, request)
        return answer.status, answer.body
