"""The tests; like a project's package, it makes its Celery app known."""

from tests.celery import app as celery_app

__all__ = ["celery_app"]
