"""One attempt from its assignment to its end: prepare, run, collect, deliver, clean up.

Killed between any two lines, the spool folder says how far it came: before ``exited`` the attempt is lost, from then
on its end is known. ``--collect`` delivers what is there in both cases.
"""

from __future__ import annotations

import os

from penstock.agent.assignment import Assignment, AssignmentError, find_address, parse_assignment
from penstock.agent.command import Command, Ending
from penstock.agent.delivery import Delivery
from penstock.agent.handover import clean_up, hand_over, refuse
from penstock.agent.live import LiveArtifacts
from penstock.agent.notes import complain, complain_of_defect, noter
from penstock.agent.preparation import PreparationError, prepare
from penstock.agent.processes import kill_marked
from penstock.agent.record import PHASE_FINISHED, SpoolRecord
from penstock.agent.relay.listener import Listener
from penstock.agent.reporter import Reporter
from penstock.agent.signals import CancelRequested, Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_REFUSED = 2
EXIT_STILL_RUNS = 3
MAX_TRIES = 3
"""Agents that may try with the files; whatever ended that many, the next one tells the end alone."""
LOST = "the agent that ran the command was lost"


def run_attempt(line: bytes) -> int:
    """Run the attempt that one line of JSON asks for; return the agent's exit status.

    0: delivered. 2: the attempt could not begin, and the server knows. 3: another agent has it. 4: nobody waits for it.
    """
    signals = Signals()
    try:
        assignment = parse_assignment(line)
    except AssignmentError as error:
        return _refuse(line, str(error))
    record = SpoolRecord(assignment.spool)
    try:
        if not record.lock():
            return EXIT_STILL_RUNS
        record.reserve()
        record.write_assignment(line)
        descriptor = os.open(record.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        return _refuse(line, f"The attempt cannot be recorded: {error.strerror}: {error.filename or record.folder}.")
    with open(descriptor, "ab", buffering=0) as log:
        note = noter(log.fileno())
        delivery = Delivery(assignment, record, note)
        live = LiveArtifacts(assignment, record.artifacts)
        delivery.on_lines = live.offer
        reporter = Reporter(delivery)
        reporter.start()
        ending = _prepare_and_run(assignment, record, reporter, signals, log.fileno(), note)
        live.close()
        if ending.reason == "prepare_failed":
            note(ending.message)
        _record_exit(record, ending, delivery, note)
        reporter.set_state("finalizing")
        return hand_over(assignment, record, delivery, ending, note, reporter)


def collect_attempt(spool: str) -> int:
    """Deliver what an attempt left whose agent died, as lost if it died before its command; return the exit status.

    What of a lost attempt still runs is ended first, so that nothing writes any more. 0: delivered, also if it was
    before. 2: there is no assignment that can be read. 3: its agent still runs. 4: nobody waits for it.
    """
    record = SpoolRecord(spool)
    if not record.exists():
        return EXIT_REFUSED
    if not record.lock():
        return EXIT_STILL_RUNS
    phase, ending = record.read_state()
    line = b""
    try:
        line = record.read_assignment()
        assignment = parse_assignment(line)
    except (OSError, AssignmentError) as error:
        record.remove_assignment()
        return _refuse(line, str(error))
    if phase == PHASE_FINISHED:
        clean_up(assignment, record)
        return 0
    Signals()
    if ending is None:
        kill_marked(assignment.attempt)
        ending = Ending("lost", None, LOST)
    with open(_open_log(record.log), "ab", buffering=0) as log:
        note = noter(log.fileno())
        delivery = Delivery(assignment, record, note)
        delivery.state = "finalizing"
        reporter = Reporter(delivery)
        reporter.start()
        keeps_files = record.tries <= MAX_TRIES
        return hand_over(assignment, record, delivery, ending, note, reporter, keeps_files=keeps_files)


def _refuse(line: bytes, message: str) -> int:
    complain(message)
    address = find_address(line)
    if address is not None:
        refuse(address, message)
    return EXIT_REFUSED


def _open_log(path: str) -> int:
    """Open the job's log to add to it, or what takes every line and keeps none where it cannot be opened."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror}")
        return os.open(os.devnull, flags)


def _prepare_and_run(
    assignment: Assignment,
    record: SpoolRecord,
    reporter: Reporter,
    signals: Signals,
    log: int,
    note: Callable[[str], None],
) -> Ending:
    try:
        signals.raise_on_cancel(True)
        prepare(assignment, note)
        signals.raise_on_cancel(False)
    except CancelRequested:
        note("canceled")
        return Ending("canceled", None, "The job was canceled.")
    except PreparationError as error:
        return Ending("prepare_failed", None, str(error))
    except Exception as error:  # whatever it was, the job's owner hears of it
        complain_of_defect("the preparation failed")
        return Ending("prepare_failed", None, f"The job could not be prepared: {type(error).__name__}: {error}")
    relay = Listener(assignment, note)
    try:
        os.chdir(assignment.work)
        relay.open()
        command = Command(assignment, log)
    except (OSError, ValueError) as error:
        relay.close()
        reason = error.strerror if isinstance(error, OSError) else error
        return Ending("prepare_failed", None, f"The command could not be started: {reason}.")
    try:
        reporter.set_state("running", command.pid)
        record.write_running(command.pid)
        return command.wait(signals, timeout_s=assignment.timeout_s, grace_s=assignment.cancel_grace_s, note=note)
    except BaseException:
        command.end_remains(signals, grace_s=0.0)
        raise
    finally:
        relay.close()
        os.chdir("/")


def _record_exit(record: SpoolRecord, ending: Ending, delivery: Delivery, note: Callable[[str], None]) -> None:
    """Record the end; where the disk has no room for it, again before every retry of the delivery."""

    def record_exit() -> bool:
        try:
            record.write_exited(ending)
        except OSError as error:
            complain(f"the end could not be recorded: {error.strerror}")
            return False
        return True

    def again() -> None:
        if record_exit():
            delivery.before_retry = lambda: None

    if not record_exit():
        note("the end could not be recorded on the disk; it is delivered all the same")
        delivery.before_retry = again
