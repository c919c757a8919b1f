"""Internal. Find and replace URLs in CSS. Reads no files."""

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Unrolled loops: an embedded font can have megabytes, and "(?:a|b)*" keeps a frame per character.
_STRING = r""" "[^"\\\n]*(?:\\.[^"\\\n]*)*" | '[^'\\\n]*(?:\\.[^'\\\n]*)*' """
# An unclosed string ends with its line; otherwise every quote would be matched to the end of the
# text.
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
    | @ (?P<rule> media | supports | container | namespace | (?:-moz-)?document ) \b
      (?P<prelude> [^{{}};]* )
    | (?P<brace> [{{}}] )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(\n)|(.))", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A URL in CSS.

    Args:
        url: CSS escapes resolved.
        is_import: whether it belongs to an ``@import``.
        conditions: conditions of the ``@import``, such as media.
        start: offset in the text.
        rank: the least that the enclosing conditional rules were given.
    """

    url: str
    is_import: bool
    conditions: str
    start: int
    rank: int = sys.maxsize


def references(css: str, rank_rule: Callable[[str, str], int] | None = None) -> Iterator[Reference]:
    """Yield every ``url()`` and ``@import`` outside comments and strings.

    The URL of a ``@namespace`` is a name, and is not yielded.

    Args:
        css: the text.
        rank_rule: gives a rank to a conditional rule, by its name (``media``) and its conditions.
    """
    pending, ranks = sys.maxsize, [sys.maxsize]
    for match in _TOKEN.finditer(css):
        if match["rule"]:
            if rank_rule and match["rule"].lower() != "namespace":
                pending = rank_rule(match["rule"].lower(), match["prelude"].strip())
        elif match["brace"] == "{":
            ranks.append(min(ranks[-1], pending))
            pending = sys.maxsize
        elif match["brace"]:
            del ranks[max(1, len(ranks) - 1) :]
        elif reference := _reference(match):
            yield dataclasses.replace(reference, rank=ranks[-1])


def replace(css: str, change: Callable[[Reference], str | None]) -> str:
    """Replace each reference by what ``change`` returns; ``None`` keeps it."""

    def replacement(match: re.Match[str]) -> str:
        reference = _reference(match)
        text = change(reference) if reference else None
        return match.group() if text is None else text

    return _TOKEN.sub(replacement, css)


def _reference(match: re.Match[str]) -> Reference | None:
    quoted = next((match[name] for name in "acd" if match[name] is not None), None)
    bare = match["b"] or match["e"]
    if quoted is None and bare is None:
        return None
    return Reference(
        url=_ESCAPE.sub(_unescape, bare if quoted is None else quoted[1:-1]),
        is_import=match["conditions"] is not None,
        conditions=(match["conditions"] or "").strip(),
        start=match.start(),
    )


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        code = int(match[1], 16)
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"
    return match[3] or ""
