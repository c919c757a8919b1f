"""What is found: one problem, with its place."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a document fails, or may be other than it should."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a document's HTML.

    Args:
        line: in the HTML as rendered, from 1.
        column: of the tag, from 1; 0 where it is not known.
        tag: name of the element; blank if the whole document is meant.
        attribute: blank if the tag itself or the CSS in it is meant.
        url: the address, as it is written.
        message: where, what and what to do. Without the query of a full address: it may be signed.
    """

    line: int
    column: int
    tag: str
    attribute: str
    url: str
    message: str
    severity: Severity
