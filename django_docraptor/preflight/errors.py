"""Internal. Find the template line at which an error was raised, and the line of Python.

Django records the template line only with the engine's ``debug`` option; the traceback always has
it.
"""

import os
import sysconfig
import traceback
from pathlib import Path
from typing import Any, Final

import django
from django.template import Template
from django.template.base import Node

from django_docraptor.assets import AssetError
from django_docraptor.preflight.locations import Location, template_path

# Code that is not the project's: Django's, ours, and that of installed packages and of Python.
_FOREIGN: Final = tuple(
    str(path) + os.sep
    for path in {
        str(Path(django.__file__).parent),
        str(Path(__file__).parent.parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    }
)


def template_location(error: BaseException) -> Location | None:
    """Return the innermost template line at which an error was raised; ``None`` without one."""
    if isinstance(error, AssetError) and error.template:
        return Location(template_path(error.template), error.line)
    debug: dict[str, Any] = getattr(error, "template_debug", None) or {}
    if debug.get("name"):
        return Location(str(debug["name"]), int(debug.get("line", 0)))
    found = None
    for frame, _line in traceback.walk_tb(error.__traceback__):
        found = _location_in_frame(frame.f_code.co_name, frame.f_locals.get("self"), error) or found
    return found


def code_location(error: BaseException) -> Location | None:
    """Return the innermost line of the project's own code at which an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_foreign(frame.filename)]
    return Location(own[-1].filename, own[-1].lineno or 0) if own else None


def last_line(error: BaseException) -> str:
    """Return the last line of the traceback, such as ``KeyError: 'pay_by'``."""
    return traceback.format_exception_only(error)[-1].strip()


def _location_in_frame(function: str, owner: object, error: BaseException) -> Location | None:
    token = getattr(owner if function == "render_annotated" else error, "token", None)
    origin = getattr(owner, "origin", None)
    is_template_frame = (function == "render_annotated" and isinstance(owner, Node)) or (
        function == "compile_nodelist" and isinstance(owner, Template)
    )
    if not is_template_frame or token is None or origin is None:
        return None
    return Location(str(origin.name), int(token.lineno))


def _is_foreign(file: str) -> bool:
    return file.startswith(("<", *_FOREIGN))
