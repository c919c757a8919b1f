from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST
from django.views.generic import DetailView, ListView

from django_docraptor import DocumentMixin, attach_latest_documents, latest_document, share
from shop.documents import InvoicePDF
from shop.models import Invoice


class InvoiceList(LoginRequiredMixin, ListView):
    template_name = "shop/invoices.html"
    paginate_by = 25

    def get_queryset(self):
        return self.request.user.invoices.exclude(issued_on=None)

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        attach_latest_documents(context["object_list"], InvoicePDF)
        return context


class InvoiceDocument(DocumentMixin, DetailView):
    document = InvoicePDF

    def get_queryset(self):
        issued = Invoice.objects.exclude(issued_on=None)
        user = self.request.user
        return issued if user.is_staff else issued.filter(customer=user)


@login_required
@require_POST
def share_invoice(request, pk):
    job = latest_document(get_object_or_404(request.user.invoices, pk=pk), InvoicePDF)
    if job is None:
        raise Http404
    link = share(job, expires_in=timedelta(days=14), by=request.user)
    url = request.build_absolute_uri(link.get_absolute_url())
    return render(request, "shop/shared.html", {"job": job, "link": link, "url": url})
