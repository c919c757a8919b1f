"""HTML as preflight reads it: whatever stands in it, reading goes on."""

import re
from html.parser import HTMLParser
from typing import Final

# int() refuses thousands of digits, or as few as Python is told to, but never so few.
_ENDLESS = re.compile(r"&#(?=[0-9]{640})")
# Characters of a tag in a message, of which there may be one for each other tag.
MAX_TAG_SHOWN: Final = 40


class Reader(HTMLParser):
    """The standard library's parser, without the two errors that it still raises."""

    def feed(self, data: str) -> None:
        """Read; a character reference with endless digits is text."""
        super().feed(_ENDLESS.sub("&;", data))

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Take an unknown ``<![…[`` for a comment, as browsers do."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, report)
