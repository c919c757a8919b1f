"""Statements of a retry of many failed jobs, by the function of the command and by the admin."""

import argparse
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.bulk_retry import retry_in_batches
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import ErrorCode, State

TARGET = 30
PAGE = "admin:django_docraptor_renderjob_retry_all"
# Reading the jobs, moving them, and writing their events.
LEAST_STATEMENTS = 3
MAX_REQUESTS = 20


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Retry failed jobs that resume, that start again, and from the admin."""
    client = Client()
    user = User.objects.filter(username="retry").first()
    client.force_login(user or User.objects.create_superuser("retry"))
    ways: dict[str, Callable[[], object]] = {
        "resume": lambda: list(retry_in_batches(RenderJob.objects.all())),
        "from_start": lambda: list(retry_in_batches(RenderJob.objects.all(), from_start=True)),
        "admin": lambda: _confirm_in_the_admin(client),
    }
    results = []
    for name, retry in ways.items():
        site.reset()
        _create_failed_jobs(options.retries)
        with CaptureQueriesContext(connection) as queries:
            retry()
        assert not RenderJob.objects.failed().exists()
        results.append(
            Result(
                name=name,
                value=1000 * len(queries) / options.retries,
                target=TARGET,
                floor=LEAST_STATEMENTS,
                ours=f"{len(queries)} for {options.retries:,}",
            )
        )
    return [
        Metric(
            key="bulk_retry_statements_per_1000",
            description="statements of a retry of failed jobs, per 1,000",
            results=tuple(results),
            notes=("floor: one SELECT, one UPDATE and one INSERT",),
        )
    ]


def _create_failed_jobs(count: int) -> None:
    RenderJob.objects.bulk_create(
        (
            RenderJob(
                id=uuid.uuid4(),
                name="failed.pdf",
                document_type="pdf",
                test=False,
                state=State.FAILED,
                error_code=ErrorCode.TIMED_OUT,
                attempt=1,
                status_id=f"failed-{number}",
                finished_at=Now(),
            )
            for number in range(count)
        ),
        batch_size=1000,
    )


@override_settings(ROOT_URLCONF="tests.urls")
def _confirm_in_the_admin(client: Client) -> None:
    """Open the page that retries all failed jobs of the list, and press its button."""
    # Each request retries jobs for a limited time.
    for _ in range(MAX_REQUESTS):
        page: Any = client.get(reverse(PAGE))
        if page.status_code != HTTPStatus.OK:  # none is left
            break
        shown = page.context_data
        fields = {"until": shown["until"], "billed": shown["counts"].billed, "all": "Retry"}
        client.post(reverse(PAGE), fields)
