"""The comparison's app."""

from django.apps import AppConfig


class NaiveConfig(AppConfig):
    """One model and one task."""

    name = "tests.apps.baseline"
    label = "naive"
    default_auto_field = "django.db.models.BigAutoField"
