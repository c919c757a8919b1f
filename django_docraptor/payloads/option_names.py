"""Internal. Names of options that are misspelt, or in the wrong dict. They are refused.

DocRaptor ignores what it does not know. A PDF whose ``user_pasword`` is set is not encrypted.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from django_docraptor.docraptor_api import RESERVED_OPTIONS
from django_docraptor.payloads.validation import FieldErrors

# How similar a name must be to that of an option to count as misspelt.
SIMILARITY: Final = 0.8


def misspelt_names(
    options: Mapping[str, Any], *, own: Collection[str], prince: Collection[str]
) -> FieldErrors:
    """Yield a message for each name that is almost an option, or one of the other dict.

    What is in ``extra`` is sent as it is.

    Args:
        options: the flat dict of a project.
        own: names of DocRaptor's options.
        prince: names of the options in ``prince_options``.
    """
    for name in options:
        if name not in own and name not in RESERVED_OPTIONS:
            place = f"prince_options={{{name!r}: …}}" if name in prince else ""
            meant = place or _nearest(name, own) or _nearest(name, prince, "prince_options.")
            yield from _error(name, name, meant)
    nested = options.get("prince_options")
    for name in nested if isinstance(nested, Mapping) else ():
        if name not in prince and name != "extra":
            meant = f"{name!r} beside prince_options" if name in own else _nearest(name, prince)
            yield from _error("prince_options", name, meant)


def _nearest(name: str, known: Collection[str], prefix: str = "") -> str:
    """Return the option that a name almost is, whatever its case and its hyphens; or ""."""
    plain = {_plain(option): option for option in known}
    matches = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=SIMILARITY)
    return repr(prefix + plain[matches[0]]) if matches else ""


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _error(field: str, name: str, meant: str) -> FieldErrors:
    if meant:
        yield (
            field,
            f"{name!r} is not an option of DocRaptor. Did you mean {meant}? A new option that this "
            f"version of django_docraptor does not know is sent if it is in extra={{{name!r}: …}}.",
        )
