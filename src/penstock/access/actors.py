"""Who is asking, and what that allows.

An :class:`Actor` is made by :mod:`penstock.access.tokens` from a token and travels with the request. The doors ask
it; it asks the table of :mod:`penstock.rules.permissions` and nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.entities.errors import ForbiddenError, NotFoundError
from penstock.entities.token import PEOPLE, Role
from penstock.rules.permissions import Action, allows, least_role

__all__ = ["Action", "Actor", "Role"]

_WRITERS = frozenset({Role.ADMIN, Role.CONTRIBUTOR})


@dataclass(frozen=True, slots=True)
class Actor:
    """One authenticated caller.

    A job's actor carries the experiment it is limited to, its attempt (id and number) and its job. A person's
    carries an experiment if its token is limited to one, the token's id, and who made the token.
    """

    name: str
    role: Role
    experiment_id: str | None = None
    attempt_id: str | None = None
    job_name: str | None = None
    attempt: int = 0
    token_id: str | None = None
    made_by: str = ""

    @property
    def sees_all(self) -> bool:
        """Return whether the caller may see every experiment."""
        return self.experiment_id is None and self.role in PEOPLE

    def check(self, action: Action) -> None:
        """Raise ForbiddenError unless the table allows the action; a job's limits are checked further on."""
        if not allows(self.role, action, is_limited=self.experiment_id is not None):
            raise self._refusal(action)

    def check_contributor(self) -> None:
        """Raise ForbiddenError unless the caller is a person who may change things."""
        if self.role not in _WRITERS:
            raise self._needs(Role.CONTRIBUTOR)

    def check_internal(self) -> None:
        """Raise ForbiddenError unless the caller is one of Penstock's own processes."""
        if self.role is not Role.INTERNAL:
            raise ForbiddenError("only Penstock's own processes may ask here", ref=self.name)

    def check_experiment(self, experiment_id: str, absent: NotFoundError | None = None) -> None:
        """Raise ForbiddenError if the caller may not see or change this experiment.

        To a person it is rather ``absent``, where given: what is said of something that is not there, so that who
        tries names does not learn which there are. A job is told its limits, as its script names what it knows.
        """
        if self.sees_all or (self.role is not Role.INTERNAL and self.experiment_id == experiment_id):
            return
        if absent is not None and self.role in PEOPLE:
            raise absent
        raise ForbiddenError(
            f"the token of {self.name} is limited to another experiment",
            hint="A job may see runs of its own experiment only." if self.role is Role.JOB else self._whom_to_ask(),
            ref=f"experiment:{experiment_id}",
        )

    def check_creator(self, creator: str | None, run_id: str) -> None:
        """Raise ForbiddenError if a job would change a run that ``creator`` (an actor's name) created."""
        if self.role in _WRITERS or (self.role is Role.JOB and creator == self.name):
            return
        if self.role is Role.READER:
            raise self._needs(Role.CONTRIBUTOR)
        raise ForbiddenError(
            f"the token of {self.name} may read the run {run_id}, but not change it",
            hint="A job may change its own run and the runs it created.",
            ref=f"run:{run_id}",
        )

    def check_attempt(self, attempt_id: str) -> None:
        """Raise ForbiddenError unless the caller is this very attempt."""
        if self.role is not Role.JOB or self.attempt_id != attempt_id:
            raise ForbiddenError("this token belongs to another attempt", ref=f"attempt:{attempt_id}")

    def _refusal(self, action: Action) -> ForbiddenError:
        needed = least_role(action)
        if needed is None:
            return ForbiddenError("only Penstock's own processes may ask here", ref=self.name)
        if self.role in PEOPLE and allows(self.role, action):
            return ForbiddenError(
                f"the token of {self.name} is limited to one experiment and does not allow {action}",
                hint=self._whom_to_ask(),
                ref=self.name,
            )
        return self._needs(needed, f"does not allow {action}")

    def _needs(self, needed: Role, what: str = "does not allow this") -> ForbiddenError:
        if self.role not in PEOPLE:
            hint = "This needs the token of a person; a job's own is limited to its experiment."
            return ForbiddenError(f"the token of {self.name} {what}", hint=hint, ref=self.name)
        return ForbiddenError(
            f"the token of {self.name} has the role {self.role}, which {what}",
            hint=f"It needs the role {needed}. {self._whom_to_ask()}",
            ref=self.name,
        )

    def _whom_to_ask(self) -> str:
        person = f"{self.made_by}, who made this token," if self.made_by else "an admin of the workspace"
        return f"Ask {person} for another: `penstock token create`."
