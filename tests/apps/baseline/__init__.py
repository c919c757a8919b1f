"""The way most people write it, for comparison: one Celery task that does everything."""
