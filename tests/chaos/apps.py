"""Shorten the app's waiting times, and break writes, in every process of the site."""

from django.apps import AppConfig

from tests.chaos import database_faults
from tests.chaos.time_scale import scale_engine


class ChaosConfig(AppConfig):
    """An app without models that scales the engine's constants."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        """Scale the constants once the models are loaded, and break some of the writes."""
        scale_engine()
        database_faults.install()
