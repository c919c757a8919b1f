"""Internal. DocRaptor's generation log: the messages of the program that made the document.

A line has a type, a location and a text, separated by bars: ``msg|wrn|https://…/logo.png|can't open
input file``. That is what public logs look like; DocRaptor does not document it.
"""

import re
from typing import Final

# Lines that tell of something missing or wrong in a document that was made nevertheless.
WARNING: Final = re.compile(r"\s*msg\|(?:wrn|err)\|(.*)", re.IGNORECASE)
# How much of them is kept.
MAX_LINES: Final = 10
MAX_LINE_LENGTH: Final = 300
# What may be a secret in a URL: a signature or token, and a user with a password.
QUERY: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#|]*)[?#][^\s|]*", re.IGNORECASE)
USER: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@|]*@", re.IGNORECASE)
DATA: Final = re.compile(r"\bdata:[^\s|]*", re.IGNORECASE)


def parse_warnings(value: object) -> tuple[int | None, str]:
    """Return the number of warnings in a log, and the first of them, one per line.

    The number is ``None`` if there is no log. URLs are without what may be secret.
    """
    if not isinstance(value, str) or not value.strip():
        return None, ""
    found = [match[1] for line in value.splitlines() if (match := WARNING.match(line))]
    return len(found), "\n".join(map(_readable, found[:MAX_LINES]))


def _readable(message: str) -> str:
    """Return the location and the text of a message, bounded and without secrets."""
    message = DATA.sub("data:…", message[: 10 * MAX_LINE_LENGTH])
    message = USER.sub(r"\1", QUERY.sub(r"\1?…", message))
    line = ": ".join(part.strip() for part in message.split("|") if part.strip())
    return line if len(line) <= MAX_LINE_LENGTH else f"{line[: MAX_LINE_LENGTH - 1]}…"
