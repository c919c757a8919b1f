"""Replicas: the package reads where it writes."""

from typing import Any

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import (
    Account,
    DiscardedFile,
    Heartbeat,
    RenderEvent,
    RenderInput,
    RenderJob,
)
from django_docraptor.states import State
from tests.support.jobs import HTML, drive, enqueue

pytestmark = pytest.mark.django_db(transaction=True)


class Replica:
    """A router that reads from a database that is not even there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "django_docraptor" else None


@pytest.fixture(autouse=True)
def replica(settings) -> None:
    """A project with a replica."""
    settings.DATABASE_ROUTERS = [Replica()]


@pytest.mark.parametrize(
    "model", [Account, DiscardedFile, Heartbeat, RenderEvent, RenderInput, RenderJob]
)
def test_every_model_is_read_where_it_is_written(model: Any) -> None:
    """Unless somebody names a database."""
    assert model.objects.all().db == "default"
    assert model._default_manager.filter().db == "default"
    assert model.objects.using("replica").db == "replica"


def test_documents_are_made(sandbox, documents) -> None:
    """A claim that is read back from a replica that lags finds nothing, for ever."""
    jobs = [enqueue() for _ in range(3)]
    assert [drive(job).state for job in jobs] == [State.COMPLETED] * 3
    assert all(RenderEvent.objects.filter(job=job).count() > 3 for job in jobs)
    assert lifecycle.run() is not None


def test_a_key_is_found(sandbox) -> None:
    """The second order gets the first one's job, not an error."""
    order = {"name": "a.pdf", "content": HTML, "idempotency_key": "a"}
    assert shortcuts.enqueue(**order).pk == shortcuts.enqueue(**order).pk
