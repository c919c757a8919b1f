"""Internal. An HTML parser that never fails on malformed input."""

import re
from html.parser import HTMLParser
from typing import Final

# int() rejects very long digit strings; the limit is configurable but never below 640.
_OVERLONG_NUMBER = re.compile(r"&#(?=[0-9]{640})")
# Maximum characters of a tag name in a message.
MAX_TAG_NAME_LENGTH: Final = 40


class TolerantParser(HTMLParser):
    """The standard library's parser without the two errors it can raise."""

    def feed(self, data: str) -> None:
        """Parse HTML; a character reference with too many digits is text."""
        super().feed(_OVERLONG_NUMBER.sub("&;", data))

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Treat an unknown ``<![…[`` as a comment, like browsers."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, report)
