"""Internal. The package's views: callback, health, download, status page, lists, links, previews.

Projects subclass `DocumentView` or `DocumentMixin` to return a document, and decorate with
`document_page` what DocRaptor may fetch.
"""

from django_docraptor.views.callbacks import callback
from django_docraptor.views.document_pages import document_page
from django_docraptor.views.documents import DocumentMixin, DocumentView
from django_docraptor.views.groups import group_download, group_status
from django_docraptor.views.monitoring import health
from django_docraptor.views.my_documents import my_documents
from django_docraptor.views.pages import document_status, download
from django_docraptor.views.previews import (
    preview,
    preview_file,
    preview_html,
    preview_list,
    preview_state,
    preview_test_document,
)
from django_docraptor.views.share_links import shared_document

__all__ = [
    "DocumentMixin",
    "DocumentView",
    "callback",
    "document_page",
    "document_status",
    "download",
    "group_download",
    "group_status",
    "health",
    "my_documents",
    "preview",
    "preview_file",
    "preview_html",
    "preview_list",
    "preview_state",
    "preview_test_document",
    "shared_document",
]
