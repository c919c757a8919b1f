"""Internal. The requests sent to DocRaptor: frozen, typed, and validated before they cost anything.

Knows the names, types and limits of DocRaptor's options, and where a project may set them. Knows
nothing about HTTP, the database or this package's settings; ``secrets`` reads SECRET_KEY. Unknown
options are passed through, because DocRaptor's documentation lags behind the service.
"""

from django_docraptor.docraptor_api import DocumentType
from django_docraptor.payloads.conversion import merge_options, options_to_json
from django_docraptor.payloads.document_request import DocumentRequest, unknown_options
from django_docraptor.payloads.prince_options import PrinceOptions

__all__ = [
    "DocumentRequest",
    "DocumentType",
    "PrinceOptions",
    "merge_options",
    "options_to_json",
    "unknown_options",
]
