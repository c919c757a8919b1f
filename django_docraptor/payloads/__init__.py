"""What is sent to DocRaptor: frozen, typed, and checked before it costs anything.

Knows DocRaptor's options, their names, types and limits, and which of them a project may write
where. Knows nothing of HTTP, settings or the database. A name that is not in the lists of
`prince_options` and `document_request` is passed through: DocRaptor's published list lags behind
the service.
"""

from django_docraptor.payloads.conversion import merge_options, options_to_json
from django_docraptor.payloads.document_request import DocumentRequest, unknown_options
from django_docraptor.payloads.prince_options import PrinceOptions
from django_docraptor.vocabulary import JSON, MAX_NAME, MAX_TAG, RESERVED, DocumentType

__all__ = [
    "JSON",
    "MAX_NAME",
    "MAX_TAG",
    "RESERVED",
    "DocumentRequest",
    "DocumentType",
    "PrinceOptions",
    "merge_options",
    "options_to_json",
    "unknown_options",
]
