"""Internal. The fixtures for pytest, which loads this module by its entry point.

That happens before Django's settings are known, and in every project of the environment: so nothing
of Django or the app is imported here, and nothing happens until a test asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django_docraptor.testing import InMemoryDocRaptor, SandboxDocRaptor


@pytest.fixture
def docraptor(db: Any) -> "Iterator[InMemoryDocRaptor]":
    """DocRaptor in memory: its outbox, and the engine. Nothing is sent."""
    from django_docraptor.testing import InMemoryDocRaptor

    with InMemoryDocRaptor() as in_memory:
        yield in_memory


@pytest.fixture
def docraptor_sandbox(db: Any) -> "Iterator[SandboxDocRaptor]":
    """The sandbox in threads of this process, and the engine."""
    from django_docraptor.testing import SandboxDocRaptor

    with SandboxDocRaptor() as sandbox:
        yield sandbox
