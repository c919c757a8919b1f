"""`manage.py docraptor_release` lets held jobs go, and no others."""

import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor import lifecycle
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import EventKind
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_release", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def held_jobs(sandbox: Sandbox, settings: Any) -> list[RenderJob]:
    """Three jobs of a budget that is used up."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BUDGET": {"day": 0}}
    jobs = [enqueue(test=False) for _ in range(3)]
    lifecycle.submit()
    return jobs


def test_held_jobs_are_released_the_oldest_first(
    held_jobs: list[RenderJob], sandbox: Sandbox
) -> None:
    """As many as the limit says; they are sent, the others stay held."""
    assert "3 held. Nothing was changed." in run("--dry-run")
    assert "1 released." in run("--limit", "1", "--reason", "budget", "--account", "default")
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1
    assert RenderJob.objects.get(attempt=1) == held_jobs[0]
    assert RenderJob.objects.held().count() == 2


def test_options_select_the_jobs(held_jobs: list[RenderJob]) -> None:
    """Another reason or document has none; an unknown account is named."""
    assert "0 released." in run("--reason", "source")
    assert "2 released." in run("--document", "-", "--limit", "2")
    with pytest.raises(CommandError, match="acme"):
        run("--account", "acme")


def test_many_jobs_need_few_statements(held_jobs: list[RenderJob]) -> None:
    """The number of statements does not depend on the number of jobs, but for long INSERTs."""
    row = RenderJob.objects.filter(pk=held_jobs[0].pk).values().get()
    RenderJob.objects.bulk_create(RenderJob(**row | {"id": uuid.uuid4()}) for _ in range(1997))
    with CaptureQueriesContext(connection) as queries:
        assert "2,000 released." in run()
    assert len(queries) <= 2 * 30
    assert RenderEvent.objects.filter(kind=EventKind.RELEASED).count() == 2000
    assert not RenderJob.objects.held().exists()


@pytest.mark.parametrize("option", ["--account", "--document", "--reason"])
def test_blank_option_releases_nothing(held_jobs: list[RenderJob], option: str) -> None:
    """A variable that is not set in a script does not let all jobs go."""
    with pytest.raises(CommandError):
        run(option, "")
    assert RenderJob.objects.held().count() == 3
