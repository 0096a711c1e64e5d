"""Whether a call goes to the server, into the spool, or is answered from what is known.

While calls wait in the spool every call waits until those before it were delivered, so order is kept and a read sees
what was written before it. While the server is away nothing waits: what can be spooled is, the rest is 503 at once.
"""

from __future__ import annotations

import json
import threading
import time

from penstock.agent.door import Refused, ServerDoor
from penstock.agent.notes import complain, complain_of_defect
from penstock.agent.relay.calls import (
    ARTIFACTS,
    CREATE_RUN,
    GET_RUN,
    BadCall,
    check,
    check_file,
    is_spoolable,
    read_message,
    run_of,
    unquote,
)
from penstock.agent.relay.drain import Drain
from penstock.agent.relay.holdings import Holdings
from penstock.agent.relay.known import REMEMBERED, Known
from penstock.agent.relay.models import MODELS, is_change, model_of
from penstock.agent.relay.registering import AWAY, CALLS, Registering
from penstock.agent.relay.spool import CallSpool
from penstock.agent.relay.upstream import READ_S, WRITE_S, Away, Reply, Request, Upstream
from penstock.agent.relay.wire import BadMessage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from penstock.agent.assignment import Assignment

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 1.0
DRAIN_SILENCE_S = 2.0
MAX_SPOOLED = 1 << 22
PROMISED = {CREATE_RUN: b"x-penstock-run-id", MODELS: b"x-penstock-model-id"}
"""Headers in which the server is told the id of what it creates, so that one asked for twice is one."""


