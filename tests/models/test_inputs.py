"""Input and history have no life of their own."""

import pytest

from django_docraptor.models import RenderEvent, RenderInput
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db


def test_input_goes_with_its_job() -> None:
    """Deleting a job leaves neither input nor history."""
    enqueue().delete()
    assert not RenderInput.objects.exists()
    assert not RenderEvent.objects.exists()
