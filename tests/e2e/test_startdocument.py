"""``docraptor_startdocument`` in a new project: what it writes works, and looks like a document."""

from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from django_docraptor.sandbox import Sandbox
from tests.support.new_project import NewProject

SETTINGS = """
INSTALLED_APPS += ["django_docraptor", "shop"]
DOCRAPTOR = {{"API_KEY": "key", "BASE_URL": "{url}", "RUNNER": "none"}}
MEDIA_ROOT = BASE_DIR / "documents"
"""
URLS = """
from django.urls import include
urlpatterns += [path("docraptor/", include("django_docraptor.urls"))]
"""
MODELS = """
from django.conf import settings
from django.db import models

class Invoice(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    number = models.CharField(max_length=20, unique=True)
    due_on = models.DateField()
    total = models.DecimalField("total {£}", max_digits=9, decimal_places=2)

    def __str__(self):
        return f"Invoice {self.number} & O'Hara"

class Line(models.Model):
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    text = models.CharField("description", max_length=200)
    quantity = models.IntegerField(default=1)
"""
OWN = "# A comment.\nfrom shop.models import Line\n\nLINES = Line.objects.all()  # ours\n"
EARLY = "import django_docraptor; django_docraptor.enqueue(name='a.pdf', content='<p>')"
ENQUEUE = """
from django.contrib.auth.models import User
from shop.documents import InvoicePDF
from shop.models import Invoice
invoice = Invoice.objects.create(
    customer=User.objects.create(username="ines"), number="17", due_on="2026-01-31", total=9)
for number in range(60):
    invoice.lines.create(text=f"Paper {number}")
InvoicePDF.enqueue(invoice)
"""


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox that renders real PDFs."""
    pytest.importorskip("weasyprint")
    return Sandbox(renderer="weasyprint")


@pytest.mark.once
def test_written_files_work_in_a_new_project(tmp_path: Path, sandbox: Sandbox) -> None:
    """The test passes, the document has its header, pages and table, and nothing was lost."""
    with sandbox:
        project = NewProject(tmp_path)
        project.append("mysite/settings.py", SETTINGS.format(url=sandbox.url))
        project.append("mysite/urls.py", URLS)
        project.write("shop/models.py", MODELS)
        project.write("shop/documents.py", OWN)
        project.manage("makemigrations", "shop")

        printed = project.manage("docraptor_startdocument", "shop", "Invoice")
        assert "shop/documents.py: added to" in printed
        assert "shop/templates/shop/invoice_pdf.html: written" in printed
        module = (tmp_path / "shop" / "documents.py").read_text()
        assert module.startswith("# A comment.\nfrom shop.models import Line\nfrom ")
        assert "LINES = Line.objects.all()  # ours\n" in module

        project.manage("docraptor_startdocument", "shop", "auth.User", "--name", "UserCard")
        assert "Ran 2 tests" in project.manage("test", "shop")
        refused = project.manage("docraptor_startdocument", "shop", "Invoice", fails=True)
        assert "shop.InvoicePDF is taken already" in refused

        told = project.manage("shell", "-c", EARLY, fails=True)
        assert "no such table" in told
        assert "Run manage.py migrate" in told
        project.manage("migrate")
        project.manage("shell", "-c", ENQUEUE)
        assert ": completed" in project.manage("docraptor_tick", "--until-idle")
    (file,) = (tmp_path / "documents").rglob("*.pdf")
    pages = [page.extract_text() for page in PdfReader(BytesIO(file.read_bytes())).pages]
    assert len(pages) >= 2
    for number, text in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in text
        assert "Invoice 17 & O'Hara" in text  # the heading, or the header after it
        assert "Description" in text  # the head of the table
    assert "Total {£}" in pages[0]
    assert "Paper 59" in pages[-1]
