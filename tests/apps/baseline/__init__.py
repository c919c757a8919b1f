"""The baseline: one Celery task that does everything, as it is usually written."""
