"""Test your project without a network: DocRaptor in memory, and the sandbox in threads.

With pytest, the fixtures ``docraptor`` and ``docraptor_sandbox`` need no import.
"""

from typing import TYPE_CHECKING, Any

from django_docraptor.testing.cases import DocRaptorTestMixin
from django_docraptor.testing.client import InMemoryClient
from django_docraptor.testing.outbox import InMemoryDocRaptor
from django_docraptor.testing.sent_documents import SentDocument
from django_docraptor.testing.text import document_text

if TYPE_CHECKING:
    from django_docraptor.testing.local_sandbox import SandboxDocRaptor

else:  # hidden from type checkers, which would take any name for an Any

    def __getattr__(name: str) -> Any:
        """Import the one name that needs the extra ``[sandbox]``."""
        if name != "SandboxDocRaptor":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from django_docraptor.testing.local_sandbox import SandboxDocRaptor

        return SandboxDocRaptor


__all__ = [
    "DocRaptorTestMixin",
    "InMemoryClient",
    "InMemoryDocRaptor",
    "SandboxDocRaptor",
    "SentDocument",
    "document_text",
]
