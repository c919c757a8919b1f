"""Internal. The list of the documents that the user owns."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_docraptor.responses.my_documents import MAX_PAGES, read_page
from django_docraptor.responses.return_urls import safe_return_url


@require_safe
@never_cache
@login_required
def my_documents(request: HttpRequest) -> HttpResponse:
    """List the documents of the logged-in user, latest first: ``?page=2`` for older ones."""
    text = request.GET.get("page", "1")
    # Not int(): it accepts other digits, and texts of any length.
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGES):
        raise Http404
    context = {
        "page": read_page(request, int(text)),
        "return_url": safe_return_url(request, request.GET.get("return_url", "")) or "/",
    }
    return render(request, "django_docraptor/my_documents.html", context)
