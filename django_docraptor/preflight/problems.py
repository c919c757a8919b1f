"""Internal. A problem and its location."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a document fails, or may look wrong."""

    ERROR = "error"
    WARNING = "warning"


class Rule(StrEnum):
    """The kinds of problems. ``PREFLIGHT_IGNORE`` and ``Document.preflight_ignore`` name them."""

    CONTENT_SIZE = "content-size"
    EXPIRED_URL = "expired-url"
    LOGIN_PAGE = "login-page"
    MISNESTED_TAG = "misnested-tag"
    MISSING_FILE = "missing-file"
    PRIVATE_HOST = "private-host"
    RELATIVE_URL = "relative-url"
    UNDEFINED_VARIABLE = "undefined-variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem in a document's HTML.

    Args:
        line: in the rendered HTML, from 1.
        column: of the tag, from 1; 0 if unknown.
        tag: name of the element; blank for the whole document.
        attribute: blank for the tag itself or its CSS.
        url: as written.
        message: location, problem and remedy, without the query string of a URL, which may be
            signed.
        severity: whether the document fails.
        rule: name of the rule, by which it can be turned off.
    """

    line: int
    column: int
    tag: str
    attribute: str
    url: str
    message: str
    severity: Severity
    rule: str
