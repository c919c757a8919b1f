"""Internal. Whether a preview has changed: its output, or the files of its templates."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from django_docraptor.preflight.locations import template_files
from django_docraptor.previews.rendering import Preview
from django_docraptor.previews.selection import Selection


def preview_digests(selection: Selection, preview: Preview) -> dict[str, str]:
    """Return two digests: of what is shown, and of the times at which templates were changed.

    What is shown is the HTML, its problems, or the failure, and the samples.
    """
    titles = [(sample.key, sample.title) for sample in selection.samples]
    shown = repr((titles, preview.failure, preview.page, preview.findings))
    files = template_files(selection.document.template_name)
    return {
        "output": _digest([shown, preview.html]),
        "templates": _digest(f"{file} {_changed_at(file)}" for file in files),
    }


def _changed_at(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except (OSError, ValueError):  # a template that is not a file
        return 0


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d " % len(data) + data)
    return digest.hexdigest()[:32]
