"""Internal. An HTML parser that never fails on malformed input."""

import re
from html.parser import HTMLParser
from typing import Final

# int() rejects very long digit strings; the limit is configurable but never below 640.
_OVERLONG_NUMBER = re.compile(r"&#(?=[0-9]{640})")
# Maximum characters of a tag name in a message.
MAX_TAG_NAME_LENGTH: Final = 40


class TolerantParser(HTMLParser):
    """The standard library's parser without the two errors it can raise, in linear time."""

    def feed(self, data: str) -> None:
        """Parse HTML; a character reference with too many digits is text."""
        super().feed(_OVERLONG_NUMBER.sub("&;", data))

    def close(self) -> None:
        """End the HTML. Like browsers, drop a tag or comment that is not complete at its end.

        Earlier releases of the parser look for tags inside it, which takes quadratic time.
        """
        if self.cdata_elem:
            super().close()

    @property
    def is_inside(self) -> bool:
        """Whether what was fed ends inside of something, such as a tag, a comment or a script."""
        # Newer releases of the parser remember which elements of SVG and MathML are open.
        is_foreign = bool(getattr(self, "_open_elements", None))
        return bool(self.rawdata) or self.cdata_elem is not None or is_foreign

    def skip(self, html: str, start: int, end: int) -> None:
        """Move the position over HTML that is not fed, while the parser is not inside."""
        self.rawdata = html
        self.updatepos(start, end)
        self.rawdata = ""

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Treat an unknown ``<![…[`` as a comment, like browsers."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, report)
