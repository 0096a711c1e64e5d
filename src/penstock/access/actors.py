"""Who is asking, and what that allows.

An :class:`Actor` is made by :mod:`penstock.access.tokens` from a token and travels with the request. The doors ask
it; it asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.entities.errors import ForbiddenError


class Role(StrEnum):
    """What a token was made for."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    ADMIN = "admin"
    JOB = "job"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Actor:
    """One authenticated caller.

    A job's actor carries the experiment it is limited to, its attempt (id and number) and its job; the other
    roles carry none of them.
    """

    name: str
    role: Role
    experiment_id: str | None = None
    attempt_id: str | None = None
    job_name: str | None = None
    attempt: int = 0

    def check_admin(self) -> None:
        """Raise ForbiddenError unless the caller holds the workspace's own token."""
        if self.role is not Role.ADMIN:
            raise ForbiddenError(
                f"the token of {self.name} does not allow this",
                hint="Use the workspace's token: `penstock token` prints it.",
                ref=self.name,
            )

    def check_contributor(self) -> None:
        """Raise ForbiddenError unless the caller is a person who may change things."""
        if self.role not in {Role.ADMIN, Role.CONTRIBUTOR}:
            raise ForbiddenError(
                f"the token of {self.name} does not allow this",
                hint="Ask an admin of the workspace for a token with the role contributor.",
                ref=self.name,
            )

    def check_reader(self) -> None:
        """Raise ForbiddenError unless the caller is a person."""
        if self.role not in {Role.ADMIN, Role.CONTRIBUTOR, Role.READER}:
            raise ForbiddenError(f"the token of {self.name} does not allow this", ref=self.name)

    def check_internal(self) -> None:
        """Raise ForbiddenError unless the caller is one of Penstock's own processes."""
        if self.role is not Role.INTERNAL:
            raise ForbiddenError("only Penstock's own processes may ask here", ref=self.name)

    def check_content(self) -> None:
        """Raise ForbiddenError unless the caller may store content (everybody but the gateway)."""
        if self.role is Role.INTERNAL:
            raise ForbiddenError("the gateway's token stores nothing", ref=self.name)

    def check_experiment(self, experiment_id: str) -> None:
        """Raise ForbiddenError if the caller may not see or change this experiment."""
        if self.role is Role.ADMIN:
            return
        if self.role is Role.JOB and self.experiment_id == experiment_id:
            return
        raise ForbiddenError(
            f"the token of {self.name} is limited to another experiment",
            hint="A job may see runs of its own experiment only.",
            ref=f"experiment:{experiment_id}",
        )

    def check_creator(self, creator: str | None, run_id: str) -> None:
        """Raise ForbiddenError if a job would change a run that ``creator`` (an actor's name) created."""
        if self.role is Role.ADMIN or (self.role is Role.JOB and creator == self.name):
            return
        raise ForbiddenError(
            f"the token of {self.name} may read the run {run_id}, but not change it",
            hint="A job may change its own run and the runs it created.",
            ref=f"run:{run_id}",
        )

    def check_attempt(self, attempt_id: str) -> None:
        """Raise ForbiddenError unless the caller is this very attempt."""
        if self.role is not Role.JOB or self.attempt_id != attempt_id:
            raise ForbiddenError("this token belongs to another attempt", ref=f"attempt:{attempt_id}")
