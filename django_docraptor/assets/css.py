"""Addresses in CSS: where they stand, and how to put others in their place. Reads no files."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Unrolled loops: an embedded font is a string of megabytes, and "(?:a|b)*" keeps a frame for each.
_STRING = r""" "[^"\\\n]*(?:\\.[^"\\\n]*)*" | '[^'\\\n]*(?:\\.[^'\\\n]*)*' """
# A bad string ends with its line. Without it every quote would be tried up to the end of the text.
_UNCLOSED = r""" "[^"\\\n]*(?:\\.[^"\\\n]*)* | '[^'\\\n]*(?:\\.[^'\\\n]*)* """
_BARE = r"""(?:[^"'()\s\\]|\\.)[^()\s\\]*(?:\\.[^()\s\\]*)*"""
_TOKEN = re.compile(
    rf"""
    (?P<comment> /\*.*?(?:\*/|\Z) )
    | @import \s* (?: url\( \s* (?: (?P<a>{_STRING}) | (?P<b>{_BARE}) ) \s* \) | (?P<c>{_STRING}) )
      (?P<conditions> [^;{{}}]* ) ;?
    | url\( \s* (?: (?P<d>{_STRING}) | (?P<e>{_BARE}) ) \s* \)
    | (?P<string> {_STRING} | {_UNCLOSED} )
    | (?P<escape> \\[^a-z] )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(\n)|(.))", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One address in CSS.

    Args:
        url: CSS escapes resolved.
        is_import: whether it is that of an ``@import``.
        conditions: what follows the address of an ``@import``, such as media.
        start: place in the text.
    """

    url: str
    is_import: bool
    conditions: str
    start: int


def references(css: str) -> Iterator[Reference]:
    """Every ``url()`` and ``@import``, but for those in comments and strings."""
    return (found for match in _TOKEN.finditer(css) if (found := _reference(match)))


def replace(css: str, change: Callable[[Reference], str | None]) -> str:
    """The text with other text for each reference; ``None`` leaves it as it is."""

    def changed(match: re.Match[str]) -> str:
        found = _reference(match)
        new = change(found) if found else None
        return match.group() if new is None else new

    return _TOKEN.sub(changed, css)


def _reference(match: re.Match[str]) -> Reference | None:
    quoted = next((match[name] for name in "acd" if match[name] is not None), None)
    bare = match["b"] or match["e"]
    if quoted is None and bare is None:
        return None
    return Reference(
        url=_ESCAPE.sub(_character, bare if quoted is None else quoted[1:-1]),
        is_import=match["conditions"] is not None,
        conditions=(match["conditions"] or "").strip(),
        start=match.start(),
    )


def _character(match: re.Match[str]) -> str:
    if match[1]:
        code = int(match[1], 16)
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"
    return match[3] or ""
