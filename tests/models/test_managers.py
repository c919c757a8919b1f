"""With a replica, the package reads from the database that it writes to."""

from typing import Any

import pytest
from django.apps import apps

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import RenderEvent
from django_docraptor.states import State
from tests.support.jobs import HTML, enqueue, run_until_finished

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


class Replica:
    """A router that reads from a database that does not exist."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "django_docraptor" else None


@pytest.fixture(autouse=True)
def replica(settings) -> None:
    """A project with a replica."""
    settings.DATABASE_ROUTERS = [Replica()]


@pytest.mark.parametrize(
    "model",
    [*apps.get_app_config("django_docraptor").get_models()],
    ids=lambda model: model.__name__,
)
def test_models_are_read_from_the_primary_database(model: Any) -> None:
    """Every model is read from the database that is written, unless another one is named."""
    assert model.objects.all().db == "default"
    assert model._default_manager.filter().db == "default"
    assert model.objects.using("replica").db == "replica"


def test_engine_completes_jobs_despite_a_replica(sandbox, documents_dir) -> None:
    """A claim is not read from a replica, which may lag."""
    jobs = [enqueue() for _ in range(3)]
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3
    assert all(RenderEvent.objects.filter(job=job).count() > 3 for job in jobs)
    assert lifecycle.run_once() is not None


def test_idempotency_key_is_found_despite_a_replica(sandbox) -> None:
    """The second call with a key returns the first one's job."""
    options = {"name": "a.pdf", "content": HTML, "idempotency_key": "a"}
    assert shortcuts.enqueue(**options).pk == shortcuts.enqueue(**options).pk
