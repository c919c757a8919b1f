"""Pages with htmx: a button becomes a progress text, which becomes a link."""

from billing.documents import InvoicePDF
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from django_docraptor import RenderJob


@login_required
@require_POST
def generate(request, pk):
    """Enqueue the PDF of an invoice of the user; a second click finds the first one's job."""
    invoice = get_object_or_404(request.user.invoices, pk=pk)
    key = f"invoice-{invoice.pk}"
    job = InvoicePDF.enqueue(invoice, owner=request.user, idempotency_key=key)
    return progress(request, job.pk)


@login_required
def progress(request, pk):
    """Show a job of the user."""
    job = get_object_or_404(RenderJob, pk=pk, owner=request.user)
    return render(request, "billing/progress.html", {"job": job})
