"""Internal. How many documents of a group are where, and the outcome that follows."""

from dataclasses import dataclass

from django_docraptor.models.groups import GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupProgress:
    """How many documents of a group are where.

    Args:
        total: what was asked for.
        completed: there.
        failed: given up.
        cancelled: by a person.
        unfinished: on their way.
    """

    total: int
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unfinished: int = 0

    @property
    def missing(self) -> int:
        """Documents whose jobs were deleted or erased."""
        counted = self.completed + self.failed + self.cancelled + self.unfinished
        return max(0, self.total - counted)

    @property
    def outcome(self) -> GroupState:
        """The state that follows: the one rule."""
        if self.unfinished:
            return GroupState.WORKING
        if self.completed:
            is_whole = self.completed >= self.total
            return GroupState.COMPLETED if is_whole else GroupState.PARTIAL
        return GroupState.FAILED if self.failed else GroupState.CANCELLED
