"""Internal. The documents of the user who asks: latest first, and a few at a time."""

from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest

from django_docraptor.models import RenderJob
from django_docraptor.responses.many_documents import load_sources, may_list
from django_docraptor.responses.progress import Stage, stage_of

PAGE_SIZE: Final = 20
# A database reads all rows before those of a page.
MAX_PAGES: Final = 500


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document in a list.

    Args:
        job: the job, without its errors.
        stage: its stage.
    """

    job: RenderJob
    stage: Stage

    @property
    def is_ready(self) -> bool:
        """Whether the document can be downloaded."""
        return self.stage == Stage.READY


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the documents.

    Args:
        documents: latest first.
        number: of the page, from 1.
        has_next: whether there are older ones.
    """

    documents: list[ListedDocument]
    number: int
    has_next: bool


def read_page(request: HttpRequest, number: int, size: int = PAGE_SIZE) -> Page:
    """Return a page of the documents that the user owns and may download.

    A document that the user may not download is left out, so a page may be shorter.
    """
    first = (number - 1) * size
    rows = RenderJob.objects.filter(owner_id=request.user.pk).order_by("-created_at", "-pk")
    # One more shows whether there is another page, without a count.
    jobs = list(rows.without_texts()[first : first + size + 1])
    shown = jobs[:size]
    load_sources(shown)
    documents = [ListedDocument(job, stage_of(job)) for job in shown if may_list(request, job)]
    return Page(documents, number, len(jobs) > size and number < MAX_PAGES)
