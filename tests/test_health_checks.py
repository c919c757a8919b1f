"""The check for django-health-check: it passes, or says what is wrong."""

import asyncio

import pytest
from django.test import RequestFactory
from health_check.exceptions import ServiceUnavailable
from health_check.views import HealthCheckView

from django_docraptor.health_checks import Documents
from tests.support.jobs import enqueue, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def test_healthy_site_passes() -> None:
    """A site without problems passes."""
    Documents().run()


def test_late_jobs_fail() -> None:
    """Late jobs fail the check with what to do, unless the site allows so much."""
    enqueue()
    skip_time(600)
    with pytest.raises(ServiceUnavailable, match="docraptor_tick"):
        Documents().run()
    Documents(max_lag=86_400).run()


def test_view_of_the_package() -> None:
    """The package's view runs the check by its dotted path, and reports its problem."""
    enqueue()
    skip_time(600)
    view = HealthCheckView.as_view(checks=["django_docraptor.health_checks.Documents"])
    response = asyncio.run(view(RequestFactory().get("/?format=json")))
    assert response.status_code == 500
    assert b"docraptor_tick" in response.content
