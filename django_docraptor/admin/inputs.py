"""What a job was made from, as far as its page shows it: text, bounded, without secrets."""

from dataclasses import dataclass
from typing import Any, cast

from django.db.models.functions import Length, Substr

from django_docraptor.admin.display import pretty, without_user
from django_docraptor.models import RenderInput, RenderJob

# Characters of the content that a page shows, folded.
CONTENT_SHOWN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """A stored input, ready to be shown."""

    options: str
    params: str
    url: str
    content: str
    length: int
    language: str
    time_zone: str

    @property
    def is_cut(self) -> bool:
        """Whether there is more content than is shown."""
        return self.length > len(self.content)


def stored_input(job: RenderJob) -> StoredInput | None:
    """The input of a job. Only the beginning of its content leaves the database."""
    rows = RenderInput.objects.filter(pk=job.pk).defer("content")
    length, start = Length("content"), Substr("content", 1, CONTENT_SHOWN)
    stored = rows.annotate(length=length, start=start).first()
    if stored is None:
        return None
    measured = cast(Any, stored)
    return StoredInput(
        options=pretty(stored.options),
        params=pretty(stored.params) if stored.params else "",
        url=without_user(stored.url),
        content=measured.start,
        length=measured.length,
        language=stored.language,
        time_zone=stored.time_zone,
    )
