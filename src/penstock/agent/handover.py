"""Hand an attempt's end to the server, with as much of what it left as the server takes.

The end itself comes first: what the server refuses for good is left out, step by step, and an end that is refused
even alone is given up, so that no attempt is collected for ever.
"""

from __future__ import annotations

import contextlib
import os
import time

from penstock.agent.assignment import Address, Assignment
from penstock.agent.collection import collect, open_source
from penstock.agent.command import Ending
from penstock.agent.delivery import Abandoned, Delivery, patiently
from penstock.agent.door import OVER, Refused, ServerDoor
from penstock.agent.notes import complain
from penstock.agent.record import SpoolRecord
from penstock.agent.removal import remove_tree
from penstock.agent.reporter import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_ABANDONED = 4
COLLECT_TRIES = 3


def hand_over(
    assignment: Assignment,
    record: SpoolRecord,
    delivery: Delivery,
    ending: Ending,
    note: Callable[[str], None],
    reporter: Reporter,
    *,
    keeps_files: bool = True,
) -> int:
    """Collect and deliver until the server has the end, then clean up; return the agent's exit status.

    ``keeps_files``: false tells the end alone, for an attempt whose files ended every agent that collected them.
    """
    try:
        _finish(assignment, record, delivery, ending, note, reporter, keeps_files)
    except Abandoned as error:
        complain(f"attempt {assignment.attempt} abandoned: {error}")
        return EXIT_ABANDONED
    except Refused as error:
        complain(f"attempt {assignment.attempt} given up: {error}")
        record.remove_assignment()
        return EXIT_ABANDONED
    record.write_finished()
    delivery.door.close()
    clean_up(assignment, record)
    return 0


def _finish(
    assignment: Assignment,
    record: SpoolRecord,
    delivery: Delivery,
    ending: Ending,
    note: Callable[[str], None],
    reporter: Reporter,
    keeps_files: bool,
) -> None:
    _deliver_relayed(assignment, record, note)
    problem = Refused(0, "every agent that collected it was ended")
    has_slices = True
    for _ in range(COLLECT_TRIES if keeps_files else 0):
        collection = collect(assignment, record, note)
        reporter.close()
        body = {**ending.as_dict(), "artifacts": collection.artifacts, "outputs": collection.outputs}
        body["agent_cpu_s"] = round(time.process_time(), 4)  # its own, without the command's

        def upload(digest: str, sources: dict[str, tuple[str, int]] = collection.sources) -> None:
            try:
                with open_source(*sources[digest]) as file:
                    delivery.door.put_blob(digest, file, sources[digest][1])
            except KeyError as error:
                raise Refused(0, f"the server asks for {digest[:12]}, which is not there") from error

        try:
            delivery.finish(body, upload, has_slices=has_slices)
            return
        except Refused as refusal:
            problem = refusal
            if refusal.status in OVER:
                raise
        complain(f"attempt {assignment.attempt}: the end was refused: {problem}")
        if problem.status and not has_slices:
            break
        if problem.status:
            note(f"the server refused the rest of the log and of what was logged: {problem}")
            has_slices = False
    reporter.close()
    message = f"What the job left could not be kept: {problem}."
    body = {**ending.as_dict(), "exit_code": ending.exit_code or None, "message": message}
    delivery.finish({**body, "artifacts": [], "outputs": {}}, lambda digest: None, has_slices=False)


def _deliver_relayed(assignment: Assignment, record: SpoolRecord, note: Callable[[str], None]) -> None:
    """Deliver what the relay spooled and could not deliver while the command ran; before the end, which closes it."""
    if not os.path.exists(os.path.join(record.folder, "relay")):
        return
    from penstock.agent.relay.drain import Drain  # few attempts spooled anything
    from penstock.agent.relay.spool import CallSpool

    spool = CallSpool(record.folder)
    if spool.is_empty:
        return
    door = ServerDoor(assignment)
    drain = Drain(spool, door, note)
    try:
        patiently(lambda _: drain.run(), None, is_awaited=record.exists)
    except Refused as refusal:
        drain.give_up(refusal)  # the end is told all the same
    finally:
        door.close()


def refuse(address: Address, message: str) -> None:
    """Tell the server that this attempt cannot begin, until it hears or its workspace is gone."""
    workspace = os.path.dirname(address.server_record)
    body = Ending("prepare_failed", None, message).as_dict()
    door = ServerDoor(address)
    try:
        patiently(door.finish, {**body, "artifacts": [], "outputs": {}}, is_awaited=lambda: os.path.isdir(workspace))
    except (Abandoned, Refused) as error:
        complain(f"attempt {address.attempt} given up: {error}")
    finally:
        door.close()


def clean_up(assignment: Assignment, record: SpoolRecord) -> None:
    """Remove the working copy and the spool; what cannot be removed stays for the server's sweep."""
    remove_tree(assignment.folder)
    remove_tree(record.folder)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(assignment.folder))
