"""The comparison's app."""

from django.apps import AppConfig


class NaiveConfig(AppConfig):
    """One model and one task."""

    name = "benchmarks.chaos.naive"
    label = "naive"
    default_auto_field = "django.db.models.BigAutoField"
