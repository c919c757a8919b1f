"""Internal. DocRaptor's document types, limits and reserved option names.

Knows nothing about building or validating a request.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

JSONValue = str | int | float | bool | None | list[Any] | dict[str, Any]

# DocRaptor: "Name is too long (maximum is 200 characters)", and the same for the tag.
MAX_NAME_LENGTH: Final = 200
MAX_TAG_LENGTH: Final = 200

# Names that are not allowed as options, and what to use instead.
RESERVED_OPTIONS: Final[Mapping[str, str]] = {
    "name": "pass it as a separate argument",
    "type": "pass it as document_type",
    "document_type": "pass it as a separate argument",
    "content": "pass it as a separate argument",
    "document_content": "pass it as content",
    "url": "pass it as a separate argument",
    "document_url": "pass it as url",
    "test": "pass it as a separate argument, or set DOCRAPTOR['TEST_MODE']",
    "async": "call the synchronous or asynchronous function instead",
    "doc": "put the options at the top level",
    "user_credentials": "the API key is sent in a header and must never be part of a document",
    "extra": "it is the dict itself, so it cannot contain another",
}


class DocumentType(StrEnum):
    """Document types that DocRaptor can generate."""

    PDF = "pdf"
    XLS = "xls"
    XLSX = "xlsx"
