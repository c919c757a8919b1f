"""The app of the baseline."""

from django.apps import AppConfig


class BaselineConfig(AppConfig):
    """An app with one model and one task."""

    name = "tests.apps.baseline"
    label = "baseline"
    default_auto_field = "django.db.models.BigAutoField"
