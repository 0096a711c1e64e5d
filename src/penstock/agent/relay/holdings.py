"""What a job made through its relay beside runs: logged models, files and points of metrics, to be read in an outage.

Each answer is whole or none: what may exist elsewhere as well is for the server alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from io import FileIO

from penstock.agent.collection import open_regular
from penstock.agent.record import SpoolRecord
from penstock.agent.relay.calls import API, ARTIFACTS, LOG_BATCH, LOG_METRIC, BadCall, query_of, read_message, run_of
from penstock.agent.relay.files import Files, names_below
from penstock.agent.relay.models import MODELS, Models, is_change
from penstock.agent.relay.points import Points
from penstock.agent.relay.upstream import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from penstock.agent.assignment import Assignment
    from penstock.agent.relay.known import Known
    from penstock.agent.relay.spool import CallSpool
    from penstock.agent.relay.upstream import Request

HISTORY = f"{API}/metrics/get-history"
PIECE = 1 << 18


class Holdings:
    """Of one attempt; for any thread.

    Parameters
    ----------
    assignment : Assignment
        Names the job, its experiment and which attempt this is: the first one's run begins empty.
    known : Known
        Which runs belong to the job.
    spool : CallSpool
        Where the contents of files wait.
    """

    def __init__(self, assignment: Assignment, known: Known, spool: CallSpool) -> None:
        self._job = assignment.job
        self._record = SpoolRecord(assignment.spool)
        self._spool = spool
        experiment = assignment.environment.get("MLFLOW_EXPERIMENT_ID", "0")
        self.models = Models(experiment, known.owns, is_whole=assignment.number == 1)
        self.files = Files(lambda name: known.owns(name) or self.models.owns(name))
        self._points = Points()
        if assignment.number == 1:
            self.begin_run(assignment.job)

    def begin_run(self, run_id: str) -> None:
        """Take a run as new: it has no files and no points yet."""
        self.files.begin(run_id)
        self._points.begin(run_id)

    def note(self, path: str, message: dict[str, Any]) -> None:
        """Remember the points of a call that was accepted."""
        if path in {LOG_METRIC, LOG_BATCH}:
            self._points.add(run_of(message), [message] if path == LOG_METRIC else message.get("metrics") or [])

    def learn_run(self, answer: bytes) -> None:
        """Take a run that the server created just now as new."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self.begin_run(json.loads(answer)["run"]["info"]["run_id"])

    def learn(self, request: Request, path: str, answer: bytes) -> None:
        """Remember what the server did with a call that it answered with 200."""
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, BadCall):
            if path.startswith(ARTIFACTS) and request.method == "PUT":
                self.files.put(path.removeprefix(ARTIFACTS), size=request.length or len(request.content))
            elif path.startswith(ARTIFACTS) and request.method == "DELETE":
                self.files.remove(path.removeprefix(ARTIFACTS))
            elif is_change(request.method, path):
                made = self.models.learn(path, read_message(request.content), answer)
                if made:
                    self.files.begin(made)
            elif path.startswith(f"{MODELS}/") and request.method == "DELETE":
                self.models.remove(path)
            elif request.method == "POST" and path in {LOG_METRIC, LOG_BATCH}:
                self.note(path, read_message(request.content))

    def answer(self, request: Request, path: str) -> Reply | None:
        """Return the answer to a question, None where it is not known for certain."""
        with contextlib.suppress(ValueError, AttributeError):
            if request.method == "GET" and path == ARTIFACTS.rstrip("/"):
                return self._list(query_of(request.target).get("path", ""))
            if request.method == "GET" and path.startswith(ARTIFACTS):
                return self._download(path.removeprefix(ARTIFACTS))
            if request.method == "GET" and path == HISTORY:
                return self._history(query_of(request.target))
            return _shown(self.models.answer(request.method, path, request.content))
        return None

    def _list(self, path: str) -> Reply | None:
        is_own = self.files.split(path)[0] == self._job
        found = self.files.children(path, names_below(self._record.artifacts) if is_own else [])
        return _shown({"files": found} if found else found if found is None else {})

    def _download(self, path: str) -> Reply | None:
        owner, name = self.files.split(path)
        if owner == self._job and os.path.exists(os.path.join(self._record.artifacts, name)):
            return None
        try:
            found = self.files.find(path)
        except FileNotFoundError:
            message = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"No such artifact: '{path}'."}
            return Reply(404, json.dumps(message).encode("ascii"))
        if found is None or not found[0]:
            return None
        try:
            file = FileIO(open_regular(self._spool.file_path(found[0])), "rb")
        except OSError:
            return None  # it was delivered just now
        kept = [b"content-type: application/octet-stream"]
        return Reply(200, b"", kept, rest=_pieces(file), length=os.fstat(file.fileno()).st_size)

    def _history(self, query: dict[str, str]) -> Reply | None:
        run_id = query.get("run_id") or query.get("run_uuid") or ""
        if run_id == self._job and os.path.exists(self._record.events) and os.path.getsize(self._record.events):
            return None  # the job logs by penstock, too
        most, token = query.get("max_results", ""), query.get("page_token", "")
        found = self._points.history(run_id, query.get("metric_key", ""), most, token)
        return _shown(None if found is None else {"metrics": found})


def _shown(answer: dict[str, Any] | None) -> Reply | None:
    return None if answer is None else Reply(200, json.dumps(answer).encode("ascii"))


def _pieces(file: FileIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
