"""Inputs and events belong to their job."""

import pytest

from django_docraptor.models import RenderEvent, RenderInput
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def test_deleting_a_job_deletes_input_and_events() -> None:
    """Deleting a job deletes its input and its events."""
    enqueue().delete()
    assert not RenderInput.objects.exists()
    assert not RenderEvent.objects.exists()