class Switch:
    """The relay of one attempt, for the threads of all its connections.

    Parameters
    ----------
    assignment : Assignment
        Names the server, the token and the job.
    note : callable
        Writes one line for the user into the job's log.
    """

    def __init__(self, assignment: Assignment, note: Callable[[str], None]) -> None:
        self.token = assignment.token
        self.door = ServerDoor(assignment)
        self._known = Known(assignment)
        self._spool = CallSpool(assignment.spool)
        self._holdings = Holdings(assignment, self._known, self._spool)
        self._drain = Drain(self._spool, self.door, note)
        self._registering = Registering(note)
        self._changed = threading.Condition()
        self._is_away = False
        self._ask_again_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._progress = 0
        self._closing = False
        self._is_over = False
        self._drainer: threading.Thread | None = None

    def answer(self, request: Request, upstream: Upstream) -> Reply:
        """Return the answer to a request, from wherever it comes; raises what the client's own side does."""
        path = unquote(request.target.partition("?")[0])
        spools = is_spoolable(request.method, path) or is_change(request.method, path)
        if request.method == "POST" and path in PROMISED:
            request.promise(PROMISED[path])
        registers = self._registering.begin(request, path)
        spools = spools and not self._is_over
        if not self._may_ask():
            return self._answer_here(request, path, spools)
        try:
            is_short = self._is_away or (spools and request.rest is None)
            reply = upstream.forward(request, WRITE_S if is_short else READ_S)
        except Away as away:
            if spools or away.reply is None:  # one question that cannot be answered says nothing of writing
                self._note_away()
            return self._answer_here(request, path, spools, away)
        self._note_back()
        if registers:
            self._registering.end(request, path)
        request.is_forwarded = True
        return reply

    def learn(self, request: Request, reply: Reply) -> None:
        """Remember what a call that the server answered says of the job's runs; its client has its answer by now."""
        if not request.is_forwarded or reply.status != 200:
            return
        path = unquote(request.target.partition("?")[0])
        self._holdings.learn(request, path, reply.content)
        if reply.rest is not None or request.rest is not None:
            return
        if request.method == "POST" and is_spoolable(request.method, path):
            self._known.learn(path, request.target, request.content, reply.content)
            if path == CREATE_RUN:
                self._holdings.learn_run(reply.content)
        elif request.method == "GET" and (path == GET_RUN or path in REMEMBERED):
            self._known.learn(path, request.target, b"", reply.content)

    def close(self) -> None:
        """Stop delivering; what waits stays on the disk for whoever hands the attempt over."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.door.abort()
        if self._drainer is not None:
            self._drainer.join()
        self.door.close()
        self._spool.close()

    def _may_ask(self) -> bool:
        """Return whether a call may go to the server now, once those spooled before it were delivered."""
        with self._changed:
            if self._is_over:
                return not self._is_away or time.monotonic() >= self._ask_again_at
            if self._is_away:
                return self._spool.is_empty and time.monotonic() >= self._ask_again_at
            wanted = self._spool.last
            while self._spool.delivered < wanted and not (self._is_away or self._closing):
                seen = self._progress
                self._changed.wait(DRAIN_SILENCE_S)
                if seen == self._progress:
                    return False
            return self._spool.delivered >= wanted and not self._is_away

    def _note_away(self) -> None:
        with self._changed:
            now = time.monotonic()
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S) if self._is_away else FIRST_RETRY_S
            self._is_away = True
            self._ask_again_at = now + self._retry_s
            self._changed.notify_all()

    def _note_back(self) -> None:
        if self._is_away:
            with self._changed:
                self._is_away = not (self._spool.is_empty or self._is_over)
                self._retry_s = FIRST_RETRY_S

    def _answer_here(self, request: Request, path: str, spools: bool, away: Away | None = None) -> Reply:
        try:
            if spools and request.method == "PUT":
                reply = self._keep_file(request, path.removeprefix(ARTIFACTS))
            elif spools and request.rest is None and len(request.content) <= MAX_SPOOLED:
                reply = self._keep_call(path, request.content, request.promised)
            else:
                reply = None
        except BadCall as error:
            request.drain()
            return refusal(400, "INVALID_PARAMETER_VALUE", str(error))
        except OSError as error:
            request.drain()
            return refusal(507, "RESOURCE_EXHAUSTED", f"The server is away, and this cannot be kept: {error.strerror}.")
        if reply is not None:
            return reply
        held = self._holdings.answer(request, path) if request.rest is None else None
        if held is not None:
            return held
        request.drain()
        known = self._known.answer(path, request.target) if request.method == "GET" else None
        if known is not None:
            is_text = path == REMEMBERED[0]
            return Reply(200, known, [b"content-type: text/plain; charset=utf-8"] if is_text else None)
        if away is not None and away.reply is not None:
            return away.reply
        if path in CALLS:
            self._registering.tell(path)
            return refusal(503, "TEMPORARILY_UNAVAILABLE", AWAY)
        return refusal(503, "TEMPORARILY_UNAVAILABLE", "The Penstock server is away; try again.")

    def _keep_call(self, path: str, content: bytes, promised: str) -> Reply | None:
        """Spool a call of ours and return its answer; None if it is not one of ours."""
        message = read_message(content)
        if path.startswith(MODELS):
            return self._keep_model(path, message, promised)
        check(path, message)
        extra: dict[str, Any] = {}
        if path == CREATE_RUN:
            created = self._known.create(message, promised)
            if created is None:
                return None
            extra["run_id"], answer = promised, created
            content = json.dumps(message).encode("ascii")
        elif self._known.owns(run_of(message)):
            self._known.check(path, message)
            answer = {}
        else:
            return None
        try:
            self._append({"path": path, "body": content.decode("utf-8", "replace"), **extra})
        except OSError:
            self._known.forget(str(extra.get("run_id")))
            raise
        if path != CREATE_RUN:
            answer = self._known.write(path, message)
            self._holdings.note(path, message)
        else:
            self._holdings.begin_run(str(extra["run_id"]))
        return Reply(200, json.dumps(answer).encode("ascii"))

    def _keep_model(self, path: str, message: dict[str, Any], model_id: str) -> Reply | None:
        """Spool the creation or change of a logged model of ours and return its answer; None if it is not ours."""
        models = self._holdings.models
        if path != MODELS:
            if not models.owns(model_of(path)):
                return None
            models.check(path, message)
            self._append({"path": path, "body": json.dumps(message)})
            return Reply(200, json.dumps(models.write(path, message)).encode("ascii"))
        answer = models.create(message, model_id)
        if answer is None:
            return None
        try:
            self._append({"path": path, "body": json.dumps(message), "model_id": model_id})
        except OSError:
            models.forget(model_id)
            raise
        self._holdings.files.begin(model_id)
        return Reply(200, json.dumps(answer).encode("ascii"))

    def _keep_file(self, request: Request, path: str) -> Reply | None:
        """Spool an upload of ours; None if it is not, or if a part of it is gone to the server already."""
        if not all(self._holdings.files.split(path)) or request.is_begun:
            return None
        check_file(path)
        kept = self._spool.put_file(_body_of(request))
        try:
            self._append({"path": ARTIFACTS + path, **kept})
        except OSError:
            self._spool.remove_file(kept["file"])
            raise
        self._holdings.files.put(path, kept["file"], kept["size"])
        return Reply(200)

    def _append(self, entry: dict[str, Any]) -> None:
        self._spool.append(entry)
        with self._changed:
            if self._drainer is None:
                self._is_away = True
                self._drainer = threading.Thread(target=self._loop, name="relay-drain", daemon=True)
                self._drainer.start()
            self._changed.notify_all()

    def _loop(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._closing:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or not self._spool.is_empty)
            try:
                self._drain.run(self._note_progress)
                self._note_progress()
                retry_s = FIRST_RETRY_S
                continue
            except OSError:
                pass  # it is still away
            except Refused as refused:
                complain(f"what a relay spooled is not wanted any more: {refused}")
                self._end()
                return
            except Exception:
                complain_of_defect("a relay could not deliver")
            with self._changed:
                self._is_away = True
                self._changed.wait_for(lambda: self._closing, retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _end(self) -> None:
        """Acknowledge nothing more: the server itself says that nobody waits for this attempt."""
        with self._changed:
            self._is_over = True
            self._is_away = False
            self._changed.notify_all()

    def _note_progress(self) -> None:
        with self._changed:
            self._progress += 1
            self._is_away = False
            self._changed.notify_all()


def refusal(status: int, code: str, message: str) -> Reply:
    """Return an answer in the words of MLflow's protocol."""
    return Reply(status, json.dumps({"error_code": code, "message": message}).encode("ascii"))


def _body_of(request: Request) -> Iterator[bytes]:
    yield request.content
    try:
        yield from request.rest or ()
    except (OSError, BadMessage) as error:
        raise ConnectionAbortedError(f"the upload was cut off: {error}") from error
