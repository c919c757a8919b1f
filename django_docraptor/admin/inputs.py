"""Internal. Load a job's stored input for its page: bounded, redacted, and only for its readers."""

from copy import copy
from dataclasses import dataclass
from typing import Any, cast

from django.db.models.functions import Length, Substr
from django.http import HttpRequest

from django_docraptor.admin.display import redact_credentials, redacted_json
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.responses.many_documents import may_list

# Characters of the content that a page shows, folded.
MAX_CONTENT_SHOWN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """A stored input, formatted for display."""

    options: str
    params: str
    url: str
    content: str
    length: int
    language: str
    time_zone: str

    @property
    def is_truncated(self) -> bool:
        """Whether there is more content than is shown."""
        return self.length > len(self.content)


def load_stored_input(job: RenderJob) -> StoredInput | None:
    """Return a job's input, with only the beginning of its content read from the database."""
    rows = RenderInput.objects.filter(pk=job.pk).defer("content")
    length, start = Length("content"), Substr("content", 1, MAX_CONTENT_SHOWN)
    stored = rows.annotate(length=length, start=start).first()
    if stored is None:
        return None
    measured = cast(Any, stored)
    return StoredInput(
        options=redacted_json(stored.options),
        params=redacted_json(stored.params) if stored.params else "",
        url=redact_credentials(stored.url),
        content=measured.start,
        length=measured.length,
        language=stored.language,
        time_zone=stored.time_zone,
    )


def may_read(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the document lets the user read the job. An exception counts as no."""
    # A copy: the rule may load the source, which is shown only to users who may view it.
    return may_list(request, copy(job))
