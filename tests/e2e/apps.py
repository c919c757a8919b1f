"""Shorten the engine's waiting times in every process of a site."""

from django.apps import AppConfig

from tests.chaos.time_scale import scale_engine


class ScaledTimeConfig(AppConfig):
    """An app without models that scales the engine's constants."""

    name = "tests.e2e"
    label = "scaled_time"

    def ready(self) -> None:
        """Scale the constants once the models are loaded."""
        scale_engine()
