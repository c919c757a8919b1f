"""Test suite. Imports the Celery app, as a project does."""

from tests.celery import app as celery_app

__all__ = ["celery_app"]
