"""The story of an admin site: a button, its document, and the pages of the job."""

import re

from billing.models import Invoice
from django.urls import reverse
from steps import assert_downloads, client_of, completed_job, user

from django_docraptor.models import RenderJob

JOBS = "admin:django_docraptor_renderjob"
BUTTON = re.compile(r'<button [^>]*form="(\S+)" formaction="(\S+)"')
STYLES = "django_docraptor/admin.css"


def press_button(client, invoice) -> None:  # type: ignore[no-untyped-def]
    """Do what a browser does when the button is pressed: submit the form that it names."""
    page = client.get(reverse("admin:billing_invoice_change", args=[invoice.pk])).content.decode()
    ((form_id, address),) = BUTTON.findall(page)
    (form,) = re.findall(rf'<form id="{form_id}".*?</form>', page, re.DOTALL)
    before = page[: page.index(form)]
    assert before.count("<form") == before.count("</form>"), "The form is inside another one."
    values = dict(re.findall(r'name="(_form_token)" value="(\w+)"', form))
    assert client.post(address, values).status_code == 302


def main() -> None:
    """A member of staff generates an invoice with a button, and looks at its job."""
    ada = user("ada", is_staff=True, is_superuser=True)
    bob = user("bob", is_staff=True)
    invoice = Invoice.objects.create(number="A-1", customer=bob, total="45.00", is_issued=True)
    client = client_of(ada)
    press_button(client, invoice)
    job = completed_job()
    assert_downloads(job, owner=ada, other=bob)

    for address in (
        reverse("admin:billing_invoice_changelist"),
        reverse("admin:billing_invoice_change", args=[invoice.pk]),
        reverse(f"{JOBS}_changelist"),
        reverse(f"{JOBS}_change", args=[job.pk]),
    ):
        page = client.get(address).content.decode()
        assert STYLES in page, address
        assert "docraptor-state docraptor-success" in page, address
        assert "Download" in page, address

    RenderJob.objects.filter(pk=job.pk).update(state="failed", error_code="render_failed")
    assert "Why it failed" in client.get(reverse(f"{JOBS}_change", args=[job.pk])).content.decode()
    question = client.get(reverse(f"{JOBS}_retry", args=[job.pk])).content.decode()
    assert "<h1>Retry “invoice-A-1.pdf”?</h1>" in question
    assert STYLES in question
    print("a button, its PDF, and the job's pages")
