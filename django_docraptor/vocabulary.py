"""DocRaptor's words and limits: what documents there are, and which names are no options.

Knows nothing of how a document is built or checked.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

JSON = str | int | float | bool | None | list[Any] | dict[str, Any]

# DocRaptor: "Name is too long (maximum is 200 characters)", and the same for the tag.
MAX_NAME: Final = 200
MAX_TAG: Final = 200

# Names that a caller cannot give among the options, and what to do instead.
RESERVED: Final[Mapping[str, str]] = {
    "name": "give it as the document's name",
    "type": "give it as document_type",
    "document_type": "give it beside the options, not among them",
    "content": "give it beside the options, not among them",
    "document_content": "give it as content",
    "url": "give it beside the options, not among them",
    "document_url": "give it as url",
    "test": "give it beside the options, or set DOCRAPTOR['TEST_MODE']",
    "async": "choose the call instead",
    "doc": "write the options at the top level",
    "user_credentials": "the API key is sent in a header and must never be part of a document",
    "extra": "write unknown options beside the known ones",
}


class DocumentType(StrEnum):
    """What DocRaptor can make."""

    PDF = "pdf"
    XLS = "xls"
    XLSX = "xlsx"
