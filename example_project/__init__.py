"""A small shop: invoices by signal, a report from the admin, documents for customers."""

from example_project.celery import app as celery_app

__all__ = ["celery_app"]
