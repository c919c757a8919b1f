"""Internal. What went wrong in a preview, and where, for the person who edits the template."""

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.core.exceptions import ValidationError
from django.template import TemplateDoesNotExist

from django_docraptor.exceptions import DocRaptorError
from django_docraptor.preflight.errors import code_location, last_line, template_location
from django_docraptor.preflight.locations import Location, relative_path

# Lines shown before and after the one at fault; maximum length of a line, and of a file.
CONTEXT_LINES: Final = 2
MAX_LINE: Final = 200
MAX_FILE_BYTES: Final = 2 * 1024 * 1024


class PreviewError(DocRaptorError):
    """A preview is not possible; the message says why and what to do."""

    code = "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A location, and the lines around it: number, text, and whether it is the one at fault."""

    title: str
    location: Location
    lines: list[tuple[int, str, bool]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The location, relative to the working directory if possible."""
        return relative_path(self.location)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error, for a person.

    Args:
        messages: the last line of the traceback, or one for each invalid field.
        hint: what to do, if that is known.
        excerpts: where it was raised, in a template or in Python.
        traceback: complete; blank for our own errors, which say everything.
    """

    messages: tuple[str, ...]
    hint: str = ""
    excerpts: tuple[Excerpt, ...] = ()
    traceback: str = ""


def describe_failure(error: BaseException, *, hint: str = "") -> Failure:
    """Return what to show of an error.

    Args:
        error: raised by a template, a hook, or us.
        hint: what to do, if the error is not ours.
    """
    if isinstance(error, PreviewError):
        return Failure(messages=(str(error),))
    if isinstance(error, ValidationError):
        return Failure(messages=_field_messages(error), excerpts=_excerpts(error), hint=hint)
    if isinstance(error, DocRaptorError):
        return Failure(messages=(str(error),), excerpts=_excerpts(error))
    return Failure(
        messages=(last_line(error), *_tried(error)),
        hint=hint,
        excerpts=_excerpts(error),
        traceback="".join(traceback.format_exception(error)),
    )


def excerpt(title: str, location: Location) -> Excerpt:
    """Return a location with the lines around it, as far as its file can be read."""
    lines = _read_lines(location.file) if location.line else []
    first = max(1, location.line - CONTEXT_LINES)
    shown = lines[first - 1 : location.line + CONTEXT_LINES]
    numbered = [
        (number, line[:MAX_LINE], number == location.line)
        for number, line in enumerate(shown, start=first)
    ]
    return Excerpt(title=title, location=location, lines=numbered)


def _excerpts(error: BaseException) -> tuple[Excerpt, ...]:
    found = [("Template", template_location(error)), ("Code", code_location(error))]
    return tuple(excerpt(title, location) for title, location in found if location)


def _field_messages(error: ValidationError) -> tuple[str, ...]:
    if not hasattr(error, "error_dict"):
        return tuple(error.messages)
    return tuple(
        f"{name}: {message}" for name, texts in error.message_dict.items() for message in texts
    )


def _tried(error: BaseException) -> list[str]:
    """Return where a missing template was looked for."""
    if not isinstance(error, TemplateDoesNotExist):
        return []
    return [
        f"Not found: {origin.name}"
        for each in (error, *error.chain)
        for origin, _reason in each.tried
    ]


def _read_lines(file: str) -> list[str]:
    path = Path(file)
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return []
        return path.read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return []
