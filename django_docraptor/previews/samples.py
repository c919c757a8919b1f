"""Internal. The objects that a document class is previewed with."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from django.db.models import Model, QuerySet

from django_docraptor.documents import Document

DocumentClass = type[Document[Any]]
# Maximum number of samples of a document, and of characters of a title.
MAX_SAMPLES: Final = 20
MAX_TITLE: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One source.

    Args:
        key: identifies it in URLs: the primary key, if there is one.
        title: for people.
        source: an object, a report's rows, or ``None``.
    """

    key: str
    title: str
    source: Any


def find_samples(document: DocumentClass) -> list[Sample]:
    """Return the samples of a document. The project's hook may raise anything."""
    samples: list[Sample] = []
    sources = document.get_preview_sources()
    if isinstance(sources, QuerySet):  # iterating over one would fetch all rows
        sources = sources[:MAX_SAMPLES]
    for source in islice(sources, MAX_SAMPLES):
        key = _key(source, {sample.key for sample in samples})
        samples.append(Sample(key=key, title=_title(source), source=source))
    return samples


def _key(source: object, taken: Collection[str]) -> str:
    key = str(source.pk) if isinstance(source, Model) and source.pk is not None else ""
    return key if key and key not in taken else f"sample-{len(taken) + 1}"


def _title(source: object) -> str:
    if source is None:
        return "Without an object"
    if isinstance(source, QuerySet):
        names = source.model._meta
        count = source.count()
        return f"{count} {names.verbose_name if count == 1 else names.verbose_name_plural}"
    try:
        title = str(source)
    except Exception:  # noqa: BLE001 - a method of the project; its preview will show the error
        title = ""
    title = title.strip() or f"{type(source).__name__} {getattr(source, 'pk', '')}"
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"
