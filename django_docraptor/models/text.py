"""Internal. Make external text acceptable to every database, and summarize errors in one line."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from django.db import DatabaseError, DataError

from django_docraptor.models.commits import savepoint_if_nested

R = TypeVar("R")
# Errors of MySQL and MariaDB for a character that a column, or a comparison with it, does not have.
UNSTORABLE_CODES: Final = frozenset({1267, 1366, 3854, 3988})
# Characters outside the Basic Multilingual Plane.
ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")

# Ends the traceback of an error in a template.
TEMPLATE_NOTE: Final = "In the template {file}, line {line}.\n"
TRACEBACK: Final = "Traceback (most recent call last):"
# What each line of an exception group starts with, by which its tracebacks are indented.
GROUP_MARGIN: Final = re.compile(r"^ *[+|] ?", re.MULTILINE)


def sanitize(value: Any) -> Any:
    """Replace characters that would make a write fail.

    PostgreSQL rejects NUL, and every database rejects lone surrogates; JSON may contain both.
    """
    return _replace_in_strings(value, _without_invalid)


def write_texts(texts: Any, write: Callable[[Any], R], *, using: str) -> R:
    """Write external texts. If the database lacks a character, write them again without it.

    A table of MySQL in ``utf8`` has no emoji, and one in ``latin1`` has few letters. Only the error
    says so: then what is outside the Basic Multilingual Plane is replaced by U+FFFD, and at last
    whatever is not ASCII by a question mark.

    Args:
        texts: a string, or mappings and lists of strings.
        write: writes the texts that it is given; it may be called several times.
        using: alias of the database.
    """
    texts = sanitize(texts)
    for replace in (_without_astral, _without_non_ascii):
        reduced = _replace_in_strings(texts, replace)
        if reduced == texts:
            continue
        try:
            with savepoint_if_nested(using):
                return write(texts)
        except (DatabaseError, UnicodeEncodeError) as error:
            if not is_unstorable(error):
                raise
        texts = reduced
    return write(texts)


def is_unstorable(error: Exception) -> bool:
    """Return whether the database rejected a value, whatever class the driver gives the error."""
    code = error.args[0] if error.args else None
    return isinstance(error, (DataError, UnicodeEncodeError)) or code in UNSTORABLE_CODES


def _replace_in_strings(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace the strings of a value, and of the mappings and lists in it."""
    if isinstance(value, str):
        replaced = replace(value)
        return value if replaced == value else replaced
    if isinstance(value, Mapping):
        return {
            _replace_in_strings(key, replace): _replace_in_strings(item, replace)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_replace_in_strings(item, replace) for item in value]
    return value


def _without_invalid(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _without_astral(text: str) -> str:
    return ASTRAL.sub("\ufffd", text)


def _without_non_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def summary_line(text: str) -> str:
    """Return the line of an error that says what happened.

    It is the first line, but of a traceback the one that names the exception, at its end. If the
    exception's message has several lines, this is the first of them.
    """
    lines = text.strip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip(" +|").endswith(TRACEBACK)]
    if not starts:
        return lines[0] if lines else ""
    end = lines[starts[-1] + 1 :]
    if "Group" in lines[starts[0]]:
        end = GROUP_MARGIN.sub("", "\n".join(end)).splitlines()
    return next((line.strip() for line in end if line.strip() and line[0] != " "), lines[-1])
