"""The comparison's app."""

from django.apps import AppConfig


class NaiveConfig(AppConfig):
    """One model and one task."""

    name = "benchmarks.usual"
    label = "naive"
    default_auto_field = "django.db.models.BigAutoField"
