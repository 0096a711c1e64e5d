"""What the jobs of a limited token may be given: nothing that the token itself may not come to.

A job runs with more than its submitter's token allows: its agent brings it whatever its spec names. So who is limited
to one experiment names in a spec what runs and logged models of that experiment made, registered content that no run
made, and uploads of its own; a digest is no permission.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from penstock.assets.content import Content
from penstock.entities.errors import ForbiddenError, NotFoundError, Problem, SpecError
from penstock.rules import references
from penstock.stores.metadata import logged_models, runs, trees


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a limited token reaches.

    Parameters
    ----------
    name : str
        Whose token it is.
    experiment_id : str
        The one experiment it is limited to.
    has_brought : callable
        Whether the token is known to have sent the content of a digest.
    """

    name: str
    experiment_id: str
    has_brought: Callable[[str], bool]

    def check_named(self, connection: Connection, reference: str, pointer: str) -> None:
        """Raise SpecError if a reference is the digest of a tree that holds what the token did not send itself.

        Whether others sent it is not told: there may be no such tree.
        """
        parsed = references.parse_reference(reference)
        if not isinstance(parsed, references.TreeReference):
            return
        try:
            entries = trees.get_tree(connection, parsed.digest).entries
        except NotFoundError:
            entries = None
        if entries is None or not all(self.has_brought(entry.digest) for entry in entries):
            said = f"the token of {self.name} sent no content of the digest {parsed.digest}"
            hint = "Upload it with the same token and submit again: a limited token names its own uploads only."
            raise SpecError([Problem(said, pointer=pointer, hint=hint)])

    def check_found(self, connection: Connection, content: Content, pointer: str) -> None:
        """Raise ForbiddenError if a run or logged model of another experiment made this content."""
        experiment_id = _origin(connection, content)
        if experiment_id is not None and experiment_id != self.experiment_id:
            raise ForbiddenError(
                f"the token of {self.name} is limited to one experiment; {pointer} names what another one's run made",
                hint="Such a token's jobs may use what runs of its own experiment made, and assets that no run made.",
                ref=f"experiment:{experiment_id}",
            )


def _origin(connection: Connection, content: Content) -> str | None:
    """Return the experiment whose run or logged model made this; None if none did, empty for a run that is gone."""
    model_id = content.model_id or (content.asset.model_id if content.asset else None)
    model = logged_models.find_model(connection, model_id) if model_id else None
    if model is not None:
        return model.experiment_id
    if not content.job_name:
        return None
    run = runs.find_run(connection, content.job_name, details=False)
    return run.experiment_id if run is not None else ""
