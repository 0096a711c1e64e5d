"""One attempt from its assignment to its end: prepare, run, collect, deliver, clean up.

Killed between any two lines, the spool folder says how far it came: before ``exited`` the attempt is lost, from then
on ``--collect`` finishes it.
"""

from __future__ import annotations

import os
import sys

from penstock.agent.assignment import Assignment, AssignmentError, parse_assignment
from penstock.agent.collection import collect, open_source
from penstock.agent.command import Command, Ending
from penstock.agent.delivery import Abandoned, Delivery
from penstock.agent.door import Refused
from penstock.agent.preparation import PreparationError, prepare
from penstock.agent.record import PHASE_EXITED, PHASE_FINISHED, SpoolRecord
from penstock.agent.reporter import Reporter
from penstock.agent.signals import CancelRequested, Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_NOTHING_RECORDED = 2
EXIT_STILL_RUNS = 3
EXIT_ABANDONED = 4
COLLECT_TRIES = 3


def run_attempt(line: bytes) -> int:
    """Run the attempt that one line of JSON asks for; return the agent's exit status."""
    signals = Signals()
    try:
        assignment = parse_assignment(line)
    except AssignmentError as error:
        print(f"penstock agent: {error}", file=sys.stderr)
        return EXIT_NOTHING_RECORDED
    record = SpoolRecord(assignment.spool)
    if not record.lock():
        return EXIT_STILL_RUNS
    record.write_assignment(line)
    delivery = Delivery(assignment, record)
    reporter = Reporter(delivery)
    with open(record.log, "ab", buffering=0) as log:
        note = noter(log.fileno())
        reporter.start()
        ending = _prepare_and_run(assignment, record, reporter, signals, log.fileno(), note)
        if ending.reason == "prepare_failed":
            note(ending.message)
        _record_exit(record, ending, note)
        reporter.set_state("finalizing")
        return _deliver(assignment, record, delivery, ending, note, reporter)


def collect_attempt(spool: str) -> int:
    """Finish an attempt whose agent died after its command had ended; return the exit status.

    0: delivered, also if it was before. 2: no end was recorded, the attempt is lost. 3: its agent still runs.
    """
    record = SpoolRecord(spool)
    if not record.exists():
        return EXIT_NOTHING_RECORDED
    if not record.lock():
        return EXIT_STILL_RUNS
    phase, ending = record.read_state()
    try:
        assignment = parse_assignment(record.read_assignment())
    except (FileNotFoundError, AssignmentError):
        return EXIT_NOTHING_RECORDED
    if phase == PHASE_FINISHED:
        _clean_up(assignment, record)
        return 0
    if phase != PHASE_EXITED or ending is None:
        return EXIT_NOTHING_RECORDED
    delivery = Delivery(assignment, record)
    delivery.state = "finalizing"
    reporter = Reporter(delivery)
    Signals()
    with open(record.log, "ab", buffering=0) as log:
        reporter.start()
        return _deliver(assignment, record, delivery, ending, noter(log.fileno()), reporter)


def noter(log: int) -> Callable[[str], None]:
    """Return a function that writes one line of ours into the job's log."""

    def note(line: str) -> None:
        try:
            os.write(log, f"penstock: {line}\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            print(f"penstock agent: {line} (not logged: {error})", file=sys.stderr)

    return note


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
    os.chdir(assignment.work)
    try:
        command = Command(assignment, log)
    except OSError as error:
        return Ending("prepare_failed", None, f"The command could not be started: {error.strerror}.")
    try:
        reporter.set_state("running", command.pid)
        record.write_running(command.pid)
        return command.wait(signals, timeout_s=assignment.timeout_s, grace_s=assignment.cancel_grace_s, note=note)
    except BaseException:
        command.end_remains(signals, grace_s=0.0)
        raise
    finally:
        os.chdir("/")


def _deliver(
    assignment: Assignment,
    record: SpoolRecord,
    delivery: Delivery,
    ending: Ending,
    note: Callable[[str], None],
    reporter: Reporter,
) -> int:
    try:
        for _ in range(COLLECT_TRIES):
            collection = collect(assignment, record, note)
            reporter.close()
            body = {**ending.as_dict(), "artifacts": collection.artifacts, "outputs": collection.outputs}

            def upload(digest: str, sources: dict[str, tuple[str, int]] = collection.sources) -> None:
                with open_source(*sources[digest]) as file:
                    delivery.door.put_blob(digest, file, sources[digest][1])

            try:
                delivery.finish(body, upload)
                break
            except Refused as refusal:
                message = f"What the job left could not be kept: {refusal}"
                print(f"penstock agent: {message}", file=sys.stderr)
        else:
            failed = {**ending.as_dict(), "message": message, "artifacts": [], "outputs": {}}
            failed["exit_code"] = ending.exit_code or None
            delivery.finish(failed, lambda digest: None)
    except (Abandoned, Refused) as error:
        print(f"penstock agent: attempt {assignment.attempt} abandoned: {error}", file=sys.stderr)
        return EXIT_ABANDONED
    record.write_finished()
    delivery.door.close()
    _clean_up(assignment, record)
    return 0


def _record_exit(record: SpoolRecord, ending: Ending, note: Callable[[str], None]) -> None:
    try:
        record.write_exited(ending)
    except OSError as error:
        note(f"the end could not be recorded: {error.strerror}")


def _clean_up(assignment: Assignment, record: SpoolRecord) -> None:
    """Remove the working copy and the spool; what cannot be removed stays for the server's sweep."""
    remove_tree(assignment.folder)
    remove_tree(record.folder)
    try:
        os.rmdir(os.path.dirname(assignment.folder))
    except OSError:
        return


def remove_tree(folder: str) -> None:
    """Remove a folder and everything in it as far as permissions let us; shutil would cost 5 ms to import."""
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        return
