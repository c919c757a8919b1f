"""Internal. Skip the HTML that cannot load anything, and let a parser read the rest.

Most of a document is text and tags such as ``<td class="price">``, which a regular expression skips
many times as fast as the parser reads them. Only what every release of the parser takes for a whole
tag, comment or text is skipped, or read alone. From the first doubt on, the parser reads all.
"""

import re
from typing import Final

from django_docraptor.preflight.loading import RELEVANT
from django_docraptor.preflight.parser import TolerantParser

# Elements whose content has rules of its own, in some releases of the parser.
FOREIGN: Final = frozenset({"svg", "math"})

# No pattern backtracks, so the time is proportional to the length. With re.ASCII, what is not
# ASCII ends names and bare values: some releases take it for space.
_FLAGS: Final = re.ASCII | re.IGNORECASE | re.VERBOSE
_SPACE: Final = r"[ \t\n\r\f]"
_EQUALS: Final = rf"{_SPACE}*+ = {_SPACE}*+"
_ATTRIBUTE_NAME: Final = r"[a-z@:_][-a-z0-9@:_.]*+"
_QUOTED: Final = r""" "[^"]*+" | '[^']*+' """
# Neither url() nor @import, nor what may stand for their letters.
_CSS: Final = r"(?: [^{quote}&@(\\] | (?<![l])\( )*+"
_PLAIN_STYLE: Final = rf""" "{_CSS.format(quote='"')}" | '{_CSS.format(quote="'")}' """
_PLAIN_ATTRIBUTE: Final = rf"""
    style {_EQUALS} (?: {_PLAIN_STYLE} )
    | (?!style\b) {_ATTRIBUTE_NAME} (?: {_EQUALS} (?: {_QUOTED} | [^\s"'=<>`]++ ) )?+
"""
_ATTRIBUTE: Final = rf"{_ATTRIBUTE_NAME} (?: {_EQUALS} (?: {_QUOTED} | [^\s\"'<>`]++ ) )?+"


def _one_of(names: frozenset[str]) -> str:
    return rf"(?:{'|'.join(sorted(names))})\b"


def _tag(name: str, attribute: str) -> str:
    """Return the pattern of a start or end tag, without its first character."""
    return rf"""
        (?: / {name} {_SPACE}*+ > | {name} (?: {_SPACE}++ (?: {attribute} ) )*+ {_SPACE}*+ /?+ > )
    """


_NAME: Final = "[a-z][-a-z0-9:_.]*+"
_PLAIN_TAG: Final = _tag(f"(?! {_one_of(RELEVANT | FOREIGN)} ) {_NAME}", _PLAIN_ATTRIBUTE)
_ANY_TAG: Final = _tag(f"(?! {_one_of(FOREIGN)} ) {_NAME}", _ATTRIBUTE)
# A "<" that begins nothing is text.
_NO_TAG: Final = "(?![a-z/!?])"
_COMMENT: Final = r"!-- (?! -?> ) (?: [^-]++ | - (?! -[^-<>\w]*+> ) )*+ -->"
_DECLARATION: Final = r"(?: !doctype | !\[ | \? ) [^<>]*+ >"
_FOREIGN_ELEMENT: Final = rf"""
    (?P<foreign> {_one_of(FOREIGN)} ) (?: {_SPACE}++ {_ATTRIBUTE} )*+ {_SPACE}*+ >
    (?: [^<]*+ < (?: {_ANY_TAG} | {_NO_TAG} | {_COMMENT} ) )*+
    [^<]*+ </ (?P=foreign) >
"""
_IRRELEVANT: Final = re.compile(rf"(?: [^<]*+ < (?: {_PLAIN_TAG} | {_NO_TAG} ) )*+ [^<]*+", _FLAGS)
_PIECE: Final = re.compile(
    f"< (?: {_ANY_TAG} | {_COMMENT} | {_DECLARATION} | {_FOREIGN_ELEMENT} )", _FLAGS
)


def read_relevant(parser: TolerantParser, html: str) -> None:
    """Let the parser read what is relevant, as if it read all, and close it."""
    position = 0
    while position < len(html):
        start = _end(_IRRELEVANT, html, position)
        parser.skip(html, position, start)
        position = _end(_PIECE, html, start)
        parser.feed(html[start:position])
        if parser.cdata_elem:
            start, position = position, _end_of_raw_text(html, position, parser.cdata_elem)
            parser.feed(html[start:position])
        if position == start or parser.is_inside:
            parser.feed(html[position:])
            break
    parser.close()


def _end(pattern: re.Pattern[str], html: str, start: int) -> int:
    match = pattern.match(html, start)
    return match.end() if match else start


def _end_of_raw_text(html: str, start: int, element: str) -> int:
    """Return where a script, or the like, surely ends, or the start."""
    found = re.compile(rf"</\s*{element}({_SPACE}*+>)?+", re.IGNORECASE).search(html, start)
    return found.end() if found and found[1] else start
