"""A document that delivers to a field of its source."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from django_docraptor.documents import Document
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import MakeJob
from tests.support.triggers import Connect


@pytest.fixture
def invoice() -> Invoice:
    """The source of a document."""
    return Invoice.objects.create(number="17", total=5)


@pytest.fixture
def media_dir(settings: Any, tmp_path: Path) -> Path:
    """The directory of the field's own storage."""
    location = tmp_path / "media"
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": location},
        }
    }
    return location


@pytest.fixture
def delivered_document(documents_dir: Path, media_dir: Path) -> type[Document[Invoice]]:
    """A document class that delivers to ``Invoice.pdf``."""

    class Delivered(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        deliver_to = "pdf"

        def get_name(self) -> str:
            return "invoice.pdf"

    return Delivered


@pytest.fixture
def make_completed_job(delivered_document, documents_dir: Path, invoice: Invoice) -> MakeJob:
    """Return a function that makes a completed job whose signal was not sent."""

    def make() -> RenderJob:
        job = delivered_document.enqueue(invoice)
        name = f"{job.pk.hex}.pdf"
        documents_dir.mkdir(exist_ok=True)
        (documents_dir / name).write_bytes(b"%PDF " + job.pk.hex.encode())
        RenderJob.objects.filter(pk=job.pk).update(
            state=State.COMPLETED, due_at=None, file=name, finished_at=seconds_from_now(0)
        )
        return RenderJob.objects.get(pk=job.pk)

    return make


@pytest.fixture
def lines_document() -> type[Document[Invoice]]:
    """A document class all of whose values depend on the number of lines."""

    class LinesPDF(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        rendered: ClassVar[list[str]] = []

        def get_name(self) -> str:
            return f"{self.source.lines.count()}-lines.pdf"

        def get_options(self) -> Any:
            return {"tag": f"{self.source.lines.count()} lines"}

        def get_idempotency_key(self) -> str:
            return f"invoice-{self.source.pk}-{self.source.lines.count()}"

        def render(self) -> str:
            html = f"<p>{self.source.lines.count()} lines</p>"
            self.rendered.append(html)
            return html

    return LinesPDF


@pytest.fixture
def on_save(lines_document: type[Document[Invoice]]) -> Connect:
    """Connect ``LinesPDF.on_save`` for the duration of the test."""
    return lines_document.on_save
