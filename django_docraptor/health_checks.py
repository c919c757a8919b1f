"""A check for django-health-check, an extra.

Name it in the view: ``checks=["django_docraptor.health_checks.Documents"]``.
"""

from dataclasses import dataclass

from django.db import connections, router
from health_check.base import HealthCheck  # type: ignore[import-untyped]
from health_check.exceptions import ServiceUnavailable  # type: ignore[import-untyped]

from django_docraptor.health import health_problems
from django_docraptor.health_reports import DEFAULT_MAX_LAG
from django_docraptor.models import RenderJob


@dataclass
class Documents(HealthCheck):  # type: ignore[misc]
    """Fails if the engine does not run, or jobs are late.

    Args:
        max_lag: seconds by which a job may be overdue.
    """

    max_lag: float = DEFAULT_MAX_LAG

    def run(self) -> None:
        """Raise if there is a problem.

        Raises:
            ServiceUnavailable: with one sentence for each problem.
        """
        connection = connections[router.db_for_write(RenderJob)]
        was_open = connection.connection is not None
        try:
            problems = health_problems(self.max_lag)
        finally:
            # A thread of the check's own closes what it has opened.
            if not was_open:
                connection.close()
        if problems:
            raise ServiceUnavailable(" ".join(problems))
