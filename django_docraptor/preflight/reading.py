"""HTML as preflight reads it: whatever stands in it, reading goes on."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """The standard library's parser, without the one error that it still raises."""

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Take an unknown ``<![…[`` for a comment, as browsers do."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, report)
